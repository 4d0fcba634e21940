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

// ringEntries is the size of the submission queue: every write in flight, a superblock, a flush and the wake-up fit.
const ringEntries = 4 * maxQueue

// uringBackend writes through one io_uring that belongs to the commit goroutine's thread.
type uringBackend struct {
	l    *Log
	ring *uring.Ring
	bed  uring.Parker // where the thread sleeps when nothing is in flight
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
	// The thread keeps the scheduler's default treatment. A lower nice value or a short slice lets it preempt the appender that wakes it,
	// on the same core: blocks get smaller, latency grows by a half (135 to 200 µs) and processor time per append doubles.
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	ring, err := uring.New(ringEntries, file.fd)
	if err != nil {
		runtime.UnlockOSThread()
		if l.opts.Mode == ModeURing {
			return nil, fmt.Errorf("wal: %w", err)
		}
		l.log.Warn("wal: io_uring is not available, writing with a pool of pwrite calls", "cause", err)
		return newPWriteBackend(l), nil
	}
	u := &uringBackend{l: l, ring: ring, slots: min(l.pool.slotCount(), 1<<14)} // the kernel's limit
	if err := ring.ReserveBuffers(u.slots); err != nil {
		l.log.Warn("wal: writing from unregistered buffers", "cause", err)
	} else {
		u.table.Store(true)
	}
	return u, nil
}

func (u *uringBackend) mode() Mode       { return ModeURing }
func (u *uringBackend) registered() bool { return u.table.Load() }
func (u *uringBackend) rest()            { u.bed.Park() }

func (u *uringBackend) wake(resting bool) {
	if resting {
		u.bed.Unpark()
	} else {
		u.ring.Wake()
	}
}

func (u *uringBackend) write(id uint64, b []byte, off int64, c *chunk) error {
	slot := uring.NoBuffer
	if c != nil && u.register(c) {
		slot = int(c.slot)
	}
	ok := false
	if how := u.l.sync.Method; how == SyncRWF || how == SyncFdatasync && id == superID {
		ok = u.ring.WriteDurable(b, off, slot, id)
	} else { // durable by the way in which the target is open, or by a flush
		ok = u.ring.Write(b, off, slot, id)
	}
	if !ok {
		return errQueueFull
	}
	return nil
}

var errQueueFull = errors.New("BUG: submission queue is full")

func (u *uringBackend) flush() error {
	if !u.ring.Datasync(flushID) {
		return errQueueFull
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
	u.l.log.Warn("wal: writing from unregistered buffers", "cause", err, "hint", hint)
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
		u.l.log.Error("wal: a registered buffer cannot be released, its memory is lost", "bytes", len(c.mem), "cause", err)
		return false
	}
	c.known = false
	return true
}

func (u *uringBackend) close() { u.ring.Close() }
