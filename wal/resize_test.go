package wal

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/waittest"
	"github.com/ringmq/ringmq/wal/waltest"
)

// filler appends records of 100 KiB and remembers those that are not trimmed.
type filler struct {
	t    *testing.T
	n    int
	want []got
}

func (f *filler) add(l *Log, n int) {
	f.t.Helper()
	w := newWaiter()
	for i := range n {
		data := record(f.n, 100<<10)
		e, err := l.Append(w, nil, data)
		if err != nil {
			f.t.Fatalf("record %d of %d: %v", i, n, err)
		}
		e.Mem.Unref()
		f.n++
		f.want = append(f.want, got{e.Pos, data})
	}
	w.wait(n)
}

// trim keeps the last n records and waits until that is durable.
func (f *filler) trim(l *Log, n int) {
	f.t.Helper()
	f.want = f.want[len(f.want)-n:]
	p := l.Next()
	if n > 0 {
		p = f.want[0].pos
	}
	if err := l.Trim(p); err != nil {
		f.t.Fatal(err)
	}
	waittest.Until(f.t, testTimeout, "the trim is written", func() bool { return l.Stats().Trim >= p-200<<10 && l.super.Trim > 0 })
}

// around appends until the ring was passed twice, trimming on the way.
func (f *filler) around(l *Log) {
	f.t.Helper()
	for from := l.Next(); l.Next() < from+2*Position(l.Stats().Capacity); {
		f.add(l, 2)
		if err := l.Trim(f.want[max(0, len(f.want)-2)].pos); err != nil {
			f.t.Fatal(err)
		}
		f.want = f.want[max(0, len(f.want)-2):]
		waittest.Until(f.t, testTimeout, "there is room", func() bool { return l.Stats().Capacity-l.Stats().Used > 600<<10 })
	}
}

// TestGrow opens a log on a device that has become larger, with and without records in it, straight and around the ring's end.
func TestGrow(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		before, keep int // records appended (trimmed on the way), and those that stay
		adopted      bool
	}{
		"new":               {0, 0, true},
		"first round":       {5, 5, true},
		"first round, full": {8, 8, true},
		"trimmed to empty":  {13, 0, true},
		"second round":      {13, 3, true},
		"around the end":    {10, 4, false},
	} {
		for _, clean := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				d := waltest.New(mib)
				o := testOptions(t)
				o.Path, o.Device, o.Logger = "", d, nil
				l, _ := recovered(t, o)
				f := &filler{t: t}
				for range c.before {
					if len(f.want) == 8 {
						f.trim(l, 4)
					}
					f.add(l, 1)
				}
				if c.keep < len(f.want) {
					f.trim(l, c.keep)
				}
				if err := l.Close(clean); err != nil {
					t.Fatal(err)
				}
				d = waltest.FromImage(append(d.Bytes(), make([]byte, 2*mib)...))
				o.Device = d
				l, all := recovered(t, o)
				check(t, behind(all, f.want), f.want)
				want := int64(mib - ringStart)
				if c.adopted {
					want = 3*mib - ringStart
				}
				if have := l.Stats().Capacity; have != want {
					t.Fatalf("ring of %d bytes, want %d", have, want)
				}
				for range 2 {
					f.around(l)
					if err := l.Close(clean); err != nil {
						t.Fatal(err)
					}
					d.Reopen()
					l, all = recovered(t, o)
					check(t, behind(all, f.want), f.want)
				}
				if have := l.Stats().Capacity; have != 3*mib-ringStart && c.adopted {
					t.Fatalf("ring of %d bytes after a restart", have)
				}
				l.Close(true)
			})
		}
	}
}

// TestGrowCrash crashes the opening that takes new space into use, and the appends behind it, at every point.
func TestGrowCrash(t *testing.T) {
	for _, before := range []int{0, 3, 13} {
		d := waltest.New(1 << 20)
		o := testOptions(t)
		o.Path, o.Device, o.Logger = "", d, nil
		l, _ := recovered(t, o)
		f := &filler{t: t}
		for range before {
			if len(f.want) == 8 {
				f.trim(l, 3)
			}
			f.add(l, 1)
		}
		if before > 3 {
			f.trim(l, 3)
		}
		if err := l.Close(before == 3); err != nil {
			t.Fatal(err)
		}
		base := f.want
		d = waltest.FromImage(append(d.Bytes(), make([]byte, 1<<20)...))
		o.Device = d
		l, _ = recovered(t, o)
		f.add(l, 2)
		if err := l.Close(false); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for at := range len(d.History()) + 1 {
			crashed := d.PowerFailure(at, waltest.RandomFate(rng.Uint64()), rng)
			o.Device = crashed
			l, all := recovered(t, o)
			all = behind(all, f.want)
			if len(all) < len(base) {
				t.Fatalf("%d records before, crash before event %d: %d of %d records", before, at, len(all), len(base))
			}
			check(t, all, f.want[:len(all)])
			g := &filler{t: t, n: f.n, want: all}
			g.around(l)
			if err := l.Close(false); err != nil {
				t.Fatal(err)
			}
			crashed.Reopen()
			l, all = recovered(t, o)
			check(t, behind(all, g.want), g.want)
			l.Close(true)
		}
	}
}

// TestShrinkCrash crashes a shrinking at every point: before and after the file is cut the log opens, empty, and works.
func TestShrinkCrash(t *testing.T) {
	for _, before := range []int{0, 5, 13} {
		d := waltest.New(2 << 20)
		o := testOptions(t)
		o.Path, o.Device, o.Logger = "", d, nil
		l, _ := recovered(t, o)
		f := &filler{t: t}
		for range before {
			f.add(l, 1)
		}
		if before > 0 {
			f.trim(l, 0)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		d = waltest.FromImage(bytes.Clone(d.Bytes()))
		s, _, err := loadSuperblocks(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := shrinkLog(d, s, 1<<20); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for at := range len(d.History()) + 2 {
			crashed := d.PowerFailure(min(at, len(d.History())), waltest.RandomFate(rng.Uint64()), rng)
			want := int64(2<<20 - ringStart) // adopted again
			if at > len(d.History()) {
				crashed = waltest.FromImage(crashed.Bytes()[:1<<20]) // the file is cut, too
				want = 1<<20 - ringStart
			}
			o.Device = crashed
			l, all := recovered(t, o)
			if len(all) != 0 || l.Stats().Capacity != want {
				t.Fatalf("crash before event %d: %d records, ring of %d bytes", at, len(all), l.Stats().Capacity)
			}
			g := &filler{t: t, n: f.n}
			g.around(l)
			if err := l.Close(false); err != nil {
				t.Fatal(err)
			}
			crashed.Reopen()
			l, all = recovered(t, o)
			check(t, behind(all, g.want), g.want)
			l.Close(true)
		}
	}
}

// TestResizeFile grows and shrinks a file, and shows what is refused.
func TestResizeFile(t *testing.T) {
	o := testOptions(t)
	o.CapacityBytes = 2 << 20
	resize := func(to int64) (Resized, error) { return Resize(t.Context(), o.Path, to) }
	l, _ := recovered(t, o)
	f := &filler{t: t}
	f.add(l, 4)
	if _, err := resize(4 << 20); !errors.Is(err, ErrBusy) {
		t.Errorf("a log in use: %v", err)
	}
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	if _, err := resize(1 << 20); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("shrinking a log with records: %v", err)
	}
	for _, to := range []int64{0, 1<<20 - 4096, 4<<20 + 1} {
		if _, err := resize(to); err == nil {
			t.Errorf("%d bytes were accepted", to)
		}
	}
	if _, err := resize(1 << 50); err == nil {
		t.Error("1 PiB was accepted")
	}
	capacity := func(want int64) {
		t.Helper()
		var all []got
		l, all = recovered(t, o)
		check(t, behind(all, f.want), f.want)
		if have := l.Stats().Capacity; have != want-ringStart {
			t.Fatalf("ring of %d bytes, want %d", have, want-ringStart)
		}
	}
	capacity(2 << 20)
	l.Close(false)
	r, err := resize(4 << 20)
	if err != nil || r.Records != 4 || r.Wrapped || r.Before != 2<<20 || r.After != 4<<20 {
		t.Fatalf("%+v, %v", r, err)
	}
	if n := holeBytes(t, o.Path); n != 0 {
		t.Errorf("%d bytes are unwritten", n)
	}
	// Not opened since: a change of mind only moves the file's end.
	if r, err := resize(3 << 20); err != nil || r.Records != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	capacity(3 << 20)
	f.around(l)
	f.trim(l, 0)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if r, err := resize(1 << 20); err != nil || r.Before != 3<<20 {
		t.Fatalf("%+v, %v", r, err)
	}
	capacity(1 << 20)
	f.around(l)
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	// What an interrupted growth leaves: the file is longer, and nothing of that is written or even allocated.
	if err := os.Truncate(o.Path, 2<<20); err != nil {
		t.Fatal(err)
	}
	s, _, _, err := func() (superblock, Position, int64, error) {
		d, err := openFile(o.Path, time.Second, SyncDSync)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		return judge(context.Background(), d)
	}()
	if err != nil {
		t.Fatal(err)
	}
	want := int64(2 << 20)
	if !s.straight(f.want[len(f.want)-1].pos) {
		want = 1 << 20
	}
	capacity(want)
	f.around(l)
	l.Close(true)
	if _, err := Resize(t.Context(), filepath.Join(t.TempDir(), "missing"), 1<<20); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Resize(t.Context(), other, 4<<20); !errors.Is(err, ErrForeign) {
		t.Errorf("a file that is no log: %v", err)
	}
	if st, _ := os.Stat(other); st.Size() != 2<<20 {
		t.Errorf("the refused file has %d bytes now", st.Size())
	}
}

// TestGrowBlockDevice enlarges a loop device under a log with records.
func TestGrowBlockDevice(t *testing.T) {
	backing := filepath.Join(t.TempDir(), "disk")
	dev := loopDevice(t, backing, 4<<20)
	o := testOptions(t)
	o.Path = dev
	l, _ := recovered(t, o)
	f := &filler{t: t}
	f.add(l, 10)
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	if _, err := Resize(t.Context(), dev, 8<<20); err == nil || !strings.Contains(err.Error(), "block device") {
		t.Errorf("resize of a device: %v", err)
	}
	if err := os.Truncate(backing, 8<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("losetup", "--set-capacity", dev).CombinedOutput(); err != nil {
		t.Fatalf("losetup --set-capacity: %v: %s", err, out)
	}
	l, all := recovered(t, o)
	check(t, all, f.want)
	if have := l.Stats().Capacity; have != 8<<20-ringStart {
		t.Errorf("ring of %d bytes", have)
	}
	f.around(l)
	l.Close(false)
	l, all = recovered(t, o)
	check(t, behind(all, f.want), f.want)
	l.Close(true)
}

// loopDevice makes a loop device on a new file, a stand-in for a raw disk, or skips the test.
func loopDevice(t *testing.T, backing string, bytesLong int64, flags ...string) string {
	t.Helper()
	if err := os.WriteFile(backing, make([]byte, bytesLong), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", append(flags, "--find", "--show", "--direct-io=on", backing)...).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: what needs a block device; it needs the right to set up a loop device: %v: %s", err, bytes.TrimSpace(out))
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", dev, err, out)
		}
	})
	return dev
}
