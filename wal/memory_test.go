package wal

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestPoolTrim lets go of chunks that were free for a whole interval, not of those that were in use during it, and of none below the warm
// ones.
func TestPoolTrim(t *testing.T) {
	wakes := 0
	p := newPool(100*chunkBytes, func() { wakes++ })
	var forgotten []*chunk
	serve := func() bool { return p.serve(func(c *chunk) bool { forgotten = append(forgotten, c); return true }) }
	take := func(n int) (all []*chunk) {
		for range n {
			c, err := p.chunk()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		return all
	}
	give := func(all []*chunk) {
		for _, c := range all {
			c.Unref()
		}
	}
	give(take(20))
	p.trim() // the first interval began when the third was freed
	serve()
	if n := len(p.mu.free); n != 19 {
		t.Fatalf("%d chunks are free, want 19", n)
	}
	give(take(12))
	p.trim() // 12 of the 19 were needed
	serve()
	if n := len(p.mu.free); n != 14 || len(forgotten) != 6 || wakes == 0 {
		t.Fatalf("%d chunks are free, %d were forgotten, %d wake-ups", n, len(forgotten), wakes)
	}
	for range 3 {
		p.trim()
		serve()
	}
	if n := len(p.mu.free); n != warmChunks || p.usage() != warmChunks*chunkBytes {
		t.Fatalf("%d chunks are free, %d bytes are mapped", n, p.usage())
	}
	slots := map[int32]bool{}
	all := take(100)
	for _, c := range all {
		if c.slot < 0 || int(c.slot) >= p.slotCount() || slots[c.slot] {
			t.Fatalf("slot %d is out of range or taken", c.slot)
		}
		slots[c.slot] = true
	}
	if _, err := p.chunk(); !errors.Is(err, ErrNoMemory) {
		t.Fatal(err)
	}
	if serve() {
		t.Fatal("fed without memory")
	}
	all[0].Unref()
	if !serve() || serve() {
		t.Fatal("not fed, or twice")
	}
	give(all[1:])
	p.close()
	if p.usage() != 0 {
		t.Fatalf("%d bytes are mapped after close", p.usage())
	}
}

func TestUnrefTwice(t *testing.T) {
	p := newPool(4*chunkBytes, func() {})
	c, err := p.chunk()
	if err != nil {
		t.Fatal(err)
	}
	c.Ref()
	c.Unref()
	c.Unref()
	defer func() {
		if r := recover(); r == nil || !strings.HasPrefix(r.(string), "BUG: wal:") {
			t.Fatal(r)
		}
		p.close()
	}()
	c.Unref()
}

// TestMemoryOutlivesLog reads an entry after Close.
func TestMemoryOutlivesLog(t *testing.T) {
	o := testOptions(t)
	l, _ := recovered(t, o)
	s := make(signal, 2)
	small, err := l.Append(s, nil, []byte("small"))
	if err != nil {
		t.Fatal(err)
	}
	large, err := l.Append(s, []byte("large"), make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if string(small.Data) != "small" || !bytes.HasPrefix(large.Data, []byte("large")) {
		t.Fatal("entries changed")
	}
	small.Mem.Unref()
	large.Mem.Unref()
	if used := l.pool.usage(); used != 0 {
		t.Fatalf("%d bytes are mapped", used)
	}
}

// TestLockedMemoryLimit writes with a limit on locked memory that does not allow registered buffers: one clear line, and unregistered writes.
func TestLockedMemoryLimit(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 64 << 10, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &low); err != nil {
		t.Skipf("SKIPPED: RLIMIT_MEMLOCK cannot be set here: %v", err)
	}
	defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old)

	var lines bytes.Buffer
	o := testOptions(t)
	o.Mode, o.Logger = ModePWrite, slog.New(slog.NewTextHandler(&lines, nil)) // the log's own goroutine stays out of it
	l, _ := recovered(t, o)
	defer l.Close(false)
	l.opts.Mode = ModeURing
	lines.Reset()

	done := make(chan struct{})
	go func() { // on a thread of its own, which ends with the goroutine, without the privilege to lock memory
		defer close(done)
		runtime.LockOSThread()
		if err := dropCapability(unix.CAP_IPC_LOCK); err != nil {
			t.Error(err)
			return
		}
		b, err := newBackend(l)
		if err != nil {
			t.Error(err)
			return
		}
		defer b.close()
		c, err := l.pool.chunk()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Unref()
		for id := range uint64(2) {
			if err := b.write(id, c.mem[:pageBytes], ringStart, c); err != nil {
				t.Error(err)
			}
			for {
				if err := b.enter(true); err != nil {
					t.Error(err)
				}
				if got, n, err, ok := b.next(); ok {
					if got != id || n != pageBytes || err != nil {
						t.Errorf("write %d: %d bytes, %v", got, n, err)
					}
					break
				}
			}
		}
		if b.registered() {
			t.Error("the buffer counts as registered")
		}
		b.forget(c)
	}()
	<-done
	if text := lines.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "RLIMIT_MEMLOCK is 65536 bytes") {
		t.Errorf("logged: %q", text)
	}
}

// dropCapability takes a capability from the calling thread.
func dropCapability(c int) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	data[c/32].Effective &^= 1 << (c % 32)
	return unix.Capset(&hdr, &data[0])
}

// residentBytes reads the process's resident set.
func residentBytes(t testing.TB) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestIdleMemory: an idle log with a large budget takes little memory.
func TestIdleMemory(t *testing.T) {
	o := testOptions(t)
	o.MemoryBytes = 1 << 30
	runtime.GC()
	before := residentBytes(t)
	l, _ := recovered(t, o)
	defer l.Close(true)
	s := make(signal, 1)
	for range 50 {
		e, err := l.Append(s, nil, make([]byte, 1000))
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
		<-s
	}
	// A chunk that is registered is resident as a whole.
	if grown := residentBytes(t) - before; grown > 12<<20 {
		t.Errorf("%d KiB more resident", grown>>10)
	}
	if used := l.Stats().MemoryUsed; used > 2*chunkBytes {
		t.Errorf("%d bytes mapped", used)
	}
}

// TestHugeMemory: what is read into begins where a huge page can, and the mapping around it goes as a whole.
func TestHugeMemory(t *testing.T) {
	for _, n := range []int{pageBytes, readDepth * pageBytes, readDepth * readBytes, hugeBytes + pageBytes} {
		whole, mem, err := allocHuge(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(mem) != n || cap(mem) != n || uintptr(unsafe.Pointer(&mem[0]))%hugeBytes != 0 {
			t.Errorf("%d bytes: got %d at %p, cap %d", n, len(mem), &mem[0], cap(mem))
		}
		mem[0], mem[n-1] = 1, 2 // faults when it is not mapped
		release(whole)
	}
}
