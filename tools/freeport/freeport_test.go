package freeport

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGet: ports differ, also between processes that live at the same time, can be bound again and again, and are none of those of outgoing connections.
func TestGet(t *testing.T) {
	if os.Getenv("RINGMQ_FREEPORT_CHILD") != "" {
		for range 200 {
			port, err := Get()
			if err != nil {
				t.Fatal(err)
			}
			os.Stdout.WriteString("port " + strconv.Itoa(port) + "\n")
		}
		return
	}
	end, err := outgoing()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	add := func(port int) {
		if seen[port] {
			t.Errorf("port %d is given twice", port)
		}
		if seen[port] = true; port < lowest || port >= end {
			t.Errorf("port %d, want %d to %d", port, lowest, end-1)
		}
	}
	for range 200 {
		port, err := Get()
		if err != nil {
			t.Fatal(err)
		}
		add(port)
		for range 2 {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
		}
	}
	child := exec.Command(os.Args[0], "-test.run=^TestGet$", "-test.count=1")
	child.Env = append(os.Environ(), "RINGMQ_FREEPORT_CHILD=1")
	out, err := child.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "port "); ok {
			port, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			add(port)
		}
	}
	if len(seen) != 400 {
		t.Errorf("%d ports, want 400", len(seen))
	}
}

// TestTaken: a port that something is bound to is not given, nor one that another process has.
func TestTaken(t *testing.T) {
	port, err := Get()
	if err != nil {
		t.Fatal(err)
	}
	only := func() *ports { return &ports{start: port, end: port + 1} }
	if got, err := only().get(); err == nil {
		t.Errorf("port %d, which is reserved", got)
	}
	lock := unix.Flock_t{Type: unix.F_UNLCK, Start: int64(port), Len: 1}
	if err := unix.FcntlFlock(all.reserved.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	p := only()
	if got, err := p.get(); err == nil {
		t.Errorf("port %d, which is bound", got)
	}
	p.reserved.Close()
	l.Close()
	if got, err := only().get(); got != port || err != nil {
		t.Errorf("port %d, %v; want %d", got, err, port)
	}
}
