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
	// OnFlush, when set, decides the fate of the n-th flush (from 0): Err, Gone and Lost count. Set it before the first flush.
	OnFlush func(n int) Fate
	// OnRead, when set, fails reads: a read for which it returns an error gets that error and no bytes. Set it before the first read.
	OnRead func(off int64, n int) error

	mu      sync.Mutex
	size    int64
	stable  canvas // what survives a power failure at event 0; never changed
	base    canvas // what reads showed at event 0; differs from stable after a kill; never changed
	lasting canvas // base without stale writes: what a flush makes stable of it; never changed
	view    canvas // what reads show now
	flat    []byte // when not nil, what reads show now instead: somebody has asked for Bytes
	history []Event
	writes  int
	flushes int
	rng     *rand.Rand // nil: writes are not interleaved on purpose
	closed  bool
	gone    error // not nil: the device has vanished, every call gets this
}

// Fate is what happens to one write.
type Fate struct {
	Err   error // returned to the writer; the bytes are stored as Keep says
	Keep  int   // with Err or Short: how many leading bytes are stored
	Short bool  // Keep is returned without an error
	Gone  bool  // with Err: the device has vanished, all later calls and those under way get Err too
	Lost  bool  // nothing is stored, success is returned
	Stale bool  // success is returned and reads show it, until power fails: then the older content is back, flushed or not
	Shift int64 // stored this far from where it belongs
	Flip  int   // bit Flip-1 of the data is stored inverted
}

// Kind of an Event.
type Kind uint8

// The kinds of events.
const (
	Start      Kind = iota // of a write
	End                    // of a write, successful
	Flush                  // everything that reads showed is stable
	FlushStart             // of a flush that takes time
	FlushEnd               // of one: volatile writes that had ended before its start are stable
	Mark                   // set by the test
)

// Event is one step of a disk's history.
type Event struct {
	Kind Kind
	ID   int // number of the write or of the flush, or the test's mark
	Off  int64
	Data []byte // of a Start: the disk's own copy
	// Stale, of a Start: no power failure finds it stored.
	Stale bool
	// Volatile, of a Start: its End does not say that it is stable, a flush that began after it does.
	Volatile bool
}

// New returns a disk of size zero bytes.
func New(size int64) *Disk { return newDisk(size, newCanvas(size), newCanvas(size)) }

// FromImage returns a disk that holds image, which it keeps.
func FromImage(image []byte) *Disk {
	c := canvasOf(image)
	return newDisk(int64(len(image)), c, c)
}

func newDisk(size int64, stable, base canvas) *Disk {
	return &Disk{size: size, stable: stable, base: base, lasting: base, view: base.copy()}
}

// Shuffle makes writes that run at the same time end in an order that depends on seed.
func (d *Disk) Shuffle(seed uint64) *Disk {
	d.rng = rand.New(rand.NewPCG(seed, 1))
	return d
}

// Write is a write that has begun.
type Write struct {
	d    *Disk
	id   int
	n    int // what is returned
	fate Fate
	err  error // it was refused
	none bool  // nothing of it is in the history
}

// Begin starts a write of p; the caller says with End when it ends. p is not kept. Writes that are begun before others end reach the disk in any
// order.
func (d *Disk) Begin(p []byte, off int64) *Write {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.begin(p, off, false)
}

// BeginVolatile is Begin of a write that goes to the disk's cache: whether it survives a power failure is up to fate, until a flush that began after
// its end has ended.
func (d *Disk) BeginVolatile(p []byte, off int64) *Write {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.begin(p, off, true)
}

func (d *Disk) begin(p []byte, off int64, volatile bool) *Write {
	if d.gone != nil {
		return &Write{d: d, err: d.gone}
	}
	if d.closed || off < 0 || off+int64(len(p)) > d.size || off%Sector != 0 || len(p)%Sector != 0 {
		return &Write{d: d, err: fmt.Errorf("waltest: write of %d bytes at %d, disk of %d bytes, closed %v", len(p), off, d.size, d.closed)}
	}
	w := &Write{d: d, id: d.writes, n: len(p)}
	d.writes++
	if d.OnWrite != nil {
		w.fate = d.OnWrite(w.id, p, off)
	}
	keep := len(p)
	switch fate := &w.fate; {
	case fate.Lost:
		keep = 0
	case fate.Err != nil || fate.Short:
		keep = min(fate.Keep, len(p))
		w.n = keep
	}
	at := off + w.fate.Shift
	w.none = keep == 0 || at < 0 || at+int64(keep) > d.size
	if !w.none {
		data := append([]byte(nil), p...)
		if bit := w.fate.Flip; bit > 0 {
			data[(bit-1)/8] ^= 1 << ((bit - 1) % 8)
		}
		d.store(at, data[:keep])
		d.history = append(d.history, Event{Kind: Start, ID: w.id, Off: at, Data: data[:keep], Stale: w.fate.Stale, Volatile: volatile})
	}
	if w.fate.Gone {
		d.gone = w.fate.Err
	}
	return w
}

func (d *Disk) store(at int64, data []byte) {
	if d.flat != nil {
		copy(d.flat[at:], data)
		return
	}
	d.view.put(at, data)
}

// End ends the write, as its fate says.
func (w *Write) End() (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.fate.Err != nil {
		return w.n, w.fate.Err
	}
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if w.d.gone != nil {
		return 0, w.d.gone
	}
	if !w.none {
		w.d.history = append(w.d.history, Event{Kind: End, ID: w.id})
	}
	return w.n, nil
}

// WriteAt stores p durably.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	w := d.Begin(p, off)
	d.take()
	return w.End()
}

// WriteVolatile stores p in the disk's cache, see BeginVolatile.
func (d *Disk) WriteVolatile(p []byte, off int64) (int, error) {
	w := d.BeginVolatile(p, off)
	d.take()
	return w.End()
}

// take lets others run for as long as an operation takes.
func (d *Disk) take() {
	d.mu.Lock()
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
}

// ReadAt reads what the writes so far have stored, durable or not.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone != nil {
		return 0, d.gone
	}
	if d.closed || off < 0 || off+int64(len(p)) > d.size {
		return 0, fmt.Errorf("waltest: read of %d bytes at %d, disk of %d bytes, closed %v", len(p), off, d.size, d.closed)
	}
	if d.OnRead != nil {
		if err := d.OnRead(off, len(p)); err != nil {
			return 0, err
		}
	}
	if d.flat != nil {
		return copy(p, d.flat[off:]), nil
	}
	d.view.read(p, off)
	return len(p), nil
}

// Flush makes everything that reads show survive a power failure.
func (d *Disk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone != nil {
		return d.gone
	}
	if d.closed {
		return errors.New("waltest: flush of a closed disk")
	}
	_, fate := d.flushFate()
	if fate.Err != nil {
		return fate.Err
	}
	if !fate.Lost {
		d.history = append(d.history, Event{Kind: Flush})
	}
	return nil
}

// flushFate counts a flush and asks what becomes of it.
func (d *Disk) flushFate() (id int, fate Fate) {
	id = d.flushes
	d.flushes++
	if d.OnFlush != nil {
		fate = d.OnFlush(id)
	}
	if fate.Gone {
		d.gone = fate.Err
	}
	return id, fate
}

// Flushing is a flush that has begun.
type Flushing struct {
	d    *Disk
	id   int
	fate Fate
}

// BeginFlush starts a flush of the disk's cache; the caller says with End when it ends. It covers the volatile writes that have ended, and nothing of
// those that are under way.
func (d *Disk) BeginFlush() *Flushing {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone != nil {
		return &Flushing{d: d, fate: Fate{Err: d.gone}}
	}
	f := &Flushing{d: d}
	f.id, f.fate = d.flushFate()
	if f.fate.Err == nil && !f.fate.Lost {
		d.history = append(d.history, Event{Kind: FlushStart, ID: f.id})
	}
	return f
}

// End ends the flush.
func (f *Flushing) End() error {
	if f.fate.Err != nil {
		return f.fate.Err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.gone != nil {
		return f.d.gone
	}
	if !f.fate.Lost {
		f.d.history = append(f.d.history, Event{Kind: FlushEnd, ID: f.id})
	}
	return nil
}

// Flushes is how many flushes have begun.
func (d *Disk) Flushes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flushes
}

// Vanish takes the device away: every call from now on, and every write under way, gets err.
func (d *Disk) Vanish(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = err
}

// Size of the disk in bytes.
func (d *Disk) Size() int64 { return d.size }

// Close ends the use; Reopen allows the next.
func (d *Disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// Reopen undoes Close, and brings back a device that has vanished.
func (d *Disk) Reopen() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed, d.gone = false, nil
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

// Bytes returns what reads show, for a test to look at or to damage while nothing uses the disk. From then on the disk is one piece of memory.
func (d *Disk) Bytes() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flat == nil {
		d.flat = make([]byte, d.size)
		d.view.read(d.flat, 0)
	}
	return d.flat
}

// Peek reads what reads show. For OnWrite alone, which is called under the disk's lock.
func (d *Disk) Peek(p []byte, off int64) {
	if d.flat != nil {
		copy(p, d.flat[off:])
	} else {
		d.view.read(p, off)
	}
}

// Snapshot returns a disk that holds what reads show now, durably.
func (d *Disk) Snapshot() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newCanvas(d.size)
	if d.flat != nil {
		c.put(0, append([]byte(nil), d.flat...))
	} else {
		c = d.view.copy()
		clear(d.view.own) // shared now
	}
	return newDisk(d.size, c, c)
}

// Same says whether reads of two disks of one size show the same bytes.
func (d *Disk) Same(other *Disk) bool {
	a, b := d.Snapshot(), other.Snapshot()
	return a.base.same(&b.base)
}

// Writes is how many writes have begun.
func (d *Disk) Writes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}
