package uring

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Parker is where the ring's thread sleeps when nothing is in flight. A futex: through the ring, the read of an
// eventfd would have to be queued, polled and completed for each wake-up. The zero value is ready for use.
type Parker struct {
	word atomic.Uint32 // 1: a wake-up that Park has not taken
}

const (
	futexWait = 0 | 128 // FUTEX_WAIT, FUTEX_PRIVATE_FLAG
	futexWake = 1 | 128
)

// Park returns after an Unpark, possibly one from before the call. One goroutine at a time.
func (p *Parker) Park() {
	for p.word.Swap(0) == 0 {
		// Returns at once when the word is not 0 any more, and early on a signal: the loop looks again.
		_, _, _ = syscall.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&p.word)), futexWait, 0, 0, 0, 0)
	}
}

// Unpark ends a Park, now or the next one. Any goroutine.
func (p *Parker) Unpark() {
	if p.word.Swap(1) == 0 {
		_, _, _ = syscall.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&p.word)), futexWake, 1)
	}
}
