package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll"
	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/wal"
)

func scrape(t *testing.T, s *Server) string {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, b)
	}
	return string(b)
}

func listen(t *testing.T, o Options) *Server {
	t.Helper()
	o.Addr, o.Logger = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func wants(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line that begins with %q", line)
		}
	}
}

// TestParts: each part that a node has is there, and only those.
func TestParts(t *testing.T) {
	text := scrape(t, listen(t, Options{
		Labels: map[string]string{"zone": "a"},
		Sources: Sources{
			WAL:     func() wal.Stats { return wal.Stats{Mode: wal.ModeURing, State: wal.StateReady, Used: 7, Appends: 8} },
			Storage: func() s3stream.Stats { return s3stream.Stats{PendingBytes: 9, HotReads: 3} },
			Network: func() netpoll.Stats { return netpoll.Stats{Connections: 5, Closed: netpoll.Closed{Idle: 2}} },
			Broker: func() Broker {
				return Broker{Requests: []Requests{{"Produce", 4}}, WALFull: 6, Quotas: []Quota{
					{Kind: "Produce", User: "u", Limit: 1000, Value: 1500, ThrottleMillis: 250}, {Kind: "ControllerMutation", ClientID: "c", Value: -1},
				}}
			},
			Balancer: func() kraft.BalancerStats {
				return kraft.BalancerStats{Active: true, Rounds: 11, Done: 12, Imbalance: 0.25}
			},
			Node: func() Node { return Node{Cluster: "c", ID: 3, Roles: "broker", Topics: 2} },
		},
	}))
	wants(t, text,
		`ringmq_wal_mode{mode="io_uring",zone="a"} 1`, `ringmq_wal_mode{mode="pwrite",zone="a"} 0`, `ringmq_wal_state{state="ready",zone="a"} 1`,
		`ringmq_wal_used_bytes{zone="a"} 7`, `ringmq_wal_appends_total{zone="a"} 8`, `kafka_stream_wal_pending_upload_bytes{zone="a"} 9`,
		`ringmq_storage_reads_total{from="hot",zone="a"} 3`, `ringmq_network_connections{zone="a"} 5`,
		`ringmq_network_closed_connections_total{reason="idle",zone="a"} 2`, `ringmq_broker_requests_total{api="Produce",zone="a"} 4`,
		`ringmq_broker_wal_full_waits_total{zone="a"} 6`, `ringmq_node_info{cluster="c",node="3",roles="broker",zone="a"} 1`, `ringmq_cluster_topics{zone="a"} 2`,
		`ringmq_balancer_active{zone="a"} 1`, `ringmq_balancer_rounds_total{zone="a"} 11`, `ringmq_balancer_moves_total{outcome="done",zone="a"} 12`,
		`ringmq_balancer_imbalance_ratio{zone="a"} 0.25`,
		`kafka_server_produce_byte_rate{client_id="",user="u",zone="a"} 1500`, `kafka_server_produce_throttle_time{client_id="",user="u",zone="a"} 250`,
		`kafka_server_produce_quota{client_id="",user="u",zone="a"} 1000`, `kafka_server_controllermutation_tokens{client_id="c",user="",zone="a"} -1`,
		`go_sched_pauses_total_gc_seconds_bucket{zone="a",le="`, `go_goroutines{zone="a"}`, `process_resident_memory_bytes{zone="a"}`, `process_open_fds{zone="a"}`,
	)
	if text := scrape(t, listen(t, Options{})); strings.Contains(text, "ringmq_") || strings.Contains(text, "kafka_") {
		t.Error("a node without parts has metrics of them")
	}
}

// TestFallbackIsVisible: a log that writes by pwrite says so.
func TestFallbackIsVisible(t *testing.T) {
	l, err := wal.Open(wal.Options{Path: filepath.Join(t.TempDir(), "wal"), CapacityBytes: 1 << 20, MemoryBytes: 4 << 20, ClusterID: "c", Mode: wal.ModePWrite})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(true)
	s := listen(t, Options{Sources: Sources{WAL: l.Stats}})
	wants(t, scrape(t, s), `ringmq_wal_mode{mode="io_uring"} 0`, `ringmq_wal_mode{mode="pwrite"} 1`,
		`ringmq_wal_sync{because="not measured",method="dsync"} 1`, `ringmq_wal_sync{because="not measured",method="fdatasync"} 0`, `ringmq_wal_state{state="opened"} 1`, "ringmq_wal_disk_info{")
	if err := l.Recover(t.Context(), func(wal.Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	wants(t, scrape(t, s), `ringmq_wal_state{state="opened"} 0`, `ringmq_wal_state{state="ready"} 1`)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	wants(t, scrape(t, s), `ringmq_wal_state{state="closed"} 1`)
}

// TestRefusals: a label that a metric has already, an address in use, another path or method.
func TestRefusals(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	wal := func() wal.Stats { return wal.Stats{} }
	if s, err := Listen(Options{Addr: "127.0.0.1:0", Labels: map[string]string{"mode": "x"}, Sources: Sources{WAL: wal}, Logger: log}); err == nil {
		s.Close(t.Context())
		t.Error("the label mode was accepted, although a metric has it")
	} else if !strings.Contains(err.Error(), "mode") {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(Options{Addr: l.Addr().String(), Logger: log}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("an address in use: %v", err)
	}
	s := listen(t, Options{})
	for path, want := range map[string]int{"/": 200, "/debug/pprof/": 404, "/metrics": 200} {
		resp, err := http.Get(fmt.Sprintf("http://%s%s", s.Addr(), path))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	resp, err := http.Post(fmt.Sprintf("http://%s/metrics", s.Addr()), "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}
