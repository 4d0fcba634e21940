package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ringmq/ringmq/wal/waltest"
)

// superWrites is how many writes formatting and recovering a blank disk make before the first block: the zeroes, two superblocks, and
// two more for the new generation.
const superWrites = 5

func noEntries(Entry) error { return errors.New("unexpected record") }

// TestFailedWrite breaks the n-th block write in several ways. Records before it are durable, all others are refused, and nothing is
// written afterwards.
func TestFailedWrite(t *testing.T) {
	cause := syscall.EIO
	fates := map[string]waltest.Fate{
		"error":            {Err: cause},
		"error, half kept": {Err: cause, Keep: 512},
		"error, all kept":  {Err: cause, Keep: 1 << 20},
		"short":            {Short: true, Keep: 512},
		"nothing":          {Short: true, Keep: 0},
		"device full":      {Err: syscall.ENOSPC},
		"device gone":      {Err: syscall.ENODEV},
	}
	for name, fate := range fates {
		for _, nth := range []int{0, 1, 5} {
			t.Run(fmt.Sprintf("%s/%d", name, nth), func(t *testing.T) {
				d := waltest.New(1 << 20)
				var after atomic.Int32
				d.OnWrite = func(n int, _ []byte, _ int64) waltest.Fate {
					switch {
					case n == superWrites+nth:
						return fate
					case n > superWrites+nth:
						after.Add(1)
					}
					return waltest.Fate{}
				}
				o := testOptions(t)
				o.Path, o.Device, o.QueueDepth, o.Logger = "", d, 1, nil
				var failures []error
				w := newWaiter()
				o.OnFailure = func(err error) {
					failures = append(failures, err)
					if len(w.pos) > nth {
						t.Error("OnFailure comes after a completion with the error")
					}
				}
				l := mustOpen(t, o)
				if err := l.Recover(context.Background(), noEntries); err != nil {
					t.Fatal(err)
				}
				var want []got
				for i := 0; ; i++ {
					data := record(i, 700)
					e, err := l.Append(w, nil, data)
					if err != nil {
						if !errors.Is(err, ErrFailed) {
							t.Fatalf("append after the failure: %v", err)
						}
						break
					}
					e.Mem.Unref()
					want = append(want, got{e.Pos, data})
					w.wait(len(want))
				}
				if len(want) != nth+1 {
					t.Fatalf("%d appends were accepted, want %d", len(want), nth+1)
				}
				for i, err := range w.errs {
					if i < nth && err != nil || i >= nth && !errors.Is(err, ErrFailed) {
						t.Errorf("completion %d: %v", i, err)
					}
					if i >= nth && fate.Err != nil && !errors.Is(err, fate.Err) {
						t.Errorf("completion %d does not tell the cause: %v", i, err)
					}
				}
				if len(failures) != 1 || !errors.Is(failures[0], ErrFailed) {
					t.Errorf("OnFailure was told %v", failures)
				}
				if st := l.Stats(); st.State != StateFailed {
					t.Errorf("state %q", st.State)
				}
				if err := l.Trim(l.Next()); !errors.Is(err, ErrFailed) {
					t.Errorf("trim after the failure: %v", err)
				}
				if err := l.Close(true); !errors.Is(err, ErrFailed) {
					t.Errorf("close after the failure: %v", err)
				}
				if after.Load() != 0 {
					t.Errorf("%d writes after the failed one", after.Load())
				}
				o.OnFailure = nil
				d.OnWrite = nil
				d.Reopen()
				l, all := recovered(t, o)
				defer l.Close(false)
				if len(all) == nth+1 { // stored after all: an unacknowledged record may come back
					want = want[:nth+1]
				} else {
					want = want[:nth]
				}
				check(t, all, want)
			})
		}
	}
}

// TestFailureInTheMiddle has a whole queue in flight when one write fails: what lies before it in log order is told nil, the rest the
// error, in order.
func TestFailureInTheMiddle(t *testing.T) {
	for seed := range uint64(20) {
		d := waltest.New(1 << 20).Shuffle(seed)
		var failedOff atomic.Int64
		d.OnWrite = func(n int, p []byte, _ int64) waltest.Fate {
			if n != superWrites+12 {
				return waltest.Fate{}
			}
			h, err := decodeHeader(p)
			if err != nil {
				t.Error(err)
			}
			failedOff.Store(int64(h.Offset))
			return waltest.Fate{Err: syscall.EIO}
		}
		o := testOptions(t)
		o.Path, o.Device, o.QueueDepth, o.Logger, o.BlockBytes, o.GatherBytes = "", d, 4, nil, pageBytes, 1
		l := mustOpen(t, o)
		if err := l.Recover(context.Background(), noEntries); err != nil {
			t.Fatal(err)
		}
		w := newWaiter()
		n := 0
		for ; n < 100; n++ {
			e, err := l.Append(w, nil, make([]byte, 3000))
			if err != nil {
				break
			}
			e.Mem.Unref()
		}
		w.wait(n)
		for i := range n {
			if i > 0 && w.pos[i] <= w.pos[i-1] {
				t.Fatalf("seed %d: completion %d at %d after %d", seed, i, w.pos[i], w.pos[i-1])
			}
			if ok := w.pos[i] < Position(failedOff.Load()); ok != (w.errs[i] == nil) {
				t.Fatalf("seed %d: completion %d at %d, failed block at %d: %v", seed, i, w.pos[i], failedOff.Load(), w.errs[i])
			}
		}
		if err := l.Close(false); !errors.Is(err, ErrFailed) {
			t.Fatal(err)
		}
		if used := l.pool.usage(); used != 0 {
			t.Fatalf("seed %d: %d bytes are still mapped", seed, used)
		}
	}
}

// TestFailedSuperblock: a trim that cannot be made durable stops the log as well.
func TestFailedSuperblock(t *testing.T) {
	d := waltest.New(1 << 20)
	d.OnWrite = func(n int, p []byte, off int64) waltest.Fate {
		if n > superWrites && off == slotStride {
			return waltest.Fate{Err: syscall.EIO}
		}
		return waltest.Fate{}
	}
	o := testOptions(t)
	failed := make(chan error, 1)
	o.Path, o.Device, o.Logger, o.OnFailure = "", d, nil, func(err error) { failed <- err }
	l := mustOpen(t, o)
	if err := l.Recover(context.Background(), noEntries); err != nil {
		t.Fatal(err)
	}
	w := newWaiter()
	e, err := l.Append(w, nil, make([]byte, 10))
	if err != nil {
		t.Fatal(err)
	}
	e.Mem.Unref()
	w.wait(1)
	if err := l.Trim(l.Next()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "superblock") {
		t.Fatal(err)
	}
	if err := l.Close(true); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}

// TestRingFailure lets the kernel refuse a write of the ring: a direct write at an offset that is not aligned.
func TestRingFailure(t *testing.T) {
	for _, mode := range []Mode{ModeURing, ModePWrite} {
		o := testOptions(t)
		o.Mode, o.Logger = mode, nil
		failed := make(chan error, 1)
		o.OnFailure = func(err error) { failed <- err }
		l, _ := recovered(t, o)
		l.super.Base-- // shifts every block by a byte
		w := newWaiter()
		e, err := l.Append(w, nil, make([]byte, 10))
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
		w.wait(1)
		if err := <-failed; !errors.Is(err, syscall.EINVAL) || !errors.Is(w.errs[0], ErrFailed) {
			t.Fatalf("%s: OnFailure %v, completion %v", mode, err, w.errs[0])
		}
		if err := l.Close(true); !errors.Is(err, ErrFailed) {
			t.Fatal(err)
		}
	}
}

// TestUnreadable: a device that cannot be read is not taken for an empty log.
func TestUnreadable(t *testing.T) {
	d := &unreadable{Disk: waltest.New(1 << 20)}
	o := testOptions(t)
	o.Path, o.Device = "", d
	l := mustOpen(t, o)
	d.from = ringStart
	if err := l.Recover(context.Background(), noEntries); !errors.Is(err, syscall.EIO) {
		t.Fatalf("recover: %v", err)
	}
	if _, err := l.Append(newWaiter(), nil, nil); !errors.Is(err, ErrNotRecovered) {
		t.Fatalf("append: %v", err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
}

// unreadable fails reads that touch offsets from `from` on, when it is not 0.
type unreadable struct {
	*waltest.Disk
	from int64
}

func (u *unreadable) ReadAt(p []byte, off int64) (int, error) {
	if u.from != 0 && off+int64(len(p)) > u.from {
		return 0, syscall.EIO
	}
	return u.Disk.ReadAt(p, off)
}
