package wal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Recover hands every record from the trim position to the end of the last durable block to fn, in order, and makes the log ready.
// Once, before the first Append. When memory is short, Entry.Mem is nil and Entry.Data valid only during fn.
//
// The end is the first block that does not chain. A torn tail, never acknowledged, is cut; damage of acknowledged records is a
// CorruptError. Everything that was handed out is durable before Recover returns nil. An error of fn or of ctx ends the recovery and is
// returned; the log then stays unusable, the device unchanged. What was handed out before an error is not to be used: a block of a dead
// generation that a lying device shows in place of the first one needed is found out only where the chain behind it breaks.
func (l *Log) Recover(ctx context.Context, fn func(Entry) error) error {
	l.mu.Lock()
	err := l.usableLocked()
	l.mu.Unlock()
	if err == nil {
		return errors.New("wal: Recover was called twice")
	}
	if err != ErrNotRecovered {
		return err
	}
	began := time.Now()
	sc, err := newScanner(l.dev, &l.super, l.opts.readBytes)
	if err != nil {
		return err
	}
	defer sc.r.close()
	m := &recoveryMemory{pool: l.pool}
	defer m.close()

	var blocks, records, bytes int64
	end, err := sc.walk(ctx, m.get, func(h header, b []byte) error {
		mem := m.keep()
		l.mu.starts.place(l.page(h.Offset), int64(h.Length)/pageBytes)
		blocks, bytes = blocks+1, bytes+int64(h.Length)
		return h.records(b, func(pos Position, data []byte) error {
			e := Entry{Pos: pos, Block: h.Offset, Data: data}
			if mem != nil {
				mem.Ref()
				e.Mem = mem
			}
			records++
			return fn(e)
		})
	})
	if err != nil {
		return err
	}
	if err := sc.judgeEnd(end); err != nil {
		return err
	}
	if err := l.begin(end, sc.prev); err != nil {
		return err
	}
	l.log.Info("wal: recovered", "path", l.opts.Path, "mode", string(l.commit.back.mode()), "records", records, "blocks", blocks,
		"bytes", bytes, "trim", int64(l.super.Trim), "end", int64(end), "generation", l.super.Generation,
		"tail", sc.stop, "unprepared", l.stats.unprepared.Load(), "took", time.Since(began).Round(time.Microsecond))
	return nil
}

// begin starts a new generation at end and makes the log ready.
func (l *Log) begin(end Position, last header) error {
	// What was read may still be in the device's volatile cache only, if the writer was killed between write and flush.
	if err := l.dev.Flush(); err != nil {
		return fmt.Errorf("wal: flush: %w", err)
	}
	s := l.super
	if s.Generation == ^uint32(0) {
		return fmt.Errorf("wal: generation %d is the last one, format the log anew", s.Generation)
	}
	s.Generation++
	s.GenStart, s.StartChain, s.Durable, s.Clean = end, last.Chain, end, false
	l.grow(&s, end)
	page, err := alloc(pageBytes)
	if err != nil {
		return err
	}
	defer release(page)
	if err := writeSuperblocks(l.dev, &s, page); err != nil {
		return err
	}
	prep, err := newPreparation(l, s, end)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closing != notClosing {
		prep.close()
		return ErrClosed
	}
	l.setRingLocked(s)
	l.commit.chain = last.Chain
	l.durable.Store(int64(end))
	l.mu.next, l.mu.prepared, l.mu.prep = end, prep.frontier(), prep
	l.setLimitLocked()
	l.mu.state = StateReady
	prep.start()
	l.mu.trial = startTrial(l, prep)
	return nil
}

// recoveryMemory places recovered blocks: in chunks of the pool up to a share of its budget, so that appends find room; beyond that they stay where they were
// read, or, when they came with two reads, go to a buffer that is used again for every such block.
type recoveryMemory struct {
	pool    *pool
	chunk   *chunk // being filled; one reference
	used    int    // bytes of chunk taken
	scratch []byte

	last struct { // what get returned
		mem *chunk // nil: scratch or window
		n   int
		own bool // mem is a mapping for this block alone, with one reference
	}
}

// get returns n bytes for the next candidate, or the first n of window, where they lie already. What an earlier get returned and was not kept is used again.
func (m *recoveryMemory) get(n int, window []byte) ([]byte, error) {
	m.drop()
	if n > chunkBytes {
		if m.allowed(n) {
			if c, err := m.pool.mapping(n); err == nil {
				m.last.mem, m.last.n, m.last.own = c, n, true
				return c.mem, nil
			}
		}
	} else if m.room(n) {
		m.last.mem, m.last.n = m.chunk, n
		return m.chunk.mem[m.used : m.used+n], nil
	}
	m.last.n = n
	if len(window) >= n {
		return window[:n], nil
	}
	if len(m.scratch) < n {
		if m.scratch != nil {
			release(m.scratch)
			m.scratch = nil
		}
		var err error
		if m.scratch, err = alloc(n); err != nil {
			return nil, err
		}
	}
	return m.scratch[:n], nil
}

// allowed says whether n more bytes stay within recovery's share.
func (m *recoveryMemory) allowed(n int) bool { return m.pool.usage()+int64(n) <= m.pool.budget/4*3 }

// room makes the current chunk one that has n bytes left.
func (m *recoveryMemory) room(n int) bool {
	if m.chunk != nil && m.used+n <= chunkBytes {
		return true
	}
	if !m.allowed(chunkBytes) {
		return false
	}
	c, err := m.pool.chunk()
	if err != nil {
		return false
	}
	if m.chunk != nil {
		m.chunk.Unref()
	}
	m.chunk, m.used = c, 0
	return true
}

// keep makes what get returned last permanent, and returns the memory that entries in it refer to, nil when there is none. It stays
// referenced until the next get.
func (m *recoveryMemory) keep() *chunk {
	if m.last.mem != nil && !m.last.own {
		m.used += m.last.n
	}
	return m.last.mem
}

func (m *recoveryMemory) drop() {
	if m.last.own {
		m.last.mem.Unref()
	}
	m.last.mem, m.last.n, m.last.own = nil, 0, false
}

func (m *recoveryMemory) close() {
	m.drop()
	if m.chunk != nil {
		m.chunk.Unref()
	}
	if m.scratch != nil {
		release(m.scratch)
	}
}
