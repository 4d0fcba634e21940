package wal

import (
	"errors"
	"syscall"
	"testing"

	"github.com/ringmq/ringmq/wal/waltest"
)

// stopLog is a stepped log with three acknowledged records, whose disk fails the writes that fail says.
func stopLog(t *testing.T, fail func(off int64) bool, pick *func(n int) int) (*waltest.Disk, *Log, Stepper, *waiter, *bool) {
	t.Helper()
	d, on, failed := waltest.New(1<<20), false, false
	d.OnWrite = func(_ int, _ []byte, off int64) waltest.Fate {
		if on && fail(off) {
			return waltest.Fate{Err: syscall.EIO}
		}
		return waltest.Fate{}
	}
	w := newWaiter()
	var l *Log
	o := Options{ClusterID: "c", NodeID: 1, QueueDepth: 4, BlockBytes: pageBytes, OnFailure: func(err error) {
		failed = true
		for _, e := range w.errs {
			if e != nil {
				t.Error("a completion was told of the failure before OnFailure")
			}
		}
		// By now nothing is accepted any more.
		if _, aerr := l.Append(w, nil, nil); !errors.Is(aerr, ErrFailed) || !errors.Is(aerr, syscall.EIO) {
			t.Errorf("append during OnFailure: %v", aerr)
		}
	}}
	l, s, err := OpenStepped(o, d, func(n int) int { return (*pick)(n) })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(t.Context(), noEntries); err != nil {
		t.Fatal(err)
	}
	*pick = one
	for i := range 3 {
		mustAppend(t, l, w, 3000)
		for len(w.pos) <= i {
			s.Step()
		}
	}
	on, *pick = true, none
	return d, l, s, w, &failed
}

// TestNoSecondSlotAfterFailure: a block fails while the first slot of a trim is being written. The second slot is not written any more.
func TestNoSecondSlotAfterFailure(t *testing.T) {
	var pick func(n int) int
	d, l, s, w, failed := stopLog(t, func(off int64) bool { return off >= ringStart }, &pick)
	if err := l.Trim(w.pos[2]); err != nil {
		t.Fatal(err)
	}
	s.Step() // the first slot is under way
	mustAppend(t, l, w, 3000)
	s.Step() // and the block
	begun := d.Writes()
	pick = func(n int) int { return n - 1 } // the block ends first
	for !*failed {
		s.Step()
	}
	s.Step()
	if d.Writes() != begun {
		t.Errorf("%d writes after the failure", d.Writes()-begun)
	}
	if err := l.Close(true); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if len(w.errs) != 4 || w.errs[2] != nil || !errors.Is(w.errs[3], ErrFailed) || d.Writes() != begun {
		t.Errorf("completions %v, %d writes after the failure", w.errs, d.Writes()-begun)
	}
}

// TestStopsAtOnce: of four blocks in flight the second fails. Whatever the order in which the others end, none behind it is acknowledged, none that
// waits is submitted, and the first is acknowledged only when it has itself succeeded.
func TestStopsAtOnce(t *testing.T) {
	var orders [][]int
	var permute func(order, rest []int)
	permute = func(order, rest []int) {
		if len(rest) == 0 {
			orders = append(orders, append([]int(nil), order...))
		}
		for i := range rest {
			left := append(append([]int(nil), rest[:i]...), rest[i+1:]...)
			permute(append(order, rest[i]), left)
		}
	}
	permute(nil, []int{0, 1, 2, 3})
	for _, firstFails := range []bool{false, true} {
		for _, order := range orders {
			var pick func(n int) int
			d, l, s, w, failed := stopLog(t, func(off int64) bool {
				block := (off - ringStart) / pageBytes // three were there before
				return block == 4 || firstFails && block == 3
			}, &pick)
			for range 6 { // two wait
				mustAppend(t, l, w, 3000)
				s.Step()
			}
			begun, under := d.Writes(), []int{0, 1, 2, 3}
			ended := map[int]bool{}
			for _, next := range order {
				for i, b := range under {
					if b == next {
						pick = func(n int) int {
							pick = none
							return i
						}
						under = append(under[:i], under[i+1:]...)
						break
					}
				}
				s.Step() // the write ends
				ended[next] = true
				s.Step() // the log notices
				if *failed && d.Writes() != begun {
					t.Fatalf("order %v: %d writes after the failure", order, d.Writes()-begun)
				}
				for i, err := range w.errs[3:] {
					if err == nil && (i > 0 || firstFails || !ended[0]) {
						t.Fatalf("order %v: block %d was acknowledged", order, i)
					}
				}
				begun = d.Writes()
			}
			pick = one
			if err := l.Close(true); !errors.Is(err, ErrFailed) {
				t.Fatal(err)
			}
			if len(w.errs) != 9 || d.Writes() != begun || (w.errs[3] == nil) == firstFails {
				t.Fatalf("order %v, first fails %v: %v, %d writes after the failure", order, firstFails, w.errs[3:], d.Writes()-begun)
			}
		}
	}
}
