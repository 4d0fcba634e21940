package s3stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// commitWindow is how long an upload that lies in the bucket is offered to the metadata before it is written anew; prepared ids live for an hour.
	commitWindow = 20 * time.Minute
	// fencedAttempts is how often a commit is offered again after the metadata refused it as fenced and the local image does not show why.
	fencedAttempts = 10
)

// commitUpload makes the objects part of their streams, in one atomic step. Streams that were deleted or have got another owner meanwhile are left
// out: their records stay in the object, where nobody refers to them.
//
// A crash leaves all of it committed or nothing. When the answer of the metadata is lost, the next attempt finds out which.
func (s *Storage) commitUpload(ctx context.Context, objects []*uploadObject, infos []ObjectInfo) (uploaded, error) {
	ctx, cancel := context.WithTimeout(ctx, commitWindow)
	defer cancel()
	pause, fenced := s.opts.RetryMin, 0
	for {
		live, sum, changed := s.liveRanges(objects, infos)
		if len(live) == 0 {
			return uploaded{}, nil
		}
		err := s.meta.CommitObjects(ctx, Commit{Node: s.opts.NodeID, NodeEpoch: s.opts.NodeEpoch, New: live, Extends: true})
		if err == nil || s.isCommitted(live) {
			return sum, nil
		}
		if changed {
			fenced = 0
		}
		if err := s.continues(live); err != nil {
			return uploaded{}, err
		}
		if errors.Is(err, ErrFenced) || errors.Is(err, ErrNotFound) {
			if fenced++; fenced > fencedAttempts {
				return uploaded{}, fmt.Errorf("s3stream: commit of object %d: %w", live[0].ID, err)
			}
		}
		if quiet, ok := s.limiter.allow("commit"); ok {
			level := slog.LevelWarn
			if fenced == 1 {
				level = slog.LevelInfo // a stream has moved to another node, and the image does not show it yet
			}
			s.logger.Log(ctx, level, "commit of uploaded objects failed, trying again", "object", live[0].ID, "cause", err, "retry_in", pause, "not_logged", quiet)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return uploaded{}, fmt.Errorf("s3stream: commit of object %d: %w", live[0].ID, err)
		}
		pause = min(2*pause, s.opts.RetryMax)
	}
}

// liveRanges returns the objects with the ranges that can still be committed, and the epochs to commit them with. changed: not all that it returned before.
func (s *Storage) liveRanges(objects []*uploadObject, infos []ObjectInfo) (live []ObjectInfo, sum uploaded, changed bool) {
	for i, o := range objects {
		info := infos[i]
		info.Ranges = make([]Range, 0, len(o.items))
		for j, it := range o.items {
			r := infos[i].Ranges[j]
			m, ok := s.meta.Stream(r.Stream)
			t := it.tail
			t.mu.Lock()
			st, opening := t.mu.stream, t.mu.opening
			gone := !ok || m.Deleted || t.mu.dropped || it.part.void
			t.mu.Unlock()
			if st != nil && st.epoch > r.Epoch { // opened again on this node, tail and all
				r.Epoch = st.epoch
				changed = true
			}
			if ok && m.Node == s.opts.NodeID && m.Epoch > r.Epoch && (st == nil || !opening) { // ours, and not open: see plan
				r.Epoch = m.Epoch
				changed = true
			}
			infos[i].Ranges[j].Epoch = r.Epoch
			if !gone && (m.Node != s.opts.NodeID || m.Epoch > r.Epoch) && !it.reopening(s, m) {
				s.giveUp(t, it.part, m)
				gone = true
			}
			if gone {
				changed = changed || !it.left
				it.left = true
				continue
			}
			info.Ranges = append(info.Ranges, r)
			sum.streams++
			sum.bytes += r.Bytes
		}
		if len(info.Ranges) > 0 {
			live = append(live, info)
			sum.objects++
		}
	}
	return live, sum, changed
}

// reopening reports whether the newer epoch in the metadata is this node's own, which is just opening the stream again.
func (it *uploadItem) reopening(s *Storage, m StreamInfo) bool {
	it.tail.mu.Lock()
	defer it.tail.mu.Unlock()
	return m.Node == s.opts.NodeID && it.tail.mu.opening
}

// continues returns an error when the objects do not continue their streams any more: they are of no use, and the segment must be planned anew.
func (s *Storage) continues(infos []ObjectInfo) error {
	for _, o := range infos {
		for _, r := range o.Ranges {
			if m, ok := s.meta.Stream(r.Stream); ok && !m.Deleted && m.End != r.Start && m.Start < r.Start {
				return fmt.Errorf("s3stream: object %d holds stream %d [%d, %d), which ends at %d", o.ID, r.Stream, r.Start, r.End, m.End)
			}
		}
	}
	return nil
}

// isCommitted reports whether a commit whose answer was lost has taken effect.
func (s *Storage) isCommitted(infos []ObjectInfo) bool {
	r := infos[0].Ranges[0]
	for _, o := range s.meta.Objects(nil, r.Stream, r.Start, 4) {
		if o.ID == infos[0].ID {
			return true
		}
	}
	return false
}
