package netpoll

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
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
	for _, transport := range []string{"loop", "goroutine"} {
		for _, snd := range senders {
			for _, conns := range []int{1, 16, 256} {
				b.Run(fmt.Sprintf("%s/%s/conns=%d", transport, snd.name, conns), func(b *testing.B) {
					frame, stop := snd.start()
					h := handlerFuncs{frame: frame}
					if transport == "goroutine" {
						h.opened = func(c *Conn) { c.Execute(c.MoveToGoroutine) }
					}
					s := serve(b, h, nil)
					defer stop()
					benchRoundTrips(b, s, conns, 1024)
				})
			}
		}
	}
}

// benchRoundTrips has another process do b.N round trips over conns connections and reports its latencies and this
// process's CPU time. A client in this process would share the scheduler with the server, which no real one does.
func benchRoundTrips(b *testing.B, s *Server, conns, size int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("NETPOLL_PEER=%s %d %d %d", s.Addr("T"), conns, b.N, size))
	cmd.Stderr = os.Stderr
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

// TestMain is the peer process of benchmarks when asked to be.
func TestMain(m *testing.M) {
	if args := os.Getenv("NETPOLL_PEER"); args != "" {
		if err := peer(args); err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// peer does round trips and prints nanoseconds per operation, and the latencies in µs at p50, p99 and p99.9.
func peer(args string) error {
	var (
		addr           string
		conns, n, size int
	)
	if _, err := fmt.Sscan(args, &addr, &conns, &n, &size); err != nil {
		return err
	}
	req := frameOf(make([]byte, size))
	peers := make([]net.Conn, conns)
	for i := range peers {
		var err error
		if peers[i], err = net.Dial("tcp", addr); err != nil {
			return err
		}
	}
	lat := make([][]time.Duration, conns)
	errs := make([]error, conns)
	start := time.Now()
	var wg sync.WaitGroup
	for i, nc := range peers {
		count := n / conns
		if i < n%conns {
			count++
		}
		wg.Go(func() {
			resp := make([]byte, 4+min(size, 64))
			for range count {
				at := time.Now()
				if _, errs[i] = nc.Write(req); errs[i] != nil {
					return
				}
				if _, errs[i] = io.ReadFull(nc, resp); errs[i] != nil {
					return
				}
				lat[i] = append(lat[i], time.Since(at))
			}
		})
	}
	wg.Wait()
	total := time.Since(start)
	all := slices.Concat(lat...)
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Nanoseconds()) / 1e3 }
	fmt.Println(float64(total.Nanoseconds())/float64(n), at(0.5), at(0.99), at(0.999))
	return errors.Join(errs...)
}
