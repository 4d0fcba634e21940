package s3stream

import (
	"context"
	"fmt"
	"time"

	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
)

const (
	// rewriteBytes and rewriteObjects bound what one step of a rewrite takes in, unless a single object is larger.
	rewriteBytes   = 128 << 20
	rewriteObjects = 64
)

// Verdict is what an Editor makes of a record.
type Verdict = object.Verdict

// The verdicts. For Replace the Editor has set the record's Payload, to memory that nobody changes any more, and its MaxTimestamp.
const (
	Keep    = object.Keep
	Replace = object.Replace
	Drop    = object.Drop
)

// Editor decides about the records of a stream that is rewritten. It is asked in the order of offsets, and may be asked again about what follows a Mark.
type Editor interface {
	// Edit says what becomes of a record; its payload is valid only during the call. must: the record may not be dropped, because nothing else would be left
	// of the object that it is written to.
	Edit(r *Record, must bool) (Verdict, error)
	// Mark is called at a place that Rewind goes back to, more than once perhaps.
	Mark()
	Rewind()
}

// Rewrite says how a stream is to be rewritten.
type Rewrite struct {
	// To is where the rewrite ends: records at or behind it are left as they are. At most StreamInfo.End.
	To     int64
	Editor Editor
	// Pace, if it is set, is called before n bytes are read or sent, and may wait. It comes on top of Options.CompactBytesPerSecond.
	Pace func(ctx context.Context, n int64) error
}

// Rewritten is what a rewrite did.
type Rewritten struct {
	Read, Written int64 // bytes from and to the object store
	Before, After int64 // payload bytes of the objects that were looked at
	Replaced, New int   // objects
}

// Rewrite sends what lies in objects below w.To through w.Editor and commits what has changed in the place of what was, some neighbouring objects at a time, oldest first.
// In the end Stored shows w.To as Cleaned. It may wait long for the object store, and for another compaction that works on the same objects; of other objects
// there may be several at a time.
//
// A crash leaves what is committed, and objects that nobody refers to, for the sweeper: to the Editor the stream is as if it had been stopped between two
// records. Objects that are replaced stay in the bucket for DeleteRetention, for those who are reading them. ErrFenced: the stream is another node's.
func (st *Stream) Rewrite(ctx context.Context, w Rewrite) (Rewritten, error) {
	var out Rewritten
	s := st.storage
	bucket := st.pacedBucket(w.Pace)
	for from := int64(0); ; {
		end, done, err := st.rewriteStep(ctx, bucket, from, w, &out)
		if err != nil {
			return out, fmt.Errorf("s3stream: rewrite stream %d: %w", st.id, err)
		}
		if done {
			return out, nil
		}
		if end <= from {
			return out, fmt.Errorf("BUG: s3stream: rewrite of stream %d stands still at offset %d", st.id, from)
		}
		if from = end; s.ctx.Err() != nil {
			return out, ErrClosed
		}
	}
}

func (st *Stream) pacedBucket(pace func(ctx context.Context, n int64) error) objstore.Bucket {
	b := st.storage.compact.bucket
	if pace != nil {
		return &paced{Bucket: b, pace: pace}
	}
	return b
}

// rewriteStep rewrites the group of objects that begins at or behind from, and returns where it ends. done: w.To is reached, and committed.
func (st *Stream) rewriteStep(ctx context.Context, bucket objstore.Bucket, from int64, w Rewrite, out *Rewritten) (end int64, done bool, err error) {
	s := st.storage
	if err := st.readable(); err != nil {
		return 0, false, err
	}
	info, ok := s.meta.Stream(st.id)
	if !ok || info.Deleted {
		return 0, false, ErrNotFound
	}
	if w.To > info.End {
		return 0, false, fmt.Errorf("%w: rewrite up to %d, objects end at %d", ErrOutOfRange, w.To, info.End)
	}
	group, err := s.compact.claims.claim(ctx, true, func() []ObjectInfo { return s.rewriteGroup(st.id, max(from, info.Start), w.To) })
	if err != nil {
		return 0, false, err
	}
	defer s.compact.claims.release(group)
	var n *newObject
	c := RewriteCommit{Stream: st.id, Epoch: st.epoch}
	if len(group) > 0 {
		end = group[len(group)-1].Ranges[0].End
		if n, err = s.edited(ctx, bucket, group, w, out); err != nil {
			return 0, false, err
		}
	}
	if done = len(group) == 0 || end >= w.To; done {
		c.Cleaned = w.To
	}
	if n == nil && !done {
		return end, false, nil
	}
	if n != nil {
		o, err := s.writeEdited(ctx, bucket, n, w, out)
		if err != nil {
			return 0, false, err
		}
		c.New = []ObjectInfo{o}
		for _, g := range group {
			c.Replaced = append(c.Replaced, g.ID)
		}
		out.New, out.Replaced = out.New+1, out.Replaced+len(group)
	}
	if err := s.meta.RewriteStream(ctx, c); err != nil && !s.isReplaced(c.New) {
		return 0, false, fmt.Errorf("commit %d objects in the place of %d: %w", len(c.New), len(group), err)
	}
	if done {
		st.cleaned.Store(max(w.To, info.Cleaned))
	}
	if n != nil {
		s.count.compactions.Add(1)
		s.count.compactedObjects.Add(int64(len(group)))
		for _, g := range group {
			if g.Kind == StreamObject {
				s.indexes.drop(g.ID)
			}
		}
	}
	return end, done, nil
}

// rewriteGroup returns neighbouring objects from offset from on that begin before to.
func (s *Storage) rewriteGroup(id StreamID, from, to int64) []ObjectInfo {
	objs := s.meta.Objects(nil, id, from, rewriteObjects)
	size := int64(0)
	for i, o := range objs {
		r := o.Ranges[0]
		if r.Start >= to || i > 0 && (size+r.Bytes > rewriteBytes || objs[i-1].Ranges[0].End != r.Start) {
			return objs[:i]
		}
		size += r.Bytes
	}
	return objs
}

// edited asks the editor about a group of objects, up to the first record that it changes. It returns what is to be written in their place, with the editor back at the
// beginning of it; nil when they stay.
func (s *Storage) edited(ctx context.Context, bucket objstore.Bucket, group []ObjectInfo, w Rewrite, out *Rewritten) (*newObject, error) {
	readers, err := s.open(ctx, bucket, group)
	if err != nil {
		return nil, err
	}
	runs := s.liveRuns(group, readers)
	if len(runs) != 1 {
		return nil, nil // trimmed meanwhile: nothing to gain here
	}
	n := &newObject{kind: StreamObject, pieces: runs[0].pieces, ranges: []Range{runs[0].r}}
	edit := newEdit(n, w)
	w.Editor.Mark()
	changed := false
	read, err := object.Scan(ctx, n.pieces, func(r object.Record) (more bool, err error) {
		verdict, err := edit.record(&r)
		changed = err == nil && verdict != Keep
		return !changed && r.Next < w.To, err
	})
	out.Read += read
	if err != nil {
		return nil, err
	}
	if !changed {
		out.Before, out.After = out.Before+runs[0].r.Bytes, out.After+runs[0].r.Bytes
		return nil, nil
	}
	w.Editor.Rewind()
	return n, nil
}

// writeEdited writes what the editor makes of a group.
func (s *Storage) writeEdited(ctx context.Context, bucket objstore.Bucket, n *newObject, w Rewrite, out *Rewritten) (ObjectInfo, error) {
	first, err := s.meta.PrepareObjects(ctx, 1)
	if err != nil {
		return ObjectInfo{}, fmt.Errorf("prepare an object: %w", err)
	}
	n.id = first
	before := n.ranges[0].Bytes
	o := s.objectOptions()
	o.Parallel = compactParts
	res, err := object.Edit(ctx, bucket, s.key(n.id), o, n.pieces, newEdit(n, w).record)
	if err != nil {
		return ObjectInfo{}, fmt.Errorf("object %d: %w", n.id, err)
	}
	info, err := n.info(res)
	if err != nil {
		return ObjectInfo{}, err
	}
	info.Node, info.Committed = s.opts.NodeID, s.opts.Now()
	out.Read, out.Written = out.Read+res.Read, out.Written+res.Written
	out.Before, out.After = out.Before+before, out.After+info.Ranges[0].Bytes
	return info, nil
}

// edit adapts an Editor to the records of one new object.
type edit struct {
	w    Rewrite
	last int64 // the last record of the object ends here
	kept bool  // something is left of the object
}

func newEdit(n *newObject, w Rewrite) *edit {
	e := &edit{w: w}
	p := n.pieces[len(n.pieces)-1]
	blocks, _ := p.Source.Index().Stream(p.Stream)
	for _, b := range blocks {
		if b.First < p.End {
			e.last = b.Next
		}
	}
	return e
}

func (e *edit) record(r *object.Record) (Verdict, error) {
	if r.First >= e.w.To {
		e.kept = true
		return Keep, nil
	}
	sr := Record{First: r.First, Next: r.Next, MaxTimestamp: r.MaxTimestamp, Payload: r.Payload}
	must := !e.kept && r.Next >= e.last
	verdict, err := e.w.Editor.Edit(&sr, must)
	if err != nil {
		return verdict, err
	}
	switch {
	case verdict == Drop && must:
		return verdict, fmt.Errorf("BUG: s3stream: the editor dropped the record at offset %d, with which nothing is left", r.First)
	case verdict == Replace:
		r.Payload, r.MaxTimestamp = sr.Payload, sr.MaxTimestamp
	}
	e.kept = e.kept || verdict != Drop
	return verdict, nil
}

// ScanStored calls fn for the records that lie in objects and begin in [from, to), in order, until it returns false. It goes past the block cache and keeps to the pace of
// compactions, as Rewrite does; pace may be nil. The payload is valid only during the call.
func (st *Stream) ScanStored(ctx context.Context, from, to int64, pace func(ctx context.Context, n int64) error, fn func(Record) (more bool, err error)) error {
	bucket, s := st.pacedBucket(pace), st.storage
	for attempt := 0; from < to; {
		if err := st.readable(); err != nil {
			return err
		}
		group := s.rewriteGroup(st.id, from, to)
		if len(group) == 0 {
			return nil
		}
		more := true
		var readers []*object.Reader
		var err error
		if readers, err = s.open(ctx, bucket, group); err == nil {
			pieces := make([]object.Piece, len(group))
			for i, o := range group {
				pieces[i] = object.Piece{Source: readers[i], Stream: int64(st.id), Start: max(o.Ranges[0].Start, from), End: min(o.Ranges[0].End, to)}
			}
			_, err = object.Scan(ctx, pieces, func(r object.Record) (bool, error) {
				if r.Next <= from || r.First >= to {
					return r.First < to, nil
				}
				var err error
				more, err = fn(Record{First: r.First, Next: r.Next, MaxTimestamp: r.MaxTimestamp, Payload: r.Payload})
				if err == nil {
					from, attempt = r.Next, 0
				}
				return more, err
			})
		}
		switch {
		case err == nil && !more:
			return nil
		case err == nil:
			from = max(from, group[len(group)-1].Ranges[0].End)
			continue
		}
		if attempt++; !moved(err) || attempt > resolveAttempts { // compacted and deleted meanwhile
			return fmt.Errorf("s3stream: scan stream %d at offset %d: %w", st.id, from, err)
		}
		select {
		case <-time.After(resolvePause << attempt):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Stored is what of a stream lies in objects.
type Stored struct {
	Start, End int64
	Cleaned    int64 // everything below has gone through Rewrite
}

// Stored answers from the metadata.
func (st *Stream) Stored() (Stored, error) {
	if err := st.readable(); err != nil {
		return Stored{}, err
	}
	info, ok := st.storage.meta.Stream(st.id)
	if !ok || info.Deleted {
		return Stored{}, ErrNotFound
	}
	return Stored{Start: max(info.Start, st.start.Load()), End: info.End, Cleaned: info.Cleaned}, nil
}

// StoredCheckpoint returns the newest state of the owner that an object holds, and its offset; nil when there is none. It may wait for the object store.
func (st *Stream) StoredCheckpoint(ctx context.Context) (state []byte, offset int64, err error) {
	info, ok := st.storage.meta.Stream(st.id)
	if !ok || info.Deleted {
		return nil, 0, ErrNotFound
	}
	return st.storage.checkpoint(ctx, st.id, info.End)
}

// Block is a data block of the stream in an object.
type Block struct {
	First, Next  int64 // [First, Next)
	MaxTimestamp int64 // ms
	Bytes        int64 // of payload
}

// StoredBlocks calls fn for the data blocks in objects from the one that holds offset from on, until it returns false. Only indexes are read, through their cache; that
// may wait for the object store.
func (st *Stream) StoredBlocks(ctx context.Context, from int64, fn func(Block) bool) error {
	var err error
	st.eachRange(from, func(r Range, o *ObjectInfo) bool {
		if o == nil {
			return false
		}
		rd, e := st.storage.indexes.get(ctx, *o)
		if e != nil {
			err = fmt.Errorf("s3stream: index of object %d: %w", o.ID, st.storage.gone(o.ID, e))
			return false
		}
		blocks, _ := rd.Index().Stream(int64(st.id))
		for _, b := range blocks {
			if b.Next <= from || b.Next <= r.Start || b.First >= r.End {
				continue
			}
			if !fn(Block{First: b.First, Next: b.Next, MaxTimestamp: b.MaxTimestamp, Bytes: b.PayloadBytes()}) {
				return false
			}
		}
		return true
	})
	return err
}
