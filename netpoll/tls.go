package netpoll

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// tlsRecordBytes is the most plaintext that one TLS record carries.
	tlsRecordBytes = 16 << 10
	// sealBytes is how much plaintext is encrypted ahead of the socket: what a connection whose socket is full costs besides its responses.
	sealBytes = 3 * tlsRecordBytes
	// sealedBufBytes holds sealBytes of ciphertext, whatever the cipher suite adds per record.
	sealedBufBytes = 64 << 10
	// sealedMaxBytes bounds what waits for a peer that makes crypto/tls answer (key updates) and does not read.
	sealedMaxBytes = 2 * sealedBufBytes
	// tlsReadBytes is the most that is decrypted before it is delivered. Less than Options.ReadBufferBytes: when memory is short, what has been
	// read without asking must be little.
	tlsReadBytes = 64 << 10
	// tlsFlushBytes is flushBytes for connections with TLS, whose bytes cost several times as much.
	tlsFlushBytes = 128 << 10
)

// TLS is the state of the connection's handshake, nil on a listener without TLS. Any goroutine, from Handler.Opened on.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.sec == nil {
		return nil
	}
	return c.sec.state
}

// secure is the TLS of a connection: crypto/tls above a socket that never blocks.
//
// After the handshake the owner reads through session and whoever flushes the queue of responses writes through it, both on the non-blocking
// descriptor. What crypto/tls writes is ciphertext in sealed, which goes to the socket as far as the socket takes it; no more is encrypted
// while some of it is left. So Send does not block, and responses keep their order, budgets and accounting: they count as taken when
// their ciphertext is.
type secure struct {
	session *tls.Conn
	t       *transport
	state   *tls.ConnectionState // set before Handler.Opened
	shaken  bool                 // the handshake is over: the socket must not block any more

	// plain is how many bytes at the head of the queue of responses are in sealed. Guarded by outbound.io.
	plain int
	// charged is what of sealed is accounted for as output. Guarded by outbound.io.
	charged int64

	mu     sync.Mutex // a leaf; held during a write that does not block, since the owner may add to sealed meanwhile
	sealed *buffer    // ciphertext that the kernel has not taken: b[lo:hi]; nil when there is none
	lo, hi int
}

// errAgain says that the socket has nothing to read. crypto/tls keeps what it has of a record and goes on at the next Read, because the
// error is temporary.
var errAgain net.Error = againError{}

type againError struct{}

func (againError) Error() string   { return "netpoll: nothing to read" }
func (againError) Timeout() bool   { return true }
func (againError) Temporary() bool { return true }

var errUnreadAlerts = errors.New("netpoll: TLS: the peer does not read what the protocol makes us answer")

func newSecure(t *transport, config *tls.Config) *secure {
	k := &secure{t: t}
	k.session = tls.Server((*tlsSocket)(k), config)
	return k
}

// tlsSocket is the socket as crypto/tls sees it.
type tlsSocket secure

// Read implements net.Conn: blocking in the handshake, errAgain when there is nothing afterwards.
func (k *tlsSocket) Read(b []byte) (int, error) {
	if !k.shaken {
		return k.t.conn.Read(b)
	}
	for {
		n, err := unix.Read(k.t.fd, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, errAgain
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements net.Conn: to the socket in the handshake, to sealed afterwards.
func (k *tlsSocket) Write(b []byte) (int, error) {
	if !k.shaken {
		return k.t.conn.Write(b)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hi-k.lo+len(b) > sealedMaxBytes {
		return 0, errUnreadAlerts
	}
	pools := &k.t.c.srv.buffers
	var err error
	switch {
	case k.sealed == nil:
		k.lo, k.hi = 0, 0
		k.sealed, err = pools.get(len(b))
	case k.hi+len(b) > len(k.sealed.b):
		k.hi = copy(k.sealed.b, k.sealed.b[k.lo:k.hi])
		k.lo = 0
		if k.hi+len(b) > len(k.sealed.b) {
			k.sealed, err = pools.grow(k.sealed, k.hi, k.hi+len(b))
		}
	}
	if err != nil {
		return 0, err
	}
	k.hi += copy(k.sealed.b[k.hi:], b)
	return len(b), nil
}

func (k *tlsSocket) Close() error         { return k.t.conn.Close() }
func (k *tlsSocket) LocalAddr() net.Addr  { return k.t.conn.LocalAddr() }
func (k *tlsSocket) RemoteAddr() net.Addr { return k.t.conn.RemoteAddr() }

// Deadlines belong to transport, not to crypto/tls.
func (k *tlsSocket) SetDeadline(time.Time) error      { return nil }
func (k *tlsSocket) SetReadDeadline(time.Time) error  { return nil }
func (k *tlsSocket) SetWriteDeadline(time.Time) error { return nil }

// unsent is how much ciphertext waits for the socket.
func (k *secure) unsent() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.hi - k.lo
}

// push writes ciphertext, as much as the socket takes. It returns EAGAIN when some is left.
func (k *secure) push(fd int) (n int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.lo < k.hi {
		m, err := unix.Write(fd, k.sealed.b[k.lo:k.hi])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
		k.lo += m
	}
	k.dropLocked()
	return n, nil
}

func (k *secure) dropLocked() {
	if k.sealed != nil {
		k.t.c.srv.buffers.put(k.sealed)
		k.sealed, k.lo, k.hi = nil, 0, 0
	}
}

// writev is the writev of a connection with TLS: it encrypts the next bytes of iov, which begins with those that are sealed already, and
// writes them. It returns how many bytes of iov the kernel has taken, all of sealBytes or none, and EAGAIN when the socket is full.
// REQUIRES: outbound.io is held.
func (k *secure) writev(fd int, iov []unix.Iovec) (int, error) {
	if k.plain == 0 && len(iov) > 0 {
		n, err := k.seal(iov)
		if err != nil {
			return 0, err
		}
		k.plain = n
	}
	n, err := k.push(fd)
	out := &k.t.c.out
	if n > 0 {
		out.progress.Store(k.t.c.srv.now.Load())
	}
	if left := int64(k.unsent()); left != k.charged {
		out.charge(left - k.charged)
		k.charged = left
	}
	if err != nil {
		return 0, err
	}
	taken := k.plain
	k.plain = 0
	return taken, nil
}

// seal encrypts at most sealBytes of iov and returns how many. Small pieces share a record.
func (k *secure) seal(iov []unix.Iovec) (int, error) {
	var joined *buffer
	defer func() {
		if joined != nil {
			k.t.c.srv.buffers.put(joined)
		}
	}()
	total, used := 0, 0
	for i := range iov {
		b := unsafe.Slice(iov[i].Base, iov[i].Len)
		b = b[:min(len(b), sealBytes-total)]
		last := i == len(iov)-1 || total+len(b) == sealBytes
		total += len(b)
		for len(b) > 0 {
			if whole := len(b) - len(b)%tlsRecordBytes; used == 0 && (last || whole > 0) {
				if last {
					whole = len(b)
				}
				if _, err := k.session.Write(b[:whole]); err != nil {
					return 0, err
				}
				b = b[whole:]
				continue
			}
			if joined == nil {
				var err error
				if joined, err = k.t.c.srv.buffers.get(tlsRecordBytes); err != nil {
					return 0, err
				}
			}
			n := copy(joined.b[used:], b)
			used += n
			b = b[n:]
			if used == tlsRecordBytes || last && len(b) == 0 {
				if _, err := k.session.Write(joined.b[:used]); err != nil {
					return 0, err
				}
				used = 0
			}
		}
		if last {
			break
		}
	}
	return total, nil
}

// bye tells the peer that no more comes, as far as the socket takes it at once. REQUIRES: outbound.io is held, or the queue is closed.
func (k *secure) bye(fd int) {
	if !k.shaken {
		return
	}
	// A peer that does not read, or has gone, gets no farewell; the end of the connection tells it the same.
	if _, err := k.push(fd); err == nil && k.session.CloseWrite() == nil {
		_, _ = k.push(fd)
	}
}

// release gives the buffer back. REQUIRES: the queue is closed and the owner has ended.
func (k *secure) release() {
	k.mu.Lock()
	k.dropLocked()
	k.mu.Unlock()
}

// tryReadTLS is tryRead through crypto/tls.
func (t *transport) tryReadTLS(uintptr) bool {
	k := t.c.sec
	if t.peek {
		if t.peeked {
			t.n = 1
			return true
		}
		n, err := k.session.Read(t.one[:])
		t.peeked = n == 1
		return t.readResult(n, err)
	}
	dst := t.dst
	if dst == nil {
		if t.scratch == nil {
			if t.scratch, t.err = t.c.srv.buffers.get(min(tlsReadBytes, t.c.srv.opts.ReadBufferBytes)); t.err != nil {
				return true
			}
		}
		dst = t.scratch.b
	}
	n := 0
	if t.peeked {
		dst[0], t.peeked, n = t.one[0], false, 1
	}
	for n < len(dst) {
		m, err := k.session.Read(dst[n:])
		n += m
		if err != nil {
			return t.readResult(n, err)
		}
		if m < tlsRecordBytes/2 {
			break // most likely the end of what the peer has sent: looking again would cost a system call
		}
	}
	return t.readResult(n, nil)
}

// readResult stores the outcome of an attempt. An error of crypto/tls comes again at the next read if bytes came before it.
func (t *transport) readResult(n int, err error) bool {
	if t.c.sec.unsent() > 0 {
		t.c.out.nudge()
	}
	switch {
	case n > 0:
		t.n = n
	case err == errAgain:
		if t.scratch != nil {
			t.c.srv.buffers.put(t.scratch)
			t.scratch = nil
		}
		return false
	case err == io.EOF:
		t.err = io.EOF
	default:
		t.err = tlsReadError{err}
	}
	return true
}

// tlsReadError is an error of crypto/tls, or of the socket below it.
type tlsReadError struct{ error }

func (e tlsReadError) Error() string { return "netpoll: TLS: " + e.error.Error() }
func (e tlsReadError) Unwrap() error { return e.error }
