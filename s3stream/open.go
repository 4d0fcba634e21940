package s3stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/wal"
)

// Replay receives what OpenStream found, before OpenStream returns. An error ends the opening and is returned.
type Replay struct {
	// Opened is called first, once.
	Opened func(Opened) error
	// Record is called for each record at or after Opened.CheckpointOffset, in offset order. The payload is valid only during the call. Records
	// below Opened.Start are left out; there are such behind the checkpoint only if the newest upload had to do without the owner
	// (Options.TailGrace) and the stream was trimmed since.
	Record func(Record) error
	// Digest, if it is set, is called at most once, after Record: it stands for the records of a recovered tail, of which those from offset from on are
	// to be taken, up to Opened.Next; Record is called for those before it only. It is made by Options.Digest.
	Digest func(d Digest, from int64)
}

// OpenStream makes this node the writer of a stream with an epoch, hands the newest checkpoint and the records behind it to replay, and
// then returns the stream. An earlier Stream of the same id and a lower epoch is fenced. owner may be nil (no checkpoints); it is not called
// before replay is done. Errors: ErrFenced, ErrNotFound, ErrDataLoss, ErrFull (the WAL has no room for the note that an old tail is void), ErrClosed.
//
// A crash leaves the stream open in the metadata with this epoch; the next OpenStream, here or elsewhere, needs a higher one, or
// the same from this node.
func (s *Storage) OpenStream(ctx context.Context, id StreamID, epoch int64, owner Owner, replay Replay) (*Stream, Opened, error) {
	return s.openFrom(ctx, id, epoch, owner, replay, nil)
}

// openFrom is OpenStream, or TakeOverStream with a source.
func (s *Storage) openFrom(ctx context.Context, id StreamID, epoch int64, owner Owner, replay Replay, source Source) (*Stream, Opened, error) {
	fail := func(err error) (*Stream, Opened, error) {
		return nil, Opened{}, fmt.Errorf("s3stream: open stream %d at epoch %d: %w", id, epoch, err)
	}
	t, err := s.beginOpen(ctx, id, epoch)
	if err != nil {
		return fail(err)
	}
	st, opened, err := s.openTail(ctx, t, epoch, owner, replay, source)
	t.mu.Lock()
	t.mu.opening = false
	if t.mu.taking != nil && !t.mu.taking.asked {
		t.mu.taking = nil
	}
	if err == nil {
		if t.mu.dropped {
			err = ErrNotFound
		} else {
			t.mu.stream, t.mu.taking, t.mu.digest = st, nil, nil
		}
	}
	t.mu.Unlock()
	s.durable.wake()
	s.changes.wake()
	s.kick(s.wakeUploader)
	if err != nil {
		s.forget([]*tail{t})
		return fail(err)
	}
	if s.closing.Load() {
		st.state.Store(int32(streamClosing))
	}
	return st, opened, nil
}

// beginOpen fences an earlier Stream and waits until its appends have come to an end.
func (s *Storage) beginOpen(ctx context.Context, id StreamID, epoch int64) (*tail, error) {
	if s.closing.Load() {
		return nil, ErrClosed
	}
	if s.failure.Load() != nil {
		return nil, s.failedError()
	}
	s.streams.Lock()
	t := s.streams.tails[id]
	if t == nil {
		t = &tail{id: id}
		t.mu.end, t.mu.epoch = -1, -1
		s.streams.tails[id] = t
	}
	t.mu.Lock()
	old := t.mu.stream
	var err error
	switch {
	case t.mu.opening:
		err = errors.New("it is being opened already")
	case old != nil && old.epoch > epoch, old != nil && old.epoch == epoch && streamState(old.state.Load()) == streamOpen:
		err = fmt.Errorf("%w: epoch %d is open on this node", ErrFenced, old.epoch)
	default:
		t.mu.opening = true
		if old != nil {
			old.fenceLocked()
		}
	}
	end := t.mu.end
	t.mu.Unlock()
	s.streams.Unlock()
	if err != nil {
		return nil, err
	}
	if old != nil {
		if err := s.settled(ctx, old, end); err != nil {
			t.mu.Lock()
			t.mu.opening = false
			t.mu.Unlock()
			return nil, err
		}
	}
	return t, nil
}

// settled waits until everything that was appended to a stream that takes no more appends is durable.
func (s *Storage) settled(ctx context.Context, st *Stream, end int64) error {
	err := s.durable.wait(ctx, func() bool {
		return st.confirmed.Load() >= end || st.failed.Load() || s.failure.Load() != nil
	})
	if err != nil {
		return err
	}
	if st.confirmed.Load() < end {
		return s.failedError()
	}
	return nil
}

// own makes this node the owner of the stream. The handover is nil unless there was a source.
func (s *Storage) own(ctx context.Context, t *tail, epoch int64, source Source) (StreamInfo, *Handover, error) {
	if source != nil {
		return s.takeOver(ctx, t, epoch, source)
	}
	if err := s.voidStale(ctx, t, epoch); err != nil {
		return StreamInfo{}, nil, err
	}
	info, err := s.meta.OpenStream(ctx, t.id, epoch)
	return info, nil, err
}

func (s *Storage) openTail(ctx context.Context, t *tail, epoch int64, owner Owner, replay Replay, source Source) (*Stream, Opened, error) {
	info, handed, err := s.own(ctx, t, epoch, source)
	if err != nil {
		return nil, Opened{}, err
	}
	if info.Deleted {
		return nil, Opened{}, ErrNotFound
	}
	t.mu.Lock()
	next, err := t.settleLocked(info.Start, info.End)
	t.mu.Unlock()
	if err != nil {
		return nil, Opened{}, err
	}
	opened := Opened{Start: info.Start, Next: next}
	if handed != nil && next < handed.Next {
		return nil, Opened{}, &DataLossError{Stream: t.id, Expected: next, Found: handed.Next}
	}
	if handed != nil && handed.Checkpoint != nil {
		opened.Checkpoint, opened.CheckpointOffset = handed.Checkpoint, handed.Next
	} else if opened.Checkpoint, opened.CheckpointOffset, err = s.checkpoint(ctx, t.id, info.End); err != nil {
		return nil, Opened{}, err
	}
	if opened.CheckpointOffset > next {
		// The checkpoint was committed only after everything below it was durable in the WAL of the writer.
		return nil, Opened{}, &DataLossError{Stream: t.id, Expected: next, Found: opened.CheckpointOffset}
	}
	if replay.Opened != nil {
		if err := replay.Opened(opened); err != nil {
			return nil, Opened{}, err
		}
	}
	if replay.Record != nil {
		from, to := max(opened.CheckpointOffset, info.Start), next
		digest := t.digested(info.Start, next)
		if digest != nil && replay.Digest != nil {
			to = digest.first
		}
		if err := s.scan(ctx, t, from, to, replay.Record); err != nil {
			return nil, Opened{}, fmt.Errorf("replay from offset %d: %w", from, err)
		}
		if to < next {
			replay.Digest(digest.d, max(from, to))
		}
	}
	st := &Stream{id: t.id, epoch: epoch, storage: s, tail: t, owner: owner}
	st.confirmed.Store(next)
	st.start.Store(info.Start)
	st.trimmed.Store(info.Start)
	st.cleaned.Store(info.Cleaned)
	return st, opened, nil
}

// voidStale drops the tail when another node has written the stream since. A note in the WAL keeps it dropped: the metadata will show this
// node as the owner from now on, and the next recovery could not tell any more.
//
// After a crash the note is there, or the metadata still shows the other node: never neither.
func (s *Storage) voidStale(ctx context.Context, t *tail, epoch int64) error {
	before, ok := s.meta.Stream(t.id)
	if !ok || before.Node == s.opts.NodeID || before.Node < 0 {
		return nil
	}
	t.mu.Lock()
	stale := t.mu.end
	if stale <= before.End { // what is in the WAL is below the committed end for ever
		t.voidLocked()
		t.mu.end, t.mu.lost = -1, nil
	}
	t.mu.Unlock()
	if stale <= before.End {
		return nil
	}
	c := &voidNote{done: make(chan error, 1)}
	h := header{kind: kindVoid, stream: t.id, epoch: epoch}
	h.put(&c.head, nil)
	s.turn.RLock()
	e, err := s.log.Append(c, c.head[:], nil)
	s.turn.RUnlock()
	if err != nil {
		return s.appendError(err)
	}
	e.Mem.Unref()
	select {
	case err := <-c.done:
		if err != nil {
			return s.appendError(err)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	t.mu.Lock()
	t.voidLocked()
	t.mu.end, t.mu.lost = -1, nil
	t.mu.Unlock()
	s.logger.Warn("stream was written by another node: the end of its old tail here is void", "stream", t.id, "node", before.Node,
		"committed_end", before.End, "tail_end", stale)
	return nil
}

// voidNote is the completion of a kindVoid record.
type voidNote struct {
	head [headerSize]byte
	done chan error // capacity 1
}

func (c *voidNote) Durable(_ wal.Position, err error) { c.done <- err }
