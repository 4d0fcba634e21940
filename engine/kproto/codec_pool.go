package kproto

import (
	"slices"
	"sync"
)

// pooledBufferBytes is the largest buffer that goes back to the pool. Larger ones are rare and left to the garbage collector.
const pooledBufferBytes = 4 << 20

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= pooledBufferBytes {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// grow makes room for n more bytes, ErrTooLarge when dst would be longer than limit then.
func grow(dst []byte, n, limit int) ([]byte, error) {
	if n > limit-len(dst) {
		return dst, ErrTooLarge
	}
	return slices.Grow(dst, n), nil
}

// double makes room for more bytes, at least twice as many as dst has room for now, but not beyond limit. ErrTooLarge when dst is
// there already.
func double(dst []byte, limit int) ([]byte, error) {
	if cap(dst) >= limit {
		return dst, ErrTooLarge
	}
	want := min(max(2*cap(dst), 4096), limit)
	return slices.Grow(dst, want-len(dst)), nil
}
