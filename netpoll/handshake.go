package netpoll

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// handshake has crypto/tls agree with the peer, on the connection's goroutine, which blocks meanwhile. It reports false when that failed or the
// connection was closed.
func (t *transport) handshake() bool {
	c, m := t.c, &t.c.mail
	_ = t.conn.SetDeadline(time.Now().Add(c.srv.opts.HandshakeTimeout)) // fails on a closed socket, which the handshake tells
	m.mu.Lock()
	closed := m.mu.queued // nobody but Close posts to a connection that is not open
	m.mu.reads = !closed  // Close ends the handshake by a deadline in the past
	m.mu.Unlock()
	if closed {
		return false
	}
	err := c.sec.session.Handshake()
	m.mu.Lock()
	closed = m.mu.interrupted
	m.mu.Unlock()
	if err != nil && !closed {
		c.srv.noteHandshake(c, err)
		c.srv.reasons[reasonHandshake].Add(1)
		t.farewell(err)
	}
	m.mu.Lock()
	m.mu.reads = false
	m.mu.Unlock()
	if err != nil || closed {
		return false
	}
	_ = t.conn.SetDeadline(time.Time{})
	state := c.sec.session.ConnectionState()
	c.sec.state, c.sec.shaken = &state, true
	c.srv.handshakes.Add(1)
	c.rxTime.Store(c.srv.now.Load())
	return true
}

// farewell lets the peer read why its handshake failed: closing a socket with unread bytes would reset the connection and might take the
// alert with it.
func (t *transport) farewell(err error) {
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) && notTLS.Conn != nil {
		// crypto/tls says nothing to a peer that does not speak TLS. The alert tells those who look at the bytes (the client of kraft does).
		_, _ = t.conn.Write([]byte{recordAlert, 3, 1, 0, 2, 2, 10}) // fatal: unexpected message
	}
	m := &t.c.mail
	m.mu.Lock()
	if !m.mu.interrupted {
		_ = t.conn.SetDeadline(time.Now().Add(lingerMillis * time.Millisecond))
	}
	m.mu.Unlock()
	if t.conn.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(t.conn, 1<<20))
	}
}

const (
	recordAlert     = 0x15
	recordHandshake = 0x16
)

// looksLikeTLS says whether b begins a TLS record, as every TLS client's first bytes do: a handshake message, of version 3.x.
func looksLikeTLS(b []byte) bool {
	return len(b) >= 3 && b[0] == recordHandshake && b[1] == 3 && b[2] <= 4
}

// noteHandshake logs a failed handshake. Peers that just connect and go, as port checks do, are not worth a line.
func (s *Server) noteHandshake(c *Conn, err error) {
	args := []any{"listener", c.ep.name, "remote", c.remote, "cause", ExplainTLS(err)}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		s.opts.Logger.Debug("netpoll: TLS handshake broken off by the peer", args...)
		return
	}
	s.log.warn("handshake", "netpoll: TLS handshake failed", args...)
}

// ExplainTLS is an error of a TLS handshake, or of the first reads after it, with what it most likely means, in one line. Either side.
func ExplainTLS(err error) string {
	text := strings.TrimPrefix(err.Error(), "netpoll: TLS: ")
	why := ""
	var (
		notTLS  tls.RecordHeaderError
		refused *tls.CertificateVerificationError
		op      interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &notTLS):
		why = "the peer speaks plaintext, this side TLS"
		if strings.HasPrefix(string(notTLS.RecordHeader[:]), "GET ") || strings.HasPrefix(string(notTLS.RecordHeader[:]), "POST") {
			why = "the peer speaks plain HTTP"
		}
	case errors.As(err, &refused):
		why = explainRefusal(refused)
	case strings.Contains(text, "didn't provide a certificate"):
		why = "this side demands a certificate (client authentication), and the peer has no key store, or none that this side's CAs have signed"
	case strings.Contains(text, "remote error: tls: certificate required"), strings.Contains(text, "remote error: tls: bad certificate") && strings.Contains(text, "no certificate"):
		why = "the peer demands a certificate (client authentication), and this side has none that it would take"
	case strings.Contains(text, "remote error: tls: unknown certificate authority"), strings.Contains(text, "remote error: tls: bad certificate"),
		strings.Contains(text, "remote error: tls: unknown certificate"):
		why = "the peer does not trust this side's certificate: its trust store lacks the CA that has signed it, or the certificate does not fit the peer's rules (host name, purpose)"
	case strings.Contains(text, "remote error: tls: expired certificate"):
		why = "this side's certificate has expired, as the peer sees it"
	case strings.Contains(text, "unsupported versions"), strings.Contains(text, "protocol version not supported"):
		why = "the sides have no TLS version in common"
	case strings.Contains(text, "no cipher suite supported"), strings.Contains(text, "remote error: tls: handshake failure"):
		why = "the sides have no cipher suite, curve or kind of key in common"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &op) && op.Timeout():
		why = "the peer did not finish the handshake in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		why = "the peer closed the connection in the handshake: it does not speak TLS on this port, or does not like this side's certificate"
	}
	if why == "" {
		return text
	}
	return text + " (" + why + ")"
}

// explainRefusal says which certificate of the peer was not good enough.
func explainRefusal(e *tls.CertificateVerificationError) string {
	if len(e.UnverifiedCertificates) == 0 {
		return "the peer's certificate is refused"
	}
	leaf := e.UnverifiedCertificates[0]
	who := fmt.Sprintf("the peer's certificate %q, issued by %q", leaf.Subject, leaf.Issuer)
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(e.Err, &unknown):
		return who + ", is not signed by a CA of this side's trust store"
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("%s, is valid from %s to %s", who, leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return who + ", is not made for this purpose: its extended key usage lacks clientAuth or serverAuth"
	}
	return who + ", is refused"
}
