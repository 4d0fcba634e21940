package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestWALCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wal")
	flags := []string{"--override=log.dirs=" + t.TempDir(), "--override=s3.wal.path=0@file://" + path + "?capacity=16777216", "--override=node.id=7"}
	format := func(extra ...string) (int, string) {
		code, _, stderr, _ := run(t, append(append([]string{"ringmq", "wal", "format"}, flags...), extra...)...)
		return code, stderr
	}
	if code, stderr := format(); code != 2 || !strings.Contains(stderr, "cluster.id") {
		t.Fatalf("without a cluster id: code %d, %s", code, stderr)
	}
	flags = append(flags, "--override=cluster.id=AAAAAAAAAAAAAAAAAAAAAA")
	if code, stderr := format(); code != 0 {
		t.Fatalf("format: code %d, %s", code, stderr)
	}
	if code, _ := format(); code == 0 {
		t.Fatal("a log was formatted over without --force")
	}
	if code, stderr := format("--force"); code != 0 {
		t.Fatalf("format --force: code %d, %s", code, stderr)
	}
	code, out, stderr, _ := run(t, "ringmq", "wal", "inspect", path)
	if code != 0 || !strings.Contains(out, "node 7") || !strings.Contains(out, "0 blocks with 0 records") {
		t.Fatalf("inspect: code %d\n%s%s", code, out, stderr)
	}
	if code, out, stderr, _ := run(t, "ringmq", "wal", "dump", path); code != 0 || !strings.Contains(out, "0 blocks, 0 records") {
		t.Fatalf("dump: code %d\n%s%s", code, out, stderr)
	}
}

func TestObjectDumpOfNothing(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr, _ := run(t, "ringmq", "object", "dump", "no/such/key", "--override=log.dirs="+dir); code != 1 || !strings.Contains(stderr, "no/such/key") {
		t.Fatalf("code %d, %s", code, stderr)
	}
}

func TestWALBench(t *testing.T) {
	code, out, stderr, _ := run(t, "ringmq", "wal", "bench", t.TempDir(), "--duration=20ms", "--bytes=33554432", "--sizes=4096", "--depths=1")
	if code != 0 || strings.Count(out, "\n") < 3 || !strings.Contains(out, "O_DSYNC") {
		t.Fatalf("code %d\n%s%s", code, out, stderr)
	}
}
