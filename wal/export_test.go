package wal

import "github.com/ringmq/ringmq/wal/waltest"

// SetPreparation changes how many bytes one step of the preparation fills, and how many are filled before the log is ready.
func SetPreparation(o *Options, step, ahead int64) { o.prepareStep, o.prepareFirst = step, ahead }

// Stepper drives a log without its commit goroutine: everything happens on the caller's, in an order that depends on nothing but what it
// does. Histories run fast that way, and a seed replays them exactly.
type Stepper struct{ l *Log }

// OpenStepped opens a log on d. Whenever the log hands over to the device, pick is asked which of the n writes under way ends next; a
// negative answer lets them be for now.
func OpenStepped(o Options, d *waltest.Disk, pick func(n int) int) (*Log, Stepper, error) {
	o.Path, o.Device, o.readBytes = "", d, 32<<10
	o.stepped = func(*Log) backend { return &steppedBackend{disk: d, pick: pick} }
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
	pick   func(n int) int
	flight []steppedWrite
	landed []landing
}

type steppedWrite struct {
	id uint64
	w  *waltest.Write
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
	s.flight = append(s.flight, steppedWrite{id, s.disk.Begin(b, off)})
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
		n, err := f.w.End()
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
