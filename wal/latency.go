package wal

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	latencyLowest  = 14 // the first bucket ends at 2^14 ns, 16 µs
	latencyHighest = 33 // the last one that has an end at 2^33 ns, 8.6 s
	// LatencyBuckets is the number of buckets of a Latency: two to an octave, and one for what is longer than all.
	LatencyBuckets = 2*(latencyHighest-latencyLowest) + 2
)

// Latency is a histogram of durations. Bucket i counts those that are longer than LatencyBound(i-1) and not longer than LatencyBound(i); the last has no bound.
type Latency struct {
	Buckets [LatencyBuckets]uint64
	Sum     time.Duration
}

// LatencyBound is the upper bound of a bucket, 0 <= i < LatencyBuckets-1: 16, 24, 32, 49, 65 µs and so on.
func LatencyBound(i int) time.Duration {
	octave := time.Duration(1) << (latencyLowest + i/2)
	return octave + time.Duration(i%2)*octave/2
}

// Latencies are those of a log.
type Latencies struct {
	Write Latency // of block writes, from handing over to the commit goroutine's notice; by SyncFdatasync without the flush
	Ack   Latency // of blocks, from their first record to its completion: what it waited to be submitted, written and in its turn. Successful ones
}

// latencyCounts is a Latency that is being counted: by one goroutine, read by any.
type latencyCounts struct {
	buckets [LatencyBuckets]atomic.Uint64
	sum     atomic.Int64
}

func (l *latencyCounts) add(d time.Duration) {
	l.buckets[latencyBucket(d)].Add(1)
	l.sum.Add(int64(d))
}

func latencyBucket(d time.Duration) int {
	if d <= 1<<latencyLowest {
		return 0
	}
	n := uint64(d - 1)
	octave := bits.Len64(n) - 1
	i := 2*(octave-latencyLowest) + 1 + int(n>>(octave-1)&1)
	return min(i, LatencyBuckets-1)
}

func (l *latencyCounts) snapshot() Latency {
	s := Latency{Sum: time.Duration(l.sum.Load())}
	for i := range s.Buckets {
		s.Buckets[i] = l.buckets[i].Load()
	}
	return s
}
