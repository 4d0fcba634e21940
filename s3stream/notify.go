package s3stream

import (
	"context"
	"sync"
	"sync/atomic"
)

// notifier wakes those who wait for a condition that atomics or other locks hold. Waking costs one atomic load while nobody waits.
type notifier struct {
	waiters atomic.Int32
	mu      sync.Mutex
	ch      chan struct{} // closed at the next wake; nil: nobody has asked since the last one
}

// wake makes all waiters look again. Call it after the condition has changed.
func (n *notifier) wake() {
	if n.waiters.Load() == 0 {
		return
	}
	n.mu.Lock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
	n.mu.Unlock()
}

// wait returns nil once cond is true. cond is called on this goroutine, at least once.
func (n *notifier) wait(ctx context.Context, cond func() bool) error {
	n.waiters.Add(1)
	defer n.waiters.Add(-1)
	for {
		n.mu.Lock()
		if n.ch == nil {
			n.ch = make(chan struct{})
		}
		ch := n.ch
		n.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
