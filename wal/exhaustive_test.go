package wal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

// TestEveryCrash takes small histories of small blocks to every crash point there is: before each event, with every combination of open writes
// that are stored or not, and for each open write every head and every tail of its sectors, beside every combination of the others. With
// RINGMQ_SOAK, in more and deeper histories, and with every set of an open write's sectors where all others are stored, or none.
func TestEveryCrash(t *testing.T) {
	t.Parallel()
	soak := os.Getenv("RINGMQ_SOAK") != ""
	seeds := uint64(6)
	if soak {
		seeds = 10
	}
	for _, how := range syncMethods {
		points, images := 0, 0
		for seed := range seeds {
			if how == wal.SyncRWF && seed > 0 || how == wal.SyncFdatasync && seed > 2 && !soak {
				break // a Disk does not tell the one from SyncDSync; the other has four times as many fates
			}
			s, depth := newStory(seed), 2
			if soak {
				depth += int(seed % 2)
			}
			d, r := s.smallHistory(t, how, depth)
			for at := range len(d.History()) + 1 {
				points += s.everyFate(d, at, soak, func(what string, crashed *waltest.Disk) {
					images++
					if err := s.probe(crashed, r, at); err != nil {
						t.Fatalf("%s, seed %d, crash before event %d of %d, %s: %v", how, seed, at, len(d.History()), what, err)
					}
				})
			}
		}
		t.Logf("%s: %d crash points, %d recoveries", how, points, images)
	}
}

// TestEveryCrashSeesFaults: crashes at every point that take one open write away catch a log that makes a mistake with its flushes. (Without flushes
// every write stays open, so the sets of them cannot all be tried.)
func TestEveryCrashSeesFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []wal.FlushFault{wal.NoFlush, wal.EarlyFlush} {
		s := newStory(1)
		s.fault = fault
		d, r := s.smallHistory(t, wal.SyncFdatasync, 2)
		s.fault = wal.NoFault
		caught := 0
		for at := range len(d.History()) + 1 {
			for _, lost := range d.OpenAt(at) {
				crashed := d.PowerFailureKeeping(at, func(id, _ int) waltest.Kept {
					if id == lost {
						return nil
					}
					return waltest.AllSectors
				})
				if s.probe(crashed, r, at) != nil {
					caught++
				}
			}
		}
		if caught == 0 {
			t.Errorf("fault %d: no crash shows it", fault)
		}
		t.Logf("fault %d: %d crashes show it", fault, caught)
	}
}

// smallHistory is a life on a disk that already has records of an earlier generation: a dozen blocks of a page or two, up to depth in flight, a trim, a close.
func (s *story) smallHistory(t *testing.T, how wal.SyncMethod, depth int) (*waltest.Disk, *run) {
	t.Helper()
	d := blank().Snapshot()
	for life := range 2 {
		o := storyOptions()
		o.QueueDepth, o.GatherBytes, o.BlockBytes, o.Sync = depth, 1, pageBytes, how
		l, st, found, err := s.recoverStepped(d, o)
		if err != nil {
			t.Fatal(err)
		}
		r := &run{disk: d, lineage: found, known: len(found), sure: len(found)} // the first life was closed
		r.cond = sync.NewCond(&r.mu)
		for i := range 10 {
			size := s.rng.IntN(3000) + 1100
			if i == 6 {
				size = 5000
			}
			r.lineage = append(r.lineage, rec{data: noise()[i*pageBytes:][:size]})
			e, err := l.Append(ack{r, len(r.lineage) - 1}, nil, r.lineage[len(r.lineage)-1].data)
			if err != nil {
				t.Fatal(err)
			}
			e.Mem.Unref()
			r.lineage[len(r.lineage)-1].pos = e.Pos
			for range s.rng.IntN(3) {
				st.Step()
			}
			if i == 5 {
				r.trim(l, rand.New(rand.NewPCG(s.seed, 9)))
			}
		}
		if err := l.Close(life == 0 || s.seed%2 == 0); err != nil {
			t.Fatal(err)
		}
		if life == 1 {
			return d, r
		}
		d = d.Snapshot()
	}
	panic("unreachable")
}

// everyFate calls use with what every fate of the writes that are open before event at leaves, and returns how many fates there are. Many leave the
// same image, which is used once.
func (s *story) everyFate(d *waltest.Disk, at int, all bool, use func(what string, crashed *waltest.Disk)) (fates int) {
	var tried []*waltest.Disk
	try := func(what string, kept func(id, sectors int) waltest.Kept) {
		fates++
		crashed := d.PowerFailureKeeping(at, kept)
		for _, t := range tried {
			if t.Same(crashed) {
				return
			}
		}
		if len(tried) < 64 {
			tried = append(tried, crashed.Snapshot())
		}
		use(what, crashed)
	}
	open := d.OpenAt(at)
	whole := func(mask uint64, id int) waltest.Kept {
		for i, o := range open {
			if o == id && mask>>i&1 == 1 {
				return waltest.AllSectors
			}
		}
		return nil
	}
	sectors := map[int]int{}
	for _, e := range d.History()[:at] {
		if e.Kind == waltest.Start {
			sectors[e.ID] = len(e.Data) / waltest.Sector
		}
	}
	for mask := range uint64(1) << len(open) {
		try(fmt.Sprintf("of %v the set %b", open, mask), func(id, _ int) waltest.Kept { return whole(mask, id) })
		for i, torn := range open {
			if mask>>i&1 == 1 {
				continue // its place in mask stands for the torn one, once
			}
			one := func(what string, k waltest.Kept) {
				try(fmt.Sprintf("of %v the set %b, of %d %s", open, mask, torn, what), func(id, _ int) waltest.Kept {
					if id == torn {
						return k
					}
					return whole(mask, id)
				})
			}
			n := sectors[torn]
			// Every set of sectors with every set of other writes would take a day by SyncFdatasync, where a dozen writes are open.
			if all && n <= 8 && (mask == 0 || mask|1<<i == 1<<len(open)-1) {
				for set := range uint64(1) << n {
					one(fmt.Sprintf("sectors %b", set), waltest.SectorSet(set))
				}
				continue
			}
			for k := 1; k < n; k++ {
				one(fmt.Sprintf("the first %d sectors", k), waltest.HeadOf(k))
				one(fmt.Sprintf("all from sector %d", k), waltest.TailFrom(k))
			}
		}
	}
	return fates
}

// TestEveryCrashOfAFormat crashes the formatting of a blank device at every point: the next start formats it, or says what it found; it never
// takes a half-made log for a log with records.
func TestEveryCrashOfAFormat(t *testing.T) {
	t.Parallel()
	d := waltest.New(1 << 20)
	s := newStory(1)
	l, _, _, err := s.recoverStepped(d, storyOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(false)
	refused := 0
	for at := range len(d.History()) + 1 {
		s.everyFate(d, at, false, func(what string, crashed *waltest.Disk) {
			l, _, found, err := s.recoverStepped(crashed, storyOptions())
			switch {
			case errors.Is(err, wal.ErrForeign):
				refused++
			case err != nil || len(found) > 0:
				t.Errorf("crash before event %d, %s: %d records, %v", at, what, len(found), err)
			default:
				_ = l.Close(false)
			}
		})
	}
	t.Logf("%d crash points leave a device that has to be formatted by hand", refused)
}
