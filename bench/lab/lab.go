package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotPermitted says that this process may not make network namespaces, or that a program for it is missing. Tests skip with it.
var ErrNotPermitted = errors.New("lab: network namespaces are not available")

// ErrNoFaults is what faults of the network return on a host that is only a loopback address.
var ErrNoFaults = errors.New("lab: a loopback host has no network of its own")

const (
	prefix     = "rq-" // of every namespace and link
	maxNumbers = 64    // labs at a time
	firstHost  = 10    // last byte of the first host's address
	maxHosts   = 200
)

// Network is a number of hosts that reach each other.
type Network struct {
	number   int
	loopback bool
	lock     *os.File // held while the number is ours
	hosts    []*Host
}

// Open makes an empty network.
func Open() (*Network, error) {
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("%w: they need root (CAP_NET_ADMIN and CAP_SYS_ADMIN)", ErrNotPermitted)
	}
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: %w (make lab-tools installs it)", ErrNotPermitted, err)
		}
	}
	n, err := claim()
	if err != nil {
		return nil, err
	}
	bridge := n.link("br")
	if err := run("ip", "link", "add", bridge, "type", "bridge"); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNotPermitted, err), n.lock.Close())
	}
	if err := errors.Join(run("ip", "addr", "add", n.Addr()+"/24", "dev", bridge), run("ip", "link", "set", bridge, "up")); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Loopback makes a network whose hosts are addresses of the loopback interface.
func Loopback() (*Network, error) {
	n, err := claim()
	if err != nil {
		return nil, err
	}
	n.loopback = true
	return n, nil
}

// claim takes the first free number, and clears away what earlier owners of free numbers have left.
func claim() (*Network, error) {
	var mine *Network
	for number := range maxNumbers {
		path := filepath.Join(os.TempDir(), fmt.Sprintf("%slab-%d.lock", prefix, number))
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			f.Close()
			continue
		}
		n := &Network{number: number, lock: f}
		if err := n.sweep(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if mine == nil {
			mine = n
		} else {
			f.Close()
		}
	}
	if mine == nil {
		return nil, fmt.Errorf("lab: %d labs are running, that is all there are numbers for", maxNumbers)
	}
	return mine, nil
}

// sweep removes every namespace and link of the number, and kills the processes in them.
func (n *Network) sweep() error {
	mine := n.link("")
	spaces, err := os.ReadDir("/run/netns")
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("lab: %w", err)
	}
	for _, space := range spaces {
		if strings.HasPrefix(space.Name(), mine) {
			if err := removeSpace(space.Name()); err != nil {
				return err
			}
		}
	}
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for _, link := range links {
		if !strings.HasPrefix(link.Name(), mine) {
			continue
		}
		// The end of a veth goes with its namespace, at a time of the kernel's choosing.
		if err := run("ip", "link", "del", link.Name()); err != nil && exists("/sys/class/net/"+link.Name()) {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// removeSpace kills what runs in a namespace and removes it.
func removeSpace(space string) error {
	pids, err := processes(space)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue // a thread of ours that is on its way home
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("lab: kill process %d in %s: %w", pid, space, err)
		}
	}
	return run("ip", "netns", "del", space)
}

// processes are those in a namespace.
func processes(space string) (pids []int, err error) {
	out, err := exec.Command("ip", "netns", "pids", space).Output()
	for _, field := range strings.Fields(string(out)) {
		pid, bad := strconv.Atoi(field)
		pids, err = append(pids, pid), errors.Join(err, bad)
	}
	if err != nil {
		return nil, fmt.Errorf("lab: processes in %s: %w", space, err)
	}
	return pids, nil
}

// link is the name of a link or namespace of this network.
func (n *Network) link(what string) string { return fmt.Sprintf("%s%d-%s", prefix, n.number, what) }

// Addr is the address of this process on the network.
func (n *Network) Addr() string { return n.address(1) }

func (n *Network) address(last int) string {
	if n.loopback {
		return fmt.Sprintf("127.77.%d.%d", n.number, last)
	}
	return fmt.Sprintf("10.77.%d.%d", n.number, last)
}

// Close removes the network and its hosts, with every process that still runs on them.
func (n *Network) Close() error {
	var errs []error
	for _, h := range n.hosts {
		errs = append(errs, h.unplug())
	}
	if !n.loopback {
		errs = append(errs, n.sweep())
	}
	return errors.Join(append(errs, n.lock.Close())...)
}

// run runs a program of the system.
func run(name string, args ...string) error { return runInput("", name, args...) }

func runInput(input, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lab: %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
