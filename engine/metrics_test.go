package engine_test

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/enginetest"
)

// scrapeNode returns a node's metrics by name and labels.
func scrapeNode(t *testing.T, n *enginetest.Node) map[string]float64 {
	t.Helper()
	resp, err := http.Get("http://" + n.MetricsAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out[line[:i]] = v
	}
	return out
}

// TestMetrics scrapes a running node: the values follow the traffic, also over a restart, which begins the counters anew.
func TestMetrics(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{Overrides: []string{
		"s3.telemetry.metrics.exporter.uri=prometheus://127.0.0.1:0", "s3.telemetry.metrics.base.labels=zone=z1",
	}})
	before := scrapeNode(t, n)
	const records, size = 200, 1000
	createTopic(t, n, "t", 2, nil)
	want := produce(t, n, "t", 2, records, size)
	expect(t, n, "t", want)
	after := scrapeNode(t, n)
	grew := func(name string, atLeast float64) {
		t.Helper()
		b, known := before[name]
		if a := after[name]; !known || a-b < atLeast {
			t.Errorf("%s: %v before (known: %t), %v after, want %v more", name, b, known, a, atLeast)
		}
	}
	grew(`ringmq_broker_requests_total{api="Produce",zone="z1"}`, 1)
	grew(`ringmq_broker_requests_total{api="Fetch",zone="z1"}`, 1)
	grew(`ringmq_broker_requests_total{api="CreateTopics",zone="z1"}`, 1)
	grew(`ringmq_broker_produced_batches_total{zone="z1"}`, 1)
	grew(`ringmq_broker_produced_bytes_total{zone="z1"}`, records*size/100) // compressed
	grew(`ringmq_broker_fetched_bytes_total{zone="z1"}`, records*size/100)
	grew(`ringmq_broker_open_partitions{zone="z1"}`, 2)
	grew(`ringmq_cluster_topics{zone="z1"}`, 1)
	grew(`ringmq_wal_appends_total{zone="z1"}`, 1)
	grew(`ringmq_wal_writes_total{zone="z1"}`, 1)
	grew(`ringmq_wal_write_seconds_count{zone="z1"}`, 1)
	grew(`ringmq_wal_acknowledge_seconds_count{zone="z1"}`, 1)
	grew(`ringmq_wal_durable_position{zone="z1"}`, 4096)
	grew(`ringmq_wal_used_bytes{zone="z1"}`, 4096)
	grew(`ringmq_storage_appends_total{zone="z1"}`, 1)
	grew(`ringmq_storage_reads_total{from="hot",zone="z1"}`, 1)
	grew(`kafka_stream_wal_pending_upload_bytes{zone="z1"}`, 1)
	grew(`process_cpu_seconds_total{zone="z1"}`, 0)
	if after[`ringmq_wal_mode{mode="io_uring",zone="z1"}`]+after[`ringmq_wal_mode{mode="pwrite",zone="z1"}`] != 1 {
		t.Error("the log has no mode, or two")
	}
	if after[`ringmq_network_connections{zone="z1"}`] < 1 {
		t.Error("no connection is open")
	}
	n = n.Restart()
	restarted := scrapeNode(t, n)
	if v := restarted[`ringmq_broker_produced_batches_total{zone="z1"}`]; v != 0 {
		t.Errorf("%v batches produced after a restart", v)
	}
	if a, b := after[`ringmq_wal_durable_position{zone="z1"}`], restarted[`ringmq_wal_durable_position{zone="z1"}`]; b < a {
		t.Errorf("durable position %v after the restart, %v before", b, a)
	}
	off := enginetest.Start(t, enginetest.Options{})
	if a := off.MetricsAddr(); a != nil {
		t.Errorf("metrics are served at %v without being asked for", a)
	}
}
