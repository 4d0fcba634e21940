package group

import (
	"container/heap"
	"time"
)

// timer is one deadline of a shard. A timer that is only ever moved later (a session that a heartbeat extends) costs two
// assignments: its place in the heap is put right when the heap's top reaches it.
type timer struct {
	fire     func(t *turn) // runs in a turn of the shard, once for each set
	deadline time.Duration // when to fire, since shard.base
	at       time.Duration // key in the heap; at <= deadline
	slot     int           // 1 + index in the heap; 0 when not in it
}

func (tm *timer) armed() bool { return tm.slot != 0 }

// timers is a min-heap of the armed timers of a shard. Guarded by shard.mu.
type timers []*timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timers) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].slot, h[j].slot = i+1, j+1 }
func (h *timers) Push(x any)        { tm := x.(*timer); *h = append(*h, tm); tm.slot = len(*h) }
func (h *timers) Pop() any {
	old := *h
	last := len(old) - 1
	tm := old[last]
	old[last] = nil
	*h = old[:last]
	tm.slot = 0
	return tm
}

// set arms tm, or moves it.
func (h *timers) set(tm *timer, deadline time.Duration) {
	tm.deadline = deadline
	switch {
	case !tm.armed():
		tm.at = deadline
		heap.Push(h, tm)
	case deadline < tm.at:
		tm.at = deadline
		heap.Fix(h, tm.slot-1)
	}
}

// stop disarms tm.
func (h *timers) stop(tm *timer) {
	if tm.armed() {
		heap.Remove(h, tm.slot-1)
	}
}

// due removes and returns the first timer whose deadline has come, or nil.
func (h *timers) due(now time.Duration) *timer {
	for len(*h) > 0 && (*h)[0].at <= now {
		tm := (*h)[0]
		if tm.deadline <= now {
			heap.Pop(h)
			return tm
		}
		tm.at = tm.deadline
		heap.Fix(h, 0)
	}
	return nil
}
