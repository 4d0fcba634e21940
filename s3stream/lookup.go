package s3stream

import (
	"context"
	"fmt"
	"time"
)

// Extent is a run of offsets that an index knows.
type Extent struct {
	First, Next  int64
	MaxTimestamp int64 // ms, largest in it
}

// FirstAtOrAfter finds the first record, behind offset from, whose MaxTimestamp is at least timestamp: the extent (one record, or a block of records, cut at Start and
// Confirmed) that begins at or before it and ends behind it. False when there is none. Only indexes are read, except where Start or Confirmed
// cuts a block: then its records are looked at. It may have to wait for the object store: call it from a goroutine that may block.
func (st *Stream) FirstAtOrAfter(ctx context.Context, timestamp, from int64) (Extent, bool, error) {
	return st.findExtent(ctx, from, func(max int64) bool { return max >= timestamp })
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
		e, ok, err := st.findExtent(ctx, 0, func(max int64) bool { return max >= largest })
		if ok || err != nil {
			return e, ok, err
		}
		// The record with it lies below Start, or is not confirmed: look for the largest of what is left.
		next := int64(-1)
		_, _, err = st.findExtent(ctx, 0, func(max int64) bool {
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

// findExtent returns the first extent behind offset from with a record whose largest time stamp wanted accepts. wanted must accept a range of records when it
// accepts one of them.
func (st *Stream) findExtent(ctx context.Context, from int64, wanted func(maxTimestamp int64) bool) (Extent, bool, error) {
	from = max(from, st.start.Load())
	for attempt := 0; ; {
		e, whole, ok, err := st.findOnce(ctx, from, wanted)
		if err == nil && (!ok || whole) {
			return e, ok, nil
		}
		if err == nil {
			// Only a part of it counts: does that have such a record?
			found := Extent{First: -1}
			err = st.storage.scan(ctx, st.tail, e.First, e.Next, func(r Record) error {
				if found.First < 0 && wanted(r.MaxTimestamp) {
					found = Extent{First: max(r.First, e.First), Next: r.Next, MaxTimestamp: r.MaxTimestamp}
				}
				return nil
			})
			if err == nil && found.First >= 0 {
				return found, true, nil
			}
			if err == nil {
				from = e.Next
				continue
			}
		}
		if attempt++; !moved(err) || attempt > resolveAttempts {
			return Extent{}, false, fmt.Errorf("s3stream: look up a time in stream %d: %w", st.id, err)
		}
		select {
		case <-time.After(resolvePause << attempt):
		case <-ctx.Done():
			return Extent{}, false, context.Cause(ctx)
		}
	}
}

// findOnce walks over the ranges from offset from on, into those that wanted accepts, and returns the first extent of them that wanted accepts too, cut at from
// and Confirmed. whole: nothing was cut off.
func (st *Stream) findOnce(ctx context.Context, from int64, wanted func(maxTimestamp int64) bool) (found Extent, whole, ok bool, err error) {
	if err := st.readable(); err != nil {
		return Extent{}, false, false, err
	}
	confirmed := st.confirmed.Load()
	cut := func(first, next, maxTimestamp int64) bool {
		if next > from && first < confirmed && wanted(maxTimestamp) {
			found, ok = Extent{First: max(first, from), Next: min(next, confirmed), MaxTimestamp: maxTimestamp}, true
			whole = found.First == first && found.Next == next
		}
		return !ok
	}
	st.eachRange(from, func(r Range, o *ObjectInfo) bool {
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
			err = st.storage.gone(o.ID, e)
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
	return found, whole, ok, err
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
