package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/bench/side"
	"github.com/ringmq/ringmq/tools/javakit"
)

// TestSmoke runs the machinery against the real server with our programs and Kafka's tools: every case gives its values, and nothing fails.
// The numbers mean nothing.
func TestSmoke(t *testing.T) {
	binary := os.Getenv("RINGMQ_BINARY")
	if binary == "" || testing.Short() {
		t.Skip("SKIPPED: the benchmark's machinery against the real server; it needs its path in RINGMQ_BINARY, and no -short")
	}
	kit := javakit.ForTest(t)
	tools := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", tools+string(filepath.Separator), "../../bench/probe", "../../bench/load", "../../bench/floor").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := side.Options{Out: t.TempDir(), Work: t.TempDir(), Rounds: 1, Targets: []string{"ringmq"}, Cases: []string{"idle", "probe", "java-5000", "java-e2e", "load", "java-batch", "java-consume", "partitions", "fairness", "secure", "txn", "cleaning"},
		Profile: side.Smoke, Binary: binary, Tools: tools, Java: kit.Java, ClassPath: kit.ClassPath, Versions: versions(t.Context(), binary, kit)}
	o.Profile.Cold = false // needs root
	o.Tool = func(ctx context.Context, name string, args ...string) (string, error) {
		return tool(ctx, kit, name, args)
	}
	r, err := side.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	table := r.Markdown()
	seen := map[string]bool{}
	for _, rec := range r.Records {
		seen[rec.Case] = true
		if rec.Error != "" {
			t.Errorf("%s: %s", rec.Case, rec.Error)
		}
	}
	for _, name := range []string{"start", "idle", "probe-1", "probe-1000", "probe-5000", "probe-64", "java-5000", "java-e2e", "load", "java-batch", "java-consume", "life", "partitions", "fairness",
		"secure-acl", "secure-quota", "secure-tls", "txn-5000", "cleaning"} {
		if !seen[name] {
			t.Errorf("case %s was not run", name)
		}
	}
	for _, m := range side.Metrics {
		for _, rec := range r.Records {
			if _, ok := rec.Values[m.Key]; rec.Case == m.Case && !ok && m.Key != "minio_cpu_s_per_gb" {
				t.Errorf("%s has no %s", rec.Case, m.Key)
			}
		}
	}
	if strings.Contains(table, "failed") || !strings.Contains(table, "1 KB, one in flight: p50") {
		t.Errorf("table:\n%s", table)
	}
	if left, err := os.ReadDir(o.Work); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if written, err := side.ReadResult(filepath.Join(o.Out, "side.json")); err != nil || len(written.Records) != len(r.Records) {
		t.Errorf("side.json: %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	if err := run(t.Context(), options{profile: "long"}); err == nil || !strings.Contains(err.Error(), "smoke, short, full") {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	o := options{ringmqSet: list{"a=1"}, set: list{"ringmq@x:s3.wal.path=0@file:///d?capacity=1", "ringmq@x:b=2", "ringmq:c=3"}}
	got, err := o.settings()
	if err != nil || strings.Join(got["ringmq@x"], " ") != "s3.wal.path=0@file:///d?capacity=1 b=2" || strings.Join(got["ringmq"], " ") != "a=1 c=3" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"a=1", "ringmq:a", ":a=1"} {
		if _, err := (options{set: list{bad}}).settings(); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
