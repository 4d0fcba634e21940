package netpoll

// Response is one place in a connection's order of responses. It belongs to the caller between Conn.Begin and Send or
// Drop, one of which must be called exactly once, also after the connection was closed. It is pooled: no use after that.
type Response struct{}

// Buf is the response's own buffer: the first 4 bytes are the length prefix, filled in by Send; what was appended so far
// follows (referenced bytes are not in it). Append to it and give it back by SetBuf; earlier bytes may be patched in place.
func (r *Response) Buf() []byte { panic("netpoll: being written") }

// SetBuf gives back the slice got from Buf, extended. REQUIRES: not shorter than Buf() was at the last Reference.
func (r *Response) SetBuf(b []byte) { panic("netpoll: being written") }

// Append copies b at the current end of the response.
func (r *Response) Append(b []byte) { panic("netpoll: being written") }

// Reference adds b at the current end without copying it. b must not change until m.Unref is called, which happens once,
// after b was written or the response was dropped. m may be nil.
func (r *Response) Reference(b []byte, m Mem) { panic("netpoll: being written") }

// Len is the number of bytes of the response so far, its length prefix not counted.
func (r *Response) Len() int { panic("netpoll: being written") }

// Send completes the response. It is written when all responses begun before it have been, or at once, by this goroutine.
// Any goroutine; does not block.
func (r *Response) Send() { panic("netpoll: being written") }

// Drop gives the place up: nothing is sent for it (acks=0). Any goroutine.
func (r *Response) Drop() { panic("netpoll: being written") }
