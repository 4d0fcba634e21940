package netpoll

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"
)

const (
	prefixBytes   = 4
	keepBufBytes  = 64 << 10 // a pooled Response keeps its buffer up to this size
	firstBufBytes = 512
)

type responseState uint8

const (
	free    responseState = iota // in the pool
	begun                        // belongs to the caller of Begin
	ready                        // sent: to be written
	dropped                      // nothing to write
)

// Response is one place in a connection's order of responses. It belongs to the caller between Conn.Begin and Send or
// Drop, one of which must be called exactly once, also after the connection was closed. It is pooled: no use after that.
type Response struct {
	c     *Conn
	next  *Response     // the response begun after this one; guarded by outbound.mu
	state responseState // guarded by outbound.mu
	buf   []byte        // prefix and everything not referenced, in order
	refs  []reference
	refN  int // sum of len(refs[i].b)
}

// reference is a run of borrowed bytes that goes out between buf[:at] and buf[at:].
type reference struct {
	at int
	b  []byte
	m  Mem
}

// Buf is the response's own buffer: the first 4 bytes are the length prefix, filled in by Send; what was appended so far
// follows (referenced bytes are not in it). Append to it and give it back by SetBuf; earlier bytes may be patched in place.
func (r *Response) Buf() []byte { return r.buf }

// SetBuf gives back the slice got from Buf, extended. REQUIRES: not shorter than Buf() was at the last Reference.
func (r *Response) SetBuf(b []byte) {
	if n := len(r.refs); len(b) < prefixBytes || n > 0 && len(b) < r.refs[n-1].at {
		panic("BUG: netpoll: SetBuf cuts off bytes that a Reference follows")
	}
	r.buf = b
}

// Append copies b at the current end of the response.
func (r *Response) Append(b []byte) { r.buf = append(r.buf, b...) }

// Reference adds b at the current end without copying it. b must not change until m.Unref is called, which happens once,
// after b was written or the response was dropped. m may be nil.
func (r *Response) Reference(b []byte, m Mem) {
	r.refs = append(r.refs, reference{at: len(r.buf), b: b, m: m})
	r.refN += len(b)
}

// Len is the number of bytes of the response so far, its length prefix not counted.
func (r *Response) Len() int { return len(r.buf) - prefixBytes + r.refN }

// Send completes the response. It is written when all responses begun before it have been, at once and by this goroutine
// if there is nothing to wait for. Any goroutine; does not block.
func (r *Response) Send() { r.finish(nil) }

// finish fills in the length and completes the response, to be written now or by the batch.
func (r *Response) finish(b *Batch) {
	n := r.Len()
	if n > math.MaxInt32 {
		panic("BUG: netpoll: response above 2 GiB")
	}
	binary.BigEndian.PutUint32(r.buf, uint32(n))
	r.c.out.complete(r, ready, b)
}

// Drop gives the place up: nothing is sent for it (acks=0). Any goroutine.
func (r *Response) Drop() { r.c.out.complete(r, dropped, nil) }

// wireLen is the number of bytes that go out for the response.
func (r *Response) wireLen() int { return len(r.buf) + r.refN }

// gather appends the response's bytes from offset skip on, as far as iov has capacity and limit bytes allow. It returns
// the extended list and the number of bytes in the addition.
func (r *Response) gather(iov []unix.Iovec, skip, limit int) ([]unix.Iovec, int) {
	total, at := 0, 0
	add := func(b []byte) bool {
		if skip >= len(b) {
			skip -= len(b)
			return true
		}
		b = b[skip:]
		skip = 0
		if len(iov) == cap(iov) || total == limit {
			return false
		}
		if len(b) > limit-total {
			b = b[:limit-total]
		}
		v := unix.Iovec{Base: &b[0]}
		v.SetLen(len(b))
		iov = append(iov, v)
		total += len(b)
		return true
	}
	for i := range r.refs {
		ref := &r.refs[i]
		if !add(r.buf[at:ref.at]) || !add(ref.b) {
			return iov, total
		}
		at = ref.at
	}
	add(r.buf[at:])
	return iov, total
}

// recycle releases what the response references and puts it back into the pool. REQUIRES: nobody else has it.
func (s *Server) recycle(r *Response) {
	for i := range r.refs {
		if m := r.refs[i].m; m != nil {
			m.Unref()
		}
		r.refs[i] = reference{}
	}
	r.refs, r.refN = r.refs[:0], 0
	if cap(r.buf) > keepBufBytes {
		r.buf = nil
	}
	r.c, r.next, r.state = nil, nil, free
	s.responses.Put(r)
}

func (s *Server) newResponse(c *Conn) *Response {
	r, _ := s.responses.Get().(*Response)
	if r == nil {
		r = new(Response)
	}
	if r.buf == nil {
		r.buf = make([]byte, prefixBytes, firstBufBytes)
	}
	r.c, r.state, r.buf = c, begun, r.buf[:prefixBytes]
	return r
}
