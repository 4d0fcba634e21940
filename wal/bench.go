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

// The methods that Bench compares. The log itself uses one of the three of io_uring, or of the first three where that is refused, see SyncMethod.
const (
	BenchDSync     BenchMethod = "pwrite O_DSYNC"      // what the pwrite fallback does
	BenchRWFDSync  BenchMethod = "pwritev2 RWF_DSYNC"  // durability asked for per write
	BenchFdatasync BenchMethod = "pwrite + fdatasync"  // two calls
	BenchVolatile  BenchMethod = "pwrite, not durable" // the device without durability, to compare
	BenchURing     BenchMethod = "io_uring O_DSYNC"    // one ring, one thread
	BenchURingRWF  BenchMethod = "io_uring RWF_DSYNC"
	BenchURingSync BenchMethod = "io_uring + fdatasync"
	BenchLog       BenchMethod = "log, dsync" // this package, from Append to Durable
	BenchLogRWF    BenchMethod = "log, rwf"
	BenchLogSync   BenchMethod = "log, fdatasync"
)

// benchMethods is the order in which Bench runs them.
var benchMethods = [...]BenchMethod{
	BenchVolatile, BenchDSync, BenchRWFDSync, BenchFdatasync, BenchURing, BenchURingRWF, BenchURingSync, BenchLog, BenchLogRWF, BenchLogSync,
}

// sync is how a method makes writes durable, SyncAuto: not at all.
func (m BenchMethod) sync() SyncMethod {
	switch m {
	case BenchDSync, BenchURing, BenchLog:
		return SyncDSync
	case BenchRWFDSync, BenchURingRWF, BenchLogRWF:
		return SyncRWF
	case BenchFdatasync, BenchURingSync, BenchLogSync:
		return SyncFdatasync
	}
	return SyncAuto
}

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
	switch method {
	case BenchLog, BenchLogRWF, BenchLogSync:
		r.Err = benchLog(m, path, method.sync(), size, depth, o.Duration)
	default:
		r.Err = benchDevice(m, path, method, size, depth, o.Duration)
	}
	if r.Err == nil && len(m.took) == 0 {
		if r.Err = ctx.Err(); r.Err == nil {
			r.Err = fmt.Errorf("wal: bench: no write began and ended within %v: measure for longer", o.Duration)
		}
	}
	if r.Err != nil {
		return r
	}
	slices.Sort(m.took)
	r.Writes = len(m.took)
	r.P50, r.P99, r.P999, r.Max = quantile(m.took, .5), quantile(m.took, .99), quantile(m.took, .999), quantile(m.took, 1)
	r.BytesPerSecond = float64(r.Writes) * float64(size) / m.elapsed.Seconds()
	r.CPU = m.cpu / time.Duration(r.Writes)
	return r
}

// quantile of a sorted list that is not empty.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))]
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
	if method.sync() == SyncDSync {
		flags |= unix.O_DSYNC
	}
	fd, err := openRetry(path, flags)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	d := &fileDevice{path: path, fd: fd, rwf: method.sync() == SyncRWF}
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
	switch method {
	case BenchURing, BenchURingRWF, BenchURingSync:
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		r, err := uring.New(ringEntries, fd)
		if err != nil {
			return err
		}
		defer r.Close()
		return benchRing(m, r, method.sync(), buf, depth, place)
	}
	return benchPWrite(m, d, method == BenchFdatasync, buf, depth, place)
}

// benchPWrite has depth goroutines write, each one at a time, and flush after each write if it is told to.
func benchPWrite(m *meter, d *fileDevice, flush bool, buf []byte, depth int, place func(worker, i int) int64) error {
	var wg sync.WaitGroup
	errs := make([]error, depth)
	for worker := range depth {
		wg.Go(func() {
			for i := 0; m.goOn(); i++ {
				t := time.Now()
				if errs[worker] = writeFlush(d, buf, place(worker, i), flush); errs[worker] != nil {
					return
				}
				m.add(time.Since(t))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func writeFlush(d *fileDevice, buf []byte, off int64, flush bool) error {
	if err := writeFull(d, buf, off); err != nil || !flush {
		return err
	}
	return d.Flush()
}

// benchRing has depth writes in flight through a ring of the calling thread. The target is open with O_DSYNC for SyncDSync, else without.
func benchRing(m *meter, r *uring.Ring, how SyncMethod, buf []byte, depth int, place func(worker, i int) int64) error {
	const flush = 1 << 32 // marks a flush behind the worker's write
	began := make([]time.Time, depth)
	count := make([]int, depth)
	put := r.Write
	if how == SyncRWF {
		put = r.WriteDurable
	}
	start := func(worker int) {
		began[worker] = time.Now()
		put(buf, place(worker, count[worker]), uring.NoBuffer, uint64(worker))
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
			id, res, ok := r.Next()
			if !ok {
				break
			}
			worker, want := id&^flush, len(buf)
			if id&flush != 0 {
				want = 0
			}
			if int(res) != want {
				failed = errors.Join(failed, fmt.Errorf("wal: bench: the kernel returned %d, want %d", res, want))
				continue
			}
			if how == SyncFdatasync && id&flush == 0 {
				r.Datasync(id | flush)
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
func benchLog(m *meter, path string, how SyncMethod, size, depth int, duration time.Duration) error {
	space := make(chan struct{}, 1)
	o := Options{Path: path, ClusterID: "bench", Sync: how, MemoryBytes: 64 << 20, OnSpace: func() {
		select {
		case space <- struct{}{}:
		default:
		}
	}}.withDefaults()
	d, err := openFile(path, o.lockWait, SyncDSync)
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
