package wal

import "math/bits"

// bitmap has one bit per page of the ring: set where a block starts. It turns any position into the start of its block.
type bitmap []uint64

func newBitmap(pages int64) bitmap { return make(bitmap, (pages+63)/64) }

// place marks a block that starts at page i and is n pages long, over whatever was there.
func (b bitmap) place(i, n int64) {
	b.clear(i, n)
	b[i/64] |= 1 << (i % 64)
}

// clear removes the marks of pages [i, i+n).
func (b bitmap) clear(i, n int64) {
	for n > 0 {
		w, off := i/64, i%64
		k := min(64-off, n)
		b[w] &^= (^uint64(0) >> (64 - k)) << off
		i, n = i+k, n-k
	}
}

// floor returns the last marked page at or below i, or -1.
func (b bitmap) floor(i int64) int64 {
	w := i / 64
	for v := b[w] << (63 - i%64) >> (63 - i%64); ; v = b[w] {
		if v != 0 {
			return w*64 + 63 - int64(bits.LeadingZeros64(v))
		}
		if w--; w < 0 {
			return -1
		}
	}
}

// ceil returns the first marked page at or above i and below end, or end.
func (b bitmap) ceil(i, end int64) int64 {
	for w := i / 64; w*64 < end; w++ {
		v := b[w]
		if w == i/64 {
			v = v >> (i % 64) << (i % 64)
		}
		if v != 0 {
			return min(end, w*64+int64(bits.TrailingZeros64(v)))
		}
	}
	return end
}
