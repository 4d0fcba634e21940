package wal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// chunkBytes holds four blocks of the default size, or one record of Kafka's default max.message.bytes with its headers.
	chunkBytes = 1<<20 + 16<<10

	// warmChunks free chunks are always kept; more are kept as long as they were needed within the last trimEvery.
	warmChunks = 2
	trimEvery  = 5 * time.Second
)

// pool hands out the memory of a log: chunks of chunkBytes that blocks are carved from, and mappings of their own for larger blocks. All of
// it is outside the Go heap and counts against one budget.
//
// A chunk's way: mapped -> in use (refs > 0) -> free -> in use ... -> retired -> unmapped. The ring registers a chunk when it first
// writes from it, and must forget it before it is unmapped; so retired chunks wait for the commit goroutine.
type pool struct {
	budget int64
	// wake tells the commit goroutine that there are retired chunks or that hungry callers can be told.
	wake func()

	mu struct {
		sync.Mutex
		used    int64    // bytes mapped, in use, free or retired
		free    []*chunk // last in, first out
		low     int      // fewest free chunks since the last trim
		retired []*chunk
		slots   []int32 // free slots of the buffer table
		nslots  int32   // slots handed out so far
		timer   *time.Timer
		hungry  bool // somebody was refused since the last fed
		fed     bool // memory became available for the hungry
		closed  bool // no commit goroutine any more: unmap at once
	}
}

// chunk is a reference-counted piece of memory. It is the Mem of the entries in it.
type chunk struct {
	pool  *pool
	mem   []byte
	refs  atomic.Int32
	slot  int32 // in the ring's table of registered buffers; -1: a mapping of its own, never registered
	known bool  // registered with the ring; owned by the commit goroutine
}

func newPool(budget int64, wake func()) *pool {
	return &pool{budget: budget, wake: wake}
}

// slots bounds chunk.slot.
func (p *pool) slotCount() int { return int(p.budget / chunkBytes) }

// chunk returns a chunk with one reference, or nil when the budget is spent.
func (p *pool) chunk() (*chunk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.mu.free); n > 0 {
		c := p.mu.free[n-1]
		p.mu.free = p.mu.free[:n-1]
		p.mu.low = min(p.mu.low, n-1)
		c.refs.Store(1)
		return c, nil
	}
	if p.mu.used+chunkBytes > p.budget {
		p.mu.hungry = true
		return nil, ErrNoMemory
	}
	mem, err := alloc(chunkBytes)
	if err != nil {
		p.mu.hungry = true
		return nil, fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	p.mu.used += chunkBytes
	c := &chunk{pool: p, mem: mem}
	if n := len(p.mu.slots); n > 0 {
		c.slot = p.mu.slots[n-1]
		p.mu.slots = p.mu.slots[:n-1]
	} else {
		c.slot = p.mu.nslots
		p.mu.nslots++
	}
	c.refs.Store(1)
	return c, nil
}

// mapping returns n bytes, a multiple of pageBytes, with one reference. Not under Log.mu: it may take as long as filling the memory.
func (p *pool) mapping(n int) (*chunk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if over := p.mu.used + int64(n) - p.budget; over > 0 {
		// Free chunks stand in the way: let them go, and the caller come back.
		for ; over > 0 && len(p.mu.free) > 0; over -= chunkBytes {
			p.retireLocked()
		}
		p.mu.hungry = true
		if len(p.mu.retired) > 0 {
			p.wake()
		}
		return nil, ErrNoMemory
	}
	p.mu.used += int64(n)
	p.mu.Unlock()
	mem, err := allocNow(n) // not under the lock: it takes a while
	p.mu.Lock()
	if err != nil {
		p.mu.used -= int64(n)
		p.mu.hungry = true
		return nil, fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	c := &chunk{pool: p, mem: mem, slot: -1}
	c.refs.Store(1)
	return c, nil
}

// Ref adds a reference.
func (c *chunk) Ref() { c.refs.Add(1) }

// Unref drops a reference; the last one gives the memory back.
func (c *chunk) Unref() {
	switch n := c.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("BUG: wal: Mem released more often than referenced")
	}
	c.pool.put(c)
}

func (p *pool) put(c *chunk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.slot < 0 || p.mu.closed {
		p.unmapLocked(c)
	} else {
		p.mu.free = append(p.mu.free, c)
		if len(p.mu.free) > warmChunks && p.mu.timer == nil {
			p.mu.low = len(p.mu.free)
			p.mu.timer = time.AfterFunc(trimEvery, p.trim)
		}
	}
	p.feedLocked()
}

// feedLocked notes that a refused caller may try again.
func (p *pool) feedLocked() {
	if p.mu.hungry && !p.mu.closed {
		p.mu.hungry, p.mu.fed = false, true
		p.wake()
	}
}

// trim lets go of free chunks that nobody needed during the last interval.
func (p *pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.timer = nil
	if p.mu.closed {
		return
	}
	for n := p.mu.low - warmChunks; n > 0 && len(p.mu.free) > warmChunks; n-- {
		p.retireLocked()
	}
	if len(p.mu.retired) > 0 {
		p.wake()
	}
	if len(p.mu.free) > warmChunks {
		p.mu.low = len(p.mu.free)
		p.mu.timer = time.AfterFunc(trimEvery, p.trim)
	}
}

// retireLocked moves the free chunk that was used longest ago to the retired ones.
func (p *pool) retireLocked() {
	c := p.mu.free[0]
	p.mu.free = append(p.mu.free[:0], p.mu.free[1:]...)
	p.mu.low = min(p.mu.low, len(p.mu.free))
	p.mu.retired = append(p.mu.retired, c)
}

// busy says whether the commit goroutine has something to do here.
func (p *pool) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.fed || len(p.mu.retired) > 0
}

// serve unmaps retired chunks after forget has taken them from the ring, and says whether hungry callers are to be told. Commit goroutine.
func (p *pool) serve(forget func(*chunk) bool) (fed bool) {
	p.mu.Lock()
	retired := p.mu.retired
	p.mu.retired = nil
	p.mu.Unlock()
	n := 0
	for _, c := range retired {
		if forget(c) {
			retired[n] = c
			n++
		}
	}
	retired = retired[:n] // what could not be forgotten stays mapped, and counted
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range retired {
		p.unmapLocked(c)
	}
	if len(retired) > 0 {
		p.feedLocked()
	}
	fed = p.mu.fed
	p.mu.fed = false
	return fed
}

func (p *pool) unmapLocked(c *chunk) {
	p.mu.used -= int64(len(c.mem))
	if c.slot >= 0 {
		p.mu.slots = append(p.mu.slots, c.slot)
	}
	release(c.mem)
	c.mem = nil
}

// close unmaps what is not referenced; the rest goes with its last reference. The ring is gone by now.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.closed = true
	if p.mu.timer != nil {
		p.mu.timer.Stop()
	}
	for _, c := range p.mu.free {
		p.unmapLocked(c)
	}
	for _, c := range p.mu.retired {
		p.unmapLocked(c)
	}
	p.mu.free, p.mu.retired = nil, nil
}

// usage is the number of bytes mapped.
func (p *pool) usage() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.used
}
