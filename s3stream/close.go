package s3stream

import (
	"context"
	"errors"
	"fmt"
)

// Close refuses further appends, waits for those under way, uploads the tail, commits it and closes the stream in the metadata, so that another node can open
// it with nothing left here. Closing many streams at once costs few uploads: they share them. After an error the stream stays closed for appends, its tail
// is uploaded all the same, and Close may be called again.
//
// A crash leaves the stream open in the metadata, and its tail in the WAL or in objects.
func (st *Stream) Close(ctx context.Context) error {
	s, t := st.storage, st.tail
	t.mu.Lock()
	switch streamState(st.state.Load()) {
	case streamClosed:
		t.mu.Unlock()
		return nil
	case streamFenced:
		t.mu.Unlock()
		return ErrFenced
	}
	st.state.Store(int32(streamClosing))
	end := t.mu.end
	t.mu.Unlock()
	if err := s.settled(ctx, st, end); err != nil {
		return fmt.Errorf("s3stream: close stream %d: %w", st.id, err)
	}
	if t.pending(s) {
		if err := s.Flush(ctx); err != nil {
			return fmt.Errorf("s3stream: close stream %d: %w", st.id, err)
		}
	}
	err := s.meta.CloseStream(ctx, st.id, st.epoch)
	if err != nil && !errors.Is(err, ErrFenced) && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("s3stream: close stream %d: %w", st.id, err)
	}
	t.mu.Lock()
	if errors.Is(err, ErrFenced) {
		st.fenceLocked()
	} else {
		st.state.Store(int32(streamClosed))
	}
	if t.mu.stream == st {
		t.mu.stream = nil
	}
	t.mu.Unlock()
	s.forget([]*tail{t})
	if err != nil {
		return fmt.Errorf("s3stream: close stream %d: %w", st.id, err)
	}
	return nil
}

// pending reports whether the tail has records that are not uploaded.
func (t *tail) pending(s *Storage) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.mu.parts)
	if n == 0 {
		return false
	}
	g := t.mu.parts[n-1].seg
	s.segments.Lock()
	defer s.segments.Unlock()
	return !g.committed
}
