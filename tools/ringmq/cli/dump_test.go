package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/bench/proc"
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
	if code, stderr := format("--force", "--sync=fsync"); code != 2 || !strings.Contains(stderr, "fdatasync") {
		t.Fatalf("format --sync=fsync: code %d, %s", code, stderr)
	}
	if code, stderr := format("--force", "--sync=rwf"); code != 0 {
		t.Fatalf("format --force: code %d, %s", code, stderr)
	}
	if code, out, stderr, _ := run(t, "ringmq", "wal", "inspect", path); code != 0 || !strings.Contains(out, "durable by rwf (set by format)") {
		t.Fatalf("inspect: code %d\n%s%s", code, out, stderr)
	}
	if code, stderr := format("--force"); code != 0 {
		t.Fatalf("format --force: code %d, %s", code, stderr)
	}
	code, out, stderr, _ := run(t, "ringmq", "wal", "inspect", path)
	if code != 0 || !strings.Contains(out, "node 7") || !strings.Contains(out, "0 blocks with 0 records") ||
		!strings.Contains(out, "(measured; dsync p50 ") || !strings.Contains(out, "; fdatasync p50 ") {
		t.Fatalf("inspect: code %d\n%s%s", code, out, stderr)
	}
	if code, out, stderr, _ := run(t, "ringmq", "wal", "dump", path); code != 0 || !strings.Contains(out, "0 blocks, 0 records") {
		t.Fatalf("dump: code %d\n%s%s", code, out, stderr)
	}
	for size, want := range map[string]int{"32M": 0, "8388608": 0, "8MiB": 0, "1": 1, "x": 2, "-4K": 2, "9999999999T": 2} {
		argv := append([]string{"ringmq", "wal", "resize"}, "--", path, size)
		if code, out, stderr, _ := run(t, argv...); code != want || code == 0 && !strings.Contains(out, "0 records stay") {
			t.Errorf("resize to %s: code %d\n%s%s", size, code, out, stderr)
		}
	}
	if code, _, stderr, _ := run(t, "ringmq", "wal", "resize", path); code != 2 {
		t.Errorf("resize without a size: code %d, %s", code, stderr)
	}
}

// TestWALCommandsOnDevice runs each command on a loop device.
func TestWALCommandsOnDevice(t *testing.T) {
	loop, err := proc.NewLoop(filepath.Join(t.TempDir(), "disk"), 32<<20)
	if err != nil {
		t.Skipf("SKIPPED: the wal commands on a block device; it needs the right to set up a loop device: %v", err)
	}
	defer func() {
		if err := loop.Close(); err != nil {
			t.Error(err)
		}
	}()
	format := []string{"format", "--override=log.dirs=" + t.TempDir(), "--override=s3.wal.path=0@file://" + loop.Device, "--override=cluster.id=AAAAAAAAAAAAAAAAAAAAAA"}
	bench := []string{"bench", loop.Device, "--duration=10ms", "--sizes=4096", "--depths=1"}
	for _, step := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"inspect", loop.Device}, 0, "it is blank"},
		{[]string{"inspect", loop.Device}, 0, "disk: loop"},
		{bench, 1, "overwritten"},
		{append(bench, "--overwrite"), 0, "O_DSYNC"},
		{format, 1, "format it explicitly"},
		{append(format, "--force"), 0, "formatted for node 1"},
		{[]string{"inspect", loop.Device}, 0, "capacity 33554432"},
		{[]string{"dump", "--all", loop.Device}, 0, "0 blocks, 0 records"},
		{[]string{"resize", loop.Device, "64M"}, 1, "block device"},
	} {
		code, out, stderr, _ := run(t, append([]string{"ringmq", "wal"}, step.args...)...)
		if code != step.code || !strings.Contains(out+stderr, step.want) {
			t.Errorf("%v: code %d, want %d with %q\n%s%s", step.args, code, step.code, step.want, out, stderr)
		}
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
