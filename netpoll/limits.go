package netpoll

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/ringmq/ringmq/netpoll/rate"
)

// Limits bound how many connections there are and how fast new ones come, with Kafka's effects: at Max and above a rate nobody is refused, but accepting waits,
// and clients wait in the kernel's backlog; above a limit of an address they are refused. A number of 0 is no limit; below 0, none may be open.
type Limits struct {
	// Max is how many connections may be open, of all listeners.
	Max int
	// MaxPerIP is the same of one address, MaxOf of particular ones.
	MaxPerIP int
	MaxOf    map[netip.Addr]int
	// Rate is how many connections are accepted a second. 0: no limit.
	Rate float64
	// Listeners has further limits of single listeners.
	Listeners map[string]ListenerLimits
	// Protected is a listener that Max and Rate do not keep from accepting, though its connections count: that of brokers. Above Max the connection of
	// another listener that has been silent the longest is closed for one of this.
	Protected string
	// RateOf is how many connections of an address are accepted a second; 0: no limit. Called for each connection; nil: no limits.
	RateOf func(netip.Addr) float64
	// Samples and Window are over what rates are measured. Default 11 of a second.
	Samples int
	Window  time.Duration
}

// ListenerLimits are those of one listener.
type ListenerLimits struct {
	Max  int
	Rate float64
}

const (
	defaultSamples = 11
	defaultWindow  = time.Second
	// addressesMax is of how many addresses rates are measured at a time.
	addressesMax = 10_000
	// turnedAwayMax is how many connections above the rate of their address are kept waiting before they are closed.
	turnedAwayMax = 1000
)

func (l Limits) withDefaults() Limits {
	if l.Samples == 0 {
		l.Samples = defaultSamples
	}
	if l.Window == 0 {
		l.Window = defaultWindow
	}
	return l
}

// Limited counts what limits did.
type Limited struct {
	Full      int64 // times that accepting had to wait for a connection to be closed
	Fast      int64 // times that it had to wait because connections came too fast
	Waited    int64 // nanoseconds that it waited
	PerIP     int64 // connections refused because their address has too many
	PerIPFast int64 // because they came too fast from their address
	Evicted   int64 // connections closed to make room for the protected listener's
}

// SetLimits replaces the limits, for new connections: nothing is closed.
func (s *Server) SetLimits(l Limits) {
	l = l.withDefaults()
	s.conns.Lock()
	defer s.conns.Unlock()
	if l.Samples != s.conns.limits.Samples || l.Window != s.conns.limits.Window {
		s.conns.rates, s.conns.rateOf = nil, nil
	}
	s.conns.limits = l
	s.roomLocked()
}

// roomLocked has those who wait for room look again.
func (s *Server) roomLocked() {
	if s.conns.room != nil {
		close(s.conns.room)
		s.conns.room = nil
	}
}

// nowMillis is the clock of rates.
func (s *Server) nowMillis() int64 { return time.Since(s.begun).Milliseconds() }

// rateLocked is how fast a listener's connections come; "" for all of them.
func (s *Server) rateLocked(listener string) *rate.Windowed {
	if s.conns.rates == nil {
		s.conns.rates = make(map[string]*rate.Windowed)
	}
	w := s.conns.rates[listener]
	if w == nil {
		w = s.newWindowed()
		s.conns.rates[listener] = w
	}
	return w
}

func (s *Server) newWindowed() *rate.Windowed {
	return &rate.Windowed{Samples: s.conns.limits.Samples, Window: s.conns.limits.Window.Milliseconds()}
}

// fullLocked says why no further connection of a listener may be open now; "" when one may.
func (s *Server) fullLocked(listener string) string {
	l := &s.conns.limits
	if most := l.Listeners[listener].Max; most != 0 && s.conns.perListener[listener] >= max(most, 0) {
		return fmt.Sprintf("%d connections of this listener are open", max(most, 0))
	}
	if l.Max != 0 && listener != l.Protected && s.conns.total >= max(l.Max, 0) {
		return fmt.Sprintf("%d connections are open", s.conns.total)
	}
	return ""
}

// waitRoom waits until a further connection of the listener may be open. It reports false when the server closes.
func (s *Server) waitRoom(e *endpoint) bool {
	for {
		s.conns.Lock()
		why := s.fullLocked(e.name)
		if why == "" {
			s.conns.Unlock()
			return true
		}
		if s.conns.room == nil {
			s.conns.room = make(chan struct{})
		}
		room := s.conns.room
		s.conns.limited.Full++
		s.conns.Unlock()
		s.log.warn("full", "netpoll: no connections are accepted until others are closed", "listener", e.name, "because", why)
		begun := time.Now()
		select {
		case <-room:
			s.waited(begun)
		case <-s.acceptStop:
			return false
		}
	}
}

// waitRate counts a connection, and waits when they come too fast. It reports false when the server closes.
func (s *Server) waitRate(e *endpoint) bool {
	now := s.nowMillis()
	wait := int64(0)
	s.conns.Lock()
	l := &s.conns.limits
	if limit := l.Listeners[e.name].Rate; limit > 0 {
		w := s.rateLocked(e.name)
		w.Record(now, 1)
		wait = w.Wait(now, limit)
	}
	if l.Rate > 0 && e.name != l.Protected {
		w := s.rateLocked("")
		w.Record(now, 1)
		wait = max(wait, w.Wait(now, l.Rate))
	}
	wait = min(wait, int64(l.Samples)*l.Window.Milliseconds())
	if wait > 0 {
		s.conns.limited.Fast++
	}
	s.conns.Unlock()
	if wait == 0 {
		return true
	}
	s.log.warn("fast", "netpoll: connections come too fast, accepting waits", "listener", e.name, "milliseconds", wait)
	begun := time.Now()
	pause := time.NewTimer(time.Duration(wait) * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
		s.waited(begun)
		return true
	case <-s.acceptStop:
		return false
	}
}

func (s *Server) waited(begun time.Time) {
	s.conns.Lock()
	s.conns.limited.Waited += int64(time.Since(begun))
	s.conns.Unlock()
}

// tooFast refuses a connection whose address has more of them than it may in the time: it is closed when another would be accepted, so that its client does not
// try again at once. It reports whether it did.
func (s *Server) tooFast(e *endpoint, tc *net.TCPConn) bool {
	ip := plain(tc.RemoteAddr()).Addr()
	s.conns.Lock()
	if s.conns.limits.RateOf == nil {
		s.conns.Unlock()
		return false
	}
	limit := s.conns.limits.RateOf(ip)
	if limit <= 0 {
		s.conns.Unlock()
		return false
	}
	now := s.nowMillis()
	w := s.addressLocked(ip, now)
	w.Record(now, 1)
	wait := w.Wait(now, limit)
	if wait == 0 {
		s.conns.Unlock()
		return false
	}
	w.Record(now, -1) // it does not come to be
	wait = min(wait, int64(s.conns.limits.Samples)*s.conns.limits.Window.Milliseconds())
	s.conns.limited.PerIPFast++
	keep := s.conns.turnedAway < turnedAwayMax
	if keep {
		s.conns.turnedAway++
	}
	s.conns.Unlock()
	s.log.warn("ip rate", "netpoll: connection refused: too many a second from this address", "listener", e.name, "remote", ip, "limit", limit)
	s.reasons[reasonRefused].Add(1)
	if !keep {
		tc.Close()
		return true
	}
	s.goroutines.Add(1)
	go func() {
		defer s.goroutines.Done()
		pause := time.NewTimer(time.Duration(wait) * time.Millisecond)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-s.acceptStop:
		}
		tc.Close()
		s.conns.Lock()
		s.conns.turnedAway--
		s.conns.Unlock()
	}()
	return true
}

// addressLocked is how fast an address's connections come. When there are too many addresses, those are forgotten that have made none lately, and if that is not
// enough the new one is not measured.
func (s *Server) addressLocked(ip netip.Addr, now int64) *rate.Windowed {
	if w := s.conns.rateOf[ip]; w != nil {
		return w
	}
	if s.conns.rateOf == nil {
		s.conns.rateOf = make(map[netip.Addr]*rate.Windowed)
	}
	w := s.newWindowed()
	if len(s.conns.rateOf) >= addressesMax {
		for a, old := range s.conns.rateOf {
			if old.Idle(now) {
				delete(s.conns.rateOf, a)
			}
		}
	}
	if len(s.conns.rateOf) < addressesMax {
		s.conns.rateOf[ip] = w
	}
	return w
}

// admit makes a connection known, or says why it may not be.
func (s *Server) admit(c *Conn) error {
	s.conns.Lock()
	ip := c.remote.Addr()
	l := &s.conns.limits
	most, named := l.MaxOf[ip]
	if !named && l.MaxPerIP != 0 {
		most, named = max(l.MaxPerIP, 0), true
	}
	if n := s.conns.perIP[ip]; named && n >= most {
		s.conns.limited.PerIP++
		s.conns.Unlock()
		return fmt.Errorf("%w: %d connections from this address are open", errRefused, n)
	}
	var evict *Conn
	if l.Max != 0 && s.conns.total >= l.Max && c.ep.name == l.Protected {
		if evict = s.silentLocked(); evict != nil {
			s.conns.limited.Evicted++
		}
	}
	s.conns.total++
	s.conns.perIP[ip]++
	s.conns.perListener[c.ep.name]++
	s.conns.last++
	c.id = s.conns.last
	s.conns.byID[c.id] = c
	s.conns.Unlock()
	if evict != nil {
		s.log.warn("evicted", "netpoll: connection closed to make room for one between brokers", "listener", evict.ep.name, "remote", evict.remote)
		evict.Close(errEvicted)
	}
	return nil
}

var (
	errRefused = errors.New("netpoll: connection refused")
	errEvicted = errors.New("netpoll: closed to make room for a connection between brokers")
)

// silentLocked is the connection from which nothing has come for the longest time, of those that may be closed for others.
func (s *Server) silentLocked() *Conn {
	var found *Conn
	since := int64(math.MaxInt64)
	for _, c := range s.conns.byID {
		if at := c.rxTime.Load(); c.ep.name != s.conns.limits.Protected && at < since {
			found, since = c, at
		}
	}
	return found
}

// remove undoes admit.
func (s *Server) remove(c *Conn) {
	s.conns.Lock()
	defer s.conns.Unlock()
	if _, ok := s.conns.byID[c.id]; !ok {
		return
	}
	delete(s.conns.byID, c.id)
	s.conns.total--
	s.conns.perListener[c.ep.name]--
	ip := c.remote.Addr()
	if s.conns.perIP[ip]--; s.conns.perIP[ip] == 0 {
		delete(s.conns.perIP, ip)
	}
	s.roomLocked()
}
