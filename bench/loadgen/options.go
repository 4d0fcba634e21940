package loadgen

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Options describe one run. The zero value of a number means its default.
type Options struct {
	// Bootstrap is the broker, host:port. Required.
	Bootstrap string `json:"bootstrap"`
	// Client is "raw" or "kgo". Default raw.
	Client string `json:"client"`
	// TopicPrefix of the names of the topics; topic i is PREFIX-i. Default: of the time.
	TopicPrefix string `json:"topic_prefix"`
	// Topics default 1, Partitions of each default 1.
	Topics     int `json:"topics"`
	Partitions int `json:"partitions_per_topic"`
	// TopicConfigs are given to CreateTopics.
	TopicConfigs map[string]string `json:"topic_configs,omitempty"`
	// Producers per topic, default 1. Groups per topic, and Consumers per group, default 1; Groups < 0: nobody consumes.
	Producers int `json:"producers_per_topic"`
	Groups    int `json:"groups_per_topic"`
	Consumers int `json:"consumers_per_group"`
	// RecordBytes is the size of a value, at least 24. Default 1024.
	RecordBytes int `json:"record_bytes"`
	// RandomRatio is the part of a value that is random and so does not compress, 0 to 1; the rest repeats. Default 1.
	RandomRatio float64 `json:"random_ratio"`
	// PoolSize is how many different values a producer has, which it sends in turns. Default: 256, at most 4 MiB of them.
	PoolSize int `json:"random_pool_size,omitempty"`
	// Rate in records a second over all topics and producers; 0: as fast as it goes.
	Rate float64 `json:"rate"`
	// BatchBytes bounds a batch. Default 16384, as Kafka's producers have it.
	BatchBytes int `json:"batch_bytes"`
	// Linger is how long a batch that is not full waits for more records. Default 0.
	Linger time.Duration `json:"linger_ns"`
	// InFlight bounds the requests under way per producer. Default 5.
	InFlight int `json:"in_flight"`
	// Acks is -1 (the default, also for 0) or 1.
	Acks int `json:"acks"`
	// Compression of client kgo: none (default), gzip, snappy, lz4, zstd.
	Compression string `json:"compression,omitempty"`
	// FetchMaxWait, FetchMinBytes, FetchMaxBytes, PartitionBytes of consumers. Defaults 500 ms, 1, 50 MiB, 1 MiB.
	FetchMaxWait   time.Duration `json:"fetch_max_wait_ns"`
	FetchMinBytes  int           `json:"fetch_min_bytes"`
	FetchMaxBytes  int           `json:"fetch_max_bytes"`
	PartitionBytes int           `json:"fetch_partition_bytes"`
	// Warmup is driven like the rest and not counted. Duration is counted. Defaults 0 and 10 s.
	Warmup   time.Duration `json:"warmup_ns"`
	Duration time.Duration `json:"duration_ns"`
	// Backlog is how long records are produced before consumers start. Then Duration bounds the time to catch up.
	Backlog time.Duration `json:"backlog_ns,omitempty"`
	// GroupStartDelay is the time between the starts of consumer groups of a topic after a backlog.
	GroupStartDelay time.Duration `json:"group_start_delay_ns,omitempty"`
	// CatchupRate replaces Rate while consumers catch up. Default: the same; below zero: nobody produces meanwhile.
	CatchupRate float64 `json:"catchup_rate,omitempty"`
	// Drain bounds the time that is waited in the end, for acknowledgements and then for consumers. Default 30 s.
	Drain time.Duration `json:"drain_ns"`
	// Progress gets a line every Interval (default 1 s). Optional. ProgressLine makes the line; default: a form of its own.
	Progress     io.Writer                    `json:"-"`
	ProgressLine func(Options, Second) string `json:"-"`
	Interval     time.Duration                `json:"interval_ns"`
}

func (o Options) withDefaults() Options {
	number := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	duration := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	if o.Client == "" {
		o.Client = "raw"
	}
	if o.TopicPrefix == "" {
		o.TopicPrefix = fmt.Sprintf("load-%x", time.Now().UnixNano())
	}
	if o.RandomRatio == 0 {
		o.RandomRatio = 1
	}
	if o.CatchupRate == 0 {
		o.CatchupRate = o.Rate
	}
	if o.ProgressLine == nil {
		o.ProgressLine = ownInterval
	}
	number(&o.Topics, 1)
	number(&o.Partitions, 1)
	number(&o.Producers, 1)
	number(&o.Groups, 1)
	number(&o.Consumers, 1)
	number(&o.RecordBytes, 1024)
	number(&o.BatchBytes, 16384)
	number(&o.InFlight, 5)
	number(&o.Acks, -1)
	number(&o.FetchMinBytes, 1)
	number(&o.FetchMaxBytes, 50<<20)
	number(&o.PartitionBytes, 1<<20)
	duration(&o.FetchMaxWait, 500*time.Millisecond)
	duration(&o.Duration, 10*time.Second)
	duration(&o.Drain, 30*time.Second)
	duration(&o.Interval, time.Second)
	return o
}

func (o Options) validate() error {
	switch {
	case o.Bootstrap == "":
		return errors.New("loadgen: no bootstrap server")
	case o.Client != "raw" && o.Client != "kgo":
		return fmt.Errorf("loadgen: client %q; allowed raw, kgo", o.Client)
	case o.Topics < 1 || o.Partitions < 1 || o.Producers < 1 || o.Consumers < 1 || o.InFlight < 1:
		return errors.New("loadgen: topics, partitions, producers, consumers and requests in flight must be at least 1")
	case o.RecordBytes < headerBytes || o.RecordBytes > 64<<20:
		return fmt.Errorf("loadgen: record size %d; allowed %d to %d", o.RecordBytes, headerBytes, 64<<20)
	case o.RandomRatio < 0 || o.RandomRatio > 1:
		return fmt.Errorf("loadgen: random ratio %g; allowed 0 to 1", o.RandomRatio)
	case o.PoolSize < 0 || o.PoolSize*o.RecordBytes > 1<<30:
		return fmt.Errorf("loadgen: random pool of %d values of %d bytes; allowed 0 to 1 GiB", o.PoolSize, o.RecordBytes)
	case o.Rate < 0:
		return errors.New("loadgen: a rate below zero")
	case o.Backlog > 0 && o.Rate == 0:
		return errors.New("loadgen: a backlog needs a rate")
	case o.Backlog > 0 && o.Groups < 0:
		return errors.New("loadgen: a backlog needs consumers")
	case o.Acks != -1 && o.Acks != 1:
		return fmt.Errorf("loadgen: acks %d: there is no latency without an acknowledgement; allowed -1, 1", o.Acks)
	case o.Compression != "" && o.Compression != "none" && o.Client == "raw":
		return errors.New("loadgen: the raw client does not compress; use client kgo")
	case o.Linger < 0 || o.Warmup < 0 || o.Duration <= 0 || o.Backlog < 0 || o.Drain <= 0:
		return errors.New("loadgen: a duration below zero")
	}
	if _, err := o.codec(); err != nil {
		return err
	}
	return nil
}

func (o Options) topic(i int) string { return fmt.Sprintf("%s-%d", o.TopicPrefix, i) }

// perBatch is how many records fill a batch, at least one.
func (o Options) perBatch() int {
	return max(1, (o.BatchBytes-batchOverhead)/(o.RecordBytes+recordOverhead))
}

// What a batch and a record take besides values, about.
const (
	batchOverhead  = 61
	recordOverhead = 10
)
