package netpoll

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// iovMax is the kernel's UIO_MAXIOV.
	iovMax = 1024
	// flushBytes is how much one flush writes before it leaves the rest to the write poller, so that neither an event loop
	// nor a thread that completes appends spends more than some 100 µs copying one connection's data to the kernel.
	flushBytes = 512 << 10
)

// outbound is a connection's queue of responses, in the order of Begin.
//
// A response is written when it is ready and all before it are gone. Whoever makes the first one ready writes, on its own
// goroutine: `flushing` says that someone does; others that complete responses meanwhile leave them to it, and it
// takes them along in its next writev. When the kernel takes no more, the connection is `armed` on the write poller, which
// goes on. While the owner delivers frames the queue is `corked`: answers to pipelined requests leave in one writev.
//
// Invariant: unless flushing, armed, corked or closed, the first response is not complete.
type outbound struct {
	c *Conn

	// io is held while the descriptor is used. close and rebind take it to wait for a write under way. Order: io before mu.
	io sync.Mutex

	mu struct {
		sync.Mutex
		fd          int
		first, last *Response
		done        int // bytes of first already written
		corked      bool
		flushing    bool
		armed       bool // waits for the write poller
		closed      bool
		wantKick    bool // the owner stopped delivering until there is room
		wantEmpty   bool // the owner waits for the queue to be empty
	}

	depth    atomic.Int32 // responses in the queue
	bytes    atomic.Int64 // bytes of completed responses in the queue, not yet written
	progress atomic.Int64 // coarse time at which bytes was last reduced or became non-zero
}

// begin appends a response to the queue. Owner goroutine.
func (o *outbound) begin(r *Response) {
	o.c.srv.outstanding.Add(1)
	o.mu.Lock()
	if o.mu.closed {
		// Nobody will see it go through the queue; complete gives it back.
		o.mu.Unlock()
		return
	}
	o.depth.Add(1)
	if o.mu.last == nil {
		o.mu.first = r
	} else {
		o.mu.last.next = r
	}
	o.mu.last = r
	o.mu.Unlock()
}

// complete makes r ready or dropped, and writes if it is its turn; or leaves that to a batch, which may be nil.
func (o *outbound) complete(r *Response, state responseState, b *Batch) {
	o.mu.Lock()
	if r.state != begun {
		panic("BUG: netpoll: Response sent or dropped twice")
	}
	r.state = state
	if o.mu.closed {
		o.mu.Unlock()
		o.c.srv.recycle(r)
		o.c.srv.settled(1)
		return
	}
	if state == ready {
		o.charge(int64(r.wireLen()))
	}
	if o.mu.first != r || o.mu.corked || o.mu.flushing || o.mu.armed {
		o.mu.Unlock()
		return
	}
	o.mu.flushing = true
	o.mu.Unlock()
	if b != nil {
		b.claimed = append(b.claimed, o)
		return
	}
	o.flush()
}

func (o *outbound) charge(n int64) {
	if o.bytes.Add(n) == n {
		o.progress.Store(o.c.srv.now.Load())
	}
	o.c.srv.outBytes.Add(n)
}

// cork keeps what is completed from being written until uncork. Owner goroutine.
func (o *outbound) cork() {
	o.mu.Lock()
	o.mu.corked = true
	o.mu.Unlock()
}

func (o *outbound) uncork() {
	o.mu.Lock()
	o.mu.corked = false
	if o.mu.closed || o.mu.flushing || o.mu.armed || o.mu.first == nil || o.mu.first.state == begun {
		o.mu.Unlock()
		return
	}
	o.mu.flushing = true
	o.mu.Unlock()
	o.flush()
}

// writable is called by the write poller.
func (o *outbound) writable() {
	o.mu.Lock()
	if !o.mu.armed || o.mu.closed || o.mu.flushing {
		o.mu.Unlock()
		return
	}
	o.mu.armed = false
	o.mu.flushing = true
	o.mu.Unlock()
	o.flush()
}

// flush writes what is ready. REQUIRES: the caller has set flushing.
func (o *outbound) flush() {
	s := o.c.srv
	scratch := s.iovecs.Get().(*[iovMax]unix.Iovec)
	var (
		gone, tail *Response // written or dropped, to be recycled
		left       = flushBytes
		sec        = o.c.sec
		failure    error
	)
	if sec != nil {
		left = tlsFlushBytes
	}
	o.io.Lock()
	o.mu.Lock()
	for !o.mu.closed {
		gone, tail = o.popLocked(gone, tail)
		iov, want := o.gatherLocked(scratch[:0:iovMax], left)
		if len(iov) == 0 && (sec == nil || sec.unsent() == 0) {
			if o.mu.first != nil && o.mu.first.state == ready { // left is used up
				o.mu.armed = true
			}
			break
		}
		fd := o.mu.fd
		o.mu.Unlock()
		var n int
		var err error
		if sec == nil {
			n, err = writev(fd, iov, want)
		} else {
			n, err = sec.writev(fd, iov)
		}
		clear(iov)
		o.mu.Lock()
		if n > 0 {
			o.mu.done += n
			left -= n
			o.bytes.Add(-int64(n))
			s.outBytes.Add(-int64(n))
			o.progress.Store(s.now.Load())
		}
		if err != nil && err != unix.EAGAIN {
			failure = os.NewSyscallError("writev", err)
			o.mu.armed = true // nothing is written any more
			break
		}
		if err == unix.EAGAIN {
			gone, tail = o.popLocked(gone, tail)
			o.mu.armed = true
			break
		}
	}
	if o.mu.armed && failure == nil && !o.mu.closed {
		if err := o.c.poller.arm(o.c, o.mu.fd); err != nil {
			failure = err
		}
	}
	o.mu.flushing = false
	kick := o.kickLocked()
	o.mu.Unlock()
	o.io.Unlock()
	s.iovecs.Put(scratch)
	o.recycle(gone)
	if failure != nil {
		o.c.Close(fmt.Errorf("netpoll: %w", failure))
	} else if kick {
		o.c.post(mailKick)
	}
}

// popLocked moves responses that are wholly written, or dropped, from the head of the queue to the list gone..tail.
func (o *outbound) popLocked(gone, tail *Response) (*Response, *Response) {
	for r := o.mu.first; r != nil; r = o.mu.first {
		if r.state == begun || r.state == ready && o.mu.done < r.wireLen() {
			break
		}
		if r.state == ready {
			o.mu.done -= r.wireLen()
		}
		o.mu.first = r.next
		if r.next == nil {
			o.mu.last = nil
		}
		r.next = nil
		if tail == nil {
			gone = r
		} else {
			tail.next = r
		}
		tail = r
		o.depth.Add(-1)
	}
	return gone, tail
}

// gatherLocked collects the ready prefix of the queue, at most limit bytes and cap(iov) pieces.
func (o *outbound) gatherLocked(iov []unix.Iovec, limit int) ([]unix.Iovec, int) {
	total, skip := 0, o.mu.done
	for r := o.mu.first; r != nil && r.state != begun && total < limit && len(iov) < cap(iov); r = r.next {
		if r.state == ready {
			var n int
			iov, n = r.gather(iov, skip, limit-total)
			total += n
		}
		skip = 0
	}
	return iov, total
}

// recycle gives a list of responses back. No locks held: Unref is foreign code.
func (o *outbound) recycle(list *Response) {
	n := int64(0)
	for list != nil {
		r := list
		list = r.next
		o.c.srv.recycle(r)
		n++
	}
	if n > 0 {
		o.c.srv.settled(n)
	}
}

// full reports whether no further frame may be delivered; the connection is then kicked when there is room. Owner goroutine.
func (o *outbound) full() bool {
	if !o.above() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.closed || !o.above() {
		return false
	}
	o.mu.wantKick = true
	return true
}

func (o *outbound) above() bool {
	s, bytes := o.c.srv, o.bytes.Load()
	return int(o.depth.Load()) >= s.opts.MaxInFlight || bytes > int64(s.opts.ConnOutboundBytes) ||
		bytes > 0 && s.outBytes.Load() > s.opts.OutboundBytes
}

// empty reports whether no response is outstanding; if one is, the connection is kicked when none is. Owner goroutine.
func (o *outbound) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.wantEmpty = o.mu.first != nil
	return o.mu.first == nil
}

// kickLocked reports whether the owner waits for what has become true.
func (o *outbound) kickLocked() bool {
	kick := false
	if o.mu.wantKick {
		s, bytes := o.c.srv, o.bytes.Load()
		if int(o.depth.Load()) <= s.opts.MaxInFlight/2 && bytes <= int64(s.opts.ConnOutboundBytes/2) &&
			(bytes == 0 || s.outBytes.Load() <= s.opts.OutboundBytes) {
			o.mu.wantKick, kick = false, true
		}
	}
	if o.mu.wantEmpty && o.mu.first == nil {
		o.mu.wantEmpty, kick = false, true
	}
	return kick
}

// rebind continues on another descriptor of the same socket. The old one may be closed afterwards.
func (o *outbound) rebind(fd int) {
	o.io.Lock()
	o.mu.Lock()
	o.c.poller.forget(o.c, o.mu.fd)
	o.mu.fd = fd
	var err error
	if o.mu.armed {
		err = o.c.poller.arm(o.c, fd)
	}
	o.mu.Unlock()
	o.io.Unlock()
	if err != nil {
		o.c.Close(err)
	}
}

// nudge writes what crypto/tls has to say of its own: alerts, answers to key updates. Owner goroutine.
func (o *outbound) nudge() {
	o.mu.Lock()
	if o.mu.closed || o.mu.flushing || o.mu.armed { // whoever flushes looks for it before it ends
		o.mu.Unlock()
		return
	}
	o.mu.flushing = true
	o.mu.Unlock()
	o.flush()
}

// shutdownWrite ends our direction of the stream, behind what the kernel already has.
func (o *outbound) shutdownWrite() {
	o.io.Lock()
	defer o.io.Unlock()
	if o.c.sec != nil {
		o.c.sec.bye(o.fd())
	}
	// Fails only if the peer is gone already, which the next read tells.
	_ = unix.Shutdown(o.fd(), unix.SHUT_WR)
}

func (o *outbound) fd() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.fd
}

// close discards the queue. Afterwards the descriptor is not used any more; responses still held by callers are released
// when these complete them.
func (o *outbound) close() {
	o.mu.Lock()
	o.mu.closed = true
	// The queue is taken apart in the same critical section: from now on complete releases what its caller still holds.
	var gone, tail *Response
	for r := o.mu.first; r != nil; {
		next := r.next
		r.next = nil
		if r.state != begun {
			if tail == nil {
				gone = r
			} else {
				tail.next = r
			}
			tail = r
		}
		r = next
	}
	o.mu.first, o.mu.last = nil, nil
	o.mu.Unlock()
	o.io.Lock() // waits for a write under way, which may be of what is gone
	o.mu.Lock()
	o.c.poller.forget(o.c, o.mu.fd)
	o.c.srv.outBytes.Add(-o.bytes.Swap(0))
	o.depth.Store(0)
	o.mu.Unlock()
	o.io.Unlock()
	o.recycle(gone)
}

var errShortVector = errors.New("netpoll: empty vector")

// writev writes iov, want bytes, to a non-blocking descriptor. With EAGAIN the kernel has taken less than all.
func writev(fd int, iov []unix.Iovec, want int) (int, error) {
	if len(iov) == 0 {
		return 0, errShortVector
	}
	for {
		n, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
		switch errno {
		case 0:
			if int(n) < want {
				return int(n), unix.EAGAIN
			}
			return int(n), nil
		case unix.EINTR:
			continue
		default:
			return 0, errno
		}
	}
}
