package s3stream

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ringmq/ringmq/wal"
)

// completion carries one append through the WAL. It is pooled: Durable gives it back.
type completion struct {
	head   [headerSize]byte // the record's header, borrowed by wal.Append
	stream *Stream
	next   int64
	done   Done
}

// Durable implements wal.Completion. It runs on the WAL's completion goroutine, in append order.
func (c *completion) Durable(_ wal.Position, err error) {
	st, next, done := c.stream, c.next, c.done
	s := st.storage
	c.stream, c.done = nil, nil
	s.completions.Put(c)
	if err == nil {
		st.confirmed.Store(next)
		if st.owner != nil {
			st.owner.Confirmed(next)
		}
	} else {
		err = s.appendError(err)
		st.failed.Store(true)
	}
	if done != nil {
		done.Appended(err)
	}
	s.durable.wake()
}

// appendError turns an error of the WAL into one of this package and takes the note that it deserves.
func (s *Storage) appendError(err error) error {
	switch {
	case errors.Is(err, wal.ErrFull):
		s.refuse()
		s.kick(s.wakeUploader)
		s.kick(s.wakeKeeper)
		return ErrFull
	case errors.Is(err, wal.ErrNoMemory):
		s.short.Store(true)
		s.refuse()
		s.kick(s.wakeKeeper)
		return ErrFull
	case errors.Is(err, wal.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, wal.ErrClosed):
		return ErrClosed
	}
	s.fail(err)
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

func (s *Storage) refuse() {
	s.count.refused.Add(1)
	s.hungry.Store(true)
	s.changes.wake()
}

// space tells the caller of a refused append that another attempt may succeed.
func (s *Storage) space() {
	if s.hungry.CompareAndSwap(true, false) {
		s.opts.OnSpace()
	}
}

// Append makes r the next record of the stream: r.First must be where the last one ended. It never blocks; the payload is copied
// before it returns. done (may be nil) is called once unless Append fails. Errors: ErrFull (try again after Options.OnSpace),
// ErrTooLarge, ErrFenced, ErrClosed, ErrFailed, ErrOutOfRange.
//
// A crash before done is called leaves the record in the WAL or not; after it, certainly.
func (st *Stream) Append(r Record, done Done) error {
	s, t := st.storage, st.tail
	if r.Next <= r.First || r.Next-r.First > math.MaxUint32 || int64(len(r.Payload)) > maxPayload {
		return fmt.Errorf("%w: stream %d: record of %d bytes for offsets %d to %d", ErrTooLarge, st.id, len(r.Payload), r.First, r.Next)
	}
	c := s.completions.Get().(*completion)
	c.stream, c.next, c.done = st, r.Next, done
	h := header{kind: kindData, stream: st.id, epoch: st.epoch, first: r.First, next: r.Next, maxTimestamp: r.MaxTimestamp}
	h.put(&c.head, r.Payload)

	s.turn.RLock()
	t.mu.Lock()
	err := st.appendableLocked(r.First)
	var pos wal.Position
	if err == nil {
		var e wal.Entry
		if e, err = s.log.Append(c, c.head[:], r.Payload); err == nil {
			pos = e.Pos
			s.addLocked(t, s.active, &h, e, time.Time{})
		} else {
			err = s.appendError(err)
		}
	}
	t.mu.Unlock()
	s.turn.RUnlock()

	if err != nil {
		c.stream, c.done = nil, nil
		s.completions.Put(c)
		return err
	}
	s.count.appends.Add(1)
	s.count.appendedBytes.Add(int64(len(r.Payload)))
	s.appended(pos)
	return nil
}

// appendableLocked says why the stream takes no record at offset first. tail.mu is held.
func (st *Stream) appendableLocked(first int64) error {
	switch state := streamState(st.state.Load()); {
	case state == streamFenced:
		return ErrFenced
	case state != streamOpen:
		return ErrClosed
	case st.failed.Load() || st.storage.failure.Load() != nil:
		return st.storage.failedError()
	case first != st.tail.mu.end:
		return fmt.Errorf("%w: append at offset %d, stream %d ends at %d", ErrOutOfRange, first, st.id, st.tail.mu.end)
	}
	return nil
}

// addLocked puts a record that is in the WAL into the log cache. tail.mu is held, and turn for reading unless during recovery.
func (s *Storage) addLocked(t *tail, g *segment, h *header, e wal.Entry, created time.Time) {
	var p *part
	if n := len(t.mu.parts); n > 0 && t.mu.parts[n-1].seg == g {
		p = t.mu.parts[n-1]
	} else {
		p = &part{tail: t, seg: g}
		t.mu.parts = append(t.mu.parts, p)
		if created.IsZero() {
			created = s.opts.Now()
		}
		g.add(p, created)
		s.cached.index.Add(partBytes)
	}
	size := int64(len(e.Data) - headerSize)
	en := entry{first: h.first, next: h.next, maxTimestamp: h.maxTimestamp, block: e.Block, size: size}
	if e.Mem != nil {
		en.data, en.mem = e.Data[headerSize:len(e.Data):len(e.Data)], e.Mem
		s.cached.payload.Add(size)
	} else {
		g.device.Add(size)
		s.cached.device.Add(size)
	}
	p.add(en, &s.pages)
	s.cached.index.Add(entryBytes)
	p.epoch = h.epoch
	t.mu.end, t.mu.epoch = h.next, h.epoch
	s.cached.pending.Add(size)
	g.bytes.Add(size)
}

// appended wakes the background work when an append has made some: a segment is full, or memory or the WAL fills up.
func (s *Storage) appended(pos wal.Position) {
	if int64(pos) >= s.keepAt.Load() {
		s.kick(s.wakeKeeper)
	}
}
