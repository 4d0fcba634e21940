package kraft

import (
	"context"
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
	dialTimeout  = 2 * time.Second
	// maxFrameBytes bounds what one node accepts of another: the largest batch, and what goes around it.
	maxFrameBytes = maxBatchBytes + 4<<20
)

// errUnsent is matched when a call certainly did not reach the other node.
var errUnsent = errors.New("kraft: not sent")

func newClient() *client {
	return &client{idle: make(map[string][]*idleConn), busy: make(map[net.Conn]struct{})}
}

// call sends a request of this package and returns the body of the response.
func (c *client) call(ctx context.Context, addr string, key int16, body []byte) ([]byte, error) {
	conn, err := c.get(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnsent, addr, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	resp, err := roundTrip(conn, key, body)
	if !stop() || err != nil {
		c.drop(conn)
		if err == nil {
			return resp, nil
		}
		return nil, fmt.Errorf("kraft: call to %s: %w", addr, err)
	}
	c.put(addr, conn)
	return resp, nil
}

func roundTrip(conn net.Conn, key int16, body []byte) ([]byte, error) {
	if _, err := conn.Write(appendFrame(nil, key, body)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 4 || n > maxFrameBytes {
		return nil, fmt.Errorf("response of %d bytes", n)
	}
	resp := make([]byte, n-4)
	_, err := io.ReadFull(conn, resp)
	return resp, err
}

// appendFrame appends a request of this package with Kafka's framing: size, key, version 0, correlation id 0, null client id.
func appendFrame(dst []byte, key int16, body []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(10+len(body)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(key))
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0xff, 0xff)
	return append(dst, body...)
}

func (c *client) get(ctx context.Context, addr string) (net.Conn, error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, ErrClosed
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
			return conn.Conn, nil
		}
		c.drop(conn.Conn)
	}
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return nil, ErrClosed
	}
	c.busy[conn] = struct{}{}
	return conn, nil
}

// alive says that the other side has not closed an idle connection. Without the look a request that is not repeatable would be sent into the
// closed connection, and its outcome be unknown.
func alive(conn net.Conn) bool {
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
