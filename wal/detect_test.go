package wal

import (
	"errors"
	"testing"

	"github.com/ringmq/ringmq/wal/waltest"
)

// stepLog opens a log on d that its test steps; pick is the test's.
func stepLog(t *testing.T, d *waltest.Disk, pick *func(n int) int) (*Log, Stepper) {
	t.Helper()
	l, s, err := OpenStepped(Options{ClusterID: "c", NodeID: 1, MemoryBytes: 256 << 20, QueueDepth: 4, GatherBytes: 1}, d, func(n int) int { return (*pick)(n) })
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

func one(int) int  { return 0 }
func none(int) int { return -1 }

// wantCorrupt recovers d and expects so many records and ErrCorrupt.
func wantCorrupt(t *testing.T, what string, d *waltest.Disk, records int) {
	t.Helper()
	pick := one
	l, _ := stepLog(t, d, &pick)
	defer l.Close(false)
	n := 0
	err := l.Recover(t.Context(), func(e Entry) error {
		n++
		if e.Mem != nil {
			e.Mem.Unref()
		}
		return nil
	})
	if !errors.Is(err, ErrCorrupt) || n != records {
		t.Errorf("%s: %d records, want %d; %v", what, n, records, err)
	} else {
		t.Logf("%s: %v", what, err)
	}
}

func mustAppend(t *testing.T, l *Log, w *waiter, n int) Entry {
	t.Helper()
	e, err := l.Append(w, nil, make([]byte, n))
	if err != nil {
		t.Fatal(err)
	}
	e.Mem.Unref()
	return e
}

// TestDamageBeyondTheWindow: damage that reaches further than recovery searches for blocks behind the end is known from the superblocks.
func TestDamageBeyondTheWindow(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: damage wider than the search window, which writes some 100 MB")
	}
	const n = 44
	d := waltest.New(128 << 20)
	pick := one
	l, s := stepLog(t, d, &pick)
	if err := l.Recover(t.Context(), noEntries); err != nil {
		t.Fatal(err)
	}
	w := newWaiter()
	for range n {
		mustAppend(t, l, w, 1<<20-200)
		s.Step()
		s.Step()
	}
	blocks := l.Next() / n
	large := mustAppend(t, l, w, tailWindow+1<<20)
	s.Step()
	mustAppend(t, l, w, 100)
	for len(w.pos) < n+2 {
		s.Step()
	}
	for range 4 {
		s.Step() // what is due in the superblocks
	}
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	image := d.Snapshot()
	wiped := image.Snapshot()
	clear(wiped.Bytes()[ringStart+int64(3*blocks):][:tailWindow+4<<20])
	wantCorrupt(t, "36 MiB wiped", wiped, 3)
	flipped := image.Snapshot()
	flipped.Bytes()[ringStart+int64(large.Block)+20] ^= 1
	wantCorrupt(t, "the header of a block of 33 MiB", flipped, n)
}

// TestProofBehindALargeBlock: the block that proves that a lost one had been acknowledged lies behind one that is larger than the window and was
// in flight with it.
func TestProofBehindALargeBlock(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: proof behind a block above the search window, which writes some 50 MB")
	}
	d := waltest.New(128 << 20)
	pick := one
	l, s := stepLog(t, d, &pick)
	if err := l.Recover(t.Context(), noEntries); err != nil {
		t.Fatal(err)
	}
	first := d.Writes()
	d.OnWrite = func(n int, _ []byte, _ int64) waltest.Fate { return waltest.Fate{Lost: n == first} }
	w := newWaiter()
	pick = none
	mustAppend(t, l, w, 100)
	s.Step()
	mustAppend(t, l, w, tailWindow+8<<20)
	s.Step()
	s.Step()
	pick = func(n int) int { // the first write ends, the large one does not
		if n == 2 {
			return 0
		}
		return -1
	}
	for len(w.pos) == 0 {
		s.Step()
	}
	mustAppend(t, l, w, 100)
	for d.Writes() < first+3 {
		s.Step()
	}
	crashed := d.PowerFailure(len(d.History()), func(int) waltest.Survival { return waltest.Whole }, nil)
	pick = one
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	wantCorrupt(t, "a lost block before a large one", crashed, 0)
}

// TestDeadBlockComesBack: a block that was in flight when a generation died lies where the next generation writes one of the same length; the device
// loses that one, after a restart, when power fails. The dead block was never acknowledged and is not taken for the lost one.
func TestDeadBlockComesBack(t *testing.T) {
	const rec = pageBytes - blockHeader - recordHeader
	pick := none
	d := waltest.New(1 << 20)
	l, s := stepLog(t, d, &pick)
	if err := l.Recover(t.Context(), noEntries); err != nil {
		t.Fatal(err)
	}
	w, first := newWaiter(), d.Writes()
	for range 2 {
		mustAppend(t, l, w, rec)
		s.Step()
	}
	died := d.PowerFailure(len(d.History()), func(id int) waltest.Survival {
		if id == first+1 {
			return waltest.Whole
		}
		return waltest.Nothing
	}, nil)
	pick = one
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}

	died.OnWrite = func(_ int, _ []byte, off int64) waltest.Fate { return waltest.Fate{Stale: off == ringStart+pageBytes} }
	l, s = stepLog(t, died, &pick)
	if err := l.Recover(t.Context(), noEntries); err != nil {
		t.Fatal(err)
	}
	w = newWaiter()
	mustAppend(t, l, w, rec)
	s.Step()
	last, err := l.Append(w, nil, record(1, rec))
	if err != nil {
		t.Fatal(err)
	}
	last.Mem.Unref()
	for len(w.pos) < 2 {
		s.Step()
	}
	if err := l.Trim(last.Pos); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}

	always := func(int) waltest.Survival { return waltest.Whole }
	killed := died.Kill(len(died.History()), always, always, nil)
	l, _ = stepLog(t, killed, &pick)
	n := 0
	if err := l.Recover(t.Context(), func(e Entry) error { n++; e.Mem.Unref(); return nil }); err != nil || n != 1 {
		t.Fatalf("after the kill: %d records, %v", n, err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	wantCorrupt(t, "a block of a dead generation in its place", killed.PowerFailure(len(killed.History()), always, nil), 0)
}

// TestDamagedFirstBlock: the first block that is needed lies shortly before the ring's end and is damaged. The block at the ring's start is not taken
// for the first one.
func TestDamagedFirstBlock(t *testing.T) {
	d := waltest.New(1 << 20)
	pick := one
	l, s := stepLog(t, d, &pick)
	if err := l.Recover(t.Context(), noEntries); err != nil {
		t.Fatal(err)
	}
	w, n := newWaiter(), 0
	add := func(size int) Entry {
		t.Helper()
		e := mustAppend(t, l, w, size)
		for n++; len(w.pos) < n; {
			s.Step()
		}
		return e
	}
	ring := int(l.Stats().Capacity)
	add(ring/2 - blockHeader - recordHeader)
	add(ring/2 - 4*pageBytes - blockHeader - recordHeader)
	first := add(100) // three pages before the ring's end
	if err := l.Trim(first.Pos); err != nil {
		t.Fatal(err)
	}
	for l.Stats().Trim != first.Block {
		s.Step()
	}
	if wrapped := add(5 * pageBytes); int(wrapped.Block) != ring {
		t.Fatalf("the last block lies at %d, the ring ends at %d", wrapped.Block, ring)
	}
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	d.Reopen().Bytes()[ringStart+int(first.Block)+blockHeader+recordHeader] ^= 1
	wantCorrupt(t, "the first block before the ring's end", d, 0)
}
