package cli

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/tlsconf"
	"github.com/ringmq/ringmq/kraft"
)

// accessOf is how the cluster is reached by what a file of client properties says; "": plaintext.
func accessOf(path string) (access kraft.Access, err error) {
	if path == "" {
		return access, nil
	}
	c, err := config.LoadClient(path)
	if err != nil {
		return access, err
	}
	if c.TLS != nil {
		source, err := tlsconf.Open(c.TLS, slog.New(slog.DiscardHandler))
		if err != nil {
			return access, err
		}
		access.TLS = source.Client
	}
	if c.SASL != nil {
		m := mechanismOf(c.SASL)
		access.Greet = func(ctx context.Context, conn net.Conn, addr string) error { return authenticate(ctx, conn, addr, m) }
	}
	return access, nil
}

func mechanismOf(s *config.ClientSASL) sasl.Mechanism {
	switch s.Mechanism {
	case config.MechanismScram256:
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()
	case config.MechanismScram512:
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()
	}
	return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()
}

// authenticate goes through SaslHandshake and SaslAuthenticate on a new connection.
func authenticate(ctx context.Context, conn net.Conn, addr string, m sasl.Mechanism) error {
	hello := kmsg.NewPtrSASLHandshakeRequest()
	hello.Version, hello.Mechanism = 1, m.Name()
	offer, err := exchange(conn, hello)
	if err != nil {
		return fmt.Errorf("SASL: %w: does this listener speak TLS (security.protocol=SASL_SSL)?", err)
	}
	switch r := offer.(*kmsg.SASLHandshakeResponse); {
	case kerr.ErrorForCode(r.ErrorCode) == kerr.IllegalSaslState:
		return errors.New("SASL: this listener has none: security.protocol without SASL_ is for it")
	case r.ErrorCode != 0:
		return fmt.Errorf("SASL: mechanism %s: %w; the listener has %q (sasl.enabled.mechanisms)", m.Name(), kerr.ErrorForCode(r.ErrorCode), r.SupportedMechanisms)
	}
	session, token, err := m.Authenticate(ctx, addr)
	for done := false; err == nil && !(done && len(token) == 0); {
		next := kmsg.NewPtrSASLAuthenticateRequest()
		next.Version, next.SASLAuthBytes = 1, token
		var answer kmsg.Response
		if answer, err = exchange(conn, next); err != nil {
			break
		}
		r := answer.(*kmsg.SASLAuthenticateResponse)
		if err = kerr.ErrorForCode(r.ErrorCode); err != nil {
			if r.ErrorMessage != nil {
				err = errors.New(*r.ErrorMessage)
			}
			break
		}
		if done {
			return nil
		}
		done, token, err = session.Challenge(r.SASLAuthBytes)
	}
	if err != nil {
		return fmt.Errorf("SASL: %w", err)
	}
	return nil
}

// maxAnswerBytes bounds an answer to a request of SASL.
const maxAnswerBytes = 1 << 20

// exchange sends a request of a version without tagged fields in its header, and reads the answer.
func exchange(conn net.Conn, req kmsg.Request) (kmsg.Response, error) {
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("ringmq")).AppendRequest(nil, req, 0)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 4 || n > maxAnswerBytes {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	body := make([]byte, n-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	return resp, resp.ReadFrom(body)
}
