package engine

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requests to other brokers, over the listener inter.broker.listener.name: transaction markers, and questions to a coordinator.

// peers keeps idle connections to other brokers. The zero value is ready.
type peers struct {
	mu     sync.Mutex
	idle   map[string][]net.Conn // by address
	closed bool
}

const (
	peerIdleMax      = 4 // connections kept per broker
	peerTimeout      = 10 * time.Second
	peerDialTimeout  = 3 * time.Second
	peerMaxAnswer    = 16 << 20
	peerClientID     = "ringmq-broker"
	peerCorrelation  = 1 // one request at a time on a connection
	responseIDLength = 4
)

var errPeerUnknown = errors.New("engine: the broker is not registered, or has no endpoint on the listener between brokers")

// askBroker sends a request to another broker and returns its answer. It blocks, for peerTimeout at most.
func (b *Broker) askBroker(ctx context.Context, id int32, req kmsg.Request) (kmsg.Response, error) {
	kb := b.node.Image().Broker(id)
	if kb == nil {
		return nil, fmt.Errorf("%w: broker %d", errPeerUnknown, id)
	}
	e, ok := kb.Endpoint(b.cfg.InterBrokerListenerName)
	if !ok {
		return nil, fmt.Errorf("%w: broker %d, listener %s", errPeerUnknown, id, b.cfg.InterBrokerListenerName)
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	addr := net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
	c := b.peers.take(addr)
	if c == nil {
		var err error
		if c, err = b.dialBroker(ctx, e.Host, addr); err != nil {
			return nil, fmt.Errorf("engine: dial broker %d at %s: %w", id, addr, err)
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	resp, err := exchange(c, req)
	if !stop() || err != nil {
		_ = c.Close()
		if err == nil {
			return resp, nil
		}
		return nil, fmt.Errorf("engine: ask broker %d at %s: %w", id, addr, err)
	}
	b.peers.give(addr, c)
	return resp, nil
}

func (b *Broker) dialBroker(ctx context.Context, host, addr string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: peerDialTimeout}
	if src := b.secure.Of(b.cfg.InterBrokerListenerName); src != nil {
		secure := tls.Dialer{NetDialer: &dialer, Config: src.Client(host)}
		return secure.DialContext(ctx, "tcp", addr)
	}
	return dialer.DialContext(ctx, "tcp", addr)
}

// exchange sends one request and reads its answer.
func exchange(c net.Conn, req kmsg.Request) (kmsg.Response, error) {
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(peerClientID)).AppendRequest(nil, req, peerCorrelation)
	if _, err := c.Write(frame); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < responseIDLength || n > peerMaxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, err
	}
	if id := binary.BigEndian.Uint32(body); id != peerCorrelation {
		return nil, fmt.Errorf("an answer with correlation id %d, want %d", id, peerCorrelation)
	}
	body = body[responseIDLength:]
	if req.IsFlexible() {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("an answer whose header has tags")
		}
		body = body[1:]
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, resp.ReadFrom(body)
}

func (ps *peers) take(addr string) net.Conn {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	list := ps.idle[addr]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	ps.idle[addr] = list[:len(list)-1]
	return c
}

func (ps *peers) give(addr string, c net.Conn) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed || len(ps.idle[addr]) >= peerIdleMax {
		_ = c.Close()
		return
	}
	if ps.idle == nil {
		ps.idle = make(map[string][]net.Conn)
	}
	ps.idle[addr] = append(ps.idle[addr], c)
}

func (ps *peers) close() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.closed = true
	for _, list := range ps.idle {
		for _, c := range list {
			_ = c.Close()
		}
	}
	ps.idle = nil
}
