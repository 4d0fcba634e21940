package s3test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/tools/waittest"
)

// MinIO is a running MinIO server.
type MinIO struct {
	Endpoint  string // "http://127.0.0.1:port", or https
	AccessKey string
	SecretKey string
	CAFile    string // with the authority of its certificate; empty without TLS
	region    string
	path, dir string // of the program and of the data
	cmd       *exec.Cmd
	exited    chan struct{} // closed when the process has ended
	log       waittest.Log
}

// MinIOBinary returns the path of the MinIO program: $RINGMQ_MINIO, else $HOME/.cache/ringmq/bin/minio, else minio in $PATH. Empty when there
// is none.
func MinIOBinary() string {
	if p := os.Getenv("RINGMQ_MINIO"); p != "" {
		return p
	}
	if home, err := os.UserHomeDir(); err == nil {
		p := filepath.Join(home, ".cache", "ringmq", "bin", "minio")
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	p, err := exec.LookPath("minio")
	if err != nil {
		return ""
	}
	return p
}

// StartMinIO starts a MinIO server with an empty data directory and stops it at the end of the test. The test is skipped when
// the program is not there.
func StartMinIO(t testing.TB) *MinIO {
	t.Helper()
	return StartMinIOWith(t, MinIOOptions{})
}

// MinIOOptions are what StartMinIOWith can be told.
type MinIOOptions struct {
	TLS       bool   // https, with a certificate of a private authority
	Region    string // the only region that the server takes; empty: it takes any
	SecretKey string // of the only user; default "ringmqtest-secret"
}

// StartMinIOWith is StartMinIO for a server with settings of its own.
func StartMinIOWith(t testing.TB, o MinIOOptions) *MinIO {
	t.Helper()
	path := MinIOBinary()
	if path == "" {
		t.Skip("SKIPPED: what runs on MinIO; set RINGMQ_MINIO to its binary, or put it at $HOME/.cache/ringmq/bin/minio or into $PATH")
	}
	m := &MinIO{AccessKey: "ringmqtest", SecretKey: cmp.Or(o.SecretKey, "ringmqtest-secret"), region: o.Region}
	if o.TLS {
		// The certificate is for the address alone, not for localhost: tests ask for another name by that.
		ca, certs := tlstest.NewCA(t, "RingMQ test authority"), t.TempDir()
		pair := ca.Issue("store", func(c *x509.Certificate) { c.DNSNames = nil })
		m.CAFile = tlstest.WriteFile(t, certs, "authority.pem", ca.PEM())
		tlstest.WriteFile(t, certs, "public.crt", pair.CertPEM())
		tlstest.WriteFile(t, certs, "private.key", pair.KeyPEM())
	}
	// Another process may take the port between our finding it and MinIO's binding it: then MinIO ends and we try another.
	for try := 0; ; try++ {
		m.path, m.dir = path, t.TempDir()
		err := m.start()
		if err == nil {
			break
		}
		m.Endpoint = ""
		if try == 4 {
			t.Fatalf("MinIO (%s) did not start: %v\n%s", path, err, m.log.String())
		}
	}
	t.Cleanup(m.Stop)
	return m
}

// start starts the server, on a free port when it has none yet.
func (m *MinIO) start() error {
	if m.Endpoint == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		m.Endpoint = m.scheme() + "://" + l.Addr().String()
		l.Close()
	}
	args := []string{"server", "--quiet", "--address", m.Host(), "--console-address", "127.0.0.1:0"}
	if m.CAFile != "" {
		args = append(args, "--certs-dir", filepath.Dir(m.CAFile))
	}
	m.cmd = exec.Command(m.path, append(args, m.dir)...)
	m.cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+m.AccessKey, "MINIO_ROOT_PASSWORD="+m.SecretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "CI=true")
	if m.region != "" {
		m.cmd.Env = append(m.cmd.Env, "MINIO_SITE_REGION="+m.region)
	}
	m.cmd.Stdout, m.cmd.Stderr = &m.log, &m.log
	if err := m.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	m.exited = exited
	go func() {
		_ = m.cmd.Wait() // its log tells more than its exit status
		close(exited)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case <-exited:
			return errors.New("it ended at once")
		case <-deadline:
			m.Stop()
			return errors.New("not ready after 60 s")
		case <-tick.C:
			if m.ready() {
				return nil
			}
		}
	}
}

// Stop kills the server and waits for its end. Its data stays until the end of the test. Safe to call twice.
func (m *MinIO) Stop() {
	_ = m.cmd.Process.Kill() // fails when it has ended, which is fine
	<-m.exited
}

func (m *MinIO) ready() bool {
	client := http.Client{Timeout: time.Second, Transport: m.transport()}
	defer client.CloseIdleConnections()
	resp, err := client.Get(m.Endpoint + "/minio/health/cluster")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (m *MinIO) scheme() string {
	if m.CAFile != "" {
		return "https"
	}
	return "http"
}

// Host is the server's host:port.
func (m *MinIO) Host() string { return m.Endpoint[len(m.scheme()+"://"):] }

func (m *MinIO) transport() http.RoundTripper {
	t := &http.Transport{}
	if m.CAFile != "" {
		pem, err := os.ReadFile(m.CAFile)
		if err != nil {
			panic(err) // a test removed it
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return t
}

// Restart starts the server again after Stop, at the same endpoint and with the same data.
func (m *MinIO) Restart(t testing.TB) {
	t.Helper()
	if err := m.start(); err != nil {
		t.Fatalf("MinIO did not start again at %s: %v\n%s", m.Endpoint, err, m.log.String())
	}
}

// Config returns how to open a bucket of the server.
func (m *MinIO) Config(bucket string) objstore.Config {
	return objstore.Config{Scheme: "s3", Bucket: bucket, Endpoint: m.Endpoint, Region: m.region, AccessKey: m.AccessKey, SecretKey: m.SecretKey, CAFile: m.CAFile}
}

// MakeBucket creates a bucket.
func (m *MinIO) MakeBucket(t testing.TB, bucket string) {
	t.Helper()
	if _, err := objstore.MakeBucket(context.Background(), m.Config(bucket)); err != nil {
		t.Fatalf("make bucket %s: %v", bucket, err)
	}
}

// NewBucket creates a bucket and opens it.
func (m *MinIO) NewBucket(t testing.TB, bucket string) objstore.Bucket {
	t.Helper()
	m.MakeBucket(t, bucket)
	b, err := objstore.Open(context.Background(), m.Config(bucket))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Log returns what the server has printed.
func (m *MinIO) Log() string { return m.log.String() }
