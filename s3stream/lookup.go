package s3stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// Extent is a run of offsets that an index knows.
type Extent struct {
	First, Next  int64
	MaxTimestamp int64 // ms, largest in it
}

// FirstAtOrAfter finds the first record whose MaxTimestamp is at least timestamp, as far as indexes tell: the extent (one record, or a block of
// records, cut at Start and Confirmed) that holds it. False when there is none. It reads no data, but it may have to fetch the index of an object: call it
// from a goroutine that may block.
func (st *Stream) FirstAtOrAfter(ctx context.Context, timestamp int64) (Extent, bool, error) {
	return st.findExtent(ctx, func(max int64) bool { return max >= timestamp })
}

// MaxTimestamp finds the first extent with the largest MaxTimestamp of the stream. False when the stream is empty or nothing in it has a time.
func (st *Stream) MaxTimestamp(ctx context.Context) (Extent, bool, error) {
	largest := int64(-1)
	confirmed := st.confirmed.Load()
	st.eachRange(st.start.Load(), func(r Range, _ *ObjectInfo) bool {
		if r.Start >= confirmed {
			return false
		}
		largest = max(largest, r.MaxTimestamp)
		return true
	})
	for largest >= 0 {
		e, ok, err := st.findExtent(ctx, func(max int64) bool { return max >= largest })
		if ok || err != nil {
			return e, ok, err
		}
		// The record with it lies below Start, or is not confirmed: look for the largest of what is left.
		next := int64(-1)
		_, _, err = st.findExtent(ctx, func(max int64) bool {
			if max < largest && max > next {
				next = max
			}
			return false
		})
		if err != nil {
			return Extent{}, false, err
		}
		largest = next
	}
	return Extent{}, false, nil
}

// findExtent walks over the ranges, into those whose largest time stamp wanted accepts, and returns the first extent of them that wanted accepts too.
func (st *Stream) findExtent(ctx context.Context, wanted func(maxTimestamp int64) bool) (Extent, bool, error) {
	for attempt := 0; ; attempt++ {
		e, ok, err := st.findOnce(ctx, wanted)
		if err == nil || !moved(err) || attempt == resolveAttempts {
			return e, ok, err
		}
		select {
		case <-time.After(resolvePause << attempt):
		case <-ctx.Done():
			return Extent{}, false, context.Cause(ctx)
		}
	}
}

func (st *Stream) findOnce(ctx context.Context, wanted func(maxTimestamp int64) bool) (found Extent, ok bool, err error) {
	if err := st.readable(); err != nil {
		return Extent{}, false, err
	}
	start, confirmed := st.start.Load(), st.confirmed.Load()
	cut := func(first, next, maxTimestamp int64) bool {
		if next > start && first < confirmed && wanted(maxTimestamp) {
			found, ok = Extent{First: max(first, start), Next: min(next, confirmed), MaxTimestamp: maxTimestamp}, true
		}
		return !ok
	}
	st.eachRange(start, func(r Range, o *ObjectInfo) bool {
		if r.Start >= confirmed {
			return false
		}
		if !wanted(r.MaxTimestamp) {
			return true
		}
		if o == nil {
			return st.tail.eachEntry(r, cut)
		}
		rd, e := st.storage.indexes.get(ctx, *o)
		if e != nil {
			if errors.Is(e, objstore.ErrNotFound) {
				st.storage.indexes.drop(o.ID)
			}
			err = fmt.Errorf("s3stream: look up a time in stream %d: %w", st.id, e)
			return false
		}
		blocks, _ := rd.Index().Stream(int64(st.id))
		for _, b := range blocks {
			if b.Next > r.Start && b.First < r.End && !cut(b.First, b.Next, b.MaxTimestamp) {
				return false
			}
		}
		return true
	})
	return found, ok, err
}

// eachEntry calls fn for the entries of a range of the tail until it returns false, and returns what fn did last.
func (t *tail) eachEntry(r Range, fn func(first, next, maxTimestamp int64) bool) (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	more = true
	for i := t.findPart(r.Start); i < len(t.mu.parts) && t.mu.parts[i].start < r.End && more; i++ {
		t.mu.parts[i].each(r.Start, func(e *entry) bool {
			if e.first < r.End {
				more = fn(e.first, e.next, e.maxTimestamp)
			}
			return more && e.first < r.End
		})
	}
	return more
}
