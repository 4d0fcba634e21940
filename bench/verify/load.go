package verify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Load says what to produce.
type Load struct {
	Seeds       []string
	Topic       string
	RecordBytes int
	Rate        int // records a second over all partitions; 0: as fast as the client goes
	// Acked is told of each acknowledgement how long it took since the record was given to the client; it may be nil. It must not block.
	Acked func(partition int32, took time.Duration)
	// Options are further client options.
	Options []kgo.Opt
	// Gaps is told of every acknowledgement; it may be nil.
	Gaps *Gaps
}

// Produce sends records round robin over the ledger's partitions until the context ends, and then waits for the outcome of what is
// under way, at most grace. The producer is idempotent, unless the options say otherwise, and retries for as long as it runs, over restarts
// of the broker. stalls is told the longest time without an acknowledgement; it may be nil.
func Produce(ctx context.Context, load Load, ledger *Ledger, grace time.Duration, stalls *atomic.Int64) error {
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(load.Seeds...), kgo.DefaultProduceTopic(load.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(5 * time.Minute), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MaxBufferedRecords(5000), kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(50 * time.Millisecond),
	}, load.Options...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer cl.Close()
	noise := rand.New(rand.NewPCG(rand.Uint64(), 1))
	var failed atomic.Pointer[error]
	var last atomic.Int64
	last.Store(time.Now().UnixNano())
	load.Gaps.begin(time.Now())
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	started, sent := time.Now(), 0
	for n := int32(0); ctx.Err() == nil && failed.Load() == nil; n++ {
		if load.Rate > 0 && float64(sent) > time.Since(started).Seconds()*float64(load.Rate) {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
			n--
			continue
		}
		sent++
		partition := n % int32(ledger.Partitions())
		sequence := ledger.take(partition)
		rec := &kgo.Record{Partition: partition, Value: encode(partition, sequence, load.RecordBytes, noise)}
		begun := time.Now()
		cl.Produce(context.Background(), rec, func(r *kgo.Record, err error) {
			now := time.Now().UnixNano()
			if err == nil && load.Acked != nil {
				load.Acked(r.Partition, time.Since(begun))
			}
			if err != nil {
				failed.CompareAndSwap(nil, &err)
				return
			}
			ledger.acknowledge(r.Partition, sequence, r.Offset)
			load.Gaps.acknowledged(r.Partition, time.Unix(0, now))
			if gap := now - last.Swap(now); stalls != nil && gap > stalls.Load() {
				stalls.Store(gap)
			}
		})
	}
	wait, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := cl.Flush(wait); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("verify: flush: %w", err)
	}
	if err := failed.Load(); err != nil {
		return fmt.Errorf("verify: produce: %w", *err)
	}
	return nil
}

// Check reads the whole topic and compares it with the ledger; then it waits until the tails have come as far, and compares what they were
// served with what it has read.
func Check(ctx context.Context, seeds []string, topic string, ledger *Ledger, tails ...*Tail) (*Report, error) {
	return CheckWith(ctx, []kgo.Opt{kgo.SeedBrokers(seeds...)}, topic, ledger, tails...)
}

// CheckWith is Check with a client of these options, of which one names the brokers.
func CheckWith(ctx context.Context, opts []kgo.Opt, topic string, ledger *Ledger, tails ...*Tail) (*Report, error) {
	ends, err := endOffsets(ctx, opts, topic, ledger.Partitions())
	if err != nil {
		return nil, err
	}
	report := &Report{}
	readers := make([]*reader, ledger.Partitions())
	from := map[int32]kgo.Offset{}
	left := 0
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	for i := range readers {
		readers[i] = newReader(int32(i), &ledger.parts[i], report)
		if len(tails) > 0 {
			readers[i].at = make(map[int64]int64)
		}
		if ends[i] > 0 {
			from[int32(i)] = kgo.NewOffset().AtStart()
			left++
		}
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchMaxWait(200 * time.Millisecond), kgo.FetchMaxPartitionBytes(1 << 20)}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	defer cl.Close()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("verify: %d partitions not read to their end: %w", left, err)
		}
		var fetchErr error
		fetches.EachError(func(_ string, p int32, err error) { fetchErr = fmt.Errorf("verify: fetch partition %d: %w", p, err) })
		if fetchErr != nil {
			return report, fetchErr
		}
		fetches.EachRecord(func(r *kgo.Record) {
			rd := readers[r.Partition]
			before := rd.lastOffset
			if r.Offset < ends[r.Partition] {
				rd.record(r.Offset, r.Value)
			}
			if before < ends[r.Partition]-1 && r.Offset >= ends[r.Partition]-1 {
				left--
			}
		})
	}
	for _, r := range readers {
		r.end()
	}
	for _, t := range tails {
		if err := t.compare(ctx, ends, readers, report); err != nil {
			return report, err
		}
	}
	return report, nil
}
