package share

import (
	"errors"
	"fmt"
	"math"
)

// Limits are the rules of a group. They may change between calls.
type Limits struct {
	MaxLocks      int   // records between start and end, about: a batch is taken as a whole
	MaxDeliveries int   // after so many a record is archived
	LockMillis    int64 // how long a member has a record
	Renew         bool  // whether it may have it for longer
}

// Records are the records of one partition, as a share group sees them.
type Records struct {
	runs    []run // in order, without overlap, all at or above start and below next
	scratch []run
	start   int64 // everything below is done
	next    int64 // nothing from here on has been delivered
	look    bool  // some run may be free
	changes uint64
}

// ErrState is matched by the errors of New.
var ErrState = errors.New("share: written state that contradicts itself")

// New begins with what was written: batches in order. What lies between them has been delivered before a crash, maybe, and is available.
func New(start int64, written []Batch) (*Records, error) {
	r := &Records{start: start, next: start, look: len(written) > 0}
	for _, b := range written {
		if b.First < r.next || b.Last < b.First || b.Last == math.MaxInt64 || b.State == Acquired || b.State < 0 || b.State > Archived || b.State == 3 || b.Deliveries < 0 {
			return nil, fmt.Errorf("%w: offsets %d to %d in state %d with %d deliveries, behind %d", ErrState, b.First, b.Last, b.State, b.Deliveries, r.next)
		}
		if b.First > r.next {
			r.runs = appendRun(r.runs, run{first: r.next, last: b.First - 1, origin: r.next, size: b.First - r.next})
		}
		r.runs = appendRun(r.runs, run{first: b.First, last: b.Last, state: b.State, deliveries: b.Deliveries, origin: b.First, size: b.Last - b.First + 1})
		r.next = b.Last + 1
	}
	r.advance()
	return r, nil
}

// Start is the first offset that is not done. It is what the group's lag counts from.
func (r *Records) Start() int64 { return r.start }

// Next is the offset to read from: of the first record that may be delivered.
func (r *Records) Next() int64 {
	if r.look {
		for i := range r.runs {
			if r.runs[i].free() {
				return r.runs[i].first
			}
		}
		r.look = false
	}
	return r.next
}

// InFlight is how far the end is from the start.
func (r *Records) InFlight() int64 {
	if len(r.runs) == 0 {
		return 0
	}
	return r.next - r.start
}

// Full says that nothing may be acquired now.
func (r *Records) Full(limits Limits) bool {
	return r.Next() == r.next && r.InFlight() >= int64(limits.MaxLocks)
}

// Done is how many offsets from the start on are done, or will be when the changes that are under way are complete.
func (r *Records) Done() int32 {
	n := int64(0)
	for i := range r.runs {
		if r.runs[i].state.Terminal() {
			n += r.runs[i].len()
		}
	}
	return int32(min(n, math.MaxInt32))
}

// Locks is how many records members have, and the first time at which one of them loses some. ok is false when there are none.
func (r *Records) Locks() (n, deadline int64, ok bool) {
	for i := range r.runs {
		if x := &r.runs[i]; x.state == Acquired {
			n += x.len()
			if !ok || x.deadline < deadline {
				deadline, ok = x.deadline, true
			}
		}
	}
	return n, deadline, ok
}

// MoveStart notes that the log begins at an offset now: what lies below is gone. Whoever has records of it may acknowledge them, without effect.
func (r *Records) MoveStart(offset int64) {
	if offset <= r.start {
		return
	}
	kept := r.runs[:0]
	for _, x := range r.runs {
		if x.last < offset {
			continue
		}
		x.first = max(x.first, offset)
		kept = append(kept, x)
	}
	clear(r.runs[len(kept):])
	r.runs, r.start, r.next, r.look = kept, offset, max(r.next, offset), true
	r.advance()
}

// advance moves the start over what is done.
func (r *Records) advance() (moved bool) {
	k := 0
	for k < len(r.runs) && r.runs[k].done() {
		k++
	}
	if k == 0 {
		return false
	}
	n := copy(r.runs, r.runs[k:])
	clear(r.runs[n:])
	r.runs = r.runs[:n]
	if n > 0 {
		r.start = r.runs[0].first
	} else {
		r.start = r.next
	}
	return true
}
