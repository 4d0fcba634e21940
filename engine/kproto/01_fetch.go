package kproto

import "encoding/binary"

// Fetch requests, versions 4 to 18.
//
//	v5 log start offset   v7 sessions   v9 current leader epoch   v11 rack   v12 flexible, last fetched epoch, cluster id (ignored)
//	v13 topic ids instead of names   v15 replica id moves into a tagged field   v17, v18 tagged fields of followers (ignored)

// FetchRequest is a decoded Fetch request. The zero value is ready; Decode reuses the memory of earlier requests.
type FetchRequest struct {
	ReplicaID               int32 // -1 for consumers
	MaxWaitMillis           int32
	MinBytes, MaxBytes      int32
	Isolation               int8  // 0 read uncommitted, 1 read committed; not checked
	SessionID, SessionEpoch int32 // 0 and -1 (no session) below v7
	Topics                  []FetchTopic
	Partitions              []FetchPartition // of all topics, in request order
	Forgotten               []ForgottenTopic
	Rack                    []byte // empty below v11

	forgotten []int32 // memory of Forgotten[i].Partitions
}

// FetchTopic is one topic of a request. A topic without partitions is left out.
type FetchTopic struct {
	Name         []byte   // up to v12; aliases the frame
	ID           [16]byte // from v13 on
	First, Count int      // its partitions: Partitions[First : First+Count]
}

// FetchPartition is one partition to read.
type FetchPartition struct {
	Topic              int // index in Topics
	Index              int32
	CurrentLeaderEpoch int32 // -1: not checked
	FetchOffset        int64
	LastFetchedEpoch   int32 // -1: not known
	LogStartOffset     int64 // of a follower; -1 for consumers
	MaxBytes           int32
}

// ForgottenTopic lists partitions that leave the fetch session.
type ForgottenTopic struct {
	Name       []byte   // up to v12; aliases the frame
	ID         [16]byte // from v13 on
	Partitions []int32  // valid until the next Decode
}

const replicaStateTag = 1 // in a Fetch request

// Decode reads a request body. r then refers to body and must not be used after it is gone. Errors match ErrMalformed.
func (r *FetchRequest) Decode(version int16, body []byte) error {
	if a := &apis[KeyFetch]; version < a.Min || version > a.Max {
		return &DecodeError{What: "Fetch request", Version: version, Bytes: len(body), Reason: "version not supported"}
	}
	in := reader{b: body}
	flexible := version >= 12
	r.reset()
	if version <= 14 {
		r.ReplicaID = in.int32()
	}
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes = in.int32(), in.int32(), in.int32()
	r.Isolation = in.int8()
	if version >= 7 {
		r.SessionID, r.SessionEpoch = in.int32(), in.int32()
	}
	r.decodeTopics(&in, version, flexible)
	if version >= 7 {
		r.decodeForgotten(&in, version, flexible)
	}
	if version >= 11 {
		r.Rack = in.string(flexible)
	}
	if flexible {
		r.decodeTags(&in, version)
	}
	return in.err("Fetch request", version, len(body))
}

func (r *FetchRequest) reset() {
	r.Topics, r.Partitions, r.Forgotten, r.forgotten = recycle(r.Topics), recycle(r.Partitions), recycle(r.Forgotten), recycle(r.forgotten)
	r.ReplicaID, r.SessionID, r.SessionEpoch, r.Rack = -1, 0, -1, nil
}

func (r *FetchRequest) decodeTopics(in *reader, version int16, flexible bool) {
	minTopic, partitionBytes := 2+4, 4+8+4
	if flexible {
		minTopic, partitionBytes = 1+1+1, partitionBytes+1 // the tag section
	}
	if version >= 5 {
		partitionBytes += 8
	}
	if version >= 9 {
		partitionBytes += 4
	}
	if version >= 12 {
		partitionBytes += 4
	}
	topics := in.count(flexible, minTopic)
	r.Topics, r.Partitions = expect(r.Topics, in, topics, minTopic+partitionBytes), expect(r.Partitions, in, topics, minTopic+partitionBytes)
	for ; topics > 0 && in.ok(); topics-- {
		t := FetchTopic{First: len(r.Partitions)}
		if version >= 13 {
			t.ID = in.uuid()
		} else {
			t.Name = in.string(flexible)
		}
		t.Count = in.count(flexible, partitionBytes)
		r.Partitions = expect(r.Partitions, in, t.Count, partitionBytes)
		for range t.Count {
			p := FetchPartition{Topic: len(r.Topics), CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, LogStartOffset: -1}
			p.Index = in.int32()
			if version >= 9 {
				p.CurrentLeaderEpoch = in.int32()
			}
			p.FetchOffset = in.int64()
			if version >= 12 {
				p.LastFetchedEpoch = in.int32()
			}
			if version >= 5 {
				p.LogStartOffset = in.int64()
			}
			p.MaxBytes = in.int32()
			if flexible {
				in.skipTags()
			}
			if !in.ok() {
				break
			}
			r.Partitions = append(r.Partitions, p)
		}
		if flexible {
			in.skipTags()
		}
		if t.Count > 0 {
			r.Topics = append(r.Topics, t)
		}
	}
}

func (r *FetchRequest) decodeForgotten(in *reader, version int16, flexible bool) {
	minTopic := 2 + 4
	if flexible {
		minTopic = 1 + 1 + 1
	}
	topics := in.count(flexible, minTopic)
	r.Forgotten, r.forgotten = expect(r.Forgotten, in, topics, minTopic+4), expect(r.forgotten, in, topics, minTopic+4)
	for ; topics > 0 && in.ok(); topics-- {
		var t ForgottenTopic
		if version >= 13 {
			t.ID = in.uuid()
		} else {
			t.Name = in.string(flexible)
		}
		n := in.count(flexible, 4)
		r.forgotten = expect(r.forgotten, in, n, 4)
		at := len(r.forgotten)
		for range n {
			r.forgotten = append(r.forgotten, in.int32())
		}
		t.Partitions = r.forgotten[at:len(r.forgotten):len(r.forgotten)]
		if flexible {
			in.skipTags()
		}
		if n > 0 {
			r.Forgotten = append(r.Forgotten, t)
		}
	}
}

func (r *FetchRequest) decodeTags(in *reader, version int16) {
	for n := in.uvarint(); n > 0 && in.ok(); n-- {
		key, value := in.tag()
		if key != replicaStateTag || version < 15 || !in.ok() {
			continue
		}
		if len(value) < 4+8+1 { // id, epoch, tags
			in.fail(badTag)
			return
		}
		r.ReplicaID = int32(binary.BigEndian.Uint32(value))
	}
}
