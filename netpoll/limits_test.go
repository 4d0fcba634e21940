package netpoll

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/waittest"
)

// twoListeners starts a server with listeners T and B.
func twoListeners(t *testing.T, l Limits) *Server {
	t.Helper()
	return serve(t, handlerFuncs{frame: echo}, func(o *Options) {
		o.Endpoints = append(o.Endpoints, Endpoint{Name: "B", Addr: o.Endpoints[0].Addr})
		o.Limits = l
	})
}

// connect opens a connection from a loopback address, and sends what will be echoed.
func connect(t *testing.T, s *Server, listener, from string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: testTimeout}
	nc, err := d.Dial("tcp", s.Addr(listener).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(testTimeout))
	c := newClient(t, nc)
	c.send("x")
	return c
}

const (
	here  = "127.0.0.1"
	there = "127.0.0.2"
)

// TestMaxConnections: at a limit nobody is refused, but waits, until a connection is closed or the limit is raised.
func TestMaxConnections(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits Limits
		raised Limits
	}{
		{"all listeners", Limits{Max: 2}, Limits{Max: 4}},
		{"one listener", Limits{Listeners: map[string]ListenerLimits{"T": {Max: 2}}}, Limits{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := twoListeners(t, tc.limits)
			first := connect(t, s, "T", here)
			first.expect("x")
			connect(t, s, "T", here).expect("x")
			waiting := connect(t, s, "T", here)
			waittest.Until(t, testTimeout, "accepting waits", func() bool { return s.Stats().Limited.Full == 1 })
			if tc.limits.Max == 0 {
				connect(t, s, "B", here).expect("x")
			}
			first.Close()
			waiting.expect("x")
			last := connect(t, s, "T", here)
			waittest.Until(t, testTimeout, "accepting waits again", func() bool { return s.Stats().Limited.Full == 2 })
			s.SetLimits(tc.raised)
			last.expect("x")
			if st := s.Stats(); st.Closed.Refused != 0 || st.Limited.Waited == 0 {
				t.Errorf("%+v", st)
			}
		})
	}
	t.Run("closing", func(t *testing.T) {
		s := twoListeners(t, Limits{Max: -1})
		connect(t, s, "T", here)
		waittest.Until(t, testTimeout, "accepting waits", func() bool { return s.Stats().Limited.Full == 1 })
	}) // Close does not hang
}

// TestMaxPerAddress: what an address has too many of is refused.
func TestMaxPerAddress(t *testing.T) {
	s := twoListeners(t, Limits{MaxPerIP: 1, MaxOf: map[netip.Addr]int{netip.MustParseAddr(there): 2}})
	first := connect(t, s, "T", here)
	first.expect("x")
	connect(t, s, "B", here).expectEOF()
	connect(t, s, "T", there).expect("x")
	connect(t, s, "B", there).expect("x")
	connect(t, s, "T", there).expectEOF()
	first.Close()
	waittest.Until(t, testTimeout, "the closed one is forgotten", func() bool { return s.Stats().Connections == 2 })
	connect(t, s, "T", here).expect("x")
	if st := s.Stats(); st.Closed.Refused != 2 || st.Limited.PerIP != 2 {
		t.Errorf("refused: %+v", st)
	}
	s.SetLimits(Limits{MaxPerIP: -1, MaxOf: map[netip.Addr]int{netip.MustParseAddr(there): 3}})
	connect(t, s, "T", here).expectEOF()
	connect(t, s, "T", there).expect("x")
}

// TestProtectedListener: brokers reach each other though all connections are taken, at the cost of the one that is silent the longest.
func TestProtectedListener(t *testing.T) {
	s := twoListeners(t, Limits{Max: 2, Protected: "B"})
	silent := connect(t, s, "T", here)
	silent.expect("x")
	busy := connect(t, s, "T", here)
	busy.expect("x")
	waittest.Until(t, testTimeout, "something comes later from one than from the other", func() bool {
		busy.send("y")
		busy.expect("y")
		s.conns.Lock()
		defer s.conns.Unlock()
		oldest := s.silentLocked()
		for _, c := range s.conns.byID {
			if c != oldest && c.rxTime.Load() == oldest.rxTime.Load() {
				return false
			}
		}
		return true
	})
	connect(t, s, "B", here).expect("x")
	silent.expectEOF()
	busy.send("z")
	busy.expect("z")
	if n := s.Stats().Limited.Evicted; n != 1 {
		t.Errorf("%d evicted", n)
	}
}

// TestConnectionRates: connections that come too fast wait; those of an address with a rate of its own are refused.
func TestConnectionRates(t *testing.T) {
	window := 100 * time.Millisecond
	for _, tc := range []struct {
		name    string
		limits  Limits
		waits   bool // on listener T
		refuses bool
	}{
		{"all listeners", Limits{Rate: 5}, true, false},
		{"all listeners, but this one", Limits{Rate: 5, Protected: "T"}, false, false},
		{"this listener", Limits{Listeners: map[string]ListenerLimits{"T": {Rate: 5}}}, true, false},
		{"another listener", Limits{Listeners: map[string]ListenerLimits{"B": {Rate: 5}}}, false, false},
		{"this address", Limits{RateOf: func(a netip.Addr) float64 { return map[string]float64{here: 5}[a.String()] }}, false, true},
		{"another address", Limits{RateOf: func(a netip.Addr) float64 { return map[string]float64{there: 5}[a.String()] }}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.limits.Samples, tc.limits.Window = 11, window // 5 within one second are as fast as may be
			s := twoListeners(t, tc.limits)
			begun := time.Now()
			for range 5 {
				connect(t, s, "T", here).expect("x")
			}
			c := connect(t, s, "T", here)
			if tc.refuses {
				c.expectEOF()
			} else {
				c.expect("x")
			}
			took, st := time.Since(begun), s.Stats()
			if slow := took >= 150*time.Millisecond; (tc.waits || tc.refuses) && !slow {
				t.Errorf("6 connections within %s", took)
			}
			if (st.Limited.Fast == 1) != tc.waits || (st.Limited.PerIPFast == 1) != tc.refuses || (st.Closed.Refused == 1) != tc.refuses {
				t.Errorf("%+v, %d refused", st.Limited, st.Closed.Refused)
			}
		})
	}
}
