package wal_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ringmq/ringmq/wal/waltest"
)

// sparse makes a disk that knows what was never written, and on which zeroes are never written over anything else.
func sparse(t *testing.T, d *waltest.Disk) *waltest.Disk {
	d.Sparse = true
	d.OnWrite = func(_ int, p []byte, off int64) waltest.Fate {
		there := make([]byte, len(p))
		d.Peek(there, off)
		if len(bytes.Trim(p, "\x00")) == 0 && len(bytes.Trim(there, "\x00")) > 0 {
			t.Errorf("%d zeroes are written over data at %d", len(p), off)
		}
		return waltest.Fate{}
	}
	return d
}

// TestPrepareCrash crashes a log at many points while unwritten space is filled behind the appends; each time the log is recovered, written
// around the ring again, and recovered once more.
func TestPrepareCrash(t *testing.T) {
	t.Parallel()
	crashes, seeds := 0, uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 7))
		d := sparse(t, waltest.New(1<<20+int64(seed)<<17)).Shuffle(seed)
		r, err := live(t, d, rng, 20+int(seed)*20, seed%2 == 1)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		from := formatEnd(d)
		for range 25 {
			at := from + rng.IntN(len(d.History())-from+1)
			crashed := d.PowerFailure(at, waltest.RandomFate(rng.Uint64()), rng)
			if rng.IntN(2) == 0 {
				crashed = d.Kill(at, waltest.RandomFate(rng.Uint64()), waltest.RandomFate(rng.Uint64()), rng)
			}
			crashes++
			sparse(t, crashed)
			l, found, err := recoverDisk(t, crashed)
			sure := 0
			if err == nil {
				sure, err = r.verify(found, at)
				err = errors.Join(err, l.Close(rng.IntN(2) == 0))
			}
			if err != nil {
				t.Fatalf("seed %d, crash before event %d of %d: %v", seed, at, len(d.History()), err)
			}
			// Around the ring, in the space that was filled and in the space that was not.
			again := sparse(t, waltest.FromImage(bytes.Clone(crashed.Bytes()))).Shuffle(seed)
			next, err := live(t, again, rng, 40, true)
			if err != nil {
				t.Fatalf("seed %d, after the crash before event %d: %v", seed, at, err)
			}
			next.sure = sure
			end := len(again.History())
			last := sparse(t, again.PowerFailure(end, waltest.RandomFate(1), rng))
			l, found, err = recoverDisk(t, last)
			if err == nil {
				_, err = next.verify(found, end)
				err = errors.Join(err, l.Close(false))
			}
			if err != nil {
				t.Fatalf("seed %d, second life after the crash before event %d: %v", seed, at, err)
			}
		}
	}
	t.Logf("%d crashes", crashes)
}
