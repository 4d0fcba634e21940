package s3stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/ringmq/ringmq/wal"
)

// uploadItem is one stream's share of an upload.
type uploadItem struct {
	tail   *tail
	part   *part
	stream *Stream // whose owner gives the checkpoint; nil: nobody has opened the stream since the start
	epoch  int64   // to commit with

	from, end int64 // offsets to upload
	committed int64 // committed end of the stream before
	bytes     int64
	loaded    []Record // read back from the WAL device; nil: take them from memory
	onDevice  bool

	checkpoint int64 // offset of the checkpoint that was written; 0: none
	left       bool  // out of the commit: deleted or fenced while it was uploaded
}

var errOpening = errors.New("s3stream: a stream of the upload is being opened")

// plan decides what of a segment is to be uploaded.
func (s *Storage) plan(g *segment) ([]*uploadItem, error) {
	var items []*uploadItem
	for _, p := range g.mu.parts {
		t := p.tail
		t.mu.Lock()
		skip := p.void || t.mu.dropped
		st, opening, partEpoch, end := t.mu.stream, t.mu.opening, p.epoch, p.end
		taken := t.takesLocked(p.epoch)
		t.mu.Unlock()
		if skip {
			continue
		}
		info, ok := s.meta.Stream(t.id)
		if !ok || info.Deleted {
			s.logger.Info("records of a deleted stream are not uploaded", "stream", t.id, "end", end)
			continue
		}
		it := &uploadItem{tail: t, part: p, stream: st, committed: info.End}
		switch {
		case end <= info.End:
			continue // uploaded before: the answer of that commit was lost
		case st != nil && st.epoch == info.Epoch && info.Node == s.opts.NodeID:
			it.epoch = st.epoch
		case info.Node == s.opts.NodeID && opening:
			return nil, errOpening
		case info.Node == s.opts.NodeID && info.Epoch >= partEpoch:
			// Ours, and not open: after the start, or when the metadata has granted a newer epoch and the opening failed behind that. What others have
			// written since would have voided the part before the metadata showed this node again. An old owner's state is not asked for any more.
			it.epoch, it.stream = info.Epoch, nil
		case taken:
			return nil, errOpening // not ours yet, and perhaps never
		default:
			s.giveUp(t, p, info)
			continue
		}
		t.mu.Lock()
		it.from, it.end = max(p.start, info.End), end
		it.measure()
		start := p.start
		if start > info.End && start > info.Start && t.mu.lost == nil {
			t.mu.lost = &DataLossError{Stream: t.id, Expected: info.End, Found: start}
		}
		lost := t.mu.lost
		t.mu.Unlock()
		if start > info.End && start > info.Start {
			s.logger.Error("records cannot be uploaded: those before them are missing", "cause", lost, "end", end)
			continue
		}
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b *uploadItem) int { return cmp.Compare(a.tail.id, b.tail.id) })
	return items, nil
}

// measure sums up the entries to upload. tail.mu is held.
func (it *uploadItem) measure() {
	it.part.each(it.from, func(e *entry) bool {
		it.bytes += e.size
		it.onDevice = it.onDevice || e.mem == nil
		return true
	})
}

// giveUp drops records that can never be committed, because a newer owner has written the stream.
func (s *Storage) giveUp(t *tail, p *part, info StreamInfo) {
	t.mu.Lock()
	level := slog.LevelWarn
	if st := t.mu.stream; st != nil && st.epoch < info.Epoch {
		if streamState(st.state.Load()) == streamClosing {
			level = slog.LevelDebug // handed over, as a rule
		}
		st.fenceLocked()
	}
	t.voidLocked()
	t.mu.Unlock()
	s.logger.Log(s.ctx, level, "records of a stream that has another owner now are dropped", "stream", t.id, "epoch", p.epoch, "owner_epoch", info.Epoch,
		"owner", info.Node, "committed_end", info.End, "end", p.end)
}

// uploadObject is one object to write.
type uploadObject struct {
	id    ObjectID
	kind  ObjectKind
	items []*uploadItem
}

// prepare spreads the items over objects and asks for their ids: a stream with much data gets its own, all others share one.
//
// A crash leaves prepared ids, which expire.
func (s *Storage) prepare(ctx context.Context, items []*uploadItem) (ObjectID, []*uploadObject, error) {
	var objects []*uploadObject
	shared := &uploadObject{kind: StreamSetObject}
	for _, it := range items {
		if it.bytes >= s.opts.StreamSplitBytes {
			objects = append(objects, &uploadObject{kind: StreamObject, items: []*uploadItem{it}})
		} else {
			shared.items = append(shared.items, it)
		}
	}
	if len(shared.items) > 0 {
		if len(shared.items) == 1 {
			shared.kind = StreamObject
		}
		objects = append(objects, shared)
	}
	first, err := s.meta.PrepareObjects(ctx, len(objects))
	if err != nil {
		return 0, nil, fmt.Errorf("s3stream: prepare %d objects: %w", len(objects), err)
	}
	for i, o := range objects {
		o.id = first + ObjectID(i)
	}
	return first, objects, nil
}

// load reads the records that are only on the WAL device, block by block in WAL order, into memory of their own. There is at most one
// segment in such memory.
func (s *Storage) load(ctx context.Context, items []*uploadItem) error {
	byStream := make(map[StreamID]*uploadItem)
	wanted := make(map[wal.Position]bool)
	for _, it := range items {
		if !it.onDevice {
			continue
		}
		byStream[it.tail.id] = it
		it.loaded = nil
		it.part.each(it.from, func(e *entry) bool {
			if e.mem == nil {
				wanted[e.block] = true
			}
			return true
		})
	}
	blocks := make([]wal.Position, 0, len(wanted))
	for b := range wanted {
		blocks = append(blocks, b)
	}
	slices.Sort(blocks)
	for _, b := range blocks {
		d, err := s.readDevice(ctx, b)
		if err != nil {
			return fmt.Errorf("s3stream: read back for upload: %w", err)
		}
		for _, r := range d.records {
			it := byStream[r.stream]
			if it == nil || r.first < it.from || r.next > it.end {
				continue
			}
			it.loaded = append(it.loaded, Record{First: r.first, Next: r.next, MaxTimestamp: r.maxTimestamp, Payload: d.payload[r.start:r.end:r.end]})
		}
	}
	return nil
}

// records calls fn for the records of the item, in order: those read back, and those in memory.
func (it *uploadItem) records(fn func(Record) error) error {
	next, loaded := it.from, it.loaded
	var err error
	emit := func(r Record) bool {
		if r.Next <= next {
			return true // in memory and on the device: the block holds both
		}
		if r.First != next && next > it.committed {
			err = fmt.Errorf("BUG: s3stream: upload of stream %d: record at offset %d follows offset %d", it.tail.id, r.First, next)
			return false
		}
		if err = fn(r); err != nil {
			return false
		}
		next = r.Next
		return true
	}
	it.part.each(it.from, func(e *entry) bool {
		if e.mem != nil {
			return emit(Record{First: e.first, Next: e.next, MaxTimestamp: e.maxTimestamp, Payload: e.data})
		}
		for len(loaded) > 0 && loaded[0].Next <= e.next {
			r := loaded[0]
			loaded = loaded[1:]
			if r.First >= e.first && !emit(r) {
				return false
			}
		}
		if next < e.next {
			err = fmt.Errorf("BUG: s3stream: upload of stream %d: the device has up to offset %d, the index %d", it.tail.id, next, e.next)
		}
		return err == nil
	})
	if err == nil && next != it.end {
		err = fmt.Errorf("BUG: s3stream: upload of stream %d ends at offset %d, want %d", it.tail.id, next, it.end)
	}
	return err
}
