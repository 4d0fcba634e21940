package waltest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

func fill(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

func always(s Survival) func(int) Survival { return func(int) Survival { return s } }

// TestCrashKeepsWhatEnded: what had ended before the crash is there, what had not started is not, and only the rest is up to fate.
func TestCrashKeepsWhatEnded(t *testing.T) {
	d := New(8192)
	for i := range 3 {
		if _, err := d.WriteAt(fill(byte('a'+i), 1024), int64(i)*1024); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	// Events: start 0, end 0, start 1, end 1, ...
	for at, want := range map[int]string{0: "\x00\x00\x00", 2: "a\x00\x00", 4: "ab\x00", 6: "abc"} {
		b := d.PowerFailure(at, always(Nothing), rng).Bytes()
		if got := string([]byte{b[0], b[1024], b[2048]}); got != want {
			t.Errorf("crash before event %d: %q, want %q", at, got, want)
		}
	}
	if open := d.OpenAt(3); len(open) != 1 || open[0] != 1 {
		t.Errorf("open writes before event 3: %v", open)
	}
	if b := d.PowerFailure(3, always(Whole), rng).Bytes(); b[1024] != 'b' || b[2047] != 'b' || b[2048] != 0 {
		t.Error("an open write that survives whole is not there")
	}
	seen := map[string]bool{}
	for range 100 {
		b := d.PowerFailure(3, always(Sectors), rng).Bytes()
		if b[1024] != b[1024+Sector-1] || b[1024+Sector] != b[2047] {
			t.Fatal("torn inside a sector")
		}
		seen[string([]byte{b[1024], b[1024+Sector]})] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d ways to tear two sectors", len(seen))
	}
	n := 0
	Subsets([]int{4, 7}, 5, func(fate func(int) Survival) { n += 1 + 10*int(fate(4)) + 100*int(fate(7)) })
	if n != 4+20+200 {
		t.Errorf("subsets: %d", n)
	}
}

// TestKillThenPowerFailure: reads after a kill show what the cache holds; a power failure takes it away unless Flush came first.
func TestKillThenPowerFailure(t *testing.T) {
	d := New(4096)
	if _, err := d.WriteAt(fill('a', 512), 0); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	k := d.Kill(1, always(Whole), always(Nothing), rng)
	b := make([]byte, 1)
	if _, err := k.ReadAt(b, 0); err != nil || b[0] != 'a' {
		t.Fatalf("%q, %v", b, err)
	}
	if k.PowerFailure(0, always(Whole), rng).Bytes()[0] != 0 {
		t.Error("the cache survived")
	}
	if err := k.Flush(); err != nil {
		t.Fatal(err)
	}
	if k.PowerFailure(1, always(Nothing), rng).Bytes()[0] != 'a' {
		t.Error("the cache did not survive a flush")
	}
}

func TestFates(t *testing.T) {
	broken := errors.New("broken")
	fates := []Fate{{}, {Lost: true}, {Err: broken, Keep: 512}, {Short: true, Keep: 512}, {Shift: 1024}, {Flip: 9}}
	d := New(1 << 14)
	d.OnWrite = func(n int, _ []byte, _ int64) Fate { return fates[n] }
	for i, want := range []struct {
		n    int
		err  error
		at   int64 // a byte to look at
		byte byte
	}{{1024, nil, 1023, 'x'}, {1024, nil, 0, 0}, {512, broken, 511, 'x'}, {512, nil, 512, 0}, {1024, nil, 1024, 'x'}, {1024, nil, 1, 'x' ^ 1}} {
		off := int64(i) * 2048
		n, err := d.WriteAt(fill('x', 1024), off)
		if n != want.n || err != want.err || d.Bytes()[off+want.at] != want.byte {
			t.Errorf("write %d: %d, %v, byte %d", i, n, err, d.Bytes()[off+want.at])
		}
	}
	if _, err := d.WriteAt(make([]byte, 512), 1<<14); err == nil {
		t.Error("a write behind the end")
	}
	d.Close()
	if _, err := d.ReadAt(make([]byte, 512), 0); err == nil {
		t.Error("a read of a closed disk")
	}
	if _, err := d.Reopen().ReadAt(make([]byte, 512), 0); err != nil {
		t.Error(err)
	}
}
