package netpoll

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain makes this binary the peer process of a test or benchmark when asked to. A client in the server's process would
// share its scheduler, its descriptors and its memory, which no real one does.
func TestMain(m *testing.M) {
	args := os.Getenv("NETPOLL_PEER")
	if args == "" {
		os.Exit(m.Run())
	}
	if err := peer(args); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// peerCommand is this binary as a peer.
func peerCommand(format string, args ...any) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NETPOLL_PEER="+fmt.Sprintf(format, args...))
	cmd.Stderr = os.Stderr
	return cmd
}

// peerTLS says that this peer process is to speak TLS.
func peerTLS() bool { return os.Getenv("NETPOLL_PEER_TLS") != "" }

// peerFor is peerCommand for a peer that speaks what the server's listener speaks.
func peerFor(s *Server, format string, args ...any) *exec.Cmd {
	cmd := peerCommand(format, args...)
	if s.endpoints[0].tls != nil {
		cmd.Env = append(cmd.Env, "NETPOLL_PEER_TLS=1")
	}
	return cmd
}

func peer(args string) error {
	var (
		addr           string
		conns, n, size int
	)
	mode, rest, _ := strings.Cut(args, " ")
	switch mode {
	case "trips":
		if _, err := fmt.Sscan(rest, &addr, &conns, &n, &size); err != nil {
			return err
		}
		return roundTrips(addr, conns, n, size)
	case "stream":
		if _, err := fmt.Sscan(rest, &addr, &conns, &n, &size); err != nil {
			return err
		}
		return stream(addr, conns, n, size)
	case "flood":
		if _, err := fmt.Sscan(rest, &addr, &conns); err != nil {
			return err
		}
		return flood(addr, conns)
	case "hold":
		if _, err := fmt.Sscan(rest, &addr, &conns); err != nil {
			return err
		}
		return holdOpen(addr, conns)
	}
	return fmt.Errorf("unknown mode %q", mode)
}

// stream sends n frames over connections that have up to five unanswered each, and reads answers of 64 bytes.
func stream(addr string, conns, n, size int) error {
	req := frameOf(make([]byte, size))
	errs := make([]error, conns)
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			nc, err := dialConn(addr, peerTLS())
			if err != nil {
				errs[i] = err
				return
			}
			defer nc.Close()
			window := make(chan bool, 5)
			go func() {
				defer close(window)
				for left.Add(-1) >= 0 {
					window <- true
					if _, err := nc.Write(req); err != nil {
						return
					}
				}
			}()
			resp := make([]byte, 4+64)
			for range window {
				if _, errs[i] = io.ReadFull(nc, resp); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// flood sends frames of one byte over connections as fast as it can, prints "open" when it has begun, and stops at the end of
// standard input.
func flood(addr string, conns int) error {
	burst := bytes.Repeat(frameOf([]byte{'t'}), 10000)
	for range conns {
		nc, err := dialConn(addr, peerTLS())
		if err != nil {
			return err
		}
		if _, err := nc.Write(burst); err != nil {
			return err
		}
		go io.Copy(io.Discard, nc)
		go func() {
			for {
				if _, err := nc.Write(burst); err != nil {
					return // the server has closed
				}
			}
		}()
	}
	fmt.Println("open")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// holdOpen opens connections, prints "open", and when a line comes on standard input does a round trip on each and
// prints "served"; at the end of standard input it exits.
func holdOpen(addr string, conns int) error {
	peers := make([]net.Conn, conns)
	for i := range peers {
		var err error
		if peers[i], err = dialConn(addr, peerTLS()); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	fmt.Println("open")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		want := frameOf([]byte("ping"))
		got := make([]byte, len(want))
		for i, nc := range peers {
			nc.SetDeadline(time.Now().Add(testTimeout))
			if _, err := nc.Write(want); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			if _, err := io.ReadFull(nc, got); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
		fmt.Println("served")
	}
	return in.Err()
}

// holder is a peer process in mode hold or flood.
type holder struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func startHolder(t *testing.T, mode string, s *Server, conns int) *holder {
	t.Helper()
	cmd := peerFor(s, "%s %s %d", mode, s.Addr("T"), conns)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error("peer: ", err)
		}
	})
	return &holder{t, in, bufio.NewReader(out)}
}

func (h *holder) expect(word string) {
	h.t.Helper()
	if line, err := h.out.ReadString('\n'); strings.TrimSpace(line) != word {
		h.t.Fatalf("peer said %q (%v), want %q", line, err, word)
	}
}

func (h *holder) roundTrips() {
	h.t.Helper()
	fmt.Fprintln(h.in)
	h.expect("served")
}

// roundTrips prints nanoseconds per operation, and the latencies in µs at p50, p99 and p99.9.
func roundTrips(addr string, conns, n, size int) error {
	req := frameOf(make([]byte, size))
	peers := make([]net.Conn, conns)
	for i := range peers {
		var err error
		if peers[i], err = dialConn(addr, peerTLS()); err != nil {
			return err
		}
	}
	lat := make([][]time.Duration, conns)
	errs := make([]error, conns)
	start := time.Now()
	var wg sync.WaitGroup
	for i, nc := range peers {
		count := n / conns
		if i < n%conns {
			count++
		}
		wg.Go(func() {
			resp := make([]byte, 4+min(size, 64))
			for range count {
				at := time.Now()
				if _, errs[i] = nc.Write(req); errs[i] != nil {
					return
				}
				if _, errs[i] = io.ReadFull(nc, resp); errs[i] != nil {
					return
				}
				lat[i] = append(lat[i], time.Since(at))
			}
		})
	}
	wg.Wait()
	total := time.Since(start)
	all := slices.Concat(lat...)
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Nanoseconds()) / 1e3 }
	fmt.Println(float64(total.Nanoseconds())/float64(n), at(0.5), at(0.99), at(0.999))
	return errors.Join(errs...)
}
