package wal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestBench(t *testing.T) {
	dir := t.TempDir()
	o := BenchOptions{Path: dir, Bytes: 32 << 20, Duration: 20 * time.Millisecond, Sizes: []int{4096, 65536}, Depths: []int{1, 3}}
	var all []BenchResult
	if err := Bench(t.Context(), o, func(r BenchResult) { all = append(all, r) }); err != nil {
		t.Fatal(err)
	}
	if len(all) != 4*len(benchMethods) {
		t.Fatalf("%d results", len(all))
	}
	for _, r := range all {
		if r.Err != nil || r.Writes == 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P999 || r.BytesPerSecond <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Bench(ctx, o, func(BenchResult) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	for _, bad := range []BenchOptions{{Path: dir, Sizes: []int{100}}, {Path: dir, Depths: []int{17}}, {Path: dir, Bytes: 4096}, {Path: "/dev/null/x"}} {
		if err := Bench(t.Context(), bad, func(BenchResult) {}); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	if err := Bench(t.Context(), BenchOptions{Path: os.DevNull}, func(BenchResult) {}); err == nil {
		t.Error("a device was used without being asked to")
	}
}
