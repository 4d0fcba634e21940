package netpoll

import (
	"errors"
	"io"
)

// Stats is a snapshot of a Server's state and of its counters since Listen.
type Stats struct {
	Connections      int   // open now
	Goroutines       int64 // connections moved from an event loop to a goroutine, ever
	InboundBytes     int64 // buffers of partial and held frames, now
	InboundCharged   int64 // of these, what counts against Options.InboundBytes
	InboundPeak      int64 // highest InboundCharged ever
	InboundWaiting   int   // connections waiting for inbound memory, now
	OutboundBytes    int64 // sent by the handler, not yet taken by the kernel, now
	OutstandingSends int64 // responses begun and neither written nor dropped, now
	Handshakes       int64 // TLS handshakes completed
	Limited          Limited
	Muted            int // connections that are not served for a time (Conn.Mute), now
	Closed           Closed
}

// Closed counts closed connections by reason.
type Closed struct {
	Peer       int64 // the peer closed
	Server     int64 // Verdict Close, Conn.Close by the handler, Server.Close
	Failed     int64 // I/O error
	BadFrame   int64 // ErrFrameSize
	Idle       int64 // ErrIdle
	SlowReader int64 // ErrSlowReader
	Stalled    int64 // ErrStalled
	Memory     int64 // ErrMemory
	Refused    int64 // above a limit of their address; never opened
	Handshake  int64 // the TLS handshake failed; never opened
}

const (
	reasonPeer = iota
	reasonServer
	reasonFailed
	reasonFrame
	reasonIdle
	reasonSlow
	reasonStalled
	reasonMemory
	reasonRefused
	reasonHandshake
	reasonCount
)

// Stats is a snapshot. Any goroutine.
func (s *Server) Stats() Stats {
	charged, peak, waiting := s.inbound.usage()
	s.conns.Lock()
	open, limited := len(s.conns.byID), s.conns.limited
	s.conns.Unlock()
	n := func(r int) int64 { return s.reasons[r].Load() }
	return Stats{
		Connections:      open,
		Goroutines:       s.moves.Load(),
		InboundBytes:     s.inBytes.Load(),
		InboundCharged:   charged,
		InboundPeak:      peak,
		InboundWaiting:   waiting,
		OutboundBytes:    s.outBytes.Load(),
		OutstandingSends: s.outstanding.Load(),
		Handshakes:       s.handshakes.Load(),
		Limited:          limited,
		Muted:            s.mutes.count(),
		Closed: Closed{
			Peer: n(reasonPeer), Server: n(reasonServer), Failed: n(reasonFailed), BadFrame: n(reasonFrame), Idle: n(reasonIdle),
			SlowReader: n(reasonSlow), Stalled: n(reasonStalled), Memory: n(reasonMemory), Refused: n(reasonRefused),
			Handshake: n(reasonHandshake),
		},
	}
}

// note counts why a connection ended and logs what an operator should know.
func (s *Server) note(c *Conn, err error) {
	reason, kind := reasonFailed, ""
	switch {
	case err == nil || errors.Is(err, ErrServerClosed) || errors.Is(err, errEvicted):
		reason = reasonServer
	case errors.Is(err, io.EOF):
		reason = reasonPeer
	case errors.Is(err, ErrFrameSize):
		reason, kind = reasonFrame, "frame"
	case errors.Is(err, ErrIdle):
		reason = reasonIdle
	case errors.Is(err, ErrSlowReader):
		reason, kind = reasonSlow, "slow"
	case errors.Is(err, ErrStalled):
		reason, kind = reasonStalled, "stalled"
	case errors.Is(err, ErrMemory):
		reason, kind = reasonMemory, "memory"
	}
	s.reasons[reason].Add(1)
	if kind != "" {
		s.log.warn(kind, "netpoll: connection closed", "listener", c.ep.name, "remote", c.remote, "cause", err)
	} else {
		s.opts.Logger.Debug("netpoll: connection closed", "listener", c.ep.name, "remote", c.remote, "cause", err)
	}
}
