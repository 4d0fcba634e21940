package txn

import (
	"slices"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// Producer is who a request speaks for.
type Producer struct {
	ID            string // transactional id
	ProducerID    int64
	ProducerEpoch int16
}

// Add makes partitions part of the producer's transaction, of kind v, which begins with the first. While another step for the id is under way, or
// its last transaction is not complete, it waits for at most wait and then answers CONCURRENT_TRANSACTIONS. reply is called once, on any goroutine.
func (c *Coordinator) Add(p Producer, partitions []TopicPartition, v Version, wait time.Duration, reply func(kproto.ErrorCode)) {
	s, code := c.shardOf(p.ID)
	if code != kproto.None {
		reply(code)
		return
	}
	until := time.Now().Add(wait)
	code = s.serve(func() (kproto.ErrorCode, func()) {
		t := s.ids[p.ID]
		if t != nil && t.deciding() { // before anything else: the producer may have been told what comes after it
			if wait > 0 {
				s.awaitLocked(t, wait, func() { c.Add(p, partitions, v, time.Until(until), reply) })
				return kproto.None, nil
			}
			return kproto.ConcurrentTransactions, nil
		}
		t, code := s.find(p.ID, p.ProducerID, p.ProducerEpoch)
		switch {
		case code != kproto.None:
			return code, nil
		case t.state == Ongoing && t.hasAll(partitions):
			return kproto.None, func() { reply(kproto.None) }
		}
		next := t.entry
		next.version = v
		if t.state != Ongoing {
			next.state, next.partitions, next.startMillis = Ongoing, nil, s.now()
		}
		next.partitions = slices.Concat(next.partitions, partitions)
		slices.SortFunc(next.partitions, compareTP)
		next.partitions = slices.Compact(next.partitions)
		return kproto.None, s.write(t, next, func(code kproto.ErrorCode) func() {
			return func() { reply(code) }
		})
	})
	if code != kproto.None {
		reply(code)
	}
}

// waiter is somebody who asks again later. Whoever takes it out of its transaction runs it, without the lock.
type waiter struct {
	again func()
	timer *time.Timer
}

// awaitLocked has again run once: when a record of the id has been written, the shard closes, or the time is up.
func (s *shard) awaitLocked(t *transaction, wait time.Duration, again func()) {
	w := &waiter{again: again}
	t.waiters = append(t.waiters, w)
	w.timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		i := slices.Index(t.waiters, w)
		if i >= 0 {
			t.waiters = slices.Delete(t.waiters, i, i+1)
		}
		s.mu.Unlock()
		if i >= 0 {
			again()
		}
	})
}

// wake runs what was taken out of a transaction.
func wake(waiters []*waiter) {
	for _, w := range waiters {
		w.timer.Stop()
		w.again()
	}
}

func (t *transaction) has(tp TopicPartition) bool {
	_, ok := slices.BinarySearchFunc(t.partitions, tp, compareTP)
	return ok
}

func (t *transaction) hasAll(tps []TopicPartition) bool {
	return !slices.ContainsFunc(tps, func(tp TopicPartition) bool { return !t.has(tp) })
}

// Verify says for each partition whether it is part of the producer's open transaction: None or TRANSACTION_ABORTABLE. An error of the whole is the
// second result. It does not block.
func (c *Coordinator) Verify(p Producer, partitions []TopicPartition) (codes []kproto.ErrorCode, code kproto.ErrorCode) {
	s, code := c.shardOf(p.ID)
	if code != kproto.None {
		return nil, code
	}
	code = s.serve(func() (kproto.ErrorCode, func()) {
		t, code := s.find(p.ID, p.ProducerID, p.ProducerEpoch)
		switch {
		case code != kproto.None:
			return code, nil
		case t.state == PrepareCommit || t.state == PrepareAbort:
			return kproto.ConcurrentTransactions, nil
		}
		codes = make([]kproto.ErrorCode, len(partitions))
		for i, tp := range partitions {
			if t.state != Ongoing || !t.has(tp) {
				codes[i] = kproto.TransactionAbortable
			}
		}
		return kproto.None, nil
	})
	return codes, code
}
