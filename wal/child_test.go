package wal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var kills = flag.Int("kills", 6, "how often TestKill kills the process")

// childEnv makes the test binary behave as one of the programs below; its value is the program and the log's path.
const childEnv = "RINGMQ_WAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if program, path, ok := strings.Cut(os.Getenv(childEnv), ":"); ok {
		var err error
		switch program {
		case "append":
			err = appendForEver(childOptions(path), os.Getenv(childEnv+"_START"))
		case "prepare":
			o := childOptions(path)
			o.CapacityBytes, o.prepareStep, o.prepareFirst = 16<<20, 16<<10, 64<<10
			err = appendForEver(o, os.Getenv(childEnv+"_START"))
		case "seccomp":
			err = withoutURing(path)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, program, path string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+program+":"+path)
	return cmd
}

func childOptions(path string) Options {
	return Options{
		Path: path, CapacityBytes: 4 << 20, MemoryBytes: 8 << 20, ClusterID: "child", NodeID: 1, NodeEpoch: 1, Sync: SyncMethod(os.Getenv(childEnv + "_SYNC")),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// sequenced is the n-th record of appendForEver.
func sequenced(n uint64) []byte {
	b := record(int(n&0xffff), int(n*2654435761%9000)+8)
	le.PutUint64(b, n)
	return b
}

// told prints the number of each acknowledged record.
type told struct {
	n   uint64
	out *os.File
}

func (a *told) Durable(_ Position, err error) {
	if err == nil {
		fmt.Fprintf(a.out, "acked %d\n", a.n)
	}
}

// appendForEver recovers, prints what it found, and appends until it is killed, trimming when it must. Records are numbered from start, or
// from the end of what was recovered.
func appendForEver(o Options, start string) error {
	from, err := strconv.ParseUint(start, 10, 64)
	if err != nil {
		return err
	}
	space := notifier(&o)
	l, err := Open(o)
	if err != nil {
		return err
	}
	var first, next uint64
	var live []Position // of the records that are not trimmed, up to next
	err = l.Recover(context.Background(), func(e Entry) error {
		n := le.Uint64(e.Data)
		if first == 0 {
			first, next = n, n
		}
		if n != next || !bytes.Equal(e.Data, sequenced(n)) {
			return fmt.Errorf("record %d found, want %d with its bytes", n, next)
		}
		next++
		live = append(live, e.Pos)
		if e.Mem != nil {
			e.Mem.Unref()
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("recovered %d %d\n", first, next)
	if first == 0 {
		next = from // else without a gap, even when more was trimmed than had become durable
	}
	for {
		data := sequenced(next)
		e, err := l.Append(&told{next, os.Stdout}, data[:8], data[8:])
		switch {
		case err == nil:
			e.Mem.Unref()
			live = append(live, e.Pos)
			next++
		case errors.Is(err, ErrFull):
			n := (len(live) + 1) / 2
			fmt.Printf("trimmed %d\n", next-uint64(len(live)-n)) // none below it is needed
			p := l.Next()
			if n < len(live) {
				p = live[n]
			}
			live = live[n:]
			if err := l.Trim(p); err != nil {
				return err
			}
			<-space
		case errors.Is(err, ErrNoMemory):
			<-space
		default:
			return err
		}
	}
}

// TestKill kills a process that appends to a file, again and again, and verifies that nothing it had acknowledged is missing in the next.
func TestKill(t *testing.T) {
	if n := killLives(t, "append", testOptions(t).Path, *kills+1, func() int { return 50 + rand.IntN(3000) }, func(int, uint64) {}); n != *kills+1 {
		t.Errorf("%d lives", n)
	}
}

// killLives starts a child that runs appendForEver, kills it when it has acknowledged as many records as acks says, and starts the next, which must
// find what its predecessors had acknowledged. atKill is called before each kill with the record that was acknowledged last. It returns how many
// children came as far as their recovery.
func killLives(t *testing.T, program, path string, lives int, acks func() int, atKill func(life int, record uint64)) (recovered int) {
	t.Helper()
	var acked, trimmed uint64
	for life := range lives {
		cmd := child(t, program, path)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s_START=%d", childEnv, max(acked+1, trimmed)), fmt.Sprintf("%s_SYNC=%s", childEnv, syncMethods[life%3]))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		acksLeft := acks()
		for lines.Scan() {
			var a, b uint64
			switch line := lines.Text(); {
			case scan(line, "recovered %d %d", &a, &b):
				recovered++
				t.Logf("life %d: records [%d, %d) after %v, wanted [%d, %d)", life, a, b, time.Since(began).Round(time.Millisecond), trimmed, acked+1)
				if trimmed <= acked && acked > 0 && (a > max(trimmed, 1) || b <= acked) {
					t.Errorf("life %d: recovered [%d, %d); acknowledged up to %d, trimmed below %d", life, a, b, acked, trimmed)
				}
			case scan(line, "acked %d", &a):
				acked = max(acked, a)
				if acksLeft--; acksLeft == 0 {
					atKill(life, a)
					_ = cmd.Process.Kill() // what it printed meanwhile is still read
				}
			case scan(line, "trimmed %d", &a):
				trimmed = max(trimmed, a)
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("life %d: %v: %s", life, err, stderr.String())
		}
	}
	return recovered
}

func scan(line, format string, to ...any) bool {
	n, err := fmt.Sscanf(line, format, to...)
	return err == nil && n == len(to)
}

// withoutURing forbids io_uring to its own process, as container runtimes do, and then uses a log.
func withoutURing(path string) error {
	if err := forbid(unix.SYS_IO_URING_SETUP); err != nil {
		return err
	}
	o := childOptions(path)
	o.Mode = ModeURing
	if _, err := Open(o); err == nil {
		return errors.New("a forbidden io_uring was opened")
	}
	o.Mode = ModeAuto
	l, err := Open(o)
	if err != nil {
		return err
	}
	if err := l.Recover(context.Background(), func(Entry) error { return nil }); err != nil {
		return err
	}
	s := make(signal, 1)
	e, err := l.Append(s, nil, []byte("record"))
	if err != nil {
		return err
	}
	e.Mem.Unref()
	if err := <-s; err != nil {
		return err
	}
	fmt.Println("mode", l.Stats().Mode)
	return l.Close(true)
}

// forbid makes a system call fail with EPERM in all threads of the process.
func forbid(nr uint32) error {
	const (
		load, jumpEqual, ret = 0x20, 0x15, 0x06 // BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
		deny, allow          = 0x00050000, 0x7fff0000
		filterMode, allTasks = 1, 1
	)
	program := []unix.SockFilter{
		{Code: load, K: 0}, // the call's number
		{Code: jumpEqual, K: nr, Jf: 1},
		{Code: ret, K: deny | uint32(unix.EPERM)},
		{Code: ret, K: allow},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	runtime.LockOSThread() // both calls on one thread; the second spreads to all others
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, filterMode, allTasks, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return errno
	}
	return nil
}

// TestForbidden: without io_uring the log writes by pwrite and says so once.
func TestForbidden(t *testing.T) {
	cmd := child(t, "seccomp", testOptions(t).Path)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if strings.Contains(stderr.String(), "seccomp") {
			t.Skipf("SKIPPED: no seccomp filter is allowed here: %s", stderr.String())
		}
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if got := strings.TrimSpace(stdout.String()); got != "mode pwrite" {
		t.Errorf("%q", got)
	}
	// Other lines speak of the machine, such as the mount option discard.
	if n := strings.Count(stderr.String(), "io_uring is not available, writing with a pool"); n != 1 {
		t.Errorf("said %d times: %s", n, stderr.String())
	}
}
