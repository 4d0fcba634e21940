package share

import (
	"slices"
	"sort"
)

// State of a record, in Kafka's numbers.
type State int8

// The states.
const (
	Available    State = 0 // may be delivered
	Acquired     State = 1 // is with a member; never written
	Acknowledged State = 2 // done
	Archived     State = 4 // done with: rejected, not there, or delivered too often
)

// Terminal says that a record will not be delivered any more.
func (s State) Terminal() bool { return s == Acknowledged || s == Archived }

// Batch is what is written about offsets in one state.
type Batch struct {
	First, Last int64 // both included
	State       State
	Deliveries  int16
}

// Combine is what older batches, in order and without overlap, come to when newer ones are laid over them, one after the other, and everything below
// start is left out. Neighbours that say the same become one. The arguments are not modified.
func Combine(older, newer []Batch, start int64) []Batch {
	out := slices.Clone(older)
	for _, n := range newer {
		out = overlay(out, n)
	}
	kept := out[:0]
	for _, b := range out {
		b.First = max(b.First, start)
		if b.Last < b.First {
			continue
		}
		if k := len(kept) - 1; k >= 0 && kept[k].Last+1 == b.First && kept[k].State == b.State && kept[k].Deliveries == b.Deliveries {
			kept[k].Last = b.Last
			continue
		}
		kept = append(kept, b)
	}
	return kept
}

// overlay puts one batch over an ordered list.
func overlay(list []Batch, n Batch) []Batch {
	if n.Last < n.First {
		return list
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].Last >= n.First })
	j := sort.Search(len(list), func(i int) bool { return list[i].First > n.Last })
	var put [3]Batch
	k := 0
	if i < j && list[i].First < n.First {
		put[k] = list[i]
		put[k].Last = n.First - 1
		k++
	}
	put[k] = n
	k++
	if i < j && list[j-1].Last > n.Last {
		put[k] = list[j-1]
		put[k].First = n.Last + 1
		k++
	}
	return slices.Replace(list, i, max(i, j), put[:k]...)
}

// appendBatch adds to a list of what is to be written.
func appendBatch(list []Batch, b Batch) []Batch {
	if k := len(list) - 1; k >= 0 && list[k].Last+1 == b.First && list[k].State == b.State && list[k].Deliveries == b.Deliveries {
		list[k].Last = b.Last
		return list
	}
	return append(list, b)
}
