package engine

import (
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// Who leads a partition, for answers that send the client elsewhere (KIP-951).

// leaderOf returns the leader and its epoch by the image, (-1, -1) if unknown.
func (b *Broker) leaderOf(name string, id kraft.TopicID, index int32) (int32, int32) {
	img := b.node.Image()
	t := img.TopicByID(id)
	if id == (kraft.TopicID{}) {
		t = img.Topic(name)
	}
	if t == nil || index < 0 || int(index) >= len(t.Partitions) {
		return -1, -1
	}
	p := &t.Partitions[index]
	return p.Leader, p.LeaderEpoch
}

// currentLeader fills in who leads instead.
func (b *Broker) currentLeader(name []byte, id kraft.TopicID, index int32, result *kproto.ProduceResult) {
	result.LeaderID, result.LeaderEpoch = b.leaderOf(string(name), id, index)
}

// leaderEndpoints lists the addresses of the leaders that results name. Nothing is allocated when there are none.
func (b *Broker) leaderEndpoints(results []kproto.ProduceResult, listener string) []kproto.NodeEndpoint {
	var out []kproto.NodeEndpoint
	for i := range results {
		if r := &results[i]; r.ErrorCode != kproto.None && r.LeaderID >= 0 {
			out = b.appendEndpoint(out, r.LeaderID, listener)
		}
	}
	return out
}

func (b *Broker) appendEndpoint(out []kproto.NodeEndpoint, id int32, listener string) []kproto.NodeEndpoint {
	for i := range out {
		if out[i].ID == id {
			return out
		}
	}
	kb := b.node.Image().Broker(id)
	if kb == nil {
		return out
	}
	e, ok := kb.Endpoint(listener)
	if !ok {
		return out
	}
	return append(out, kproto.NodeEndpoint{ID: id, Host: e.Host, Port: int32(e.Port), Rack: kb.Rack})
}
