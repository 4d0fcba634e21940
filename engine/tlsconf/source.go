package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/config"
)

// Source is the TLS of one listener. Its methods may be called from any goroutine.
type Source struct {
	log *slog.Logger
	now func() time.Time

	current atomic.Pointer[generation]

	mu      sync.Mutex // held while files are read: one reload at a time
	conf    *config.TLS
	seen    [2]stamp  // of the files as of the last attempt to load them
	expires time.Time // when the last line about an expiry was written
}

// generation is what was loaded at one time. It is immutable.
type generation struct {
	cert       *tls.Certificate // nil: none, for calls only
	roots      *x509.CertPool   // nil: the system's
	server     *tls.Config
	min, max   uint16
	suites     []uint16
	verifyHost bool
	rules      rules
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
	info     os.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.modified.Equal(o.modified) && s.size == o.size && (s.info == nil) == (o.info == nil) && (s.info == nil || os.SameFile(s.info, o.info))
}

const (
	expirySoon  = 30 * 24 * time.Hour // an expiry so near is worth a warning
	expiryLines = 24 * time.Hour      // one line about it in this time
)

// Open loads what c names. An error names the key of the configuration.
func Open(c *config.TLS, log *slog.Logger) (*Source, error) {
	s := &Source{log: log, now: time.Now}
	if err := s.replace(c, nil); err != nil {
		return nil, err
	}
	g := s.current.Load()
	s.warnExpiry(g)
	if g.cert != nil && g.roots != nil {
		if _, err := verify(g.cert.Leaf, g.cert.Certificate[1:], g.roots, x509.ExtKeyUsageAny, s.now()); err != nil {
			log.Warn("TLS: this node's certificate is not good by its own trust store: nodes with the same trust store will refuse it",
				"listener", c.Listener, "subject", g.cert.Leaf.Subject.String(), "issuer", g.cert.Leaf.Issuer.String(), "cause", err)
		}
	}
	return s, nil
}

// replace loads c and makes it current. before, if there is one, is what the new certificate must be compatible with.
// REQUIRES: s.mu is held, or s is not shared yet.
func (s *Source) replace(c *config.TLS, before *generation) error {
	s.conf = c
	s.seen = s.stamps()
	g, err := load(c)
	if err == nil && before != nil {
		err = compatible(c, before.cert, g.cert)
	}
	if err != nil {
		return err
	}
	s.current.Store(g)
	return nil
}

func load(c *config.TLS) (*generation, error) {
	g := &generation{min: c.MinVersion, max: c.MaxVersion, suites: c.CipherSuites, verifyHost: c.VerifyHost}
	var err error
	if g.rules, err = parseRules(c.PrincipalRules); err != nil {
		return nil, fmt.Errorf("tlsconf: %s: %w", c.Key("ssl.principal.mapping.rules"), err)
	}
	if g.cert, err = loadKeyStore(c); err != nil {
		return nil, err
	}
	if g.roots, err = loadTrustStore(c); err != nil {
		return nil, err
	}
	auth := map[string]tls.ClientAuthType{"none": tls.NoClientCert, "requested": tls.VerifyClientCertIfGiven, "required": tls.RequireAndVerifyClientCert}[c.ClientAuth]
	g.server = &tls.Config{
		MinVersion: g.min, MaxVersion: g.max, CipherSuites: g.suites, ClientAuth: auth, ClientCAs: g.roots,
		SessionTicketsDisabled: auth != tls.NoClientCert, DynamicRecordSizingDisabled: true,
	}
	if g.cert != nil {
		g.server.Certificates = []tls.Certificate{*g.cert}
	}
	return g, nil
}

// compatible judges a new certificate by its predecessor, as Kafka does when a key store is changed.
func compatible(c *config.TLS, old, now *tls.Certificate) error {
	switch {
	case old == nil || now == nil:
		return nil
	case !c.AllowDNChanges && old.Leaf.Subject.String() != now.Leaf.Subject.String():
		return fmt.Errorf("tlsconf: %s: the new certificate is of %q, the present one of %q; allow that by %s=true", c.Key("ssl.keystore.location"),
			now.Leaf.Subject, old.Leaf.Subject, c.Key("ssl.allow.dn.changes"))
	case !c.AllowSANChanges:
		names := altNames(now.Leaf)
		for _, n := range altNames(old.Leaf) {
			if !slices.Contains(names, n) {
				return fmt.Errorf("tlsconf: %s: the new certificate lacks the name %s of the present one; allow that by %s=true", c.Key("ssl.keystore.location"),
					n, c.Key("ssl.allow.san.changes"))
			}
		}
	}
	return nil
}

func altNames(c *x509.Certificate) []string {
	names := append(slices.Clone(c.DNSNames), c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}

// Server is the configuration of the listener: every handshake takes what is current.
func (s *Source) Server() *tls.Config {
	c := s.current.Load().server.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load().server, nil }
	return c
}

// DemandsCertificates reports whether the listener serves only those who present a certificate that it trusts.
func (s *Source) DemandsCertificates() bool {
	return s.current.Load().server.ClientAuth == tls.RequireAndVerifyClientCert
}

// Client is the configuration of one call to a host, a name or an address.
func (s *Source) Client(host string) *tls.Config {
	g := s.current.Load()
	return &tls.Config{
		ServerName: host, MinVersion: g.min, MaxVersion: g.max, CipherSuites: g.suites, DynamicRecordSizingDisabled: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if g.cert == nil {
				return new(tls.Certificate), nil
			}
			return g.cert, nil // also when the other side names CAs that have not signed it: then it can say whose it refuses
		},
		InsecureSkipVerify: true, // verified below: crypto/tls cannot leave out the host name alone, nor fall back to the common name
		VerifyConnection:   func(state tls.ConnectionState) error { return g.judge(host, state.PeerCertificates, s.now()) },
	}
}

// judge verifies the certificates of a node that was called.
func (g *generation) judge(host string, certs []*x509.Certificate, now time.Time) error {
	if len(certs) == 0 {
		return errors.New("tlsconf: the other side has no certificate")
	}
	leaf := certs[0]
	var intermediates [][]byte
	for _, c := range certs[1:] {
		intermediates = append(intermediates, c.Raw)
	}
	_, err := verify(leaf, intermediates, g.roots, x509.ExtKeyUsageServerAuth, now)
	if err == nil && g.verifyHost {
		err = leaf.VerifyHostname(host)
		if err != nil && len(altNames(leaf)) == 0 && leaf.Subject.CommonName == host {
			err = nil // certificates of old have their name there; Java takes it when there is no other
		}
		if err != nil {
			err = fmt.Errorf("%w (the address that is called must be in the certificate, unless ssl.endpoint.identification.algorithm is empty)", err)
		}
	}
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	return nil
}

func verify(leaf *x509.Certificate, chain [][]byte, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) ([][]*x509.Certificate, error) {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: now}
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		o.Intermediates.AddCert(c)
	}
	return leaf.Verify(o)
}

// stamps are the present states of the files.
func (s *Source) stamps() (out [2]stamp) {
	for i, path := range []string{s.conf.KeyStore.Location, s.conf.TrustStore.Location} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			out[i] = stamp{info.ModTime(), info.Size(), info}
		}
	}
	return out
}

// check reloads the files if they have changed since the last attempt. What cannot be used is logged, once per state of the files.
func (s *Source) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.stamps()
	if now[0].same(s.seen[0]) && now[1].same(s.seen[1]) {
		s.warnExpiry(s.current.Load())
		return
	}
	s.reload(s.conf)
}

// change takes keys that were changed at run time, if they say anything new.
func (s *Source) change(c *config.TLS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !reflect.DeepEqual(c, s.conf) {
		s.reload(c)
	}
}

// reload loads c, or logs why what was there before stays in use. REQUIRES: s.mu is held.
func (s *Source) reload(c *config.TLS) {
	before, old := s.current.Load(), s.conf
	if err := s.replace(c, before); err != nil {
		s.conf = old
		s.log.Error("TLS: the new files or settings are not usable, those before stay in use", append(before.describe(), "listener", c.Listener, "cause", err)...)
		return
	}
	g := s.current.Load()
	s.log.Info("TLS: certificates loaded anew", append(g.describe(), "listener", c.Listener)...)
	s.expires = time.Time{}
	s.warnExpiry(g)
}

// describe names the certificate of a generation in a log line.
func (g *generation) describe() []any {
	if g.cert == nil {
		return nil
	}
	l := g.cert.Leaf
	return []any{"subject", l.Subject.String(), "serial", fmt.Sprintf("%x", l.SerialNumber), "expires", l.NotAfter.UTC().Format(time.RFC3339)}
}

// warnExpiry says, once a day, that the certificate has expired or soon will.
func (s *Source) warnExpiry(g *generation) {
	now := s.now()
	if g.cert == nil || now.Sub(s.expires) < expiryLines {
		return
	}
	l := g.cert.Leaf
	what := ""
	switch {
	case now.After(l.NotAfter):
		what = "TLS: this node's certificate has expired: peers will refuse it"
	case now.Before(l.NotBefore):
		what = "TLS: this node's certificate is not valid yet: peers will refuse it"
	case now.Add(expirySoon).After(l.NotAfter) && l.NotAfter.Sub(l.NotBefore) > 2*expirySoon: // those that live shortly are renewed by machines
		what = "TLS: this node's certificate expires soon"
	default:
		return
	}
	s.expires = now
	s.log.Warn(what, append(g.describe(), "valid_from", l.NotBefore.UTC().Format(time.RFC3339), "listener", s.conf.Listener)...)
}
