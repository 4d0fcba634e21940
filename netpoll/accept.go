package netpoll

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// accept takes connections of one listener until it is closed. gnet's own acceptor is not used: it ends the whole
// engine when accept(2) fails, for instance when a flood of connections has used up the file descriptors.
func (s *Server) accept(e *endpoint) {
	defer s.acceptors.Done()
	const firstPause, lastPause = 5 * time.Millisecond, time.Second
	pause := firstPause
	for {
		tc, err := e.ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			if s.tooFast(e, tc) {
				continue
			}
			if !s.waitRate(e) || !s.waitRoom(e) {
				tc.Close()
				return
			}
			err = s.enroll(e, tc)
		}
		if err != nil {
			// Mostly out of descriptors. A connection that was accepted but could not be duplicated is lost; the
			// others wait in the kernel's backlog.
			s.log.warn("accept", "netpoll: cannot accept connections, trying again", "listener", e.name, "cause", err)
			select {
			case <-time.After(pause):
			case <-s.acceptStop:
				return
			}
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
	}
}

// enroll gives an accepted connection to an event loop, and returns when the handler knows it. An error means that the
// server is short of something.
func (s *Server) enroll(e *endpoint, tc *net.TCPConn) error {
	c := s.newConn(e, plain(tc.RemoteAddr()), plain(tc.LocalAddr()))
	if err := s.admit(c); err != nil {
		s.reasons[reasonRefused].Add(1)
		s.log.warn("refused", err.Error(), "listener", e.name, "remote", c.remote)
		tc.Close()
		return nil
	}
	c.poller = s.pollers[c.id%uint64(len(s.pollers))]
	if e.tls != nil || c.remote.Addr().Zone() != "" || c.local.Addr().Zone() != "" {
		// gnet has no TLS, and gives the bytes of zone strings, which are not its own, to a pool of scratch buffers.
		return s.enrollGoroutine(c, tc)
	}
	_, err := s.engine.EnrollContext(tc, c) // closes tc; the loop has a duplicate
	if err == nil && !c.opened {
		err = errNotRegistered
	}
	if err != nil {
		s.remove(c)
	}
	return err
}

var errNotRegistered = errors.New("netpoll: the event loop could not register the connection")

// enrollGoroutine gives an accepted connection a goroutine of its own.
func (s *Server) enrollGoroutine(c *Conn, tc *net.TCPConn) error {
	t, err := newTransport(c, tc)
	if err != nil {
		s.remove(c)
		tc.Close()
		return err
	}
	c.out.mu.fd = t.fd
	if c.ep.tls != nil {
		t.attempt = t.tryReadTLS
		c.sec = newSecure(t, c.ep.tls)
	}
	t.own()
	s.goroutines.Add(1)
	go t.serve()
	return nil
}

func plain(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
