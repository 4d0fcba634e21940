package netpoll

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// writePoller waits for descriptors to become writable again and goes on flushing them. gnet has no writable callback, and
// its own output buffer has no bound.
//
// Its epoll descriptor is itself watched by the Go runtime's poller, so that the waiting goroutine is parked instead of
// holding a thread and a processor in epoll_wait. One-shot registrations: a peer that reads slowly costs one event
// per 512 KiB or per free space, whichever is less.
type writePoller struct {
	file *os.File // the epoll descriptor
	fd   int
	done chan struct{}

	mu    sync.Mutex
	conns map[uint64]*Conn // registered, by ID; events of others are stale
}

func newWritePoller() (*writePoller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netpoll: epoll_create1: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netpoll: epoll descriptor: %w", err)
	}
	p := &writePoller{
		file:  os.NewFile(uintptr(fd), "epoll"),
		fd:    fd,
		done:  make(chan struct{}),
		conns: make(map[uint64]*Conn),
	}
	raw, err := p.file.SyscallConn()
	if err != nil {
		p.file.Close()
		return nil, fmt.Errorf("netpoll: epoll descriptor: %w", err)
	}
	go func() {
		defer close(p.done)
		events := make([]unix.EpollEvent, 128)
		n := 0
		wait := func(fd uintptr) bool {
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && err != unix.EINTR
		}
		for raw.Read(wait) == nil && (err == nil || err == unix.EINTR) {
			for _, e := range events[:max(n, 0)] {
				p.mu.Lock()
				c := p.conns[uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32]
				p.mu.Unlock()
				if c != nil {
					c.out.writable()
				}
			}
		}
	}()
	return p, nil
}

// arm asks for one call of c.out.writable. REQUIRES: c.out.io and c.out.mu are held.
func (p *writePoller) arm(c *Conn, fd int) error {
	p.mu.Lock()
	_, known := p.conns[c.id]
	p.conns[c.id] = c
	p.mu.Unlock()
	op := unix.EPOLL_CTL_ADD
	if known {
		op = unix.EPOLL_CTL_MOD
	}
	e := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(uint32(c.id)), Pad: int32(uint32(c.id >> 32))}
	if err := unix.EpollCtl(p.fd, op, fd, &e); err != nil {
		return fmt.Errorf("netpoll: wait for a writable socket: %w", err)
	}
	return nil
}

// forget undoes arm. REQUIRES: c.out.io and c.out.mu are held; fd is still open.
func (p *writePoller) forget(c *Conn, fd int) {
	p.mu.Lock()
	_, known := p.conns[c.id]
	delete(p.conns, c.id)
	p.mu.Unlock()
	if known {
		// Fails only if the descriptor was not registered, after an arm that failed.
		_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

func (p *writePoller) close() {
	p.file.Close()
	<-p.done
}
