package wal

import (
	"fmt"
	"time"
)

// maxSpares bounds the recycled block structs; a struct keeps its slice of pending appends.
const maxSpares = 2 * maxQueue

// Append copies header and payload, back to back, into the open block and returns where they lie, with one reference on the memory for the
// caller. It never blocks; any goroutine. c.Durable may be called before Append returns. Errors: ErrFull, ErrNoMemory,
// ErrTooLarge, ErrClosed, ErrNotRecovered, or one that wraps ErrFailed; then nothing was appended and c is not called.
func (l *Log) Append(c Completion, header, payload []byte) (Entry, error) {
	n := len(header) + len(payload)
	need := recordHeader + n
	if need > chunkBytes-blockHeader || n > l.maxRec {
		return l.appendLarge(c, header, payload)
	}
	l.mu.Lock()
	b := l.mu.open
	if b == nil || b.used+need > len(b.mem) || b.off+Position(roundUp(int64(b.used+need))) > l.mu.limit || l.mu.state != StateReady {
		var err error
		if b, err = l.openLocked(need); err != nil {
			l.mu.Unlock()
			l.kick() // the block that was open may have been sealed
			return Entry{}, err
		}
	}
	at := b.addLocked(c, need)
	much := b.used >= l.opts.GatherBytes || l.mu.sealed.head != nil
	l.mu.Unlock()
	e := b.fill(at, header, payload)
	b.writers.Add(-1)
	l.stats.appends.Add(1)
	l.appended(much)
	return e, nil
}

// addLocked reserves a record in b and returns the offset of its header in the block.
func (b *block) addLocked(c Completion, need int) int {
	at := b.used
	b.used += need
	b.records++
	b.pending = append(b.pending, pending{c, b.off + Position(at)})
	b.writers.Add(1)
	b.chunk.Ref() // for the entry
	return at
}

// fill copies a record into its place. Not under the lock.
func (b *block) fill(at int, header, payload []byte) Entry {
	n := len(header) + len(payload)
	le.PutUint32(b.mem[at:], uint32(n))
	data := b.mem[at+recordHeader : at+recordHeader+n : at+recordHeader+n]
	copy(data, header)
	copy(data[len(header):], payload)
	return Entry{Pos: b.off + Position(at), Block: b.off, Data: data, Mem: b.chunk}
}

// openLocked seals the open block and opens one with room for a record of need bytes.
func (l *Log) openLocked(need int) (*block, error) {
	if err := l.usableLocked(); err != nil {
		return nil, err
	}
	if l.mu.open != nil {
		l.sealLocked()
	}
	want := int(roundUp(int64(blockHeader + need)))
	off, err := l.placeLocked(want)
	if err != nil {
		return nil, err
	}
	if l.mu.chunk == nil || l.mu.chunkUsed+want > chunkBytes {
		c, err := l.pool.chunk()
		if err != nil {
			return nil, err
		}
		if l.mu.chunk != nil {
			l.mu.chunk.Unref()
		}
		l.mu.chunk, l.mu.chunkUsed = c, 0
	}
	// A record above BlockBytes gets a block for itself. It stays in a chunk as long as it fits one: that may leave the end of the chunk
	// before it unused, but a mapping of its own would cost three times the processor time.
	size := max(int64(want), min(int64(l.opts.BlockBytes), int64(chunkBytes-l.mu.chunkUsed), l.super.room(off)))
	b := l.blockLocked(off, l.mu.chunk, l.mu.chunk.mem[l.mu.chunkUsed:l.mu.chunkUsed+int(size)])
	l.mu.chunk.Ref() // for the block
	l.mu.open = b
	return b, nil
}

// placeLocked returns where a block of n bytes goes: at next, or at the ring's start when it would wrap.
func (l *Log) placeLocked(n int) (Position, error) {
	off := l.mu.next
	if room := l.super.room(off); room < int64(n) {
		off += Position(room)
	}
	if off+Position(n) > l.mu.limit {
		l.mu.refused = true
		return 0, ErrFull
	}
	return off, nil
}

func (l *Log) blockLocked(off Position, c *chunk, mem []byte) *block {
	b := l.mu.spare.pop()
	if b == nil {
		b = new(block)
	} else {
		l.mu.spares--
	}
	b.off, b.mem, b.chunk, b.used, b.records, b.opened = off, mem, c, blockHeader, 0, time.Now()
	b.writers.Store(1)
	return b
}

// sealLocked ends the open block.
func (l *Log) sealLocked() {
	b := l.mu.open
	l.mu.open = nil
	l.queueLocked(b)
	l.mu.chunkUsed += b.length
}

// queueLocked fixes the length of b and queues it for the commit goroutine.
func (l *Log) queueLocked(b *block) {
	b.length = int(roundUp(int64(b.used)))
	page := l.page(b.off)
	b.skipped = uint32((b.off - l.mu.next) / pageBytes)
	if b.off != l.mu.next {
		l.mu.starts.clear(l.page(l.mu.next), l.ring/pageBytes-l.page(l.mu.next)) // skipped
	}
	l.mu.starts.place(page, int64(b.length/pageBytes))
	l.mu.next = b.off + Position(b.length)
	l.mu.sealed.push(b)
	b.writers.Add(-1)
}

// page is the number of the ring's page at a position.
func (l *Log) page(p Position) int64 { return int64(p-l.super.Base) % l.ring / pageBytes }

// appendLarge appends a record that gets a block and a mapping of its own.
func (l *Log) appendLarge(c Completion, header, payload []byte) (Entry, error) {
	n := len(header) + len(payload)
	if n > l.maxRec {
		return Entry{}, fmt.Errorf("%w: %d bytes, at most %d fit (ring of %d, memory of %d bytes)",
			ErrTooLarge, n, l.maxRec, l.ring, l.opts.MemoryBytes)
	}
	size := int(roundUp(int64(blockHeader + recordHeader + n)))
	mem, err := l.pool.mapping(size)
	if err != nil {
		return Entry{}, err
	}
	l.mu.Lock()
	err = l.usableLocked()
	var off Position
	if err == nil {
		if l.mu.open != nil {
			l.sealLocked()
		}
		off, err = l.placeLocked(size)
	}
	if err != nil {
		l.mu.Unlock()
		mem.Unref()
		l.kick()
		return Entry{}, err
	}
	b := l.blockLocked(off, mem, mem.mem) // takes over the reference
	at := b.addLocked(c, recordHeader+n)
	l.queueLocked(b)
	l.mu.Unlock()
	e := b.fill(at, header, payload)
	b.writers.Add(-1)
	l.stats.appends.Add(1)
	l.kick()
	return e, nil
}

// takeLocked returns the next block for the device, or nil: none, or the next one is still being copied into, whose last appender kicks. What is
// to go beside a write in flight must be much: every write costs a flush, and the gathering ends with the next completion anyway.
func (l *Log) takeLocked(beside bool) *block {
	if l.mu.sealed.head == nil && l.ripeLocked(beside) {
		l.sealLocked()
	}
	if b := l.mu.sealed.head; b == nil || b.writers.Load() != 0 {
		return nil
	}
	return l.mu.sealed.pop()
}

// waitingLocked says whether takeLocked would return something or seal something.
func (l *Log) waitingLocked(beside bool) bool {
	if b := l.mu.sealed.head; b != nil {
		return b.writers.Load() == 0
	}
	return l.ripeLocked(beside)
}

// ripeLocked says whether the open block may be sealed now.
func (l *Log) ripeLocked(beside bool) bool {
	return l.mu.open != nil && (!beside || l.mu.open.used >= l.opts.GatherBytes)
}
