package group

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// shard is the groups of one partition of __consumer_offsets, for one term of leadership.
//
//	loading ──► active ──► closed
//	   └──────────────────────▲
type shard struct {
	opts      *Options
	partition int32
	epoch     int32 // leader epoch
	log       Log
	base      time.Time   // deadlines count from here, on the monotonic clock
	gone      atomic.Bool // set when the shard is to close; stops a replay that is under way

	mu     sync.Mutex // guards everything below, and the groups with all they hold
	state  shardState
	groups map[string]*group
	shares map[string]*shareGroup // share groups; no name is in both
	timers timers
	wake   struct { // the clock's call that ends the wait for timers[0]
		Timer
		at time.Duration // when it comes, since base; meaningful while Timer is not nil
	}
	out          outbox
	txns         map[int64]map[*group]bool // groups with offsets in an open transaction, by producer id
	deleted      []string                  // topics that were deleted while the shard was loading
	memberCount  int                       // members of all groups
	offsetsCount int                       // committed offsets of all groups
}

type shardState uint8

const (
	shardLoading shardState = iota
	shardActive
	shardClosed
)

func newShard(opts *Options, partition, epoch int32, log Log) *shard {
	return &shard{opts: opts, partition: partition, epoch: epoch, log: log, base: opts.Clock.Now()}
}

// turn is one change of a shard, made under its lock. What must not happen under the lock is put off to its end.
type turn struct {
	s     *shard
	now   time.Time
	after []func() // replies and log lines
}

// reply puts off a call to the end of the turn.
func (t *turn) reply(f func()) { t.after = append(t.after, f) }

// logf puts off a log line to the end of the turn.
func (t *turn) logf(level slog.Level, msg string, args ...any) {
	logger := t.s.opts.Logger
	if logger.Enabled(context.Background(), level) {
		t.after = append(t.after, func() { logger.Log(context.Background(), level, msg, args...) })
	}
}

func (t *turn) nowMillis() int64 { return t.now.UnixMilli() }

// setTimer lets tm fire d from now.
func (t *turn) setTimer(tm *timer, d time.Duration) { t.s.timers.set(tm, t.now.Sub(t.s.base)+d) }
func (t *turn) stopTimer(tm *timer)                 { t.s.timers.stop(tm) }

// run makes a change: fn runs under the lock; records, replies and log lines leave after it.
func (s *shard) run(fn func(t *turn)) {
	t := turn{s: s}
	if s.change(&t, fn) {
		s.flush()
	}
	for _, f := range t.after {
		f()
	}
}

// change is the part of a turn under the lock. It reports whether there is something to flush.
func (s *shard) change(t *turn, fn func(t *turn)) bool {
	s.mu.Lock()
	defer s.mu.Unlock() // also when fn panics: one broken request must not block the others
	t.now = s.opts.Clock.Now()
	fn(t)
	s.armLocked(t.now.Sub(s.base))
	return len(s.out.queue) > 0 && !s.out.flushing
}

// serve is run for a request: it answers with a code, and without fn, when the shard does not serve.
func (s *shard) serve(fn func(t *turn)) (code int16) {
	s.run(func(t *turn) {
		switch s.state {
		case shardLoading:
			code = codeCoordinatorLoading
		case shardClosed:
			code = codeNotCoordinator
		default:
			fn(t)
		}
	})
	return code
}

// armLocked asks the clock for a call at the first deadline.
func (s *shard) armLocked(now time.Duration) {
	if s.state != shardActive || len(s.timers) == 0 {
		if s.wake.Timer != nil {
			s.wake.Stop()
			s.wake.Timer = nil
		}
		return
	}
	at := s.timers[0].at
	if s.wake.Timer != nil {
		if s.wake.at <= at {
			return // early at worst; the call arms again
		}
		s.wake.Stop()
	}
	s.wake.at = at
	s.wake.Timer = s.opts.Clock.AfterFunc(max(at-now, 0), func() { s.run(s.fireLocked) })
}

// fireLocked runs the timers that are due.
func (s *shard) fireLocked(t *turn) {
	if s.state != shardActive {
		return
	}
	if s.wake.Timer != nil {
		s.wake.Stop() // of use only when this call is not the one it stands for
		s.wake.Timer = nil
	}
	now := t.now.Sub(s.base)
	for tm := s.timers.due(now); tm != nil; tm = s.timers.due(now) {
		tm.fire(t)
	}
}

// close ends the shard: whatever waits in it is answered NOT_COORDINATOR. Batches that are being appended are still
// answered by their outcome.
func (s *shard) close() {
	s.gone.Store(true)
	s.run(func(t *turn) {
		if s.state == shardClosed {
			return
		}
		s.state = shardClosed
		for _, g := range s.groups {
			g.abandon(t, codeNotCoordinator)
		}
		queue := s.out.queue
		s.out.queue = nil
		for _, o := range queue {
			o.err = ErrNotCoordinator
			if o.batches == 0 { // else the batches on their way answer
				o.done(t, o.err)
			}
		}
		s.groups, s.shares, s.timers, s.txns, s.deleted = nil, nil, nil, nil, nil
	})
}
