package netpoll

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/netpoll/tlstest"
)

// handlerFuncs is a Handler of functions, any of which may be nil.
type handlerFuncs struct {
	opened func(c *Conn)
	frame  func(c *Conn, frame []byte) Verdict
	closed func(c *Conn, err error)
}

func (h handlerFuncs) Opened(c *Conn) {
	if h.opened != nil {
		h.opened(c)
	}
}

func (h handlerFuncs) Frame(c *Conn, frame []byte) Verdict {
	if h.frame != nil {
		return h.frame(c, frame)
	}
	return Next
}

func (h handlerFuncs) Closed(c *Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

// echo answers every frame with its own bytes, on the owner goroutine.
func echo(c *Conn, frame []byte) Verdict {
	r := c.Begin()
	r.Append(frame)
	r.Send()
	return Next
}

const testTimeout = 30 * time.Second

// serve starts a server with one endpoint, "T", that is closed at the end of the test.
func serve(t testing.TB, h Handler, set func(*Options)) *Server {
	t.Helper()
	o := Options{
		Endpoints: []Endpoint{{Name: "T", Addr: net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}},
		Handler:   h,
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if set != nil {
		set(&o)
	}
	if strings.Contains(t.Name(), "/"+overTLS) {
		o.Endpoints[0].TLS = serverTLS(t)
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		checkReleased(t, s)
	})
	return s
}

// checkReleased fails the test if a closed server still accounts for anything.
func checkReleased(t testing.TB, s *Server) {
	t.Helper()
	st := s.Stats()
	if st.Connections != 0 || st.InboundBytes != 0 || st.InboundCharged != 0 || st.InboundWaiting != 0 || st.OutboundBytes != 0 {
		t.Errorf("after Close: %+v", st)
	}
}

// client is a blocking peer with a deadline.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, s *Server) *client {
	t.Helper()
	nc, err := dialConn(s.Addr("T").String(), s.endpoints[0].tls != nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(testTimeout))
	return newClient(t, nc)
}

func newClient(t testing.TB, nc net.Conn) *client {
	return &client{t: t, Conn: nc, r: bufio.NewReaderSize(nc, 64<<10)}
}

// overTLS names the subtests in which serve and dial use TLS.
const overTLS = "TLS"

// serverTLS is the configuration of a TLS listener, as its users are told to make it.
func serverTLS(t testing.TB) *tls.Config {
	cert := tlstest.NewCA(t, "test CA").Issue("server", nil).TLS()
	return &tls.Config{Certificates: []tls.Certificate{cert}, DynamicRecordSizingDisabled: true}
}

// dialConn dials a listener; what it presents is not what these tests are about.
func dialConn(addr string, secure bool) (net.Conn, error) {
	if secure {
		return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
	}
	return net.Dial("tcp", addr)
}

func frameOf(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("write %d bytes: %v", len(b), err)
	}
}

func (c *client) send(payload string) { c.t.Helper(); c.write(frameOf([]byte(payload))) }

// recv reads one response.
func (c *client) recv() []byte {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		c.t.Fatalf("read a response's length: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c.r, b); err != nil {
		c.t.Fatalf("read a response of %d bytes: %v", len(b), err)
	}
	return b
}

func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.recv(); string(got) != want {
		c.t.Fatalf("got %.40q (%d bytes), want %.40q (%d bytes)", got, len(got), want, len(want))
	}
}

// expectEOF reads until the server closes.
func (c *client) expectEOF() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c.r); err != nil && !isReset(err) {
		c.t.Fatalf("after %d bytes: %v, want the connection to be closed", n, err)
	}
}

func TestEcho(t *testing.T) {
	s := serve(t, handlerFuncs{frame: echo}, nil)
	c := dial(t, s)
	c.send("hello")
	c.expect("hello")
	c.send("again")
	c.send("and again")
	c.expect("again")
	c.expect("and again")
}
