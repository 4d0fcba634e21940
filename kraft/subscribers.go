package kraft

import (
	"sync"
	"sync/atomic"

	"github.com/ringmq/ringmq/kraft/image"
)

// subscribers calls functions on one goroutine for every change. The queue holds one change: while the functions are busy, later changes are
// merged into the one that waits. So a slow function costs memory for one delta, and never holds up the quorum.
type subscribers struct {
	mu      sync.Mutex
	wake    sync.Cond
	current *Image // the newest image that has been or will be delivered, or that differs from it in nothing that deltas tell
	prev    *Image // of the waiting delta
	delta   *Delta // waits for delivery, nil if none; merged
	added   []*subscription
	closed  bool

	ended chan struct{}
}

type subscription struct {
	fn   func(prev, next *Image, delta *Delta)
	gone atomic.Bool
}

func newSubscribers(current *Image) *subscribers {
	s := &subscribers{current: current, ended: make(chan struct{})}
	s.wake.L = &s.mu
	return s
}

// push announces a new image. The lists of delta are not kept.
func (s *subscribers) push(prev, next *Image, delta *Delta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = next
	if delta.Empty() {
		return
	}
	if s.delta == nil {
		s.prev, s.delta = prev, &Delta{}
	}
	s.delta.Merge(delta)
	s.wake.Signal()
}

// add subscribes fn. After the returned function has returned, fn is not called again; a call that has begun may still run.
func (s *subscribers) add(fn func(prev, next *Image, delta *Delta)) (cancel func()) {
	sub := &subscription{fn: fn}
	s.mu.Lock()
	s.added = append(s.added, sub)
	s.wake.Signal()
	s.mu.Unlock()
	return func() { sub.gone.Store(true) }
}

func (s *subscribers) run() {
	defer close(s.ended)
	var all []*subscription
	for {
		s.mu.Lock()
		for s.delta == nil && len(s.added) == 0 && !s.closed {
			s.wake.Wait()
		}
		if s.closed {
			s.mu.Unlock()
			return
		}
		prev, next, delta, added := s.prev, s.current, s.delta, s.added
		s.prev, s.delta, s.added = nil, nil, nil
		s.mu.Unlock()
		if delta != nil {
			all = call(all, prev, next, delta)
		}
		if len(added) != 0 {
			all = append(all, call(added, image.New(), next, &Delta{Full: true})...)
		}
	}
}

// call runs the subscriptions and returns those that are left.
func call(subs []*subscription, prev, next *Image, delta *Delta) []*subscription {
	left := subs[:0]
	for _, sub := range subs {
		if !sub.gone.Load() {
			sub.fn(prev, next, delta)
			left = append(left, sub)
		}
	}
	clear(subs[len(left):])
	return left
}

// close ends the goroutine after the functions that it is calling.
func (s *subscribers) close() {
	s.mu.Lock()
	s.closed = true
	s.wake.Broadcast()
	s.mu.Unlock()
	<-s.ended
}
