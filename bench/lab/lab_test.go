package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/waittest"
)

func open(t *testing.T) *Network {
	t.Helper()
	n, err := Open()
	if errors.Is(err, ErrNotPermitted) {
		t.Skipf("SKIPPED: hosts in namespaces; root, ip or nft is missing: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func host(t *testing.T, n *Network, name string) *Host {
	t.Helper()
	h, err := n.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// echo serves lines on a host until the test ends, and notes those that arrive.
func echo(t *testing.T, h *Host) (addr string, arrived <-chan string) {
	t.Helper()
	l, err := h.Listen(0)
	ok(t, err)
	t.Cleanup(func() { l.Close() })
	lines := make(chan string, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					lines <- line
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), lines
}

// ask sends a line and waits for its echo, at most limit.
func ask(c net.Conn, line string, limit time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return err
	}
	for r := bufio.NewReader(c); ; {
		got, err := r.ReadString('\n')
		if err != nil || got == line+"\n" {
			return err
		}
	}
}

func dial(t *testing.T, h *Host, addr string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", addr)
	ok(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

const (
	soon   = 10 * time.Second       // what must arrive, even when it is sent again
	silent = 300 * time.Millisecond // long enough to see that nothing arrives
)

// TestCuts: two hosts and this process reach each other; a cut is seen by those that it is for and by nobody else, a one-way cut in one direction;
// healed, the same connection goes on.
func TestCuts(t *testing.T) {
	n := open(t)
	a, b, c := host(t, n, "a"), host(t, n, "b"), host(t, n, "c")
	addr, arrived := echo(t, b)
	drain := func() {
		for len(arrived) > 0 {
			<-arrived
		}
	}
	fromA, fromC := dial(t, a, addr), dial(t, c, addr)
	if got := fromA.RemoteAddr().(*net.TCPAddr).IP.String(); got != b.Addr() {
		t.Errorf("connected to %s, want %s", got, b.Addr())
	}
	outside, err := net.Dial("tcp", addr)
	ok(t, err)
	defer outside.Close()
	ok(t, ask(outside, "outside", soon))
	ok(t, ask(fromA, "before", soon))

	ok(t, b.Cut(a))
	drain()
	if ask(fromA, "cut", silent) == nil {
		t.Error("a cut host answers")
	}
	if len(arrived) > 0 {
		t.Error("something arrived through a cut")
	}
	ok(t, ask(fromC, "uninvolved", soon))
	ok(t, b.Heal())
	ok(t, ask(fromA, "healed", soon))

	ok(t, b.CutOut())
	drain()
	if ask(fromC, "one way", silent) == nil {
		t.Error("a host that cannot send answers")
	}
	select {
	case <-arrived:
	case <-time.After(soon):
		t.Error("a host that cannot send does not receive either")
	}
	ok(t, b.Heal())
	ok(t, ask(fromC, "healed", soon))

	ok(t, a.CutIn(b))
	drain()
	if ask(fromA, "other way", silent) == nil {
		t.Error("a host that cannot receive gets answers")
	}
	if len(arrived) == 0 {
		t.Error("what a host sends that cannot receive does not arrive")
	}
	ok(t, a.Heal())
	ok(t, ask(fromA, "healed", soon))
}

// TestDelay: a delayed host answers later, on the connection that it had before; and as quickly as before when the delay is taken away.
func TestDelay(t *testing.T) {
	n := open(t)
	a, b := host(t, n, "a"), host(t, n, "b")
	addr, _ := echo(t, b)
	c := dial(t, a, addr)
	ok(t, ask(c, "before", soon))
	const delay = 60 * time.Millisecond
	ok(t, b.Delay(delay))
	ok(t, ask(c, "first", soon)) // neighbours may have to find the host again
	if took := timed(t, c); took < 2*delay {
		t.Errorf("an answer came after %v, the way takes twice %v", took, delay)
	}
	ok(t, b.Delay(0))
	ok(t, ask(c, "drain", soon))
	best := timed(t, c)
	for range 20 { // a busy machine is slow by itself
		best = min(best, timed(t, c))
	}
	if best >= delay {
		t.Errorf("without the delay no answer came within %v", best)
	}
}

func timed(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	begun := time.Now()
	ok(t, ask(c, begun.String(), soon))
	return time.Since(begun)
}

// sleep runs a process on a host that does not end by itself, and returns when it is there.
func sleep(t *testing.T, h *Host) *exec.Cmd {
	t.Helper()
	args := append(h.Wrap(), "sleep", "1000")
	cmd := exec.Command(args[0], args[1:]...)
	ok(t, cmd.Start())
	waittest.UntilNil(t, soon, fmt.Sprintf("process %d runs on host %s", cmd.Process.Pid, h.Name), func() error {
		pids, err := processes(h.space())
		if err == nil && !slices.Contains(pids, cmd.Process.Pid) {
			err = fmt.Errorf("%v do", pids)
		}
		return err
	})
	return cmd
}

// TestDownUp: a host that is switched off takes its processes with it and tells nobody; switched on it has its address again.
func TestDownUp(t *testing.T) {
	n := open(t)
	a, b := host(t, n, "a"), host(t, n, "b")
	sleeper := sleep(t, b)
	addr, _ := echo(t, b)
	c := dial(t, a, addr)
	ok(t, ask(c, "before", soon))
	ok(t, b.CutIn(a))
	ok(t, b.Delay(time.Millisecond))
	ok(t, b.Down())
	var exit *exec.ExitError
	if err := sleeper.Wait(); !errors.As(err, &exit) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process on the host ended with %v", err)
	}
	if err := ask(c, "off", silent); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a host that is off answers with %v", err)
	}
	if _, err := b.Listen(0); err == nil {
		t.Error("a socket was opened on a host that is off")
	}
	ok(t, b.Up())
	addr, _ = echo(t, b)
	if !strings.HasPrefix(addr, b.Addr()+":") {
		t.Errorf("the address was %s and is %s", b.Addr(), addr)
	}
	ok(t, ask(dial(t, a, addr), "on", soon))
}

// TestSweep: what a crashed owner has left is gone when the next lab opens, and a lab that is in use is left alone.
func TestSweep(t *testing.T) {
	living := open(t)
	a := host(t, living, "a")
	addr, _ := echo(t, a)
	crashed, err := Open()
	ok(t, err)
	left := host(t, crashed, "left")
	sleeper := sleep(t, left)
	ok(t, crashed.lock.Close()) // which is what the end of a process does

	next := open(t)
	if next.number != crashed.number {
		t.Errorf("the number is %d, free was %d", next.number, crashed.number)
	}
	if err := sleeper.Wait(); err == nil {
		t.Error("a process of the crashed lab ended by itself")
	}
	if exists("/run/netns/"+left.space()) || exists("/sys/class/net/"+left.veth()) {
		t.Error("the crashed lab's host is still there")
	}
	ok(t, ask(dial(t, a, addr), "alive", soon))
}

// TestLoopback: hosts are addresses; faults of the network are refused.
func TestLoopback(t *testing.T) {
	n, err := Loopback()
	ok(t, err)
	defer n.Close()
	a, b := host(t, n, "a"), host(t, n, "b")
	addr, _ := echo(t, a)
	ok(t, ask(dial(t, b, addr), "hello", soon))
	if a.Addr() == b.Addr() || a.Wrap() != nil {
		t.Errorf("%s %s %v", a.Addr(), b.Addr(), a.Wrap())
	}
	for _, err := range []error{a.Cut(), a.Heal(), a.Delay(1), a.Down()} {
		if !errors.Is(err, ErrNoFaults) {
			t.Errorf("got %v", err)
		}
	}
	for _, name := range []string{"", "a", "A", "a/b", strings.Repeat("x", 21)} {
		if _, err := n.Host(name); err == nil {
			t.Errorf("host %q was made", name)
		}
	}
	if fmt.Sprint(n.Addr()) == a.Addr() {
		t.Error("a host has this process's address")
	}
}
