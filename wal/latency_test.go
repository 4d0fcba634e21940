package wal

import (
	"testing"
	"time"
)

// TestLatencyBuckets puts durations around every bound into their buckets.
func TestLatencyBuckets(t *testing.T) {
	if LatencyBound(0) != 16384 || LatencyBound(1) != 24576 || LatencyBound(2) != 32768 {
		t.Fatalf("bounds %v, %v, %v", LatencyBound(0), LatencyBound(1), LatencyBound(2))
	}
	for i := range LatencyBuckets - 1 {
		bound := LatencyBound(i)
		if i > 0 && bound <= LatencyBound(i-1) {
			t.Fatalf("bound %d is %v, the one before %v", i, bound, LatencyBound(i-1))
		}
		for d, want := range map[time.Duration]int{bound - 1: i, bound: i, bound + 1: i + 1} {
			if got := latencyBucket(d); got != want {
				t.Errorf("%d ns are in bucket %d, want %d", d, got, want)
			}
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, 0: 0, time.Hour: LatencyBuckets - 1} {
		if got := latencyBucket(d); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

// TestLatencyOfBlocks appends records one after the other: each is a block, which was written and acknowledged, and to acknowledge it took no less.
func TestLatencyOfBlocks(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		l, _ := recovered(t, o)
		w := newWaiter()
		const n = 20
		for i := range n {
			e, err := l.Append(w, nil, record(i, 100))
			if err != nil {
				t.Fatal(err)
			}
			e.Mem.Unref()
			w.wait(i + 1)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		got := l.Latencies()
		for name, h := range map[string]Latency{"written": got.Write, "acknowledged": got.Ack} {
			count := uint64(0)
			for _, c := range h.Buckets {
				count += c
			}
			if count != n || h.Sum <= 0 {
				t.Errorf("%s: %d blocks in %v, want %d", name, count, h.Sum, n)
			}
		}
		if got.Ack.Sum < got.Write.Sum {
			t.Errorf("written in %v, acknowledged in %v", got.Write.Sum, got.Ack.Sum)
		}
	})
}
