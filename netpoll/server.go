package netpoll

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/netpoll/rate"
)

// Server owns the listeners and connections opened by Listen.
type Server struct {
	opts      Options
	begun     time.Time
	endpoints []*endpoint
	engine    *gnet.Client // the event loops
	pollers   []*writePoller
	log       *limitedLog

	loopsMu sync.Mutex
	loops   map[gnet.EventLoop]*loop

	conns struct {
		sync.Mutex
		byID  map[uint64]*Conn
		perIP map[netip.Addr]int
		last  uint64
		total int // admitted: byID and those being opened

		limits      Limits
		limited     Limited
		perListener map[string]int
		room        chan struct{}             // closed when there may be room again; nil when nobody waits
		rates       map[string]*rate.Windowed // of listeners, "": of all; nil until a limit asks
		rateOf      map[netip.Addr]*rate.Windowed
		turnedAway  int // connections above the rate of their address that are not closed yet
	}

	mutes     mutes
	inbound   budget
	buffers   bufferPools
	responses sync.Pool // of *Response
	iovecs    sync.Pool // of *[iovMax]unix.Iovec

	now         atomic.Int64 // coarse clock, ms, advanced by the sweep
	inBytes     atomic.Int64 // in connections' buffers
	outBytes    atomic.Int64 // completed, not written
	outstanding atomic.Int64 // responses begun and not recycled
	busy        atomic.Int64 // turns under way
	draining    atomic.Bool
	closing     atomic.Bool
	quiet       chan struct{} // capacity 1: outstanding and busy may be zero
	moves       atomic.Int64
	reasons     [reasonCount]atomic.Int64
	handshakes  atomic.Int64

	acceptors  sync.WaitGroup
	acceptStop chan struct{}
	acceptOnce sync.Once
	goroutines sync.WaitGroup // of moved connections
	sweepStop  chan struct{}
	sweepDone  chan struct{}
	closeOnce  sync.Once
	closeErr   error
}

// endpoint is a bound listener.
type endpoint struct {
	name string
	tls  *tls.Config // nil: plaintext
	ln   *net.TCPListener
}

// Listen binds every endpoint and starts serving. An error names the endpoint; nothing is left bound then.
func Listen(opts Options) (*Server, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := newServer(opts)
	if err := s.start(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func newServer(opts Options) *Server {
	s := &Server{
		opts:       opts,
		begun:      time.Now(),
		log:        newLimitedLog(opts.Logger),
		loops:      make(map[gnet.EventLoop]*loop),
		inbound:    budget{limit: opts.InboundBytes},
		quiet:      make(chan struct{}, 1),
		acceptStop: make(chan struct{}),
		sweepStop:  make(chan struct{}),
		sweepDone:  make(chan struct{}),
	}
	s.iovecs.New = func() any { return new([iovMax]unix.Iovec) }
	s.conns.byID = make(map[uint64]*Conn)
	s.conns.perIP = make(map[netip.Addr]int)
	s.conns.perListener = make(map[string]int)
	s.conns.limits = opts.Limits.withDefaults()
	s.now.Store(time.Now().UnixMilli())
	return s
}

// newConn returns a connection that nobody owns yet.
func (s *Server) newConn(e *endpoint, remote, local netip.AddrPort) *Conn {
	c := &Conn{srv: s, ep: e, remote: remote, local: local}
	c.out.c = c
	c.rxTime.Store(s.now.Load())
	c.rxMarkTime = s.now.Load()
	return c
}

func (s *Server) start() error {
	for _, e := range s.opts.Endpoints {
		ln, err := listen(e.Addr, s.opts)
		if err != nil {
			return fmt.Errorf("netpoll: listener %s: %w%s", e.Name, err, bindAdvice(err))
		}
		s.endpoints = append(s.endpoints, &endpoint{name: e.Name, tls: e.TLS, ln: ln})
	}
	for range s.opts.Loops {
		p, err := newWritePoller()
		if err != nil {
			return err
		}
		s.pollers = append(s.pollers, p)
	}
	engine, err := gnet.NewClient(events{s},
		gnet.WithNumEventLoop(s.opts.Loops),
		gnet.WithReadBufferCap(s.opts.ReadBufferBytes),
		gnet.WithLogger(gnetLogger{s.opts.Logger}))
	if err == nil {
		err = engine.Start()
	}
	if err != nil {
		return fmt.Errorf("netpoll: start event loops: %w", err)
	}
	s.engine = engine
	go s.sweep()
	for _, e := range s.endpoints {
		s.acceptors.Add(1)
		go s.accept(e)
	}
	return nil
}

// Addr is the bound address of a listener (its real port when 0 was asked for), nil when there is no such listener.
func (s *Server) Addr(listener string) *net.TCPAddr {
	for _, e := range s.endpoints {
		if e.name == listener {
			return e.ln.Addr().(*net.TCPAddr)
		}
	}
	return nil
}

// Drain stops accepting and delivers no more frames, then waits until every begun response has been sent and taken by
// the kernel, or ctx ends (the error then says how many were left). Connections stay open until Close.
func (s *Server) Drain(ctx context.Context) error {
	s.stopAccepting()
	s.draining.Store(true)
	for {
		// A turn that began before draining was set may still begin a response; one that begins later does not.
		// Hence busy first.
		if s.busy.Load() == 0 && s.outstanding.Load() == 0 {
			return nil
		}
		select {
		case <-s.quiet:
		case <-ctx.Done():
			return fmt.Errorf("netpoll: drain: %d responses outstanding: %w", s.outstanding.Load(), ctx.Err())
		}
	}
}

// settled notes that n responses are gone, or (0) that a turn is over.
func (s *Server) settled(n int64) {
	left := s.outstanding.Load()
	if n > 0 {
		left = s.outstanding.Add(-n)
	}
	if left == 0 && s.draining.Load() {
		select {
		case s.quiet <- struct{}{}:
		default:
		}
	}
}

func (s *Server) stopAccepting() {
	s.acceptOnce.Do(func() { close(s.acceptStop) })
	for _, e := range s.endpoints {
		_ = e.ln.Close() // a second close is an error of no interest
	}
	s.acceptors.Wait()
}

// Close stops accepting, closes every connection, and returns when all goroutines have ended. Responses still held by
// the handler may be sent or dropped later: they are released. Idempotent.
func (s *Server) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.stop() })
	return s.closeErr
}

// stop undoes start, also when that failed half way.
func (s *Server) stop() error {
	s.closing.Store(true)
	s.stopAccepting()
	s.mutes.end()
	var err error
	if s.engine != nil {
		// Closes the connections of the loops. No connection moves to a goroutine after this.
		if e := s.engine.Stop(); e != nil {
			err = fmt.Errorf("netpoll: stop event loops: %w", e)
		}
		s.stopRelays()
		for _, c := range s.snapshot(nil) {
			c.Close(ErrServerClosed)
		}
		s.goroutines.Wait()
		close(s.sweepStop)
		<-s.sweepDone
	}
	for _, p := range s.pollers {
		p.close()
	}
	return err
}

// snapshot lists the open connections in the memory of list.
func (s *Server) snapshot(list []*Conn) []*Conn {
	s.conns.Lock()
	defer s.conns.Unlock()
	list = list[:0]
	for _, c := range s.conns.byID {
		list = append(list, c)
	}
	return list
}
