package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/bench/measure"
)

// alignment serves O_DIRECT on every device.
const alignment = 4096

// maxWrite bounds one write.
const maxWrite = 16 << 20

// Result is one size at one depth.
type Result struct {
	Bytes       int             `json:"bytes"`
	Depth       int             `json:"depth"`
	PerSecond   float64         `json:"writes_per_second"`
	MBPerSecond float64         `json:"mb_per_second"` // MiB
	Latency     measure.Latency `json:"latency"`
}

type target struct {
	fd    int
	bytes int64
}

// openTarget opens a file or device for durable writes past the page cache, and writes all of a file once.
func openTarget(path string, bytes int64, file bool) (*target, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_DSYNC|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s with O_DIRECT|O_DSYNC: %w", path, err)
	}
	t := &target{fd, bytes}
	if !file {
		end, err := unix.Seek(fd, 0, unix.SEEK_END)
		if err != nil {
			t.close()
			return nil, fmt.Errorf("size of %s: %w", path, err)
		}
		t.bytes = min(bytes, end)
		return t, nil
	}
	buf, err := aligned(1 << 20)
	if err != nil {
		t.close()
		return nil, err
	}
	defer unix.Munmap(buf)
	for off := int64(0); off < bytes; off += int64(len(buf)) {
		if err := pwrite(fd, buf, off); err != nil {
			t.close()
			return nil, fmt.Errorf("fill %s: %w", path, err)
		}
	}
	return t, nil
}

func (t *target) close() { unix.Close(t.fd) }

// aligned returns memory that the device may read by itself.
func aligned(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", n, err)
	}
	return b, nil
}

func pwrite(fd int, b []byte, off int64) error {
	for {
		n, err := unix.Pwrite(fd, b, off)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("write %d bytes at %d: %w", len(b), off, err)
		case n != len(b):
			return fmt.Errorf("write %d bytes at %d: only %d written", len(b), off, n)
		default:
			return nil
		}
	}
}

// measure writes for the given time.
func (t *target) measure(ctx context.Context, size, depth int, warmup, duration time.Duration) (Result, error) {
	if size%alignment != 0 || size > maxWrite || int64(size) > t.bytes {
		return Result{}, fmt.Errorf("size %d: allowed are multiples of %d up to %d and to what is written over, %d", size, alignment, maxWrite, t.bytes)
	}
	begin := time.Now().Add(warmup)
	end := begin.Add(duration)
	slots := uint64(t.bytes / int64(size))
	var next atomic.Uint64
	histograms, errs := make([]*measure.Histogram, depth), make([]error, depth)
	var wg sync.WaitGroup
	for i := range depth {
		histograms[i] = measure.NewHistogram()
		wg.Go(func() {
			// A thread of its own, and no scheduler between the completion and the clock.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			buf, err := aligned(size)
			if err != nil {
				errs[i] = err
				return
			}
			defer unix.Munmap(buf)
			for j := range buf {
				buf[j] = byte(j*7 + i) // not zeros, which a device may treat specially
			}
			for ctx.Err() == nil {
				off := int64(next.Add(1)%slots) * int64(size)
				sent := time.Now()
				if sent.After(end) {
					return
				}
				if errs[i] = pwrite(t.fd, buf, off); errs[i] != nil {
					return
				}
				if !sent.Before(begin) {
					histograms[i].Record(time.Since(sent))
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return Result{}, err
	}
	for _, h := range histograms[1:] {
		histograms[0].Merge(h)
	}
	l := histograms[0].Latency()
	rate := float64(l.Count) / duration.Seconds()
	return Result{size, depth, rate, rate * float64(size) / (1 << 20), l}, nil
}
