package netpoll

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSocketOptions: connections get the buffers that are configured, which the kernel doubles for its own bookkeeping.
func TestSocketOptions(t *testing.T) {
	const send, receive = 51_200, 40_960
	ln, err := listen(net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Options{SendBufferBytes: send, ReceiveBufferBytes: receive})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{unix.SO_SNDBUF: 2 * send, unix.SO_RCVBUF: 2 * receive} {
		if err := onSocket(raw, func(fd int) error {
			got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
			if got != want {
				t.Errorf("option %d is %d, want %d", option, got, want)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBacklog: when nobody accepts, a short backlog is full after the connections that it has room for, a long one is not.
func TestBacklog(t *testing.T) {
	const connections = 6
	for backlog, want := range map[int]int{2: 3, 100: connections} { // the kernel takes one more than it is told
		ln, err := listen(net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Options{Backlog: backlog})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for range connections {
			c, err := net.DialTimeout("tcp", ln.Addr().String(), 500*time.Millisecond)
			if err != nil {
				break
			}
			defer c.Close()
			got++
		}
		if got != want {
			t.Errorf("backlog %d: %d connections, want %d", backlog, got, want)
		}
		ln.Close()
	}
}
