package netpoll

import (
	"net"
)

// Verdict is what a Handler says about the frame that it was given.
type Verdict int

const (
	// Next: the frame is consumed; the following one may be delivered.
	Next Verdict = iota
	// Hold: the frame is not consumed. It is delivered again after Conn.Resume; until then nothing else of
	// this connection is delivered and what the peer sends is bounded by the connection's inbound budget.
	Hold
	// Close: the connection is closed once the responses already begun have been sent or dropped.
	Close
)

// Handler serves the frames of all connections of a Server. Its methods are called on the goroutine that owns the
// connection (an event loop, or the connection's own goroutine) and must not block.
type Handler interface {
	// Opened is called once, before the first frame.
	Opened(c *Conn)
	// Frame is called with one complete frame without its length prefix. The bytes may be modified, and are valid
	// until Frame returns.
	Frame(c *Conn, frame []byte) Verdict
	// Closed is called once, after the last frame. Responses still outstanding may be sent afterwards: they are released unsent.
	Closed(c *Conn, err error)
}

// Mem is a reference-counted owner of bytes; a response releases what it references when it has been written or dropped.
type Mem interface{ Unref() }

// Endpoint is one listener: its name (the Kafka listener name), and the address to bind.
type Endpoint struct {
	Name string
	Addr net.TCPAddr
}
