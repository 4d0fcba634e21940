package waltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
)

// Sector is the unit in which a torn write is torn.
const Sector = 512

// Disk is an in-memory device. It has the methods of wal.Device; all are safe from any goroutine.
type Disk struct {
	// OnWrite, when set, decides the fate of the n-th write (from 0) before it is made. Set it before the first write.
	OnWrite func(n int, p []byte, off int64) Fate
	// Sparse makes the disk one that knows which of its space was never written, like a file. Set it before the first write.
	Sparse bool

	mu      sync.Mutex
	stable  []byte // what survives a power failure at event 0
	base    []byte // what reads showed at event 0; differs from stable after a kill
	view    []byte // what reads show now
	history []Event
	writes  int
	rng     *rand.Rand // nil: writes are not interleaved on purpose
	closed  bool
}

// Fate is what happens to one write.
type Fate struct {
	Err   error // returned to the writer; the bytes are stored as Keep says
	Keep  int   // with Err or Short: how many leading bytes are stored
	Short bool  // Keep is returned without an error
	Lost  bool  // nothing is stored, success is returned
	Shift int64 // stored this far from where it belongs
	Flip  int   // bit Flip-1 of the data is stored inverted
}

// Kind of an Event.
type Kind uint8

// The kinds of events.
const (
	Start Kind = iota // of a write
	End               // of a write, successful
	Flush             // everything that reads showed is stable
	Mark              // set by the test
)

// Event is one step of a disk's history.
type Event struct {
	Kind Kind
	ID   int // write number, or the test's mark
	Off  int64
	Data []byte // of a Start: the disk's own copy
}

// New returns a disk of size zero bytes.
func New(size int64) *Disk { return FromImage(make([]byte, size)) }

// FromImage returns a disk that holds image, which it keeps.
func FromImage(image []byte) *Disk {
	return &Disk{stable: image, base: image, view: append([]byte(nil), image...)}
}

// Shuffle makes writes that run at the same time end in an order that depends on seed.
func (d *Disk) Shuffle(seed uint64) *Disk {
	d.rng = rand.New(rand.NewPCG(seed, 1))
	return d
}

// WriteAt stores p durably.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	if d.closed || off < 0 || off+int64(len(p)) > int64(len(d.view)) || off%Sector != 0 || len(p)%Sector != 0 {
		defer d.mu.Unlock()
		return 0, fmt.Errorf("waltest: write of %d bytes at %d, disk of %d bytes, closed %v", len(p), off, len(d.view), d.closed)
	}
	n := d.writes
	d.writes++
	var fate Fate
	if d.OnWrite != nil {
		fate = d.OnWrite(n, p, off)
	}
	data := append([]byte(nil), p...)
	keep := len(p)
	switch {
	case fate.Lost:
		keep = 0
	case fate.Err != nil || fate.Short:
		keep = min(fate.Keep, len(p))
	}
	if fate.Flip > 0 {
		data[(fate.Flip-1)/8] ^= 1 << ((fate.Flip - 1) % 8)
	}
	if at := off + fate.Shift; keep > 0 && at >= 0 && at+int64(keep) <= int64(len(d.view)) {
		copy(d.view[at:], data[:keep])
		d.history = append(d.history, Event{Kind: Start, ID: n, Off: at, Data: data[:keep]})
	}
	yields := 0
	if d.rng != nil {
		yields = d.rng.IntN(20)
		if d.rng.IntN(8) == 0 {
			yields *= 100 // one that lags far behind the others
		}
	}
	d.mu.Unlock()
	for range yields {
		runtime.Gosched()
	}
	if fate.Err != nil {
		return keep, fate.Err
	}
	d.mu.Lock()
	if keep > 0 {
		d.history = append(d.history, Event{Kind: End, ID: n})
	}
	d.mu.Unlock()
	if fate.Short {
		return keep, nil
	}
	return len(p), nil
}

// ReadAt reads what the writes so far have stored, durable or not.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || off < 0 || off+int64(len(p)) > int64(len(d.view)) {
		return 0, fmt.Errorf("waltest: read of %d bytes at %d, disk of %d bytes, closed %v", len(p), off, len(d.view), d.closed)
	}
	return copy(p, d.view[off:]), nil
}

// Flush makes everything that reads show survive a power failure.
func (d *Disk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("waltest: flush of a closed disk")
	}
	d.history = append(d.history, Event{Kind: Flush})
	return nil
}

// Size of the disk in bytes.
func (d *Disk) Size() int64 { return int64(len(d.view)) }

// Close ends the use; Reopen allows the next.
func (d *Disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// Reopen undoes Close.
func (d *Disk) Reopen() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = false
	return d
}

// Mark notes id in the history.
func (d *Disk) Mark(id int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.history = append(d.history, Event{Kind: Mark, ID: id})
}

// History returns the events so far. They are not to be modified.
func (d *Disk) History() []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.history[:len(d.history):len(d.history)]
}

// Bytes returns what reads show, for a test to look at or to damage while nothing uses the disk.
func (d *Disk) Bytes() []byte { return d.view }
