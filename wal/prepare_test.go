package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/tools/waittest"
	"github.com/ringmq/ringmq/wal/waltest"
)

// holesOnly is a device of which only the holes matter.
type holesOnly struct {
	*waltest.Disk
	holes [][2]int64
}

func (h *holesOnly) Holes() ([][2]int64, error) { return h.holes, nil }

// TestFindHoles compares with a page by page model: every unwritten page of the free part of the ring is found once, in the order of
// positions, and no other.
func TestFindHoles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range 300 {
		s := superblock{Capacity: 1<<20 + rng.Int64N(64)*pageBytes, Base: Position(rng.Int64N(100) * pageBytes)}
		s.Trim = s.Base + Position(rng.Int64N(1000)*pageBytes)
		end := s.Trim + Position(rng.Int64N(s.ring()/pageBytes+1)*pageBytes)
		free := map[int64]bool{} // unwritten pages on the target
		dev := &holesOnly{Disk: waltest.New(pageBytes)}
		for at := int64(0); at < s.Capacity; {
			at += rng.Int64N(40) * 1024
			n := rng.Int64N(60) * 1024
			n = min(n, s.Capacity-at)
			if n <= 0 {
				continue
			}
			dev.holes = append(dev.holes, [2]int64{at, at + n})
			for p := roundUp(at); p+pageBytes <= at+n; p += pageBytes {
				free[p] = true
			}
			at += n + 1024
		}
		found, err := findHoles(dev, &s, end)
		if err != nil {
			t.Fatal(err)
		}
		var have []Position
		for _, h := range found {
			for p := h.start; p < h.end; p += pageBytes {
				have = append(have, p)
			}
		}
		var want []Position
		for p := end; p < s.Trim+Position(s.ring()); p += pageBytes {
			if free[s.physical(p)] {
				want = append(want, p)
			}
		}
		if fmt.Sprint(have) != fmt.Sprint(want) {
			t.Fatalf("round %d: ring %d base %d trim %d end %d holes %v:\nfound %v\n want %v", round, s.ring(), s.Base, s.Trim, end, dev.holes, have, want)
		}
	}
}

func holeBytes(t *testing.T, path string) (n int64) {
	t.Helper()
	d, err := openReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	holes, err := d.Holes()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range holes {
		n += h[1] - h[0]
	}
	return n
}

// TestPrepareFile: a new file is used before it is written; the rest is filled behind, over several lives if need be, and the log goes around its
// ring meanwhile.
func TestPrepareFile(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		o.CapacityBytes = 32 << 20
		o.prepareStep, o.prepareFirst = 64<<10, 1<<20
		if err := createFile(o, false); err != nil {
			t.Fatal(err)
		}
		if n := holeBytes(t, o.Path); n == 0 {
			t.Skip("SKIPPED: preparation of a real file; it needs a file system with SEEK_HOLE for unwritten extents under the temporary directory (ext4, xfs)")
		}
		space := notifier(&o)
		var want []got
		for life := range 4 {
			l, all := recovered(t, o)
			check(t, behind(all, want), want)
			w := newWaiter()
			appended := 0
			for i := range []int{10, 300, 1500, 600}[life] {
				data := record(life<<12+i, 40<<10)
				e, err := l.Append(w, nil, data)
				if errors.Is(err, ErrFull) || errors.Is(err, ErrNoMemory) {
					w.wait(appended)
					if len(want) > 100 {
						want = want[len(want)-100:]
						if err := l.Trim(want[0].pos); err != nil {
							t.Fatal(err)
						}
					}
					<-space
					if e, err = l.Append(w, nil, data); errors.Is(err, ErrFull) || errors.Is(err, ErrNoMemory) {
						continue // woken for the other reason
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				e.Mem.Unref()
				appended++
				want = append(want, got{e.Pos, data})
			}
			w.wait(appended)
			if life == 3 {
				waittest.Until(t, testTimeout, "the whole file is prepared", func() bool { return l.Stats().Unprepared == 0 })
			}
			if len(want) > 100 {
				want = want[len(want)-100:]
			}
			if err := l.Trim(want[0].pos); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(life%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		if n := holeBytes(t, o.Path); n != 0 {
			t.Errorf("%d bytes are unwritten in the end", n)
		}
	})
}

// behind leaves out what was trimmed and is still there: the rest of a block, and after an unclean close more.
func behind(all, want []got) []got {
	for len(all) > 0 && len(want) > 0 && all[0].pos < want[0].pos {
		all = all[1:]
	}
	return all
}

// slowZeroes is a device whose zeroes wait for the test, one step at a time.
type slowZeroes struct {
	*waltest.Disk
	go1 chan error
}

func (d *slowZeroes) WriteAt(p []byte, off int64) (int, error) {
	if off >= ringStart && len(p) == pageBytes*4 && len(bytes.Trim(p, "\x00")) == 0 {
		if err := <-d.go1; err != nil {
			return 0, err
		}
	}
	return d.Disk.WriteAt(p, off)
}

// TestFrontier: an append that reaches unwritten space is refused, and OnSpace comes when the space is there.
func TestFrontier(t *testing.T) {
	d := &slowZeroes{waltest.New(1 << 20), make(chan error, 100)}
	d.Sparse = true
	o := testOptions(t)
	o.Path, o.Device, o.Logger = "", d, nil
	o.prepareStep, o.prepareFirst = 16<<10, 1
	space := notifier(&o)
	if err := formatDevice(d, "disk", o.withDefaults(), false); err != nil {
		t.Fatal(err)
	}
	d.Disk = waltest.FromImage(bytes.Clone(d.Bytes()))
	d.Sparse = true
	d.go1 <- nil // the first step
	l, _ := recovered(t, o)
	w := newWaiter()
	n := 0
	add := func() error {
		e, err := l.Append(w, nil, record(n, 3000))
		if err == nil {
			e.Mem.Unref()
			n++
			w.wait(n)
		}
		return err
	}
	for step := range 10 {
		for range 4 {
			if err := add(); err != nil {
				t.Fatalf("step %d, record %d: %v", step, n, err)
			}
		}
		if err := add(); err != ErrFull {
			t.Fatalf("beyond the frontier: %v", err)
		}
		if have, want := l.Stats().Unprepared, d.Size()-ringStart-int64(step+1)*16<<10; have != want {
			t.Fatalf("%d bytes unprepared, want %d", have, want)
		}
		d.go1 <- nil
		<-space
	}
	// A device that refuses zeroes does not stop the log: a block will tell whether it has failed.
	d.go1 <- errors.New("no zeroes today")
	waittest.Until(t, testTimeout, "the whole file is prepared", func() bool { return l.Stats().Unprepared == 0 })
	for range 100 {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	d.Reopen()
	close(d.go1)
	l, all := recovered(t, o)
	if len(all) != n {
		t.Errorf("%d records, want %d", len(all), n)
	}
	l.Close(true)
}

// TestPrepareFails: when the first zeroes cannot be written, the log does not become ready.
func TestPrepareFails(t *testing.T) {
	d := &slowZeroes{waltest.New(1 << 20), make(chan error, 1)}
	o := testOptions(t)
	o.Path, o.Device, o.prepareStep = "", d, 16<<10
	if err := formatDevice(d, "disk", o.withDefaults(), false); err != nil {
		t.Fatal(err)
	}
	d.Disk = waltest.FromImage(bytes.Clone(d.Bytes()))
	d.Sparse = true
	broken := errors.New("broken")
	d.go1 <- broken
	l := mustOpen(t, o)
	if err := l.Recover(t.Context(), func(Entry) error { return nil }); !errors.Is(err, broken) {
		t.Errorf("recover: %v", err)
	}
	if err := l.Close(true); err != nil {
		t.Error(err)
	}
}

// TestKillPreparing kills processes that append to a new file while it is filled, and verifies each time that nothing acknowledged is missing.
func TestKillPreparing(t *testing.T) {
	path := testOptions(t).Path
	killLives(t, "prepare", path, 8, func() int { return 1 + rand.IntN(400) }, func(life int, record uint64) {
		t.Logf("life %d: killed at record %d with %d bytes unwritten", life, record, holeBytes(t, path))
	})
}

// TestNoSpace: a file that does not fit is refused at creation, and nothing is left of it.
func TestNoSpace(t *testing.T) {
	refused := func(dir string, bytes int64, want ...error) {
		t.Helper()
		o := testOptions(t)
		o.Path, o.CapacityBytes = filepath.Join(dir, "wal"), bytes
		if _, err := Open(o); !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) || !strings.Contains(err.Error(), fmt.Sprint(bytes)) {
			t.Errorf("a file of %d bytes: %v", bytes, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	refused(t.TempDir(), 1<<50, unix.EFBIG, unix.ENOSPC)
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("SKIPPED in part: creation and growth on a full file system; it needs the right to mount a tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	}()
	refused(small, 8<<20, unix.ENOSPC)
	// One that fits, and then a growth that does not.
	o := testOptions(t)
	o.Path, o.CapacityBytes = filepath.Join(small, "wal"), 2<<20
	l, _ := recovered(t, o)
	f := &filler{t: t}
	f.add(l, 3)
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	if _, err := Resize(t.Context(), o.Path, 8<<20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a growth that does not fit: %v", err)
	}
	if st, err := os.Stat(o.Path); err != nil || st.Size() != 2<<20 {
		t.Errorf("%v, %v", st.Size(), err)
	}
	// Extended without space, as an interrupted growth or a person may leave it: the old capacity goes on.
	if err := os.Truncate(o.Path, 8<<20); err != nil {
		t.Fatal(err)
	}
	l, all := recovered(t, o)
	check(t, all, f.want)
	if have := l.Stats().Capacity; have != 2<<20-ringStart {
		t.Errorf("ring of %d bytes", have)
	}
	f.around(l)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
}
