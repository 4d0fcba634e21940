package wal

import "github.com/ringmq/ringmq/wal/waltest"

// SetPreparation changes how many bytes one step of the preparation fills, and how many are filled before the log is ready.
func SetPreparation(o *Options, step, ahead int64) { o.prepareStep, o.prepareFirst = step, ahead }

// Stepper drives a log without its commit goroutine: everything happens on the caller's, in an order that depends on nothing but what it
// does. Histories run fast that way, and a seed replays them exactly.
type Stepper struct{ l *Log }

// FlushFault is a mistake that a log could make with SyncFdatasync. Histories with one must show a loss, or they prove nothing of a log without.
type FlushFault int

// The faults.
const (
	NoFault    FlushFault = iota
	NoFlush               // writes count when they have completed
	EarlyFlush            // a write counts by a flush that was begun with it, not after its completion
	LazySuper             // superblocks go to the cache, too
)

// OpenStepped opens a log on d. Whenever the log hands over to the device, pick is asked which of the n writes under way ends next; a
// negative answer lets them be for now.
func OpenStepped(o Options, d *waltest.Disk, pick func(n int) int) (*Log, Stepper, error) {
	return OpenFaulty(o, d, pick, NoFault)
}

// OpenFaulty is OpenStepped of a log that makes a mistake.
func OpenFaulty(o Options, d *waltest.Disk, pick func(n int) int, fault FlushFault) (*Log, Stepper, error) {
	o.Path, o.Device, o.readBytes = "", d, 32<<10
	o.stepped = func(*Log) backend {
		return &steppedBackend{disk: d, lazy: o.Sync == SyncFdatasync, fault: fault, pick: pick}
	}
	l, err := Open(o)
	return l, Stepper{l}, err
}

// Step is one turn of the commit goroutine.
func (s Stepper) Step() { s.l.commit.turn() }

// Failed says whether the log has met a failure of its device.
func (s Stepper) Failed() bool { return s.l.commit.failed != nil }

// steppedBackend has writes under way until they are picked.
type steppedBackend struct {
	disk   *waltest.Disk
	lazy   bool // SyncFdatasync
	pick   func(n int) int
	fault  FlushFault
	early  *waltest.Flushing // of EarlyFlush: begun with the last write
	flight []steppedOp
	landed []landing
}

// steppedOp is a write or a flush under way.
type steppedOp struct {
	id  uint64
	end func() (int, error)
}

func (s *steppedBackend) mode() Mode         { return ModePWrite }
func (s *steppedBackend) registered() bool   { return false }
func (s *steppedBackend) wake(bool)          {}
func (s *steppedBackend) rest()              {}
func (s *steppedBackend) forget(*chunk) bool { return true }
func (s *steppedBackend) close() {
	if len(s.flight) > 0 {
		panic("BUG: closed with writes under way")
	}
}

func (s *steppedBackend) write(id uint64, b []byte, off int64, _ *chunk) error {
	begin := s.disk.Begin
	if s.lazy && (id != superID || s.fault == LazySuper) {
		begin = s.disk.BeginVolatile
	}
	s.flight = append(s.flight, steppedOp{id, begin(b, off).End})
	if s.fault == EarlyFlush && id != superID {
		s.early = s.disk.BeginFlush()
	}
	return nil
}

func (s *steppedBackend) flush() error {
	f := s.early
	switch s.fault {
	case NoFault, LazySuper:
		f = s.disk.BeginFlush()
	case NoFlush:
		s.flight = append(s.flight, steppedOp{flushID, func() (int, error) { return 0, nil }})
		return nil
	}
	s.flight = append(s.flight, steppedOp{flushID, func() (int, error) { return 0, f.End() }})
	return nil
}

func (s *steppedBackend) enter(bool) error {
	for len(s.flight) > 0 {
		i := s.pick(len(s.flight))
		if i < 0 {
			break
		}
		f := s.flight[i]
		s.flight = append(s.flight[:i], s.flight[i+1:]...)
		n, err := f.end()
		s.landed = append(s.landed, landing{f.id, n, err})
	}
	return nil
}

func (s *steppedBackend) next() (id uint64, n int, err error, ok bool) {
	if len(s.landed) == 0 {
		return 0, 0, nil, false
	}
	j := s.landed[0]
	s.landed = s.landed[1:]
	return j.id, j.n, j.err, true
}
