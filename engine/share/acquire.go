package share

import "math"

// Extent is the offsets of a record batch, both included.
type Extent struct{ First, Last int64 }

// Acquisition asks for records for a member. Extents, what was read from the log at FetchOffset, are in order.
type Acquisition struct {
	Member      string
	Now         int64
	FetchOffset int64
	Extents     []Extent
	Aborted     []Extent // batches of aborted transactions, which nobody is to get; in order
	MaxRecords  int64    // more only to the end of a batch
	BatchSize   int64    // of what is acquired as one, about
	RecordLimit bool     // MaxRecords is not to be exceeded
	Limits
}

// Delivery is records that a member has got.
type Delivery struct {
	First, Last int64
	Deliveries  int16 // of each, with this one
}

// Acquire gives records to a member: those of the extents that may be delivered.
func (r *Records) Acquire(q *Acquisition) []Delivery {
	if q.MaxRecords <= 0 || len(q.Extents) == 0 || q.Extents[len(q.Extents)-1].Last < r.start {
		return nil
	}
	last := q.Extents[len(q.Extents)-1].Last
	left := min(q.MaxRecords, int64(q.MaxLocks)-r.InFlight())
	if left <= 0 { // full: only what is there already
		if q.FetchOffset >= r.next {
			return nil
		}
		left, last = min(q.MaxRecords, r.next-q.FetchOffset), min(last, r.next-1)
	}
	r.archiveMissing(q.FetchOffset, q.Extents[0].First)
	from := max(q.Extents[0].First, r.start)
	got, left := r.acquireAgain(q, from, last, left)
	if left > 0 && last >= r.next {
		got = append(got, r.acquireNew(q, max(from, r.next), last, left)...)
	}
	if len(got) > 0 && len(q.Aborted) > 0 {
		got = r.dropAborted(got, q.Aborted)
	}
	return got
}

// archiveMissing gives up what should have been read and was not there: log compaction has taken it.
func (r *Records) archiveMissing(from, to int64) {
	if from >= to {
		return
	}
	r.edit(from, to-1, func(x run, emit func(run)) {
		if x.free() {
			x.settle(Archived)
		}
		emit(x)
	})
	r.advance()
}

// throttleFrom is the number of deliveries from which a batch is delivered in parts.
func throttleFrom(limit int) int16 { return int16(max(2, (limit+1)/2)) }

// acquireAgain takes records that were available before, batch by batch.
func (r *Records) acquireAgain(q *Acquisition, from, last, left int64) (got []Delivery, rest int64) {
	i, j := r.overlapping(from, last)
	var ranges []Delivery // to be acquired
	taken, throttled := int64(0), false
	for i < j && taken < left && !throttled {
		k, worst := i, int16(-1)
		for ; k < j && r.runs[k].origin == r.runs[i].origin; k++ {
			if r.runs[k].free() {
				worst = max(worst, r.runs[k].deliveries)
			}
		}
		throttle := worst >= throttleFrom(q.MaxDeliveries)
		if throttle && taken > 0 {
			throttled = true
			break
		}
		room := int64(math.MaxInt64)
		if q.RecordLimit {
			room = left - taken
		}
		n := int64(0)
		ranges, n = takeBatch(ranges, r.runs[i:k], from, last, room, throttle, q.MaxDeliveries)
		taken += n
		throttled = throttle && n > 0
		i = k
	}
	deadline := q.Now + q.LockMillis
	for _, d := range ranges {
		r.edit(d.First, d.Last, func(x run, emit func(run)) {
			x.state, x.member, x.deadline = Acquired, q.Member, deadline
			x.deliveries++
			emit(x)
		})
	}
	if throttled {
		return ranges, 0
	}
	return ranges, left - taken
}

// takeBatch adds what may be delivered of a batch's runs, as far as it lies in [from, last] and there is room. A batch that was delivered often gives half
// of its records, then a quarter, and those that are delivered for the last time one by one.
func takeBatch(list []Delivery, batch []run, from, last, room int64, throttle bool, limit int) (_ []Delivery, taken int64) {
	most, begun := room, len(list)
	for i := range batch {
		x := &batch[i]
		if !x.free() {
			continue
		}
		first, end := max(x.first, from), min(x.last, last)
		final := throttle && limit > 2 && int(x.deliveries) == limit-1
		if final && taken > 0 {
			break
		}
		if at := throttleFrom(limit); throttle && most == room && x.deliveries >= at {
			most = min(room, max(1, x.size>>(x.deliveries-at+1)))
		}
		n := min(end-first+1, most-taken)
		if final {
			n = min(n, 1)
		}
		if n <= 0 {
			break
		}
		d := Delivery{first, first + n - 1, x.deliveries + 1}
		if k := len(list) - 1; k >= begun && list[k].Last+1 == d.First && list[k].Deliveries == d.Deliveries {
			list[k].Last = d.Last
		} else {
			list = append(list, d)
		}
		taken += n
		if final || taken >= most {
			break
		}
	}
	return list, taken
}

// acquireNew takes records that nobody has had yet, whole batches of them.
func (r *Records) acquireNew(q *Acquisition, first, last, left int64) (got []Delivery) {
	if left < last-first+1 {
		last = min(last, q.endOfBatch(first+left-1))
	}
	fresh := len(r.runs) == 0
	deadline := q.Now + q.LockMillis
	add := func(first, last, size, origin int64, state State) {
		x := run{first: first, last: last, origin: origin, size: size, state: state}
		if state == Acquired {
			x.member, x.deadline, x.deliveries = q.Member, deadline, 1
			got = append(got, Delivery{first, last, 1})
		}
		r.runs = append(r.runs, x)
	}
	switch size := last - first + 1; {
	case q.RecordLimit && size > left:
		add(first, first+left-1, size, first, Acquired)
		add(first+left, last, size, first, Available)
		r.look = true
	case q.RecordLimit:
		add(first, last, size, first, Acquired)
	default:
		at := first
		for _, e := range q.Extents {
			if e.First > at && e.First <= last && e.First-at >= q.BatchSize {
				add(at, e.First-1, e.First-at, at, Acquired)
				at = e.First
			}
		}
		add(at, last, last-at+1, at, Acquired)
	}
	if fresh {
		r.start = first
	}
	r.next = last + 1
	return got
}

// endOfBatch is the last offset of the batch that an offset lies in.
func (q *Acquisition) endOfBatch(offset int64) int64 {
	for _, e := range q.Extents {
		if offset <= e.Last {
			if offset >= e.First {
				return e.Last
			}
			break
		}
	}
	return offset
}

// dropAborted archives what was just acquired of aborted transactions.
func (r *Records) dropAborted(got []Delivery, aborted []Extent) []Delivery {
	var out []Delivery
	k := 0
	for _, d := range got {
		for k < len(aborted) && aborted[k].Last < d.First {
			k++
		}
		for i := k; i < len(aborted) && aborted[i].First <= d.Last; i++ {
			first, last := max(aborted[i].First, d.First), min(aborted[i].Last, d.Last)
			r.edit(first, last, func(x run, emit func(run)) {
				x.settle(Archived)
				emit(x)
			})
			if d.First < first {
				out = append(out, Delivery{d.First, first - 1, d.Deliveries})
			}
			d.First = last + 1
		}
		if d.First <= d.Last {
			out = append(out, d)
		}
	}
	r.advance()
	return out
}
