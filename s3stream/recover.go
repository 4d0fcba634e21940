package s3stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ringmq/ringmq/wal"
)

// DataLossError says which records of a stream are missing between what the object store has and what the WAL has. It matches ErrDataLoss.
type DataLossError struct {
	Stream StreamID
	// Acknowledged records with the offsets [Expected, Found) are in no object and not in this node's WAL.
	Expected, Found int64
}

func (e *DataLossError) Error() string {
	return fmt.Sprintf("s3stream: acknowledged records are missing: stream %d: objects end at offset %d, the next record in the write-ahead log begins at %d",
		e.Stream, e.Expected, e.Found)
}

// Is makes errors.Is(err, ErrDataLoss) true.
func (e *DataLossError) Is(target error) bool { return target == ErrDataLoss }

// recovery sums up what the WAL held, for the log line.
type recovery struct {
	s                          *Storage
	records, committed, voided int64
	bytes                      int64
	ends                       map[StreamID]int64 // committed end in the metadata, by stream; -1: deleted
}

// recover reads the WAL and rebuilds the tails.
//
// Records below the committed end of their stream are dropped: they are in objects, a crash came between commit and trim. The
// others stay as sealed segments for the uploader. Whether they join the committed end is judged when the stream is opened, because only
// then this node is known to be its writer.
func (s *Storage) recover(ctx context.Context) error {
	began := time.Now()
	r := &recovery{s: s, ends: make(map[StreamID]int64)}
	if err := s.log.Recover(ctx, r.entry); err != nil {
		s.release()
		return fmt.Errorf("s3stream: recover: %w", err)
	}
	s.rotate()
	for id := range r.ends {
		s.Disown(id)
	}
	s.trim()
	st := s.log.Stats()
	s.logger.Info("write-ahead log recovered", "records", r.records, "bytes", r.bytes, "already_uploaded", r.committed, "void", r.voided,
		"streams", len(s.streams.tails), "mode", string(st.Mode), "took", time.Since(began))
	return nil
}

// entry takes one record of the WAL. It owns e.Mem.
func (r *recovery) entry(e wal.Entry) error {
	s := r.s
	kept := false
	defer func() {
		if !kept && e.Mem != nil {
			e.Mem.Unref()
		}
	}()
	h, payload, err := decodeHeader(e.Data) // the WAL has just verified the bytes
	if err != nil {
		return fmt.Errorf("position %d: %w", e.Pos, err)
	}
	r.records++
	r.bytes += int64(len(e.Data))
	end, known := r.ends[h.stream]
	if !known {
		if info, ok := s.meta.Stream(h.stream); ok {
			if end = info.End; info.Deleted {
				end = -1
			}
		}
		r.ends[h.stream] = end
	}
	if end < 0 {
		r.voided++
		return nil
	}
	t := s.tail(h.stream)
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.kind == kindVoid {
		t.voidLocked()
		t.mu.end, t.mu.epoch, t.mu.lost = -1, h.epoch, nil
		return nil
	}
	if h.next <= end {
		r.committed++
		return nil
	}
	if s.active.bytes.Load() >= s.opts.UploadBytes {
		s.sealAt(e.Pos)
	}
	switch {
	case len(t.mu.parts) == 0 || t.mu.end == h.first:
	case h.epoch > t.mu.epoch:
		// Opened again elsewhere and then here: the new writer began at the committed end, so what it did not continue is void.
		t.voidLocked()
		t.mu.lost = nil
	case h.first < t.mu.end:
		return fmt.Errorf("%w: stream %d: record for offsets %d to %d of epoch %d at position %d follows offset %d of epoch %d",
			errRecord, h.stream, h.first, h.next, h.epoch, e.Pos, t.mu.end, t.mu.epoch)
	case t.mu.lost == nil:
		t.mu.lost = &DataLossError{Stream: h.stream, Expected: t.mu.end, Found: h.first}
	}
	s.addLocked(t, s.active, &h, e, s.opts.Now())
	s.digestLocked(t, &h, payload)
	kept = e.Mem != nil
	return nil
}

// gaps returns, for each stream of this node of which the WAL has records that do not join what the object store has, what is missing in between; nil if there is none.
func (s *Storage) gaps() error {
	var found []error
	for _, id := range slices.Sorted(maps.Keys(s.streams.tails)) {
		info, ok := s.meta.Stream(id)
		if !ok || info.Deleted || info.Node != s.opts.NodeID {
			continue // dropped, or written by another node since
		}
		t := s.streams.tails[id]
		t.mu.Lock()
		if len(t.mu.parts) > 0 {
			if _, err := t.settleLocked(info.Start, info.End); err != nil {
				found = append(found, err)
			}
		}
		t.mu.Unlock()
	}
	return errors.Join(found...)
}

// sealAt is rotate during recovery: the next segment begins at pos.
func (s *Storage) sealAt(pos wal.Position) {
	g := s.active
	g.end = pos
	s.active = &segment{first: pos}
	s.segments.sealed = append(s.segments.sealed, g)
	s.pendingSegments.Add(1)
}

// settleLocked joins a recovered (or left behind) tail to the committed end of its stream and returns the next offset to append. tail.mu is held.
//
//	tail ends before the committed end          nothing of it is needed: void
//	tail holds the committed end, or begins there   it continues the stream
//	tail begins behind the committed end        DataLossError
func (t *tail) settleLocked(start, end int64) (next int64, err error) {
	if l := t.mu.lost; l != nil && l.Found > end {
		return 0, &DataLossError{Stream: t.id, Expected: max(l.Expected, end), Found: l.Found}
	}
	if len(t.mu.parts) == 0 || t.mu.end < end {
		t.voidLocked()
		t.mu.end = max(start, end)
		return t.mu.end, nil
	}
	if first := t.mu.parts[0].start; first > end {
		// Records below the start may be missing: retention or DeleteRecords has removed them.
		if first > start {
			return 0, &DataLossError{Stream: t.id, Expected: max(start, end), Found: first}
		}
	}
	return t.mu.end, nil
}
