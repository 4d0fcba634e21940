package side

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ringmq/ringmq/bench/measure"
)

// goal is a bound on a value of RingMQ, or on its ratio to a target's of Kafka.
type goal struct {
	title     string
	name      string // of the case
	key, unit string
	bound     float64
	atLeast   bool
	// against is the target or device whose value within the round it is divided by.
	against string
}

// device divides by what the device does itself; see Metric.Floor.
const device = "device"

// Goals are what RingMQ wants to reach on a machine with two processors, client included.
var Goals = []goal{
	{"1 KB, one in flight, durable / Kafka, not synced: p50", "probe-1", "p50_us", "", 1, false, "kafka"},
	{"the same: p99", "probe-1", "p99_us", "", 1, false, "kafka"},
	{"the same: p99.9", "probe-1", "p999_us", "", 1, false, "kafka"},
	{"1 KB, one in flight / the device's own durable 4 KiB write: p50", "probe-1", "p50_us", "", 2.5, false, device},
	{"the same: p99", "probe-1", "p99_us", "", 4, false, device},
	{"open loop, 1,000/s over 4 connections: p99", "probe-1000", "p99_us", "us", 2000, false, ""},
	{"open loop, 5,000/s over 4 connections: p99", "probe-5000", "p99_us", "us", 2000, false, ""},
	{"Java producer, 5,000 rec/s / Kafka, not synced: p99", "java-5000", "p99_ms", "", 1, false, "kafka"},
	{"the same: p99.9", "java-5000", "p999_ms", "", 1, false, "kafka"},
	{"Java producer, default settings / Kafka, not synced: MB/s", "java-max", "mb_s", "", 1.3, true, "kafka"},
	{"the same / Kafka, synced", "java-max", "mb_s", "", 5, true, "kafka-synced"},
	{"server CPU per GB until quiet of that / Kafka, not synced", "java-max", "settled_cpu_s_per_gb", "", 0.35, false, "kafka"},
	{"Java producer, batch 128 KiB / Kafka, not synced: MB/s", batchCase, "mb_s", "", 1.3, true, "kafka"},
	{"the same / Kafka, synced", batchCase, "mb_s", "", 5, true, "kafka-synced"},
	{"server CPU per GB until quiet of that / Kafka, not synced", batchCase, "settled_cpu_s_per_gb", "", 0.35, false, "kafka"},
	{"64 connections, 100 B: durable acknowledgements", "probe-64", "per_second", "1/s", 40_000, true, ""},
	{"64 connections, 100 B: p99", "probe-64", "p99_us", "us", 8000, false, ""},
	{"50 MB/s, MinIO, uploads, compaction: produce to consume p99", "minio-load", "e2e_p99_us", "us", 5000, false, ""},
	{"the same: p99.99", "minio-load", "e2e_p9999_us", "us", 25_000, false, ""},
	{"the same: resident memory", "minio-load", "peak_mb", "MB", 400, false, ""},
	{"the same: GC pauses p99.99", "minio-load", "gc_p9999_us", "us", 300, false, ""},
	{"the same: processor time of the GC", "minio-load", "gc_cpu_percent", "%", 2, false, ""},
	{"Java consumer, just written / Kafka: MB/s", "java-consume", "mb_s", "", 1, true, "kafka"},
	{"the same: server CPU per GB", "java-consume", "cpu_s_per_gb", "", 0.7, false, "kafka"},
	{"Java consumer from objects / Kafka, cold too: MB/s", "java-consume-cold", "mb_s", "", 0.9, true, "kafka"},
	{"process start to first acknowledgement, new data", "start", "first_ack_ms", "ms", 300, false, ""},
	{"process start to first acknowledgement, again", "java-consume-cold", "restart_first_ack_ms", "ms", 300, false, ""},
	{"resident memory, idle", "idle", "rss_mb", "MB", 60, false, ""},
	{"10,000 partitions: time to make them", "partitions", "create_s", "s", 20, false, ""},
	{"10,000 partitions: memory of each", "partitions", "rss_kb_per_partition", "KB", 25, false, ""},
	{"10,000 partitions / 100, one in flight: p50", "partitions", "ratio_one_p50_us", "", 1.3, false, ""},
	{"10,000 partitions / 100, one in flight: p99", "partitions", "ratio_one_p99_us", "", 1.3, false, ""},
}

// values are what was measured of a goal: of the first RingMQ in the order of the targets that has it.
func (g goal) values(r *Result) (target string, v []float64) {
	for _, t := range r.Targets {
		if !strings.HasPrefix(t, "ringmq") {
			continue
		}
		switch g.against {
		case "":
			v = r.Values(t, g.name, g.key)
		case device:
			v = r.ratios(t, g.name, g.key, t, "floor", floorOf(g.name, g.key))
		default:
			v = r.ratios(t, g.name, g.key, g.against, g.name, g.key)
		}
		if len(v) > 0 {
			return t, v
		}
	}
	return "", nil
}

// met judges by the median, and says when not every round is on its side.
func (g goal) met(v []float64) string {
	ok := func(x float64) bool { return g.atLeast && x >= g.bound || !g.atLeast && x <= g.bound }
	missed := len(slices.DeleteFunc(slices.Clone(v), ok))
	switch yes := ok(measure.SpreadOf(v).Median); {
	case yes && missed == 0:
		return "yes"
	case yes:
		return fmt.Sprintf("yes, but not in %d of %d rounds", missed, len(v))
	case missed < len(v):
		return fmt.Sprintf("**no**, but in %d of %d rounds", len(v)-missed, len(v))
	}
	return "**no**"
}

// writeGoals is the table of goals; of what was not measured it says nothing.
func (r *Result) writeGoals(b *strings.Builder) {
	var rows strings.Builder
	for _, g := range Goals {
		target, v := g.values(r)
		if len(v) == 0 {
			continue
		}
		sign := "<="
		if g.atLeast {
			sign = ">="
		}
		fmt.Fprintf(&rows, "| %s | %s %s | %s | %s | %s |\n", g.title, sign, strings.TrimSpace(number(g.bound)+" "+g.unit), spread(measure.SpreadOf(v)), r.Titles[target], g.met(v))
	}
	if rows.Len() > 0 {
		fmt.Fprintf(b, "## Goals\n\n| goal | bound | measured | of | met |\n|---|---:|---:|---|---|\n%s\n", rows.String())
	}
	b.WriteString("## Everything\n\n")
}
