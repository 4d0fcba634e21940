package waltest

import (
	"math/rand/v2"
)

// Survival says what became of a write that had not ended.
type Survival uint8

// The survivals.
const (
	Nothing Survival = iota // none of it is stored
	Whole                   // all of it is
	Head                    // a leading part
	Tail                    // a trailing part
	Sectors                 // any sectors
	survivals
)

// OpenAt returns the numbers of the writes that have started before event at and are not stable: they have not ended, or are volatile and no flush
// that began after their end has ended.
func (d *Disk) OpenAt(at int) []int {
	history := d.History()[:at]
	ends := endings(history, d.Writes())
	var open []int
	for _, e := range history {
		if e.Kind == Start && !ends[e.ID].stable {
			open = append(open, e.ID)
		}
	}
	return open
}

// ending is what a history knows about the end of a write.
type ending struct{ ended, volatile, stable bool }

// endings goes through a history of so many writes.
func endings(history []Event, writes int) []ending {
	all := make([]ending, writes)
	var cached []int          // volatile writes that have ended and are not stable
	covers := map[int][]int{} // of the flushes under way
	settle := func(ids []int) {
		for _, id := range ids {
			all[id].stable = true
		}
	}
	for _, e := range history {
		switch e.Kind {
		case Start:
			all[e.ID].volatile = e.Volatile
		case End:
			w := &all[e.ID]
			if w.ended = true; w.volatile {
				cached = append(cached, e.ID)
			} else {
				w.stable = true
			}
		case Flush:
			settle(cached)
			cached = nil
		case FlushStart:
			covers[e.ID] = append([]int(nil), cached...)
		case FlushEnd:
			settle(covers[e.ID])
			left := cached[:0]
			for _, id := range cached {
				if !all[id].stable {
					left = append(left, id)
				}
			}
			cached = left
		}
	}
	return all
}

// PowerFailure returns the disk as it is after power failed before event at. fate tells what survives of each open write.
func (d *Disk) PowerFailure(at int, fate func(id int) Survival, rng *rand.Rand) *Disk {
	return d.PowerFailureKeeping(at, func(id, sectors int) Kept { return keep(fate(id), sectors, rng) })
}

// PowerFailureKeeping is PowerFailure with a say about every sector: kept tells which sectors of an open write of so many are stored.
func (d *Disk) PowerFailureKeeping(at int, kept func(id, sectors int) Kept) *Disk {
	c := d.image(at, kept, stable)
	return newDisk(d.size, c, c)
}

// Kill returns the disk as it is after the process was killed before event at and power stayed. What survives in reads is told by fate;
// unless Flush follows, a power failure before it may still take any open write away, as lasts tells.
func (d *Disk) Kill(at int, fate, lasts func(id int) Survival, rng *rand.Rand) *Disk {
	chosen := map[int]Kept{} // the same in both pictures
	kept := func(id, sectors int) Kept {
		k, ok := chosen[id]
		if !ok {
			k = keep(fate(id), sectors, rng)
			chosen[id] = k
		}
		return k
	}
	base, lasting := d.image(at, kept, shown), d.image(at, kept, flushable)
	// What is stable is also shown: never more than reads show.
	k := newDisk(d.size, d.image(at, func(id, _ int) Kept {
		if fate(id) == Whole && lasts(id) == Whole {
			return AllSectors
		}
		return nil
	}, stable), base)
	k.lasting = lasting
	return k
}

// The pictures that a disk has of itself.
type picture uint8

const (
	shown     picture = iota // what reads show
	flushable                // what a flush would make stable of it: all but the stale writes
	stable                   // what power leaves
)

// image applies the history before event at.
func (d *Disk) image(at int, kept func(id, sectors int) Kept, of picture) canvas {
	history := d.History()
	ends := endings(history[:at], d.Writes())
	flushed := -1
	for i, e := range history[:at] {
		if e.Kind == Flush {
			flushed = i
		}
	}
	c := d.stable.copy()
	switch {
	case of == shown:
		c = d.base.copy()
	case of == flushable || flushed >= 0:
		c = d.lasting.copy()
	}
	for i, e := range history[:at] {
		if e.Kind != Start || e.Stale && of != shown {
			continue
		}
		if w := ends[e.ID]; w.stable || w.ended && of != stable || i <= flushed && !w.volatile {
			c.put(e.Off, e.Data)
			continue
		}
		k := kept(e.ID, len(e.Data)/Sector)
		if k == nil {
			continue
		}
		for s := 0; s < len(e.Data)/Sector; { // in runs: whole pages are shared
			from := s
			for s < len(e.Data)/Sector && k(s) {
				s++
			}
			c.put(e.Off+int64(from)*Sector, e.Data[from*Sector:s*Sector])
			for s < len(e.Data)/Sector && !k(s) {
				s++
			}
		}
	}
	return c
}

// Kept says of each sector of a write whether it is stored; nil: none is.
type Kept func(sector int) bool

// AllSectors are kept.
func AllSectors(int) bool { return true }

// HeadOf keeps the first n sectors.
func HeadOf(n int) Kept { return func(sector int) bool { return sector < n } }

// TailFrom keeps all sectors from n on.
func TailFrom(n int) Kept { return func(sector int) bool { return sector >= n } }

// SectorSet keeps the sectors whose bits are set, of a write of at most 64.
func SectorSet(bits uint64) Kept { return func(sector int) bool { return bits>>sector&1 == 1 } }

// keep picks the sectors that a survival stands for.
func keep(how Survival, sectors int, rng *rand.Rand) Kept {
	switch how {
	case Whole:
		return AllSectors
	case Head:
		return HeadOf(rng.IntN(sectors + 1))
	case Tail:
		return TailFrom(rng.IntN(sectors + 1))
	case Sectors:
		set := make([]uint64, (sectors+63)/64)
		for i := range set {
			set[i] = rng.Uint64()
		}
		return func(sector int) bool { return set[sector/64]>>(sector%64)&1 == 1 }
	}
	return nil
}

// RandomFate picks a survival for each write, the same for the same write.
func RandomFate(seed uint64) func(id int) Survival {
	return func(id int) Survival {
		return Survival(rand.New(rand.NewPCG(seed, uint64(id))).IntN(int(survivals)))
	}
}

// Subsets calls fn with every way in which each of the open writes survives whole or not at all, at most 1<<limit of them.
func Subsets(open []int, limit int, fn func(fate func(id int) Survival)) {
	n := min(len(open), limit)
	for mask := range uint64(1) << n {
		fn(func(id int) Survival {
			for i, o := range open[:n] {
				if o == id && mask>>i&1 == 1 {
					return Whole
				}
			}
			return Nothing
		})
	}
}
