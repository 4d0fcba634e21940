package kraft

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/ringmq/ringmq/netpoll"
)

// dialer makes connections to the listeners of other nodes. Where the two sides do not agree on who may speak how, it says so in the
// log: once when that changes, then every sayInterval, since calls and raft's messages are tried again all the time.
type dialer struct {
	tls    func(host string) *tls.Config // nil: plaintext
	logger *slog.Logger
	link   func(addr string, conn net.Conn) net.Conn // lets tests cut connections; nil otherwise

	mu     sync.Mutex
	said   map[string]saying // by address
	broken map[string]int    // by address: handshakes in a row that the other side broke off without a word
}

type saying struct {
	text string
	at   time.Time
}

const (
	handshakeTimeout = 5 * time.Second
	sayInterval      = time.Minute
	// brokenMax is how many handshakes in a row may be broken off before that is taken for a disagreement: a node that stops does it too.
	brokenMax = 5
	// lastWordTimeout is how long a broken connection is listened to for the reason.
	lastWordTimeout = 100 * time.Millisecond
)

// errSecurity is matched when the two sides do not agree on who may speak how: TLS or not, certificates, versions.
var errSecurity = errors.New("kraft: the nodes do not trust each other")

func newDialer(secure func(host string) *tls.Config, logger *slog.Logger) *dialer {
	return &dialer{tls: secure, logger: logger, said: make(map[string]saying), broken: make(map[string]int)}
}

func (d *dialer) dial(ctx context.Context, addr string) (net.Conn, error) {
	nd := tcpDialer()
	conn, err := nd.DialContext(ctx, "tcp", addr)
	if err == nil && d.link != nil {
		conn = d.link(addr, conn)
	}
	if err != nil || d.tls == nil {
		return conn, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		conn.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secure := tls.Client(conn, d.tls(host))
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		if ctx.Err() != nil || d.brokenOff(addr, err) {
			return nil, fmt.Errorf("TLS handshake with %s: %w", addr, err)
		}
		return nil, d.disagree(addr, netpoll.ExplainTLS(err))
	}
	d.mu.Lock()
	delete(d.broken, addr)
	d.mu.Unlock()
	return secure, nil
}

// brokenOff reports whether a failed handshake says nothing yet: the other side has just closed the connection, and not often.
func (d *dialer) brokenOff(addr string, err error) bool {
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken[addr]++
	return d.broken[addr] < brokenMax
}

// disagree makes an error of a disagreement, and sees to the log.
func (d *dialer) disagree(addr, text string) error {
	d.mu.Lock()
	last, now := d.said[addr], time.Now()
	say := last.text != text || now.Sub(last.at) >= sayInterval
	if say {
		d.said[addr] = saying{text, now}
	}
	d.mu.Unlock()
	if say {
		d.logger.Warn("kraft: no agreement with another node on a secure connection", "address", addr, "cause", text)
	}
	return fmt.Errorf("%w: %s: %s", errSecurity, addr, text)
}

// tlsAlert begins the only answer that a TLS listener gives to plaintext: a fatal alert.
var tlsAlert = []byte{0x15, 3}

// explain turns the error of the first exchange on a connection into a disagreement, if it is one. got is what was read before the error. A node
// that speaks TLS 1.3 learns only here that its certificate is refused.
func (d *dialer) explain(addr string, got []byte, err error) error {
	var remote *net.OpError
	switch {
	case d.tls == nil && bytes.HasPrefix(got, tlsAlert):
		return d.disagree(addr, "the other node's CONTROLLER listener speaks TLS, this node plaintext: give its listener the same protocol in listener.security.protocol.map on all nodes")
	case errors.As(err, &remote) && remote.Op == "remote error":
		return d.disagree(addr, netpoll.ExplainTLS(err))
	}
	return nil
}

// lastWord reads why the other side has broken a connection on which nothing is ever answered; nil if it does not say.
func (d *dialer) lastWord(addr string, conn net.Conn) error {
	if conn.SetReadDeadline(time.Now().Add(lastWordTimeout)) != nil {
		return nil
	}
	var b [8]byte
	n, err := io.ReadFull(conn, b[:])
	return d.explain(addr, b[:n], err)
}
