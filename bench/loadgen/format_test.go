package loadgen

import (
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
)

// TestFormats: to the character, since scripts read them.
func TestFormats(t *testing.T) {
	l := measure.Latency{Count: 5000, Mean: 1512, P50: 900, P75: 1000, P90: 1100, P95: 2999, P99: 3001, P999: 4500, P9999: 5000, Max: 9126}
	r := &Report{Options: Options{RecordBytes: 1024, Warmup: time.Second}, Start: time.Date(2026, 11, 23, 1, 2, 3, 45e6, time.UTC), Seconds: 5, RecordsPerSecond: 1000,
		MBPerSecond: 0.9765625, ConsumedPerSecond: 1001, ConsumedMBPerSec: 0.9775390625, Produce: l, EndToEnd: &l}
	s := Second{At: 1.5, Length: 2, Produced: 1000.25, Consumed: 999, Lag: 1500, ProduceMean: 1512, ProduceP50: 900, ProduceP99: 3001, ProduceP999: 4500, ProduceMax: 9126,
		EndToEndMean: 1, EndToEndP50: 2, EndToEndP99: 3, EndToEndP999: 4, EndToEndMax: 5}
	const csv = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n" +
		"2026-11-23 01:02:04:045, 2026-11-23 01:02:09:045, 4.8877, 0.9775, 5005, 1001.0000, 0, 5000, 0.9775, 1001.0000\n"
	const sum = "5000 records sent, 1000.000000 records/sec (0.98 MB/sec), 1.51 ms avg latency, 9.13 ms max latency, 0 ms 50th, 2 ms 95th, 3 ms 99th, 4 ms 99.9th.\n"
	for name, want := range map[string][2]string{
		"kafka": {"2001 records sent, 1000.2 records/sec (0.98 MB/sec), 1.5 ms avg latency, 9.1 ms max latency.\n", sum + csv},
		"automq": {"   1.5s | Prod rate   1000.25 msg/s /   0.98 MiB/s | Prod err   0.00 err/s | Cons rate    999.00 msg/s /   0.98 MiB/s | Backlog:   1.50 K msg" +
			" | Prod Latency (ms) avg:     1.512 - 50%:     0.900 - 99%:     3.001 - 99.9%:     4.500 - Max:     9.126" +
			" | E2E Latency (ms) avg:     0.001 - 50%:     0.002 - 99%:     0.003 - 99.9%:     0.004 - Max:     0.005\n",
			"Summary | Prod rate   1000.00 msg/s /   0.98 MiB/s | Prod total   0.01 M msg /   0.00 GiB /   0.00 K err | Cons rate   1001.00 msg/s /   0.98 MiB/s" +
				" | Cons total   0.01 M msg /   0.00 GiB | Prod Latency (ms) avg:     1.512 - 50%:     0.900 - 75%:     1.000 - 90%:     1.100 - 95%:     2.999 - 99%:     3.001" +
				" - 99.9%:     4.500 - 99.99%:     5.000 - Max:     9.126 | E2E Latency (ms) avg:     1.512 - 50%:     0.900 - 75%:     1.000 - 90%:     1.100 - 95%:     2.999" +
				" - 99%:     3.001 - 99.9%:     4.500 - 99.99%:     5.000 - Max:     9.126\n"},
	} {
		if got := Formats[name].Line(r.Options, s); got != want[0] {
			t.Errorf("%s\ngot  %swant %s", name, got, want[0])
		}
		if got := Formats[name].Sum(r); got != want[1] {
			t.Errorf("%s\ngot  %swant %s", name, got, want[1])
		}
	}
	r.EndToEnd = nil
	if got := Formats["kafka"].Sum(r); got != sum {
		t.Errorf("without consumers: %s", got)
	}
}
