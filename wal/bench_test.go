package wal

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What these showed on two virtual cores, Linux 6.18, ext4 on virtio with a volatile cache and no FUA, in the calmer of several runs on a
// shared machine. The floor is internal/uring's BenchmarkFloor: one durable 4 KiB write and nothing else.
//
//	one 1 KB record in flight                        p50 / p99, µs     processor µs
//	floor, pwrite or io_uring                        133 / 200
//	BenchmarkEventLoop, io_uring                     127 / 282         56
//	BenchmarkEventLoop, pwrite                       197 / 588         108
//	BenchmarkLatency (Go channel), io_uring          177 / 278         44
//	BenchmarkLatency (Go channel), pwrite            135 / 253         45
//
//	BenchmarkThroughput, io_uring, depth 8           acks/s            MB/s    processor µs per append
//	100 B, 64 in flight                              390,000           39      1.0
//	1 KB, 256 in flight                              650,000           665     0.75
//	16 KiB, 64 in flight                             86,000            1,410   5.3
//	128 KiB, 32 in flight                            12,200            1,600   44
//	1 MiB, 8 in flight                               1,560             1,640   320
//
// A goroutine that waits on a channel pays for Go's scheduler between the ring's thread and itself; an event loop in epoll does not. The
// depth hardly matters from 2 on for small records, and counts for large ones. Not shown: real disks, several logs, a broker around it.

// turnstile is a Completion for benchmarks: it gives a token back and, when asked to, notes the time.
type turnstile struct {
	tokens chan struct{}
	failed atomic.Pointer[error]
}

func (s *turnstile) Durable(_ Position, err error) {
	if err != nil {
		s.failed.CompareAndSwap(nil, &err)
	}
	s.tokens <- struct{}{}
}

// benchPath is a directory on a real file system: RINGMQ_WAL_BENCH_DIR, or the test's own.
func benchOptions(b *testing.B) Options {
	o := testOptions(b)
	o.CapacityBytes, o.MemoryBytes = 256<<20, 64<<20
	if dir := os.Getenv("RINGMQ_WAL_BENCH_DIR"); dir != "" {
		o.Path = dir + "/wal-bench"
		b.Cleanup(func() { os.Remove(o.Path) })
	}
	return o
}

func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// appendRetry appends and trims behind itself.
func appendRetry(b *testing.B, l *Log, c Completion, payload []byte, space <-chan struct{}) {
	for {
		e, err := l.Append(c, nil, payload)
		switch err {
		case nil:
			e.Mem.Unref()
			return
		case ErrFull, ErrNoMemory:
			if err := l.Trim(l.Next()); err != nil {
				b.Fatal(err)
			}
			<-space
		default:
			b.Fatal(err)
		}
	}
}

// BenchmarkLatency has one record in flight: the time from Append to Durable as the appender sees it.
func BenchmarkLatency(b *testing.B) {
	for _, mode := range []Mode{ModeURing, ModePWrite} {
		for _, size := range []int{1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("mode=%s/size=%d", mode, size), func(b *testing.B) {
				o := benchOptions(b)
				o.Mode = mode
				space := make(chan struct{}, 1)
				o.OnSpace = func() {
					select {
					case space <- struct{}{}:
					default:
					}
				}
				l := mustOpen(b, o)
				defer l.Close(false)
				if err := l.Recover(context.Background(), func(Entry) error { return nil }); err != nil {
					b.Fatal(err)
				}
				payload := record(1, size)
				s := &turnstile{tokens: make(chan struct{}, 1)}
				took := make([]time.Duration, 0, b.N)
				b.ResetTimer()
				cpu := cpuTime()
				for range b.N {
					t := time.Now()
					appendRetry(b, l, s, payload, space)
					<-s.tokens
					took = append(took, time.Since(t))
				}
				b.StopTimer()
				cpu = cpuTime() - cpu
				slices.Sort(took)
				for _, q := range []struct {
					name string
					at   float64
				}{{"p50-µs", .5}, {"p99-µs", .99}, {"p99.9-µs", .999}} {
					b.ReportMetric(float64(took[int(float64(len(took)-1)*q.at)])/1e3, q.name)
				}
				b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// BenchmarkThroughput keeps a number of records in flight.
func BenchmarkThroughput(b *testing.B) {
	for _, mode := range []Mode{ModeURing, ModePWrite} {
		for _, c := range []struct{ size, inFlight int }{{100, 64}, {1 << 10, 16}, {1 << 10, 256}, {16 << 10, 64}, {128 << 10, 32}, {1 << 20, 8}} {
			for _, depth := range []int{1, 2, 4, 8} {
				b.Run(fmt.Sprintf("mode=%s/size=%d/inflight=%d/depth=%d", mode, c.size, c.inFlight, depth), func(b *testing.B) {
					o := benchOptions(b)
					o.Mode, o.QueueDepth = mode, depth
					space := make(chan struct{}, 1)
					o.OnSpace = func() {
						select {
						case space <- struct{}{}:
						default:
						}
					}
					l := mustOpen(b, o)
					defer l.Close(false)
					if err := l.Recover(context.Background(), func(Entry) error { return nil }); err != nil {
						b.Fatal(err)
					}
					payload := record(1, c.size)
					s := &turnstile{tokens: make(chan struct{}, c.inFlight)}
					for range c.inFlight {
						s.tokens <- struct{}{}
					}
					b.SetBytes(int64(c.size))
					b.ResetTimer()
					cpu := cpuTime()
					for range b.N {
						<-s.tokens
						appendRetry(b, l, s, payload, space)
					}
					for range c.inFlight {
						<-s.tokens
					}
					b.StopTimer()
					cpu = cpuTime() - cpu
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acks/s")
					b.ReportMetric(float64(cpu.Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
					st := l.Stats()
					b.ReportMetric(float64(st.Bytes)/float64(max(st.Writes, 1)), "B/write")
				})
			}
		}
	}
}

// eventLoop is an appender that waits as a network event loop does: in a system call, on a descriptor that the completion writes to.
type eventLoop struct{ fd int }

func (e *eventLoop) Durable(Position, error) {
	one := [8]byte{1}
	_, _ = unix.Write(e.fd, one[:])
}

// burn keeps n goroutines computing until the returned function is called.
func burn(n int) (stop func()) {
	var quit atomic.Bool
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for !quit.Load() {
				for range 1000 {
					_ = quit.Load()
				}
				runtime.Gosched()
			}
		})
	}
	return func() {
		quit.Store(true)
		wg.Wait()
	}
}

// BenchmarkEventLoop is BenchmarkLatency with the appender in a system call between append and completion, which is how a broker's
// event loop is woken.
func BenchmarkEventLoop(b *testing.B) {
	for _, c := range []struct {
		mode Mode
		busy bool
	}{{ModeURing, false}, {ModePWrite, false}, {ModeURing, true}, {ModePWrite, true}} {
		b.Run(fmt.Sprintf("mode=%s/busy=%v", c.mode, c.busy), func(b *testing.B) {
			if c.busy { // every P has something else to run
				defer burn(runtime.NumCPU())()
			}
			o := benchOptions(b)
			o.Mode = c.mode
			l := mustOpen(b, o)
			defer l.Close(false)
			if err := l.Recover(context.Background(), func(Entry) error { return nil }); err != nil {
				b.Fatal(err)
			}
			fd, err := unix.Eventfd(0, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer unix.Close(fd)
			e := &eventLoop{fd}
			payload := record(1, 1024)
			took := make([]time.Duration, 0, b.N)
			b.ResetTimer()
			cpu := cpuTime()
			var buf [8]byte
			for i := range b.N {
				t := time.Now()
				entry, err := l.Append(e, nil, payload)
				if err != nil {
					b.Fatal(err)
				}
				entry.Mem.Unref()
				if i%1000 == 999 {
					_ = l.Trim(l.Next())
				}
				for {
					if _, err := unix.Read(fd, buf[:]); err == nil {
						break
					}
				}
				took = append(took, time.Since(t))
			}
			b.StopTimer()
			cpu = cpuTime() - cpu
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/1e3, "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100])/1e3, "p99-µs")
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}
