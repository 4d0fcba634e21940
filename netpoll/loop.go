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
		if !c.ended() && !c.finishing && c.in.kept() > 0 && c.in.missing(c.srv.opts.MaxFrameBytes) == 0 && !c.srv.closing.Load() {
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
type loop struct {
	s  *Server
	el gnet.EventLoop

	mu        sync.Mutex
	queue     []*Conn // posted, not yet looked at
	spare     []*Conn // the other half of a double buffer; owned by Run
	scheduled bool    // Run will be called
}

func (s *Server) loopOf(el gnet.EventLoop) *loop {
	s.loopsMu.Lock()
	defer s.loopsMu.Unlock()
	l := s.loops[el]
	if l == nil {
		l = &loop{s: s, el: el}
		s.loops[el] = l
	}
	return l
}

// enqueue makes the loop look at c's mailbox. Any goroutine.
func (l *loop) enqueue(c *Conn) {
	l.mu.Lock()
	l.queue = append(l.queue, c)
	wake := !l.scheduled
	l.scheduled = true
	l.mu.Unlock()
	if wake {
		// Fails only when the engine has shut down; it closes its connections itself.
		_ = l.el.Execute(context.Background(), l)
	}
}

// Run serves posted connections. gnet calls it on the loop's goroutine.
func (l *loop) Run(context.Context) error {
	l.mu.Lock()
	queue := l.queue
	l.queue = l.spare[:0]
	l.scheduled = false
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
	return nil
}
