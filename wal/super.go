package wal

// checkpointBytes is how far the durable position may run ahead of the one in the superblocks. That is two small
// writes per 32 MiB, whose effect on the tail was not measured; 32 MiB is what recovery searches behind the end anyway.
const checkpointBytes = tailWindow

// trimTargetLocked is the block start that the wanted trim allows now: nothing before it is needed, everything before it is durable.
func (l *Log) trimTargetLocked() Position {
	durable := Position(l.durable.Load())
	p := min(l.mu.trim, durable)
	if p <= l.super.Trim || p == durable {
		return max(p, l.super.Trim)
	}
	start := l.mu.starts.floor(l.page(p))
	if start < 0 {
		return l.super.Trim
	}
	in := int64(p-l.super.Base)%l.ring - start*pageBytes // p lies this far behind the start
	return max(p-Position(in), l.super.Trim)
}

// housekeep looks after memory and the superblocks. It returns true when it queued a write.
func (c *committer) housekeep() (queued bool) {
	l := c.l
	if l.pool.serve(c.back.forget) {
		c.space()
	}
	if c.failed != nil || c.super.left > 0 {
		return false
	}
	l.mu.Lock()
	state, closing := l.mu.state, l.mu.closing
	target := l.trimTargetLocked()
	empty := l.mu.open == nil && l.mu.sealed.head == nil
	l.mu.Unlock()
	if state == StateOpened || closing == closingNow {
		return false
	}
	clean := closing == closingClean && empty && c.first == c.end
	if target == l.super.Trim && !(clean && !l.super.Clean) && !c.checkpointDue() {
		return false
	}
	l.super.Trim, l.super.Durable, l.super.Clean = target, Position(l.durable.Load()), clean
	c.super.left = 2
	return c.writeSuper()
}

// checkpointDue says whether the durable position has run so far ahead of the superblocks that they have to be told: damage of any extent below
// it is then known to be damage, and the search for proof behind the end of the log need not go further (scanner.judgeEnd).
func (c *committer) checkpointDue() bool {
	l := c.l
	return l.durable.Load()-int64(l.super.Durable) >= checkpointBytes
}

// writeSuper queues the write of one slot; superWritten goes on from there.
func (c *committer) writeSuper() bool {
	s := &c.l.super
	s.Sequence++
	s.Slot = uint32(s.Sequence % 2)
	s.encode(c.super.page)
	if err := c.submit(superID, c.super.page, int64(s.Slot)*slotStride, nil); err != nil {
		c.super.left = 0
		c.fail(err)
		return false
	}
	return true
}

// superWritten is called when one slot is durable. The trim counts when both are: then either of them alone leads recovery to blocks
// that are still there.
func (c *committer) superWritten() {
	l := c.l
	l.stats.superblocks.Add(1)
	if c.failed != nil { // a block has failed meanwhile: the other slot is not written any more
		c.super.left = 0
		return
	}
	if c.super.left--; c.super.left > 0 {
		c.writeSuper()
		return
	}
	l.trimmed.Store(int64(l.super.Trim))
	l.mu.Lock()
	l.setLimitLocked()
	refused := l.mu.refused
	l.mu.refused = false
	l.mu.Unlock()
	if refused {
		c.space()
	}
}

// space tells the owner that an append that was refused may succeed now.
func (c *committer) space() {
	if c.l.opts.OnSpace != nil {
		c.l.opts.OnSpace()
	}
}
