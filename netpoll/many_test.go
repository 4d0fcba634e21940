package netpoll

import (
	"log/slog"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestIdleConnections: 10,000 idle connections are cheap, and all of them are served when they wake up.
func TestIdleConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: the cost of idle connections, which opens 10,000")
	}
	idleConnections(t, descriptors(t, 10000, 1), 8<<10)
}

// TestIdleTLS: one with TLS costs a goroutine and what crypto/tls keeps.
func TestIdleTLS(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: the cost of idle TLS connections, which makes 2,000 handshakes")
	}
	t.Run(overTLS, func(t *testing.T) { idleConnections(t, descriptors(t, 2000, 1), 40<<10) })
}

func idleConnections(t *testing.T, conns int, limit int64) {
	s := serve(t, handlerFuncs{frame: echo}, nil)
	before := residentBytes(t)
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	heapBefore := heap.HeapAlloc
	start := time.Now()
	p := startHolder(t, "hold", s, conns)
	p.expect("open")
	waittest.Until(t, testTimeout, "all are accepted", func() bool { return s.Stats().Connections == conns })
	took := time.Since(start)
	resident := residentBytes(t) - before
	runtime.ReadMemStats(&heap)
	t.Logf("%d idle connections: %d B of heap and %d B resident each; opened in %s", conns,
		(int64(heap.HeapAlloc)-int64(heapBefore))/int64(conns), resident/int64(conns), took.Round(time.Millisecond))
	if resident/int64(conns) > limit {
		t.Errorf("%d B per connection, want at most %d", resident/int64(conns), limit)
	}
	p.roundTrips()
	p.roundTrips()
	if st := s.Stats(); st.InboundBytes != 0 || st.Goroutines != 0 {
		t.Errorf("%+v", st)
	}
}

// TestOutOfDescriptors: a flood of connections that uses up the file descriptors does not end the acceptor (gnet's would end
// the engine); those that waited are served when there are descriptors again.
func TestOutOfDescriptors(t *testing.T) {
	var logs waittest.Log
	s := serve(t, handlerFuncs{frame: echo}, func(o *Options) { o.Logger = logs.Logger(slog.LevelInfo) })
	c := dial(t, s)
	c.send("before")
	c.expect("before")
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	// The peer process is started with the limit as it is; only this process is short of descriptors, from now on.
	flood := startHolder(t, "hold", s, 300)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("SKIPPED: the end of descriptors; it needs /proc: %v", err)
	}
	low := old
	low.Cur = uint64(len(fds) + 30)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}
	defer restore()
	flood.expect("open") // in the kernel's backlog at least
	waittest.Until(t, testTimeout, "descriptors are used up", func() bool { return len(logs.With("too many open files")) > 0 })
	c.send("meanwhile")
	c.expect("meanwhile")
	restore()
	waittest.Until(t, testTimeout, "the others are accepted", func() bool { return s.Stats().Connections > 250 })
	c2 := dial(t, s)
	c2.send("after")
	c2.expect("after")
}

// TestNoAllocations: a request in one piece and its small response allocate nothing, on either transport and whoever sends.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED: allocations of small requests; under the race detector pools drop things at random")
	}
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		for _, snd := range senders[:2] {
			t.Run(snd.name, func(t *testing.T) {
				frame, stop := snd.start()
				s := serve(t, handlerFuncs{opened: opened, frame: frame}, nil)
				defer func() {
					s.Close()
					stop()
				}()
				c := dial(t, s)
				c.SetDeadline(time.Time{})
				req := frameOf(make([]byte, 1000))
				resp := make([]byte, 4+64)
				trip := func() {
					if _, err := c.Write(req); err != nil {
						t.Fatal(err)
					}
					for n := 0; n < len(resp); {
						m, err := c.Read(resp[n:])
						if err != nil {
							t.Fatal(err)
						}
						n += m
					}
				}
				for range 100 {
					trip()
				}
				most := 0.0
				if s.endpoints[0].tls != nil {
					most = 3 // crypto/tls: 24 bytes for each look at the socket, one of the client's and two of ours
				}
				if n := testing.AllocsPerRun(2000, trip); n >= most+1 {
					t.Errorf("%v allocations per request", n)
				}
			})
		}
	})
}
