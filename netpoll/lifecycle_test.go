package netpoll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/waittest"
)

func TestGarbage(t *testing.T) {
	var logs waittest.Log
	closed := make(chan error, 100)
	h := handlerFuncs{frame: echo, closed: func(c *Conn, err error) { closed <- err }}
	s := serve(t, h, func(o *Options) {
		o.MaxFrameBytes = 1 << 20
		o.Logger = logs.Logger(slog.LevelInfo)
	})
	for i, garbage := range []string{
		"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x80\x00\x00\x00", "\x00\x10\x00\x01", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
	} {
		c := dial(t, s)
		c.send("fine")
		c.expect("fine")
		c.write([]byte(garbage))
		c.expectEOF()
		if err := <-closed; !errors.Is(err, ErrFrameSize) {
			t.Fatalf("%q: closed with %v", garbage, err)
		}
		lines := logs.With("bad frame size")
		if len(lines) != i+1 || !strings.Contains(lines[i], c.Conn.LocalAddr().String()) {
			t.Fatalf("%q: logged %q", garbage, lines)
		}
	}
	// A flood of garbage does not become a flood of lines.
	for range 50 {
		c := dial(t, s)
		c.write([]byte("junkjunk"))
		c.expectEOF()
	}
	if lines := logs.With("bad frame size"); len(lines) > logBurst+2+int(testTimeout/logInterval) || len(lines) > 40 {
		t.Errorf("%d lines", len(lines))
	}
	waittest.Until(t, testTimeout, "all are counted", func() bool { return s.Stats().Closed.BadFrame == 56 })
	c := dial(t, s)
	c.send("alive")
	c.expect("alive")
}

func TestLimitedLog(t *testing.T) {
	var logs waittest.Log
	at := time.Unix(1000, 0)
	l := newLimitedLog(logs.Logger(slog.LevelInfo))
	l.now = func() time.Time { return at }
	for range logBurst + 7 {
		l.warn("a", "line of a")
	}
	l.warn("b", "line of b")
	if n := len(logs.With("line of a")); n != logBurst {
		t.Fatalf("%d lines in a burst, want %d", n, logBurst)
	}
	if n := len(logs.With("line of b")); n != 1 {
		t.Fatalf("%d lines of another kind", n)
	}
	at = at.Add(logInterval)
	l.warn("a", "line of a")
	l.warn("a", "line of a")
	if got := logs.With("similar_lines_left_out=7"); len(got) != 1 || len(logs.With("line of a")) != logBurst+1 {
		t.Fatalf("after an interval: %q", logs.With("line of a"))
	}
}

func TestIdleClose(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		type closing struct {
			name any
			err  error
		}
		closed := make(chan closing, 10)
		held := make(chan *Response, 1)
		h := handlerFuncs{opened: opened, closed: func(c *Conn, err error) { closed <- closing{c.Value, err} },
			frame: func(c *Conn, frame []byte) Verdict {
				c.Value = string(frame)
				r := c.Begin()
				r.Append(frame)
				if string(frame) == "waits" {
					held <- r
					return Next
				}
				r.Send()
				return Next
			}}
		s := serve(t, h, func(o *Options) { o.IdleTimeout = 300 * time.Millisecond })
		waits, silent, partial := dial(t, s), dial(t, s), dial(t, s)
		waits.send("waits")
		r := <-held
		silent.send("silent")
		silent.expect("silent")
		partial.send("partial")
		partial.expect("partial")
		partial.write([]byte{0, 0, 1, 0, 'x'})
		busy := dial(t, s)
		gone := map[any]bool{}
		for len(gone) < 2 {
			busy.send("busy")
			busy.expect("busy")
			select {
			case c := <-closed:
				if !errors.Is(c.err, ErrIdle) {
					t.Fatalf("%v closed with %v", c.name, c.err)
				}
				gone[c.name] = true
			case <-time.After(10 * time.Millisecond):
			}
		}
		if !gone["silent"] || !gone["partial"] {
			t.Fatalf("closed: %v", gone)
		}
		// A request that takes long is not idleness.
		r.Send()
		waits.expect("waits")
	})
}

func TestDrain(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		begun := make(chan *Response, 10)
		var late atomic.Int32
		h := handlerFuncs{opened: opened, frame: func(c *Conn, frame []byte) Verdict {
			if string(frame) == "late" {
				late.Add(1)
			}
			r := c.Begin()
			r.Append(frame)
			begun <- r
			return Next
		}}
		s := serve(t, h, nil)
		a, b := dial(t, s), dial(t, s)
		a.send("a")
		b.send("b")
		ra, rb := <-begun, <-begun
		short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if err := s.Drain(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 responses") {
			t.Fatalf("Drain with responses outstanding: %v", err)
		}
		if _, err := net.DialTimeout("tcp", s.Addr("T").String(), time.Second); err == nil {
			t.Error("a draining server accepts connections")
		}
		a.send("late")
		done := make(chan error, 1)
		go func() { done <- s.Drain(context.Background()) }()
		ra.Send()
		rb.Send()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		a.expect("a")
		b.expect("b")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		a.expectEOF()
		if late.Load() != 0 {
			t.Error("a frame was delivered after Drain")
		}
	})
}

// TestLateSend: responses may be completed after the connection and the server are gone; references are released.
func TestLateSend(t *testing.T) {
	eachTransport(t, func(t *testing.T, opened func(*Conn)) {
		begun := make(chan *Response, 10)
		closed := make(chan error, 10)
		h := handlerFuncs{opened: opened, closed: func(c *Conn, err error) { closed <- err }, frame: func(c *Conn, frame []byte) Verdict {
			begun <- c.Begin()
			return Next
		}}
		s := serve(t, h, nil)
		var refs counter
		var rs []*Response
		for range 3 {
			c := dial(t, s)
			c.send("x")
			r := <-begun
			refs.taken.Add(1)
			r.Reference([]byte("ref"), &refs)
			rs = append(rs, r)
			if len(rs) < 3 {
				c.Conn.Close()
				<-closed
			}
		}
		rs[0].Send()
		rs[1].Drop()
		s.Close()
		if err := <-closed; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Closed got %v", err)
		}
		rs[2].Send()
		if !refs.zero() || s.Stats().OutstandingSends != 0 {
			t.Errorf("%d of %d references released; %+v", refs.released.Load(), refs.taken.Load(), s.Stats())
		}
	})
}

func TestListenErrors(t *testing.T) {
	h := handlerFuncs{}
	s := serve(t, h, nil)
	local := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "Handler is nil"},
		{Options{Handler: h}, "Endpoints is empty"},
		{Options{Handler: h, Endpoints: []Endpoint{{Name: "A", Addr: local}, {Name: "A", Addr: local}}}, `"A" twice`},
		{Options{Handler: h, Endpoints: []Endpoint{{Name: "A", Addr: local}}, MaxFrameBytes: -1}, "MaxFrameBytes is -1"},
		{Options{Handler: h, Endpoints: []Endpoint{{Name: "A", Addr: local}, {Name: "B", Addr: *s.Addr("T")}}}, "listener B: listen tcp " + s.Addr("T").String() + ": bind: address already in use: another process listens there"},
	} {
		bad, err := Listen(c.o)
		if err == nil {
			bad.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestSeveralListeners(t *testing.T) {
	h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
		r := c.Begin()
		r.Append(fmt.Appendf(nil, "%s %d %s %s", c.Listener(), c.ID(), c.LocalAddr(), c.RemoteAddr()))
		r.Send()
		return Next
	}}
	s := serve(t, h, func(o *Options) {
		o.Endpoints = append(o.Endpoints, Endpoint{Name: "CONTROLLER", Addr: net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}})
	})
	for i, name := range []string{"T", "CONTROLLER"} {
		nc, err := net.Dial("tcp", s.Addr(name).String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.Write(frameOf([]byte("?")))
		want := frameOf(fmt.Appendf(nil, "%s %d %s %s", name, i+1, s.Addr(name), nc.LocalAddr()))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q (%v)", got, want, err)
		}
	}
	if s.Addr("none") != nil {
		t.Error("an unknown listener has an address")
	}
}
