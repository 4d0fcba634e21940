package s3stream

import (
	"context"
	"errors"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/wal"
)

// upload brings sealed segments into the object store, one after the other, in WAL order. It retries for ever: while the store is away the WAL
// fills and nothing else happens to producers.
func (s *Storage) upload() {
	pause := s.opts.RetryMin
	var failing outage
	for s.ctx.Err() == nil && s.failure.Load() == nil {
		g := s.oldestPending()
		if g == nil {
			if s.hungry.Load() && s.rotate() {
				continue // the WAL is full of what the active segment has
			}
			select {
			case <-s.ctx.Done():
			case <-s.wakeUploader:
			}
			continue
		}
		s.awaitOpen(g)
		began := time.Now()
		sum, err := s.uploadSegment(g)
		if err == nil {
			pause = s.opts.RetryMin
			s.finishSegment(g)
			if sum.objects > 0 {
				if s.limiter.reset("upload") {
					s.logger.Info("uploads work again", "bucket", s.bucket.Name(), "pending_bytes", s.cached.pending.Load())
				}
				s.uploadsAgain(&failing)
				s.count.uploads.Add(1)
				s.count.objects.Add(int64(sum.objects))
				s.count.uploadedBytes.Add(sum.bytes)
				s.logger.Debug("uploaded", "streams", sum.streams, "objects", sum.objects, "bytes", sum.bytes, "took", time.Since(began))
			}
			continue
		}
		if s.ctx.Err() != nil || s.failure.Load() != nil {
			return
		}
		if errors.Is(err, errOpening) {
			s.awaitOpening(g)
			continue
		}
		s.count.uploadFailures.Add(1)
		failing.note(began)
		if quiet, ok := s.limiter.allow("upload"); ok {
			st := s.log.Stats()
			args := []any{"bucket", s.bucket.Name(), "cause", err, "retry_in", pause, "pending_bytes", s.cached.pending.Load(),
				"wal_used_percent", percent(st.Used, st.Capacity), "not_logged", quiet}
			if r := objstore.Remedy(err); r != "" {
				args = append(args, "remedy", r)
			}
			s.logger.Error("upload failed: records stay in the write-ahead log, trying again", args...)
		}
		if s.hurried() {
			pause = min(pause, max(s.opts.RetryMin, time.Second))
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, s.opts.RetryMax)
	}
}

// outage is a time in which no upload succeeded.
type outage struct {
	since    time.Time // beginning of the first attempt that failed; zero: none
	attempts int
}

func (o *outage) note(began time.Time) {
	if o.attempts++; o.since.IsZero() {
		o.since = began
	}
}

// uploadsAgain tells the operator who has read of failed uploads that they are over.
func (s *Storage) uploadsAgain(o *outage) {
	if o.since.IsZero() {
		return
	}
	st := s.log.Stats()
	s.logger.Info("uploads succeed again", "bucket", s.bucket.Name(), "after", time.Since(o.since).Round(time.Millisecond), "failed_attempts", o.attempts,
		"pending_bytes", s.cached.pending.Load(), "wal_used_percent", percent(st.Used, st.Capacity))
	*o = outage{}
}

func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return part * 100 / whole
}

// awaitOpen waits until the streams of a recovered segment are open, so that their owners can add a checkpoint; not longer than TailGrace after the start,
// and not when space is short.
func (s *Storage) awaitOpen(g *segment) {
	left := s.opts.TailGrace - s.opts.Now().Sub(s.opened)
	if left <= 0 || s.opts.Unowned {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, left)
	defer cancel()
	parts := g.mu.parts
	_ = s.changes.wait(ctx, func() bool {
		for len(parts) > 0 && parts[0].settled() {
			parts = parts[1:] // for good: there may be many parts, and as many wakings
		}
		return len(parts) == 0 || s.failure.Load() != nil || s.closing.Load() || s.hungry.Load() || s.hurried()
	})
}

// settled reports whether the part of a sealed segment has a Stream or needs none.
func (p *part) settled() bool {
	t := p.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.void || t.mu.dropped || t.mu.stream != nil && !t.mu.opening
}

// awaitOpening waits until no stream of a sealed segment is in the middle of OpenStream.
func (s *Storage) awaitOpening(g *segment) {
	_ = s.changes.wait(s.ctx, func() bool {
		for _, p := range g.mu.parts {
			p.tail.mu.Lock()
			opening := p.tail.mu.opening || p.tail.mu.taking != nil && p.tail.mu.taking.asked
			p.tail.mu.Unlock()
			if opening {
				return s.failure.Load() != nil
			}
		}
		return true
	})
}

// pin keeps the memory of a sealed segment where it is.
func (s *Storage) pin(g *segment, on bool) {
	s.relieving.Lock()
	g.pinned = on
	s.relieving.Unlock()
}

// finishSegment marks a segment as uploaded, trims the WAL behind it and tells those who wait.
func (s *Storage) finishSegment(g *segment) {
	s.segments.Lock()
	g.committed = true
	s.segments.Unlock()
	s.pendingSegments.Add(-1)
	s.cached.pending.Add(-g.bytes.Load())
	s.leaveDevice(g)
	s.trim()
	s.changes.wake()
	s.kick(s.wakeKeeper)
}

// leaveDevice takes out of the index of a committed segment what is only on the device, where it is about to be trimmed: objects have it now.
func (s *Storage) leaveDevice(g *segment) {
	if g.device.Load() == 0 {
		return
	}
	s.relieving.Lock()
	defer s.relieving.Unlock()
	var idle []*tail
	for _, p := range g.mu.parts {
		p.tail.mu.Lock()
		last := wal.Position(-1)
		p.each(p.start, func(e *entry) bool {
			if e.mem == nil {
				last = e.block
			}
			return true
		})
		p.tail.mu.Unlock()
		if last >= 0 {
			idle = s.evictPart(p, last+1, idle)
		}
	}
	s.forget(idle)
}

// trim tells the WAL what is not needed any more: everything before the oldest pending segment. After a crash before the trim is durable, recovery
// finds the records again and drops them, because they lie below the committed end.
func (s *Storage) trim() {
	s.turn.RLock()
	pos := s.active.first
	s.turn.RUnlock()
	if g := s.oldestPending(); g != nil {
		pos = g.first
	}
	if err := s.log.Trim(pos); err != nil && s.failure.Load() == nil && s.ctx.Err() == nil {
		s.logger.Error("write-ahead log refused to be trimmed", "position", int64(pos), "cause", err)
	}
	s.space()
}

// uploaded sums up one upload.
type uploaded struct {
	streams, objects int
	bytes            int64
}

// uploadSegment makes one attempt to upload and commit a segment.
//
//	crash before the commit    objects nobody knows (prepared ids expire, the sweeper removes them); the WAL has the records
//	crash after the commit     records are in both; recovery drops those of the WAL
func (s *Storage) uploadSegment(g *segment) (uploaded, error) {
	items, err := s.plan(g)
	if err != nil || len(items) == 0 {
		return uploaded{}, err
	}
	first, objects, err := s.prepare(s.ctx, items)
	if err != nil {
		return uploaded{}, err
	}
	s.pin(g, true)
	defer s.pin(g, false)
	if g.device.Load() > 0 {
		// Reading the device for a store that is still away would be wasted.
		if err := s.reachable(first); err != nil {
			return uploaded{}, err
		}
		if err := s.load(s.ctx, items); err != nil {
			return uploaded{}, err
		}
	}
	infos, err := s.writeObjects(objstore.WithPacer(s.ctx, s.newUploadPace(g)), objects)
	if err != nil {
		return uploaded{}, err
	}
	if err := s.awaitDurable(s.ctx, items); err != nil {
		return uploaded{}, err
	}
	return s.commitUpload(s.ctx, objects, infos)
}

// reachable asks the bucket for an object that is not there.
func (s *Storage) reachable(id ObjectID) error {
	_, err := s.bucket.Head(s.ctx, s.key(id))
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	return err
}
