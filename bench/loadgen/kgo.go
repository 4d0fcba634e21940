package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/measure"
)

func (o Options) codec() (kgo.CompressionCodec, error) {
	switch o.Compression {
	case "", "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("loadgen: compression %q; allowed none, gzip, snappy, lz4, zstd", o.Compression)
}

// newKgoProducer makes a client that produces as the options say. Idempotence needs acks of all; it is on then, as it is by default.
func newKgoProducer(o Options) (*kgo.Client, error) {
	codec, err := o.codec()
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{kgo.SeedBrokers(o.Bootstrap), kgo.ClientID("load"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(o.Linger), kgo.ProducerBatchMaxBytes(int32(max(o.BatchBytes, o.RecordBytes+batchOverhead+recordOverhead+64))),
		kgo.RecordDeliveryTimeout(2 * time.Minute)}
	if o.Acks == 1 {
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(o.InFlight))
	} else {
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks())) // idempotent: the client itself chooses how many are in flight, as the protocol allows
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("loadgen: %w", err)
	}
	return cl, nil
}

// runKgo drives one phase through franz-go and returns when everything of it is acknowledged.
func (p *producer) runKgo(ctx context.Context, cl *kgo.Client, ph phase) error {
	pace := measure.NewPacer()
	defer pace.Close()
	var failed sync.Once
	var failure error
	fail := make(chan struct{})
	batch := int64(p.o.perBatch())
	for at := int64(0); !ph.over(at) && ctx.Err() == nil; at++ {
		due := time.Now()
		if ph.open {
			due = ph.schedule.At(at)
			pace.Until(due)
			p.late.batch(due, time.Now(), 1)
		}
		select {
		case <-fail:
			return failure
		default:
		}
		// As the raw client: a batch to one partition, then the next partition.
		partition := int(at/batch) % p.o.Partitions
		value := append([]byte(nil), p.next(partition, due)...) // the client keeps it
		cl.Produce(ctx, &kgo.Record{Topic: p.topic, Partition: int32(partition), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Do(func() { failure = fmt.Errorf("loadgen: producer %d: %w", p.id, err); close(fail) })
				return
			}
			p.acked.batch(due, time.Now(), 1)
		})
	}
	flush, cancel := context.WithTimeout(ctx, p.o.Drain)
	defer cancel()
	if err := cl.Flush(flush); err != nil {
		return fmt.Errorf("loadgen: producer %d: not everything was acknowledged %s after the last record was sent: %w", p.id, p.o.Drain, err)
	}
	select {
	case <-fail:
		return failure
	default:
		return ctx.Err()
	}
}

// runKgo consumes as a member of a group until the context ends.
func (c *consumer) runKgo(ctx context.Context, group string) error {
	o := c.o
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.Bootstrap), kgo.ClientID("load"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(c.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(o.FetchMaxWait), kgo.FetchMinBytes(int32(o.FetchMinBytes)),
		kgo.FetchMaxBytes(int32(o.FetchMaxBytes)), kgo.FetchMaxPartitionBytes(int32(o.PartitionBytes)), kgo.AutoCommitInterval(5*time.Second))
	if err != nil {
		return fmt.Errorf("loadgen: %w", err)
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.Canceled) {
				return fmt.Errorf("loadgen: consume %s/%d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) { c.see(r.Partition, r.Value, now) })
	}
}
