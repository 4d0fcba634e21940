package tlsconf

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/ringmq/ringmq/engine/config"
)

// jksMagic begins a JKS file.
var jksMagic = []byte{0xfe, 0xed, 0xfe, 0xed}

// keyError is an error with the key of the configuration that is to be looked at.
func keyError(c *config.TLS, key, format string, args ...any) error {
	return fmt.Errorf("tlsconf: %s: %w", c.Key(key), fmt.Errorf(format, args...))
}

// loadKeyStore reads the node's key and certificates; nil when the configuration has none.
func loadKeyStore(c *config.TLS) (*tls.Certificate, error) {
	k := c.KeyStore
	var (
		key   any
		certs []*x509.Certificate
		err   error
	)
	switch {
	case k.Location == "" && k.Key == "":
		return nil, nil
	case k.Location == "":
		if key, err = pemKey(c, "ssl.keystore.key", []byte(k.Key)); err == nil {
			certs, err = pemCertificates(c, "ssl.keystore.certificate.chain", []byte(k.CertificateChain))
		}
	default:
		var b []byte
		if b, err = os.ReadFile(k.Location); err != nil {
			return nil, keyError(c, "ssl.keystore.location", "%w", err)
		}
		switch {
		case k.Type == "PEM":
			if key, err = pemKey(c, "ssl.keystore.location", b); err == nil {
				certs, err = pemCertificates(c, "ssl.keystore.location", b)
			}
		case bytes.HasPrefix(b, jksMagic):
			key, certs, err = jksKey(c, b)
		case looksLikePEM(b):
			err = keyError(c, "ssl.keystore.type", "%s is a PEM file, not %s; set it to PEM", k.Location, k.Type)
		default:
			key, certs, err = pkcs12Key(c, b)
		}
	}
	if err != nil {
		return nil, err
	}
	leaf, chain := order(key, certs)
	if leaf == nil {
		return nil, keyError(c, "ssl.keystore.location", "the private key belongs to none of the certificates beside it (of %q)", certs[0].Subject)
	}
	out := &tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, cert := range chain {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out, nil
}

// order finds the certificate of a key and the chain above it, the certificate first.
func order(key any, certs []*x509.Certificate) (*x509.Certificate, []*x509.Certificate) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, nil
	}
	for _, leaf := range certs {
		if !public.Equal(leaf.PublicKey) {
			continue
		}
		chain := []*x509.Certificate{leaf}
		for last := leaf; !bytes.Equal(last.RawIssuer, last.RawSubject) && len(chain) <= len(certs); {
			next := last
			for _, c := range certs {
				if bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil {
					next = c
					break
				}
			}
			if next == last {
				break
			}
			chain, last = append(chain, next), next
		}
		return leaf, chain
	}
	return nil, nil
}

// loadTrustStore reads the CAs; nil when the configuration has none.
func loadTrustStore(c *config.TLS) (*x509.CertPool, error) {
	s := c.TrustStore
	if s.Empty() {
		return nil, nil
	}
	var (
		certs []*x509.Certificate
		err   error
	)
	if s.Location == "" {
		certs, err = pemCertificates(c, "ssl.truststore.certificates", []byte(s.Certificates))
	} else {
		var b []byte
		if b, err = os.ReadFile(s.Location); err != nil {
			return nil, keyError(c, "ssl.truststore.location", "%w", err)
		}
		switch {
		case s.Type == "PEM":
			certs, err = pemCertificates(c, "ssl.truststore.location", b)
		case bytes.HasPrefix(b, jksMagic):
			certs, err = jksCertificates(c, b)
		case looksLikePEM(b):
			err = keyError(c, "ssl.truststore.type", "%s is a PEM file, not %s; set it to PEM", s.Location, s.Type)
		default:
			certs, err = pkcs12Certificates(c, b)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(certs) == 0 {
		return nil, keyError(c, "ssl.truststore.location", "%s has no certificate that is trusted", s.Location)
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

func looksLikePEM(b []byte) bool { return bytes.Contains(b, []byte("-----BEGIN ")) }

// pemText restores the line ends of PEM text that a properties file holds in one line: Kafka takes blanks for them too.
func pemText(b []byte) []byte {
	if bytes.ContainsRune(b, '\n') {
		return b
	}
	text := string(b)
	for _, marker := range []string{"-----BEGIN ", "-----END "} {
		text = strings.ReplaceAll(text, marker, "\n"+marker)
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if body, ok := strings.CutPrefix(line, "-----BEGIN "); ok {
			label, data, _ := strings.Cut(body, "-----")
			line = "-----BEGIN " + label + "-----\n" + strings.ReplaceAll(strings.TrimSpace(data), " ", "\n")
		}
		out.WriteString(line + "\n")
	}
	return []byte(out.String())
}

// pemKey finds the private key.
func pemKey(c *config.TLS, where string, b []byte) (any, error) {
	for rest := pemText(b); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, keyError(c, where, "no private key in it (a block that begins with -----BEGIN PRIVATE KEY----- or -----BEGIN ENCRYPTED PRIVATE KEY-----)")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, keyError(c, where, "the private key is encrypted in an old, unsafe way; convert it by `openssl pkcs8 -topk8`")
			}
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			if c.KeyStore.KeyPassword == "" {
				return nil, keyError(c, "ssl.key.password", "missing: the private key is encrypted")
			}
			if key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, []byte(c.KeyStore.KeyPassword)); err != nil {
				return nil, keyError(c, "ssl.key.password", "the private key cannot be decrypted with it: %w", err)
			}
		default:
			continue
		}
		if err != nil {
			return nil, keyError(c, where, "the private key is not readable: %w", err)
		}
		return key, nil
	}
}

// pemCertificates reads all certificates, at least one.
func pemCertificates(c *config.TLS, where string, b []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := pemText(b); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, keyError(c, where, "certificate %d is not readable: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, keyError(c, where, "no certificate in it (a block that begins with -----BEGIN CERTIFICATE-----)")
	}
	return certs, nil
}

// storeError explains what a PKCS12 or JKS file could not be opened for.
func storeError(c *config.TLS, kind, location string, password string, err error) error {
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), strings.Contains(err.Error(), "invalid digest"):
		if password == "" {
			return keyError(c, "ssl."+kind+".password", "missing: %s has a password", location)
		}
		return keyError(c, "ssl."+kind+".password", "wrong password for %s (or the file is damaged)", location)
	}
	return keyError(c, "ssl."+kind+".location", "%s is not a readable %s: %w", location, "PKCS12 or JKS file", err)
}

func pkcs12Key(c *config.TLS, b []byte) (any, []*x509.Certificate, error) {
	k := c.KeyStore
	key, leaf, cas, err := pkcs12.DecodeChain(b, k.Password)
	if err != nil {
		return nil, nil, storeError(c, "keystore", k.Location, k.Password, err)
	}
	return key, append([]*x509.Certificate{leaf}, cas...), nil
}

func pkcs12Certificates(c *config.TLS, b []byte) ([]*x509.Certificate, error) {
	s := c.TrustStore
	certs, err := pkcs12.DecodeTrustStore(b, s.Password)
	if err == nil {
		return certs, nil
	}
	if !errors.Is(err, pkcs12.ErrIncorrectPassword) {
		// A key store is a trust store as well, of the CAs in it; Java sees it so.
		if _, _, cas, e := pkcs12.DecodeChain(b, s.Password); e == nil && len(cas) > 0 {
			return cas, nil
		}
	}
	return nil, storeError(c, "truststore", s.Location, s.Password, err)
}

// openJKS decrypts and checks a JKS file.
func openJKS(c *config.TLS, kind, location, password string, b []byte) (keystore.KeyStore, error) {
	ks := keystore.New(keystore.WithOrderedAliases())
	if err := ks.Load(bytes.NewReader(b), []byte(password)); err != nil {
		return ks, storeError(c, kind, location, password, err)
	}
	return ks, nil
}

func jksKey(c *config.TLS, b []byte) (any, []*x509.Certificate, error) {
	k := c.KeyStore
	ks, err := openJKS(c, "keystore", k.Location, k.Password, b)
	if err != nil {
		return nil, nil, err
	}
	password := k.KeyPassword
	if password == "" {
		password = k.Password
	}
	for _, alias := range ks.Aliases() {
		if !ks.IsPrivateKeyEntry(alias) {
			continue
		}
		e, err := ks.GetPrivateKeyEntry(alias, []byte(password))
		if err != nil {
			return nil, nil, keyError(c, "ssl.key.password", "the key %q of %s cannot be decrypted with it: %w", alias, k.Location, err)
		}
		key, err := x509.ParsePKCS8PrivateKey(e.PrivateKey)
		if err != nil {
			return nil, nil, keyError(c, "ssl.keystore.location", "the key %q of %s is not readable: %w", alias, k.Location, err)
		}
		var certs []*x509.Certificate
		for _, der := range e.CertificateChain {
			cert, err := x509.ParseCertificate(der.Content)
			if err != nil {
				return nil, nil, keyError(c, "ssl.keystore.location", "a certificate of %q in %s is not readable: %w", alias, k.Location, err)
			}
			certs = append(certs, cert)
		}
		if len(certs) == 0 {
			return nil, nil, keyError(c, "ssl.keystore.location", "the key %q of %s has no certificate", alias, k.Location)
		}
		return key, certs, nil
	}
	return nil, nil, keyError(c, "ssl.keystore.location", "%s has no private key", k.Location)
}

func jksCertificates(c *config.TLS, b []byte) ([]*x509.Certificate, error) {
	s := c.TrustStore
	ks, err := openJKS(c, "truststore", s.Location, s.Password, b)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, alias := range ks.Aliases() {
		if !ks.IsTrustedCertificateEntry(alias) {
			continue
		}
		e, err := ks.GetTrustedCertificateEntry(alias)
		if err != nil {
			return nil, keyError(c, "ssl.truststore.location", "%q in %s: %w", alias, s.Location, err)
		}
		cert, err := x509.ParseCertificate(e.Certificate.Content)
		if err != nil {
			return nil, keyError(c, "ssl.truststore.location", "%q in %s is not readable: %w", alias, s.Location, err)
		}
		certs = append(certs, cert)
	}
	return certs, nil
}
