package netpoll

import (
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"time"
)

// Options configures a Server. Endpoints and Handler are required; every other field has a default at zero.
type Options struct {
	// Endpoints are the listeners; names must differ. Port 0 takes a free port, see Server.Addr.
	Endpoints []Endpoint
	Handler   Handler
	// Logger gets one line per event an operator cares about; lines that a peer can cause are rate-limited.
	// Default slog.Default().
	Logger *slog.Logger
	// Loops is the number of event loops. Default half of GOMAXPROCS, 1 to 8: more only take processors from those who
	// complete the requests (measured: doc.go).
	Loops int
	// ReadBufferBytes is the size of each loop's read buffer: the most that one connection is read per turn, and the
	// size up to which frames are delivered without a copy. Rounded up to a power of two. Default 256 KiB.
	ReadBufferBytes int
	// SendBufferBytes and ReceiveBufferBytes are SO_SNDBUF and SO_RCVBUF of connections. 0: the system's, which adapt to the connection.
	SendBufferBytes, ReceiveBufferBytes int
	// Backlog is how many connections of an endpoint may wait to be accepted (socket.listen.backlog.size). 0: as many as the system allows.
	Backlog int
	// MaxFrameBytes is the largest frame, its prefix not counted (socket.request.max.bytes). Default 100 MiB.
	MaxFrameBytes int
	// IdleTimeout closes connections on which nothing happens (connections.max.idle.ms). Default 10 minutes; negative: never.
	IdleTimeout time.Duration
	// StallTimeout is how long a peer may sit on memory that others wait for (a frame that stopped arriving, a
	// response that it does not read) before its connection is closed; a quarter of it when all others wait for that one
	// connection. Default 10 seconds.
	StallTimeout time.Duration
	// HandshakeTimeout is how long a TLS handshake may take. Default 10 seconds.
	HandshakeTimeout time.Duration
	// InboundBytes bounds the bytes of partially received and held frames of all connections. One frame more, of at
	// most MaxFrameBytes, may be in memory besides, and 8 KiB per connection. Default 128 MiB.
	InboundBytes int64
	// OutboundBytes bounds the bytes of responses sent by the handler and not yet taken by the kernel, of all
	// connections. It is enforced by not delivering frames to connections that have output queued, and by closing
	// stalled readers from three quarters of it on; a handler that sizes its responses by Conn.OutboundRoom makes it firm. Default 256 MiB.
	OutboundBytes int64
	// ConnOutboundBytes is the same for one connection: above it no further frame is delivered until the output has
	// drained to half of it. Default 1 MiB.
	ConnOutboundBytes int
	// MaxInFlight bounds the responses of one connection that were begun and are not yet written. At the bound no
	// further frame is delivered. Default 256.
	MaxInFlight int
	// Limits are those of connections, until SetLimits. Default none.
	Limits Limits
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Loops == 0 {
		o.Loops = min(max(1, runtime.GOMAXPROCS(0)/2), 8)
	}
	if o.ReadBufferBytes == 0 {
		o.ReadBufferBytes = 256 << 10
	}
	if o.MaxFrameBytes == 0 {
		o.MaxFrameBytes = 100 << 20
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 10 * time.Minute
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 10 * time.Second
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = 10 * time.Second
	}
	if o.InboundBytes == 0 {
		o.InboundBytes = 128 << 20
	}
	if o.OutboundBytes == 0 {
		o.OutboundBytes = 256 << 20
	}
	if o.ConnOutboundBytes == 0 {
		o.ConnOutboundBytes = 1 << 20
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 256
	}
	return o
}

func (o Options) validate() error {
	if o.Handler == nil {
		return fmt.Errorf("netpoll: Options.Handler is nil")
	}
	if len(o.Endpoints) == 0 {
		return fmt.Errorf("netpoll: Options.Endpoints is empty")
	}
	names := make(map[string]bool, len(o.Endpoints))
	for _, e := range o.Endpoints {
		if names[e.Name] {
			return fmt.Errorf("netpoll: Options.Endpoints names %q twice", e.Name)
		}
		names[e.Name] = true
	}
	for _, f := range []struct {
		name     string
		value    int64
		low, top int64
	}{
		{"Loops", int64(o.Loops), 1, 1024},
		{"SendBufferBytes", int64(o.SendBufferBytes), 0, math.MaxInt32},
		{"ReceiveBufferBytes", int64(o.ReceiveBufferBytes), 0, math.MaxInt32},
		{"Backlog", int64(o.Backlog), 0, math.MaxInt32},
		{"ReadBufferBytes", int64(o.ReadBufferBytes), 1 << 10, 64 << 20},
		{"MaxFrameBytes", int64(o.MaxFrameBytes), 1, math.MaxInt32},
		{"StallTimeout", int64(o.StallTimeout), 1, math.MaxInt64},
		{"HandshakeTimeout", int64(o.HandshakeTimeout), 1, math.MaxInt64},
		{"InboundBytes", o.InboundBytes, 64 << 10, math.MaxInt64},
		{"OutboundBytes", o.OutboundBytes, 64 << 10, math.MaxInt64},
		{"ConnOutboundBytes", int64(o.ConnOutboundBytes), 1, math.MaxInt64},
		{"MaxInFlight", int64(o.MaxInFlight), 1, math.MaxInt64},
	} {
		if f.value < f.low || f.value > f.top {
			return fmt.Errorf("netpoll: Options.%s is %d, allowed is %d to %d", f.name, f.value, f.low, f.top)
		}
	}
	return nil
}
