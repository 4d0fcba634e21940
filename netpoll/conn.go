package netpoll

import "net"

// Conn is one connection.
type Conn struct {
	// Value is the handler's own state; netpoll never touches it. Only the owner goroutine may.
	Value any
}

// Listener is the name of the endpoint that accepted the connection.
func (c *Conn) Listener() string { panic("netpoll: being written") }

// ID is unique within the server's life.
func (c *Conn) ID() uint64 { panic("netpoll: being written") }

// RemoteAddr is the peer's address. Any goroutine, also after Closed.
func (c *Conn) RemoteAddr() net.Addr { panic("netpoll: being written") }

// LocalAddr is the address that the peer connected to.
func (c *Conn) LocalAddr() net.Addr { panic("netpoll: being written") }

// Begin takes the next place in the order of responses. Owner goroutine only.
func (c *Conn) Begin() *Response { panic("netpoll: being written") }

// InFlight is the number of responses begun and not yet dropped or taken by the kernel. Any goroutine.
func (c *Conn) InFlight() int { panic("netpoll: being written") }

// OutboundRoom is how many bytes of responses may be sent now within the budgets, of the connection and of the server;
// never negative. A handler that answers with much data (fetch) should stay within it. Any goroutine.
func (c *Conn) OutboundRoom() int { panic("netpoll: being written") }

// Resume delivers the held frame again, soon. Any goroutine. A Resume while Frame runs counts for the Hold that it returns;
// on a connection that is not held it does nothing.
func (c *Conn) Resume() { panic("netpoll: being written") }

// Close closes the connection soon; output not yet taken by the kernel is lost. Any goroutine, idempotent.
// err is handed to Handler.Closed.
func (c *Conn) Close(err error) { panic("netpoll: being written") }

// Execute runs fn on the owner goroutine soon, in the order of the calls; never after Closed. Any goroutine.
func (c *Conn) Execute(fn func()) { panic("netpoll: being written") }
