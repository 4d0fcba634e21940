package wal

import (
	"context"
	"fmt"
)

// readBuffers is how many buffers ReadBlock keeps for its next callers.
const readBuffers = 4

// ReadBlock reads one block from the device, verifies it and hands its records to fn in order; Entry.Mem is nil and Data valid only during
// fn. block is an Entry.Block. It serves entries whose memory was given back; the block must be durable. Errors: ErrTrimmed,
// ErrCorrupt, ErrNotRecovered, ErrClosed, those of the device and of fn. Any goroutine; it blocks.
func (l *Log) ReadBlock(ctx context.Context, block Position, fn func(Entry) error) error {
	if err := ended(ctx); err != nil {
		return err
	}
	length, err := l.extent(block)
	if err != nil {
		return err
	}
	defer l.readers.Done()
	buf, err := l.buffer(length)
	if err != nil {
		return err
	}
	defer l.giveBack(buf)
	b := buf[:length]
	if _, err := l.dev.ReadAt(b, l.super.physical(block)); err != nil {
		return fmt.Errorf("wal: read the block at %d: %w", block, err)
	}
	h, err := decodeHeader(b)
	if err == nil && (h.LogID != l.super.logID() || h.Offset != block) {
		err = fmt.Errorf("found the block of log %016x, offset %d", h.LogID, h.Offset)
	}
	if err == nil && int(h.Length) > length {
		err = fmt.Errorf("block of %d bytes, want at most %d", h.Length, length)
	}
	if err == nil {
		err = h.verify(b)
	}
	if err != nil {
		if block < Position(l.trimmed.Load()) {
			return fmt.Errorf("%w: block at %d", ErrTrimmed, block) // trimmed and overwritten while it was read
		}
		return &CorruptError{Pos: block, Reason: err.Error()}
	}
	return h.records(b, func(pos Position, data []byte) error {
		return fn(Entry{Pos: pos, Block: block, Data: data})
	})
}

// extent returns how many bytes from block on may belong to it, and on success counts the caller as a reader.
func (l *Log) extent(block Position) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return 0, err
	}
	durable := Position(l.durable.Load())
	switch {
	case block < Position(l.trimmed.Load()):
		return 0, fmt.Errorf("%w: block at %d, trim at %d", ErrTrimmed, block, l.trimmed.Load())
	case block >= durable:
		return 0, fmt.Errorf("wal: the block at %d is not durable yet, %d is", block, durable)
	case block%pageBytes != 0 || l.mu.starts.floor(l.page(block)) != l.page(block):
		return 0, fmt.Errorf("wal: no block starts at %d", block)
	}
	l.readers.Add(1)
	page := l.page(block)
	n := l.mu.starts.ceil(page+1, l.ring/pageBytes) - page
	return int(min(n*pageBytes, int64(durable-block), maxBlockLength)), nil
}

func (l *Log) buffer(n int) ([]byte, error) {
	if n <= l.opts.BlockBytes {
		l.scratch.Lock()
		defer l.scratch.Unlock()
		if k := len(l.scratch.free); k > 0 {
			b := l.scratch.free[k-1]
			l.scratch.free = l.scratch.free[:k-1]
			return b, nil
		}
		n = l.opts.BlockBytes
	}
	return alloc(n)
}

func (l *Log) giveBack(b []byte) {
	if len(b) == l.opts.BlockBytes {
		l.scratch.Lock()
		if len(l.scratch.free) < readBuffers && !l.isClosed() {
			l.scratch.free = append(l.scratch.free, b)
			b = nil
		}
		l.scratch.Unlock()
	}
	if b != nil {
		release(b)
	}
}

// isClosed says whether Close was called. Lock order: scratch before mu.
func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.closing != notClosing
}
