package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/lab/labtest"
	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/tools/javakit"
)

var binary string // of the server

func TestMain(m *testing.M) { labtest.Main(m, &binary) }

// stores are where nodes keep their objects; each returns the setting that says so.
var stores = []struct {
	name  string
	start func(t *testing.T, dir string) []string
}{
	{"directory", func(*testing.T, string) []string { return nil }},
	{"minio", func(t *testing.T, dir string) []string {
		m := &proc.MinIO{Dir: filepath.Join(dir, "minio"), Bucket: "e2e"}
		if err := m.Start(t.Context()); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("SKIPPED: what runs on MinIO: %v", err)
		}
		t.Cleanup(m.Kill)
		return []string{"s3.data.buckets=" + m.BucketURI()}
	}},
}

// startNode starts a node on a store.
func startNode(t *testing.T, dir string, overrides []string) *proc.RingMQ {
	t.Helper()
	n := &proc.RingMQ{Binary: binary, Dir: dir, Overrides: append([]string{
		"s3.wal.path=0@file://" + filepath.Join(dir, "wal") + "?capacity=134217728", "group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=4",
	}, overrides...)}
	restart(t, n)
	t.Cleanup(func() {
		n.Kill()
		if t.Failed() {
			if log, err := os.ReadFile(filepath.Join(dir, "server.log")); err == nil {
				t.Logf("server log:\n%s", log[max(0, len(log)-8000):])
			}
		}
	})
	return n
}

func restart(t *testing.T, n *proc.RingMQ) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	took, err := n.Start(ctx)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Logf("node answers after %s", took.Round(time.Millisecond))
}

func stop(t *testing.T, n *proc.RingMQ) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	begun := time.Now()
	if err := n.Stop(ctx); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	t.Logf("clean shutdown took %s", time.Since(begun).Round(time.Millisecond))
}

// tools runs Kafka's tools against a node.
type tools struct {
	*testing.T
	kit  *javakit.Kit
	seed string
}

// run runs a tool that must succeed and print every one of the texts, and returns what it printed.
func (t tools) run(tool string, stdin string, args []string, want ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if !strings.HasPrefix(strings.Join(args, " "), "cluster-id") {
		args = append([]string{"--bootstrap-server", t.seed}, args...)
	} else {
		args = append(args, "--bootstrap-server", t.seed)
	}
	r, err := t.kit.Run(ctx, javakit.Command{Tool: tool, Args: args, Stdin: strings.NewReader(stdin)})
	if err != nil || r.ExitCode != 0 {
		t.Fatalf("%s %v: %v %s", tool, args, err, r)
	}
	for _, w := range want {
		if !strings.Contains(r.Stdout, w) {
			t.Fatalf("%s %v does not print %q: %s", tool, args, w, r)
		}
	}
	return r.Stdout
}

// numbers are the lines first..last.
func numbers(first, last int) string {
	var b strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintf(&b, "%d\n", i)
	}
	return b.String()
}

// TestKafkaTools: what an operator does with Kafka's tools in a first hour.
func TestKafkaTools(t *testing.T) {
	kit := javakit.ForTest(t)
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			dir := t.TempDir()
			n := startNode(t, dir, store.start(t, dir))
			k := tools{t, kit, n.Seed()}

			k.run("kafka-topics", "", []string{"--create", "--topic", "t", "--partitions", "1", "--config", "retention.ms=3600000"}, "Created topic t.")
			k.run("kafka-topics", "", []string{"--describe", "--topic", "t"}, "PartitionCount: 1", "retention.ms=3600000", "Leader: 1")
			k.run("kafka-cluster", "", []string{"cluster-id"}, "Cluster ID: ")
			k.run("kafka-broker-api-versions", "", nil, "(id: 1 ", "Produce(0): ")

			k.run("kafka-console-producer", numbers(1, 1000), []string{"--topic", "t", "--command-property", "acks=all"})
			read := func(group string) string {
				t.Helper()
				return k.run("kafka-console-consumer", "", []string{"--topic", "t", "--group", group, "--from-beginning", "--max-messages", "1000", "--timeout-ms", "60000"})
			}
			if got := read("g"); got != numbers(1, 1000) {
				t.Fatalf("read %d bytes back, which differ from what was written", len(got))
			}
			k.run("kafka-get-offsets", "", []string{"--topic", "t"}, "t:0:1000")
			k.run("kafka-consumer-groups", "", []string{"--list"}, "g")
			k.run("kafka-consumer-groups", "", []string{"--describe", "--group", "g"}, "1000            1000            0")
			k.run("kafka-consumer-groups", "", []string{"--reset-offsets", "--group", "g", "--topic", "t", "--to-offset", "990", "--execute"}, "990")
			k.run("kafka-console-consumer", "", []string{"--topic", "t", "--group", "g", "--max-messages", "10", "--timeout-ms", "60000"}, numbers(991, 1000))

			k.run("kafka-configs", "", []string{"--alter", "--entity-type", "topics", "--entity-name", "t", "--add-config", "max.message.bytes=2000000"}, "Completed")
			k.run("kafka-configs", "", []string{"--describe", "--entity-type", "topics", "--entity-name", "t"}, "max.message.bytes=2000000", "retention.ms=3600000")
			k.run("kafka-configs", "", []string{"--describe", "--all", "--entity-type", "brokers", "--entity-name", "1"}, "log.retention.hours=168", "node.id=1")
			k.run("kafka-log-dirs", "", []string{"--describe", "--topic-list", "t"}, `"partition":"t-0"`)

			records := filepath.Join(dir, "records.json")
			if err := os.WriteFile(records, []byte(`{"version":1,"partitions":[{"topic":"t","partition":0,"offset":100}]}`), 0o644); err != nil {
				t.Fatal(err)
			}
			k.run("kafka-delete-records", "", []string{"--offset-json-file", records}, "low_watermark: 100")
			k.run("kafka-get-offsets", "", []string{"--topic", "t", "--time", "earliest"}, "t:0:100")

			stop(t, n)
			restart(t, n)
			k.run("kafka-console-consumer", "", []string{"--topic", "t", "--from-beginning", "--max-messages", "900", "--timeout-ms", "60000"}, numbers(101, 1000))
			k.run("kafka-consumer-groups", "", []string{"--describe", "--group", "g"}, "1000            1000            0")
			k.run("kafka-consumer-groups", "", []string{"--delete", "--group", "g"}, "was successful")

			k.run("kafka-topics", "", []string{"--alter", "--topic", "t", "--partitions", "3"})
			k.run("kafka-topics", "", []string{"--describe", "--topic", "t"}, "PartitionCount: 3")
			k.run("kafka-topics", "", []string{"--delete", "--topic", "t"})
			if got := k.run("kafka-topics", "", []string{"--list"}); strings.Contains("\n"+got, "\nt\n") {
				t.Errorf("the topic is still listed: %q", got)
			}
		})
	}
}

// TestPerfTools: Kafka's measuring tools run to their end and count what they should.
func TestPerfTools(t *testing.T) {
	kit := javakit.ForTest(t)
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			dir := t.TempDir()
			n := startNode(t, dir, store.start(t, dir))
			k := tools{t, kit, n.Seed()}
			k.run("kafka-topics", "", []string{"--create", "--topic", "perf", "--partitions", "3"})
			out := k.run("kafka-producer-perf-test", "", []string{"--topic", "perf", "--num-records", "50000", "--record-size", "1024", "--throughput", "-1", "--command-property", "acks=all"}, "50000 records sent")
			t.Log(lastLine(out))
			out = k.run("kafka-consumer-perf-test", "", []string{"--topic", "perf", "--num-records", "50000"}, ", 50000, ")
			t.Log(lastLine(out))
			out = k.run("kafka-e2e-latency", "", []string{"--topic", "perf-e2e", "--num-records", "500", "--producer-acks", "all", "--record-size", "1024"}, "Avg latency", "Percentiles")
			t.Log(lastLine(out))
		})
	}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// TestKcat: keys, headers, codecs, offsets and metadata through librdkafka.
func TestKcat(t *testing.T) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: librdkafka; it needs kcat: %v", err)
	}
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			dir := t.TempDir()
			runKcat(t, kcat, startNode(t, dir, store.start(t, dir)))
		})
	}
}

func runKcat(t *testing.T, kcat string, n *proc.RingMQ) {
	run := func(stdin string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, kcat, append([]string{"-b", n.Seed()}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("kcat %v: %v\n%s%s", args, err, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		topic := "kcat-" + codec
		run("a:1\nb:2\nc:3\n", "-P", "-t", topic, "-K", ":", "-H", "h=v", "-X", "acks=all", "-X", "compression.codec="+codec)
		if got := run("", "-C", "-t", topic, "-o", "beginning", "-e", "-f", `%o %k=%s %h\n`); got != "0 a=1 h=v\n1 b=2 h=v\n2 c=3 h=v\n" {
			t.Errorf("%s: read %q", codec, got)
		}
	}
	if got := run("", "-L", "-t", "kcat-none"); !strings.Contains(got, `topic "kcat-none" with 1 partitions`) || !strings.Contains(got, "broker 1 at "+n.Seed()) {
		t.Errorf("metadata: %s", got)
	}
	if got := run("", "-Q", "-t", "kcat-none:0:-1"); !strings.Contains(got, "offset 3") {
		t.Errorf("offset query: %s", got)
	}
}

// TestKilled: kill -9, and what was acknowledged is there.
func TestKilled(t *testing.T) {
	kit := javakit.ForTest(t)
	dir := t.TempDir()
	n := startNode(t, dir, nil)
	k := tools{t, kit, n.Seed()}
	k.run("kafka-console-producer", numbers(1, 5000), []string{"--topic", "killed", "--command-property", "acks=all"})
	n.Kill()
	restart(t, n)
	k.run("kafka-console-consumer", "", []string{"--topic", "killed", "--from-beginning", "--max-messages", "5000", "--timeout-ms", "60000"}, numbers(1, 5000))
}

// TestRefusals: a node says in one line why it does not start, and exits with status 1.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, nil)
	tests := []struct {
		name, text string
		overrides  []string
	}{
		{"unknown key", "did you mean num.partitions?", []string{"num.partition=1"}},
		{"directory in use", "in use by another process", []string{"log.dirs=" + filepath.Join(dir, "log")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"server", "start", "--override=listeners=PLAINTEXT://127.0.0.1:0"}
			for _, o := range tt.overrides {
				args = append(args, "--override="+o)
			}
			var stderr bytes.Buffer
			cmd := exec.Command(binary, args...)
			cmd.Stderr = &stderr
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(lastLine(stderr.String()), tt.text) {
				t.Errorf("%v: %s", err, stderr.String())
			}
		})
	}
	stop(t, n)
}
