package kproto

import "slices"

// Produce requests, versions 3 to 13.
//
//	v3 transactional id, batches of magic 2   v9 flexible   v13 topic ids instead of names
//
// Versions in between changed only the response or the meaning.

// ProduceRequest is a decoded Produce request. The zero value is ready; Decode reuses the memory of earlier requests.
type ProduceRequest struct {
	TransactionalID []byte // nil is null
	Acks            int16  // not checked: -1, 0 and 1 are valid
	TimeoutMillis   int32
	Topics          []ProduceTopic
	Partitions      []ProducePartition // of all topics, in request order

	names []byte // CloneInto: the memory that names point into
}

// ProduceTopic is one topic of a request. A topic without partitions is left out.
type ProduceTopic struct {
	Name         []byte   // up to v12; aliases the frame
	ID           [16]byte // from v13 on
	First, Count int      // its partitions: Partitions[First : First+Count]
}

// ProducePartition is the data for one partition.
type ProducePartition struct {
	Topic   int // index in Topics
	Index   int32
	Records []byte // nil is null; aliases the frame
}

// retainedEntries is how many elements a request keeps for the next one when it does not need them itself.
const retainedEntries = 4096

// Decode reads a request body. r then refers to body and must not be used after it is gone (see CloneInto). Errors match
// ErrMalformed.
func (r *ProduceRequest) Decode(version int16, body []byte) error {
	if version < ProduceMinServed || version > apis[KeyProduce].Max {
		return &DecodeError{What: "Produce request", Version: version, Bytes: len(body), Reason: "version not supported"}
	}
	in := reader{b: body}
	flexible := version >= 9
	r.reset()
	r.TransactionalID = in.nullableString(flexible)
	r.Acks, r.TimeoutMillis = in.int16(), in.int32()

	minTopic, minPartition := 2+4, 4+4
	if flexible {
		minTopic, minPartition = 1+1+1, 4+1+1
	}
	topics := in.count(flexible, minTopic)
	r.Topics, r.Partitions = expect(r.Topics, &in, topics, minTopic+minPartition), expect(r.Partitions, &in, topics, minTopic+minPartition)
	for ; topics > 0 && in.ok(); topics-- {
		t := ProduceTopic{First: len(r.Partitions)}
		if version >= 13 {
			t.ID = in.uuid()
		} else {
			t.Name = in.string(flexible)
		}
		t.Count = in.count(flexible, minPartition)
		r.Partitions = expect(r.Partitions, &in, t.Count, minPartition)
		for range t.Count {
			index := in.int32()
			records := in.nullableBytes(flexible)
			if flexible {
				in.skipTags()
			}
			if !in.ok() {
				break
			}
			r.Partitions = append(r.Partitions, ProducePartition{Topic: len(r.Topics), Index: index, Records: records})
		}
		if flexible {
			in.skipTags()
		}
		if t.Count > 0 {
			r.Topics = append(r.Topics, t)
		}
	}
	if flexible {
		in.skipTags()
	}
	return in.err("Produce request", version, len(body))
}

// reset empties r, and lets go of memory that only an unusually large request needed.
func (r *ProduceRequest) reset() {
	r.Topics, r.Partitions = recycle(r.Topics), recycle(r.Partitions)
}

// recycle returns s emptied for reuse, or nil when s is much larger than its last use.
func recycle[T any](s []T) []T {
	if cap(s) > retainedEntries && len(s) < cap(s)/4 {
		return nil
	}
	clear(s) // do not keep frames alive
	return s[:0]
}

// expect makes room for n more elements, or for as many of minBytes each as can be left: append would take several times as much
// while it grows step by step.
func expect[T any](s []T, in *reader, n, minBytes int) []T {
	return slices.Grow(s, min(n, len(in.b)/minBytes))
}

// CloneInto copies to dst what the response needs and what stays true when the frame is gone: everything but the records, which are
// nil in dst. The names lie in dst's own memory, which is reused.
func (r *ProduceRequest) CloneInto(dst *ProduceRequest) {
	size := len(r.TransactionalID)
	for i := range r.Topics {
		size += len(r.Topics[i].Name)
	}
	dst.reset()
	dst.Acks, dst.TimeoutMillis = r.Acks, r.TimeoutMillis
	if cap(dst.names) < size || cap(dst.names) > 64<<10 && size < cap(dst.names)/4 {
		dst.names = make([]byte, 0, max(size, 128))
	}
	names := dst.names[:0]
	keep := func(s []byte) []byte {
		if s == nil {
			return nil
		}
		at := len(names)
		names = append(names, s...)
		return names[at:len(names):len(names)]
	}
	dst.Topics, dst.Partitions = slices.Grow(dst.Topics, len(r.Topics)), slices.Grow(dst.Partitions, len(r.Partitions))
	dst.TransactionalID = keep(r.TransactionalID)
	for i := range r.Topics {
		t := r.Topics[i]
		t.Name = keep(t.Name)
		dst.Topics = append(dst.Topics, t)
	}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		dst.Partitions = append(dst.Partitions, ProducePartition{Topic: p.Topic, Index: p.Index})
	}
	dst.names = names
}
