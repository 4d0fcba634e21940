package share

import "fmt"

// Types of acknowledgements, in Kafka's numbers.
const (
	Gap     int8 = 0 // there is no record at the offset
	Accept  int8 = 1
	Release int8 = 2 // deliver it again
	Reject  int8 = 3 // do not
	Renew   int8 = 4 // the member needs more time
)

// Ack is what a member says of the offsets First to Last, both included: one type for all of them, or one for each.
type Ack struct {
	First, Last int64
	Types       []int8
}

// Refusal is why an acknowledgement does not count. None of the others of its request does either.
type Refusal struct {
	Malformed bool // the request is wrong in itself; otherwise the records are not the member's (any more)
	Message   string
}

func (e *Refusal) Error() string { return "share: " + e.Message }

func refuse(malformed bool, format string, args ...any) *Refusal {
	return &Refusal{malformed, fmt.Sprintf(format, args...)}
}

// Change is what is under way until Complete. ID 0: there is nothing to write.
type Change struct {
	ID      uint64
	Batches []Batch // to be written
}

// Acknowledge begins what a member's acknowledgements change.
func (r *Records) Acknowledge(member string, now int64, acks []Ack, limits Limits) (Change, *Refusal) {
	c := Change{ID: r.changes + 1}
	r.changes++
	for i := range acks {
		if err := r.acknowledge(&c, member, now, &acks[i], limits); err != nil {
			r.Complete(c.ID, false, now, limits)
			return Change{}, err
		}
	}
	if len(c.Batches) == 0 {
		c.ID = 0
	}
	return c, nil
}

func (r *Records) acknowledge(c *Change, member string, now int64, a *Ack, limits Limits) *Refusal {
	if n := len(a.Types); a.Last < a.First || n == 0 || n > 1 && int64(n) != a.Last-a.First+1 {
		return refuse(true, "Offsets %d to %d with %d acknowledge types.", a.First, a.Last, n)
	}
	for _, t := range a.Types {
		if t < Gap || t > Renew {
			return refuse(true, "Invalid acknowledge type: %v", a.Types)
		}
	}
	if a.Last < r.start {
		return nil // done already, or gone from the log
	}
	if err := r.owned(member, a, limits); err != nil {
		return err
	}
	r.edit(max(a.First, r.start), a.Last, func(x run, emit func(run)) {
		for at := x.first; at <= x.last; {
			t, end := a.typeAt(at, x.last)
			part := x
			part.first, part.last = at, end
			if t == Renew {
				part.deadline = now + limits.LockMillis
			} else {
				part.state, part.change = target(t, &part, limits.MaxDeliveries), c.ID
				c.Batches = appendBatch(c.Batches, Batch{at, end, part.state, part.deliveries})
			}
			emit(part)
			at = end + 1
		}
	})
	return nil
}

// owned checks that a member has all the offsets of an acknowledgement.
func (r *Records) owned(member string, a *Ack, limits Limits) *Refusal {
	if len(r.runs) == 0 || r.runs[0].first > a.First && a.First >= r.start {
		return refuse(false, "Batch record not found. The request batch offsets are not found in the cache.")
	}
	i, j := r.overlapping(a.First, a.Last)
	switch {
	case i == j:
		return refuse(true, "Batch record not found. The first offset in request is past acquired records.")
	case r.runs[j-1].last < a.Last:
		return refuse(true, "Batch record not found. The last offset in request is past acquired records.")
	}
	for ; i < j; i++ {
		switch x := &r.runs[i]; {
		case x.change != 0:
			return refuse(false, "The record state is invalid. The acknowledgement of delivery could not be completed.")
		case x.state != Acquired:
			return refuse(false, "The batch cannot be acknowledged. The batch is not in the acquired state.")
		case x.member != member:
			return refuse(false, "Member is not the owner of batch record")
		}
	}
	for _, t := range a.Types {
		if t == Renew && !limits.Renew {
			return refuse(false, "Renewing acquisition locks is not enabled for the group.")
		}
	}
	return nil
}

// typeAt is the type that holds at an offset, and up to where it does, no further than last.
func (a *Ack) typeAt(offset, last int64) (t int8, end int64) {
	if len(a.Types) <= 1 {
		return a.Types[0], last
	}
	t, end = a.Types[offset-a.First], offset
	for end < last && a.Types[end+1-a.First] == t {
		end++
	}
	return t, end
}

func target(t int8, x *run, limit int) State {
	switch t {
	case Accept:
		return Acknowledged
	case Release:
		return x.release(limit)
	}
	return Archived
}

// Release begins to take back everything that a member has.
func (r *Records) Release(member string, limits Limits) Change {
	c := Change{ID: r.changes + 1}
	r.changes++
	r.edit(r.start, r.next-1, func(x run, emit func(run)) {
		if x.state == Acquired && x.member == member {
			x.state, x.change = x.release(limits.MaxDeliveries), c.ID
			c.Batches = appendBatch(c.Batches, Batch{x.first, x.last, x.state, x.deliveries})
		}
		emit(x)
	})
	if len(c.Batches) == 0 {
		c.ID = 0
	}
	return c
}

// Complete ends a change: it is durable if ok. Otherwise the records are with their members again, or available if their time is up. moved says that the
// start has.
func (r *Records) Complete(id uint64, ok bool, now int64, limits Limits) (moved bool) {
	r.edit(r.start, r.next-1, func(x run, emit func(run)) {
		switch {
		case x.change != id:
		case ok:
			x.settle(x.state)
			r.look = r.look || x.state == Available
		case x.deadline <= now:
			x.settle(x.release(limits.MaxDeliveries))
			r.look = true
		default:
			x.state, x.change = Acquired, 0
		}
		emit(x)
	})
	return r.advance()
}

// Expire takes back what members have had for too long, and returns what is to be written of it.
func (r *Records) Expire(now int64, limits Limits) (batches []Batch) {
	r.edit(r.start, r.next-1, func(x run, emit func(run)) {
		if x.state == Acquired && x.deadline <= now {
			x.settle(x.release(limits.MaxDeliveries))
			r.look = true
			batches = appendBatch(batches, Batch{x.first, x.last, x.state, x.deliveries})
		}
		emit(x)
	})
	if len(batches) > 0 {
		r.advance()
	}
	return batches
}
