package side

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/bench/loadgen"
	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/nothing"
)

// testCase is one thing that is measured.
type testCase struct {
	name string
	run  func(ctx context.Context, s *session, rec *Record) error
	// own is not nil when the case has a server of its own, on fresh data: it needs other settings, or leaves too much behind.
	own *ownServer
	// on says for which targets the case makes sense; nil: for all.
	on func(target string) bool
}

// ownServer is how the server of a case differs from the target's.
type ownServer struct {
	settings  []string
	args, env []string // of RingMQ
	tls       bool     // its listener speaks TLS
}

const (
	mib = 1 << 20
	gib = 1 << 30
	kb  = 1024 // bytes of a "1 KB" record
)

// cases are all cases of a profile in the order in which they are run. Light ones come first: what a heavy one leaves behind (dirty pages,
// uploads, garbage) shall not fall on them.
func (p Profile) cases() []testCase {
	list := []testCase{
		{name: "start", run: startCase},
		{name: "idle", run: idleCase},
		{name: "floor", run: floorCase},
		{name: "probe-1", run: probeCase("-size", "1024")},
		{name: "probe-1000", run: probeCase("-size", "1024", "-conns", "4", "-rate", "1000")},
		{name: "probe-5000", run: probeCase("-size", "1024", "-conns", "4", "-rate", "5000")},
		{name: "probe-64", run: probeCase("-size", "100", "-conns", "64", "-partitions", "16")},
		{name: "java-5000", run: javaProduce(func(p Profile) int { return p.Java5kRecords }, 5000)},
		{name: "java-e2e", run: javaE2E},
		{name: "load", run: loadCase(p.LoadMB, func(p Profile) time.Duration { return p.LoadFor })},
	}
	for _, mb := range p.SweepMB {
		list = append(list, testCase{name: "sweep-" + strconv.FormatFloat(mb, 'g', -1, 64), run: loadCase(mb, func(p Profile) time.Duration { return p.SweepFor })})
	}
	list = append(list,
		testCase{name: "java-max", run: javaProduce(func(p Profile) int { return p.JavaRecords }, -1)},
		testCase{name: batchCase, run: javaProduce(func(p Profile) int { return p.BatchRecords }, -1, "batch.size=131072", "linger.ms=5")},
		testCase{name: "java-consume", run: javaConsume},
		testCase{name: "loaded", run: loadedCase},
		testCase{name: "life", run: lifeCase},
	)
	if p.Cold {
		list = append(list, testCase{name: "java-consume-cold", run: javaConsumeCold})
	}
	return append(list, p.ownCases()...)
}

// ownCases have a server of their own each.
func (p Profile) ownCases() []testCase {
	var list []testCase
	if p.Partitions > 0 {
		list = append(list, testCase{name: "partitions", run: partitionsCase, own: &ownServer{}})
	}
	if p.BesideFor > 0 {
		list = append(list, testCase{name: "fairness", run: fairnessCase, own: &ownServer{}})
	}
	list = append(list, p.secureCases()...)
	list = append(list, testCase{name: "txn-5000", run: javaProduceWith(transactional, func(p Profile) int { return p.Java5kRecords }, 5000),
		own: &ownServer{settings: []string{"transaction.state.log.num.partitions=5"}}})
	if p.BesideFor > 0 {
		list = append(list, testCase{name: "cleaning", run: cleaningCase, own: &ownServer{settings: cleaningSettings}})
	}
	if p.MinIOLoadFor > 0 {
		list = append(list, p.minioLoad())
	}
	return list
}

// batchCase fills the topic that the consumer cases read.
const batchCase = "java-batch"

// startCase starts the server on its fresh directory.
func startCase(ctx context.Context, s *session, rec *Record) error {
	took, err := s.start(ctx)
	if err != nil {
		return err
	}
	rec.set("first_ack_ms", float64(took.Microseconds())/1e3)
	rec.Server = ServerUsage{CPUSeconds: s.afterReady.CPU.Seconds(), WrittenBytes: s.afterReady.WriteBytes, ReadBytes: s.afterReady.ReadBytes,
		ResidentBytes: s.afterReady.RSSBytes, PeakBytes: s.afterReady.PeakBytes}
	return nil
}

// idleCase leaves the server alone.
func idleCase(ctx context.Context, s *session, rec *Record) error {
	if err := s.measured(ctx, rec, func() error { return sleep(ctx, s.o.Profile.IdleFor) }); err != nil {
		return err
	}
	rec.set("rss_mb", float64(rec.Server.ResidentBytes)/mib)
	rec.set("cpu_percent", 100*rec.Server.CPUSeconds/rec.Host.Seconds)
	return nil
}

// probeResult is what bench/probe prints.
type probeResult struct {
	Requests   int64            `json:"requests"`
	PerSecond  float64          `json:"requests_per_second"`
	Latency    measure.Latency  `json:"latency"`
	Late       *measure.Latency `json:"late"`
	Unanswered int64            `json:"unanswered"`
}

func probeCase(args ...string) func(context.Context, *session, *Record) error {
	return func(ctx context.Context, s *session, rec *Record) error {
		var r probeResult
		err := s.measured(ctx, rec, func() error {
			return s.program(ctx, &r, "probe", append([]string{"-json", "-server", s.in.Seed(), "-topic", rec.Case,
				"-warmup", s.o.Profile.Warmup.String(), "-duration", s.o.Profile.ProbeFor.String()}, args...)...)
		})
		if err != nil {
			return err
		}
		rec.latency("produce", "", r.Latency)
		rec.set("per_second", r.PerSecond)
		rec.set("unanswered", float64(r.Unanswered))
		if r.Late != nil {
			rec.set("late_p99_us", r.Late.P99)
		}
		// The warm-up is in the server's usage: requests there come at the same rate.
		share := s.o.Profile.ProbeFor.Seconds() / (s.o.Profile.ProbeFor + s.o.Profile.Warmup).Seconds()
		if r.Requests > 0 {
			rec.set("cpu_us_per_request", 1e6*rec.Server.CPUSeconds*share/float64(r.Requests))
		}
		return nil
	}
}

// javaProduce runs Kafka's producer tool with records of 1 KB; throughput -1 is as fast as it goes.
func javaProduce(records func(Profile) int, throughput int, props ...string) func(context.Context, *session, *Record) error {
	return javaProduceWith(nil, records, throughput, props...)
}

// javaProduceWith is javaProduce with further arguments of the tool.
func javaProduceWith(more []string, records func(Profile) int, throughput int, props ...string) func(context.Context, *session, *Record) error {
	return func(ctx context.Context, s *session, rec *Record) error {
		args := append([]string{"--topic", rec.Case, "--num-records", strconv.Itoa(records(s.o.Profile)), "--record-size", strconv.Itoa(kb),
			"--throughput", strconv.Itoa(throughput), "--bootstrap-server", s.in.Seed()}, more...)
		if len(props) > 0 {
			args = append(append(args, "--command-property"), props...)
		}
		if err := s.createTopic(ctx, rec.Case, 1); err != nil {
			return err
		}
		err := s.measured(ctx, rec, func() (err error) {
			rec.Output, err = s.o.Tool(ctx, "kafka-producer-perf-test", args...)
			return err
		})
		if err != nil {
			return err
		}
		p, err := ParseProducerPerf(rec.Output)
		if err != nil {
			return err
		}
		rec.Output = tail(rec.Output)
		rec.set("p50_ms", p.P50)
		rec.set("p99_ms", p.P99)
		rec.set("p999_ms", p.P999)
		rec.set("avg_ms", p.Avg)
		rec.set("mb_s", p.MBPerSecond)
		bytes := float64(p.Records) * kb
		s.produced += bytes
		rec.set("cpu_s_per_gb", rec.Server.CPUSeconds/(bytes/gib))
		rec.set("machine_cpu_s_per_gb", rec.Host.BusySeconds/(bytes/gib))
		rec.set("written_per_byte", float64(rec.Server.WrittenBytes)/bytes)
		if throughput > 0 {
			return nil
		}
		all, err := s.settle(ctx, rec)
		if err != nil {
			return err
		}
		rec.set("settled_cpu_s_per_gb", all.CPUSeconds/(bytes/gib))
		rec.set("settled_written_per_byte", float64(all.WrittenBytes)/bytes)
		if s.in.minio != nil {
			rec.set("minio_cpu_s_per_gb", all.MinIOCPUSeconds/(bytes/gib))
		}
		if !strings.HasPrefix(s.target, "ringmq") { // the limit is the tool's: once in a round is enough
			return nil
		}
		return s.alone(ctx, rec, args)
	}
}

// alone runs the producer tool once more, against a broker that does nothing: what the tool reaches there no server can exceed.
func (s *session) alone(ctx context.Context, rec *Record, args []string) error {
	b, err := nothing.Start(1)
	if err != nil {
		return err
	}
	args = slices.Clone(args)
	args[slices.Index(args, "--bootstrap-server")+1] = b.Seed()
	out, err := s.o.Tool(ctx, "kafka-producer-perf-test", args...)
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	p, err := ParseProducerPerf(out)
	if err != nil {
		return err
	}
	rec.set("alone_mb_s", p.MBPerSecond)
	rec.set("of_alone", rec.Values["mb_s"]/p.MBPerSecond)
	return nil
}

// javaConsume reads the topic of the batch case from its beginning.
func javaConsume(ctx context.Context, s *session, rec *Record) error {
	records := s.o.Profile.BatchRecords
	err := s.measured(ctx, rec, func() (err error) {
		rec.Output, err = s.o.Tool(ctx, "kafka-consumer-perf-test", "--bootstrap-server", s.in.Seed(), "--topic", batchCase, "--num-records", strconv.Itoa(records),
			"--group", rec.Case, "--timeout", "60000")
		return err
	})
	if err != nil {
		return err
	}
	c, err := ParseConsumerPerf(rec.Output)
	if err != nil {
		return err
	}
	if c.Records < int64(records) {
		return fmt.Errorf("consumed %d of %d records", c.Records, records)
	}
	rec.Output = tail(rec.Output)
	rec.set("mb_s", c.FetchMBPerSecond)
	rec.set("total_mb_s", c.MBPerSecond)
	rec.set("cpu_s_per_gb", rec.Server.CPUSeconds/(c.MB/1024))
	return nil
}

// javaConsumeCold starts the stopped server again and reads once more, when neither it nor the kernel has anything in memory.
func javaConsumeCold(ctx context.Context, s *session, rec *Record) error {
	unix.Sync()
	if err := dropCaches(); err != nil {
		return err
	}
	took, err := s.start(ctx)
	if err != nil {
		return err
	}
	rec.set("restart_first_ack_ms", float64(took.Microseconds())/1e3)
	return javaConsume(ctx, s, rec)
}

// javaE2E sends one record at a time and waits for it at a consumer.
func javaE2E(ctx context.Context, s *session, rec *Record) error {
	if err := s.createTopic(ctx, rec.Case, 1); err != nil {
		return err
	}
	err := s.measured(ctx, rec, func() (err error) {
		rec.Output, err = s.o.Tool(ctx, "kafka-e2e-latency", "--bootstrap-server", s.in.Seed(), "--topic", rec.Case, "--num-records", strconv.Itoa(s.o.Profile.E2ERecords),
			"--producer-acks", "all", "--record-size", strconv.Itoa(kb))
		return err
	})
	if err != nil {
		return err
	}
	e, err := ParseE2ELatency(rec.Output)
	if err != nil {
		return err
	}
	rec.Output = tail(rec.Output)
	rec.set("avg_ms", e.Avg)
	rec.set("p50_ms", e.P50)
	rec.set("p99_ms", e.P99)
	rec.set("p999_ms", e.P999)
	return nil
}

// loadCase drives records of 1 KB through at a rate, over 4 partitions, with 2 producers and 2 consumers.
func loadCase(mb float64, duration func(Profile) time.Duration) func(context.Context, *session, *Record) error {
	return loadOver(4, mb, duration)
}

// loadOver is loadCase with a number of partitions.
func loadOver(partitions int, mb float64, duration func(Profile) time.Duration) func(context.Context, *session, *Record) error {
	return func(ctx context.Context, s *session, rec *Record) error {
		var r loadgen.Report
		err := s.measured(ctx, rec, func() error {
			return s.program(ctx, &r, "load", "--json", "--quiet", "-B", s.in.Seed(), "-X", rec.Case, "-f", strconv.FormatFloat(mb, 'g', -1, 64), "-s", strconv.Itoa(kb),
				"-n", strconv.Itoa(partitions), "-p", "2", "-c", "2", "-w", s.o.Profile.Warmup.String(), "-d", duration(s.o.Profile).String(),
				"-P", "batch.size=131072,linger.ms=1", "--drain", "10s")
		})
		if err != nil {
			return err
		}
		rec.latency("produce", "produce_", r.Produce)
		rec.latency("end_to_end", "e2e_", *r.EndToEnd)
		rec.set("mb_s", r.MBPerSecond)
		rec.set("offered_mb_s", mb)
		rec.set("unacked", float64(r.Unacked))
		rec.set("missing", float64(r.Missing))
		rec.set("late_p99_us", r.Late.P99)
		bytes := float64(r.Acked) * kb
		s.produced += bytes
		rec.set("cpu_s_per_gb", rec.Server.CPUSeconds/(bytes/gib))
		return nil
	}
}

// loadedCase looks at the memory after all that.
func loadedCase(ctx context.Context, s *session, rec *Record) error {
	if err := s.measured(ctx, rec, func() error { return nil }); err != nil {
		return err
	}
	rec.set("rss_mb", float64(rec.Server.ResidentBytes)/mib)
	rec.set("peak_mb", float64(rec.Server.PeakBytes)/mib)
	return nil
}

// lifeCase stops the server and sums up its life.
func lifeCase(ctx context.Context, s *session, rec *Record) error {
	begun := time.Now()
	if err := s.in.Stop(ctx); err != nil {
		return err
	}
	rec.set("stop_ms", float64(time.Since(begun).Milliseconds()))
	t := s.in.Total()
	rec.Server = ServerUsage{CPUSeconds: t.CPU.Seconds(), WrittenBytes: t.WriteBytes, ReadBytes: t.ReadBytes, PeakBytes: t.PeakBytes}
	return nil
}
