package netpoll

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen opens the socket of an endpoint. Connections inherit the sizes of its buffers, which must be set before they come: the window of a connection is
// scaled by what its receive buffer was at the handshake.
func listen(addr net.TCPAddr, o Options) (*net.TCPListener, error) {
	lc := net.ListenConfig{
		// Kafka sets SO_KEEPALIVE with the host's defaults, so do we.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1},
		Control: func(_, _ string, c syscall.RawConn) error {
			return onSocket(c, func(fd int) error {
				for option, size := range map[int]int{unix.SO_SNDBUF: o.SendBufferBytes, unix.SO_RCVBUF: o.ReceiveBufferBytes} {
					if size == 0 {
						continue
					}
					if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size); err != nil {
						return os.NewSyscallError("setsockopt", err)
					}
				}
				return nil
			})
		},
	}
	l, err := lc.Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	ln := l.(*net.TCPListener)
	if o.Backlog == 0 {
		return ln, nil
	}
	// Package net listens with what the system allows. A second listen(2) on the socket changes the number.
	raw, err := ln.SyscallConn()
	if err == nil {
		err = onSocket(raw, func(fd int) error { return os.NewSyscallError("listen", unix.Listen(fd, o.Backlog)) })
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// bindAdvice says what an operator can do about the failure to listen, "" when the error says enough.
func bindAdvice(err error) string {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return ": another process listens there: end it (ss -ltnp shows it), or change the port"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return ": this host has no such address: listen on one that it has, or on all (no host before the port), and advertise the other"
	case errors.Is(err, unix.EACCES):
		return ": ports below 1024 are for root and for who has CAP_NET_BIND_SERVICE"
	}
	return ""
}

// onSocket calls fn with the descriptor of c.
func onSocket(c syscall.RawConn, fn func(fd int) error) error {
	var failed error
	if err := c.Control(func(fd uintptr) { failed = fn(int(fd)) }); err != nil {
		return err
	}
	return failed
}
