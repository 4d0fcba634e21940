package clienttest

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/tools/javakit"
)

// stores runs a test on each kind of object store.
func stores(t *testing.T, fn func(t *testing.T, n *enginetest.Node)) {
	t.Run("embedded", func(t *testing.T) { fn(t, enginetest.Start(t, enginetest.Options{})) })
	t.Run("minio", func(t *testing.T) {
		m := s3test.StartMinIO(t)
		fn(t, enginetest.Start(t, enginetest.Options{Overrides: []string{"s3.data.buckets=" + bucketURI(t, m)}}))
	})
}

// bucketURI makes a bucket and returns its URI.
func bucketURI(t *testing.T, m *s3test.MinIO) string {
	m.MakeBucket(t, "clients")
	return fmt.Sprintf("0@s3://clients?endpoint=%s&region=us-east-1&pathStyle=true&accessKey=%s&secretKey=%s", m.Endpoint, m.AccessKey, m.SecretKey)
}

// tools runs Kafka's command line tools against one node.
type tools struct {
	t    *testing.T
	kit  *javakit.Kit
	seed string
}

func newTools(t *testing.T, n *enginetest.Node) *tools {
	return &tools{t: t, kit: javakit.ForTest(t), seed: n.Seed()}
}

// run runs a tool with --bootstrap-server and wants it to succeed.
func (k *tools) run(name string, args ...string) string {
	k.t.Helper()
	return k.runWith("", name, args...)
}

func (k *tools) runWith(stdin, name string, args ...string) string {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := k.kit.Run(ctx, javakit.Command{Tool: name, Args: append([]string{"--bootstrap-server", k.seed}, args...), Stdin: strings.NewReader(stdin)})
	if err != nil || r.ExitCode != 0 {
		k.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, r)
	}
	return r.Stdout
}

func (k *tools) want(output string, patterns ...string) {
	k.t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(output) {
			k.t.Fatalf("output does not match %q:\n%s", p, output)
		}
	}
}

// TestJavaTools walks through what a user does with Kafka's own tools.
func TestJavaTools(t *testing.T) {
	stores(t, func(t *testing.T, n *enginetest.Node) {
		k := newTools(t, n)
		k.want(k.run("kafka-topics", "--create", "--topic", "walk", "--partitions", "3", "--replication-factor", "3", "--config", "retention.ms=3600000"), "Created topic walk")
		k.want(k.run("kafka-topics", "--describe", "--topic", "walk"), `PartitionCount: 3`, `Partition: 2\s+Leader: 1`, "retention.ms=3600000")
		k.want(k.run("kafka-topics", "--list"), "(?m)^walk$")

		var lines strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&lines, "line %d\n", i)
		}
		k.runWith(lines.String(), "kafka-console-producer", "--topic", "walk")
		out := k.run("kafka-console-consumer", "--topic", "walk", "--from-beginning", "--max-messages", "1000", "--group", "readers", "--timeout-ms", "30000")
		if got := strings.Count(out, "line "); got != 1000 {
			t.Fatalf("console consumer read %d lines, want 1000", got)
		}
		total := 0
		for _, line := range strings.Fields(k.run("kafka-get-offsets", "--topic", "walk")) {
			var p, o int
			if _, err := fmt.Sscanf(line, "walk:%d:%d", &p, &o); err != nil {
				t.Fatalf("kafka-get-offsets: %q", line)
			}
			total += o
		}
		if total != 1000 {
			t.Fatalf("end offsets add up to %d, want 1000", total)
		}
		k.want(k.run("kafka-consumer-groups", "--list"), "(?m)^readers$")
		k.want(k.run("kafka-consumer-groups", "--describe", "--group", "readers"), `readers\s+walk\s+0\s+\d+\s+\d+\s+0`)
		k.want(k.run("kafka-consumer-groups", "--group", "readers", "--topic", "walk", "--reset-offsets", "--to-earliest", "--execute"), `readers\s+walk\s+0\s+0`)
		k.want(k.run("kafka-consumer-groups", "--delete", "--group", "readers"), "successful")

		k.want(k.run("kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", "walk", "--add-config", "max.message.bytes=2000000"), "Completed updating")
		k.want(k.run("kafka-configs", "--describe", "--entity-type", "topics", "--entity-name", "walk"), "max.message.bytes=2000000", "retention.ms=3600000")
		k.want(k.run("kafka-configs", "--describe", "--all", "--entity-type", "brokers", "--entity-name", "1"), `num.partitions=1`)
		k.want(k.run("kafka-log-dirs", "--describe", "--topic-list", "walk"), `"partition":"walk-0"`)
		k.want(k.run("kafka-broker-api-versions"), `Produce\(0\): 0 to 13`)
		k.run("kafka-topics", "--alter", "--topic", "walk", "--partitions", "5")
		k.want(k.run("kafka-topics", "--describe", "--topic", "walk"), "PartitionCount: 5")
		k.run("kafka-topics", "--delete", "--topic", "walk")
		if out := k.run("kafka-topics", "--list"); strings.Contains(out, "walk") {
			t.Fatalf("walk is still listed after its deletion:\n%s", out)
		}
	})
}

// TestJavaPerfTools runs Kafka's three performance tools, briefly: that they work, not how fast.
func TestJavaPerfTools(t *testing.T) {
	stores(t, func(t *testing.T, n *enginetest.Node) {
		k := newTools(t, n)
		k.run("kafka-topics", "--create", "--topic", "perf", "--partitions", "2")
		k.want(k.run("kafka-producer-perf-test", "--topic", "perf", "--num-records", "20000", "--record-size", "1024", "--throughput", "-1", "--command-property", "acks=all"), "20000 records sent")
		k.want(k.run("kafka-consumer-perf-test", "--topic", "perf", "--num-records", "20000", "--timeout", "30000"), `, 20000, `)
		k.want(k.run("kafka-e2e-latency", "--topic", "e2e", "--num-records", "500", "--producer-acks", "all", "--record-size", "1024"), "Avg latency", "99.9th")
	})
}

// TestKcat produces and consumes with librdkafka.
func TestKcat(t *testing.T) {
	path, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("kcat is not installed; make kcat installs it")
	}
	stores(t, func(t *testing.T, n *enginetest.Node) {
		kcat := func(stdin string, args ...string) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, path, append([]string{"-b", n.Seed()}, args...)...)
			cmd.Stdin = strings.NewReader(stdin)
			var errs strings.Builder
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("kcat %v: %v\n%s", args, err, errs.String())
			}
			return string(out)
		}
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			topic := "kcat-" + codec
			var lines strings.Builder
			for i := range 500 {
				fmt.Fprintf(&lines, "%s %d\n", codec, i)
			}
			kcat(lines.String(), "-P", "-t", topic, "-z", codec)
			if out := kcat("", "-C", "-t", topic, "-o", "beginning", "-e", "-q"); out != lines.String() {
				t.Fatalf("%s: %d bytes back, want %d", codec, len(out), lines.Len())
			}
		}
		if out := kcat("", "-L"); !strings.Contains(out, `topic "kcat-zstd"`) {
			t.Fatalf("metadata:\n%s", out)
		}
	})
}
