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

// OpenAt returns the numbers of the writes that have started and not ended before event at.
func (d *Disk) OpenAt(at int) []int {
	var open []int
	for _, e := range d.History()[:at] {
		switch e.Kind {
		case Start:
			open = append(open, e.ID)
		case End:
			for i, id := range open {
				if id == e.ID {
					open = append(open[:i], open[i+1:]...)
					break
				}
			}
		}
	}
	return open
}

// PowerFailure returns the disk as it is after power failed before event at. fate tells what survives of each open write.
func (d *Disk) PowerFailure(at int, fate func(id int) Survival, rng *rand.Rand) *Disk {
	return FromImage(d.image(at, fate, rng))
}

// Kill returns the disk as it is after the process was killed before event at and power stayed. What survives in reads is told by fate;
// unless Flush follows, a power failure before it may still take any open write away, as lasting tells.
func (d *Disk) Kill(at int, fate, lasting func(id int) Survival, rng *rand.Rand) *Disk {
	shown := d.image(at, fate, rng)
	// What is stable is also shown: never more than reads show.
	stable := d.image(at, func(id int) Survival {
		if fate(id) == Whole && lasting(id) == Whole {
			return Whole
		}
		return Nothing
	}, rng)
	return &Disk{stable: stable, base: shown, view: append([]byte(nil), shown...)}
}

// image applies the history before event at.
func (d *Disk) image(at int, fate func(id int) Survival, rng *rand.Rand) []byte {
	history := d.History()
	ended := map[int]bool{}
	flushed := -1
	for i, e := range history[:at] {
		switch e.Kind {
		case End:
			ended[e.ID] = true
		case Flush:
			flushed = i
		}
	}
	image := append([]byte(nil), d.stable...)
	if flushed >= 0 {
		copy(image, d.base)
	}
	for i, e := range history[:at] {
		if e.Kind != Start {
			continue
		}
		how := Whole
		if !ended[e.ID] && i > flushed {
			how = fate(e.ID)
		}
		tear(image[e.Off:], e.Data, how, rng)
	}
	return image
}

// tear stores a part of data.
func tear(dst, data []byte, how Survival, rng *rand.Rand) {
	sectors := len(data) / Sector
	switch how {
	case Whole:
		copy(dst, data)
	case Head:
		copy(dst, data[:rng.IntN(sectors+1)*Sector])
	case Tail:
		from := rng.IntN(sectors+1) * Sector
		copy(dst[from:], data[from:])
	case Sectors:
		for i := range sectors {
			if rng.IntN(2) == 0 {
				copy(dst[i*Sector:], data[i*Sector:(i+1)*Sector])
			}
		}
	}
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
