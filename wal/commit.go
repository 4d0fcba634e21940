package wal

import (
	"fmt"
	"time"
)

// flights is the capacity of the queue of writes in flight, a power of two.
const flights = maxQueue

// superID marks the completion of a superblock write; blocks use their sequence number.
const superID = ^uint64(0) >> 1

// flushID marks the completion of a flush.
const flushID = superID - 1

// committer is the one goroutine that talks to the device: it seals and submits blocks, advances the durable position in log order and
// calls the completions.
//
// Group commit follows from its loop: what has been gathered is submitted when nothing is in flight or, while fewer than QueueDepth
// writes are, when it has grown to GatherBytes or filled its block; otherwise it gathers on until one completes. There is no timer. An idle
// log submits at once.
//
// By SyncFdatasync a completed write is not durable yet. When the oldest block in flight is written, a flush is begun, one at a time, which covers
// the blocks that are written by then and no others:
//
//	flying ──completion──► written ──flush begins──► covered ──flush ends──► stable
//	   └─────────────────────────── by the other methods ─────────────────────┘
type committer struct {
	l    *Log
	lazy bool // SyncFdatasync
	back backend
	done chan struct{} // closed at the end

	flight     [flights]flight // blocks first..next-1 in flight, at index mod flights
	first, end uint64

	chain    uint32   // of the last block submitted
	landed   []*block // durable, to be told
	flushing bool     // a flush is under way
	failed   error    // the first failure
	broken   bool     // the durable prefix has ended: a block was told that it failed

	super struct {
		page  []byte
		left  int      // slot writes to go, 0: idle
		trim  Position // becomes the durable trim when left reaches 0
		clean bool     // the final write
	}
}

type flight struct {
	b     *block
	at    time.Time // when it was handed to the backend
	stage stage
	err   error // why it will never be stable
}

type stage uint8

const (
	flying  stage = iota // the device has not completed it
	written              // completed; when it has not failed, a flush is still to come
	covered              // a flush that began after its completion is under way
	stable               // on stable storage
)

// backend moves bytes to the device. All calls but wake come from the commit goroutine.
type backend interface {
	mode() Mode
	registered() bool
	// write queues one write; b is in c (nil: elsewhere off the heap) and is left alone until its completion, which says that it is durable. By
	// SyncFdatasync only a superblock is durable then.
	write(id uint64, b []byte, off int64, c *chunk) error
	// flush queues what makes all writes durable that have completed; its completion has the id flushID. At most one at a time.
	flush() error
	// enter hands over what is queued. With wait it returns only when there is a completion or after a wake(false).
	enter(wait bool) error
	// rest returns after a wake(true). REQUIRES: nothing is queued or in flight.
	rest()
	// next takes one completion.
	next() (id uint64, n int, err error, ok bool)
	// wake ends an enter(true) or a rest, whichever the commit goroutine is in or about to begin. Any goroutine, until that has ended.
	wake(resting bool)
	// forget undoes what the backend did with c's memory, which no write uses. false: it may not be unmapped.
	forget(c *chunk) bool
	// close ends the backend. REQUIRES: nothing is in flight, unless the device hangs.
	close()
}

// startCommitter starts the goroutine and waits until its backend stands.
func startCommitter(l *Log) (*committer, error) {
	c := &committer{l: l, done: make(chan struct{}), lazy: l.sync.Method == SyncFdatasync}
	var err error
	if c.super.page, err = alloc(pageBytes); err != nil {
		return nil, err
	}
	ready := make(chan error)
	if l.opts.stepped != nil {
		c.back = l.opts.stepped(l)
		return c, nil
	}
	go c.run(ready)
	if err := <-ready; err != nil {
		release(c.super.page)
		return nil, err
	}
	return c, nil
}

func (c *committer) run(ready chan<- error) {
	back, err := newBackend(c.l)
	if err != nil {
		ready <- err
		return
	}
	c.back = back
	ready <- nil
	defer close(c.done)
	for !c.turn() {
	}
	c.close()
}

// wait returns when the commit goroutine has ended. REQUIRES: Log.mu.closing is set.
func (c *committer) wait() {
	if c.l.opts.stepped == nil {
		<-c.done
		return
	}
	for !c.turn() {
	}
	c.close()
}

func (c *committer) close() {
	c.back.close()
	release(c.super.page)
}

// turn is one round of the loop. It returns true when the log is closed and nothing is left to do.
func (c *committer) turn() (finished bool) {
	c.collect()
	c.advance()
	queued := c.flush()
	queued = c.fill() || queued
	queued = c.housekeep() || queued
	// The device gets its work before the completions run, but when there are none to run, handing over and waiting are one call.
	if queued && (len(c.landed) > 0 || c.failed != nil) {
		c.check(c.back.enter(false))
	}
	c.deliver()
	if c.finished() {
		return true
	}
	c.sleep()
	return false
}

// sleep waits for a completion, or for work when there is room for it. Spinning for 10 or 30 µs before it was tried: no better latency, and
// up to twice the processor time per append on two cores.
func (c *committer) sleep() {
	l := c.l
	flying := int(c.end - c.first)
	how := awake // no room: nothing but a completion helps
	switch {
	case flying == 0 && c.super.left == 0:
		how = resting
	case flying == 0:
		how = waiting
	case flying < l.opts.QueueDepth:
		how = gathering
	}
	if how != awake {
		// Set first, then look: an appender that comes after the look sees how it sleeps.
		l.sleeping.Store(how)
		if c.workToDo() {
			l.sleeping.Store(awake)
			c.check(c.back.enter(false))
			return
		}
	}
	if how == resting {
		c.back.rest()
	} else {
		c.check(c.back.enter(true))
	}
	l.sleeping.Store(awake)
}

// workToDo says whether a turn would do something without a completion.
func (c *committer) workToDo() bool {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	empty := l.mu.sealed.head == nil && l.mu.open == nil
	still := c.first == c.end && c.super.left == 0
	switch {
	case l.pool.busy():
		return true
	case len(c.landed) > 0 && (l.released.Load() || l.mu.closing != notClosing):
		return true // held so far
	case c.failed != nil || l.mu.closing == closingNow:
		return still && (!empty || l.mu.closing != notClosing)
	case l.waitingLocked(c.first < c.end):
		return true
	case c.super.left > 0:
		return false
	}
	return l.trimTargetLocked() > l.super.Trim || c.checkpointDue() || l.mu.closing == closingClean && empty && still
}

// collect takes completions from the backend.
func (c *committer) collect() {
	for {
		id, n, err, ok := c.back.next()
		if !ok {
			return
		}
		if id == superID {
			if err == nil && n != pageBytes {
				err = fmt.Errorf("short write, %d of %d bytes", n, pageBytes)
			}
			if err != nil {
				c.super.left = 0
				c.fail(fmt.Errorf("superblock: %w", err))
				continue
			}
			c.superWritten()
			continue
		}
		if id == flushID {
			c.flushed(err)
			continue
		}
		f := &c.flight[id%flights]
		if f.stage = stable; c.lazy {
			f.stage = written
		}
		if err == nil && n != f.b.length {
			err = fmt.Errorf("short write, %d of %d bytes", n, f.b.length)
		}
		if err != nil {
			f.err = err
			c.fail(fmt.Errorf("block at %d (device offset %d, %d bytes): %w", f.b.off, c.l.super.physical(f.b.off), f.b.length, err))
		}
		c.l.stats.writing.add(time.Since(f.at))
		c.l.stats.writes.Add(1)
		c.l.stats.bytes.Add(uint64(f.b.length))
	}
}

// advance moves the durable position over the completed prefix. It is the only place that does.
func (c *committer) advance() {
	for c.first < c.end && !c.broken {
		f := &c.flight[c.first%flights]
		if f.stage != stable || f.err != nil {
			break
		}
		c.l.durable.Store(int64(f.b.off) + int64(f.b.length))
		c.landed = append(c.landed, f.b)
		*f = flight{}
		c.first++
	}
	c.l.stats.inFlight.Store(int64(c.end - c.first))
}

// fill submits gathered blocks while there is room in the queue.
func (c *committer) fill() (queued bool) {
	l := c.l
	for c.failed == nil && int(c.end-c.first) < l.opts.QueueDepth {
		l.mu.Lock()
		var b *block
		if l.mu.closing != closingNow {
			b = l.takeLocked(c.first < c.end)
		}
		l.mu.Unlock()
		if b == nil {
			break
		}
		c.chain = b.finish(l.super.logID(), l.super.Generation, Position(l.durable.Load()), c.chain)
		c.flight[c.end%flights] = flight{b: b, at: time.Now()}
		id := c.end
		c.end++
		queued = true
		if err := c.submit(id, b.mem[:b.length], l.super.physical(b.off), b.chunk); err != nil {
			c.flight[id%flights].stage, c.flight[id%flights].err = written, err
			c.fail(err)
		}
	}
	l.stats.inFlight.Store(int64(c.end - c.first))
	return queued
}

// flush begins a flush if the oldest block in flight waits for one. A flush of younger ones alone would acknowledge nothing. After a failure none is begun:
// the kernel tells of a lost page once, and a later success means nothing.
func (c *committer) flush() (queued bool) {
	if c.flushing || c.failed != nil || c.first == c.end || c.flight[c.first%flights].stage != written {
		return false
	}
	if err := c.back.flush(); err != nil {
		c.fail(err)
		return false
	}
	c.flushing = true
	for id := c.first; id < c.end; id++ {
		if f := &c.flight[id%flights]; f.stage == written {
			f.stage = covered
		}
	}
	return true
}

// flushed takes the end of a flush.
func (c *committer) flushed(err error) {
	c.flushing = false
	c.l.stats.flushes.Add(1)
	if err != nil {
		err = fmt.Errorf("flush: %w", err)
		c.fail(err)
	}
	for id := c.first; id < c.end; id++ {
		f := &c.flight[id%flights]
		switch {
		case f.stage != covered:
		case err != nil:
			f.stage, f.err = written, err
		default:
			f.stage = stable
		}
	}
}

// submit hands one write to the backend.
func (c *committer) submit(id uint64, b []byte, off int64, mem *chunk) error {
	if c.failed != nil {
		panic(fmt.Sprintf("BUG: wal: a write at %d after the device had failed", off))
	}
	return c.back.write(id, b, off, mem)
}

// deliver calls the completions of landed blocks and, after a failure, of all others.
func (c *committer) deliver() {
	if len(c.landed) == 0 && c.failed == nil && !c.abandoned() {
		return
	}
	var withheld error
	if len(c.landed) > 0 && c.held() {
		if c.failed == nil && !c.closing() {
			return
		}
		withheld = c.reason()
	}
	c.deliverAll(withheld)
	if c.l.opts.OnDelivered != nil {
		c.l.opts.OnDelivered()
	}
}

// held says whether landed blocks may not be told yet.
func (c *committer) held() bool {
	c.l.released.Store(false) // before asking: what comes later asks again
	return c.l.opts.Hold != nil && c.l.opts.Hold()
}

// deliverAll tells landed blocks withheld: nil, or why they never will be acknowledged although they are durable.
func (c *committer) deliverAll(withheld error) {
	for i, b := range c.landed {
		c.tell(b, withheld)
		c.landed[i] = nil
	}
	c.landed = c.landed[:0]
	if c.failed == nil && !c.abandoned() {
		return
	}
	// What is before the failed block in log order has been told above. Memory in flight stays with the kernel until it completes.
	for c.first < c.end && c.settled() {
		f := &c.flight[c.first%flights]
		c.broken = true
		c.tell(f.b, c.reason())
		*f = flight{}
		c.first++
	}
	if c.first < c.end {
		return
	}
	for {
		c.l.mu.Lock()
		if c.l.mu.open != nil {
			c.l.sealLocked()
		}
		b := c.l.mu.sealed.pop()
		c.l.mu.Unlock()
		if b == nil {
			return
		}
		c.tell(b, c.reason())
	}
}

// settled says whether the oldest block in flight will never be durable and the kernel is done with it.
func (c *committer) settled() bool {
	f := &c.flight[c.first%flights]
	return c.failed != nil && f.stage != flying && f.stage != covered
}

// abandoned says whether an unclean Close has given up what is not in flight.
func (c *committer) abandoned() bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.l.mu.closing == closingNow
}

// closing says whether Close was called.
func (c *committer) closing() bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.l.mu.closing != notClosing
}

func (c *committer) reason() error {
	if c.failed != nil {
		return c.failed
	}
	return ErrClosed
}

// tell calls the completions of one block and recycles it.
func (c *committer) tell(b *block, err error) {
	if err == nil {
		c.l.stats.acking.add(time.Since(b.opened))
	}
	for i := range b.pending {
		p := &b.pending[i]
		p.c.Durable(p.pos, err)
		p.c = nil
	}
	b.pending = b.pending[:0]
	// An appender may still copy into a block that failed before it was submitted; its entry holds the memory.
	b.chunk.Unref()
	if b.writers.Load() != 0 {
		return
	}
	b.mem, b.chunk = nil, nil
	l := c.l
	l.mu.Lock()
	if l.mu.spares < maxSpares {
		l.mu.spare.push(b)
		l.mu.spares++
	}
	l.mu.Unlock()
}

// fail stops the log. Nothing is submitted any more.
func (c *committer) fail(cause error) {
	if c.failed != nil {
		return
	}
	c.failed = fmt.Errorf("%w: %w", ErrFailed, cause)
	l := c.l
	// First of all: an append that finds the failure may end the process before this goroutine comes to say which device it was.
	l.log.Error("wal: the device failed, the log is stopped", "path", l.opts.Path, "cause", cause)
	l.mu.Lock()
	l.mu.failure = c.failed
	if l.mu.state == StateReady {
		l.mu.state = StateFailed
	}
	l.mu.Unlock()
	if l.opts.OnFailure != nil {
		l.opts.OnFailure(c.failed)
	}
}

// check turns an error of the backend itself into a failure. What is in flight is given up: its memory stays with the kernel.
func (c *committer) check(err error) {
	if err == nil {
		return
	}
	c.fail(err)
	c.super.left = 0
	for id := c.first; id < c.end; id++ {
		f := &c.flight[id%flights]
		switch f.stage {
		case flying:
			f.b.chunk.Ref() // never given back
			f.stage, f.err = written, err
		case covered:
			f.stage, f.err = written, err
		}
	}
	c.flushing = false
}

// finished says whether the goroutine may end.
func (c *committer) finished() bool {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closing == notClosing || c.first < c.end || c.super.left > 0 || len(c.landed) > 0 {
		return false
	}
	if l.mu.open != nil || l.mu.sealed.head != nil {
		return false
	}
	return l.mu.closing == closingNow || c.failed != nil || l.super.Clean
}
