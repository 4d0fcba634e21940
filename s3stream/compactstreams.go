package s3stream

import (
	"context"
	"errors"
	"slices"
	"time"
)

// compactStreams merges the stream objects of the streams that are open on this node. force: whatever there is to gain.
func (s *Storage) compactStreams(ctx context.Context, force bool) error {
	s.compact.mu.Lock()
	defer s.compact.mu.Unlock()
	var ids []StreamID
	s.streams.Lock()
	for id, t := range s.streams.tails {
		t.mu.Lock()
		if st := t.mu.stream; st != nil && streamState(st.state.Load()) == streamOpen {
			ids = append(ids, id)
		}
		t.mu.Unlock()
	}
	s.streams.Unlock()
	slices.Sort(ids)
	var errs []error
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		if err := s.compactStream(ctx, id, force); err != nil {
			errs = append(errs, err)
			if len(errs) == 3 {
				break // it is the store or the metadata, not the stream
			}
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func (s *Storage) compactStream(ctx context.Context, id StreamID, force bool) error {
	info, ok := s.meta.Stream(id)
	if !ok || info.Deleted {
		return nil
	}
	objs := s.meta.Objects(nil, id, info.Start, 4*maxMerge)
	for _, group := range mergeGroups(objs, s.opts.CompactMaxBytes, force) {
		if err := s.merge(ctx, info, group); err != nil {
			return err
		}
	}
	return nil
}

// mergeGroups picks runs of neighbouring stream objects to merge. Going from the newest to the oldest, an object joins when it is at most twice as large
// as what is gathered so far: so a byte is written again about log(n) times however long a stream grows. force: all join.
func mergeGroups(objs []ObjectInfo, maxBytes int64, force bool) [][]ObjectInfo {
	var groups [][]ObjectInfo
	var group []ObjectInfo // newest first
	var size int64
	finish := func() {
		if len(group) >= minMerge || len(group) > 1 && (force || size <= tinyBytes*int64(len(group))) {
			slices.Reverse(group)
			groups = append(groups, group)
		}
		group, size = nil, 0
	}
	for i := len(objs) - 1; i >= 0; i-- {
		o := objs[i]
		joins := o.Kind == StreamObject && len(group) < maxMerge && size+o.Size <= maxBytes && (force || size == 0 || o.Size <= 2*size)
		if len(group) > 0 && (!joins || o.Ranges[0].End != group[len(group)-1].Ranges[0].Start) {
			finish()
		}
		if o.Kind == StreamObject && o.Size <= maxBytes {
			group, size = append(group, o), size+o.Size
		}
	}
	finish()
	return groups
}

// merge writes a run of stream objects into one, unless some of them are being rewritten. Where they consist of large blocks the store copies them by itself.
func (s *Storage) merge(ctx context.Context, info StreamInfo, group []ObjectInfo) error {
	began := time.Now()
	group, err := s.compact.claims.claim(ctx, false, func() []ObjectInfo {
		now := s.meta.Objects(nil, info.ID, group[0].Ranges[0].Start, len(group))
		if !slices.EqualFunc(now, group, func(a, b ObjectInfo) bool { return a.ID == b.ID }) {
			return nil
		}
		return now
	})
	if err != nil || len(group) == 0 {
		return err
	}
	defer s.compact.claims.release(group)
	readers, err := s.open(ctx, s.compact.bucket, group)
	if err != nil {
		return err
	}
	runs := s.liveRuns(group, readers)
	if len(runs) != 1 {
		return nil // trimmed or deleted meanwhile
	}
	n := &newObject{kind: StreamObject, pieces: runs[0].pieces, ranges: []Range{runs[0].r}}
	if err := s.rewrite(ctx, []*newObject{n}, group); err != nil {
		return err
	}
	s.logger.Debug("merged stream objects", "stream", info.ID, "objects", len(group), "took", time.Since(began))
	return nil
}
