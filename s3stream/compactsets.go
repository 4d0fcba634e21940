package s3stream

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ringmq/ringmq/s3stream/object"
)

// compactSets rewrites this node's stream-set objects: what has become large enough leaves as stream objects, the rest is gathered in fewer, larger
// sets; old sets are taken apart altogether. force: all of them are.
func (s *Storage) compactSets(ctx context.Context, force bool) error {
	s.compact.mu.Lock()
	defer s.compact.mu.Unlock()
	sets := s.meta.StreamSetObjects(s.opts.NodeID, 10*s.opts.CompactMaxSets)
	for _, g := range s.groupSets(sets, force) {
		if ctx.Err() != nil {
			break
		}
		if err := s.compactGroup(ctx, g.objects, g.split); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// stillSets are the objects of a group as the metadata has them now; none when some of them are not there any more.
func (s *Storage) stillSets(group []ObjectInfo) []ObjectInfo {
	now := make(map[ObjectID]ObjectInfo)
	for _, o := range s.meta.StreamSetObjects(s.opts.NodeID, 10*maxSets) {
		now[o.ID] = o
	}
	var still []ObjectInfo
	for _, g := range group {
		o, ok := now[g.ID]
		if !ok {
			return nil
		}
		still = append(still, o)
	}
	return still
}

// setGroup is what one step compacts.
type setGroup struct {
	objects []ObjectInfo
	split   bool // take them apart altogether
}

// groupSets picks what to compact together. Old sets are split. Of young ones, going from the newest to the oldest, a set joins when it is at most twice
// as large as what is gathered so far, so that a byte is not written again and again until it is old.
func (s *Storage) groupSets(sets []ObjectInfo, force bool) []setGroup {
	old := 0
	for old < len(sets) && (force || s.opts.Now().Sub(sets[old].Committed) >= s.opts.ForceSplitAge) {
		old++
	}
	var groups []setGroup
	var g []ObjectInfo
	var size int64
	finish := func(split bool) {
		if split && len(g) > 0 || len(g) >= minSets {
			groups = append(groups, setGroup{g, split})
		}
		g, size = nil, 0
	}
	for _, o := range sets[:old] {
		if len(g) == s.opts.CompactMaxSets || size+o.Size > s.opts.CompactCacheBytes {
			finish(true)
		}
		g, size = append(g, o), size+o.Size
	}
	finish(true)
	for i := len(sets) - 1; i >= old; i-- {
		o := sets[i]
		if len(g) == s.opts.CompactMaxSets || size+o.Size > s.opts.CompactCacheBytes || size > 0 && o.Size > 2*size {
			finish(false)
		}
		g, size = append(g, o), size+o.Size
	}
	finish(false)
	return groups
}

// compactGroup rewrites a group of stream-set objects in one commit; not when something else is being made of some of them.
func (s *Storage) compactGroup(ctx context.Context, group []ObjectInfo, split bool) error {
	began := time.Now()
	group, err := s.compact.claims.claim(ctx, false, func() []ObjectInfo { return s.stillSets(group) })
	if err != nil || len(group) == 0 {
		return err
	}
	defer s.compact.claims.release(group)
	bucket, err := s.newWindowed(group)
	if err != nil {
		return err
	}
	defer bucket.release()
	readers, err := s.open(ctx, bucket, group)
	if err != nil {
		return err
	}
	runs := s.liveRuns(group, readers)
	streams := 0
	for i := range runs {
		if i == 0 || runs[i].r.Stream != runs[i-1].r.Stream {
			streams++
		}
	}
	split = split || streams <= fewStreams
	var news []*newObject
	shared := &newObject{kind: StreamSetObject}
	for i, run := range runs {
		last := i == len(runs)-1 || runs[i+1].r.Stream != run.r.Stream
		if split || run.r.Bytes >= s.opts.CompactSplitBytes || !last {
			news = append(news, &newObject{kind: StreamObject, pieces: run.pieces, ranges: []Range{run.r}})
			continue
		}
		shared.pieces = append(shared.pieces, run.pieces...)
		shared.ranges = append(shared.ranges, run.r)
	}
	if len(shared.ranges) == 1 {
		shared.kind = StreamObject
	}
	if len(shared.ranges) > 0 {
		news = append(news, shared)
	}
	if err := s.rewrite(ctx, news, group); err != nil {
		return err
	}
	s.logger.Debug("compacted stream-set objects", "objects", len(group), "streams", streams, "into", len(news), "took", time.Since(began))
	return nil
}

// liveRun is a contiguous part of a stream in a group of objects.
type liveRun struct {
	r      Range
	pieces []object.Piece
}

// liveRuns returns what is still needed of the streams in the group, by stream and offset. Left out is what lies wholly below a stream's start, unless it
// is the end of the stream, whose object carries the checkpoint; and what belongs to deleted streams.
func (s *Storage) liveRuns(group []ObjectInfo, readers []*object.Reader) []liveRun {
	type located struct {
		Range
		reader *object.Reader
	}
	var all []located
	for i, o := range group {
		for _, r := range o.Ranges {
			all = append(all, located{r, readers[i]})
		}
	}
	slices.SortFunc(all, func(a, b located) int { return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Start, b.Start)) })
	var runs []liveRun
	for _, l := range all {
		info, ok := s.meta.Stream(l.Stream)
		if !ok || info.Deleted || l.End <= info.Start && l.End < info.End {
			continue
		}
		start := max(l.Start, min(info.Start, l.End-1))
		p := object.Piece{Source: l.reader, Stream: int64(l.Stream), Start: start, End: l.End}
		if i, ok := l.reader.Index().Find(int64(l.Stream), start); !ok || l.reader.Index().Blocks[i].First >= l.End {
			p.Start = l.Start // only a hole is left of it: keep a block for the checkpoint
		} else {
			start = max(l.Start, min(start, l.reader.Index().Blocks[i].First))
		}
		if n := len(runs); n > 0 && runs[n-1].r.Stream == l.Stream && runs[n-1].r.End == l.Start {
			prev := &runs[n-1]
			prev.r.End, prev.r.Bytes, prev.r.Epoch = l.End, prev.r.Bytes+l.Bytes, max(prev.r.Epoch, l.Epoch)
			prev.r.MaxTimestamp = max(prev.r.MaxTimestamp, l.MaxTimestamp)
			prev.pieces = append(prev.pieces, p)
			continue
		}
		r := l.Range
		r.Start = start
		runs = append(runs, liveRun{r: r, pieces: []object.Piece{p}})
	}
	return runs
}
