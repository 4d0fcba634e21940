package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

// resting is a small log that lies on a disk, in the second round of its ring, in its third generation, and older pictures of the same disk.
type resting struct {
	disk  *waltest.Disk
	older []*waltest.Disk
	run   *run
	clean bool
	trim  int64
	block []blockCopy // the blocks from trim on, in log order
}

// rest writes a log in which every block was acknowledged before the next was sealed.
func rest(t *testing.T, clean bool) *resting {
	t.Helper()
	s := newStory(7)
	re := &resting{clean: clean}
	d := blank().Snapshot()
	r := &run{disk: d}
	for life := range 3 {
		l, st, found, err := s.recoverStepped(d, storyOptions())
		if err != nil {
			t.Fatal(err)
		}
		r = &run{disk: d, lineage: found, known: len(found)}
		r.cond = sync.NewCond(&r.mu)
		add := func(size int) {
			t.Helper()
			i := len(r.lineage)
			r.lineage = append(r.lineage, rec{data: noise()[i*1000:][:size]})
			e, err := l.Append(ack{r, i}, nil, r.lineage[i].data)
			if err != nil {
				t.Fatal(err)
			}
			e.Mem.Unref()
			r.lineage[i].pos = e.Pos
			for r.acks+r.known <= i {
				st.Step()
			}
		}
		settle := func(p wal.Position) {
			t.Helper()
			if err := l.Trim(p); err != nil {
				t.Fatal(err)
			}
			for l.Stats().Trim < p-p%pageBytes {
				st.Step()
			}
		}
		switch life {
		case 0: // a whole round
			for range 7 {
				add(120 << 10)
			}
			settle(l.Next())
		case 1:
			for i := range 8 {
				add(700 + 900*i)
			}
		case 2:
			settle(r.lineage[2].pos)
			for i := range 7 {
				re.older = append(re.older, d.Snapshot())
				add(3300 * i)
			}
		}
		if err := l.Close(clean || life != 2); err != nil {
			t.Fatal(err)
		}
		if r.failed != nil {
			t.Fatal(r.failed)
		}
		re.older = append(re.older, d.Snapshot())
		d = d.Snapshot()
	}
	re.older = append(re.older[:len(re.older)-1], blank())
	re.disk, re.run = d, r
	super, _ := newestSuper(d.Bytes())
	re.trim = super.trim
	at := map[int64]blockCopy{}
	for _, b := range blocksOn(d.Bytes()) {
		if b.offset >= super.trim {
			at[b.offset] = b
		}
	}
	for off := re.trim; len(at) > 0; off = re.block[len(re.block)-1].offset + re.block[len(re.block)-1].length {
		b, ok := at[off]
		if ring := super.capacity - ringStart; !ok { // it did not fit before the ring's end
			off += ring - (off-super.base)%ring
			b, ok = at[off]
		}
		if !ok {
			t.Fatalf("no block at %d, %d are left", off, len(at))
		}
		delete(at, off)
		re.block = append(re.block, b)
	}
	return re
}

// firstDamaged is the number of the first block that has bytes in one of the places, len(re.block) if none has.
func (re *resting) firstDamaged(unit int64, places ...int64) int {
	for i, b := range re.block {
		for _, p := range places {
			if p < b.at+b.length && p+unit > b.at {
				return i
			}
		}
	}
	return len(re.block)
}

// judge recovers a copy that is damaged in some places. Everything before the first damaged block is found; the damage is reported, unless the log was
// not closed and no sound header follows that block. Damage elsewhere, of one superblock, of free space, does nothing.
func (re *resting) judge(s *story, damaged *waltest.Disk, unit int64, places ...int64) error {
	k := re.firstDamaged(unit, places...)
	proven := re.clean
	for _, b := range re.block[min(k+1, len(re.block)):] {
		sound := true
		for _, p := range places {
			sound = sound && (p+unit <= b.at || p >= b.at+waltest.Sector)
		}
		proven = proven || sound
	}
	l, _, found, err := s.recoverStepped(damaged, storyOptions())
	if err == nil {
		err = l.Close(false)
	}
	want := 0
	for want < len(re.run.lineage) && (k == len(re.block) || int64(re.run.lineage[want].pos) < re.block[k].offset) {
		want++
	}
	first := 0
	for int64(re.run.lineage[first].pos) < re.trim {
		first++
	}
	if len(found) != want-first {
		return fmt.Errorf("%d records, want %d; %v", len(found), want-first, err)
	}
	for i, f := range found {
		if w := re.run.lineage[first+i]; f.pos != w.pos || !bytes.Equal(f.data, w.data) {
			return fmt.Errorf("record %d: %d bytes at %d, want %d at %d", i, len(f.data), f.pos, len(w.data), w.pos)
		}
	}
	silent := k == len(re.block) || !proven
	if silent && err != nil || !silent && !errors.Is(err, wal.ErrCorrupt) {
		return fmt.Errorf("first damaged block %d of %d: %v", k, len(re.block), err)
	}
	return nil
}

// inSlot says whether one of the places lies in a superblock.
func inSlot(slot int64, places []int64) bool {
	return slices.ContainsFunc(places, func(at int64) bool { return at/(64<<10) == slot && at%(64<<10) < pageBytes })
}

// TestDamageAtRest damages every sector, and every page, of a small log that nobody uses: a bit flips, it is zeroed, it changes places with
// another, it holds what it held before. With RINGMQ_SOAK it changes places with each other one that is in use, and many bits flip.
func TestDamageAtRest(t *testing.T) {
	t.Parallel()
	soak := os.Getenv("RINGMQ_SOAK") != ""
	rng := rand.New(rand.NewPCG(1, 1))
	for _, clean := range []bool{false, true} {
		re := rest(t, clean)
		image := re.disk.Bytes()
		whole := waltest.FromImage(bytes.Clone(image)) // pictures of it share its pages
		s := newStory(1)
		if err := re.judge(s, whole.Snapshot(), waltest.Sector); err != nil {
			t.Fatal(err)
		}
		verdicts := map[string]int{}
		for _, unit := range []int64{waltest.Sector, pageBytes} {
			if unit == pageBytes && testing.Short() {
				break
			}
			content := func(at int64) []byte { return image[at:][:unit] }
			try := func(what string, places []int64, holding ...[]byte) {
				t.Helper()
				damaged, same := whole.Snapshot(), true
				for i, at := range places {
					same = same && bytes.Equal(holding[i], content(at))
					if _, err := damaged.WriteAt(holding[i], at); err != nil {
						t.Fatal(err)
					}
				}
				if same {
					return // it was that already
				}
				verdicts[what]++
				if inSlot(0, places) && inSlot(1, places) {
					// Two damaged sectors, one in each superblock, are refused.
					if _, _, _, err := s.recoverStepped(damaged.Snapshot(), storyOptions()); !errors.Is(err, wal.ErrForeign) {
						t.Errorf("clean %v, unit %d, both superblocks, %v: %v", clean, unit, places, err)
					}
					return
				}
				if err := re.judge(s, damaged.Snapshot(), unit, places...); err != nil {
					t.Errorf("clean %v, unit %d, %s at %v: %v", clean, unit, what, places, err)
				}
			}
			var used []int64
			for at := int64(0); at < int64(len(image)); at += unit {
				if inSlot(0, []int64{at}) || inSlot(1, []int64{at}) || re.firstDamaged(unit, at) < len(re.block) {
					used = append(used, at)
				}
			}
			for at := int64(0); at < int64(len(image)); at += unit {
				flips := 1
				if soak {
					flips = 16
				}
				for range flips {
					flipped := bytes.Clone(content(at))
					flipped[rng.Int64N(unit)] ^= 1 << rng.IntN(8)
					try("flipped", []int64{at}, flipped)
				}
				try("zeroed", []int64{at}, make([]byte, unit))
				for _, old := range re.older {
					try("stale", []int64{at}, old.Bytes()[at:][:unit])
				}
				others := used
				if !soak || !slices.Contains(used, at) {
					others = []int64{used[rng.IntN(len(used))]}
				}
				for _, other := range others {
					try("swapped", []int64{at, other}, content(other), content(at))
				}
			}
		}
		t.Logf("clean %v: %d blocks in use, damaged copies: %v", clean, len(re.block), verdicts)
	}
}
