package wal

import (
	"hash/crc32"
	"sync/atomic"
	"time"
)

// block is one block on its way from the appenders to the device.
//
//	open (gathers, one at a time) ─► sealed (FIFO) ─► in flight (FIFO, completes in any order) ─► durable, in log order
type block struct {
	next *block // in a list

	off     Position
	mem     []byte    // from the start of the block to the end of what it may use; in chunk
	chunk   *chunk    // one reference, dropped after the completion of the write
	opened  time.Time // when its first record came
	used    int       // header and records; guarded by Log.mu until sealed
	records uint32
	length  int    // used, rounded up; set when sealed
	skipped uint32 // pages before off that no block has; set when sealed

	// writers counts the appenders that still copy, plus one until the block is sealed. The block may be handed to the device at 0.
	writers atomic.Int32

	pending []pending // one per record, in order
}

// pending is an append that waits for its block.
type pending struct {
	c   Completion
	pos Position
}

// blocks is a FIFO.
type blocks struct{ head, tail *block }

func (q *blocks) push(b *block) {
	b.next = nil
	if q.tail == nil {
		q.head = b
	} else {
		q.tail.next = b
	}
	q.tail = b
}

func (q *blocks) pop() *block {
	b := q.head
	if b == nil {
		return nil
	}
	if q.head = b.next; q.head == nil {
		q.tail = nil
	}
	b.next = nil
	return b
}

// finish pads the block and writes its header. Returns the chain value for the next one.
// REQUIRES: b is sealed and writers is 0.
func (b *block) finish(logID uint64, generation uint32, durable Position, prev uint32) uint32 {
	whole := b.mem[:b.length]
	clear(whole[b.used:])
	h := header{
		LogID: logID, Offset: b.off, Length: uint32(b.length), Used: uint32(b.used), Records: b.records,
		Generation: generation, Durable: durable, Prev: prev, Skipped: b.skipped,
		Payload: crc32.Checksum(whole[blockHeader:], castagnoli),
	}
	h.encode(whole)
	return h.Chain
}
