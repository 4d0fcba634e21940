package share

import (
	"slices"
	"sort"
)

// run is offsets in one state that follow each other.
type run struct {
	first, last int64 // both included
	state       State // while a change is under way: what it leads to
	deliveries  int16
	origin      int64  // first offset of the batch that it was delivered in
	size        int64  // offsets of that batch
	member      string // who has it, or had it before the change that is under way
	deadline    int64  // until when
	change      uint64 // that is under way; 0: none
}

func (r *run) len() int64 { return r.last - r.first + 1 }

// free says that the run may be delivered.
func (r *run) free() bool { return r.state == Available && r.change == 0 }

// done says that the start may move over the run.
func (r *run) done() bool { return r.state.Terminal() && r.change == 0 }

// settle makes the state of a run final.
func (r *run) settle(s State) { r.state, r.change, r.member, r.deadline = s, 0, "", 0 }

// release is the state that a run gets whose member has not processed it.
func (r *run) release(limit int) State {
	if int(r.deliveries) >= limit {
		return Archived
	}
	return Available
}

// joins says that b goes on where a ends, and that nothing tells them apart.
func (r *run) joins(b *run) bool {
	if r.last+1 != b.first || r.state != b.state || r.change != b.change {
		return false
	}
	return r.done() || r.origin == b.origin && r.deliveries == b.deliveries && r.member == b.member && r.deadline == b.deadline
}

// appendRun adds a run to a list in order.
func appendRun(list []run, r run) []run {
	if k := len(list) - 1; k >= 0 && list[k].joins(&r) {
		list[k].last = r.last
		return list
	}
	return append(list, r)
}

// overlapping is the part of the list, half-open, that has offsets in [first, last].
func (r *Records) overlapping(first, last int64) (i, j int) {
	i = sort.Search(len(r.runs), func(i int) bool { return r.runs[i].last >= first })
	j = sort.Search(len(r.runs), func(i int) bool { return r.runs[i].first > last })
	return i, max(i, j)
}

// edit puts what fn emits, in order, in the place of each run's part in [first, last].
func (r *Records) edit(first, last int64, fn func(part run, emit func(run))) {
	i, j := r.overlapping(first, last)
	if i == j {
		return
	}
	out := r.scratch[:0]
	from, to := i, j
	if from > 0 { // what changes may join its neighbours
		from--
		out = append(out, r.runs[from])
	}
	emit := func(x run) { out = appendRun(out, x) }
	for k := i; k < j; k++ {
		x := r.runs[k]
		inner := x
		if x.first < first {
			left := x
			left.last, inner.first = first-1, first
			emit(left)
		}
		inner.last = min(inner.last, last)
		fn(inner, emit)
		if x.last > last {
			x.first = last + 1
			emit(x)
		}
	}
	if to < len(r.runs) {
		emit(r.runs[to])
		to++
	}
	r.runs = slices.Replace(r.runs, from, to, out...)
	clear(out)
	r.scratch = out[:0]
}
