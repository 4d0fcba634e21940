package objstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func newClient(c Config) (*minio.Client, error) {
	host, secure, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	transport := c.Transport
	if transport == nil {
		t, err := newTransport(c, secure)
		if err != nil {
			return nil, err
		}
		transport = t
	}
	creds, err := newCredentials(c)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	switch c.PathStyle {
	case PathStyleOn:
		lookup = minio.BucketLookupPath
	case PathStyleOff:
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.New(host, &minio.Options{
		Creds: creds, Secure: secure, Region: c.Region, BucketLookup: lookup, Transport: transport,
		MaxRetries: 1, // caller has the retry rule
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return client, nil
}

// newTransport returns a transport that keeps as many connections as there may be requests: a connection that is not
// reused costs a handshake, and on a busy host its port for a minute.
func newTransport(c Config, secure bool) (*http.Transport, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		MaxIdleConns:          c.MaxConnections,
		MaxIdleConnsPerHost:   c.MaxConnections,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true,
	}
	if secure {
		roots, err := trusted(c.CAFile)
		if err != nil {
			return nil, err
		}
		// HTTP/2 would put all requests on one connection and its flow control in front of large bodies.
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, RootCAs: roots}
	}
	return t, nil
}

// trusted returns the authorities of Config.CAFile; nil stands for those of the system.
func trusted(path string) (*x509.CertPool, error) {
	where := "caFile"
	if path == "" {
		if path, where = os.Getenv("AWS_CA_BUNDLE"), "AWS_CA_BUNDLE"; path == "" {
			return nil, nil
		}
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, where, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: %s: %s has no certificate in PEM", ErrInvalid, where, path)
	}
	return pool, nil
}

// newCredentials returns the chain that Config.AccessKey documents.
func newCredentials(c Config) (*credentials.Credentials, error) {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken), nil
	}
	if c.CredentialsFile != "" {
		if _, err := os.Stat(c.CredentialsFile); err != nil {
			return nil, fmt.Errorf("%w: credentialsFile: %w", ErrInvalid, err)
		}
		return credentials.NewFileAWSCredentials(c.CredentialsFile, ""), nil
	}
	if id, secret := os.Getenv("KAFKA_S3_ACCESS_KEY"), os.Getenv("KAFKA_S3_SECRET_KEY"); id != "" && secret != "" {
		return credentials.NewStaticV4(id, secret, ""), nil
	}
	chain := []credentials.Provider{&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{}}
	if c.AuthType == "instance" {
		chain = append(chain, &credentials.IAM{})
	}
	return credentials.NewChainCredentials(chain), nil
}

// MakeBucket creates the bucket that c describes, and reports whether it was missing. It sends one request, without retries.
func MakeBucket(ctx context.Context, c Config) (created bool, err error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return false, err
	}
	client, err := newClient(c)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.AttemptTimeout)
	defer cancel()
	err = client.MakeBucket(ctx, c.Bucket, minio.MakeBucketOptions{Region: c.Region})
	switch minio.ToErrorResponse(err).Code {
	case minio.BucketAlreadyOwnedByYou, minio.BucketAlreadyExists:
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w (create bucket %s)", classify(err), c.String())
	}
	return true, nil
}

// body reads slices as one request body, and can be cut off: net/http may read a body after its request has returned, for example
// after a timeout, but the slices are only lent until then and may be unmapped memory a moment later.
type body struct {
	ctx      context.Context // of the pacer
	mu       sync.Mutex
	data     [][]byte
	i, off   int // next byte is data[i][off]
	size     int
	left     int // bytes from there on
	detached bool
}

func newBody(ctx context.Context, data [][]byte) *body {
	size := int(Size(data))
	return &body{ctx: ctx, data: data, size: size, left: size}
}

// Read implements io.Reader. It copies, so that nobody else ever holds the slices.
func (b *body) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	next := min(len(p), b.left)
	b.mu.Unlock()
	if next > 0 { // the end of a body moves nothing
		if err := Pace(b.ctx, next); err != nil {
			return 0, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.detached {
		return 0, os.ErrClosed
	}
	for n < len(p) && b.i < len(b.data) {
		m := copy(p[n:], b.data[b.i][b.off:])
		n, b.off = n+m, b.off+m
		if b.off == len(b.data[b.i]) {
			b.i, b.off = b.i+1, 0
		}
	}
	b.left -= n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Seek lets minio-go rewind to the start, which is all it asks for.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if offset != 0 || whence != io.SeekStart {
		return 0, fmt.Errorf("%w: seek to %d from %d", ErrInvalid, offset, whence)
	}
	b.i, b.off, b.left = 0, 0, b.size
	return 0, nil
}

// detach ends all reading: when it returns no Read is under way and later ones fail.
func (b *body) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached, b.data = true, nil
}
