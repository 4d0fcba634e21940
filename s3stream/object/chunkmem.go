package object

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// chunkMemory is the memory of the chunks that one Compose reads. It is not the Go heap's: a chunk is borrowed by the parts in flight, and tens of
// megabytes that come and go with every part would have the collector run often and let the heap grow by as much again. Any goroutine.
type chunkMemory struct {
	mu   sync.Mutex
	free map[int][]*chunkBuffer // by class: 2^class bytes
	all  []*chunkBuffer
	out  int // handed out and not returned
}

// minChunkClass is the class of 64 KiB, which a stream with a small share of an object needs.
const minChunkClass = 16

// chunkBuffer is a piece of chunkMemory. Whoever refers to its bytes holds a reference; the last one to go returns it.
type chunkBuffer struct {
	memory *chunkMemory
	class  int
	bytes  []byte
	refs   atomic.Int32
}

// get returns a buffer of at least n bytes with one reference.
func (m *chunkMemory) get(n int64) (*chunkBuffer, error) {
	class := max(minChunkClass, bits.Len64(uint64(max(n, 1)-1)))
	m.mu.Lock()
	defer m.mu.Unlock()
	if list := m.free[class]; len(list) > 0 {
		c := list[len(list)-1]
		m.free[class] = list[:len(list)-1]
		m.out++
		c.refs.Store(1)
		return c, nil
	}
	b, err := unix.Mmap(-1, 0, 1<<class, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("object: map %d bytes for reading: %w", 1<<class, err)
	}
	c := &chunkBuffer{memory: m, class: class, bytes: b}
	c.refs.Store(1)
	m.all = append(m.all, c)
	m.out++
	return c, nil
}

// ref adds a reference; the caller holds one.
func (c *chunkBuffer) ref() { c.refs.Add(1) }

// Unref implements Releaser.
func (c *chunkBuffer) Unref() {
	switch n := c.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("BUG: object: a chunk was released once too often")
	}
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.free == nil {
		m.free = make(map[int][]*chunkBuffer)
	}
	m.free[c.class] = append(m.free[c.class], c)
	m.out--
}

// close gives the memory back to the system. REQUIRES: every reference has gone.
func (m *chunkMemory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out > 0 {
		panic(fmt.Sprintf("BUG: object: %d chunks are still referred to", m.out))
	}
	for _, c := range m.all {
		if err := unix.Munmap(c.bytes); err != nil {
			panic(fmt.Sprintf("BUG: object: unmap %d bytes: %v", len(c.bytes), err))
		}
	}
	m.all, m.free = nil, nil
}
