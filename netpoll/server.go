package netpoll

import (
	"context"
	"net"
)

// Server owns the listeners and connections opened by Listen.
type Server struct{ opts Options }

// Listen binds every endpoint and starts serving. An error names the endpoint; nothing is left bound then.
func Listen(opts Options) (*Server, error) { panic("netpoll: being written") }

// Addr is the bound address of a listener (its real port when 0 was asked for), nil when there is no such listener.
func (s *Server) Addr(listener string) *net.TCPAddr { panic("netpoll: being written") }

// Drain stops accepting and delivers no more frames, then waits until every begun response has been sent and taken by
// the kernel, or ctx ends (the error then says how many were left). Connections stay open until Close.
func (s *Server) Drain(ctx context.Context) error { panic("netpoll: being written") }

// Close stops accepting, closes every connection, and returns when all goroutines have ended.
func (s *Server) Close() error { panic("netpoll: being written") }

// Stats is a snapshot of counters.
func (s *Server) Stats() Stats { panic("netpoll: being written") }

// Stats are counters of a Server.
type Stats struct {
	Connections   int   // open now
	InboundBytes  int64 // buffered: partial and held frames
	OutboundBytes int64 // sent by the handler, not yet taken by the kernel
}
