package main

import (
	"strconv"

	"github.com/ringmq/ringmq/bench/wire"
)

// names are those of the topics.
func (o options) names() []string {
	if o.topics <= 1 {
		return []string{o.topic}
	}
	names := make([]string, o.topics)
	for i := range names {
		names[i] = o.topic + "-" + strconv.Itoa(i)
	}
	return names
}

// frames are the requests of one connection, to be sent in turns. They are made before it begins: making them takes longer than sending them.
type frames [][]byte

// frames makes those of a connection. Spread out, the connections share the partitions of all topics among them, as evenly as it goes, so that
// together they go through all of them; their turns are such that neighbours in time are in different topics.
func (o options) frames(client string, index int, batch []byte) frames {
	names := o.names()
	if !o.spread {
		return frames{wire.ProduceFrame(nil, client, names[0], int32(index%o.partitions), int16(o.acks), batch)}
	}
	var f frames
	all := len(names) * o.partitions
	for i := index % all; i < all; i += o.conns {
		f = append(f, wire.ProduceFrame(nil, client, names[i%len(names)], int32(i/len(names)), int16(o.acks), batch))
	}
	return f
}

// next is the frame of a request, with its correlation id. Ids are used one after the other.
func (f frames) next(id int32) []byte {
	frame := f[int(id)%len(f)]
	wire.SetCorrelation(frame, id)
	return frame
}
