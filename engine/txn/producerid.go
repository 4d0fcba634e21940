package txn

import (
	"context"
	"math"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// lastEpoch is the highest epoch that is given out: one more is left to fence its producer.
const lastEpoch = math.MaxInt16 - 1

func (t *transaction) exhausted() bool { return t.epoch >= lastEpoch }

// Init is an InitProducerId with a transactional id.
type Init struct {
	ID            string
	TimeoutMillis int32
	ProducerID    int64 // what the producer has, -1: nothing
	ProducerEpoch int16
}

// Init makes the caller the only producer of the id: earlier ones are fenced, and an open transaction of theirs is aborted (CONCURRENT_TRANSACTIONS until
// that is done). It may block in Options.NewID; reply is called once, on any goroutine.
func (c *Coordinator) Init(ctx context.Context, r Init, reply func(producerID int64, epoch int16, code kproto.ErrorCode)) {
	fail := func(code kproto.ErrorCode) { reply(-1, -1, code) }
	switch {
	case r.ID == "" || (r.ProducerID < 0) != (r.ProducerEpoch < 0):
		fail(kproto.InvalidRequest)
		return
	case r.TimeoutMillis <= 0 || time.Duration(r.TimeoutMillis)*time.Millisecond > c.opts.MaxTimeout:
		fail(kproto.InvalidTransactionTimeout)
		return
	}
	s, code := c.shardOf(r.ID)
	if code != kproto.None {
		fail(code)
		return
	}
	s.serveWithID(ctx, func(fresh int64) (kproto.ErrorCode, func(), bool) { return s.initLocked(&r, fresh, reply) }, fail)
}

// initLocked decides. needed: a new producer id has to be brought first. With an error the caller replies, otherwise after does.
func (s *shard) initLocked(r *Init, fresh int64, reply func(int64, int16, kproto.ErrorCode)) (code kproto.ErrorCode, after func(), needed bool) {
	t := s.ids[r.ID]
	if t == nil {
		if fresh < 0 {
			return kproto.None, nil, true
		}
		t = &transaction{id: r.ID, entry: entry{producerID: fresh, epoch: -1, previousID: -1, nextID: -1, lastEpoch: -1, state: Empty, startMillis: -1}}
		s.ids[r.ID] = t
	}
	known := r.ProducerID >= 0
	// The answer was lost: that of the same request, or of the end of a transaction.
	again := known && t.lastEpoch >= 0 && r.ProducerEpoch == t.lastEpoch &&
		(r.ProducerID == t.producerID || r.ProducerID == t.previousID && r.ProducerEpoch == lastEpoch)
	switch {
	case t.deciding(): // the producer may have been told what comes after it
		return kproto.ConcurrentTransactions, nil, false
	case known && t.epoch >= 0 && r.ProducerID != t.producerID && !again:
		return kproto.ProducerFenced, nil, false
	}
	if t.state == Ongoing {
		switch {
		case known && r.ProducerEpoch != t.epoch:
			return kproto.ProducerFenced, nil, false
		case t.exhausted() && fresh < 0:
			return kproto.None, nil, true
		}
		return kproto.None, s.fenceLocked(t, fresh, func() { reply(-1, -1, kproto.ConcurrentTransactions) }), false
	}
	next := t.entry
	next.state, next.partitions, next.timeoutMillis, next.startMillis = Empty, nil, r.TimeoutMillis, -1
	switch {
	case again:
	case t.exhausted() && (!known || r.ProducerEpoch == t.epoch):
		if fresh < 0 {
			return kproto.None, nil, true
		}
		next.producerID, next.epoch = fresh, 0
	case !known || t.epoch < 0 || r.ProducerEpoch == t.epoch:
		next.epoch = t.epoch + 1
	default:
		return kproto.ProducerFenced, nil, false
	}
	if !again {
		next.lastEpoch = -1
		if known {
			next.lastEpoch = t.epoch
		}
	}
	return kproto.None, s.write(t, next, func(code kproto.ErrorCode) func() {
		if code != kproto.None {
			if t.epoch < 0 && s.ids[t.id] == t {
				delete(s.ids, t.id) // nobody has it yet
			}
			return func() { reply(-1, -1, code) }
		}
		return func() { reply(next.producerID, next.epoch, kproto.None) }
	}), false
}

// fenceLocked aborts an open transaction with an epoch that its producer does not have. fresh is a new producer id if the epochs are exhausted. done
// runs when that is decided, or has failed and will be tried again by whoever asks next.
func (s *shard) fenceLocked(t *transaction, fresh int64, done func()) func() {
	next := t.entry
	next.version, next.lastEpoch = s.c.opts.Version(), -1
	if next.version >= Version2 {
		next.lastEpoch, next.nextID = t.epoch, fresh
	}
	next.epoch = min(t.epoch, math.MaxInt16-1) + 1
	return s.prepareLocked(t, next, false, func(kproto.ErrorCode) { done() })
}
