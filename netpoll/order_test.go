package netpoll

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ringmq/ringmq/tools/waittest"
)

// eachTransport runs a test on an event loop, on a connection's own goroutine, and over TLS.
func eachTransport(t *testing.T, run func(t *testing.T, opened func(*Conn))) {
	t.Run("loop", func(t *testing.T) { run(t, nil) })
	t.Run("goroutine", func(t *testing.T) {
		run(t, func(c *Conn) { c.Execute(c.MoveToGoroutine) })
	})
	t.Run(overTLS, func(t *testing.T) { run(t, nil) })
}

// plainAndTLS runs a test on a plaintext and on a TLS listener.
func plainAndTLS(t *testing.T, run func(t *testing.T)) {
	t.Run("plain", run)
	t.Run(overTLS, run)
}

// TestResponseOrder: responses completed in any order, from many goroutines, by copies and by reference, leave in the order
// of the requests; dropped ones leave no trace, and every reference is released once.
func TestResponseOrder(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		const requests = 3000
		var (
			mu      sync.Mutex
			pending []*Response
			texts   [][]byte
			refs    counter
			shuffle = rand.New(rand.NewPCG(7, 7))
			wg      sync.WaitGroup
		)
		h := handlerFuncs{opened: opened, frame: func(c *Conn, frame []byte) Verdict {
			r := c.Begin()
			text := bytes.Clone(frame)
			mu.Lock()
			defer mu.Unlock()
			pending, texts = append(pending, r), append(texts, text)
			if len(pending) < 100 {
				return Next
			}
			shuffle.Shuffle(len(pending), func(i, j int) {
				pending[i], pending[j] = pending[j], pending[i]
				texts[i], texts[j] = texts[j], texts[i]
			})
			for part := range 4 {
				rs, ts := pending[part*25:part*25+25], texts[part*25:part*25+25]
				wg.Go(func() {
					for i, r := range rs {
						answer(r, ts[i], &refs)
					}
				})
			}
			pending, texts = nil, nil
			return Next
		}}
		s := serve(t, h, nil)
		c := dial(t, s)
		go func() {
			var b []byte
			for i := range requests {
				b = append(b, frameOf(fmt.Appendf(nil, "%05d", i))...)
				if len(b) > 700 {
					c.Write(b)
					b = b[:0]
				}
			}
			c.Write(b)
		}()
		for i := range requests {
			if i%5 == 0 {
				continue // dropped
			}
			c.expect(strings.Repeat(fmt.Sprintf("%05d", i), 1+i%4))
		}
		wg.Wait()
		waittest.Until(t, testTimeout, "all references released", func() bool { return refs.zero() })
	})
}

// counter is a Mem that counts.
type counter struct{ taken, released atomic.Int64 }

func (m *counter) Unref()     { m.released.Add(1) }
func (m *counter) zero() bool { return m.taken.Load() == m.released.Load() }

// answer sends text 1 + i%4 times, alternating copies and references, or drops every fifth.
func answer(r *Response, text []byte, m *counter) {
	var i int
	fmt.Sscanf(string(text), "%d", &i)
	for part := range 1 + i%4 {
		if (i+part)%2 == 0 {
			r.Append(text)
		} else {
			m.taken.Add(1)
			r.Reference(text, m)
		}
	}
	if i%5 == 0 {
		r.Drop()
		return
	}
	r.Send()
}

func TestBufPatch(t *testing.T) {
	h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
		r := c.Begin()
		b := append(r.Buf(), "??ab"...)
		r.SetBuf(b)
		r.Reference([]byte("REF"), nil)
		b = append(r.Buf(), frame...)
		copy(b[4:], "ok") // patched after the fact
		r.SetBuf(b)
		if r.Len() != 4+3+len(frame) {
			t.Errorf("Len is %d", r.Len())
		}
		r.Send()
		return Next
	}}
	c := dial(t, serve(t, h, nil))
	c.send("frame")
	c.expect("okabREFframe")
}

func TestHoldResume(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		var (
			tries atomic.Int32
			conn  = make(chan *Conn, 1)
		)
		h := handlerFuncs{opened: opened, frame: func(c *Conn, frame []byte) Verdict {
			if string(frame) == "hold" && tries.Add(1) < 3 {
				conn <- c
				return Hold
			}
			return echo(c, frame)
		}}
		s := serve(t, h, nil)
		c := dial(t, s)
		c.send("before")
		c.send("hold")
		c.send("after")
		c.expect("before")
		held := <-conn
		if n := tries.Load(); n != 1 {
			t.Fatalf("delivered %d times before Resume", n)
		}
		c.send("late") // more arrives while held
		held.Resume()
		held = <-conn
		held.Resume()
		c.expect("hold")
		c.expect("after")
		c.expect("late")
		held.Resume() // not held: nothing happens
		c.send("end")
		c.expect("end")
		if n := tries.Load(); n != 3 {
			t.Fatalf("held frame delivered %d times, want 3", n)
		}
	})
}

// TestResumeInsideFrame: a Resume that happens before Frame returns Hold must not be lost.
func TestResumeInsideFrame(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		tries := 0
		h := handlerFuncs{opened: opened, frame: func(c *Conn, frame []byte) Verdict {
			if tries++; tries%4 != 0 {
				done := make(chan struct{})
				go func() { c.Resume(); close(done) }()
				<-done
				return Hold
			}
			return echo(c, frame)
		}}
		c := dial(t, serve(t, h, nil))
		for i := range 50 {
			c.send(fmt.Sprint(i))
			c.expect(fmt.Sprint(i))
		}
	})
}

func TestExecute(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		var (
			got    []int // owner goroutine
			closed = make(chan error, 1)
			after  atomic.Bool
		)
		h := handlerFuncs{opened: opened, closed: func(c *Conn, err error) {
			closed <- err
			c.Execute(func() { after.Store(true) })
		}, frame: func(c *Conn, frame []byte) Verdict {
			r := c.Begin()
			go func() {
				for i := range 100 {
					c.Execute(func() { got = append(got, i) })
				}
				c.Execute(func() {
					r.Append(fmt.Append(nil, got))
					r.Send()
				})
			}()
			return Next
		}}
		s := serve(t, h, nil)
		c := dial(t, s)
		c.send("x")
		want := make([]int, 100)
		for i := range want {
			want[i] = i
		}
		c.expect(fmt.Sprint(want))
		c.Conn.Close()
		if err := <-closed; !errors.Is(err, io.EOF) {
			t.Fatalf("Closed got %v, want EOF", err)
		}
		if err := s.Close(); err != nil || after.Load() {
			t.Fatalf("close: %v; executed after Closed: %v", err, after.Load())
		}
	})
}

// TestVerdictClose: the responses already begun arrive, those frames behind the closing one are not delivered, and the last
// response is not destroyed by a reset although unread bytes are left in the socket.
func TestVerdictClose(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		closed := make(chan error, 1)
		h := handlerFuncs{opened: opened, closed: func(c *Conn, err error) { closed <- err }, frame: func(c *Conn, frame []byte) Verdict {
			r := c.Begin()
			r.Append(frame)
			go r.Send()
			if string(frame) == "last" {
				return Close
			}
			if string(frame) == "never" {
				t.Error("a frame was delivered after Close")
			}
			return Next
		}}
		c := dial(t, serve(t, h, nil))
		c.send("first")
		c.write(append(append(frameOf([]byte("last")), frameOf([]byte("never"))...), bytes.Repeat([]byte{1}, 100<<10)...))
		c.expect("first")
		c.expect("last")
		c.expectEOF()
		c.Conn.Close()
		if err := <-closed; err != nil {
			t.Fatalf("Closed got %v", err)
		}
	})
}

// TestFlowControl: with MaxInFlight responses begun nothing more is delivered, and delivery goes on when half are done.
func TestFlowControl(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		begun := make(chan *Response, 100)
		h := handlerFuncs{opened: opened, frame: func(c *Conn, frame []byte) Verdict {
			r := c.Begin()
			r.Append(frame)
			begun <- r
			return Next
		}}
		s := serve(t, h, func(o *Options) { o.MaxInFlight = 10 })
		c := dial(t, s)
		for i := range 40 {
			c.send(fmt.Sprint(i))
		}
		for i := range 40 {
			r := <-begun
			if n := s.Stats().OutstandingSends; n > 10 {
				t.Fatalf("%d responses in flight", n)
			}
			r.Send()
			c.expect(fmt.Sprint(i))
		}
	})
}

// TestPeerHalfClose: requests that were sent before the peer shut down its direction are all delivered, also those for which
// there was no turn yet.
func TestPeerHalfClose(t *testing.T) {
	plainAndTLS(t, testPeerHalfClose)
}

func testPeerHalfClose(t *testing.T) {
	var delivered atomic.Int64
	closed := make(chan error, 1)
	h := handlerFuncs{closed: func(c *Conn, err error) { closed <- err }, frame: func(c *Conn, frame []byte) Verdict {
		delivered.Add(1)
		return Next
	}}
	s := serve(t, h, nil)
	c := dial(t, s)
	const frames = 10 * framesPerTurn
	c.write(bytes.Repeat(frameOf([]byte("x")), frames))
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-closed; !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if n := delivered.Load(); n != frames {
		t.Fatalf("%d frames delivered, %d sent", n, frames)
	}
}
