package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
)

type tlsKey struct{}

// WithTLS has everything that dials with the context speak TLS; nil: plaintext.
func WithTLS(ctx context.Context, config *tls.Config) context.Context {
	return context.WithValue(ctx, tlsKey{}, config)
}

func tlsOf(ctx context.Context) *tls.Config {
	config, _ := ctx.Value(tlsKey{}).(*tls.Config)
	return config
}

// TLSFlags are the flags of a program that can speak TLS.
type TLSFlags struct{ ca, cert, key string }

// Register defines the flags.
func (f *TLSFlags) Register(fs *flag.FlagSet) {
	fs.StringVar(&f.ca, "tls-ca", "", "speak TLS, and trust the CAs in this PEM file")
	fs.StringVar(&f.cert, "tls-cert", "", "certificate to present, a PEM file, with -tls-ca")
	fs.StringVar(&f.key, "tls-key", "", "its private key, a PEM file")
}

// Config is what the flags ask for; nil: plaintext.
func (f *TLSFlags) Config() (*tls.Config, error) {
	if f.ca == "" {
		if f.cert != "" || f.key != "" {
			return nil, errors.New("-tls-cert and -tls-key need -tls-ca")
		}
		return nil, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("-tls-ca: %w", err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), DynamicRecordSizingDisabled: true}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("-tls-ca: no certificate in %s", f.ca)
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("-tls-cert, -tls-key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
