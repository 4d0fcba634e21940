package kproto

import (
	"io"
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

// readLimited appends what r gives until its end, ErrTooLarge when dst would be longer than limit then.
func readLimited[R io.Reader](dst []byte, r R, limit int) ([]byte, error) {
	for {
		if len(dst) == limit {
			one := getBuffer() // exactly limit bytes are fine
			n, err := io.ReadFull(r, (*one)[:1])
			putBuffer(one)
			if n == 0 && err == io.EOF {
				return dst, nil
			}
			if n == 0 && err != nil {
				return dst, err
			}
			return dst, ErrTooLarge
		}
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(max(cap(dst), 4096), limit-len(dst)))
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), limit)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
