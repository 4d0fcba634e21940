package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ringmq/ringmq/wal/internal/uring"
	"golang.org/x/sys/unix"
)

// BenchMethod is a way to make a write durable.
type BenchMethod string

// The methods that Bench compares. The log itself uses BenchURing, or BenchDSync where io_uring is refused.
const (
	BenchDSync     BenchMethod = "pwrite O_DSYNC"        // what the pwrite fallback does
	BenchRWFDSync  BenchMethod = "pwritev2 RWF_DSYNC"    // durability asked for per write
	BenchFdatasync BenchMethod = "pwrite + fdatasync"    // two calls
	BenchVolatile  BenchMethod = "pwrite, not durable"   // the device without durability, to compare
	BenchURing     BenchMethod = "io_uring O_DSYNC"      // one ring, one thread
	BenchLog       BenchMethod = "log Append to Durable" // this package, from Append to Durable
)

// benchMethods is the order in which Bench runs them.
var benchMethods = [...]BenchMethod{BenchVolatile, BenchDSync, BenchRWFDSync, BenchFdatasync, BenchURing, BenchLog}

// BenchOptions configures Bench.
type BenchOptions struct {
	// Path names a directory or a file in it, which is not touched: a scratch file is written beside it and removed. Or a block device,
	// with Overwrite only.
	Path string
	// Overwrite allows a block device to be used. What it holds is lost.
	Overwrite bool
	Bytes     int64         // size of the scratch file. Default 256 MiB
	Duration  time.Duration // of each measurement. Default 1 s
	Sizes     []int         // bytes per write, multiples of 4096 up to 1 MiB. Default 4, 16, 64 KiB
	Depths    []int         // writes in flight, 1 to 16. Default 1, 4, 16
}

// BenchResult is one measurement.
type BenchResult struct {
	Method              BenchMethod
	Size, Depth         int
	Writes              int
	P50, P99, P999, Max time.Duration
	BytesPerSecond      float64
	CPU                 time.Duration // of this process, per write
	Err                 error         // the method does not work here; the rest is zero
}

func (o BenchOptions) withDefaults() BenchOptions {
	if o.Bytes == 0 {
		o.Bytes = 256 << 20
	}
	if o.Duration == 0 {
		o.Duration = time.Second
	}
	if len(o.Sizes) == 0 {
		o.Sizes = []int{4 << 10, 16 << 10, 64 << 10}
	}
	if len(o.Depths) == 0 {
		o.Depths = []int{1, 4, 16}
	}
	return o
}

func (o BenchOptions) validate() error {
	for _, n := range o.Sizes {
		if n < pageBytes || n > 1<<20 || n%pageBytes != 0 {
			return fmt.Errorf("wal: BenchOptions.Sizes has %d, want multiples of %d up to %d", n, pageBytes, 1<<20)
		}
	}
	for _, n := range o.Depths {
		if n < 1 || n > maxQueue {
			return fmt.Errorf("wal: BenchOptions.Depths has %d, want 1 to %d", n, maxQueue)
		}
	}
	if o.Bytes < 32<<20 || o.Bytes%pageBytes != 0 {
		return fmt.Errorf("wal: BenchOptions.Bytes is %d, want a multiple of %d and at least %d", o.Bytes, pageBytes, 32<<20)
	}
	return nil
}

// Bench measures how fast a device makes writes durable, by several methods, on space that was written before. report is called after each
// measurement. A method that does not work here has Err set and does not end the run.
func Bench(ctx context.Context, o BenchOptions, report func(BenchResult)) error {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return err
	}
	path, cleanup, err := benchTarget(o)
	if err != nil {
		return err
	}
	defer cleanup()
	for _, size := range o.Sizes {
		for _, depth := range o.Depths {
			for _, method := range benchMethods {
				if err := ended(ctx); err != nil {
					return err
				}
				report(measureOne(ctx, o, path, method, size, depth))
			}
		}
	}
	return nil
}

// benchTarget prepares the space and returns its path.
func benchTarget(o BenchOptions) (path string, cleanup func(), err error) {
	st, err := os.Stat(o.Path)
	switch {
	case err == nil && st.Mode()&fs.ModeDevice != 0:
		if !o.Overwrite {
			return "", nil, fmt.Errorf("wal: bench: %s is a device, and what it holds would be overwritten", o.Path)
		}
		return o.Path, func() {}, Format(Options{Path: o.Path, ClusterID: "bench"}, true)
	case err == nil && st.IsDir():
		path = filepath.Join(o.Path, "wal.bench")
	case err == nil || errors.Is(err, fs.ErrNotExist):
		path = o.Path + ".bench"
	default:
		return "", nil, fmt.Errorf("wal: bench: %w", err)
	}
	err = createFile(Options{Path: path, CapacityBytes: o.Bytes, ClusterID: "bench"}, true)
	return path, func() { os.Remove(path) }, err
}

// measureOne runs one method for o.Duration.
func measureOne(ctx context.Context, o BenchOptions, path string, method BenchMethod, size, depth int) BenchResult {
	r := BenchResult{Method: method, Size: size, Depth: depth}
	m := &meter{ctx: ctx}
	if method == BenchLog {
		r.Err = benchLog(m, path, size, depth, o.Duration)
	} else {
		r.Err = benchDevice(m, path, method, size, depth, o.Duration)
	}
	if r.Err == nil && len(m.took) == 0 {
		r.Err = ctx.Err()
	}
	if r.Err != nil {
		return r
	}
	slices.Sort(m.took)
	at := func(q float64) time.Duration { return m.took[int(q*float64(len(m.took)-1))] }
	r.Writes = len(m.took)
	r.P50, r.P99, r.P999, r.Max = at(.5), at(.99), at(.999), at(1)
	r.BytesPerSecond = float64(r.Writes) * float64(size) / m.elapsed.Seconds()
	r.CPU = m.cpu / time.Duration(r.Writes)
	return r
}

// meter collects durations between start and stop.
type meter struct {
	ctx     context.Context
	began   time.Time
	until   time.Time
	elapsed time.Duration
	cpu     time.Duration

	mu   sync.Mutex
	took []time.Duration
}

func (m *meter) start(d time.Duration) {
	m.began, m.cpu = time.Now(), -processTime()
	m.until = m.began.Add(d)
}

func (m *meter) stop() {
	m.elapsed = time.Since(m.began)
	m.cpu += processTime()
}

func (m *meter) goOn() bool { return time.Now().Before(m.until) && m.ctx.Err() == nil }

func (m *meter) add(d time.Duration) {
	m.mu.Lock()
	m.took = append(m.took, d)
	m.mu.Unlock()
}

func processTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchDevice writes with depth writes in flight, each to places of its own behind the superblocks.
func benchDevice(m *meter, path string, method BenchMethod, size, depth int, duration time.Duration) error {
	flags := unix.O_RDWR | unix.O_DIRECT | unix.O_CLOEXEC
	if method == BenchDSync || method == BenchURing {
		flags |= unix.O_DSYNC
	}
	fd, err := openRetry(path, flags)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	d := &fileDevice{path: path, fd: fd}
	if err := d.stat(); err != nil {
		return err
	}
	buf, err := allocNow(size)
	if err != nil {
		return err
	}
	defer release(buf)
	share := (d.size - ringStart) / int64(depth) / int64(size) * int64(size)
	place := func(worker, i int) int64 {
		return ringStart + int64(worker)*share + int64(i)*int64(size)%share
	}
	m.start(duration)
	defer m.stop()
	if method == BenchURing {
		return benchRing(m, fd, buf, depth, place)
	}
	var wg sync.WaitGroup
	errs := make([]error, depth)
	for worker := range depth {
		wg.Go(func() {
			for i := 0; m.goOn(); i++ {
				t := time.Now()
				if errs[worker] = writeBy(method, d, buf, place(worker, i)); errs[worker] != nil {
					return
				}
				m.add(time.Since(t))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func writeBy(method BenchMethod, d *fileDevice, buf []byte, off int64) error {
	var n int
	var err error
	if method == BenchRWFDSync {
		n, err = unix.Pwritev2(d.fd, [][]byte{buf}, off, unix.RWF_DSYNC)
	} else {
		n, err = d.WriteAt(buf, off)
	}
	if err == nil && n < len(buf) {
		err = fmt.Errorf("short write, %d of %d bytes", n, len(buf))
	}
	if err == nil && method == BenchFdatasync {
		err = d.Flush()
	}
	return err
}

func benchRing(m *meter, fd int, buf []byte, depth int, place func(worker, i int) int64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := uring.New(ringEntries, fd)
	if err != nil {
		return err
	}
	defer r.Close()
	began := make([]time.Time, depth)
	count := make([]int, depth)
	start := func(worker int) {
		began[worker] = time.Now()
		r.Write(buf, place(worker, count[worker]), uring.NoBuffer, uint64(worker))
		count[worker]++
	}
	for worker := range depth {
		start(worker)
	}
	var failed error
	for r.InKernel() > 0 {
		if err := r.Enter(true); err != nil {
			return err
		}
		for {
			worker, res, ok := r.Next()
			if !ok {
				break
			}
			if int(res) != len(buf) {
				failed = errors.Join(failed, fmt.Errorf("wal: bench: write returned %d", res))
				continue
			}
			m.add(time.Since(began[worker]))
			if failed == nil && m.goOn() {
				start(int(worker))
			}
		}
	}
	return failed
}

// benchLog keeps depth records in flight through a log.
func benchLog(m *meter, path string, size, depth int, duration time.Duration) error {
	space := make(chan struct{}, 1)
	o := Options{Path: path, ClusterID: "bench", MemoryBytes: 64 << 20, OnSpace: func() {
		select {
		case space <- struct{}{}:
		default:
		}
	}}.withDefaults()
	d, err := openFile(path, o.lockWait)
	if err != nil {
		return err
	}
	// The other methods have written over the ring.
	if err := errors.Join(formatDevice(d, path, o, true), d.Close()); err != nil {
		return err
	}
	l, err := Open(o)
	if err != nil {
		return err
	}
	defer l.Close(true)
	if err := l.Recover(m.ctx, func(Entry) error { return errors.New("wal: bench: a record in a new log") }); err != nil {
		return err
	}
	data := make([]byte, size-blockHeader-recordHeader) // fills its pages
	free := make(chan *benchAppend, depth)
	for range depth {
		free <- &benchAppend{m: m, free: free}
	}
	m.start(duration)
	for m.goOn() {
		a := <-free
		if a.err != nil {
			return a.err
		}
		for {
			a.began = time.Now()
			e, err := l.Append(a, nil, data)
			if err == nil {
				e.Mem.Unref()
				break
			}
			if !errors.Is(err, ErrFull) && !errors.Is(err, ErrNoMemory) {
				return err
			}
			if err := l.Trim(l.Next()); err != nil {
				return err
			}
			<-space
		}
	}
	for range depth {
		if a := <-free; a.err != nil {
			return a.err
		}
	}
	m.stop()
	return nil
}

type benchAppend struct {
	m     *meter
	free  chan<- *benchAppend // has room for all
	began time.Time
	err   error
}

func (a *benchAppend) Durable(_ Position, err error) {
	a.m.add(time.Since(a.began))
	a.err = err
	a.free <- a
}
