package netpoll

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// sender answers frames in one of the ways that a broker may: on the owner goroutine, or on a thread that completes
// appends, which either writes itself or makes the owner write.
type sender struct {
	name  string
	start func() (frame func(c *Conn, frame []byte) Verdict, stop func())
}

func completer(send func(c *Conn, r *Response)) func() (func(*Conn, []byte) Verdict, func()) {
	return func() (func(*Conn, []byte) Verdict, func()) {
		type job struct {
			c *Conn
			r *Response
		}
		jobs := make(chan job, 4096)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for j := range jobs {
				send(j.c, j.r)
			}
		}()
		frame := func(c *Conn, frame []byte) Verdict {
			r := c.Begin()
			r.Append(frame[:min(len(frame), 64)])
			jobs <- job{c, r}
			return Next
		}
		return frame, func() { close(jobs); <-done }
	}
}

var senders = []sender{
	{"owner", func() (func(*Conn, []byte) Verdict, func()) {
		return func(c *Conn, frame []byte) Verdict {
			r := c.Begin()
			r.Append(frame[:min(len(frame), 64)])
			r.Send()
			return Next
		}, func() {}
	}},
	{"thread", completer(func(c *Conn, r *Response) { r.Send() })},
	{"thread-wakes-owner", completer(func(c *Conn, r *Response) { c.Execute(r.Send) })},
}

// BenchmarkRoundTrip is the time of one request of 1 KB and its small response, by transport, by who sends and by the number
// of connections, each with one request in flight. Client and server are two processes.
func BenchmarkRoundTrip(b *testing.B) {
	for _, transport := range []string{"loops=1", "loops=2", "goroutine", overTLS} {
		for _, snd := range senders {
			for _, conns := range []int{1, 16, 256} {
				b.Run(fmt.Sprintf("%s/%s/conns=%d", transport, snd.name, conns), func(b *testing.B) {
					frame, stop := snd.start()
					h := handlerFuncs{frame: frame}
					loops := 2
					switch transport {
					case "loops=1":
						loops = 1
					case "goroutine":
						h.opened = func(c *Conn) { c.Execute(c.MoveToGoroutine) }
					}
					s := serve(b, h, func(o *Options) { o.Loops = loops })
					defer stop()
					benchRoundTrips(b, s, conns, 1024)
				})
			}
		}
	}
}

// BenchmarkIngest is the throughput of frames of one size over 4 connections with 5 requests in flight each.
func BenchmarkIngest(b *testing.B) {
	for _, transport := range []string{"loop", "goroutine", overTLS} {
		for _, size := range []int{16 << 10, 100 << 10, 1 << 20, 8 << 20} {
			for _, buffer := range []int{64 << 10, 256 << 10, 1 << 20} {
				b.Run(fmt.Sprintf("%s/frame=%dKiB/buffer=%dKiB", transport, size>>10, buffer>>10), func(b *testing.B) {
					h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict { return echo(c, frame[:64]) }}
					if transport == "goroutine" {
						h.opened = func(c *Conn) { c.Execute(c.MoveToGoroutine) }
					}
					s := serve(b, h, func(o *Options) { o.ReadBufferBytes = buffer })
					b.SetBytes(int64(size))
					cpu := processCPU(b)
					b.ResetTimer()
					if out, err := peerFor(s, "stream %s %d %d %d", s.Addr("T"), 4, b.N, size).Output(); err != nil {
						b.Fatal(err, out)
					}
					b.StopTimer()
					used := processCPU(b) - cpu
					b.ReportMetric(used.Seconds()*float64(1<<30)/float64(b.N)/float64(size), "server-cpu-s/GiB")
				})
			}
		}
	}
}

// benchRoundTrips has another process do b.N round trips over conns connections and reports its latencies and this
// process's CPU time. A client in this process would share the scheduler with the server, which no real one does.
func benchRoundTrips(b *testing.B, s *Server, conns, size int) {
	cmd := peerFor(s, "trips %s %d %d %d", s.Addr("T"), conns, b.N, size)
	cpu := processCPU(b)
	b.ResetTimer()
	out, err := cmd.Output()
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	used := processCPU(b) - cpu
	var ns, p50, p99, p999 float64
	if _, err := fmt.Sscan(string(out), &ns, &p50, &p99, &p999); err != nil {
		b.Fatalf("%v in %q", err, out)
	}
	b.ReportMetric(ns, "ns/op")
	b.ReportMetric(p50, "p50-µs")
	b.ReportMetric(p99, "p99-µs")
	b.ReportMetric(p999, "p99.9-µs")
	b.ReportMetric(float64(used.Nanoseconds())/1e3/float64(b.N), "server-cpu-µs/op")
}

func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
