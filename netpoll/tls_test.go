package netpoll

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/waittest"
)

// TestTLSState: the handler learns who the peer is, in both versions, before the first frame.
func TestTLSState(t *testing.T) {
	ca := tlstest.NewCA(t, "test CA")
	h := handlerFuncs{opened: func(c *Conn) { c.Value = c.TLS() }, frame: func(c *Conn, frame []byte) Verdict {
		r := c.Begin()
		state := c.Value.(*tls.ConnectionState)
		r.Append([]byte(state.PeerCertificates[0].Subject.CommonName + " " + tls.VersionName(state.Version)))
		r.Send()
		return Next
	}}
	s := serve(t, h, func(o *Options) {
		o.Endpoints[0].TLS = &tls.Config{
			Certificates: []tls.Certificate{ca.Issue("server", nil).TLS()}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		}
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := dialTLS(t, s, &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.Issue("alice", nil).TLS()}, MaxVersion: version})
		c.send("who")
		c.expect("alice " + tls.VersionName(version))
	}
	if st := s.Stats(); st.Handshakes != 2 || st.Closed.Handshake != 0 {
		t.Errorf("%+v", st)
	}
}

func dialTLS(t *testing.T, s *Server, config *tls.Config) *client {
	t.Helper()
	nc, err := tls.Dial("tcp", s.Addr("T").String(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(testTimeout))
	return &client{t: t, Conn: nc, r: bufio.NewReader(nc)}
}

// TestHandshakeFailures: whatever a peer does instead of a handshake is answered as it should be, explained in the log, and leaves nothing.
func TestHandshakeFailures(t *testing.T) {
	ca, other := tlstest.NewCA(t, "test CA"), tlstest.NewCA(t, "another CA")
	expired := ca.Issue("late", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Minute) })
	serverOnly := ca.Issue("server only", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	var logs waittest.Log
	h := handlerFuncs{opened: func(*Conn) { t.Error("opened") }}
	s := serve(t, h, func(o *Options) {
		o.HandshakeTimeout = 300 * time.Millisecond
		o.Logger = logs.Logger(slog.LevelInfo)
		o.Endpoints[0].TLS = &tls.Config{
			Certificates: []tls.Certificate{ca.Issue("server", nil).TLS()}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		}
	})
	addr := s.Addr("T").String()
	before := runtime.NumGoroutine()
	raw := func(send string) func() error {
		return func() error {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				return err
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(testTimeout))
			if _, err := nc.Write([]byte(send)); err != nil {
				return err
			}
			b, err := io.ReadAll(nc)
			if err == nil && len(b) > 0 && b[0] != recordAlert {
				t.Errorf("answered with %x", b)
			}
			return err
		}
	}
	// A client of TLS 1.3 believes that the handshake is done before the server has judged its certificate: the refusal comes with the first read.
	with := func(config *tls.Config) func() error {
		return func() error {
			nc, err := tls.Dial("tcp", addr, config)
			if err != nil {
				return err
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(testTimeout))
			nc.Write(frameOf([]byte("hello"))) // may fail already
			_, err = nc.Read(make([]byte, 1))
			return err
		}
	}
	base := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.Pool(), Certificates: certs}
	}
	old := base(ca.Issue("alice", nil).TLS())
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	forced := func(p tlstest.Pair) *tls.Config { // a client that presents a certificate although the server's CAs did not sign it
		cert := p.TLS()
		return &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }}
	}
	cases := []struct {
		name      string
		do        func() error
		peer, log string
	}{
		{"plaintext", raw("\x00\x00\x00\x10\x00\x12\x00\x03\x00\x00\x00\x01\x00\x04test"), "", "the peer speaks plaintext"},
		{"http", raw("GET / HTTP/1.0\r\n\r\n"), "", "plain HTTP"},
		{"half a handshake", raw("\x16\x03\x01\x02\x00\x01\x00"), "", "did not finish the handshake in time"},
		{"silence", raw(""), "", "did not finish the handshake in time"},
		{"garbage in a record", raw("\x16\x03\x01\x00\x05hello"), "", "TLS handshake failed"},
		{"no certificate", with(base()), "certificate required", "demands a certificate"},
		{"another CA", with(forced(other.Issue("mallory", nil))), "remote error", `CN=mallory\", issued by \"CN=another CA\", is not signed by a CA`},
		{"expired", with(forced(expired)), "remote error", "is valid from"},
		{"wrong purpose", with(forced(serverOnly)), "remote error", "extended key usage"},
		{"old version", with(old), "protocol version", "no TLS version in common"},
		{"does not trust us", with(&tls.Config{RootCAs: other.Pool()}), "unknown authority", "does not trust this side"},
	}
	for i, c := range cases {
		err := c.do()
		if c.peer != "" && (err == nil || !strings.Contains(err.Error(), c.peer)) {
			t.Errorf("%s: the peer sees %v, want %q", c.name, err, c.peer)
		}
		if c.peer == "" && err != nil {
			t.Errorf("%s: the peer sees %v", c.name, err)
		}
		waittest.Until(t, testTimeout, c.name+" is counted", func() bool { return s.Stats().Closed.Handshake == int64(i)+1 })
		if lines := logs.With(c.log); len(lines) == 0 && i < logBurst {
			t.Errorf("%s: no line has %q: %q", c.name, c.log, logs.With("TLS"))
		}
	}
	waittest.Until(t, testTimeout, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	if st := s.Stats(); st.Connections != 0 || st.Handshakes != 0 {
		t.Errorf("%+v", st)
	}
}

// TestPortCheck: peers that connect and go are not worth a line.
func TestPortCheck(t *testing.T) {
	var logs waittest.Log
	t.Run(overTLS, func(t *testing.T) {
		s := serve(t, handlerFuncs{}, func(o *Options) { o.Logger = logs.Logger(slog.LevelInfo) })
		nc, err := net.Dial("tcp", s.Addr("T").String())
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		waittest.Until(t, testTimeout, "it is gone", func() bool { return s.Stats().Closed.Handshake == 1 })
	})
	if lines := logs.With("TLS"); len(lines) != 0 {
		t.Errorf("%q", lines)
	}
}

// TestTLSToPlaintext: a TLS client on a plaintext listener is named as such.
func TestTLSToPlaintext(t *testing.T) {
	var logs waittest.Log
	s := serve(t, handlerFuncs{}, func(o *Options) { o.Logger = logs.Logger(slog.LevelInfo) })
	if _, err := dialConn(s.Addr("T").String(), true); err == nil || !strings.Contains(ExplainTLS(err), "does not speak TLS") {
		t.Errorf("the client sees: %s", ExplainTLS(err))
	}
	waittest.Until(t, testTimeout, "the line", func() bool { return len(logs.With("this listener speaks plaintext")) == 1 })
}

// TestCloseInHandshake: Close does not wait for peers that are in a handshake.
func TestCloseInHandshake(t *testing.T) {
	t.Run(overTLS, func(t *testing.T) {
		s := serve(t, handlerFuncs{}, func(o *Options) { o.HandshakeTimeout = time.Hour })
		for _, part := range []string{"", "\x16\x03\x01\x02\x00\x01\x00"} {
			nc, err := net.Dial("tcp", s.Addr("T").String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.Write([]byte(part))
		}
		waittest.Until(t, testTimeout, "both are admitted", func() bool { return s.Stats().Connections == 2 })
		start := time.Now()
		if err := s.Close(); err != nil || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestTLSResponses: responses of many pieces of all sizes, owned and referenced, arrive whole at a peer whose socket is mostly full.
func TestTLSResponses(t *testing.T) {
	t.Run(overTLS, func(t *testing.T) {
		var refs counter
		rng := rand.New(rand.NewPCG(3, 4)) // owner goroutine
		h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
			r := c.Begin()
			sum := crc32.NewIEEE()
			r.Append([]byte{0, 0, 0, 0})
			for range rng.IntN(200) {
				b := make([]byte, rng.IntN(1<<rng.IntN(17)))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				sum.Write(b)
				if rng.IntN(2) == 0 {
					r.Append(b)
				} else {
					refs.taken.Add(1)
					r.Reference(b, &refs)
				}
			}
			binary.BigEndian.PutUint32(r.Buf()[prefixBytes:], sum.Sum32())
			if rng.IntN(2) == 0 {
				r.Send()
			} else {
				go r.Send()
			}
			return Next
		}}
		s := serve(t, h, nil)
		c := dial(t, s)
		if err := c.Conn.(*tls.Conn).NetConn().(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
			t.Fatal(err)
		}
		const requests = 60
		go func() {
			for range requests {
				if _, err := c.Write(frameOf([]byte("more"))); err != nil {
					t.Error(err)
				}
			}
		}()
		for i := range requests {
			b := c.recv()
			if got, want := crc32.ChecksumIEEE(b[4:]), binary.BigEndian.Uint32(b); got != want {
				t.Fatalf("answer %d of %d bytes: checksum %08x, want %08x", i, len(b), got, want)
			}
		}
		waittest.Until(t, testTimeout, "everything is taken", func() bool { return refs.zero() && s.Stats().OutboundBytes == 0 })
	})
}

// TestOpenSSL: OpenSSL's client is served in both versions; a key update is answered although nothing else is to be written, a renegotiation is refused.
func TestOpenSSL(t *testing.T) {
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skipf("SKIPPED: OpenSSL as a client, key updates and renegotiation; it needs openssl: %v", err)
	}
	t.Run(overTLS, func(t *testing.T) {
		var renegotiated sync.WaitGroup
		renegotiated.Add(1)
		h := handlerFuncs{frame: echo, closed: func(c *Conn, err error) {
			if c.TLS().Version == tls.VersionTLS12 {
				renegotiated.Done()
			}
		}}
		s := serve(t, h, nil)
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		start := func(args ...string) (io.WriteCloser, *bufio.Reader, *bufio.Scanner) {
			cmd := exec.CommandContext(ctx, path, append([]string{"s_client", "-connect", s.Addr("T").String(), "-quiet", "-no_ign_eof"}, args...)...)
			in, err1 := cmd.StdinPipe()
			out, err2 := cmd.StdoutPipe()
			says, err3 := cmd.StderrPipe()
			if err := errors.Join(err1, err2, err3, cmd.Start()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { in.Close(); _ = cmd.Wait() }) // its exit status says nothing about the server
			return in, bufio.NewReader(out), bufio.NewScanner(says)
		}
		trip := func(in io.Writer, out io.Reader, text string) {
			t.Helper()
			want := frameOf([]byte(text))
			got := make([]byte, len(want))
			if _, err := in.Write(want); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q, %v", got, err)
			}
		}
		in, out, says := start("-tls1_3")
		trip(in, out, "hello\n")
		in.Write([]byte("K\n")) // update keys, and ask the server to do the same
		for says.Scan() && says.Text() != "KEYUPDATE" {
		}
		trip(in, out, "again\n")
		in, out, _ = start("-tls1_2")
		trip(in, out, "hello\n")
		in.Write([]byte("R\n"))
		renegotiated.Wait()
	})
}
