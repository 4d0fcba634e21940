package s3stream

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
)

const (
	// writersAtOnce is how many objects of one upload are written at the same time; each sends partsAtOnce parts in parallel.
	writersAtOnce = 4
	partsAtOnce   = 4
	// hedgeAfter is how long a part may take, beside its pace, before it is sent a second time.
	hedgeAfter = 5 * time.Second
	// ownerPause and ownerAttempts bound the wait for an owner that is behind: it was just opened and has not taken over its state yet.
	ownerPause    = 5 * time.Millisecond
	ownerAttempts = 200
)

func (s *Storage) objectOptions() object.Options {
	return object.Options{BlockBytes: s.opts.BlockBytes, PartBytes: int(s.opts.PartBytes)}
}

// uploadOptions is objectOptions for uploads, which are paced and may be written by one Put.
func (s *Storage) uploadOptions() object.Options {
	o := s.objectOptions()
	o.Parallel = partsAtOnce
	// All parts of all objects of an upload share one pace: the slowest does not make a part look stuck.
	o.HedgeAfter = hedgeAfter + time.Duration(float64(writersAtOnce*partsAtOnce*s.opts.PartBytes)/paceMin*float64(time.Second))
	if p, ok := s.bucket.(objstore.PutPreferrer); ok {
		o.PartBytes, o.HedgeAfter = max(o.PartBytes, int(p.PutBytes())), -1
	}
	return o
}

// writeObjects writes all objects of an upload. They are invisible to readers until the commit; a crash, or an error, leaves some of them, or
// unfinished multipart uploads, to the sweeper.
func (s *Storage) writeObjects(ctx context.Context, objects []*uploadObject) ([]ObjectInfo, error) {
	infos := make([]ObjectInfo, len(objects))
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(writersAtOnce)
	for i, o := range objects {
		eg.Go(func() error {
			info, err := s.writeObject(ctx, o)
			infos[i] = info
			return err
		})
	}
	return infos, eg.Wait()
}

func (s *Storage) writeObject(ctx context.Context, o *uploadObject) (ObjectInfo, error) {
	w, err := object.NewWriter(ctx, s.bucket, s.key(o.id), s.uploadOptions())
	if err != nil {
		return ObjectInfo{}, err
	}
	defer w.Abort()
	info := ObjectInfo{ID: o.id, Kind: o.kind, Node: s.opts.NodeID, Ranges: make([]Range, 0, len(o.items))}
	for _, it := range o.items {
		id := int64(it.tail.id)
		err := it.records(func(r Record) error {
			return w.Append(object.Record{Stream: id, First: r.First, Next: r.Next, MaxTimestamp: r.MaxTimestamp, Payload: r.Payload})
		})
		if err != nil {
			return ObjectInfo{}, err
		}
		if err := s.writeCheckpoint(ctx, w, it); err != nil {
			return ObjectInfo{}, err
		}
	}
	res, err := w.Finish()
	if err != nil {
		return ObjectInfo{}, err
	}
	if len(res.Ranges) != len(o.items) {
		return ObjectInfo{}, fmt.Errorf("BUG: s3stream: object %d has %d streams, want %d", o.id, len(res.Ranges), len(o.items))
	}
	for i, it := range o.items {
		got := res.Ranges[i]
		info.Ranges = append(info.Ranges, Range{Stream: it.tail.id, Epoch: it.epoch, Start: it.from, End: it.end, Bytes: got.Bytes, MaxTimestamp: got.MaxTimestamp})
	}
	info.Size, info.Committed = res.Size, s.opts.Now()
	return info, nil
}

// writeCheckpoint adds the state of the stream's owner to the object; or, when nobody has opened the stream since the start or its owner has none to give,
// the newest state that was stored before, because the object with the highest end offset must have it.
func (s *Storage) writeCheckpoint(ctx context.Context, w *object.Writer, it *uploadItem) error {
	if it.stream != nil && it.stream.owner != nil {
		offset, state, err := it.ask(ctx)
		if err == nil {
			it.checkpoint = offset
			return w.Checkpoint(int64(it.tail.id), offset, state)
		}
		if ctx.Err() != nil {
			return err
		}
		// One owner must not hold up the uploads of all others. The older state is right too: more is replayed behind it.
		if quiet, ok := s.limiter.allow("checkpoint"); ok {
			s.logger.Error("no checkpoint from the owner of a stream, its last one is carried along", "stream", it.tail.id, "cause", err, "not_logged", quiet)
		}
	}
	it.checkpoint = 0
	state, offset, err := s.checkpoint(ctx, it.tail.id, it.committed)
	if err != nil {
		return fmt.Errorf("s3stream: carry the checkpoint of stream %d along: %w", it.tail.id, err)
	}
	if state == nil {
		return nil
	}
	return w.Checkpoint(int64(it.tail.id), offset, state)
}

// ask gets a checkpoint from the owner that covers what is uploaded. An owner that was just opened may be behind for a moment.
func (it *uploadItem) ask(ctx context.Context) (offset int64, state []byte, err error) {
	for attempt := 0; ; attempt++ {
		offset, state = it.stream.owner.Checkpoint()
		if offset >= it.end && len(state) <= object.MaxStateBytes {
			return offset, state, nil
		}
		if attempt == ownerAttempts {
			return 0, nil, fmt.Errorf("s3stream: the owner of stream %d gave %d bytes at offset %d, want at most %d bytes at %d or behind",
				it.tail.id, len(state), offset, object.MaxStateBytes, it.end)
		}
		select {
		case <-time.After(ownerPause):
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
	}
}

// awaitDurable waits until the WAL has everything that the objects hold or speak of: a checkpoint must never be ahead of what a crash leaves.
func (s *Storage) awaitDurable(ctx context.Context, items []*uploadItem) error {
	for _, it := range items {
		if it.stream == nil {
			continue // recovered, so durable
		}
		durable := false
		err := s.durable.wait(ctx, func() bool {
			durable = it.durable()
			return durable || it.stream.failed.Load() || s.failure.Load() != nil
		})
		if err != nil {
			return err
		}
		if !durable {
			return s.failedError()
		}
	}
	return nil
}

// durable reports whether the records and the checkpoint of the item are; or whether nobody needs to know any more.
func (it *uploadItem) durable() bool {
	want := max(it.end, it.checkpoint)
	if it.stream.confirmed.Load() >= want {
		return true
	}
	t := it.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.dropped || it.part.void {
		return true // the commit leaves it out
	}
	// Opened again meanwhile: the later Stream goes on where the earlier one ended.
	return t.mu.stream != nil && t.mu.stream.confirmed.Load() >= want
}
