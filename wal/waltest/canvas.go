package waltest

import "bytes"

// pageBytes is the unit in which pictures of a disk share memory.
const pageBytes = 4096

type page = [pageBytes]byte

// canvas is a picture of a disk. Its pages are shared with other pictures and with the data of events until they are written to, so that
// taking a picture costs a slice of pointers and not the disk.
type canvas struct {
	pages []*page // nil: zeroes
	own   []bool  // this picture's alone: may be changed in place
}

func newCanvas(size int64) canvas {
	n := (size + pageBytes - 1) / pageBytes
	return canvas{pages: make([]*page, n), own: make([]bool, n)}
}

// canvasOf shares the bytes of b, which the caller leaves alone from now on.
func canvasOf(b []byte) canvas {
	c := newCanvas(int64(len(b)))
	c.put(0, b)
	return c
}

// copy returns a picture that can be changed without c noticing. c itself may not be changed any more.
func (c *canvas) copy() canvas {
	return canvas{pages: append([]*page(nil), c.pages...), own: make([]bool, len(c.pages))}
}

// put stores data, which nobody changes any more, at off.
func (c *canvas) put(off int64, data []byte) {
	for len(data) > 0 {
		i, in := off/pageBytes, off%pageBytes
		n := min(int64(len(data)), pageBytes-in)
		if n == pageBytes {
			c.pages[i], c.own[i] = (*page)(data), false
		} else {
			copy(c.mine(i)[in:], data[:n])
		}
		data, off = data[n:], off+n
	}
}

// mine returns page i for changes.
func (c *canvas) mine(i int64) *page {
	if !c.own[i] {
		p := new(page)
		if old := c.pages[i]; old != nil {
			*p = *old
		}
		c.pages[i], c.own[i] = p, true
	}
	return c.pages[i]
}

// read fills p from off.
func (c *canvas) read(p []byte, off int64) {
	for len(p) > 0 {
		i, in := off/pageBytes, off%pageBytes
		n := min(int64(len(p)), pageBytes-in)
		if from := c.pages[i]; from == nil {
			clear(p[:n])
		} else {
			copy(p, from[in:in+n])
		}
		p, off = p[n:], off+n
	}
}

// same says whether two pictures show the same bytes.
func (c *canvas) same(other *canvas) bool {
	var zero page
	for i, p := range c.pages {
		q := other.pages[i]
		if p == q {
			continue
		}
		if p == nil {
			p = &zero
		}
		if q == nil {
			q = &zero
		}
		if !bytes.Equal(p[:], q[:]) {
			return false
		}
	}
	return true
}
