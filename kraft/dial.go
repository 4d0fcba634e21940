package kraft

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialTimeout = 2 * time.Second
	// deadAfter is how long the other end of a connection may leave bytes or probes unacknowledged. By itself TCP sends again ever more rarely: after a
	// network was cut for ten seconds, a connection from before stays silent for up to another ten, and a quorum that loses a second node meanwhile has no
	// majority although all could talk. A new connection takes a round trip.
	deadAfter = 2 * time.Second
)

// tcpDialer makes connections between nodes, which end soon after the other host has fallen silent, also while nothing is sent.
func tcpDialer() net.Dialer {
	return net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: int(deadAfter / time.Second)},
		Control: func(_, _ string, c syscall.RawConn) error {
			var set error
			err := c.Control(func(fd uintptr) {
				set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
			})
			return errors.Join(err, set)
		},
	}
}
