package side

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// producerLine is what kafka-producer-perf-test ends with; lines of its intervals have no percentiles.
var producerLine = regexp.MustCompile(`^(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, ([\d.]+) ms max latency, ([\d.]+) ms 50th, ([\d.]+) ms 95th, ([\d.]+) ms 99th, ([\d.]+) ms 99\.9th\.$`)

// ProducerPerf is the outcome of kafka-producer-perf-test. Latencies are milliseconds.
type ProducerPerf struct {
	Records                                               int64
	PerSecond, MBPerSecond, Avg, Max, P50, P95, P99, P999 float64
}

// ParseProducerPerf finds the last line with percentiles.
func ParseProducerPerf(out string) (p ProducerPerf, err error) {
	found := false
	for line := range strings.Lines(out) {
		m := producerLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		found = true
		p.Records, _ = strconv.ParseInt(m[1], 10, 64)
		for i, f := range []*float64{&p.PerSecond, &p.MBPerSecond, &p.Avg, &p.Max, &p.P50, &p.P95, &p.P99, &p.P999} {
			if *f, err = strconv.ParseFloat(m[i+2], 64); err != nil {
				return p, fmt.Errorf("side: kafka-producer-perf-test: %q: %w", line, err)
			}
		}
	}
	if !found {
		return p, fmt.Errorf("side: kafka-producer-perf-test printed no summary: %s", tail(out))
	}
	return p, nil
}

// ConsumerPerf is the outcome of kafka-consumer-perf-test. Fetch leaves out the time to join the group.
type ConsumerPerf struct {
	MB, MBPerSecond, FetchMBPerSecond float64
	Records                           int64
	RebalanceMillis, FetchMillis      float64
}

// ParseConsumerPerf reads the CSV: a header, then one line.
func ParseConsumerPerf(out string) (c ConsumerPerf, err error) {
	var header []string
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ",")
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		switch {
		case f[0] == "start.time":
			header = f
			continue
		case header == nil || len(f) != len(header):
			continue
		}
		column := map[string]float64{}
		for i, name := range header[2:] { // start and end are dates
			if column[name], err = strconv.ParseFloat(f[i+2], 64); err != nil {
				return c, fmt.Errorf("side: kafka-consumer-perf-test: %s: %w", name, err)
			}
		}
		for _, name := range []string{"data.consumed.in.MB", "MB.sec", "data.consumed.in.nMsg", "fetch.time.ms", "fetch.MB.sec"} {
			if _, ok := column[name]; !ok {
				return c, fmt.Errorf("side: kafka-consumer-perf-test has no column %s: %s", name, strings.Join(header, ", "))
			}
		}
		return ConsumerPerf{column["data.consumed.in.MB"], column["MB.sec"], column["fetch.MB.sec"], int64(column["data.consumed.in.nMsg"]),
			column["rebalance.time.ms"], column["fetch.time.ms"]}, nil
	}
	return c, fmt.Errorf("side: kafka-consumer-perf-test printed no result: %s", tail(out))
}

var (
	e2eAvg         = regexp.MustCompile(`(?m)^Avg latency: ([\d.]+) ms`)
	e2ePercentiles = regexp.MustCompile(`(?m)^Percentiles: 50th = ([\d.]+), 99th = ([\d.]+), 99\.9th = ([\d.]+)`)
)

// E2ELatency is the outcome of kafka-e2e-latency, in milliseconds. Its percentiles are whole milliseconds, rounded down.
type E2ELatency struct{ Avg, P50, P99, P999 float64 }

// ParseE2ELatency reads the two lines at the end.
func ParseE2ELatency(out string) (e E2ELatency, err error) {
	avg, pct := e2eAvg.FindStringSubmatch(out), e2ePercentiles.FindStringSubmatch(out)
	if avg == nil || pct == nil {
		return e, fmt.Errorf("side: kafka-e2e-latency printed no result: %s", tail(out))
	}
	for i, f := range []*float64{&e.Avg, &e.P50, &e.P99, &e.P999} {
		if *f, err = strconv.ParseFloat(append(avg[1:], pct[1:]...)[i], 64); err != nil {
			return e, fmt.Errorf("side: kafka-e2e-latency: %w", err)
		}
	}
	return e, nil
}

func tail(s string) string { return strings.TrimSpace(s[max(0, len(s)-800):]) }
