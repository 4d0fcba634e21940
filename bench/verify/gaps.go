package verify

import (
	"sync"
	"time"
)

// Gaps measures for how long each partition goes without an acknowledgement while records are produced to it: what an outage looks like to
// a producer. The client's own time counts too: its retries, and a busy machine. Safe for use by many goroutines; a nil Gaps ignores what it
// is told.
type Gaps struct {
	mu      sync.Mutex
	last    []time.Time // latest acknowledgement
	longest []time.Duration
}

// NewGaps is for a topic of n partitions.
func NewGaps(n int) *Gaps {
	return &Gaps{last: make([]time.Time, n), longest: make([]time.Duration, n)}
}

// begin starts the clocks: production begins now.
func (g *Gaps) begin(now time.Time) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.last {
		g.last[i] = now
	}
}

func (g *Gaps) acknowledged(partition int32, now time.Time) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest[partition] = max(g.longest[partition], now.Sub(g.last[partition]))
	g.last[partition] = now
}

// Reset forgets the gaps so far. A gap that lasts goes on to count from its begin.
func (g *Gaps) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.longest)
}

// Longest is the longest gap of each partition since Reset, those that last included.
func (g *Gaps) Longest() []time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := make([]time.Duration, len(g.last))
	for i, last := range g.last {
		found[i] = max(g.longest[i], time.Since(last))
	}
	return found
}

// Without lists the partitions that have had no acknowledgement since then.
func (g *Gaps) Without(since time.Time) (partitions []int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, last := range g.last {
		if last.Before(since) {
			partitions = append(partitions, int32(i))
		}
	}
	return partitions
}
