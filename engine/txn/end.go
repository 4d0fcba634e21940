package txn

import (
	"context"
	"math"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// End is an EndTxn.
type End struct {
	Producer
	Commit  bool
	Version Version // that the producer keeps to
}

// End commits or aborts the producer's transaction. It is decided, and reply called with what the producer goes on with, once the decision is durable;
// markers follow. The producer id is -1 with an error, and before Version2. It may block in Options.NewID.
//
// What a producer of Version2 may do while no transaction is open. Again means with the epoch that it had before the last end:
//
//	                abort again         abort              commit again        commit
//	Empty           PRODUCER_FENCED     new epoch          PRODUCER_FENCED     INVALID_TXN_STATE
//	CompleteAbort   same answer         new epoch          INVALID_TXN_STATE   INVALID_TXN_STATE
//	CompleteCommit  INVALID_TXN_STATE   new epoch          same answer         INVALID_TXN_STATE
func (c *Coordinator) End(ctx context.Context, r End, reply func(producerID int64, epoch int16, code kproto.ErrorCode)) {
	fail := func(code kproto.ErrorCode) { reply(-1, -1, code) }
	s, code := c.shardOf(r.ID)
	if code != kproto.None {
		fail(code)
		return
	}
	end := s.endLocked
	if r.Version >= Version2 {
		end = s.endAndBumpLocked
	}
	s.serveWithID(ctx, func(fresh int64) (kproto.ErrorCode, func(), bool) { return end(&r, fresh, reply) }, fail)
}

// endLocked decides for a producer that keeps its epoch. With an error the caller replies, otherwise after does. It needs no producer id.
func (s *shard) endLocked(r *End, _ int64, reply func(int64, int16, kproto.ErrorCode)) (code kproto.ErrorCode, after func(), needed bool) {
	t, code := s.find(r.ID, r.ProducerID, r.ProducerEpoch)
	switch {
	case code != kproto.None:
		return code, nil, false
	case t.deciding():
		return kproto.ConcurrentTransactions, nil, false
	case t.state == Ongoing:
		next := t.entry
		next.version = Version0
		return kproto.None, s.prepareLocked(t, next, r.Commit, func(code kproto.ErrorCode) { reply(-1, -1, code) }), false
	case t.state == outcomeOf(r.Commit):
		return kproto.None, func() { reply(-1, -1, kproto.None) }, false // asked again
	}
	return kproto.InvalidTxnState, nil, false
}

// endAndBumpLocked decides for a producer that gets a new epoch. needed: a new producer id has to be brought first.
func (s *shard) endAndBumpLocked(r *End, fresh int64, reply func(int64, int16, kproto.ErrorCode)) (code kproto.ErrorCode, after func(), needed bool) {
	t := s.ids[r.ID]
	switch {
	case t == nil:
		return kproto.InvalidProducerIDMapping, nil, false
	case t.deciding(): // before anything else: the producer may have been told what comes after it
		return kproto.ConcurrentTransactions, nil, false
	}
	rotated := r.ProducerID == t.previousID && r.ProducerEpoch == lastEpoch && t.epoch == 0
	ended := t.state == CompleteCommit || t.state == CompleteAbort
	again := ended && (rotated || int(r.ProducerEpoch) == int(t.epoch)-1)
	switch {
	case r.ProducerID != t.producerID && !rotated:
		return kproto.InvalidProducerIDMapping, nil, false
	case !again && r.ProducerEpoch != t.epoch:
		return kproto.ProducerFenced, nil, false
	case again && t.state == outcomeOf(r.Commit):
		id, epoch := t.producerID, t.epoch
		return kproto.None, func() { reply(id, epoch, kproto.None) }, false
	case again || t.state != Ongoing && r.Commit:
		return kproto.InvalidTxnState, nil, false
	case t.exhausted() && fresh < 0:
		return kproto.None, nil, true
	}
	next := t.entry
	next.version, next.lastEpoch, next.nextID = Version2, t.epoch, -1
	next.epoch = min(t.epoch, math.MaxInt16-1) + 1
	if t.exhausted() {
		next.nextID = fresh
	}
	if t.state != Ongoing { // nothing was written: only the epoch changes
		next.startMillis = s.now()
	}
	return kproto.None, s.prepareLocked(t, next, r.Commit, func(code kproto.ErrorCode) {
		switch {
		case code != kproto.None:
			reply(-1, -1, code)
		case next.nextID >= 0:
			reply(next.nextID, 0, kproto.None)
		default:
			reply(next.producerID, next.epoch, kproto.None)
		}
	}), false
}

// outcomeOf is the state of a complete transaction.
func outcomeOf(commit bool) State {
	if commit {
		return CompleteCommit
	}
	return CompleteAbort
}

// prepareLocked decides a transaction; next is what the id will be but for the state. reply runs without the lock.
func (s *shard) prepareLocked(t *transaction, next entry, commit bool, reply func(kproto.ErrorCode)) func() {
	next.state = PrepareAbort
	if commit {
		next.state = PrepareCommit
	}
	return s.write(t, next, func(code kproto.ErrorCode) func() {
		if code == kproto.None {
			s.markLocked(t)
		}
		return func() { reply(code) }
	})
}

// markLocked writes the markers of a decided transaction, on a goroutine, and then completes it. REQUIRES: the shard is not closed.
func (s *shard) markLocked(t *transaction) {
	m := Markers{t.producerID, t.epoch, s.epoch, t.state == PrepareCommit, t.version, t.partitions}
	s.c.running.Go(func() {
		if err := s.c.opts.WriteMarkers(s.ctx, m); err != nil {
			if s.ctx.Err() == nil {
				s.c.opts.Logger.Warn("transactions: markers not written: another coordinator is at work", "id", t.id, "epoch", s.epoch, "cause", err)
			}
			return // the next coordinator goes on
		}
		s.complete(t)
	})
}

// completeRetry is the pause before the record that completes a transaction is tried again.
const completeRetry = 100 * time.Millisecond

func (s *shard) complete(t *transaction) {
	for {
		outcome := make(chan kproto.ErrorCode, 1)
		code := s.serve(func() (kproto.ErrorCode, func()) {
			next := t.entry
			next.partitions, next.state = nil, outcomeOf(t.state == PrepareCommit)
			if next.nextID >= 0 {
				next.producerID, next.epoch, next.nextID = next.nextID, 0, -1
			}
			return kproto.None, s.write(t, next, func(code kproto.ErrorCode) func() {
				outcome <- code
				return nil
			})
		})
		if code == kproto.None {
			select {
			case code = <-outcome:
			case <-s.ctx.Done():
				return
			}
		}
		if code == kproto.None || s.ctx.Err() != nil {
			return
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(completeRetry):
		}
	}
}

// late says that a transaction is open for longer than its producer allowed.
func (t *transaction) late(now int64) bool {
	return t.state == Ongoing && now-t.startMillis > int64(t.timeoutMillis)
}

// AbortTimedOut aborts the transactions that are open for longer than their producer allowed, and fences the producers. It may block in Options.NewID.
func (c *Coordinator) AbortTimedOut() {
	c.each(func(s *shard, t *transaction, now int64) func() {
		if !t.late(now) {
			return nil
		}
		c.opts.Logger.Info("transactions: aborted, its time is up", "id", t.id, "producer", t.producerID, "epoch", t.epoch, "timeout_ms", t.timeoutMillis)
		if !t.exhausted() {
			return s.fenceLocked(t, -1, func() {})
		}
		return func() {
			s.serveWithID(s.ctx, func(fresh int64) (kproto.ErrorCode, func(), bool) {
				switch {
				case t.busy || !t.late(s.now()):
					return kproto.None, nil, false
				case fresh < 0:
					return kproto.None, nil, true
				}
				return kproto.None, s.fenceLocked(t, fresh, func() {}), false
			}, func(code kproto.ErrorCode) {
				c.opts.Logger.Warn("transactions: abort put off, no producer id", "id", t.id, "cause", code)
			})
		}
	})
}

// Expire drops the ids that were not used for Options.Expiration and have no open transaction.
func (c *Coordinator) Expire() {
	c.each(func(s *shard, t *transaction, now int64) func() {
		idle := t.state == Empty || t.state == CompleteCommit || t.state == CompleteAbort
		if !idle || t.epoch < 0 || now-t.updateMillis < c.opts.Expiration.Milliseconds() {
			return nil
		}
		t.busy = true
		return func() {
			s.log.Append(encode(t.id, nil, now, c.opts.Version()), func(err error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				t.busy = false
				if s.outcome(err) == kproto.None {
					delete(s.ids, t.id)
				}
			})
		}
	})
}

// each runs fn under the lock for every id that is not busy, and then what it returns.
func (c *Coordinator) each(fn func(s *shard, t *transaction, now int64) (after func())) {
	c.shards.Each(func(s *shard) {
		var steps []func()
		s.serve(func() (kproto.ErrorCode, func()) {
			now := s.now()
			for _, t := range s.ids {
				if t.busy {
					continue
				}
				if step := fn(s, t, now); step != nil {
					steps = append(steps, step)
				}
			}
			return kproto.None, nil
		})
		for _, step := range steps {
			step()
		}
	})
}
