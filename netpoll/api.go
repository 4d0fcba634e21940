package netpoll

import (
	"crypto/tls"
	"errors"
	"net"
)

// Verdict is what a Handler says about the frame that it was given.
type Verdict int

const (
	// Next: the frame is consumed; the following one may be delivered.
	Next Verdict = iota
	// Hold: the frame is not consumed. It is delivered again, as the handler left it, after Conn.Resume; until then
	// nothing else of this connection is delivered and what the peer sends is bounded by the inbound budget.
	Hold
	// Close: the frame is consumed and no other is delivered; the connection is closed once the responses already
	// begun have been sent or dropped.
	Close
)

// Handler serves the frames of all connections of a Server. Its methods are called on the goroutine that owns the
// connection (an event loop, or the connection's own goroutine), never two at a time for one connection, and must not
// block. The owning goroutine may change between two calls, with a happens-before edge from the one to the other.
type Handler interface {
	// Opened is called once, before the first frame; on a TLS listener after the handshake. A connection whose handshake fails is
	// never opened.
	Opened(c *Conn)
	// Frame is called with one complete frame without its length prefix. The bytes may be modified, and are valid
	// until Frame returns.
	Frame(c *Conn, frame []byte) Verdict
	// Closed is called once, after the last frame. err says why: nil when the server closed it in good order (Verdict
	// Close, Server.Close), io.EOF when the peer did, else one of the errors below, or an I/O error. Responses still
	// outstanding must nevertheless be sent or dropped by whoever holds them: they are then released unsent.
	Closed(c *Conn, err error)
}

// Mem is a reference-counted owner of bytes; a response releases what it references when it has been written or dropped.
// Unref is called once per reference, on any goroutine, and must not block.
type Mem interface{ Unref() }

// Endpoint is one listener: its name (the Kafka listener name), and the address to bind.
type Endpoint struct {
	Name string
	Addr net.TCPAddr
	// TLS makes it a TLS listener; nil: plaintext. Certificates that may change come from its GetConfigForClient. It should have
	// DynamicRecordSizingDisabled: peers need whole frames before they can do anything.
	TLS *tls.Config
}

// Reasons for which the server closes a connection, as Handler.Closed gets them (wrapped with the numbers).
var (
	ErrFrameSize    = errors.New("netpoll: bad frame size")                   // zero, negative or above Options.MaxFrameBytes
	ErrIdle         = errors.New("netpoll: connection idle")                  // nothing in flight for Options.IdleTimeout
	ErrSlowReader   = errors.New("netpoll: peer does not read its responses") // no byte taken for Options.IdleTimeout, or StallTimeout when memory is short
	ErrStalled      = errors.New("netpoll: peer stalled inside a frame")      // while others waited for the memory that it holds
	ErrMemory       = errors.New("netpoll: inbound memory budget exhausted")  // bytes arrived that there was no room for
	ErrServerClosed = errors.New("netpoll: server closed")                    // by Listen's Server after Close
)
