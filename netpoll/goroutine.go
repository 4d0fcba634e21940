package netpoll

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// move makes a goroutine the owner of a connection that an event loop owns. The goroutine can stop reading; gnet cannot.
//
// The socket gets a second descriptor, output goes on there, and gnet closes the first one without shutting the socket down.
// Nothing is lost or reordered: what was read is kept in c.in, and the loop does not read between this call and
// its close. Owner only; afterwards the caller must not touch c any more, unless an error is returned.
func (c *Conn) move() error {
	fd, err := unix.FcntlInt(uintptr(c.out.fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("netpoll: duplicate descriptor: %w", err)
	}
	f := os.NewFile(uintptr(fd), "")
	nc, err := net.FileConn(f) // duplicates once more
	f.Close()
	if err != nil {
		return fmt.Errorf("netpoll: duplicate descriptor: %w", err)
	}
	t, err := newTransport(c, nc.(*net.TCPConn))
	if err != nil {
		nc.Close()
		return err
	}
	c.gc.SetContext(nil) // gnet's later calls are not about c any more
	c.gc = nil
	c.moveWanted = false
	c.out.rebind(t.fd)
	c.srv.moves.Add(1)
	c.srv.goroutines.Add(1)
	t.own()
	go t.serve()
	return nil
}

// turnBytes is after how much work a goroutine lets others have the processor.
const turnBytes = 1 << 20

// transport is a connection's own goroutine: blocking reads through package net.
type transport struct {
	c    *Conn
	conn *net.TCPConn
	raw  syscall.RawConn
	fd   int

	used int // since the processor was last offered to others, in bytes or what frames count for

	// Arguments and results of read, which is bound once so that waiting does not allocate.
	attempt func(fd uintptr) bool
	peek    bool    // only see whether there is something
	dst     []byte  // where to read to; nil: into scratch
	scratch *buffer // taken when there is something to read, not while waiting for it
	one     [1]byte // to peek into
	peeked  bool    // with TLS: one is taken off the stream, and comes first
	n       int
	err     error
}

func newTransport(c *Conn, conn *net.TCPConn) (*transport, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("netpoll: descriptor: %w", err)
	}
	t := &transport{c: c, conn: conn, raw: raw}
	if err := raw.Control(func(fd uintptr) { t.fd = int(fd) }); err != nil {
		return nil, fmt.Errorf("netpoll: descriptor: %w", err)
	}
	t.attempt = t.tryRead
	return t, nil
}

// own points the mailbox to this goroutine.
func (t *transport) own() {
	m := &t.c.mail
	m.wake = make(chan struct{}, 1)
	m.mu.Lock()
	m.mu.loop, m.mu.conn = nil, t.conn
	m.mu.Unlock()
}

// serve is the goroutine.
func (t *transport) serve() {
	c := t.c
	defer c.srv.goroutines.Done()
	if c.sec != nil && !t.handshake() {
		c.finish()
		t.conn.Close()
		return
	}
	if !c.opened {
		c.open()
	}
	for !c.ended() {
		t.turn(nil)
		for !c.ended() && t.mayRead() && t.receive() {
		}
		if !c.ended() && !c.shut && !c.in.again && c.stopped() {
			if c.muted.Load() {
				t.watch()
			} else {
				t.sleep()
			}
		}
	}
	c.finish()
	if c.sec != nil {
		c.sec.bye(t.fd)
		c.sec.release()
	}
	t.conn.Close()
}

// turn is a turn of the connection. A peer that keeps its goroutine busy must not keep the processor until the scheduler takes
// it away after 10 ms: with a few such peers others would wait for several times that.
func (t *transport) turn(data []byte) {
	t.c.turn(nil, data)
	t.spend(t.c.in.turn*(turnBytes/framesPerTurn) + len(data))
}

func (t *transport) spend(n int) {
	t.used += n
	if t.used >= turnBytes {
		t.used = 0
		runtime.Gosched()
	}
}

// mayRead reports whether bytes are wanted: frames are delivered, and all complete ones are.
func (t *transport) mayRead() bool {
	c := t.c
	return c.shut || !c.stopped() && (c.in.kept() == 0 || c.in.missing(c.maxFrame()) > 0)
}

// receive reads once and delivers. It reports false when the mailbox wants attention first.
func (t *transport) receive() bool {
	c := t.c
	in := &c.in
	if c.shut || in.kept() == 0 {
		n, err := t.read(nil)
		if n > 0 {
			data := t.scratch.b[:n]
			if c.shut {
				data = nil
			}
			t.turn(data)
		}
		if t.scratch != nil {
			c.srv.buffers.put(t.scratch)
			t.scratch = nil
		}
		return t.check(n, err)
	}
	// The rest of a frame is read to where it belongs.
	if in.hi == len(in.buf.b) {
		if in.lo > 0 {
			in.hi = copy(in.buf.b, in.buf.b[in.lo:in.hi])
			in.lo = 0
		} else if !t.grow() {
			return false
		}
	}
	room := in.buf.b[in.hi:]
	n, err := t.read(room[:min(len(room), in.missing(c.maxFrame()))])
	if n > 0 {
		in.hi += n
		c.received(n)
		t.spend(n)
		if in.missing(c.maxFrame()) == 0 {
			t.turn(nil)
		}
	}
	return t.check(n, err)
}

// grow makes room for more of the first kept frame. It reports false when it could not, or not yet.
func (t *transport) grow() bool {
	c := t.c
	// Memory is asked for only when there is something to put into it: a peer that has stopped sending must not stand in
	// the queue, where its silence would not be held against it.
	t.peek = true
	n, err := t.read(nil)
	t.peek = false
	if n == 0 {
		return t.check(n, err)
	}
	switch err := c.resize(c.wantedBytes(c.in.kept()+1), c.srv.inbound.request); err {
	case nil:
		c.waiting.Store(false)
		return true
	case errNoBudget:
		c.waiting.Store(true)
		t.sleep()
	default:
		c.end(err)
	}
	return false
}

func (t *transport) check(n int, err error) bool {
	if err != nil {
		if t.c.shut {
			err = nil // however the peer leaves
		}
		t.c.end(err)
		return false
	}
	return n > 0
}

// read waits for bytes, and reads them to dst, or to t.scratch when dst is nil. It returns 0, nil when the mailbox wants
// attention.
func (t *transport) read(dst []byte) (int, error) {
	t.dst, t.n, t.err = dst, 0, nil
	err := t.wait(t.attempt)
	t.dst = nil
	if err == nil {
		err = t.err
	}
	if err != nil {
		return 0, err
	}
	return t.n, nil
}

// wait repeats an attempt whenever the socket has news, until it reports that it is done, or the mailbox wants attention.
func (t *transport) wait(attempt func(fd uintptr) bool) error {
	m := &t.c.mail
	m.mu.Lock()
	if m.mu.queued {
		m.mu.Unlock()
		return nil
	}
	m.mu.reads = true
	m.mu.Unlock()
	err := t.raw.Read(attempt)
	m.mu.Lock()
	m.mu.reads = false
	if m.mu.interrupted {
		m.mu.interrupted = false
		_ = t.conn.SetDeadline(time.Time{}) // the next read reports what is wrong with the socket
	}
	m.mu.Unlock()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("netpoll: read: %w", err)
	}
	return nil
}

// farewellBytes is how much may be left of a peer that has gone and asks for nothing any more: with TLS it says good-bye. No frame is so short.
const farewellBytes = 31

// watch waits for a post as sleep does, and ends the connection when its peer goes meanwhile and nothing that it sent is left to be served: it would count
// among the connections for as long as it is muted.
func (t *transport) watch() {
	gone := false
	err := t.wait(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
			return false // the next news of the socket tells
		}
		switch {
		case fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0:
			gone = true
		case fds[0].Revents&unix.POLLRDHUP != 0:
			left, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
			gone = err == nil && t.c.in.kept() == 0 && !t.peeked && (left == 0 || t.c.sec != nil && left <= farewellBytes)
		}
		return gone
	})
	if gone && err == nil {
		err = io.EOF
	}
	if err != nil {
		t.c.end(err)
	}
}

// tryRead is one attempt; it reports false when there is nothing to read yet.
func (t *transport) tryRead(fd uintptr) bool {
	dst := t.dst
	if dst == nil && !t.peek {
		if t.scratch == nil {
			if t.scratch, t.err = t.c.srv.buffers.get(t.c.srv.opts.ReadBufferBytes); t.err != nil {
				return true
			}
		}
		dst = t.scratch.b
	}
	for {
		var n int
		var err error
		if t.peek {
			n, _, err = unix.Recvfrom(int(fd), t.one[:], unix.MSG_PEEK)
		} else {
			n, err = unix.Read(int(fd), dst)
		}
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if t.scratch != nil {
				t.c.srv.buffers.put(t.scratch)
				t.scratch = nil
			}
			return false
		case err != nil:
			t.err = fmt.Errorf("netpoll: %w", os.NewSyscallError("read", err))
		case n == 0:
			t.err = io.EOF
		default:
			t.n = n
		}
		return true
	}
}

// sleep waits for a post.
func (t *transport) sleep() {
	m := &t.c.mail
	m.mu.Lock()
	queued := m.mu.queued
	m.mu.Unlock()
	if !queued {
		<-m.wake
	}
	// A token left behind by a post that was seen otherwise costs one more turn.
}

// interrupt gets a goroutine out of its read. REQUIRES: mailbox.mu is held.
func (m *mailbox) interruptLocked() {
	m.mu.interrupted = true
	_ = m.mu.conn.SetDeadline(time.Unix(1, 0)) // a closed socket needs no interruption
}
