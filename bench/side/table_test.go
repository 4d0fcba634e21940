package side

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/host"
	"github.com/ringmq/ringmq/bench/measure"
)

// result is a small outcome of two rounds.
func result() *Result {
	start := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	r := &Result{Started: start, Ended: start.Add(90 * time.Second), Profile: Short, Rounds: 2, Targets: []string{"ringmq", "kafka", "kafka-synced"},
		Titles: map[string]string{}, Settings: map[string][]string{"kafka-synced": {"log.flush.interval.messages=1"}}, Versions: map[string]string{"Java": "17"},
		Machine: host.Machine{CPUs: 2, Processor: "P"}}
	for _, t := range r.Targets {
		r.Titles[t] = targets[t].title // no variants here
	}
	add := func(round int, target, name string, values map[string]float64, failure string) {
		r.Records = append(r.Records, Record{Round: round, Target: target, Case: name, Values: values, Error: failure, Host: host.Load{Seconds: 1, StealPercent: float64(round)}})
	}
	for round, v := range [][3]float64{{200, 400, 1000}, {300, 300, 1200}} {
		for i, t := range r.Targets {
			add(round+1, t, "floor", map[string]float64{"4k1_p50_us": 100 * float64(round+1)}, "")
			add(round+1, t, "probe-1", map[string]float64{"p50_us": v[i]}, "")
		}
	}
	add(1, "ringmq", "start", map[string]float64{"first_ack_ms": 299}, "")
	add(2, "ringmq", "start", map[string]float64{"first_ack_ms": 303}, "")
	r.Records[len(r.Records)-1].Settings = []string{"own=1"}
	add(1, "ringmq", "java-max", map[string]float64{"mb_s": 100}, "")
	add(1, "kafka", "java-max", map[string]float64{"mb_s": 50}, "")
	add(2, "ringmq", "java-max", map[string]float64{"mb_s": 120}, "")
	add(2, "kafka", "java-max", nil, "it\nbroke")
	add(1, "kafka-synced", "java-max", nil, "no")
	add(2, "kafka-synced", "java-max", nil, "no")
	add(1, "ringmq", "sweep-5", map[string]float64{"mb_s": 5, "produce_p99_us": 1234567}, "")
	add(1, "ringmq", "sweep-20", map[string]float64{"mb_s": 20}, "")
	return r
}

func row(t *testing.T, text, title string) []string {
	t.Helper()
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == title {
			return cells
		}
	}
	t.Fatalf("no row %q in\n%s", title, text)
	return nil
}

func TestTable(t *testing.T) {
	text := result().Markdown()
	for _, want := range [][]string{
		// unit, device, RingMQ, Kafka, Kafka synced, RingMQ / Kafka, RingMQ / Kafka synced, RingMQ / device
		{"what", "unit", "device itself", "RingMQ", "Kafka, not synced", "Kafka, synced", "RingMQ / Kafka, not synced", "RingMQ / Kafka, synced", "RingMQ / device"},
		{"1 KB, one in flight: p50", "us", "150 (100-200)", "250 (200-300)", "350 (300-400)", "1100 (1000-1200)", "0.750 (0.500-1.00)", "0.225 (0.200-0.250)", "1.75 (1.50-2.00)"},
		{"Java producer, unlimited, default settings", "MB/s", "", "110 (100-120)", "50.0, failed 1x", "failed", "2.00", "", ""},
		{"load at 5 MB/s: acknowledged", "MB/s", "", "5.00", "", "", "", "", ""},
		{"load at 20 MB/s: acknowledged", "MB/s", "", "20.0", "", "", "", "", ""},
		{"load at 5 MB/s: produce p99", "us", "", "1234567", "", "", "", "", ""},
	} {
		got := row(t, text, want[0])
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	for _, want := range []string{"2 round(s), ended after 1m30s", "round 2, kafka, java-max: it broke", "`log.flush.interval.messages=1`", "- Java: 17", "Kafka, not synced: 1.50 (1.00-2.00)",
		"in case start also: `own=1`", "| 1 KB, one in flight, durable / Kafka, not synced: p50 | <= 1.00 | 0.750 (0.500-1.00) | RingMQ | yes |",
		"| 1 KB, one in flight / the device's own durable 4 KiB write: p50 | <= 2.50 | 1.75 (1.50-2.00) | RingMQ | yes |",
		"| process start to first acknowledgement, new data | <= 300 ms | 301 (299-303) | RingMQ | **no**, but in 1 of 2 rounds |",
		"| 4096 | 1 | single records | 150 (100-200) |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"objects in MinIO", "GC", "one in flight: p99.9", "resident"} {
		if strings.Contains(text, not) {
			t.Errorf("the text speaks of %q, which was not measured", not)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1.00", 0.5: "0.500", 12.345: "12.3", 123.45: "123", 12345.6: "12346", 0.000123: "0.0001", -2.5: "-2.50"} {
		if got := number(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

// TestRatios: a ratio needs both values in the same round, and no division by zero.
func TestRatios(t *testing.T) {
	r := &Result{Records: []Record{
		{Round: 1, Target: "a", Case: "c", Values: map[string]float64{"k": 6}}, {Round: 1, Target: "b", Case: "c", Values: map[string]float64{"k": 2}},
		{Round: 2, Target: "a", Case: "c", Values: map[string]float64{"k": 6}}, {Round: 2, Target: "b", Case: "c", Values: map[string]float64{"k": 0}},
		{Round: 3, Target: "a", Case: "c", Values: map[string]float64{"k": 6}}, {Round: 4, Target: "b", Case: "c", Values: map[string]float64{"k": 1}},
	}}
	if got := r.ratios("a", "c", "k", "b", "c", "k"); len(got) != 1 || got[0] != 3 {
		t.Errorf("%v", got)
	}
}

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "side.json")
	want := result()
	if err := want.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadResult(path)
	if err != nil || got.Markdown() != want.Markdown() {
		t.Errorf("differs after reading back: %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadResult(path); err == nil {
		t.Error("half a file was read")
	}
}

func TestMetricsMatchCases(t *testing.T) {
	known := map[string]bool{}
	for _, p := range Profiles {
		for _, c := range p.cases() {
			known[c.name] = true
		}
	}
	seen := map[string]bool{}
	for _, m := range Metrics {
		if !known[m.Case] && m.Case != "sweep-" {
			t.Errorf("no case %q", m.Case)
		}
		if m.Better != "lower" && m.Better != "higher" {
			t.Errorf("%s %s: better %q", m.Case, m.Key, m.Better)
		}
		if seen[m.Case+" "+m.Key] {
			t.Errorf("%s %s twice", m.Case, m.Key)
		}
		seen[m.Case+" "+m.Key] = true
	}
	if s := spread(measure.SpreadOf(nil)); s != "" {
		t.Errorf("nothing is shown as %q", s)
	}
	if got := number(math.NaN()); got != "NaN" {
		t.Errorf("got %s", got)
	}
}

func TestGoalsMatchMetrics(t *testing.T) {
	for _, g := range Goals {
		if !slices.ContainsFunc(Metrics, func(m Metric) bool { return m.Case == g.name && m.Key == g.key }) {
			t.Errorf("no row of the table has what goal %q is about", g.title)
		}
		if g.against == device {
			if floorOf(g.name, g.key) == "" {
				t.Errorf("%s: the device has no such value", g.title)
			}
		} else if _, ok := targets[g.against]; g.against != "" && !ok {
			t.Errorf("%s: no target %q", g.title, g.against)
		}
	}
	g := goal{bound: 10, atLeast: true}
	for _, c := range []struct {
		v    []float64
		want string
	}{{[]float64{10, 12}, "yes"}, {[]float64{9, 12, 13}, "yes, but not in 1 of 3 rounds"}, {[]float64{9}, "**no**"}} {
		if got := g.met(c.v); got != c.want {
			t.Errorf("%v: %s, want %s", c.v, got, c.want)
		}
	}
}
