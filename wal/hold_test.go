package wal

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestHold: what is durable is not told while Hold says so, in order and in one go once it does not, and later commits wait behind it.
func TestHold(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		var hold atomic.Bool
		asked := make(chan struct{}, 1000)
		o.Hold = func() bool {
			select {
			case asked <- struct{}{}:
			default:
			}
			return hold.Load()
		}
		l, _ := recovered(t, o)
		w := newWaiter()
		appendOne(t, l, w)
		w.wait(1)

		hold.Store(true)
		for range 20 {
			appendOne(t, l, w)
			awaitDurable(t, l) // each its own commit
		}
		for len(asked) > 0 {
			<-asked
		}
		l.Release() // asked again, in vain
		<-asked
		if n := w.count(); n != 1 {
			t.Fatalf("%d completions were told while they were held", n-1)
		}
		hold.Store(false)
		l.Release()
		w.wait(21)
		appendOne(t, l, w)
		w.wait(22)
		for i, err := range w.errs {
			if err != nil || i > 0 && w.pos[i] <= w.pos[i-1] {
				t.Fatalf("completion %d: position %d after %v: %v", i, w.pos[i], w.pos[:i], err)
			}
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	})
}

// TestHeldAtTheEnd: a log that closes or fails while it holds tells an error, never nil, and the records are there all the same.
func TestHeldAtTheEnd(t *testing.T) {
	for _, clean := range []bool{true, false} {
		modes(t, func(t *testing.T, o Options) {
			o.Hold = func() bool { return true }
			l, _ := recovered(t, o)
			w := newWaiter()
			for range 3 {
				appendOne(t, l, w)
				awaitDurable(t, l)
			}
			if err := l.Close(clean); err != nil {
				t.Fatal(err)
			}
			w.wait(3)
			for _, err := range w.errs {
				if !errors.Is(err, ErrClosed) {
					t.Fatalf("a held append was told %v", err)
				}
			}
			l, found := recovered(t, o)
			defer l.Close(false)
			if len(found) != 3 {
				t.Fatalf("%d records after the restart, want 3", len(found))
			}
		})
	}
}

func awaitDurable(t *testing.T, l *Log) {
	t.Helper()
	waittest.Until(t, testTimeout, "everything is durable", func() bool { return l.Stats().Durable == l.Stats().Next })
}

func appendOne(t *testing.T, l *Log, c Completion) {
	t.Helper()
	e, err := l.Append(c, nil, record(1, 100))
	if err != nil {
		t.Fatal(err)
	}
	e.Mem.Unref()
}

func (w *waiter) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pos)
}
