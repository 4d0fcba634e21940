package partition

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// Waiter is told that the partitions that it watches may have something new. Ready may be called from any goroutine, more often
// than needed and shortly after Unwatch; it must not block.
type Waiter interface{ Ready() }

// Watch is a waiter's place in a partition's list. The zero value is unused; it must not move while in use.
type Watch struct {
	waiter     Waiter
	partition  *Partition
	prev, next *Watch
}

// waiters is a partition's list of watches. mu is a leaf lock.
type waiters struct {
	count atomic.Int32 // read without mu to skip an empty list
	mu    struct {
		sync.Mutex
		head *Watch
	}
}

// Watch calls w.Ready each time the high watermark or the log start moves or the leadership ends, until Unwatch.
func (p *Partition) Watch(at *Watch, w Waiter) {
	at.waiter, at.partition = w, p
	p.waiters.mu.Lock()
	at.prev, at.next = nil, p.waiters.mu.head
	if at.next != nil {
		at.next.prev = at
	}
	p.waiters.mu.head = at
	p.waiters.mu.Unlock()
	p.waiters.count.Add(1)
}

// Unwatch ends a Watch. Not watching is fine.
func (w *Watch) Unwatch() {
	p := w.partition
	if p == nil {
		return
	}
	p.waiters.mu.Lock()
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		p.waiters.mu.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	p.waiters.mu.Unlock()
	p.waiters.count.Add(-1)
	*w = Watch{}
}

func (ws *waiters) wake() {
	if ws.count.Load() == 0 {
		return
	}
	ws.mu.Lock()
	for w := ws.mu.head; w != nil; w = w.next {
		w.waiter.Ready()
	}
	ws.mu.Unlock()
}

// ErrCold says that the offset is not in memory: ReadCold answers, from a goroutine that may block.
var ErrCold = s3stream.ErrCold

// Position is a partition's offsets as a fetch response shows them.
type Position struct {
	HighWatermark, LastStable, LogStart int64
}

// end is where a reader ends: the last stable offset, when it wants committed records only.
func (pos Position) end(committed bool) int64 {
	if committed {
		return pos.LastStable
	}
	return pos.HighWatermark
}

// Read appends whole batches from offset on to dst, at most maxBytes of them (but the first one in any case when atLeastOne), up to
// the high watermark, or to the last stable offset when committed. It serves from memory only: ErrCold when the offset is not there. The caller releases the slices.
func (p *Partition) Read(dst []s3stream.Slice, offset int64, maxBytes int, atLeastOne, committed bool) ([]s3stream.Slice, Position, kproto.ErrorCode, error) {
	pos, code := p.admit(offset)
	if code != kproto.None || offset >= pos.end(committed) {
		return dst, pos, code, nil
	}
	out, err := p.stream.Read(dst, offset, pos.end(committed), maxBytes, atLeastOne)
	if err != nil && !errors.Is(err, ErrCold) {
		return dst, pos, readError(err), nil
	}
	return out, pos, kproto.None, err
}

// ReadCold is Read from the object store.
func (p *Partition) ReadCold(ctx context.Context, offset int64, maxBytes int, atLeastOne, committed bool) ([]s3stream.Slice, Position, kproto.ErrorCode, error) {
	pos, code := p.admit(offset)
	if code != kproto.None || offset >= pos.end(committed) {
		return nil, pos, code, nil
	}
	out, err := p.stream.ReadCold(ctx, offset, pos.end(committed), maxBytes, atLeastOne)
	if err != nil {
		if c := readError(err); c != kproto.KafkaStorageError {
			return nil, pos, c, nil
		}
		return nil, pos, kproto.KafkaStorageError, err
	}
	return out, pos, kproto.None, nil
}

// admit checks an offset against the log's ends.
func (p *Partition) admit(offset int64) (Position, kproto.ErrorCode) {
	if p.closed.Load() {
		return Position{-1, -1, -1}, kproto.NotLeaderOrFollower
	}
	hw := p.stream.Confirmed()
	pos := Position{HighWatermark: hw, LastStable: p.stable(hw), LogStart: p.stream.Start()}
	if offset < pos.LogStart || (offset > hw && offset > p.LogEnd()) {
		return pos, kproto.OffsetOutOfRange
	}
	return pos, kproto.None
}

func readError(err error) kproto.ErrorCode {
	switch {
	case errors.Is(err, s3stream.ErrOutOfRange):
		return kproto.OffsetOutOfRange
	case errors.Is(err, s3stream.ErrFenced), errors.Is(err, s3stream.ErrClosed):
		return kproto.NotLeaderOrFollower
	}
	return kproto.KafkaStorageError
}

// CheckEpoch fences a request that names the leader epoch it believes in; -1 is not checked.
func (p *Partition) CheckEpoch(epoch int32) kproto.ErrorCode {
	switch {
	case epoch < 0 || epoch == p.LeaderEpoch:
		return kproto.None
	case epoch < p.LeaderEpoch:
		return kproto.FencedLeaderEpoch
	}
	return kproto.UnknownLeaderEpoch
}
