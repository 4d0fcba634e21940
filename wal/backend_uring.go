package wal

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/ringmq/ringmq/wal/internal/uring"
	"golang.org/x/sys/unix"
)

// ringEntries is the size of the submission queue: every write in flight, a superblock and the wake-up fit.
const ringEntries = 4 * maxQueue

// uringBackend writes through one io_uring that belongs to the commit goroutine's thread.
type uringBackend struct {
	l    *Log
	ring *uring.Ring
	// table says whether buffers are registered at all. It goes false for good when the kernel refuses one.
	table atomic.Bool
	slots int
}

// newBackend picks the way of writing. It runs on the commit goroutine, which it locks to its thread for io_uring.
func newBackend(l *Log) (backend, error) {
	file, ok := l.dev.(*fileDevice)
	if !ok || l.opts.Mode == ModePWrite {
		return newPWriteBackend(l), nil
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	ring, err := uring.New(ringEntries, file.fd)
	if err != nil {
		runtime.UnlockOSThread()
		if l.opts.Mode == ModeURing {
			return nil, fmt.Errorf("wal: %w", err)
		}
		l.log.Warn("wal: io_uring is not available, writing with a pool of pwrite calls", "error", err)
		return newPWriteBackend(l), nil
	}
	prioritize()
	u := &uringBackend{l: l, ring: ring, slots: min(l.pool.slotCount(), 1<<14)} // the kernel's limit
	if err := ring.ReserveBuffers(u.slots); err != nil {
		l.log.Warn("wal: writing from unregistered buffers", "error", err)
	} else {
		u.table.Store(true)
	}
	return u, nil
}

// prioritize asks the kernel to run this thread soon after it wakes: it runs for microseconds at a time, and every producer waits for it. With
// all cores computing, an append's latency is the time the thread waits for a core (BenchmarkEventLoop, busy=true: the mean falls to
// a half). A short slice needs no privilege and works from Linux 6.12 on; a lower nice value needs CAP_SYS_NICE or LimitNICE.
func prioritize() {
	const slice, nice = 100_000, -10 // ns
	if unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_NORMAL, Runtime: slice, Nice: nice}, 0) != nil {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_NORMAL, Runtime: slice}, 0)
	}
}

func (u *uringBackend) mode() Mode       { return ModeURing }
func (u *uringBackend) registered() bool { return u.table.Load() }
func (u *uringBackend) wake()            { u.ring.Wake() }

func (u *uringBackend) write(id uint64, b []byte, off int64, c *chunk) error {
	slot := uring.NoBuffer
	if c != nil && u.register(c) {
		slot = int(c.slot)
	}
	if !u.ring.Write(b, off, slot, id) {
		return errors.New("BUG: submission queue is full")
	}
	return nil
}

// register makes c known to the ring when it is first written from.
func (u *uringBackend) register(c *chunk) bool {
	if c.known {
		return true
	}
	if !u.table.Load() || c.slot < 0 || int(c.slot) >= u.slots {
		return false
	}
	err := u.ring.SetBuffer(int(c.slot), c.mem)
	if err == nil {
		c.known = true
		return true
	}
	u.table.Store(false)
	hint := ""
	if errors.Is(err, unix.ENOMEM) {
		var r unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_MEMLOCK, &r)
		hint = fmt.Sprintf("RLIMIT_MEMLOCK is %d bytes, the log would use up to %d: raise it (LimitMEMLOCK=infinity in a systemd unit)",
			r.Cur, u.l.opts.MemoryBytes)
	}
	u.l.log.Warn("wal: writing from unregistered buffers", "error", err, "hint", hint)
	return false
}

func (u *uringBackend) enter(wait bool) error { return u.ring.Enter(wait) }

func (u *uringBackend) next() (id uint64, n int, err error, ok bool) {
	id, res, ok := u.ring.Next()
	if ok && res < 0 {
		return id, 0, syscall.Errno(-res), true
	}
	return id, int(res), nil, ok
}

func (u *uringBackend) forget(c *chunk) bool {
	if !c.known {
		return true
	}
	if err := u.ring.ClearBuffer(int(c.slot)); err != nil {
		// The slot still names the chunk's pages: were it unmapped and the slot used again, blocks would be written from them.
		u.l.log.Error("wal: a registered buffer cannot be released, its memory is lost", "bytes", len(c.mem), "error", err)
		return false
	}
	c.known = false
	return true
}

func (u *uringBackend) close() { u.ring.Close() }
