package uring

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkFloor is the time of one durable 4 KiB write with nothing around it: what a log can at best reach here.
func BenchmarkFloor(b *testing.B) {
	dir := os.Getenv("RINGMQ_WAL_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	const size, blocks = 4096, 16 << 10
	path := filepath.Join(dir, "floor")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_DIRECT, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(path)
	defer unix.Close(fd)
	zero := page(b, 1<<20)
	for at := int64(0); at < size*blocks; at += 1 << 20 {
		if _, err := unix.Pwrite(fd, zero, at); err != nil {
			b.Fatal(err)
		}
	}
	if err := unix.Fsync(fd); err != nil {
		b.Fatal(err)
	}
	sync, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_DSYNC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(sync)
	buf := page(b, size)

	report := func(b *testing.B, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2])/1e3, "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100])/1e3, "p99-µs")
	}
	b.Run("pwrite", func(b *testing.B) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		took := make([]time.Duration, b.N)
		for i := range b.N {
			t := time.Now()
			if _, err := unix.Pwrite(sync, buf, int64(i%blocks)*size); err != nil {
				b.Fatal(err)
			}
			took[i] = time.Since(t)
		}
		report(b, took)
	})
	for _, registered := range []bool{false, true} {
		name := "io_uring"
		if registered {
			name = "io_uring-registered"
		}
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			r, err := New(8, sync)
			if err != nil {
				b.Skipf("SKIPPED: io_uring; it is not allowed here: %v", err)
			}
			defer r.Close()
			slot := NoBuffer
			if registered {
				slot = 0
				if err := r.ReserveBuffers(1); err != nil {
					b.Fatal(err)
				}
				if err := r.SetBuffer(0, buf); err != nil {
					b.Fatal(err)
				}
			}
			took := make([]time.Duration, b.N)
			for i := range b.N {
				t := time.Now()
				r.Write(buf, int64(i%blocks)*size, slot, 1)
				if err := r.Enter(true); err != nil {
					b.Fatal(err)
				}
				if _, res, ok := r.Next(); !ok || res != size {
					b.Fatal(res, ok)
				}
				took[i] = time.Since(t)
			}
			report(b, took)
		})
	}
}
