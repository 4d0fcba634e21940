package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

const (
	// wakeData marks the completion of the eventfd read. Callers' user data stays below it.
	wakeData = ^uint64(0)

	// NoBuffer is the buffer index of an unregistered buffer.
	NoBuffer = -1

	fixedFile = 0 // index of the one registered file
)

// Setup flags that this giouring has under these names; listed from best to plainest. 5.18 knows SUBMIT_ALL, 5.19 COOP_TASKRUN, 6.0
// SINGLE_ISSUER, 6.1 DEFER_TASKRUN.
var setups = []uint32{
	giouring.SetupSubmitAll | giouring.SetupSingleIssuer | giouring.SetupDeferTaskrun,
	giouring.SetupSubmitAll | giouring.SetupSingleIssuer | giouring.SetupCoopTaskrun,
	giouring.SetupSubmitAll | giouring.SetupCoopTaskrun,
	0,
}

// Ring is one io_uring with one target file and one wake-up eventfd. All methods but Wake belong to the thread that called New.
type Ring struct {
	ring    *giouring.Ring
	flags   uint32
	target  int  // descriptor of the target
	fixed   bool // the target is registered
	buffers int  // slots of the buffer table, 0: none

	// scratch is one page outside the Go heap, for whatever the kernel reads or writes by address: the eventfd's counter and the
	// arguments of register calls.
	scratch *scratch
	wakeFD  int
	armed   bool                           // the read of wakeFD is queued or in flight
	inKern  int                            // submissions whose completion has not been returned, the eventfd read not counted
	last    *giouring.SubmissionQueueEntry // that get returned

	closed atomic.Bool
}

type scratch struct {
	counter uint64
	iovec   unix.Iovec
	update  giouring.RsrcUpdate2
	reg     giouring.RsrcRegister
	fds     [2]int32
}

// ErrRefused means that this process may not use io_uring, or that the kernel lacks it.
var ErrRefused = errors.New("uring: io_uring is not available")

// New creates a ring with room for entries submissions, a power of two, that reads and writes the open descriptor target. The caller keeps
// ownership of target. The calling goroutine must be locked to its thread.
func New(entries uint32, target int) (*Ring, error) {
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("uring: mmap scratch page: %w", err)
	}
	r := &Ring{target: target, wakeFD: -1, scratch: (*scratch)(unsafe.Pointer(&page[0]))}
	for _, flags := range setups {
		ring := giouring.NewRing()
		if err = ring.QueueInit(entries, flags); err == nil {
			r.ring, r.flags = ring, flags
			break
		}
		if !errors.Is(err, unix.EINVAL) {
			break // EPERM, ENOSYS, ENOMEM: plainer flags do not help
		}
	}
	if err != nil {
		r.unmap()
		return nil, fmt.Errorf("%w: io_uring_setup(%d): %w", ErrRefused, entries, err)
	}
	// The eventfd blocks on purpose: a read of a non-blocking one would complete at once with EAGAIN.
	if r.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		r.Close()
		return nil, fmt.Errorf("uring: eventfd: %w", err)
	}
	r.scratch.fds[0] = int32(target)
	if err := r.register(giouring.RegisterFiles, unsafe.Pointer(&r.scratch.fds[0]), 1); err == nil {
		r.fixed = true // otherwise the plain descriptor does
	}
	return r, nil
}

// Describe names the setup for a log line.
func (r *Ring) Describe() string {
	switch r.flags {
	case setups[0]:
		return "single issuer, deferred task work"
	case setups[1]:
		return "single issuer, cooperative task work"
	case setups[2]:
		return "cooperative task work"
	}
	return "plain"
}

func (r *Ring) register(op uint32, arg unsafe.Pointer, n uint32) error {
	if _, errno := r.ring.Register(r.ring.RingFd(), op, arg, n); errno != 0 {
		return errno
	}
	return nil
}

// ReserveBuffers creates an empty table of n registered buffers.
func (r *Ring) ReserveBuffers(n int) error {
	r.scratch.reg = giouring.RsrcRegister{Nr: uint32(n), Flags: giouring.RsrcRegisterSparse}
	err := r.register(giouring.RegisterBuffers2, unsafe.Pointer(&r.scratch.reg), uint32(unsafe.Sizeof(r.scratch.reg)))
	if err != nil {
		return fmt.Errorf("uring: reserve %d registered buffers: %w", n, err)
	}
	r.buffers = n
	return nil
}

// SetBuffer registers b in slot i, which pins its pages until ClearBuffer. It wraps ENOMEM when RLIMIT_MEMLOCK does not allow it.
func (r *Ring) SetBuffer(i int, b []byte) error {
	r.scratch.iovec.Base = &b[0]
	r.scratch.iovec.SetLen(len(b))
	return r.updateBuffer(i)
}

// ClearBuffer empties slot i. No write that uses it may be in flight. The memory may be unmapped afterwards, not before: the slot
// holds the physical pages, and later writes through it would store what those pages hold.
func (r *Ring) ClearBuffer(i int) error {
	r.scratch.iovec = unix.Iovec{}
	return r.updateBuffer(i)
}

func (r *Ring) updateBuffer(i int) error {
	if i < 0 || i >= r.buffers {
		return fmt.Errorf("uring: buffer slot %d of %d", i, r.buffers)
	}
	s := r.scratch
	s.update = giouring.RsrcUpdate2{Offset: uint32(i), Data: uint64(uintptr(unsafe.Pointer(&s.iovec))), Nr: 1}
	err := r.register(giouring.RegisterBuffersUpdate, unsafe.Pointer(&s.update), uint32(unsafe.Sizeof(s.update)))
	s.iovec = unix.Iovec{}
	if err != nil {
		return fmt.Errorf("uring: update buffer slot %d: %w", i, err)
	}
	return nil
}

// get returns a zeroed entry, or nil when the submission queue is full.
func (r *Ring) get() *giouring.SubmissionQueueEntry {
	sqe := r.ring.GetSQE()
	if sqe != nil {
		*sqe = giouring.SubmissionQueueEntry{}
	}
	r.last = sqe
	return sqe
}

// rw queues one operation on the target. It returns false when the submission queue is full: Enter first.
func (r *Ring) rw(op uint8, b []byte, off int64, buffer int, data uint64) bool {
	sqe := r.get()
	if sqe == nil {
		return false
	}
	sqe.OpCode = op
	r.aim(sqe)
	if len(b) > 0 {
		sqe.Addr = uint64(uintptr(unsafe.Pointer(&b[0])))
		sqe.Len = uint32(len(b))
	}
	sqe.Off = uint64(off)
	if buffer >= 0 {
		sqe.BufIG = uint16(buffer)
	}
	sqe.UserData = data
	r.inKern++
	return true
}

func (r *Ring) aim(sqe *giouring.SubmissionQueueEntry) {
	if r.fixed {
		sqe.Fd, sqe.Flags = fixedFile, giouring.SqeFixedFile
	} else {
		sqe.Fd = int32(r.target)
	}
}

// Write queues a write of b, which is off the Go heap, at off. buffer is the slot that b lies in, or NoBuffer.
func (r *Ring) Write(b []byte, off int64, buffer int, data uint64) bool {
	if buffer >= 0 {
		return r.rw(giouring.OpWriteFixed, b, off, buffer, data)
	}
	return r.rw(giouring.OpWrite, b, off, buffer, data)
}

// WriteDurable is Write whose completion says that b is on stable storage, whatever the target was opened with (RWF_DSYNC).
func (r *Ring) WriteDurable(b []byte, off int64, buffer int, data uint64) bool {
	if !r.Write(b, off, buffer, data) {
		return false
	}
	r.last.OpcodeFlags = unix.RWF_DSYNC
	return true
}

// Read queues a read into b, which is off the Go heap.
func (r *Ring) Read(b []byte, off int64, buffer int, data uint64) bool {
	if buffer >= 0 {
		return r.rw(giouring.OpReadFixed, b, off, buffer, data)
	}
	return r.rw(giouring.OpRead, b, off, buffer, data)
}

// Datasync queues an fdatasync of the target.
func (r *Ring) Datasync(data uint64) bool {
	sqe := r.get()
	if sqe == nil {
		return false
	}
	sqe.OpCode = giouring.OpFsync
	r.aim(sqe)
	sqe.OpcodeFlags = giouring.FsyncDatasync
	sqe.UserData = data
	r.inKern++
	return true
}

// Nop queues an operation that only completes.
func (r *Ring) Nop(data uint64) bool {
	sqe := r.get()
	if sqe == nil {
		return false
	}
	sqe.OpCode = giouring.OpNop
	sqe.Fd = -1
	sqe.UserData = data
	r.inKern++
	return true
}

// arm queues the read of the eventfd unless it is already there.
func (r *Ring) arm() bool {
	if r.armed {
		return true
	}
	sqe := r.get()
	if sqe == nil {
		return false
	}
	sqe.OpCode = giouring.OpRead
	sqe.Fd = int32(r.wakeFD)
	sqe.Addr = uint64(uintptr(unsafe.Pointer(&r.scratch.counter)))
	sqe.Len = 8
	sqe.UserData = wakeData
	r.armed = true
	return true
}

// Enter hands everything queued to the kernel and lets it post completions. With wait it returns only after there is a completion or
// a Wake, possibly one from before the call. Interruptions by signals are retried.
func (r *Ring) Enter(wait bool) error {
	if wait && !r.arm() {
		// Full queue: hand it over first, then there is room.
		if err := r.Enter(false); err != nil {
			return err
		}
		r.arm()
	}
	for {
		var err error
		if wait && r.ring.CQReady() == 0 {
			_, err = r.ring.SubmitAndWait(1)
		} else {
			_, err = r.ring.SubmitAndGetEvents()
		}
		switch {
		case err == nil || errors.Is(err, unix.EINTR):
			if r.ring.SQReady() == 0 && (!wait || r.ring.CQReady() > 0) {
				return nil
			}
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EBUSY):
			// The kernel is short of request memory, or completions wait to be taken. What is in flight frees it.
			if r.ring.CQReady() > 0 {
				return nil
			}
			if r.inFlight() == 0 {
				return fmt.Errorf("uring: io_uring_enter: %w", err)
			}
			_, _ = r.ring.Enter(0, 1, giouring.EnterGetEvents, nil)
		default:
			return fmt.Errorf("uring: io_uring_enter: %w", err)
		}
	}
}

// inFlight counts what the kernel has taken and not completed, the eventfd read included.
func (r *Ring) inFlight() int {
	n := r.inKern - int(r.ring.SQReady())
	if r.armed {
		n++
	}
	return n
}

// Ready says whether a completion can be taken without a system call.
func (r *Ring) Ready() bool { return r.ring.CQReady() > 0 }

// Next takes one completion. ok is false when there is none; res is a byte count or a negated errno. Completions of the eventfd are
// swallowed.
func (r *Ring) Next() (data uint64, res int32, ok bool) {
	for r.ring.CQReady() > 0 {
		cqe, err := r.ring.PeekCQE()
		if err != nil || cqe == nil {
			return 0, 0, false
		}
		data, res = cqe.UserData, cqe.Res
		r.ring.CQAdvance(1)
		if data == wakeData {
			r.armed = false
			continue
		}
		r.inKern--
		return data, res, true
	}
	return 0, 0, false
}

// InKernel is the number of operations queued or in flight.
func (r *Ring) InKernel() int { return r.inKern }

// Wake ends a wait of Enter, now or the next one. Any goroutine, until Close.
func (r *Ring) Wake() {
	one := uint64(1)
	for !r.closed.Load() {
		// A raw call: it cannot block, since the counter is drained long before it could overflow.
		_, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(r.wakeFD), uintptr(unsafe.Pointer(&one)), 8)
		if errno != unix.EINTR {
			return
		}
	}
}

// Close frees the ring. REQUIRES: InKernel() == 0, and no Wake runs concurrently or later.
func (r *Ring) Close() {
	r.closed.Store(true)
	if r.armed {
		// Complete the pending read of scratch.counter before its memory goes.
		one := uint64(1)
		_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(r.wakeFD), uintptr(unsafe.Pointer(&one)), 8)
		for r.armed {
			if r.Enter(true) != nil {
				break
			}
			r.Next()
		}
	}
	if r.fixed {
		// The kernel takes the ring apart in the background. The target's lock and claim end with the last reference to the file, so
		// drop this one now.
		_ = r.register(giouring.UnregisterFiles, nil, 0)
	}
	r.ring.QueueExit()
	if r.wakeFD >= 0 {
		unix.Close(r.wakeFD)
	}
	r.unmap()
}

func (r *Ring) unmap() {
	_ = unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(r.scratch)), unix.Getpagesize()))
}
