package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/ringmq/ringmq/bench/loadgen"
	"github.com/ringmq/ringmq/bench/wire/wiretest"
)

func TestAmount(t *testing.T) {
	var d time.Duration
	a := amount{&d, time.Minute}
	for in, want := range map[string]time.Duration{"2": 2 * time.Minute, "0.5": 30 * time.Second, "45s": 45 * time.Second, "0": 0} {
		if err := a.Set(in); err != nil || d != want {
			t.Errorf("%q: %v, %v, want %v", in, d, err, want)
		}
	}
	if err := a.Set("soon"); err == nil || !strings.Contains(err.Error(), "minutes") {
		t.Errorf("got %v", err)
	}
}

func TestApply(t *testing.T) {
	o := loadgen.Options{RecordBytes: 2048}
	x := extra{throughput: 10, topicConfigs: []string{"retention.ms=1000"},
		producerConfigs: []string{"acks=all", "batch.size=131072", "linger.ms=0.5", "max.in.flight.requests.per.connection=2", "compression.type=lz4"},
		consumerConfigs: []string{"fetch.min.bytes=2", "fetch.max.bytes=3", "max.partition.fetch.bytes=4", "fetch.max.wait.ms=5"}}
	if err := apply(&o, x); err != nil {
		t.Fatal(err)
	}
	if o.Rate != 5120 || o.Acks != -1 || o.BatchBytes != 131072 || o.Linger != 500*time.Microsecond || o.InFlight != 2 || o.Compression != "lz4" ||
		o.FetchMinBytes != 2 || o.FetchMaxBytes != 3 || o.PartitionBytes != 4 || o.FetchMaxWait != 5*time.Millisecond || o.TopicConfigs["retention.ms"] != "1000" {
		t.Errorf("%+v", o)
	}
	for _, bad := range []extra{
		{producerConfigs: []string{"acks"}}, {producerConfigs: []string{"acks=0"}}, {producerConfigs: []string{"buffer.memory=1"}},
		{producerConfigs: []string{"linger.ms=x"}}, {consumerConfigs: []string{"group.id=x"}}, {topicConfigs: []string{"x"}},
	} {
		if err := apply(&loadgen.Options{}, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// TestCommand: flags of automq-perf-test.sh arrive, and the JSON file is a report.
func TestCommand(t *testing.T) {
	b := wiretest.Start(t)
	file, hdr := filepath.Join(t.TempDir(), "r.json"), filepath.Join(t.TempDir(), "h.hlog")
	cmd := command()
	cmd.SetOut(io.Discard)
	cmd.SetArgs([]string{"-B", b.Addr(), "-X", "x", "-t", "2", "-n", "2", "-s", "64", "-r", "500", "-w", "0", "-d", "200ms", "--reset", "-S", "10", "--reuse-topics", "--await-topic-ready", "true", "--quiet", "--json-file", file, "--hdr", hdr})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r loadgen.Report
	if err := json.Unmarshal(text, &r); err != nil || r.Acked != 100 || r.Options.Topics != 2 || r.Options.RecordBytes != 64 || r.EndToEnd.Count != 100 {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := os.Stat(strings.TrimSuffix(hdr, ".hlog") + "-e2e.hlog"); err != nil {
		t.Error(err)
	}
	for format, want := range map[string]string{"kafka": "ms 99.9th.\nstart.time, end.time", "automq": "Summary | Prod rate", "text": "end to end: ", "json": `{"options":`} {
		var out strings.Builder
		cmd := command()
		cmd.SetOut(&out)
		cmd.SetArgs([]string{"-B", b.Addr(), "-r", "500", "-w", "0", "-d", "100ms", "--quiet", "--format", format})
		if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v\n%s", format, err, out.String())
		}
	}
	for _, bad := range [][]string{{"--format", "csv"}, {"--value-schema", "x"}, {"-d", "soon"}, {"-s", "10", "-B", b.Addr()}, {"extra"}, {"--reset", "-B", b.Addr()}} {
		cmd := command()
		cmd.SetArgs(bad)
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestExplain: an error that other clients live through is told as such, for the client that does not.
func TestExplain(t *testing.T) {
	const advice = "--client kgo does"
	moved := fmt.Errorf("fetch: %w", kerr.NotLeaderForPartition)
	for _, c := range []struct {
		client string
		err    error
		want   bool
	}{
		{"raw", moved, true}, {"kgo", moved, false}, {"raw", kerr.UnknownServerError, false},
	} {
		err := explain(loadgen.Options{Client: c.client}, c.err)
		if !errors.Is(err, c.err) || strings.Contains(err.Error(), advice) != c.want {
			t.Errorf("%s: %v, want advice: %t", c.client, err, c.want)
		}
	}
}
