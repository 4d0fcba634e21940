package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxResponse bounds what a server may make us allocate.
const maxResponse = 256 << 20

// Conn is one connection.
type Conn struct {
	c     net.Conn
	in    *bufio.Reader
	out   []byte
	frame []byte // of the last response
	id    int32  // of the last request
	f     *kmsg.RequestFormatter
}

// Dial connects, with TLS if the context says so. client is the client id of all requests.
func Dial(ctx context.Context, address, client string) (*Conn, error) {
	var d interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if config := tlsOf(ctx); config != nil {
		d = &tls.Dialer{Config: config}
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	return &Conn{c: c, in: bufio.NewReaderSize(c, 128<<10), f: kmsg.NewRequestFormatter(kmsg.FormatterClientID(client))}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.c.Close() }

// SetDeadline bounds everything that waits on the connection; the zero time is no bound.
func (c *Conn) SetDeadline(t time.Time) { _ = c.c.SetDeadline(t) }

// SetReadDeadline bounds what reads.
func (c *Conn) SetReadDeadline(t time.Time) { _ = c.c.SetReadDeadline(t) }

// Send writes a complete frame.
func (c *Conn) Send(frame []byte) error {
	if _, err := c.c.Write(frame); err != nil {
		return fmt.Errorf("wire: send: %w", err)
	}
	return nil
}

// Receive reads one response and returns its correlation id and what follows it, valid until the next call.
func (c *Conn) Receive() (id int32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, fmt.Errorf("wire: receive: %w", err)
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 4
	if size < 0 || size > maxResponse {
		return 0, nil, fmt.Errorf("wire: response of %d bytes, allowed 4 to %d", size+4, maxResponse)
	}
	if int64(cap(c.frame)) < size {
		c.frame = make([]byte, size+size/4)
	}
	body = c.frame[:size]
	if _, err := io.ReadFull(c.in, body); err != nil {
		return 0, nil, fmt.Errorf("wire: receive: %w", err)
	}
	return int32(binary.BigEndian.Uint32(head[4:])), body, nil
}

// Request sends a request and reads its answer. The version must be set. Byte slices of the answer are valid until the next call.
func (c *Conn) Request(req kmsg.Request) (kmsg.Response, error) {
	c.id++
	c.out = c.f.AppendRequest(c.out[:0], req, c.id)
	if err := c.Send(c.out); err != nil {
		return nil, err
	}
	id, body, err := c.Receive()
	if err != nil {
		return nil, err
	}
	name := kmsg.NameForKey(req.Key())
	if id != c.id {
		return nil, fmt.Errorf("wire: %s: answer %d to request %d", name, id, c.id)
	}
	resp := req.ResponseKind()
	// The header of a flexible response ends with tagged fields, except that of ApiVersions. We expect none.
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		if len(body) == 0 || body[0] != 0 {
			return nil, fmt.Errorf("wire: %s: tagged fields in the header of the answer", name)
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("wire: %s: decode the answer of %d bytes: %w", name, len(body), err)
	}
	return resp, nil
}
