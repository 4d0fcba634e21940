package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is one host of a network.
type Host struct {
	Name   string
	net    *Network
	number int // of the host: the last byte of its address, and the name of its link
	// Who is cut off, by address; "" is everybody.
	noIn, noOut []string
	cable       *cable // while frames are delayed
}

// Host adds a host, which is up. The name has at most 20 letters, digits and dashes and is unique in the network.
func (n *Network) Host(name string) (*Host, error) {
	if name == "" || len(name) > 20 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, fmt.Errorf("lab: host name %q: 1 to 20 small letters, digits and dashes are allowed", name)
	}
	if len(n.hosts) == maxHosts || slices.ContainsFunc(n.hosts, func(h *Host) bool { return h.Name == name }) {
		return nil, fmt.Errorf("lab: host %q is there already, or there are %d", name, maxHosts)
	}
	h := &Host{Name: name, net: n, number: firstHost + len(n.hosts)}
	n.hosts = append(n.hosts, h)
	return h, h.Up()
}

// Addr is the host's address.
func (h *Host) Addr() string { return h.net.address(h.number) }

func (h *Host) space() string { return h.net.link(h.Name) }

func (h *Host) veth() string { return h.net.link(fmt.Sprint(h.number)) }

// hardwareAddr is what neighbours remember of the host; it stays the same when the host goes down and up, as that of a real one.
func (h *Host) hardwareAddr() string {
	return fmt.Sprintf("02:72:71:%02x:00:%02x", h.net.number, h.number)
}

// Wrap is what to put before a command that is to run on this host. The command keeps its process id.
func (h *Host) Wrap() []string {
	if h.net.loopback {
		return nil
	}
	return []string{"ip", "netns", "exec", h.space()}
}

// Up switches the host on, healed.
func (h *Host) Up() error {
	if h.net.loopback {
		return nil
	}
	h.noIn, h.noOut = nil, nil
	if err := run("ip", "netns", "add", h.space()); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "add", h.veth(), "type", "veth", "peer", "name", "eth0", "address", h.hardwareAddr(), "netns", h.space()},
		{"link", "set", h.veth(), "master", h.net.link("br"), "up"},
		{"-n", h.space(), "link", "set", "lo", "up"},
		{"-n", h.space(), "addr", "add", h.Addr() + "/24", "dev", "eth0"},
		{"-n", h.space(), "link", "set", "eth0", "up"},
	} {
		if err := run("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// Down switches the host off: first it falls silent, then its processes are killed, so that no peer learns of it by a closed connection.
func (h *Host) Down() error {
	if h.net.loopback {
		return ErrNoFaults
	}
	if err := h.unplug(); err != nil {
		return err
	}
	if err := run("ip", "link", "del", h.veth()); err != nil {
		return err
	}
	return removeSpace(h.space())
}

// Cut lets no packet through between this host and the peers, or everybody when none are given.
func (h *Host) Cut(peers ...*Host) error { return h.cut(peers, true, true) }

// CutIn lets no packet of the peers (none: of anybody) reach this host; what it sends does reach them.
func (h *Host) CutIn(peers ...*Host) error { return h.cut(peers, true, false) }

// CutOut lets no packet of this host reach the peers (none: anybody); what they send does reach it.
func (h *Host) CutOut(peers ...*Host) error { return h.cut(peers, false, true) }

func (h *Host) cut(peers []*Host, in, out bool) error {
	addrs := []string{""}
	if len(peers) > 0 {
		addrs = nil
	}
	for _, p := range peers {
		addrs = append(addrs, p.Addr())
	}
	if in {
		h.noIn = append(h.noIn, addrs...)
	}
	if out {
		h.noOut = append(h.noOut, addrs...)
	}
	return h.applyCuts()
}

// Heal takes back every cut of this host; cuts that others made stay.
func (h *Host) Heal() error {
	h.noIn, h.noOut = nil, nil
	return h.applyCuts()
}

// applyCuts makes the host's packet filter what noIn and noOut say, at once.
func (h *Host) applyCuts() error {
	if h.net.loopback {
		return ErrNoFaults
	}
	var rules strings.Builder
	rules.WriteString("table inet lab\ndelete table inet lab\ntable inet lab {\n") // the first line: there may be none to delete
	chain := func(hook, device, field string, addrs []string) {
		fmt.Fprintf(&rules, "chain %s { type filter hook %s priority 0; %s \"lo\" accept\n", hook, hook, device)
		for _, a := range addrs {
			if a == "" {
				rules.WriteString("drop\n")
			} else {
				fmt.Fprintf(&rules, "ip %s %s drop\n", field, a)
			}
		}
		rules.WriteString("}\n")
	}
	chain("input", "iifname", "saddr", h.noIn)
	chain("output", "oifname", "daddr", h.noOut)
	rules.WriteString("}\n")
	return runInput(rules.String(), "ip", "netns", "exec", h.space(), "nft", "-f", "-")
}

// Dial connects from this host. The address is a literal one.
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.enter(func() error {
		c, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(h.Addr())}}).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen listens on a port of this host, 0 for any.
func (h *Host) Listen(port int) (l net.Listener, err error) {
	err = h.enter(func() error {
		l, err = net.Listen("tcp", fmt.Sprintf("%s:%d", h.Addr(), port))
		return err
	})
	return l, err
}

// enter runs f on a thread that is in the host's namespace: what it opens stays there.
func (h *Host) enter(f func() error) error {
	if h.net.loopback {
		return f()
	}
	space, err := os.Open("/run/netns/" + h.space())
	if err != nil {
		return fmt.Errorf("lab: host %s is down: %w", h.Name, err)
	}
	defer space.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			done <- fmt.Errorf("lab: %w", err)
			return
		}
		defer home.Close()
		if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("lab: enter %s: %w", h.space(), err)
			return
		}
		err = f()
		// A thread that does not get home stays locked and ends with the goroutine: nobody else gets it.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// unplug takes the cable away, if there is one.
func (h *Host) unplug() error {
	if h.cable == nil {
		return nil
	}
	err := h.cable.close()
	h.cable = nil
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
