package side

import (
	"strings"
	"testing"
)

func TestParseProducerPerf(t *testing.T) {
	out := `25001 records sent, 5000.2 records/sec (4.88 MB/sec), 12.3 ms avg latency, 402.0 ms max latency.
25012 records sent, 5002.4 records/sec (4.89 MB/sec), 2.1 ms avg latency, 33.0 ms max latency.
50000 records sent, 4999.500050 records/sec (4.88 MB/sec), 7.22 ms avg latency, 402.00 ms max latency, 3 ms 50th, 25 ms 95th, 77 ms 99th, 90 ms 99.9th.
`
	got, err := ParseProducerPerf(out)
	want := ProducerPerf{50000, 4999.50005, 4.88, 7.22, 402, 3, 25, 77, 90}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseProducerPerf(strings.Join(strings.SplitAfter(out, "\n")[:2], "")); err == nil || !strings.Contains(err.Error(), "33.0 ms max") {
		t.Errorf("intervals without a summary: %v", err)
	}
}

func TestParseConsumerPerf(t *testing.T) {
	out := `start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-11-23 01:00:00:123, 2026-11-23 01:00:02:456, 292.9688, 125.5760, 300000, 128589.7985, 111, 2222, 131.8491, 135013.5014
`
	got, err := ParseConsumerPerf("WARNING: something\n" + out)
	want := ConsumerPerf{292.9688, 125.576, 131.8491, 300000, 111, 2222}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", strings.SplitAfter(out, "\n")[0], strings.Replace(out, "fetch.MB.sec", "other", 1), strings.Replace(out, "131.8491", "x", 1)} {
		if got, err := ParseConsumerPerf(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestParseE2ELatency(t *testing.T) {
	out := "0\t12.5\n1000\t0.9\nAvg latency: 1.0423 ms\nPercentiles: 50th = 1, 99th = 7, 99.9th = 18\n"
	got, err := ParseE2ELatency(out)
	if err != nil || got != (E2ELatency{1.0423, 1, 7, 18}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseE2ELatency("Avg latency: 1.0 ms\n"); err == nil {
		t.Error("no percentiles, no error")
	}
}
