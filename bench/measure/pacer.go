package measure

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Pacer sleeps exactly. Go's own timers wake an idle program through epoll, whose timeout is whole milliseconds: a generator that uses them
// adds up to a millisecond of its own to every latency. A pacer holds its thread and sleeps in the kernel, which is late by some tens of
// microseconds.
//
// A pacer belongs to the goroutine that made it. Close must be called.
type Pacer struct{ slack bool }

// NewPacer binds the goroutine to its thread.
func NewPacer() *Pacer {
	runtime.LockOSThread()
	// The default slack lets the kernel wake the thread 50 us late to save power.
	return &Pacer{slack: unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) == nil}
}

// Until returns at t, or at once when t has passed.
func (p *Pacer) Until(t time.Time) {
	for {
		wait := time.Until(t)
		if wait <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(wait))
		// EINTR comes with every preemption signal; the loop sleeps the rest.
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
	}
}

// Close frees the thread.
func (p *Pacer) Close() {
	if p.slack {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // back to the default
	}
	runtime.UnlockOSThread()
}

// RoomFor lets n pacers sleep without holding up the rest of the program, and returns what undoes it. A sleeping pacer keeps its place among
// the threads that may run Go code until the runtime takes it away, which it does only now and then: with as many pacers as processors
// nobody would look at the network meanwhile, for up to ten milliseconds, and that would count as the server's.
func RoomFor(n int) (undo func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + n)
	return func() { runtime.GOMAXPROCS(before) }
}
