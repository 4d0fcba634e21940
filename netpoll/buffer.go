package netpoll

import (
	"fmt"
	"math/bits"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	minBufferBits = 9  // 512 B: a header and a few bytes of a frame that never comes cost no more
	maxBufferBits = 22 // 4 MiB: larger buffers are mappings of their own
	maxPooled     = 1 << maxBufferBits
)

// buffer holds the bytes of one connection that could not be delivered yet. Up to 4 MiB it comes from a pool per power of
// two; above, it is an anonymous mapping, which grows without copying (mremap), costs memory only as bytes arrive, and goes
// back to the kernel at once instead of waiting for the garbage collector.
type buffer struct {
	b      []byte // its whole capacity is usable
	mapped bool
}

// bufferPools are the pools of heap buffers, one per power of two. They are sync.Pools: what is idle is dropped by the
// garbage collector, what is in use is bounded by the inbound budget.
type bufferPools struct {
	pools [maxBufferBits - minBufferBits + 1]sync.Pool
}

// bufferSize is the capacity that a buffer for n bytes has.
func bufferSize(n int) int {
	if n > maxPooled {
		page := os.Getpagesize()
		return (n + page - 1) / page * page
	}
	return 1 << max(minBufferBits, bits.Len(uint(n-1)))
}

// get returns a buffer of at least n > 0 bytes.
func (p *bufferPools) get(n int) (*buffer, error) {
	size := bufferSize(n)
	if size > maxPooled {
		b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
		if err != nil {
			return nil, fmt.Errorf("netpoll: map %d bytes for a frame: %w", size, err)
		}
		return &buffer{b: b, mapped: true}, nil
	}
	if b, ok := p.pools[bits.Len(uint(size-1))-minBufferBits].Get().(*buffer); ok {
		return b, nil
	}
	return &buffer{b: make([]byte, size)}, nil
}

// put takes a buffer back; its bytes are gone.
func (p *bufferPools) put(b *buffer) {
	if b.mapped {
		if err := unix.Munmap(b.b); err != nil {
			panic(fmt.Sprintf("BUG: netpoll: munmap %d bytes: %v", len(b.b), err))
		}
		b.b = nil
		return
	}
	p.pools[bits.Len(uint(len(b.b)-1))-minBufferBits].Put(b)
}

// grow returns a buffer of at least n bytes with the first keep bytes of b. b must not be used afterwards unless an error
// is returned.
func (p *bufferPools) grow(b *buffer, keep, n int) (*buffer, error) {
	if b.mapped {
		m, err := unix.Mremap(b.b, bufferSize(n), unix.MREMAP_MAYMOVE)
		if err != nil {
			return nil, fmt.Errorf("netpoll: grow a frame's mapping from %d to %d bytes: %w", len(b.b), bufferSize(n), err)
		}
		b.b = m
		return b, nil
	}
	g, err := p.get(n)
	if err != nil {
		return nil, err
	}
	copy(g.b, b.b[:keep])
	p.put(b)
	return g, nil
}
