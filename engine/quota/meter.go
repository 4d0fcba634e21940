package quota

import (
	"sync"
	"time"

	"github.com/ringmq/ringmq/netpoll/rate"
)

// Tag is who shares a meter. An empty User or ClientID says that the limit does not depend on it (Kafka's tags of the quota metrics).
type Tag struct {
	Kind           Kind
	User, ClientID string
}

// meter measures everybody with one tag.
type meter struct {
	manager *Manager
	tag     Tag
	mu      struct {
		sync.Mutex
		limit   float64
		used    int64         // when it was asked last, milliseconds of the manager's clock
		rate    rate.Windowed // of all kinds but Mutation
		bucket  rate.Bucket   // of Mutation
		waits   rate.Windowed // milliseconds of the waits that were imposed
		waiting rate.Windowed // how many they were
	}
}

// Averages of waits are kept over Kafka's metrics.num.samples and metrics.sample.window.ms.
const (
	waitSamples      = 2
	waitWindowMillis = 30_000
)

func newMeter(m *Manager, tag Tag) *meter {
	x := &meter{manager: m, tag: tag}
	windows := m.options.Windows
	if tag.Kind == Mutation {
		windows = m.options.MutationWindows
	}
	millis := windows.Size.Milliseconds()
	x.mu.rate = rate.Windowed{Samples: windows.Number, Window: millis}
	x.mu.bucket = rate.Bucket{Samples: windows.Number, Window: millis}
	x.mu.waits = rate.Windowed{Samples: waitSamples, Window: waitWindowMillis}
	x.mu.waiting = x.mu.waits
	return x
}

// Record adds what a client did and returns how long it has to wait; 0 without a limit. For Mutation see Mutate.
func (c *Client) Record(kind Kind, value float64) time.Duration {
	x := c.meters[kind]
	if x == nil {
		return 0
	}
	now := x.manager.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.used = now
	x.mu.rate.Record(now, value)
	wait := x.mu.rate.Wait(now, x.mu.limit)
	if kind == Request { // bounded, as in Kafka: a client that is late is not sent away for long
		wait = min(wait, x.manager.options.Windows.Size.Milliseconds())
	}
	return x.imposedLocked(now, wait)
}

// Note is Record without a wait: it counts, and the next request may have to wait for it.
func (c *Client) Note(kind Kind, value float64) {
	x := c.meters[kind]
	if x == nil {
		return
	}
	now := x.manager.now()
	x.mu.Lock()
	x.mu.used = now
	x.mu.rate.Record(now, value)
	x.mu.Unlock()
}

// imposedLocked notes a wait and returns it.
func (x *meter) imposedLocked(now, wait int64) time.Duration {
	if wait > 0 {
		x.mu.waits.Record(now, float64(wait))
		x.mu.waiting.Record(now, 1)
	}
	return time.Duration(wait) * time.Millisecond
}

// Mutate takes n from the Mutation quota. With strict set nothing is taken from a client that has taken too much already: ok is false then. Otherwise it
// is taken in any case. wait is how long the client should wait before it asks again.
func (c *Client) Mutate(n int, strict bool) (wait time.Duration, ok bool) {
	x := c.meters[Mutation]
	if x == nil {
		return 0, true
	}
	now := x.manager.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.used = now
	if strict && x.mu.bucket.Tokens(now, x.mu.limit) < 0 {
		return x.imposedLocked(now, x.mu.bucket.Wait(now, x.mu.limit)), false
	}
	x.mu.bucket.Take(now, float64(n), x.mu.limit)
	if strict {
		return 0, true
	}
	return x.imposedLocked(now, x.mu.bucket.Wait(now, x.mu.limit)), true
}

// MostAtOnce is how much a client may do in one request without having to wait, if it has done nothing before; ok is false without a limit.
func (c *Client) MostAtOnce(kind Kind) (most float64, ok bool) {
	x := c.meters[kind]
	if x == nil {
		return 0, false
	}
	w := x.manager.options.Windows
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.limit * float64(w.Number-1) * w.Size.Seconds(), true
}

// idleLocked says that a new meter would answer the same.
func (x *meter) idleLocked(now int64) bool {
	if x.tag.Kind == Mutation {
		full := float64(x.mu.bucket.Samples) * float64(x.mu.bucket.Window) / 1000 * x.mu.limit
		return x.mu.bucket.Tokens(now, x.mu.limit) >= full
	}
	return x.mu.rate.Idle(now)
}
