package s3stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/wal"
)

const (
	// resolveAttempts is how often a reader asks the metadata again after what it named was gone: compacted away, or uploaded and trimmed.
	resolveAttempts = 5
	// resolvePause lets the local image catch up before another attempt.
	resolvePause = 10 * time.Millisecond
	// runBytes is the most that one request to the object store reads.
	runBytes = 4 << 20
	// fetchTimeout bounds one request of a read, with the wait for its turn.
	fetchTimeout = time.Minute
)

// errMoved: what a reader looked for is not where it was a moment ago.
var errMoved = errors.New("s3stream: records have moved")

// moved reports whether err may be gone after asking the metadata again.
func moved(err error) bool {
	return errors.Is(err, errMoved) || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, wal.ErrTrimmed)
}

// heap is the Mem of memory that the garbage collector owns.
type heap struct{}

func (heap) Ref()   {}
func (heap) Unref() {}

// ReadCold is Read from wherever the records are: memory, the WAL device or objects, through the block cache. It may wait: call it from a
// goroutine that may block. It returns less than asked for when it comes to the end of what one place holds or hits an error behind the first record.
func (st *Stream) ReadCold(ctx context.Context, from, limit int64, maxBytes int, atLeastOne bool) ([]Slice, error) {
	s := st.storage
	s.count.coldReads.Add(1)
	r := reader{s: s, st: st, t: st.tail, pos: from, limit: limit, bytes: maxBytes, atLeastOne: atLeastOne}
	for attempt := 0; ; {
		more, err := r.step(ctx)
		switch {
		case err == nil && !more, err != nil && len(r.dst) > 0:
			return r.dst, nil
		case err == nil:
			continue
		case !moved(err):
			return nil, err
		}
		if attempt++; attempt > resolveAttempts {
			return nil, fmt.Errorf("s3stream: read stream %d at offset %d: %w", st.id, r.pos, err)
		}
		select {
		case <-time.After(resolvePause << attempt):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// reader is one cold read.
type reader struct {
	s          *Storage
	st         *Stream
	t          *tail
	dst        []Slice
	pos, limit int64
	bytes      int // still wanted
	atLeastOne bool
}

// step reads from the one place that holds r.pos. more: another step may find more.
func (r *reader) step(ctx context.Context) (more bool, err error) {
	first := r.atLeastOne && len(r.dst) == 0
	if r.pos >= r.limit || r.bytes <= 0 && !first {
		return false, nil
	}
	r.dst, err = r.st.Read(r.dst, r.pos, r.limit, r.bytes, first)
	if err == nil || !errors.Is(err, ErrCold) {
		return false, err
	}
	if block, ok := r.t.onDevice(r.pos); ok && r.pos >= r.st.cleaned.Load() {
		d, err := r.s.deviceBlock(ctx, block)
		if err != nil {
			return false, err
		}
		data, from, next := d.cut(r.t.id, r.pos, r.limit, r.bytes, first)
		if next == 0 {
			if rest := d.from(r.t.id, r.pos); len(rest) == 0 || rest[0].first > r.pos {
				return false, errMoved
			}
			return false, nil
		}
		r.take(data, from, next)
		return true, nil
	}
	o, rd, i, err := r.s.locate(ctx, r.t.id, r.pos)
	if err != nil {
		return false, err
	}
	if rd == nil {
		r.pos = o.Ranges[0].End
		return true, nil
	}
	e := rd.Index().Blocks[i]
	window, missed := r.t.sequential(r.pos, r.s.opts.ReadaheadBytes)
	b, hit, err := r.s.block(ctx, o.ID, rd, i, min(int64(r.bytes), runBytes))
	if err != nil {
		return false, err
	}
	if !hit && missed {
		window = r.t.shrink(r.pos)
	}
	data, from, next := b.Cut(max(r.pos, o.Ranges[0].Start), min(r.limit, o.Ranges[0].End), r.bytes, first)
	if next == 0 {
		return false, nil // the next record does not fit, or begins behind the limit
	}
	was := r.pos
	r.take(data, from, next)
	if end := r.t.advance(was, next); window > 0 && end {
		r.s.readahead(r.t.id, next, window)
	}
	return next >= e.Next, nil
}

func (r *reader) take(data []byte, first, next int64) {
	r.dst = append(r.dst, Slice{First: first, Next: next, Data: data, Mem: heap{}})
	r.bytes -= len(data)
	r.pos = next
}

// onDevice returns the WAL block that holds offset when that is the only place in the tail that has it.
func (t *tail) onDevice(offset int64) (wal.Position, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.findPart(offset)
	if i == len(t.mu.parts) || t.mu.parts[i].start > offset {
		return 0, false
	}
	p := t.mu.parts[i]
	pi, ei := p.find(offset)
	e := &p.live(pi)[ei]
	return e.block, e.mem == nil
}

// deviceBlock returns a block of the WAL through the block cache.
func (s *Storage) deviceBlock(ctx context.Context, block wal.Position) (*deviceBlock, error) {
	key := blockKey{walObject, int64(block)}
	for joined := false; ; {
		if b, ok := s.blocks.get(key); ok {
			err := b.wait(ctx)
			if err != nil && ctx.Err() == nil && !joined {
				joined = true // it was somebody else's attempt: make one of our own
				continue
			}
			s.count.hits.Add(1)
			return b.device, err
		}
		bs := s.blocks.claim(key, 1, false, func(int) int64 { return 0 })
		if len(bs) == 0 {
			continue
		}
		s.count.misses.Add(1)
		if !s.spawn(func() {
			var err error
			bs[0].device, err = s.readDevice(s.ctx, block)
			s.blocks.finish(bs, err)
		}) {
			s.blocks.finish(bs, ErrClosed)
		}
		err := bs[0].wait(ctx)
		return bs[0].device, err
	}
}

// locate finds the object and the number of the block in its index that holds offset, or the first one behind it. When log compaction has left nothing there up to
// the end of what is in objects, the reader is nil, and the object's range ends where to go on.
func (s *Storage) locate(ctx context.Context, id StreamID, offset int64) (ObjectInfo, *object.Reader, int, error) {
	var hole *ObjectInfo
	for _, o := range s.meta.Objects(nil, id, offset, 2) {
		rd, err := s.indexes.get(ctx, o)
		if err != nil {
			if errors.Is(err, objstore.ErrNotFound) {
				s.indexes.drop(o.ID)
			}
			return o, nil, 0, err
		}
		r := o.Ranges[0]
		if i, ok := rd.Index().Find(int64(id), offset); ok && rd.Index().Blocks[i].First < r.End {
			return o, rd, i, nil
		}
		if r.Start <= offset && offset < r.End {
			hole, offset = &o, r.End
		}
	}
	if hole != nil {
		return *hole, nil, 0, nil
	}
	return ObjectInfo{}, nil, 0, fmt.Errorf("%w: no object holds offset %d of stream %d", errMoved, offset, id)
}

// block returns block i of an object. When it has to be fetched, its neighbours of the same stream come along, up to want bytes. hit: it was in the
// cache or on its way.
func (s *Storage) block(ctx context.Context, id ObjectID, rd *object.Reader, i int, want int64) (b *object.Block, hit bool, err error) {
	key := blockKey{id, int64(i)}
	for joined := false; ; {
		if c, ok := s.blocks.get(key); ok {
			err := c.wait(ctx)
			if err != nil && ctx.Err() == nil && !joined {
				joined = true // it was somebody else's attempt, perhaps an old one: make one of our own
				continue
			}
			s.count.hits.Add(1)
			return &c.object, true, s.gone(id, err)
		}
		bs := s.claimRun(id, rd, i, want, false)
		if len(bs) == 0 {
			continue
		}
		s.count.misses.Add(1)
		if !s.spawn(func() { s.fetch(rd, bs) }) {
			s.blocks.finish(bs, ErrClosed)
		}
		return &bs[0].object, false, s.gone(id, bs[0].wait(ctx))
	}
}

// gone forgets the index of an object that turned out to be deleted.
func (s *Storage) gone(id ObjectID, err error) error {
	if errors.Is(err, objstore.ErrNotFound) {
		s.indexes.drop(id)
	}
	return err
}

// claimRun claims block i and its neighbours of the same stream up to want bytes.
func (s *Storage) claimRun(id ObjectID, rd *object.Reader, i int, want int64, ahead bool) []*cachedBlock {
	blocks := rd.Index().Blocks[i:]
	n, size := 1, int64(blocks[0].Size)
	for n < len(blocks) && blocks[n].Stream == blocks[0].Stream && size+int64(blocks[n].Size) <= want {
		size += int64(blocks[n].Size)
		n++
	}
	return s.blocks.claim(blockKey{id, int64(i)}, n, ahead, func(k int) int64 { return int64(blocks[k].Size) })
}

// fetch reads claimed blocks with one request.
func (s *Storage) fetch(rd *object.Reader, bs []*cachedBlock) {
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	select {
	case s.coldSlots <- struct{}{}:
		defer func() { <-s.coldSlots }()
	case <-ctx.Done():
		s.blocks.finish(bs, context.Cause(ctx))
		return
	}
	first := int(bs[0].key.at)
	got, err := rd.ReadBlocks(ctx, make([]object.Block, 0, len(bs)), rd.Index().Blocks[first:first+len(bs)], nil)
	if err == nil {
		for i, b := range bs {
			b.object = got[i]
		}
	}
	s.blocks.finish(bs, err)
}
