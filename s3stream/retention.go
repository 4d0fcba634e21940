package s3stream

import (
	"context"
	"fmt"
	"math"
)

// objectPage is how many objects a walk over a stream asks the metadata for at a time.
const objectPage = 256

// eachRange calls fn for what the stream has from offset from on, in order, until it returns false: the ranges of its objects, then the parts
// of its tail that are not in objects.
func (st *Stream) eachRange(from int64, fn func(r Range, o *ObjectInfo) bool) {
	var objs []ObjectInfo
	for {
		objs = st.storage.meta.Objects(objs[:0], st.id, from, objectPage)
		for i := range objs {
			r := objs[i].Ranges[0]
			if r.End <= from {
				continue
			}
			if !fn(r, &objs[i]) {
				return
			}
			from = r.End
		}
		if len(objs) == objectPage {
			continue
		}
		rest, end := st.tail.ranges(from)
		next := end
		if len(rest) > 0 {
			next = rest[0].Start
		}
		if next > from && len(st.storage.meta.Objects(objs[:0], st.id, from, 1)) > 0 {
			continue // a commit came between, and what it took over has left the tail already
		}
		for _, r := range rest {
			if !fn(r, nil) {
				return
			}
		}
		return
	}
}

// ranges returns the parts of the tail behind offset from, and the end of the stream.
func (t *tail) ranges(from int64) (out []Range, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.mu.parts {
		if p.end <= from {
			continue
		}
		r := Range{Stream: t.id, Epoch: p.epoch, Start: p.start, End: p.end, Bytes: p.bytes, MaxTimestamp: p.maxTimestamp}
		if p.start < from { // uploaded in part
			r.Start, r.Bytes, r.MaxTimestamp = from, 0, -1
			p.each(from, func(e *entry) bool {
				r.Bytes += e.size
				r.MaxTimestamp = max(r.MaxTimestamp, e.maxTimestamp)
				return true
			})
		}
		out = append(out, r)
	}
	return out, t.mu.end
}

// above is how many of the range's bytes lie at or behind offset start, in proportion of offsets.
func above(r Range, start int64) int64 {
	if start <= r.Start {
		return r.Bytes
	}
	if start >= r.End {
		return 0
	}
	return int64(float64(r.Bytes) * (float64(r.End-start) / float64(r.End-r.Start)))
}

// Sizes is the number of payload bytes from Start to the end. Objects that Start cuts in two count in proportion.
func (st *Stream) Sizes() int64 { return st.BytesFrom(st.start.Load()) }

// BytesFrom is Sizes from another offset on.
func (st *Stream) BytesFrom(from int64) (n int64) {
	st.eachRange(from, func(r Range, _ *ObjectInfo) bool {
		n += above(r, from)
		return true
	})
	return n
}

// Retain returns the offset to which Trim would bring the stream to keep retentionMillis and retentionBytes (negative: no limit): never
// above Confirmed, in steps of objects and of what was gathered for one upload. nowMillis is the time since the epoch.
func (st *Stream) Retain(nowMillis, retentionMillis, retentionBytes int64) (start int64) {
	start = st.start.Load()
	confirmed := st.confirmed.Load()
	excess := int64(-1) // how much there is too much of; -1: nothing, or no limit
	if retentionBytes >= 0 {
		excess = max(-1, st.Sizes()-retentionBytes)
	}
	old := int64(math.MinInt64)
	if retentionMillis >= 0 {
		old = nowMillis - retentionMillis
	}
	st.eachRange(start, func(r Range, _ *ObjectInfo) bool {
		n := above(r, start)
		expired := r.MaxTimestamp >= 0 && r.MaxTimestamp < old
		if r.End > confirmed || !expired && n > excess {
			return false
		}
		excess = max(-1, excess-n)
		start = r.End
		return true
	})
	return start
}

// Trim moves Start: at once for readers, durably when it returns nil. Above Confirmed: ErrOutOfRange. At or below a Start that is durable:
// nothing happens. What is not uploaded yet is uploaded first, because the metadata cannot trim what it does not know.
//
// A crash before it returns leaves the old Start or the new one.
func (st *Stream) Trim(ctx context.Context, start int64) error {
	s := st.storage
	if err := st.readable(); err != nil {
		return err
	}
	if c := st.confirmed.Load(); start > c {
		return fmt.Errorf("%w: trim to %d, stream %d is confirmed to %d", ErrOutOfRange, start, st.id, c)
	}
	for {
		was := st.start.Load()
		if start <= was || st.start.CompareAndSwap(was, start) {
			break
		}
	}
	if start <= st.trimmed.Load() {
		return nil
	}
	if info, ok := s.meta.Stream(st.id); ok && start > info.End {
		if err := s.Flush(ctx); err != nil {
			return fmt.Errorf("s3stream: trim stream %d to %d: %w", st.id, start, err)
		}
	}
	if err := s.meta.TrimStream(ctx, st.id, st.epoch, start); err != nil {
		return fmt.Errorf("s3stream: trim stream %d to %d: %w", st.id, start, err)
	}
	for {
		was := st.trimmed.Load()
		if start <= was || st.trimmed.CompareAndSwap(was, start) {
			return nil
		}
	}
}
