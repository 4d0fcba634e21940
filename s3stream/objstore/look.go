package objstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Scheme finds out what speaks at an address (host:port): "https" or "http". It shows no certificate and sends no request, so it tells
// nothing about trust. The error wraps ErrUnreachable, and ErrNoSuchHost when the name is not known.
func Scheme(ctx context.Context, addr string) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		if name := (*net.DNSError)(nil); ctx.Err() != nil && !errors.As(err, &name) {
			return "", fmt.Errorf("%w: no connection to %s in time", ErrUnreachable, addr)
		}
		return "", classify(err)
	}
	defer conn.Close()
	host, _, _ := net.SplitHostPort(addr) // it was dialed
	err = tls.Client(conn, &tls.Config{ServerName: host, InsecureSkipVerify: true}).HandshakeContext(ctx)
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case err == nil, errors.As(err, &alert):
		return "https", nil
	case errors.As(err, &record) && strings.HasPrefix(string(record.RecordHeader[:]), "HTTP"):
		return "http", nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("%w: %s takes connections and does not answer", ErrUnreachable, addr)
	}
	return "", fmt.Errorf("%w: %s speaks neither https nor http: %w", ErrUnreachable, addr, err)
}

// PublicCloud reports whether an endpoint belongs to a cloud that wants the bucket in the host's name.
func PublicCloud(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && s3utils.IsVirtualHostSupported(*u, "bucket")
}

// StoreTime asks the endpoint of c for its time with a request that carries no credentials. S3's signatures depend on it. It is exact to a second
// or two.
func StoreTime(ctx context.Context, c Config) (time.Time, error) {
	c = c.withDefaults()
	host, secure, err := c.endpoint()
	if err != nil {
		return time.Time{}, err
	}
	transport, err := newTransport(c, secure)
	if err != nil {
		return time.Time{}, err
	}
	defer transport.CloseIdleConnections()
	scheme := "http"
	if secure {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+"/", nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return time.Time{}, classify(err)
	}
	resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: the store's answer has no date: %w", ErrInvalid, err)
	}
	return date, nil
}
