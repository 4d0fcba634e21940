package netpoll

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestChurn: peers that connect, send, close, reset and half-close at any moment, against a handler that does everything
// it may, also after the connection is gone. In the end every connection was opened and closed once, every reference released,
// nothing is accounted for, and what was answered was answered correctly.
func TestChurn(t *testing.T) {
	plainAndTLS(t, testChurn)
}

func testChurn(t *testing.T) {
	type state struct {
		rng    *rand.Rand
		parked map[*Response]bool
	}
	var (
		opened, closed, answered atomic.Int64
		refs                     counter
		late                     sync.WaitGroup
		logs                     waittest.Log
	)
	h := handlerFuncs{
		opened: func(c *Conn) {
			opened.Add(1)
			c.Value = &state{rand.New(rand.NewPCG(c.ID(), 5)), make(map[*Response]bool)}
		},
		closed: func(c *Conn, err error) {
			closed.Add(1)
			// Execute runs nothing any more; what was parked is completed here.
			for r := range c.Value.(*state).parked {
				r.Drop()
			}
			c.Value = nil
		},
	}
	h.frame = func(c *Conn, frame []byte) Verdict {
		p := c.Value.(*state)
		rng := p.rng
		switch rng.IntN(40) {
		case 0:
			late.Go(c.Resume)
			return Hold
		case 1:
			c.MoveToGoroutine()
		case 2:
			late.Go(func() { c.Close(errors.New("enough")) })
		case 3:
			c.Begin().Drop()
			return Close
		}
		r := c.Begin()
		r.Append(frame)
		if rng.IntN(2) == 0 {
			refs.taken.Add(1)
			r.Reference(make([]byte, rng.IntN(200<<10)), &refs)
		}
		switch rng.IntN(4) {
		case 0:
			late.Go(r.Send)
		case 1:
			p.parked[r] = true
			late.Go(func() {
				c.Execute(func() {
					delete(p.parked, r)
					r.Send()
				})
			})
		default:
			r.Send()
		}
		return Next
	}
	s := serve(t, h, func(o *Options) {
		o.Logger = logs.Logger(slog.LevelWarn)
		o.Loops = 2
		o.InboundBytes = 256 << 10
		o.OutboundBytes = 4 << 20
		o.IdleTimeout = 2 * time.Second
		o.StallTimeout = 50 * time.Millisecond
		o.MaxInFlight = 8
	})
	addr := s.Addr("T").String()
	var peers sync.WaitGroup
	stop := time.Now().Add(3 * time.Second)
	for i := range 24 {
		peers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 6))
			for time.Now().Before(stop) {
				nc, err := dialConn(addr, s.endpoints[0].tls != nil)
				if err != nil {
					t.Error(err)
					return
				}
				churn(t, nc, rng, &answered)
			}
		})
	}
	peers.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	late.Wait()
	if opened.Load() != closed.Load() || opened.Load() == 0 {
		t.Errorf("%d opened, %d closed", opened.Load(), closed.Load())
	}
	if !refs.zero() || s.Stats().OutstandingSends != 0 {
		t.Errorf("%d of %d references released; %+v", refs.released.Load(), refs.taken.Load(), s.Stats())
	}
	if lines := logs.With("gnet:"); len(lines) > 0 {
		t.Errorf("gnet complains: %q", lines)
	}
	t.Logf("%d connections, %d answers; %+v", opened.Load(), answered.Load(), s.Stats())
}

// churn is the life of one peer.
func churn(t *testing.T, nc net.Conn, rng *rand.Rand, answered *atomic.Int64) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Second))
	frames := rng.IntN(20)
	go func(seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 7))
		for i := range frames {
			frame := make([]byte, 8+rng.IntN(1<<rng.IntN(18)))
			binary.BigEndian.PutUint64(frame, uint64(i))
			if rng.IntN(100) == 0 {
				nc.Write(frameOf(frame)[:rng.IntN(len(frame))])
				break
			}
			if _, err := nc.Write(frameOf(frame)); err != nil {
				return
			}
		}
		if rng.IntN(2) == 0 {
			nc.(interface{ CloseWrite() error }).CloseWrite()
		}
	}(rng.Uint64())
	if rng.IntN(8) == 0 {
		tc, ok := nc.(*net.TCPConn)
		if !ok {
			tc = nc.(*tls.Conn).NetConn().(*net.TCPConn)
		}
		tc.SetLinger(0) // a reset
	}
	reads := rng.IntN(frames + 1)
	for i := range reads {
		var head [12]byte
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			return
		}
		if n := binary.BigEndian.Uint64(head[4:]); n != uint64(i) {
			t.Errorf("answer %d where %d is due", n, i)
			return
		}
		if _, err := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(head[:4]))-8); err != nil {
			return
		}
		answered.Add(1)
	}
}
