package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ringmq/ringmq/bench/loadgen"
)

// amount is a time on the command line: a plain number counts in the unit that automq-perf-test.sh gives the flag.
type amount struct {
	d    *time.Duration
	unit time.Duration
}

func (a *amount) String() string {
	if a.d == nil {
		return ""
	}
	return a.d.String()
}

func (a *amount) Type() string { return "time" }

func (a *amount) Set(s string) error {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		*a.d = time.Duration(n * float64(a.unit))
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is neither a number of %s nor a time like 90s", s, unitName(a.unit))
	}
	*a.d = d
	return nil
}

// apply translates Kafka's client settings.
func apply(o *loadgen.Options, x extra) error {
	if x.throughput > 0 {
		o.Rate = x.throughput * (1 << 20) / float64(o.RecordBytes)
	}
	pairs := func(flag string, list []string, set func(key, value string) error) error {
		for _, s := range list {
			key, value, ok := strings.Cut(s, "=")
			if !ok {
				return fmt.Errorf("--%s: %q is not key=value", flag, s)
			}
			if err := set(key, value); err != nil {
				return fmt.Errorf("--%s: %s: %w", flag, s, err)
			}
		}
		return nil
	}
	if err := pairs("topic-configs", x.topicConfigs, func(k, v string) error {
		if o.TopicConfigs == nil {
			o.TopicConfigs = map[string]string{}
		}
		o.TopicConfigs[k] = v
		return nil
	}); err != nil {
		return err
	}
	if err := pairs("producer-configs", x.producerConfigs, func(k, v string) error { return producerConfig(o, k, v) }); err != nil {
		return err
	}
	return pairs("consumer-configs", x.consumerConfigs, func(k, v string) error { return consumerConfig(o, k, v) })
}

func producerConfig(o *loadgen.Options, key, value string) (err error) {
	switch key {
	case "acks":
		switch value {
		case "all", "-1":
			o.Acks = -1
		case "1":
			o.Acks = 1
		default:
			err = fmt.Errorf("allowed all, -1, 1")
		}
	case "batch.size":
		o.BatchBytes, err = strconv.Atoi(value)
	case "linger.ms":
		var ms float64
		ms, err = strconv.ParseFloat(value, 64)
		o.Linger = time.Duration(ms * float64(time.Millisecond))
	case "max.in.flight.requests.per.connection":
		o.InFlight, err = strconv.Atoi(value)
	case "compression.type":
		o.Compression = value
	default:
		err = fmt.Errorf("not known; allowed acks, batch.size, linger.ms, max.in.flight.requests.per.connection, compression.type")
	}
	return err
}

func consumerConfig(o *loadgen.Options, key, value string) (err error) {
	switch key {
	case "fetch.min.bytes":
		o.FetchMinBytes, err = strconv.Atoi(value)
	case "fetch.max.bytes":
		o.FetchMaxBytes, err = strconv.Atoi(value)
	case "max.partition.fetch.bytes":
		o.PartitionBytes, err = strconv.Atoi(value)
	case "fetch.max.wait.ms":
		var ms int
		ms, err = strconv.Atoi(value)
		o.FetchMaxWait = time.Duration(ms) * time.Millisecond
	default:
		err = fmt.Errorf("not known; allowed fetch.min.bytes, fetch.max.bytes, fetch.max.wait.ms, max.partition.fetch.bytes")
	}
	return err
}

func unitName(d time.Duration) string {
	if d == time.Minute {
		return "minutes"
	}
	return "seconds"
}
