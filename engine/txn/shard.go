package txn

import (
	"context"
	"errors"
	"sync"

	"github.com/ringmq/ringmq/engine/kproto"
)

// shard is the transactional ids of one partition of __transaction_state, for one term of leadership.
type shard struct {
	c         *Coordinator
	partition int32
	epoch     int32 // leader epoch, which markers carry as the coordinator's
	log       Log
	ctx       context.Context // ends with the shard
	cancel    context.CancelFunc

	mu      sync.Mutex // guards everything below, and the transactions
	serving bool
	closed  bool
	ids     map[string]*transaction
}

// transaction is one transactional id.
type transaction struct {
	id string
	entry
	busy    bool      // a record is on its way into the log
	waiters []*waiter // see awaitLocked
}

// deciding says that another step for the id is under way, or its transaction is decided and not complete.
func (t *transaction) deciding() bool {
	return t.busy || t.state == PrepareCommit || t.state == PrepareAbort
}

func newShard(c *Coordinator, partition, epoch int32, log Log) *shard {
	s := &shard{c: c, partition: partition, epoch: epoch, log: log, ids: make(map[string]*transaction)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *shard) now() int64 { return s.c.opts.Now().UnixMilli() }

func (s *shard) load(replay Replay) error {
	ids := make(map[string]*transaction)
	broken := 0
	var first error
	err := replay(func(key, value []byte, _ int64) error {
		if s.ctx.Err() != nil {
			return ErrNotCoordinator
		}
		id, ok, err := decodeKey(key)
		if err == nil && ok {
			if value == nil {
				delete(ids, id)
				return nil
			}
			var e *entry
			if e, err = decodeValue(value); err == nil {
				ids[id] = &transaction{id: id, entry: *e}
			}
		}
		if err != nil {
			if broken++; first == nil {
				first = err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if broken > 0 {
		s.c.opts.Logger.Error("transactions: unreadable records left out", "partition", s.partition, "records", broken, "first", first)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrNotCoordinator
	}
	s.ids, s.serving = ids, true
	for _, t := range ids {
		if t.state == PrepareCommit || t.state == PrepareAbort {
			s.markLocked(t)
		}
	}
	if len(ids) > 0 {
		s.c.opts.Logger.Info("transactions: partition loaded", "partition", s.partition, "epoch", s.epoch, "ids", len(ids))
	}
	return nil
}

func (s *shard) close() {
	s.mu.Lock()
	s.closed, s.serving = true, false
	var waiters []*waiter
	for _, t := range s.ids {
		waiters = append(waiters, t.waiters...)
		t.waiters = nil
	}
	s.mu.Unlock()
	s.cancel()
	wake(waiters)
}

// serve runs fn under the lock if the shard serves. fn returns what to do after the lock is released, or nil.
func (s *shard) serve(fn func() (code kproto.ErrorCode, after func())) kproto.ErrorCode {
	s.mu.Lock()
	if !s.serving {
		code := kproto.CoordinatorLoadInProgress
		if s.closed {
			code = kproto.NotCoordinator
		}
		s.mu.Unlock()
		return code
	}
	code, after := fn()
	s.mu.Unlock()
	if after != nil {
		after()
	}
	return code
}

// write returns the step that appends an id's next entry. The id is busy until done has run, under the lock; then t is what the record says. What done
// returns runs without the lock. A failure leaves t as it was: the record may be in the log all the same, and then counts for the next coordinator, which
// is as if the answer had been lost.
func (s *shard) write(t *transaction, next entry, done func(code kproto.ErrorCode) (after func())) func() {
	t.busy = true
	next.previousID, next.updateMillis = t.producerID, s.now()
	return func() {
		s.log.Append(encode(t.id, &next, next.updateMillis, s.c.opts.Version()), func(err error) {
			s.mu.Lock()
			t.busy = false
			code := s.outcome(err)
			if code == kproto.None {
				t.entry = next
			}
			after, waiters := done(code), t.waiters
			t.waiters = nil
			s.mu.Unlock()
			if after != nil {
				after()
			}
			wake(waiters)
		})
	}
}

func (s *shard) outcome(err error) kproto.ErrorCode {
	switch {
	case err == nil && !s.closed:
		return kproto.None
	case err == nil, errors.Is(err, ErrNotCoordinator):
		return kproto.NotCoordinator
	}
	return kproto.CoordinatorNotAvailable
}

// serveWithID is serve for a step that may need a new producer id: fn reports that, and is called again with one that is not negative. fail gets what
// serve returns otherwise.
func (s *shard) serveWithID(ctx context.Context, fn func(fresh int64) (code kproto.ErrorCode, after func(), needed bool), fail func(kproto.ErrorCode)) {
	fresh := int64(-1)
	for {
		needed := false
		code := s.serve(func() (kproto.ErrorCode, func()) {
			var after func()
			var code kproto.ErrorCode
			code, after, needed = fn(fresh)
			return code, after
		})
		if code == kproto.None && needed {
			if fresh, code = s.c.opts.NewID(ctx); code == kproto.None {
				continue
			}
		}
		if code != kproto.None {
			fail(code)
		}
		return
	}
}

// find returns the id if the caller is its current producer.
func (s *shard) find(id string, producerID int64, epoch int16) (*transaction, kproto.ErrorCode) {
	t := s.ids[id]
	switch {
	case t == nil || t.producerID != producerID:
		return nil, kproto.InvalidProducerIDMapping
	case t.epoch != epoch:
		return nil, kproto.ProducerFenced
	}
	return t, kproto.None
}
