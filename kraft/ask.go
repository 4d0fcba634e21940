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
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Access is how a tool gets to listeners. The zero value is plaintext.
type Access struct {
	// TLS is the configuration of a call to a host; nil: plaintext.
	TLS func(host string) *tls.Config
	// Greet says who the tool is, on a new connection to addr, before anything else; nil: it does not. The connection's deadline is Ask's to set.
	Greet func(ctx context.Context, conn net.Conn, addr string) error
}

// Ask sends a tool's request (see IsToolKey) to the first of some nodes that answers, of whatever role: addrs are host:port of listeners of clients or of
// CONTROLLER listeners. The error says what each node that was tried did.
func Ask(ctx context.Context, access Access, addrs []string, req kmsg.Request) (*BalancerResponse, error) {
	if !IsToolKey(req.Key()) {
		return nil, fmt.Errorf("%w: requests of key %d are not for tools", ErrInvalid, req.Key())
	}
	d := newDialer(access.TLS, slog.New(slog.DiscardHandler))
	var failures []error
	for _, addr := range addrs {
		b, err := askOne(ctx, d, access, addr, req)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		resp := req.ResponseKind().(*BalancerResponse)
		if err := resp.ReadFrom(b); err != nil {
			failures = append(failures, fmt.Errorf("%s: does it run this program? %w", addr, err))
			continue
		}
		return resp, resp.Err()
	}
	return nil, errors.Join(failures...)
}

// askOne returns the body of a node's answer.
func askOne(ctx context.Context, d *dialer, access Access, addr string, req kmsg.Request) ([]byte, error) {
	conn, err := d.dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnsent, addr, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if access.Greet != nil {
		if err := access.Greet(ctx, conn, addr); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errUnsent, addr, err)
		}
	}
	b, err := roundTrip(conn, req.Key(), req.AppendTo(nil))
	switch {
	case err == nil:
		return b, nil
	case access.TLS == nil && bytes.HasPrefix(b, tlsAlert):
		return nil, fmt.Errorf("%w: %s: its listener speaks TLS, and was asked in plaintext", errUnsent, addr)
	case errors.Is(err, io.EOF) && access.Greet != nil:
		return nil, fmt.Errorf("kraft: %s closed the connection: is this user allowed to alter the cluster?", addr)
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("kraft: %s closed the connection: does its listener want SASL, or is this user not allowed to alter the cluster?", addr)
	}
	if refused := d.explain(addr, b, err); refused != nil {
		return nil, fmt.Errorf("%w: %w", errUnsent, refused)
	}
	return nil, fmt.Errorf("kraft: call to %s: %w", addr, err)
}
