package s3stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
)

const (
	// minSets is how many young stream-set objects it takes to be worth writing them again.
	minSets = 8
	// maxSets is how many one step takes in at most, Options.CompactMaxSets.
	maxSets = 100
	// fewStreams: a group of stream-set objects with so few streams is split at once.
	fewStreams = 16
	// minMerge is how many neighbouring stream objects it takes to be worth merging, unless they are tiny.
	minMerge  = 4
	tinyBytes = 1 << 20
	// compactParts is how many parts of a new object are sent at a time: nobody waits for a compaction, and each holds its memory.
	compactParts = 2
	// maxMerge bounds the sources of one merge: each is at least one part or one read.
	maxMerge = 500
)

// compactor rewrites objects so that there are few, and large ones. It runs behind everything else, one step at a time.
//
// A crash in the middle leaves prepared ids and perhaps objects that nobody refers to, for the sweeper. The commit replaces
// the old objects by the new ones in one step; the old ones stay in the bucket for DeleteRetention, for those who are reading them.
type compactor struct {
	mu     sync.Mutex      // one round of merges at a time; rewrites go on beside it
	claims claims          // what merges and rewrites work on
	bucket objstore.Bucket // the storage's, paced
}

func (s *Storage) startCompactor() {
	s.compact.bucket = s.bucket
	if s.opts.CompactBytesPerSecond > 0 {
		s.compact.bucket = &paced{Bucket: s.bucket, pace: NewThrottle(s.opts.CompactBytesPerSecond).Pace}
	}
	if s.opts.CompactInterval > 0 {
		s.work.Go(func() {
			s.every(s.opts.CompactInterval, func(ctx context.Context) error { return s.compactSets(ctx, false) }, "compaction of stream-set objects")
		})
	}
	if s.opts.StreamCompactInterval > 0 {
		s.work.Go(func() {
			s.every(s.opts.StreamCompactInterval, func(ctx context.Context) error { return s.compactStreams(ctx, false) }, "compaction of stream objects")
		})
	}
}

// every runs fn in intervals until Close. Errors are logged: the next round tries again.
func (s *Storage) every(interval time.Duration, fn func(context.Context) error, what string) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		}
		if err := fn(s.ctx); err != nil && s.ctx.Err() == nil {
			if quiet, ok := s.limiter.allow(what); ok {
				s.logger.Warn(what+" failed, the next round tries again", "cause", err, "interval", interval, "not_logged", quiet)
			}
		}
		timer.Reset(interval)
	}
}

// Compact runs both kinds of compaction now, whatever there is to gain: all stream-set objects of this node are taken apart, and the objects of every
// open stream are merged as far as CompactMaxBytes allows. For tools and tests; the background does the same when it pays.
func (s *Storage) Compact(ctx context.Context) error {
	return errors.Join(s.compactSets(ctx, true), s.compactStreams(ctx, true))
}

// newObject is an object that a compaction is about to write.
type newObject struct {
	id     ObjectID
	kind   ObjectKind
	pieces []object.Piece
	ranges []Range // what it covers: Start, End and Epoch are set; the rest comes from the result
}

// rewrite writes new objects and commits them in the place of old ones.
func (s *Storage) rewrite(ctx context.Context, news []*newObject, old []ObjectInfo) error {
	infos := make([]ObjectInfo, 0, len(news))
	if len(news) > 0 {
		first, err := s.meta.PrepareObjects(ctx, len(news))
		if err != nil {
			return fmt.Errorf("s3stream: compaction: prepare %d objects: %w", len(news), err)
		}
		for i, n := range news {
			n.id = first + ObjectID(i)
			o := s.objectOptions()
			o.Parallel = compactParts
			res, err := object.Compose(ctx, s.compact.bucket, s.key(n.id), o, n.pieces)
			if err != nil {
				return fmt.Errorf("s3stream: compaction: object %d: %w", n.id, err)
			}
			info, err := n.info(res)
			if err != nil {
				return err
			}
			info.Node, info.Committed = s.opts.NodeID, s.opts.Now()
			infos = append(infos, info)
		}
	}
	return s.replace(ctx, infos, old)
}

// replace commits a compaction.
func (s *Storage) replace(ctx context.Context, infos, old []ObjectInfo) error {
	c := Commit{Node: s.opts.NodeID, NodeEpoch: s.opts.NodeEpoch, New: infos}
	for _, o := range old {
		c.Compacted = append(c.Compacted, o.ID)
	}
	if err := s.meta.CommitObjects(ctx, c); err != nil && !s.isReplaced(infos) {
		return fmt.Errorf("s3stream: compaction: commit %d objects in the place of %d: %w", len(infos), len(old), err)
	}
	s.count.compactions.Add(1)
	s.count.compactedObjects.Add(int64(len(old)))
	for _, o := range old {
		s.indexes.drop(o.ID)
	}
	return nil
}

func (s *Storage) isReplaced(infos []ObjectInfo) bool {
	return len(infos) > 0 && s.isCommitted(infos)
}

// info joins what an object was to cover with what was written.
func (n *newObject) info(res object.Result) (ObjectInfo, error) {
	info := ObjectInfo{ID: n.id, Kind: n.kind, Size: res.Size}
	if len(res.Ranges) != len(n.ranges) {
		return info, fmt.Errorf("BUG: s3stream: compaction wrote %d streams into object %d, want %d", len(res.Ranges), n.id, len(n.ranges))
	}
	for i, got := range res.Ranges {
		r := n.ranges[i]
		if got.Stream != int64(r.Stream) || got.End > r.End || got.Start >= r.End {
			return info, fmt.Errorf("BUG: s3stream: compaction wrote stream %d [%d, %d) into object %d, want stream %d [%d, %d)",
				got.Stream, got.Start, got.End, n.id, r.Stream, r.Start, r.End)
		}
		r.Bytes = got.Bytes
		if got.MaxTimestamp >= 0 { // else nothing but stand-ins is left, which are as old as what they stand for
			r.MaxTimestamp = got.MaxTimestamp
		}
		info.Ranges = append(info.Ranges, r)
	}
	return info, nil
}

// open opens objects for compaction, from bucket b.
func (s *Storage) open(ctx context.Context, b objstore.Bucket, infos []ObjectInfo) ([]*object.Reader, error) {
	out := make([]*object.Reader, len(infos))
	for i, o := range infos {
		r, err := object.Open(ctx, b, s.key(o.ID), o.Size)
		if err != nil {
			return nil, fmt.Errorf("s3stream: compaction: %w", err)
		}
		out[i] = r
	}
	return out, nil
}
