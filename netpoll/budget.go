package netpoll

import "sync"

// budget bounds the memory of partially received and held frames of all connections.
//
// The danger is not only too much memory but deadlock: many half-received frames that together use all of it, so that none
// can be completed. Hence the lane: when the pool is used up, one connection at a time, first come first served, may
// take beyond it whatever its current frame needs (at most MaxFrameBytes). It completes, is delivered, frees both, and the
// next one follows. Example with a pool of 8 MiB and four frames of 20 MiB: together they fill the pool at, say, 2 MiB
// each; the first to ask gets the lane and takes 18 MiB more; memory in use peaks at 26 MiB; when its frame is delivered
// 2 MiB of the pool are free again for the second in the queue, which soon takes the lane.
// A lane holder or pool user whose peer stops sending while others wait is closed by the sweep (ErrStalled).
type budget struct {
	limit int64 // of pool

	mu struct {
		sync.Mutex
		pool  int64   // taken by connections within limit, or forced
		lane  int64   // taken by the holder of the lane
		owner *Conn   // holder of the lane
		queue []claim // waiting, first come first served
		peak  int64   // highest pool+lane ever
	}
}

// claim is a connection's wait for bytes.
type claim struct {
	c *Conn
	n int64
}

// account is what one connection has taken; guarded by budget.mu.
type account struct {
	pool, lane int64
	granted    int64 // by the queue, to be fetched by take
	waiting    bool
}

// take charges n bytes to c and reports whether it could. It never queues.
func (b *budget) take(c *Conn, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.takeLocked(c, n)
}

func (b *budget) takeLocked(c *Conn, n int64) bool {
	a := &c.account
	if a.granted >= n {
		a.granted -= n
		return true
	}
	switch {
	case b.mu.owner == c:
		b.mu.lane += n
		a.lane += n
	case len(b.mu.queue) == 0 && b.mu.pool+n <= b.limit:
		b.mu.pool += n
		a.pool += n
	default:
		return false
	}
	b.notePeakLocked()
	return true
}

// request is take that queues when it fails: the connection is kicked when the bytes are granted, and calls request again,
// with the same n. REQUIRES: owner goroutine of c, which reads nothing meanwhile.
func (b *budget) request(c *Conn, n int64) bool {
	b.mu.Lock()
	if b.takeLocked(c, n) {
		b.mu.Unlock()
		return true
	}
	if !c.account.waiting {
		c.account.waiting = true
		b.mu.queue = append(b.mu.queue, claim{c, n})
	}
	wake := b.dispatchLocked()
	b.mu.Unlock()
	kickAll(wake)
	return false
}

// force charges n bytes for data that has already been read from a socket. It fails when the pool is over its limit by a
// quarter: the connection must then be closed.
func (b *budget) force(c *Conn, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.pool+n > b.limit+b.limit/4 {
		return false
	}
	b.mu.pool += n
	c.account.pool += n
	b.notePeakLocked()
	return true
}

// release gives back all that c has and what it waits for.
func (b *budget) release(c *Conn) {
	b.mu.Lock()
	a := &c.account
	if *a == (account{}) {
		b.mu.Unlock()
		return
	}
	b.mu.pool -= a.pool
	b.mu.lane -= a.lane
	if a.waiting {
		for i := range b.mu.queue {
			if b.mu.queue[i].c == c {
				b.mu.queue = append(b.mu.queue[:i], b.mu.queue[i+1:]...)
				break
			}
		}
	}
	if b.mu.owner == c {
		b.mu.owner = nil
	}
	*a = account{}
	wake := b.dispatchLocked()
	b.mu.Unlock()
	kickAll(wake)
}

// dispatchLocked grants what can be granted, in order, and returns the connections to be kicked.
func (b *budget) dispatchLocked() (wake []*Conn) {
	for len(b.mu.queue) > 0 {
		w := b.mu.queue[0]
		a := &w.c.account
		switch {
		case b.mu.pool+w.n <= b.limit:
			b.mu.pool += w.n
			a.pool += w.n
		case b.mu.owner == nil:
			b.mu.owner = w.c
			b.mu.lane += w.n
			a.lane += w.n
		default:
			return wake
		}
		b.notePeakLocked()
		a.granted += w.n
		a.waiting = false
		copy(b.mu.queue, b.mu.queue[1:])
		b.mu.queue[len(b.mu.queue)-1] = claim{}
		b.mu.queue = b.mu.queue[:len(b.mu.queue)-1]
		wake = append(wake, w.c)
	}
	return wake
}

// contended returns the holder of the lane, if any, and whether connections wait.
func (b *budget) contended() (lane *Conn, waiting bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.owner, len(b.mu.queue) > 0
}

func (b *budget) notePeakLocked() { b.mu.peak = max(b.mu.peak, b.mu.pool+b.mu.lane) }

// usage returns the bytes in use now, the peak, and how many connections wait.
func (b *budget) usage() (used, peak int64, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.pool + b.mu.lane, b.mu.peak, len(b.mu.queue)
}

func kickAll(cs []*Conn) {
	for _, c := range cs {
		c.post(mailKick)
	}
}
