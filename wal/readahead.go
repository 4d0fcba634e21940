package wal

import "fmt"

const (
	readBytes = 1 << 20 // one read
	readDepth = 4       // reads in flight
)

// readahead reads a target from front to back with a few large reads in flight. They go to huge pages: on a virtio disk whose reads of 1 MiB into small
// pages give 1 GB/s, whatever their number, they give 2 (Linux 6.18, four runs in turn).
type readahead struct {
	dev  Device
	size int64 // nothing is read at or after it
	each int   // bytes of one read

	arena []byte // what bufs lie in
	bufs  [readDepth]readBuf
	cur   int   // the buffer that holds at
	at    int64 // next byte to hand out
	ahead int64 // where the next read starts
}

type readBuf struct {
	mem   []byte
	start int64
	n     int
	busy  chan error // nil: not being filled; otherwise one result is due
}

// newReadahead reads each bytes at a time, a multiple of pageBytes.
func newReadahead(dev Device, size int64, each int) (*readahead, error) {
	arena, mem, err := allocHuge(readDepth * each)
	if err != nil {
		return nil, err
	}
	r := &readahead{dev: dev, size: size, each: each, arena: arena, at: -1}
	for i := range r.bufs {
		r.bufs[i].mem = mem[i*each : (i+1)*each]
	}
	return r, nil
}

func (r *readahead) close() {
	for i := range r.bufs {
		if b := &r.bufs[i]; b.busy != nil {
			<-b.busy
		}
	}
	release(r.arena)
}

// seek moves to off, a multiple of pageBytes.
func (r *readahead) seek(off int64) {
	if off == r.at {
		return
	}
	for i := range r.bufs {
		if b := &r.bufs[i]; b.busy != nil {
			<-b.busy
			b.busy = nil
		}
		r.bufs[i].n = 0
	}
	r.at, r.ahead, r.cur = off, off, 0
	for i := range r.bufs {
		r.launch(i)
	}
}

func (r *readahead) launch(i int) {
	b := &r.bufs[i]
	b.start, b.n, b.busy = r.ahead, int(min(int64(r.each), r.size-r.ahead)), nil
	if b.n <= 0 {
		b.n = 0
		return
	}
	r.ahead += int64(b.n)
	b.busy = make(chan error, 1)
	go func(mem []byte, off int64, done chan<- error) {
		_, err := r.dev.ReadAt(mem, off)
		done <- err
	}(b.mem[:b.n], b.start, b.busy)
}

// window returns the bytes that are at hand at the current place, at least a page; nil at the end of the target.
func (r *readahead) window() ([]byte, error) {
	b := &r.bufs[r.cur]
	if b.busy != nil {
		err := <-b.busy
		b.busy = nil
		if err != nil {
			err = fmt.Errorf("wal: read %d bytes at %d: %w", b.n, b.start, err)
			r.at, b.n = -1, 0
			return nil, err
		}
	}
	return b.mem[r.at-b.start : b.n], nil
}

// skip moves on by n bytes of the window.
func (r *readahead) skip(n int) {
	r.at += int64(n)
	b := &r.bufs[r.cur]
	if r.at == b.start+int64(b.n) {
		r.launch(r.cur)
		r.cur = (r.cur + 1) % readDepth
	}
}

// read fills p.
func (r *readahead) read(p []byte) error {
	for len(p) > 0 {
		w, err := r.window()
		if err != nil {
			return err
		}
		if len(w) == 0 {
			return fmt.Errorf("wal: read at %d: past the end at %d", r.at, r.size)
		}
		n := copy(p, w)
		p = p[n:]
		r.skip(n)
	}
	return nil
}
