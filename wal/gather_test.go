package wal

import (
	"testing"

	"github.com/ringmq/ringmq/wal/waltest"
)

// TestGather: beside a write in flight only what has grown to GatherBytes is written; less waits for its completion and goes together.
func TestGather(t *testing.T) {
	d := waltest.New(4 << 20)
	end := false
	delivered := 0
	o := Options{ClusterID: "c", NodeID: 1, MemoryBytes: 16 << 20, QueueDepth: 4, GatherBytes: 20 << 10, OnDelivered: func() { delivered++ }}
	l, s, err := OpenStepped(o, d, func(n int) int {
		if end {
			return 0
		}
		return -1
	})
	if err != nil {
		t.Fatal(err)
	}
	end = true
	if err := l.Recover(t.Context(), noEntries); err != nil {
		t.Fatal(err)
	}
	end = false
	w := newWaiter()
	first := d.Writes()
	step := func(size, want int) {
		t.Helper()
		if size > 0 {
			mustAppend(t, l, w, size)
		}
		s.Step()
		if got := d.Writes() - first; got != want {
			t.Fatalf("after %d bytes: %d writes, want %d", size, got, want)
		}
	}
	step(100, 1)    // idle: at once
	step(100, 1)    // little, beside it: waits
	step(10<<10, 1) // still little
	step(15<<10, 2) // much: goes beside it
	step(100, 2)    // little again
	end = true      // both end
	for len(w.pos) < 5 {
		s.Step()
	}
	if got := d.Writes() - first; got != 3 || delivered == 0 || delivered > 3 {
		t.Fatalf("%d writes and %d deliveries, want 3 writes", got, delivered)
	}
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
}
