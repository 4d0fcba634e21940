package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/wal"
)

// TestWALState: a log may be replaced when nothing remained in the old one, and not otherwise.
func TestWALState(t *testing.T) {
	open := func(name string) *wal.Log {
		l, err := wal.Open(wal.Options{Path: filepath.Join(t.TempDir(), name), CapacityBytes: 16 << 20, ClusterID: "c", NodeID: 1, MemoryBytes: 16 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close(false) })
		return l
	}
	dir, first, second := t.TempDir(), open("first"), open("second")
	file := filepath.Join(dir, walStateName)
	must := func(l *wal.Log) *walState {
		t.Helper()
		s, err := openWALState(dir, l, "target")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	must(first)
	must(first) // after a crash
	_, err := openWALState(dir, second, "target")
	if !errors.Is(err, ErrWALMissing) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "target") {
		t.Fatalf("another log after a crash: %v, want ErrWALMissing that names the target and %s", err, file)
	}
	if err := must(first).empty(); err != nil {
		t.Fatal(err)
	}
	must(second)
	if _, err := openWALState(dir, first, "target"); !errors.Is(err, ErrWALMissing) {
		t.Fatalf("the first log again while the second is in use: %v, want ErrWALMissing", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	must(first)

	for _, text := range []string{"", "garbage", "00 open\n", strings.Repeat("0", 32) + " full\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := openWALState(dir, first, "target"); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("state %q: %v, want an error that names %s", text, err, file)
		}
	}
}
