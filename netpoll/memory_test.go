package netpoll

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/waittest"
)

// residentBytes is the memory of this process as the kernel sees it.
func residentBytes(t testing.TB) int64 {
	t.Helper()
	runtime.GC() // pools give up their contents in two steps
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skipf("SKIPPED: resident memory; it needs /proc: %v", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// descriptors is how many connections a test may open when each needs perConn descriptors of this process.
func descriptors(t testing.TB, want, perConn int) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if most := (int(l.Cur) - 200) / perConn; most < want {
		t.Logf("open files are limited to %d: %d connections instead of %d", l.Cur, most, want)
		return most
	}
	return want
}

// checkServed fails the test if an ordinary request takes long.
func checkServed(t *testing.T, c *client, size int) {
	t.Helper()
	payload := strings.Repeat("z", size)
	start := time.Now()
	c.send(payload)
	c.expect(payload)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("an ordinary request of %d bytes took %s meanwhile", size, d)
	}
}

// TestManyHugeAnnouncements: 3,000 peers announce 90 MB each and send 100 bytes. They cost next to nothing, need no
// goroutines, and others are served.
func TestManyHugeAnnouncements(t *testing.T) {
	conns := descriptors(t, 3000, 2)
	s := serve(t, handlerFuncs{frame: echo}, nil)
	honest := dial(t, s)
	before := residentBytes(t)
	head := binary.BigEndian.AppendUint32(nil, 90<<20)
	head = append(head, make([]byte, 100)...)
	for range conns {
		dial(t, s).write(head)
	}
	waittest.Until(t, testTimeout, "all have been read", func() bool { return s.Stats().InboundBytes >= int64(conns)*512 })
	grown := residentBytes(t) - before
	st := s.Stats()
	t.Logf("%d connections: %d bytes buffered, resident memory grew by %d KiB (client side included)", st.Connections, st.InboundBytes, grown>>10)
	if st.InboundCharged != 0 || st.Goroutines != 0 || st.InboundBytes > int64(conns)*1024 {
		t.Errorf("%+v", st)
	}
	if grown > int64(conns)*100<<10 {
		t.Errorf("resident memory grew by %d bytes", grown)
	}
	checkServed(t, honest, 1000)
	checkServed(t, honest, 1<<20)
}

// TestLargeFramesSmallBudget: frames of 20 MB over several connections complete although the budget holds less than one of
// them, and memory stays below budget, its overshoot, and one frame.
func TestLargeFramesSmallBudget(t *testing.T) {
	const (
		budget = 8 << 20
		size   = 20 << 20
		conns  = 6
		frames = 3
	)
	h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
		r := c.Begin()
		r.Append(fmt.Appendf(nil, "%d %08x", len(frame), crc32.ChecksumIEEE(frame)))
		r.Send()
		return Next
	}}
	s := serve(t, h, func(o *Options) { o.InboundBytes = budget })
	var wg sync.WaitGroup
	for i := range conns {
		c := dial(t, s)
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 3))
			frame := make([]byte, size)
			for n := range frames {
				for j := 0; j < size; j += 8 {
					binary.LittleEndian.PutUint64(frame[j:], rng.Uint64())
				}
				b := frameOf(frame[:size-n*1001])
				want := fmt.Sprintf("%d %08x", len(b)-4, crc32.ChecksumIEEE(b[4:]))
				if _, err := c.Write(b); err != nil {
					t.Error(err)
					return
				}
				if got := c.recv(); string(got) != want {
					t.Errorf("frame arrived as %s, want %s", got, want)
				}
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	t.Logf("peak %d MiB with a budget of %d MiB; %d connections moved", st.InboundPeak>>20, budget>>20, st.Goroutines)
	if limit := int64(budget + budget/4 + size + 4096); st.InboundPeak > limit || st.InboundCharged != 0 || st.InboundBytes != 0 {
		t.Errorf("want a peak of at most %d, and nothing left: %+v", limit, st)
	}
}

// TestHogs: peers that fill the budget with frames that they do not finish are closed once others wait, and these complete.
func TestHogs(t *testing.T) {
	plainAndTLS(t, testHogs)
}

func testHogs(t *testing.T) {
	s := serve(t, handlerFuncs{frame: func(c *Conn, frame []byte) Verdict { return echo(c, frame[:10]) }}, func(o *Options) {
		o.InboundBytes = 16 << 20        // a quarter of it more has room for what all connections bring before they are told to wait: nobody is closed for that
		o.StallTimeout = 4 * time.Second // honest peers, too, are away from the processor for a while on a loaded machine
	})
	part := append(binary.BigEndian.AppendUint32(nil, 90<<20), make([]byte, 1<<20)...)
	var hogs []*client
	for range 10 {
		c := dial(t, s)
		hogs = append(hogs, c)
		go c.Write(part)
	}
	waittest.Until(t, testTimeout, "memory is short", func() bool { return s.Stats().InboundWaiting > 3 })
	trickler := dial(t, s) // makes progress, but not enough
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		trickler.Write(part)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				trickler.Write([]byte{1})
			}
		}
	}()
	var wg sync.WaitGroup
	for range 3 {
		c := dial(t, s)
		wg.Go(func() {
			frame := bytes.Repeat([]byte("honest"), 3<<20)
			for range 2 {
				if _, err := c.Write(frameOf(frame)); err != nil {
					t.Error(err)
					return
				}
				c.expect("honesthone")
			}
		})
	}
	wg.Wait()
	waittest.Until(t, testTimeout, "hogs are closed until nobody waits", func() bool { st := s.Stats(); return st.Closed.Stalled > 0 && st.InboundWaiting == 0 })
	if st := s.Stats(); st.InboundPeak > 20<<20+90<<20 {
		t.Errorf("%+v", st)
	}
}

// TestSlowReader: a peer pipelines requests for 50 MB each and never reads. At most one response, and what its bound allows, is
// kept for it; others are served; it is closed after the idle timeout, and everything is released.
func TestSlowReader(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		const size = 50 << 20
		big := make([]byte, size)
		var refs counter
		closed := make(chan error, 1)
		h := handlerFuncs{opened: opened, frame: func(c *Conn, frame []byte) Verdict {
			if string(frame) != "big" {
				return echo(c, frame)
			}
			c.Value = true
			r := c.Begin()
			refs.taken.Add(1)
			r.Reference(big, &refs)
			r.Send()
			return Next
		}, closed: func(c *Conn, err error) {
			if c.Value != nil {
				closed <- err
			}
		}}
		s := serve(t, h, func(o *Options) { o.IdleTimeout = time.Second })
		slow := dial(t, s)
		for range 1000 {
			slow.send("big")
		}
		waittest.Until(t, testTimeout, "output piles up", func() bool { return s.Stats().OutboundBytes > size/2 })
		honest := dial(t, s)
		for range 50 {
			checkServed(t, honest, 10000)
		}
		if st := s.Stats(); st.OutboundBytes > size+4+sealedBufBytes || refs.taken.Load() > 1 {
			t.Errorf("%+v; %d responses of 50 MB", st, refs.taken.Load())
		}
		if err := <-closed; !errors.Is(err, ErrSlowReader) {
			t.Errorf("closed with %v", err)
		}
		waittest.Until(t, testTimeout, "references are released", func() bool { return refs.zero() && s.Stats().OutboundBytes == 0 })
	})
}

// TestSlowReadersTogether: each is within its own bound, together they are not. Those that take nothing are closed after the
// stall timeout; one that reads is not.
func TestSlowReadersTogether(t *testing.T) {
	plainAndTLS(t, testSlowReadersTogether)
}

func testSlowReadersTogether(t *testing.T) {
	big := make([]byte, 900<<10)
	h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
		if string(frame) == "big" {
			r := c.Begin()
			r.Reference(big, nil)
			r.Send()
			return Next
		}
		return echo(c, frame)
	}}
	s := serve(t, h, func(o *Options) {
		o.OutboundBytes = 8 << 20
		o.StallTimeout = 300 * time.Millisecond
	})
	steady := dial(t, s)
	var tail sync.WaitGroup
	tail.Go(func() {
		for range 30 {
			steady.send("big")
			if got := steady.recv(); len(got) != len(big) {
				t.Errorf("%d bytes", len(got))
			}
		}
	})
	for range 60 {
		c := dial(t, s)
		for range 20 {
			c.send("big")
		}
	}
	waittest.Until(t, testTimeout, "stalled readers are closed", func() bool { return s.Stats().Closed.SlowReader > 0 && s.Stats().OutboundBytes <= 8<<20 })
	checkServed(t, dial(t, s), 1000)
	tail.Wait()
	t.Logf("%+v", s.Stats())
}

// TestRoomComesBack: a handler that keeps to the room for responses never fills it. Stalled readers are closed nevertheless, so that those who read do
// not have to do with the little that is left.
func TestRoomComesBack(t *testing.T) {
	plainAndTLS(t, testRoomComesBack)
}

func testRoomComesBack(t *testing.T) {
	const all = 512 << 20 // the kernel takes some megabytes of each response
	big := make([]byte, 64<<20)
	h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
		if string(frame) == "big" {
			r := c.Begin()
			r.Reference(big[:min(int64(len(big)), c.OutboundRoom()/4)], nil)
			r.Send()
			return Next
		}
		return echo(c, frame)
	}}
	s := serve(t, h, func(o *Options) {
		o.OutboundBytes = all
		o.StallTimeout = 300 * time.Millisecond
	})
	for range 40 {
		dial(t, s).send("big")
	}
	waittest.Until(t, testTimeout, "room runs short", func() bool { n := s.Stats().OutboundBytes; return n > all/4*3 && n <= all })
	waittest.Until(t, testTimeout, "room comes back", func() bool { return s.Stats().Closed.SlowReader > 0 && s.Stats().OutboundBytes <= all/4*3 })
	reader := dial(t, s)
	reader.send("big")
	if got := reader.recv(); len(got) < all/16 { // a quarter of a quarter
		t.Errorf("one who reads gets %d bytes", len(got))
	}
}

// TestTinyFrameFlood: peers that send frames of one byte as fast as they can do not keep their loop from others. The
// median counts: how long the scheduler of a machine with few processors makes anyone wait is not ours to say.
func TestTinyFrameFlood(t *testing.T) {
	plainAndTLS(t, testTinyFrameFlood)
}

func testTinyFrameFlood(t *testing.T) {
	s := serve(t, handlerFuncs{frame: echo}, func(o *Options) { o.Loops = 1 })
	p := startHolder(t, "flood", s, 4)
	p.expect("open")
	honest := dial(t, s)
	payload := strings.Repeat("z", 1000)
	var took []time.Duration
	for range 100 {
		start := time.Now()
		honest.send(payload)
		honest.expect(payload)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("median %s, longest %s; %+v", took[len(took)/2], took[len(took)-1], s.Stats())
	if took[len(took)/2] > 500*time.Millisecond {
		t.Errorf("median %s", took[len(took)/2])
	}
}
