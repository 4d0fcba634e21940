package kraft

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// client makes calls to the CONTROLLER listeners of other nodes. A connection carries one call at a time: answers come in the order of
// requests, and a call that waits must not hold up another.
type client struct {
	dialer *dialer

	mu     sync.Mutex
	idle   map[string][]*idleConn // by address
	busy   map[net.Conn]struct{}
	closed bool
}

type idleConn struct {
	net.Conn
	since time.Time
}

const (
	maxIdleConns = 8
	maxIdleTime  = time.Minute
	// maxFrameBytes bounds what one node accepts of another: the largest batch, and what goes around it.
	maxFrameBytes = maxBatchBytes + 4<<20
)

// errUnsent is matched when a call certainly did not reach the other node.
var errUnsent = errors.New("kraft: not sent")

// errSilent is matched when a node let nothing be heard for too long.
var errSilent = errors.New("kraft: the other node is silent")

func newClient(d *dialer) *client {
	return &client{dialer: d, idle: make(map[string][]*idleConn), busy: make(map[net.Conn]struct{})}
}

// call sends a request of this package and returns the body of the response.
func (c *client) call(ctx context.Context, addr string, key int16, body []byte) ([]byte, error) {
	return c.callWith(ctx, addr, key, body, func() {})
}

// callWith is call; heard is called when something of the response has come.
func (c *client) callWith(ctx context.Context, addr string, key int16, body []byte, heard func()) ([]byte, error) {
	conn, fresh, err := c.get(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnsent, addr, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	resp, err := roundTrip(listened{conn, heard}, key, body)
	if !stop() || err != nil {
		c.drop(conn)
		if err == nil {
			return resp, nil
		}
		if fresh {
			if refused := c.dialer.explain(addr, resp, err); refused != nil {
				return nil, fmt.Errorf("%w: %w", errUnsent, refused) // nobody has looked at the request
			}
		}
		return nil, fmt.Errorf("kraft: call to %s: %w", addr, err)
	}
	c.put(addr, conn)
	return resp, nil
}

// callUnlessSilent is call, which ends when the other node lets nothing be heard for some time: what is long may take its time.
func (c *client) callUnlessSilent(ctx context.Context, addr string, key int16, body []byte, silence time.Duration) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer timer.Stop()
	b, err := c.callWith(ctx, addr, key, body, func() { timer.Reset(silence) })
	if err != nil && context.Cause(ctx) == errSilent {
		err = fmt.Errorf("%w: %w", errSilent, err)
	}
	return b, err
}

// roundTrip returns the body of the response, or with an error what came of the head.
func roundTrip(conn net.Conn, key int16, body []byte) ([]byte, error) {
	_, writeErr := conn.Write(appendFrame(nil, key, body))
	var head [8]byte
	if got, err := io.ReadFull(conn, head[:]); err != nil {
		return head[:got], err // after a failed write too: it says why the other side has closed
	} else if writeErr != nil {
		return nil, writeErr
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 4 || n > maxFrameBytes {
		return nil, fmt.Errorf("response of %d bytes", n)
	}
	resp := make([]byte, n-4)
	_, err := io.ReadFull(conn, resp)
	return resp, err
}

// listened is a connection whose reads are told.
type listened struct {
	net.Conn
	heard func()
}

func (l listened) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.heard()
	}
	return n, err
}

// appendFrame appends a request of this package with Kafka's framing: size, key, version 0, correlation id 0, null client id.
func appendFrame(dst []byte, key int16, body []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(10+len(body)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(key))
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0xff, 0xff)
	return append(dst, body...)
}

// get returns an idle connection, or a fresh one.
func (c *client) get(ctx context.Context, addr string) (conn net.Conn, fresh bool, err error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, false, ErrClosed
		}
		conns := c.idle[addr]
		if len(conns) == 0 {
			c.mu.Unlock()
			break
		}
		conn := conns[len(conns)-1]
		c.idle[addr] = conns[:len(conns)-1]
		c.busy[conn.Conn] = struct{}{}
		c.mu.Unlock()
		if time.Since(conn.since) < maxIdleTime && alive(conn.Conn) {
			return conn.Conn, false, nil
		}
		c.drop(conn.Conn)
	}
	if conn, err = c.dialer.dial(ctx, addr); err != nil {
		return nil, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return nil, false, ErrClosed
	}
	c.busy[conn] = struct{}{}
	return conn, true, nil
}

// alive says that the other side has not closed an idle connection. Without the look a request that is not repeatable would be sent into the
// closed connection, and its outcome be unknown.
func alive(conn net.Conn) bool {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // bytes there are a farewell, or an alert
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
		return true
	})
	return err == nil && quiet
}

func (c *client) put(addr string, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, conn)
	if c.closed || len(c.idle[addr]) >= maxIdleConns {
		conn.Close()
		return
	}
	c.idle[addr] = append(c.idle[addr], &idleConn{conn, time.Now()})
}

func (c *client) drop(conn net.Conn) {
	conn.Close()
	c.mu.Lock()
	delete(c.busy, conn)
	c.mu.Unlock()
}

// close ends all calls.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.busy {
		conn.Close()
	}
	for _, conns := range c.idle {
		for _, conn := range conns {
			conn.Close()
		}
	}
	clear(c.idle)
}
