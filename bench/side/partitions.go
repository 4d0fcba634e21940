package side

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ringmq/ringmq/bench/wire"
)

// partitionsPerTopic of the many partitions; the few are one topic.
const (
	partitionsPerTopic = 10
	fewPartitions      = 100
)

// partitionsCase asks what many partitions cost: time to make them, memory of the server, and latency of requests that go through all of them in turns,
// beside the same with a hundred.
func partitionsCase(ctx context.Context, s *session, rec *Record) error {
	many := s.o.Profile.Partitions
	if err := s.probePartitions(ctx, rec, "few_", "few", 1, fewPartitions); err != nil {
		return err
	}
	before, err := s.in.Usage()
	if err != nil {
		return err
	}
	topics := many / partitionsPerTopic
	names := make([]string, topics)
	for i := range names {
		names[i] = "many-" + strconv.Itoa(i) // as the probe names them
	}
	begun := time.Now()
	if err := wire.CreateTopics(ctx, s.in.Seed(), names, partitionsPerTopic, nil); err != nil {
		return fmt.Errorf("side: %d partitions: %w", many, err)
	}
	rec.set("create_s", time.Since(begun).Seconds())
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	after, err := s.in.Usage()
	if err != nil {
		return err
	}
	rec.set("rss_mb", float64(after.RSSBytes)/mib)
	rec.set("rss_kb_per_partition", float64(after.RSSBytes-before.RSSBytes)/1024/float64(topics*partitionsPerTopic))
	if err := s.probePartitions(ctx, rec, "many_", "many", topics, partitionsPerTopic); err != nil {
		return err
	}
	for _, key := range []string{"one_p50_us", "one_p99_us", "rate_p50_us", "rate_p99_us"} {
		if few := rec.Values["few_"+key]; few > 0 {
			rec.set("ratio_"+key, rec.Values["many_"+key]/few)
		}
	}
	return nil
}

// probePartitions probes with one request in flight, and with a thousand a second over four connections.
func (s *session) probePartitions(ctx context.Context, rec *Record, prefix, topic string, topics, partitions int) error {
	for _, mode := range []struct {
		key  string
		args []string
	}{{"one_", nil}, {"rate_", []string{"-conns", "4", "-rate", "1000"}}} {
		var r probeResult
		args := append([]string{"-json", "-server", s.in.Seed(), "-topic", topic, "-topics", strconv.Itoa(topics), "-partitions", strconv.Itoa(partitions), "-spread",
			"-warmup", s.o.Profile.Warmup.String(), "-duration", s.o.Profile.BesideFor.String()}, mode.args...)
		if err := s.program(ctx, &r, "probe", args...); err != nil {
			return err
		}
		rec.latency(topic+" "+mode.key, prefix+mode.key, r.Latency)
	}
	return nil
}
