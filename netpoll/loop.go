package netpoll

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// events is what gnet calls, on the goroutine of the loop that owns the connection. gnet is used as a set of loops without
// listeners (its client engine), see doc.go.
type events struct{ s *Server }

func (e events) OnBoot(gnet.Engine) gnet.Action       { return gnet.None }
func (e events) OnShutdown(gnet.Engine)               {}
func (e events) OnTick() (time.Duration, gnet.Action) { return time.Hour, gnet.None }
func (e events) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	c := gc.Context().(*Conn)
	c.gc = gc
	c.out.mu.fd = gc.Fd()
	c.mail.mu.Lock()
	c.mail.mu.loop = e.s.loopOf(gc.EventLoop())
	c.mail.mu.Unlock()
	c.open()
	return nil, gnet.None
}

// OnTraffic is called when bytes were read. They are taken completely, so that gnet never buffers anything.
func (e events) OnTraffic(gc gnet.Conn) gnet.Action {
	c, ok := gc.Context().(*Conn)
	data, err := gc.Next(-1)
	if !ok || err != nil {
		return gnet.Close
	}
	return c.loopTurn(data)
}

// OnClose is called before gnet closes the descriptor.
func (e events) OnClose(gc gnet.Conn, err error) gnet.Action {
	c, ok := gc.Context().(*Conn)
	if !ok {
		return gnet.None // moved to a goroutine
	}
	if errors.Is(err, io.EOF) {
		err = io.EOF
		// The peer has closed, but frames that came before that are waiting for their turn.
		if !c.ended() && !c.finishing && c.in.kept() > 0 && c.in.missing(c.maxFrame()) == 0 && !c.srv.closing.Load() {
			if c.move() == nil {
				return gnet.None
			}
		}
	} else if err == nil && !c.endWanted && !c.shut {
		err = ErrServerClosed
	}
	if c.shut {
		err = nil
	}
	c.end(err)
	c.finish()
	c.gc = nil
	return gnet.None
}

// loopTurn is a turn on the event loop.
func (c *Conn) loopTurn(data []byte) gnet.Action {
	if c.shut {
		data = nil // nobody wants it; it is read so that closing does not reset the connection
	}
	c.turn(c.mail.mu.loop, data)
	if c.ended() {
		return gnet.Close
	}
	if c.moveWanted && !c.shut {
		if err := c.move(); err != nil {
			c.end(err)
		}
		return gnet.Close // of gnet's descriptor only, if the move went well
	}
	return gnet.None
}

// loop is one gnet event loop as the target of posts.
//
// gnet runs its tasks until none is left before it looks at sockets again. A connection that posts itself, because it gave up
// its turn or has room again, must therefore not become a task from within a task: with a peer that floods the server the
// loop would not come back to the others before all is delivered. What is posted while Run runs goes round by the relay goroutine.
type loop struct {
	s     *Server
	el    gnet.EventLoop
	relay chan struct{} // capacity 1: schedule Run
	done  chan struct{} // the relay has ended

	mu        sync.Mutex
	queue     []*Conn // posted, not yet looked at
	scheduled bool    // Run is running or will be called

	spare []*Conn // the other half of a double buffer; owned by Run
}

func (s *Server) loopOf(el gnet.EventLoop) *loop {
	s.loopsMu.Lock()
	defer s.loopsMu.Unlock()
	l := s.loops[el]
	if l == nil {
		l = &loop{s: s, el: el, relay: make(chan struct{}, 1), done: make(chan struct{})}
		s.loops[el] = l
		go func() {
			defer close(l.done)
			for range l.relay {
				l.schedule()
			}
		}()
	}
	return l
}

// stopRelays ends what loopOf started. REQUIRES: the engine has stopped.
func (s *Server) stopRelays() {
	s.loopsMu.Lock()
	defer s.loopsMu.Unlock()
	for _, l := range s.loops {
		close(l.relay)
		<-l.done
	}
}

// schedule has gnet call Run.
func (l *loop) schedule() {
	// Fails only when the engine has shut down; it closes its connections itself.
	_ = l.el.Execute(context.Background(), l)
}

// enqueue makes the loop look at c's mailbox. Any goroutine.
func (l *loop) enqueue(c *Conn) {
	l.mu.Lock()
	l.queue = append(l.queue, c)
	wake := !l.scheduled
	l.scheduled = true
	l.mu.Unlock()
	if wake {
		l.schedule()
	}
}

// Run serves posted connections. gnet calls it on the loop's goroutine.
func (l *loop) Run(context.Context) error {
	l.mu.Lock()
	queue := l.queue
	l.queue = l.spare[:0]
	l.mu.Unlock()
	for i, c := range queue {
		queue[i] = nil
		c.mail.mu.Lock()
		mine := c.mail.mu.loop == l && !c.mail.mu.dead
		c.mail.mu.Unlock()
		if !mine {
			continue // moved or closed since
		}
		gc := c.gc
		if c.loopTurn(nil) == gnet.Close {
			_ = l.el.Close(gc)
		}
	}
	if cap(queue) > 4096 {
		queue = nil
	}
	l.spare = queue
	l.mu.Lock()
	l.scheduled = len(l.queue) > 0
	again := l.scheduled
	l.mu.Unlock()
	if again {
		l.relay <- struct{}{} // has room: it was emptied before Run was scheduled
	}
	return nil
}
