package waltest

import (
	"bytes"
	"math/rand/v2"
	"syscall"
	"testing"
)

var anyRand = rand.New(rand.NewPCG(1, 1))

// faulty returns a disk of two pages full of 'o' whose first write has a fate.
func faulty(fate Fate) *Disk {
	d := FromImage(fill('o', 2*pageBytes))
	d.OnWrite = func(n int, _ []byte, _ int64) Fate {
		if n == 0 {
			return fate
		}
		return Fate{}
	}
	return d
}

// shows reads a disk as one letter per sector.
func shows(t *testing.T, d *Disk) string {
	t.Helper()
	b := make([]byte, d.Size())
	if _, err := d.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	var s []byte
	for ; len(b) > 0; b = b[Sector:] {
		if !bytes.Equal(b[:Sector], fill(b[0], Sector)) {
			s = append(s, '?')
		} else {
			s = append(s, b[0])
		}
	}
	return string(s)
}

func wantShows(t *testing.T, what string, d *Disk, want string) {
	t.Helper()
	if got := shows(t, d); got != want {
		t.Errorf("%s: the disk shows %s, want %s", what, got, want)
	}
}

func write(t *testing.T, d *Disk, off int64) {
	t.Helper()
	if n, err := d.WriteAt(fill('n', pageBytes), off); n != pageBytes || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
}

// now crashes a disk at the end of its history.
func now(d *Disk, s Survival) *Disk { return d.PowerFailure(len(d.History()), always(s), anyRand) }

// TestLost: success is reported, nothing is stored, now or later.
func TestLost(t *testing.T) {
	d := faulty(Fate{Lost: true})
	write(t, d, 0)
	wantShows(t, "after the write", d, "oooooooooooooooo")
	wantShows(t, "after a crash", now(d, Whole), "oooooooooooooooo")
}

// TestStale: success is reported and reads show it, until power fails. A flush does not help.
func TestStale(t *testing.T) {
	d := faulty(Fate{Stale: true})
	write(t, d, 0)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	write(t, d, pageBytes)
	wantShows(t, "after the writes", d, "nnnnnnnnnnnnnnnn")
	at := len(d.History())
	wantShows(t, "after a kill", d.Kill(at, always(Whole), always(Whole), anyRand), "nnnnnnnnnnnnnnnn")
	wantShows(t, "after a power failure", now(d, Whole), "oooooooonnnnnnnn")
	k := d.Kill(at, always(Whole), always(Whole), anyRand)
	wantShows(t, "after a kill and a power failure", now(k, Whole), "oooooooonnnnnnnn")
	if err := k.Flush(); err != nil {
		t.Fatal(err)
	}
	wantShows(t, "after a kill, a flush and a power failure", now(k, Whole), "oooooooonnnnnnnn")
	again := k.Kill(0, always(Whole), always(Whole), anyRand)
	wantShows(t, "after two kills", again, "nnnnnnnnnnnnnnnn")
	wantShows(t, "after two kills and a power failure", now(again, Whole), "oooooooonnnnnnnn")
}

// TestMisdirected: another place has the bytes; a place outside the disk loses them.
func TestMisdirected(t *testing.T) {
	d := faulty(Fate{Shift: 3 * Sector})
	write(t, d, 0)
	wantShows(t, "shifted", d, "ooonnnnnnnnooooo")
	wantShows(t, "shifted, after a crash", now(d, Nothing), "ooonnnnnnnnooooo")
	d = faulty(Fate{Shift: 1 << 20})
	write(t, d, 0)
	wantShows(t, "shifted over the end", d, "oooooooooooooooo")
}

// TestFlipped: one bit differs.
func TestFlipped(t *testing.T) {
	d := faulty(Fate{Flip: 8*Sector + 1})
	write(t, d, 0)
	wantShows(t, "flipped", d, "n?nnnnnnoooooooo")
	if b := now(d, Nothing).Bytes()[Sector]; b != 'n'^1 {
		t.Errorf("the byte is %q", b)
	}
}

// TestTornAtEverySector: a write under way leaves any number of leading or trailing sectors, or any set of them.
func TestTornAtEverySector(t *testing.T) {
	d := faulty(Fate{})
	d.Begin(fill('n', pageBytes), 0)
	for k := range 9 {
		kept := func(k Kept) *Disk {
			return d.PowerFailureKeeping(1, func(id, sectors int) Kept {
				if id != 0 || sectors != 8 {
					t.Errorf("asked for write %d of %d sectors", id, sectors)
				}
				return k
			})
		}
		want := []byte("oooooooooooooooo")
		copy(want, "nnnnnnnn"[:k])
		wantShows(t, "head", kept(HeadOf(k)), string(want))
		want = []byte("oooooooooooooooo")
		copy(want[k:], "nnnnnnnn"[k:])
		wantShows(t, "tail", kept(TailFrom(k)), string(want))
	}
	seen := map[string]bool{}
	for set := range uint64(256) {
		seen[shows(t, d.PowerFailureKeeping(1, func(int, int) Kept { return SectorSet(set) }))] = true
	}
	if len(seen) != 256 {
		t.Errorf("%d ways to tear eight sectors", len(seen))
	}
}

// TestReordered: of two writes under way the later one may be stored alone, and may end first.
func TestReordered(t *testing.T) {
	d := faulty(Fate{})
	first, second := d.Begin(fill('n', pageBytes), 0), d.Begin(fill('m', pageBytes), pageBytes)
	only := func(id int) func(int) Survival {
		return func(i int) Survival {
			if i == id {
				return Whole
			}
			return Nothing
		}
	}
	wantShows(t, "the later one alone", d.PowerFailure(2, only(1), anyRand), "oooooooommmmmmmm")
	wantShows(t, "the earlier one alone", d.PowerFailure(2, only(0), anyRand), "nnnnnnnnoooooooo")
	if n, err := second.End(); n != pageBytes || err != nil {
		t.Fatal(n, err)
	}
	wantShows(t, "the later one has ended", now(d, Nothing), "oooooooommmmmmmm")
	if n, err := first.End(); n != pageBytes || err != nil {
		t.Fatal(n, err)
	}
	wantShows(t, "both have ended", now(d, Nothing), "nnnnnnnnmmmmmmmm")
}

// TestShort: fewer bytes are reported, without an error, and only they are stored.
func TestShort(t *testing.T) {
	d := faulty(Fate{Short: true, Keep: 2 * Sector})
	if n, err := d.WriteAt(fill('n', pageBytes), 0); n != 2*Sector || err != nil {
		t.Fatal(n, err)
	}
	wantShows(t, "short", d, "nnoooooooooooooo")
}

// TestFailing: the writer gets the error; what was stored of the write is up to fate for ever, unless a flush makes what reads show last.
func TestFailing(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		d := faulty(Fate{Err: cause, Keep: 4 * Sector})
		if n, err := d.WriteAt(fill('n', pageBytes), 0); n != 4*Sector || err != cause {
			t.Fatal(n, err)
		}
		write(t, d, pageBytes)
		wantShows(t, "failed half way", d, "nnnnoooonnnnnnnn")
		wantShows(t, "and crashed", now(d, Nothing), "oooooooonnnnnnnn")
		wantShows(t, "and crashed", now(d, Whole), "nnnnoooonnnnnnnn")
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		wantShows(t, "flushed and crashed", now(d, Nothing), "nnnnoooonnnnnnnn")
	}
}

// TestFailingReads: a read can be refused, by place.
func TestFailingReads(t *testing.T) {
	d := faulty(Fate{})
	d.OnRead = func(off int64, n int) error {
		if off+int64(n) > pageBytes {
			return syscall.EIO
		}
		return nil
	}
	b := make([]byte, pageBytes)
	if n, err := d.ReadAt(b, 0); n != pageBytes || err != nil {
		t.Error(n, err)
	}
	if n, err := d.ReadAt(b, Sector); n != 0 || err != syscall.EIO {
		t.Error(n, err)
	}
}

// TestVanish: from one write on every call fails, also writes under way, until the device is back.
func TestVanish(t *testing.T) {
	d := faulty(Fate{})
	d.OnWrite = func(n int, _ []byte, _ int64) Fate {
		if n == 2 {
			return Fate{Err: syscall.ENODEV, Gone: true}
		}
		return Fate{}
	}
	write(t, d, 0)
	under := d.Begin(fill('m', pageBytes), pageBytes)
	all := func() {
		t.Helper()
		b := make([]byte, pageBytes)
		_, werr := d.WriteAt(b, 0)
		_, rerr := d.ReadAt(b, 0)
		for i, err := range []error{werr, rerr, d.Flush()} {
			if err != syscall.ENODEV {
				t.Errorf("call %d: %v", i, err)
			}
		}
	}
	all()
	if n, err := under.End(); n != 0 || err != syscall.ENODEV {
		t.Errorf("the write under way: %d, %v", n, err)
	}
	all()
	wantShows(t, "after power came back, at worst", now(d, Nothing), "nnnnnnnnoooooooo")
	wantShows(t, "after power came back, at best", now(d, Whole), "nnnnnnnnmmmmmmmm")
	wantShows(t, "plugged in again", d.Reopen(), "nnnnnnnnmmmmmmmm")
	d.Vanish(syscall.ENODEV)
	all()
}

// TestPicturesAreApart: no disk notices what happens to another that was made of it.
func TestPicturesAreApart(t *testing.T) {
	d := faulty(Fate{})
	write(t, d, Sector) // parts of two pages
	s, c := d.Snapshot(), now(d, Whole)
	write(t, d, 0)
	wantShows(t, "snapshot", s, "onnnnnnnnooooooo")
	wantShows(t, "crash", c, "onnnnnnnnooooooo")
	write(t, s, pageBytes)
	c.Bytes()[0] = 'x'
	wantShows(t, "original", d, "nnnnnnnnnooooooo")
	wantShows(t, "changed copy", c, "?nnnnnnnnooooooo")
	wantShows(t, "written copy", s, "onnnnnnnnnnnnnnn")
	d.Bytes()[0] = 'y'
	write(t, d, pageBytes)
	wantShows(t, "snapshot of one piece", d.Snapshot(), "?nnnnnnnnnnnnnnn")
	if !s.Same(s.Snapshot()) || s.Same(d) {
		t.Error("Same")
	}
}
