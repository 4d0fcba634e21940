package netpoll

import (
	"fmt"
	"time"
)

// stallBytes is the progress that a peer has to make within StallTimeout when others wait for the memory it holds.
const stallBytes = 64 << 10

// laneShare divides StallTimeout for the one connection that may take memory beyond the budget.
const laneShare = 4

// sweep advances the coarse clock and closes connections on which nothing happens: one pass over all connections a few times
// per timeout, instead of a timer for each.
func (s *Server) sweep() {
	defer close(s.sweepDone)
	shortest := s.opts.StallTimeout
	if s.opts.IdleTimeout > 0 {
		shortest = min(shortest, s.opts.IdleTimeout)
	}
	period := min(max(shortest/8, 5*time.Millisecond), time.Second)
	tick := time.NewTicker(period)
	defer tick.Stop()
	last, begun := time.Now(), s.now.Load()
	var ran time.Duration
	var list []*Conn
	var shortSince int64 // when connections began to wait for inbound memory; 0: none waits
	for {
		select {
		case <-s.sweepStop:
			return
		case <-tick.C:
		}
		wall := time.Now()
		ran += counted(wall.Sub(last), period)
		last = wall
		now := begun + ran.Milliseconds()
		s.now.Store(now)
		lane, waiting := s.inbound.contended()
		if !waiting {
			shortSince = 0
		} else if shortSince == 0 {
			shortSince = now
		}
		list = s.snapshot(list)
		for i, c := range list {
			s.judge(c, now, shortSince, c == lane)
			list[i] = nil // not to keep closed connections until the next pass
		}
		if cap(list) > 1024 && len(list) < cap(list)/4 {
			list = nil
		}
	}
}

// counted is how far the coarse clock goes on. While this process does not run, because it is stopped or its machine has no time for it, it hears nobody: that is no
// silence of its peers.
func counted(elapsed, period time.Duration) time.Duration { return min(elapsed, period+period/4) }

// judge closes c if it has outstayed one of the timeouts. shortSince is since when connections wait for inbound memory (0:
// none does); lane says that they wait for c.
func (s *Server) judge(c *Conn, now, shortSince int64, lane bool) {
	if at := c.linger.Load(); at != 0 {
		if now >= at {
			c.Close(nil)
		}
		return
	}
	stall := max(1, s.opts.StallTimeout.Milliseconds())
	if n := c.out.bytes.Load(); n > 0 {
		still := now - c.out.progress.Load()
		if s.opts.IdleTimeout > 0 && still >= s.opts.IdleTimeout.Milliseconds() ||
			still >= stall && s.outBytes.Load() > s.opts.OutboundBytes/4*3 {
			c.Close(fmt.Errorf("%w: %d bytes queued, none taken for %d ms", ErrSlowReader, n, still))
			return
		}
	}
	waiting := c.waiting.Load() || c.muted.Load()
	if lane {
		stall = max(1, stall/laneShare) // all others wait for this one
	}
	if got := c.rxBytes.Load(); got-c.rxMark >= stallBytes || waiting || !c.partial.Load() {
		c.rxMark, c.rxMarkTime = got, now
	} else if shortSince != 0 && now-max(c.rxMarkTime, shortSince) >= stall {
		c.Close(fmt.Errorf("%w: %d bytes in %d ms while others wait for its memory", ErrStalled, got-c.rxMark, now-c.rxMarkTime))
		return
	}
	if s.opts.IdleTimeout > 0 && !waiting && c.out.depth.Load() == 0 &&
		now-max(c.rxTime.Load(), c.out.progress.Load()) >= s.opts.IdleTimeout.Milliseconds() {
		c.Close(fmt.Errorf("%w: %d ms", ErrIdle, now-c.rxTime.Load()))
	}
}
