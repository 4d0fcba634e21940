package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/config"
)

// run calls the binary's main with a Serve that records what it was given.
func run(t *testing.T, argv ...string) (code int, stdout, stderr string, served *config.Config) {
	t.Helper()
	return runIn(t, nil, argv...)
}

// runIn is run with an environment.
func runIn(t *testing.T, env map[string]string, argv ...string) (code int, stdout, stderr string, served *config.Config) {
	t.Helper()
	var out, errs bytes.Buffer
	p := Program{
		Stdout: &out, Stderr: &errs, Env: func(name string) string { return env[name] },
		Serve: func(_ context.Context, cfg *config.Config, _ *slog.Logger) error {
			served = cfg
			return nil
		},
		Executable: func() (string, error) { return "", errors.New("no executable in tests") },
	}
	code = p.Main(t.Context(), argv)
	return code, out.String(), errs.String(), served
}

func TestServerStart(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr, cfg := run(t, "/opt/bin/ringmq", "server", "start", "--override", "log.dirs="+dir)
	if code != 0 || cfg == nil || len(cfg.ClusterID) != 22 || cfg.NodeID != 1 {
		t.Fatalf("code %d, %v\n%s", code, cfg, stderr)
	}
	if !strings.Contains(stderr, "directories formatted") {
		t.Errorf("no line about the format: %s", stderr)
	}
	first := cfg.ClusterID
	code, _, stderr, cfg = run(t, "ringmq", "server", "start", "--override=log.dirs="+dir)
	if code != 0 || cfg.ClusterID != first || strings.Contains(stderr, "formatted") {
		t.Fatalf("second start: code %d, %v\n%s", code, cfg, stderr)
	}
	code, _, stderr, cfg = run(t, "ringmq", "server", "start", "--override=log.dirs="+dir, "--override=node.id=2")
	if code != 1 || cfg != nil || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "node 1") {
		t.Fatalf("another node's directory: code %d, %s", code, stderr)
	}
}

func TestKafkaServerStart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.properties")
	os.WriteFile(file, []byte("log.dirs="+dir+"/data\nnum.partitions=2\n"), 0o644)
	code, _, stderr, cfg := run(t, "bin/kafka-server-start.sh", "-name", "x", "-loggc", file, "--override", "num.partitions=7", "--override", "node.id=4")
	if code != 0 || cfg.Topics.NumPartitions != 7 || cfg.NodeID != 4 {
		t.Fatalf("code %d %s", code, stderr)
	}
	code, _, stderr, cfg = run(t, "kafka-server-start.sh", "--s3-url=s3://h:9000?s3-data-bucket=d&cluster-id=abc&s3-access-key=a&s3-secret-key=b%3D=", "--override", "log.dirs="+dir+"/other")
	if code != 0 || cfg.ClusterID != "abc" || cfg.DataBuckets[0].SecretKey != "b==" {
		t.Fatalf("code %d %s", code, stderr)
	}
	if code, _, stderr, _ = run(t, "kafka-server-start.sh"); code != 1 || stderr != kafkaServerStartUsage+"\n" {
		t.Errorf("no arguments: %d %q", code, stderr)
	}
	if code, stdout, _, _ := run(t, "kafka-server-start.sh", "--version"); code != 0 || !strings.HasPrefix(stdout, "ringmq ") {
		t.Errorf("version: %d %q", code, stdout)
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	tests := []struct {
		argv []string
		code int
		text string
	}{
		{[]string{"ringmq", "srever"}, 2, `unknown command "srever"; allowed: balancer, bucket, config, object, partition, quorum, server, version, wal`},
		{[]string{"ringmq", "server", "stop"}, 2, `unknown command "stop"; allowed: start`},
		{[]string{"ringmq", "server", "start", "--overide=x"}, 2, "unknown flag: --overide"},
		{[]string{"ringmq", "server", "start", "a", "b"}, 2, `unexpected argument "b"`},
		{[]string{"ringmq", "server", "start", "/no/such/file"}, 1, "config: open /no/such/file"},
		{[]string{"ringmq", "server", "start", "--override", "num.partition=1"}, 1, "config: num.partition: no such broker key, did you mean num.partitions?"},
		{[]string{"ringmq", "server", "start", "--override", "log.dirs="}, 1, `config: log.dirs=""`},
		{[]string{"ringmq", "server", "start", "--s3-url=http://x"}, 1, "config: --s3-url: does not start with s3://"},
		{[]string{"ringmq", "server", "start", "--log-level=loud"}, 2, "--log-level"},
		{[]string{"ringmq", "config", "keys", "frobnicate"}, 1, "no key contains"},
		{[]string{"automq-kafka-admin.sh", "frobnicate"}, 2, `unknown command "frobnicate"`},
		{[]string{"automq-kafka-admin.sh", "generate-start-command"}, 1, "required flag(s)"},
		{[]string{"ringmq", "server", "start", "s3://h?s3-access-key=AKIA&s3-secret-key=S3CRET&s3-data-bucket=d"}, 1, "s3-secret-key=[hidden]&s3-data-bucket=d"},
		{[]string{"ringmq", "server", "start", "--override", "process.roles=broker", "--override", "node.id=4", "--override", "controller.quorum.voters=1@h:1", "--override=s3.data.buckets=0@mem://m",
			"--override=log.dirs=" + t.TempDir()}, 1, "set cluster.id, the same on every node"},
		{[]string{"automq-kafka-admin.sh", "generate-start-command", "--s3-url=s3://h?s3-data-bucket=d", "--controller-list=h", "--broker-list=h:1"}, 2, `--controller-list: "h" is not host:port`},
		{[]string{"automq-kafka-admin.sh", "generate-start-command", "--s3-url=s3://h?s3-data-bucket=d", "--controller-list=h:9092", "--broker-list=i:1"}, 2, "port 9092"},
		{[]string{"automq-kafka-admin.sh", "generate-start-command", "--s3-url=s3://h?s3-data-bucket=d", "--controller-list=h:1;h:2", "--broker-list=i:1"}, 2, "on one host"},
		{[]string{"automq-kafka-admin.sh", "generate-start-command", "--s3-url=s3://h?s3-data-bucket=d", "--controller-list=h:1;h:1", "--broker-list=i:1"}, 2, "h:1 appears twice"},
		{[]string{"automq-kafka-admin.sh", "generate-start-command", "--s3-url=s3://h?s3-data-bucket=d", "--controller-list=h:1", "--broker-list=i:1", "--override=num.partition=2"}, 2, "did you mean num.partitions?"},
		{[]string{"automq-kafka-admin.sh", "generate-s3-url", "--s3-endpoint=h", "--s3-data-bucket=d", "--s3-access-key=a"}, 2, "must be given together"},
		{[]string{"automq-kafka-admin.sh", "generate-s3-url", "--s3-endpoint=h", "--s3-data-bucket=d"}, 2, "no credentials"},
		{[]string{"automq-kafka-admin.sh", "generate-s3-url", "--s3-endpoint=data.s3.example", "--s3-data-bucket=data", "--s3-access-key=a", "--s3-secret-key=b"}, 2, "begins with the bucket's name"},
		{[]string{"automq-kafka-admin.sh", "generate-s3-url", "--s3-endpoint=h", "--s3-data-bucket=d", "--s3-access-key=a", "--s3-secret-key=b", "--s3-ca-file=/no/such/file"}, 1, "open /no/such/file"},
	}
	for _, tt := range tests {
		code, _, stderr, served := run(t, tt.argv...)
		if code != tt.code || served != nil || !strings.Contains(stderr, tt.text) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: status %d, %q; want %d with %q", tt.argv, code, stderr, tt.code, tt.text)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	const secret = "s3.data.buckets=0@s3://b?accessKey=AAAA&secretKey=BBBB"
	code, stdout, stderr, _ := run(t, "ringmq", "config", "print", "--origins", "--override", secret, "--override", "ssl.key.password=CCCC", "--override", "num.partitions=3")
	if code != 0 || !strings.Contains(stdout, "# --override\nnum.partitions=3\n") || !strings.Contains(stdout, "ssl.key.password=[hidden]\n") || !strings.Contains(stdout, "node.id=1\n") ||
		strings.Contains(stdout, "AAAA") || strings.Contains(stdout, "BBBB") || strings.Contains(stdout, "CCCC") || strings.Contains(stdout, "num.io.threads") {
		t.Errorf("print: %d %s\n%s", code, stderr, stdout)
	}
	// What is printed can be loaded.
	file := filepath.Join(t.TempDir(), "printed.properties")
	_, stdout, _, _ = run(t, "ringmq", "config", "print", "--all", "--override", "log.dirs="+t.TempDir())
	os.WriteFile(file, []byte(strings.ReplaceAll(stdout, "broker.id=", "# broker.id=")), 0o644)
	if code, _, stderr, _ := run(t, "ringmq", "config", "print", file); code != 0 {
		t.Errorf("the printed file: %s", stderr)
	}
	dir := filepath.Join(t.TempDir(), "d")
	code, stdout, _, _ = run(t, "ringmq", "config", "validate", "--override", "log.dirs="+dir, "--override", "zookeeper.connect=x")
	if code != 0 || !strings.Contains(stdout, "warning: zookeeper.connect") || !strings.Contains(stdout, "note: "+dir) || !strings.Contains(stdout, "ok: node 1") {
		t.Errorf("validate: %d %s", code, stdout)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("validate created the directory")
	}
	code, stdout, _, _ = run(t, "ringmq", "config", "keys", "retention.ms", "--topic")
	if code != 0 || !strings.Contains(stdout, "retention.ms") || strings.Contains(stdout, "log.retention") {
		t.Errorf("keys: %d %s", code, stdout)
	}
}

func TestBucketsOnDisk(t *testing.T) {
	dir := t.TempDir()
	over := []string{"--override", "s3.data.buckets=0@file://" + dir + "/objects", "--override", "log.dirs=" + dir}
	code, stdout, stderr, _ := run(t, append([]string{"ringmq", "bucket", "create"}, over...)...)
	if code != 0 || !strings.Contains(stdout, "needs no creation") {
		t.Errorf("create: %d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr, _ = run(t, append([]string{"ringmq", "bucket", "check"}, over...)...); code != 0 || !strings.Contains(stdout, "ready") {
		t.Errorf("check: %d %s%s", code, stdout, stderr)
	}
}

func TestServeError(t *testing.T) {
	var errs bytes.Buffer
	p := Program{Stdout: &bytes.Buffer{}, Stderr: &errs, Env: func(string) string { return "" },
		Serve: func(context.Context, *config.Config, *slog.Logger) error {
			return errors.Join(errors.New("one"), errors.New("two"))
		}}
	code := p.Main(t.Context(), []string{"ringmq", "server", "start", "--log-level=error", "--override", fmt.Sprintf("log.dirs=%s", t.TempDir())})
	if code != 1 || errs.String() != "one; two\n" {
		t.Errorf("%d %q", code, errs.String())
	}
}
