package loadgen

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/bench/wire/wiretest"
)

func options(b *wiretest.Broker) Options {
	return Options{Bootstrap: b.Addr(), RecordBytes: 100, Rate: 2000, Duration: 500 * time.Millisecond, Warmup: 100 * time.Millisecond,
		Drain: 5 * time.Second, Partitions: 3, Producers: 2, Consumers: 2, Groups: 2, Topics: 2, BatchBytes: 2000, Linger: 2 * time.Millisecond}
}

// TestRate: at a rate every record of the measured time is counted once at the producer and once per group, and nothing is lost.
func TestRate(t *testing.T) {
	b := wiretest.Start(t)
	r, err := Run(t.Context(), options(b))
	if err != nil {
		t.Fatal(err)
	}
	// 2000 a second for half a second, and the tenth before it.
	if r.Produce.Count != 1000 || r.Acked != 1200 {
		t.Errorf("%d measured, %d acknowledged", r.Produce.Count, r.Acked)
	}
	if r.EndToEnd == nil || r.EndToEnd.Count != 2000 || r.Consumed != 2400 {
		t.Errorf("end to end %+v, consumed %d", r.EndToEnd, r.Consumed)
	}
	if r.Missing+r.Duplicates+r.Gaps+r.Foreign+r.Unacked != 0 {
		t.Errorf("missing %d, duplicates %d, gaps %d, foreign %d, given up %d", r.Missing, r.Duplicates, r.Gaps, r.Foreign, r.Unacked)
	}
	// Records wait for their batch: that is in the latency, and all of it is less than what came to the consumer.
	if r.Produce.P99 < 100 || r.EndToEnd.Max < r.Produce.P50 {
		t.Errorf("produce %+v, end to end %+v", r.Produce, r.EndToEnd)
	}
	if requests := b.Produced.Load(); requests >= 1200 || requests < 100 {
		t.Errorf("%d requests for 1200 records with a linger of 2 ms", requests)
	}
}

// TestStallCountsForAllThatWaited is what an open loop is for: a broker that takes 100 ms for each request, with one request in flight,
// delays records that were due meanwhile, and each of them counts from when it was due.
func TestStallCountsForAllThatWaited(t *testing.T) {
	b := wiretest.Start(t)
	b.Delay.Store(int64(100 * time.Millisecond))
	r, err := Run(t.Context(), Options{Bootstrap: b.Addr(), RecordBytes: 100, Rate: 1000, Duration: time.Second, InFlight: 1, BatchBytes: 1 << 20, Groups: -1, Drain: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Produce.Count != 1000 || r.EndToEnd != nil {
		t.Fatalf("%d measured; end to end %v", r.Produce.Count, r.EndToEnd)
	}
	// A request carries what became due during the one before it: between 100 and 200 ms, evenly.
	if r.Produce.P50 < 120e3 || r.Produce.P99 < 180e3 {
		t.Errorf("p50 %.0f us, p99 %.0f us: waiting records do not count", r.Produce.P50, r.Produce.P99)
	}
	if r.Late.P50 > r.Produce.P50 {
		t.Errorf("late %.0f, produce %.0f", r.Late.P50, r.Produce.P50)
	}
}

// TestMaximum: without a rate producers fill their batches and windows until the time is over.
func TestMaximum(t *testing.T) {
	b := wiretest.Start(t)
	o := options(b)
	o.Rate, o.Groups, o.Duration = 0, 1, time.Second
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if per := float64(r.Acked) / float64(b.Produced.Load()); per < float64(o.withDefaults().perBatch())*0.99 {
		t.Errorf("%.1f records a request, %d fit", per, o.withDefaults().perBatch())
	}
	if r.RecordsPerSecond < 1000 || r.Late != nil || r.Missing != 0 {
		t.Errorf("%.0f/s, late %v, missing %d", r.RecordsPerSecond, r.Late, r.Missing)
	}
}

// TestCollapse: what a broker never acknowledges counts with the latency that it reached.
func TestCollapse(t *testing.T) {
	b := wiretest.Start(t)
	b.StallAfter.Store(3)
	o := Options{Bootstrap: b.Addr(), RecordBytes: 100, Rate: 1000, Duration: 300 * time.Millisecond, Drain: 200 * time.Millisecond, BatchBytes: 1200}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Acked+r.Unacked != 300 || r.Unacked < 200 || r.Produce.Count != 300 || r.EndToEnd.Count < r.Unacked {
		t.Errorf("%d acknowledged, %d given up, %d measured, %d end to end", r.Acked, r.Unacked, r.Produce.Count, r.EndToEnd.Count)
	}
	if r.Produce.P50 < 200e3 || r.Produce.Max < 350e3 {
		t.Errorf("p50 %.0f us, max %.0f us", r.Produce.P50, r.Produce.Max)
	}
	var text bytes.Buffer
	r.Print(&text)
	if !strings.Contains(text.String(), "COLLAPSED") {
		t.Errorf("not said:\n%s", text.String())
	}
}

// TestLoss: acknowledged records that do not come are reported, not waited for without end.
func TestLoss(t *testing.T) {
	b := wiretest.Start(t)
	b.LoseEvery.Store(10)
	r, err := Run(t.Context(), Options{Bootstrap: b.Addr(), RecordBytes: 100, Rate: 1000, Duration: 300 * time.Millisecond, Drain: 300 * time.Millisecond,
		BatchBytes: 1200})
	if err != nil {
		t.Fatal(err)
	}
	if r.Missing == 0 || r.Missing != r.Acked-r.Consumed || r.Gaps == 0 {
		t.Errorf("%d acknowledged, %d consumed, %d missing, %d gaps", r.Acked, r.Consumed, r.Missing, r.Gaps)
	}
}

// TestCatchUp: consumers start behind a backlog and reach the producers.
func TestCatchUp(t *testing.T) {
	b := wiretest.Start(t)
	o := options(b)
	o.Backlog, o.Warmup, o.Duration, o.GroupStartDelay = 300*time.Millisecond, 0, 10*time.Second, 10*time.Millisecond
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Catchup
	if c == nil || !c.CaughtUp || c.BacklogRecords != 1200 || c.Before.Count != 600 || c.Seconds >= 10 || c.ConsumedMBPerSecond <= 0 {
		t.Fatalf("%+v", c)
	}
	if r.Missing != 0 || r.Seconds >= 10 {
		t.Errorf("missing %d after %g s", r.Missing, r.Seconds)
	}
}

func TestErrorOfTheBroker(t *testing.T) {
	b := wiretest.Start(t)
	b.ErrorCode.Store(56)
	if _, err := Run(t.Context(), options(b)); err == nil || !strings.Contains(err.Error(), "KAFKA_STORAGE_ERROR") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, options(b)); err == nil {
		t.Error("a run without time succeeded")
	}
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"bootstrap":      func(o *Options) { o.Bootstrap = "" },
		"client":         func(o *Options) { o.Client = "java" },
		"record size":    func(o *Options) { o.RecordBytes = 23 },
		"acks":           func(o *Options) { o.Acks = 2 },
		"compress":       func(o *Options) { o.Compression = "lz4" },
		"compression":    func(o *Options) { o.Client, o.Compression = "kgo", "brotli" },
		"backlog":        func(o *Options) { o.Backlog, o.Rate = time.Second, 0 },
		"random pool":    func(o *Options) { o.PoolSize = -1 },
		"ratio":          func(o *Options) { o.RandomRatio = 2 },
		"at least 1":     func(o *Options) { o.Partitions = -1 },
		"rate below":     func(o *Options) { o.Rate = -1 },
		"duration below": func(o *Options) { o.Linger = -1 },
	} {
		o := Options{Bootstrap: "x:1", Rate: 1}
		change(&o)
		if err := o.withDefaults().validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDeparture(t *testing.T) {
	start := time.Now()
	ph := phase{schedule: measure.NewSchedule(start, 1000), total: 100, open: true}
	p := producer{o: Options{Linger: 5 * time.Millisecond}}
	for _, c := range []struct {
		at, fit int64
		want    time.Duration
	}{
		{0, 3, 2 * time.Millisecond},    // full with its third record
		{0, 50, 5 * time.Millisecond},   // never full: linger
		{10, 1, 10 * time.Millisecond},  // one record is a batch
		{98, 50, 99 * time.Millisecond}, // nothing comes after the last
	} {
		if got := p.departure(ph, c.at, c.fit).Sub(start); got != c.want {
			t.Errorf("at %d with room for %d: %v, want %v", c.at, c.fit, got, c.want)
		}
	}
}

func TestGroupCheck(t *testing.T) {
	g := groupCheck{next: map[source]uint64{}}
	for _, s := range []uint64{0, 1, 1, 4, 2, 5} {
		g.see(0, stamp{producer: 1, sequence: s})
	}
	g.see(1, stamp{producer: 1}) // another partition counts by itself
	if g.duplicates != 2 || g.gaps != 2 {
		t.Errorf("%d duplicates, %d gaps", g.duplicates, g.gaps)
	}
}

func TestStamp(t *testing.T) {
	value := make([]byte, headerBytes)
	want := stamp{7, 1 << 40, 1_800_000_000_000_000_001}
	want.put(value)
	if got, ok := stampOf(value); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, foreign := range [][]byte{nil, make([]byte, 23), make([]byte, 100)} {
		if _, ok := stampOf(foreign); ok {
			t.Errorf("% x is ours", foreign)
		}
	}
}

func TestPerfLine(t *testing.T) {
	got := PerfLine(measure.Latency{Count: 10, Mean: 1500, Max: 9000, P50: 400, P95: 2000, P99: 3000, P999: 4000}, 5, 0.5)
	want := "10 records sent, 5.000000 records/sec (0.50 MB/sec), 1.500 ms avg latency, 9.000 ms max latency, 0.400 ms 50th, 2.000 ms 95th, 3.000 ms 99th, 4.000 ms 99.9th."
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestRingMQ: both clients against the real server.
func TestRingMQ(t *testing.T) {
	binary := os.Getenv("RINGMQ_BINARY")
	if binary == "" || testing.Short() {
		t.Skip("SKIPPED: the load generators against the real server; they need its path in RINGMQ_BINARY, and no -short")
	}
	node := &proc.RingMQ{Binary: binary, Dir: t.TempDir(), Overrides: []string{"group.initial.rebalance.delay.ms=0"}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer node.Kill()
	for _, client := range []string{"raw", "kgo"} {
		o := Options{Bootstrap: node.Seed(), Client: client, Rate: 1000, Partitions: 3, Consumers: 2, Duration: time.Second}
		r, err := Run(ctx, o)
		if err != nil {
			t.Fatalf("%s: %v", client, err)
		}
		if r.Acked != 1000 || r.Missing+r.Duplicates+r.Gaps != 0 || r.Produce.P50 <= 0 {
			t.Errorf("%s: %d acknowledged, %d missing, %d duplicates, %d gaps", client, r.Acked, r.Missing, r.Duplicates, r.Gaps)
		}
		dir := t.TempDir()
		if err := r.WriteHistograms(filepath.Join(dir, "h"), "hgrm"); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"h-produce.hgrm", "h-e2e.hgrm"} {
			if s, err := os.Stat(filepath.Join(dir, name)); err != nil || s.Size() == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
