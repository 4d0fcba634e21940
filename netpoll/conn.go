package netpoll

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
)

// Conn is one connection.
//
// It has an owner: the event loop that reads it, or, after a move, a goroutine of its own. Fields without a guard belong to
// the owner. Others talk to the owner through the mailbox.
type Conn struct {
	// Value is the handler's own state; netpoll never touches it. Only the owner goroutine may.
	Value any

	srv    *Server
	ep     *endpoint
	poller *writePoller
	id     uint64
	remote netip.AddrPort
	local  netip.AddrPort

	in         inbound
	out        outbound
	gc         gnet.Conn // while an event loop owns the connection
	sec        *secure   // TLS; nil without. Set before the goroutine starts
	opened     bool      // Handler.Opened was called
	finishing  bool      // Verdict Close: nothing more is delivered
	moveWanted bool      // to be moved from the loop to a goroutine
	shut       bool      // our side is shut down, waiting for the peer to close
	endErr     error     // why the connection ends; valid when endWanted
	endWanted  bool
	finished   bool        // Handler.Closed was called
	frameLimit int         // LimitFrames; 0: none but the server's
	mute       mute        // guarded by Server.mutes
	muted      atomic.Bool // Mute: nothing is delivered; changed under Server.mutes

	mail    mailbox
	account account       // guarded by Server.inbound
	resumes atomic.Uint32 // number of Resume calls
	waiting atomic.Bool   // held, or waiting for memory: silence is not the peer's fault
	partial atomic.Bool   // charged memory is in use by something incomplete
	rxTime  atomic.Int64  // coarse time of the last bytes received
	rxBytes atomic.Int64
	linger  atomic.Int64 // coarse time at which a shut connection is closed; 0: not shut

	// The sweep's notes.
	rxMark     int64
	rxMarkTime int64
}

// lingerMillis is how long a connection that was shut down waits for its peer to close.
const lingerMillis = 2000

const (
	mailKick  = 1 << iota // look again: what stopped delivery may be gone
	mailClose             // end the connection
)

// mailbox is how other goroutines talk to the owner.
type mailbox struct {
	mu struct {
		sync.Mutex
		flags  uint8
		err    error // of the first mailClose
		fns    []func()
		queued bool         // the owner knows that it must look
		loop   *loop        // the owner; nil: a goroutine
		conn   *net.TCPConn // the goroutine's socket
		dead   bool         // after Handler.Closed

		reads       bool // the goroutine is in Read: a deadline in the past gets it out
		interrupted bool // that deadline has been set
	}
	wake chan struct{} // for the goroutine when it does not read; capacity 1, made by the move
}

// Listener is the name of the endpoint that accepted the connection.
func (c *Conn) Listener() string { return c.ep.name }

// ID is unique within the server's life.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr is the peer's address. Any goroutine, also after Closed.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// LocalAddr is the address that the peer connected to.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// Begin takes the next place in the order of responses. Owner goroutine only.
func (c *Conn) Begin() *Response {
	r := c.srv.newResponse(c)
	c.out.begin(r)
	return r
}

// InFlight is the number of responses begun and not yet dropped or taken by the kernel. Any goroutine.
func (c *Conn) InFlight() int { return int(c.out.depth.Load()) }

// OutboundRoom is how many bytes of responses may still be sent within Options.OutboundBytes, which all connections share;
// never negative. A handler that answers with much data (fetch) should take no more than a part of it, and no more than the
// smallest useful answer when it is 0: what it sends on top is not refused. Any goroutine.
func (c *Conn) OutboundRoom() int64 {
	return max(0, c.srv.opts.OutboundBytes-c.srv.outBytes.Load())
}

// LimitFrames has the frames from the next one on be no larger than n, until it is called with 0: for a peer that has not said who it is, who should not
// take as much memory as others. Owner goroutine only.
func (c *Conn) LimitFrames(n int) { c.frameLimit = n }

// maxFrame is the largest frame that the peer may send. Owner goroutine only.
func (c *Conn) maxFrame() int {
	if n := c.srv.opts.MaxFrameBytes; c.frameLimit == 0 || c.frameLimit > n {
		return n
	}
	return c.frameLimit
}

// Resume delivers the held frame again, soon. Any goroutine. A Resume while Frame runs counts for the Hold that it returns;
// on a connection that is not held it does nothing.
func (c *Conn) Resume() {
	c.resumes.Add(1)
	c.post(mailKick)
}

// Close closes the connection soon; output not yet taken by the kernel is lost. Any goroutine, idempotent.
// err is handed to Handler.Closed.
func (c *Conn) Close(err error) {
	m := &c.mail
	m.mu.Lock()
	if m.mu.flags&mailClose == 0 {
		m.mu.err = err
	}
	c.postLocked(mailClose)
}

// Execute runs fn on the owner goroutine soon, in the order of the calls; never after Closed. Any goroutine.
func (c *Conn) Execute(fn func()) {
	c.mail.mu.Lock()
	if !c.mail.mu.dead {
		c.mail.mu.fns = append(c.mail.mu.fns, fn)
	}
	c.postLocked(0)
}

func (c *Conn) post(flag uint8) {
	c.mail.mu.Lock()
	c.postLocked(flag)
}

// postLocked sets the flag, makes the owner look, and unlocks.
func (c *Conn) postLocked(flag uint8) {
	m := &c.mail
	if m.mu.dead {
		m.mu.Unlock()
		return
	}
	m.mu.flags |= flag
	if m.mu.queued {
		m.mu.Unlock()
		return
	}
	m.mu.queued = true
	l := m.mu.loop
	if l == nil {
		if m.mu.reads {
			m.interruptLocked()
		} else {
			select {
			case m.wake <- struct{}{}:
			default:
			}
		}
	}
	m.mu.Unlock()
	if l != nil {
		l.enqueue(c)
	}
}

// readMail runs what was posted. by is the loop that asks, nil for the goroutine. It reports false if the caller is not, or
// no longer, the owner.
func (c *Conn) readMail(by *loop) bool {
	m := &c.mail
	m.mu.Lock()
	if m.mu.dead || m.mu.loop != by {
		m.mu.Unlock()
		return false
	}
	if !m.mu.queued {
		m.mu.Unlock()
		return true
	}
	flags, fns, err := m.mu.flags, m.mu.fns, m.mu.err
	m.mu.flags, m.mu.fns, m.mu.queued = 0, nil, false
	m.mu.Unlock()
	if flags&mailClose != 0 {
		c.end(err)
		return true
	}
	for _, fn := range fns {
		fn()
	}
	if c.in.held && c.resumes.Load() != c.in.seen {
		c.in.held = false
		c.waiting.Store(false)
	}
	c.in.again = false
	return true
}

// turn is one turn of the owner: what was posted, what was kept, and what was just read.
func (c *Conn) turn(by *loop, data []byte) {
	s := c.srv
	s.busy.Add(1)
	c.out.cork()
	c.in.turn = 0
	if c.readMail(by) && !c.ended() {
		c.deliverKept()
		if len(data) > 0 && !c.ended() {
			c.feed(data)
		}
	}
	c.out.uncork()
	s.busy.Add(-1)
	s.settled(0)
	c.partial.Store(c.in.buf != nil && len(c.in.buf.b) > freeBytes)
	if c.finishing && !c.shut && !c.ended() && c.out.empty() {
		c.shutdown()
	}
}

// open tells the handler. Owner goroutine.
func (c *Conn) open() {
	c.opened = true
	c.srv.opts.Handler.Opened(c)
}

// received notes that n bytes arrived.
func (c *Conn) received(n int) {
	c.rxTime.Store(c.srv.now.Load())
	c.rxBytes.Add(int64(n))
}

// end says that the connection is to be closed at the end of the turn. The first reason counts.
func (c *Conn) end(err error) {
	if !c.endWanted {
		c.endWanted, c.endErr = true, err
	}
}

func (c *Conn) ended() bool { return c.endWanted }

// shutdown tells the peer that no more comes, after the last response of a connection that is finishing. The close proper
// follows when the peer has closed too, or lingerMillis later: closing at once with unread bytes in the socket would
// reset the connection and might destroy that response.
func (c *Conn) shutdown() {
	c.shut = true
	c.freeKept()
	c.out.shutdownWrite()
	c.linger.Store(c.srv.now.Load() + lingerMillis)
}

// finish releases everything but the descriptor, and tells the handler. Owner goroutine.
func (c *Conn) finish() {
	if c.finished {
		return
	}
	c.finished = true
	m := &c.mail
	m.mu.Lock()
	m.mu.dead = true
	m.mu.fns = nil
	m.mu.Unlock()
	c.out.close()
	c.freeKept()
	c.srv.unmute(c)
	c.srv.remove(c)
	if c.opened {
		c.srv.note(c, c.endErr)
		c.srv.opts.Handler.Closed(c, c.endErr)
	}
}
