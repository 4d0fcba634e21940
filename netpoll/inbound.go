package netpoll

import (
	"encoding/binary"
	"fmt"
)

const (
	// freeBytes is what a connection may keep without asking the budget, so that ordinary small requests that arrive in two
	// pieces are served whatever large frames are doing.
	freeBytes = 8 << 10
	// loopFrameBytes is the largest frame that is put together on an event loop. Larger ones are moved to a goroutine once
	// more than loopHeldBytes/4 of them have arrived.
	loopFrameBytes = 4 << 20
	// loopHeldBytes is how much a connection that is not being served (held, output full) may pile up on an event loop,
	// which cannot stop reading it, before it is moved to a goroutine, which can.
	loopHeldBytes = 1 << 20
	// framesPerTurn bounds how long one connection keeps its loop from the others.
	framesPerTurn = 256
)

// inbound is what arrived on a connection and has not been delivered. Owner goroutine only.
//
// Complete frames are delivered where they were read, in the loop's buffer, without a copy. Only an incomplete rest, or
// frames that may not be delivered now, are kept in a buffer of the connection. That grows as bytes arrive, never by the
// announced length alone: to four times what has arrived, at most to the end of the frame.
type inbound struct {
	buf    *buffer // nil when nothing is kept
	lo, hi int     // buf.b[lo:hi] is kept
	turn   int     // frames delivered in this turn
	held   bool    // the handler said Hold for the first kept frame
	seen   uint32  // Conn.resumes at the time of that Frame call
	again  bool    // the turn ended early: frames may be left, the connection has been posted
}

func (in *inbound) kept() int { return in.hi - in.lo }

// frameBytes looks at the start of b: the length of the first frame with its prefix, or 0 if the prefix is incomplete.
func frameBytes(b []byte, limit int) (int, error) {
	if len(b) < prefixBytes {
		return 0, nil
	}
	n := int(int32(binary.BigEndian.Uint32(b)))
	if n <= 0 || n > limit {
		if looksLikeTLS(b) {
			return 0, fmt.Errorf("%w: the peer begins a TLS handshake, and this listener speaks plaintext", ErrFrameSize)
		}
		return 0, fmt.Errorf("%w: %d bytes announced, allowed are 1 to %d", ErrFrameSize, n, limit)
	}
	return prefixBytes + n, nil
}

// missing is how many bytes complete the first kept frame, or its prefix; 0 when it is complete.
func (in *inbound) missing(limit int) int {
	if in.buf == nil {
		return prefixBytes
	}
	n, err := frameBytes(in.buf.b[in.lo:in.hi], limit)
	if err != nil {
		return 0 // to be reported by deliver
	}
	if n == 0 {
		n = prefixBytes
	}
	return max(0, n-in.kept())
}

// feed delivers what is in data, which the caller reuses, and keeps the rest.
func (c *Conn) feed(data []byte) {
	c.received(len(data))
	for len(data) > 0 && !c.ended() {
		if c.in.kept() == 0 {
			if data = c.deliver(data); len(data) > 0 && !c.ended() {
				c.keep(data)
			}
			return
		}
		if c.stopped() {
			c.keep(data)
			return
		}
		n := min(c.in.missing(c.maxFrame()), len(data))
		if n > 0 {
			if !c.keep(data[:n]) {
				return
			}
			data = data[n:]
		}
		if c.in.missing(c.maxFrame()) == 0 {
			c.deliverKept()
			if c.in.kept() > 0 { // stopped in the middle
				if len(data) > 0 && !c.ended() {
					c.keep(data)
				}
				return
			}
		}
	}
}

// deliverKept delivers complete frames that are kept.
func (c *Conn) deliverKept() {
	in := &c.in
	if in.kept() == 0 || c.ended() {
		return
	}
	rest := c.deliver(in.buf.b[in.lo:in.hi])
	if in.buf == nil { // the connection ended
		return
	}
	in.lo = in.hi - len(rest)
	if in.kept() == 0 {
		c.freeKept()
	}
}

// deliver hands the complete frames at the start of b to the handler and returns what it did not consume.
func (c *Conn) deliver(b []byte) []byte {
	s := c.srv
	in := &c.in
	for len(b) >= prefixBytes && !c.stopped() {
		n, err := frameBytes(b, c.maxFrame())
		if err != nil {
			c.end(err)
			return nil
		}
		if len(b) < n {
			return b
		}
		if in.turn == framesPerTurn {
			c.yield()
			return b
		}
		in.turn++
		seen := c.resumes.Load()
		verdict := s.opts.Handler.Frame(c, b[prefixBytes:n:n])
		switch verdict {
		case Next:
			b = b[n:]
		case Hold:
			if c.resumes.Load() != seen { // resumed while Frame ran
				c.yield()
				return b
			}
			in.held, in.seen = true, seen
			c.waiting.Store(true)
			return b
		case Close:
			c.finishing = true
			return nil
		default:
			panic(fmt.Sprintf("BUG: netpoll: Handler.Frame returned %d", verdict))
		}
	}
	return b
}

// yield ends the turn; the connection gets another one after others had theirs.
func (c *Conn) yield() {
	c.in.again = true
	c.post(mailKick)
}

// stopped reports whether no frame may be delivered now. Something posts the connection when that changes.
func (c *Conn) stopped() bool {
	return c.in.held || c.in.again || c.finishing || c.ended() || c.srv.draining.Load() || c.muted.Load() || c.out.full()
}

// keep copies data behind what is kept. It reports false when the connection had to be ended.
func (c *Conn) keep(data []byte) bool {
	if c.finishing || c.srv.draining.Load() {
		return true // never to be delivered
	}
	in := &c.in
	if in.buf == nil || in.hi+len(data) > len(in.buf.b) {
		if err := c.makeRoom(len(data)); err != nil {
			c.end(err)
			return false
		}
	}
	in.hi += copy(in.buf.b[in.hi:], data)
	c.judgeMove()
	return true
}

// makeRoom provides for n more bytes at in.hi, which are already in memory elsewhere.
func (c *Conn) makeRoom(n int) error {
	in := &c.in
	need := in.kept() + n
	if in.buf != nil && need <= len(in.buf.b) && in.lo > 0 {
		in.hi = copy(in.buf.b, in.buf.b[in.lo:in.hi])
		in.lo = 0
		return nil
	}
	want := c.wantedBytes(need)
	err := c.resize(want, c.srv.inbound.take)
	if err == errNoBudget {
		// The bytes are here and must be put somewhere. On an event loop the connection is then moved to a goroutine,
		// which stops reading and waits for the budget.
		c.moveWanted = true
		err = c.resize(need, c.srv.inbound.force)
	}
	if err == errNoBudget {
		err = fmt.Errorf("%w: %d bytes in use", ErrMemory, c.srv.Stats().InboundBytes)
	}
	return err
}

// wantedBytes is the capacity to ask for when need bytes must be kept.
func (c *Conn) wantedBytes(need int) int {
	in := &c.in
	want := need
	if in.buf != nil {
		if n, _ := frameBytes(in.buf.b[in.lo:in.hi], c.maxFrame()); n > need {
			want = min(n, 4*need)
		} else if n > 0 {
			want = need + need/2
		}
	}
	return want
}

var errNoBudget = fmt.Errorf("%w: no budget", ErrMemory)

// resize makes the buffer at least n bytes, moving what is kept to its start, if charge allows.
func (c *Conn) resize(n int, charge func(*Conn, int64) bool) error {
	in, s := &c.in, c.srv
	old := 0
	if in.buf != nil {
		old = len(in.buf.b)
	}
	if size := bufferSize(n); size > freeBytes {
		if old <= freeBytes {
			old = 0 // it was free
		}
		if size > old && !charge(c, int64(size-old)) {
			return errNoBudget
		}
	}
	if in.buf == nil {
		b, err := s.buffers.get(n)
		if err != nil {
			return err
		}
		in.buf, in.lo, in.hi = b, 0, 0
		s.inBytes.Add(int64(len(b.b)))
		return nil
	}
	if in.lo > 0 {
		in.hi = copy(in.buf.b, in.buf.b[in.lo:in.hi])
		in.lo = 0
	}
	before := len(in.buf.b)
	b, err := s.buffers.grow(in.buf, in.hi, n)
	if err != nil {
		return err
	}
	in.buf = b
	s.inBytes.Add(int64(len(b.b) - before))
	return nil
}

// freeKept gives the buffer and its budget back.
func (c *Conn) freeKept() {
	in := &c.in
	if in.buf != nil {
		c.srv.inBytes.Add(-int64(len(in.buf.b)))
		c.srv.buffers.put(in.buf)
		in.buf = nil
	}
	in.lo, in.hi = 0, 0
	c.srv.inbound.release(c)
}

// judgeMove decides whether what is kept is too much for an event loop.
func (c *Conn) judgeMove() {
	in := &c.in
	kept := in.kept()
	if kept <= loopHeldBytes/4 {
		return
	}
	n, _ := frameBytes(in.buf.b[in.lo:in.hi], c.maxFrame())
	switch {
	case n > kept && n <= loopFrameBytes+prefixBytes: // is being put together
	case n > kept: // too large for that
		c.moveWanted = true
	case kept > loopHeldBytes: // not served
		c.moveWanted = true
	}
}
