package verify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Tail consumes a topic from its start on while records are produced to it, and notes what it is served. Check compares that with the log:
// what a consumer has seen must be there, at the same offset, and nothing may have been left out on the way.
type Tail struct {
	cl      *kgo.Client
	stopped chan struct{}
	mu      struct {
		sync.Mutex
		parts  []tailPartition
		faults []string // violations, the first ones
	}
}

type tailPartition struct {
	next int64   // offset
	seqs []int64 // by offset
}

// StartTail starts to consume a topic of n partitions.
func StartTail(seeds []string, topic string, n int, opts ...kgo.Opt) (*Tail, error) {
	from := make(map[int32]kgo.Offset, n)
	for p := range n {
		from[int32(p)] = kgo.NewOffset().At(0)
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seeds...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchMaxWait(200 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	t := &Tail{cl: cl, stopped: make(chan struct{})}
	t.mu.parts = make([]tailPartition, n)
	go t.run()
	return t, nil
}

// Close ends the tail and waits for its goroutine.
func (t *Tail) Close() {
	t.cl.Close()
	<-t.stopped
}

func (t *Tail) run() {
	defer close(t.stopped)
	for {
		fetches := t.cl.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		t.mu.Lock()
		fetches.EachError(func(_ string, p int32, err error) { t.fault("consumer: partition %d: %v", p, err) })
		fetches.EachRecord(t.record)
		t.mu.Unlock()
	}
}

// record notes one record. REQUIRES: mu is held.
func (t *Tail) record(r *kgo.Record) {
	p := &t.mu.parts[r.Partition]
	if r.Offset != p.next {
		t.fault("consumer: partition %d: offset %d follows offset %d", r.Partition, r.Offset, p.next-1)
		if r.Offset < p.next {
			return
		}
	}
	partition, sequence, err := decode(r.Value)
	if err != nil || partition != r.Partition {
		t.fault("consumer: partition %d offset %d: a record of partition %d, %v", r.Partition, r.Offset, partition, err)
		sequence = -1
	}
	for ; p.next < r.Offset; p.next++ {
		p.seqs = append(p.seqs, -1)
	}
	p.seqs = append(p.seqs, sequence)
	p.next++
}

// fault notes a violation. REQUIRES: mu is held.
func (t *Tail) fault(format string, args ...any) {
	if len(t.mu.faults) < maxViolations {
		t.mu.faults = append(t.mu.faults, fmt.Sprintf(format, args...))
	}
}

// compare waits until the tail has come to the ends, and adds to the report where it was served something other than what the readers found.
func (t *Tail) compare(ctx context.Context, ends []int64, readers []*reader, report *Report) error {
	for {
		behind := -1
		t.mu.Lock()
		for i := range t.mu.parts {
			if t.mu.parts[i].next < ends[i] {
				behind = i
			}
		}
		if behind < 0 {
			defer t.mu.Unlock()
			break
		}
		at, faults := t.mu.parts[behind].next, t.mu.faults
		t.mu.Unlock()
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("verify: the consumer is at offset %d of partition %d, which ends at %d: %w; its faults: %q", at, behind, ends[behind], ctx.Err(), faults)
		}
	}
	for _, f := range t.mu.faults {
		report.violate("%s", f)
	}
	for i := range t.mu.parts {
		for offset, sequence := range t.mu.parts[i].seqs[:ends[i]] {
			if found, ok := readers[i].at[int64(offset)]; !ok || found != sequence {
				report.violate("consumer: partition %d offset %d: was served sequence %d, the log holds %d (%t)", i, offset, sequence, found, ok)
			}
		}
	}
	return nil
}
