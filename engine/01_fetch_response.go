package engine

import (
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// answer writes the response: encoded parts alternate with record batches by reference.
func (op *fetchOp) answer() {
	op.unwatch()
	op.disclaim()
	if wait := op.throttle(); wait > 0 {
		op.answerThrottled(wait)
		return
	}
	version := op.header.Version
	sessionID := int32(0)
	if op.session != nil {
		sessionID = op.session.id
	}
	var w kproto.FetchResponseWriter
	head := kproto.AppendResponseHeader(op.resp.Buf(), kproto.KeyFetch, version, op.header.CorrelationID)
	head = w.Begin(head, version, 0, kproto.None, sessionID, op.countTopics())
	for i := 0; i < len(op.parts); {
		end, named := op.sameTopic(i)
		if named == 0 {
			i = end
			continue
		}
		head = w.Topic(head, op.parts[i].topic, op.parts[i].topicID, named)
		for ; i < end; i++ {
			f := &op.parts[i]
			if !f.named {
				continue
			}
			head = w.PartitionHeader(head, op.result(f), f.bytes)
			if f.count > 0 {
				op.resp.SetBuf(head)
				for j := f.first; j < f.first+f.count; j++ {
					op.resp.Reference(op.slices[j].Data, op.slices[j].Mem)
				}
				head = op.resp.Buf()
				f.part.Served(f.bytes)
			}
			head = w.PartitionEnd(head)
		}
		head = w.TopicEnd(head)
	}
	op.resp.SetBuf(w.End(head, op.endpoints()))
	op.slices = op.slices[:0] // the response owns them now
	op.broker.metrics.fetchedBytes.Add(int64(op.bytes))
	op.finish(true)
}

// countTopics decides which partitions the response names, and returns the number of their topics: runs of the same topic.
func (op *fetchOp) countTopics() (topics int) {
	for i := range op.parts {
		f := &op.parts[i]
		changed := f.state != nil && f.state.changed(f)
		f.named = op.full || f.state == nil || changed
	}
	for i := 0; i < len(op.parts); {
		end, named := op.sameTopic(i)
		if named > 0 {
			topics++
		}
		i = end
	}
	return topics
}

// sameTopic returns the end of the run of partitions of one topic that starts at i, and how many of them are named.
func (op *fetchOp) sameTopic(i int) (end, named int) {
	first := &op.parts[i]
	for end = i; end < len(op.parts); end++ {
		f := &op.parts[end]
		if f.topicID != first.topicID || f.topic != first.topic {
			break
		}
		if f.named {
			named++
		}
	}
	return end, named
}

func (op *fetchOp) result(f *fetchPart) kproto.PartitionResult {
	if f.code != kproto.None {
		r := kproto.FailedPartition(f.index, f.code)
		if f.code == kproto.NotLeaderOrFollower || f.code == kproto.FencedLeaderEpoch {
			r.LeaderID, r.LeaderEpoch = op.broker.leaderOf(f.topic, f.topicID, f.index)
		}
		return r
	}
	r := kproto.NewPartitionResult(f.index)
	r.HighWatermark, r.LastStableOffset, r.LogStartOffset = f.position.HighWatermark, f.position.LastStable, f.position.LogStart
	r.DivergingEpoch, r.DivergingEndOffset = f.diverged.epoch, f.diverged.end
	if op.committed() {
		r.Aborted = noAborted
		if f.count > 0 {
			r.Aborted = f.part.Aborted(noAborted, f.offset, op.slices[f.first+f.count-1].Next)
		}
	}
	return r
}

// endpoints are the addresses of the leaders that the response names (KIP-951).
func (op *fetchOp) endpoints() []kproto.NodeEndpoint {
	var out []kproto.NodeEndpoint
	for i := range op.parts {
		if f := &op.parts[i]; f.named && (f.code == kproto.NotLeaderOrFollower || f.code == kproto.FencedLeaderEpoch) {
			id, _ := op.broker.leaderOf(f.topic, f.topicID, f.index)
			out = op.broker.appendEndpoint(out, id, op.conn.listener)
		}
	}
	return out
}

// readCommitted is the isolation level of readers that want committed records only.
const readCommitted = 1

// noAborted is empty and has no room: appending to it makes a new list.
var noAborted = []kproto.AbortedTxn{}

// answerError answers with a top-level error and no partitions.
func (op *fetchOp) answerError(code kproto.ErrorCode) {
	var w kproto.FetchResponseWriter
	head := kproto.AppendResponseHeader(op.resp.Buf(), kproto.KeyFetch, op.header.Version, op.header.CorrelationID)
	op.resp.SetBuf(w.End(w.Begin(head, op.header.Version, 0, code, 0, 0), nil))
	op.parts = op.parts[:0]
	op.finish(true)
}

// answerThrottled answers without data: the client has fetched too much already. A session goes on with what it was told before; one that this fetch was to
// begin does not begin, and the client asks for it again.
func (op *fetchOp) answerThrottled(waitMillis int32) {
	op.releaseSlices()
	sessionID := int32(0)
	if op.session != nil {
		if op.full {
			op.broker.fetches.remove(op.session.id)
		} else {
			sessionID = op.session.id
		}
	}
	var w kproto.FetchResponseWriter
	head := kproto.AppendResponseHeader(op.resp.Buf(), kproto.KeyFetch, op.header.Version, op.header.CorrelationID)
	op.resp.SetBuf(w.End(w.Begin(head, op.header.Version, waitMillis, kproto.None, sessionID, 0), nil))
	op.finish(true)
}

// finish ends the request: with its response, or without when the connection is gone.
func (op *fetchOp) finish(send bool) {
	st := op.conn
	if op.session != nil {
		op.session.served(op)
	}
	if send {
		op.resp.Send()
	} else {
		op.releaseSlices()
		op.resp.Drop()
	}
	op.recycle()
	st.end()
}

func (op *fetchOp) releaseSlices() {
	for i := range op.slices {
		op.slices[i].Mem.Unref()
	}
	op.slices, op.bytes = op.slices[:0], 0
}

// recycle returns the op to its pool without anything that it referred to.
func (op *fetchOp) recycle() {
	clear(op.parts)
	op.parts = op.parts[:0]
	clear(op.slices[:cap(op.slices)])
	op.slices, op.bytes = op.slices[:0], 0
	op.session, op.resp = nil, nil
	op.meter, op.began, op.spent = nil, time.Time{}, 0
	if !op.stray && !op.scheduled.Load() {
		fetchOps.Put(op)
	}
}
