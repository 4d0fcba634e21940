package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	lowest = 10_000 // below are those of well-known services
	tries  = 2_000
)

// Get returns a port that nothing is bound to, and that no other caller is given while this process lives, in this process or another one of the same user.
func Get() (int, error) { return all.get() }

var all ports

// ports are those that one process was given.
type ports struct {
	mu         sync.Mutex
	reserved   *os.File     // its bytes stand for ports, and are locked while a process has them; opened by the first get, and never closed
	given      map[int]bool // a lock does not keep a process from what it has locked itself
	start, end int          // of those to choose from; 0: to be found out
}

func (p *ports) get() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.openLocked(); err != nil {
		return 0, fmt.Errorf("freeport: %w", err)
	}
	for range tries {
		port := p.start + rand.IntN(p.end-p.start)
		if p.given[port] {
			continue
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(port), Len: 1}
		err := unix.FcntlFlock(p.reserved.Fd(), unix.F_OFD_SETLK, &lock)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("freeport: lock %s: %w", p.reserved.Name(), err)
		}
		p.given[port] = true // also when it is in use: it is not tried again
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("freeport: none of %d ports tried between %d and %d is free", tries, p.start, p.end-1)
}

func (p *ports) openLocked() (err error) {
	if p.reserved != nil {
		return nil
	}
	if p.end == 0 {
		if p.end, err = outgoing(); err != nil {
			return err
		}
		p.start = lowest
	}
	p.given = make(map[int]bool)
	p.reserved, err = os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("ringmq-ports-%d", os.Getuid())), os.O_CREATE|os.O_RDWR, 0o600)
	return err
}

// outgoing is the lowest port that the kernel gives to outgoing connections, or the end of all ports where hardly any are below that.
func outgoing() (int, error) {
	const setting = "/proc/sys/net/ipv4/ip_local_port_range"
	b, err := os.ReadFile(setting)
	if err != nil {
		return 0, err
	}
	var low, high int
	if _, err := fmt.Sscan(string(b), &low, &high); err != nil {
		return 0, fmt.Errorf("%s is %q: %w", setting, b, err)
	}
	if low < lowest+tries {
		return 1 << 16, nil
	}
	return low, nil
}
