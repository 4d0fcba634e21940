package uring

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// page maps n bytes outside the Go heap.
func page(t testing.TB, n int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return b
}

// target creates a file of n bytes, open for reading and writing.
func target(t testing.TB, n int64) int {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "target"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(n); err != nil {
		t.Fatal(err)
	}
	return int(f.Fd())
}

// open creates a ring on the test's own thread.
func open(t testing.TB, entries uint32, fd int) *Ring {
	t.Helper()
	runtime.LockOSThread() // the thread ends with the test's goroutine
	r, err := New(entries, fd)
	if errors.Is(err, ErrRefused) {
		t.Skipf("SKIPPED: io_uring; it is not allowed here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := r.InKernel(); n != 0 {
			t.Errorf("%d operations in the kernel at the end", n)
		}
		r.Close()
	})
	return r
}

// take waits for one completion.
func take(t testing.TB, r *Ring) (uint64, int32) {
	t.Helper()
	for {
		if data, res, ok := r.Next(); ok {
			return data, res
		}
		if err := r.Enter(true); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWraps mixes all operations over a small queue for many rounds. A slot that once held an FSYNC with flags, a fixed buffer or the
// eventfd read must not leave anything behind for the next operation in it.
func TestWraps(t *testing.T) {
	for i, flags := range setups {
		t.Run(describe(flags), func(t *testing.T) {
			saved := setups
			setups = setups[i : i+1]
			defer func() { setups = saved }()
			testWraps(t)
		})
	}
}

func describe(flags uint32) string { return (&Ring{flags: flags}).Describe() }

func testWraps(t *testing.T) {
	const size, pages = 4096, 64
	fd := target(t, size*pages)
	r := open(t, 8, fd)
	if err := r.ReserveBuffers(16); err != nil {
		t.Fatal(err)
	}
	arena := page(t, 8*size)
	if err := r.SetBuffer(3, arena); err != nil {
		t.Fatal(err)
	}
	loose := page(t, 8*size)
	rng := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, size*pages)

	type op struct {
		kind  int
		slot  int // part of the arena or of loose
		page  int
		fixed bool
	}
	flight := map[uint64]op{}
	busySlot, busyPage := map[[2]int]bool{}, map[int]bool{}
	mem := func(o op) []byte {
		if o.fixed {
			return arena[o.slot*size:][:size]
		}
		return loose[o.slot*size:][:size]
	}
	finish := func() {
		data, res := take(t, r)
		o, ok := flight[data]
		if !ok {
			t.Fatalf("completion %d is of nobody", data)
		}
		delete(flight, data)
		switch o.kind {
		case 0, 1:
			if res != size {
				t.Fatalf("operation %+v: result %d", o, res)
			}
			if o.kind == 1 && !bytes.Equal(mem(o), want[o.page*size:][:size]) {
				t.Fatalf("operation %+v read other bytes", o)
			}
			delete(busySlot, [2]int{o.slot, btoi(o.fixed)})
			delete(busyPage, o.page)
		default:
			if res != 0 {
				t.Fatalf("operation %+v: result %d", o, res)
			}
		}
	}
	const rounds = 6000 // 750 wraps of the queue
	for id := range uint64(rounds) {
		for len(flight) >= 6 {
			finish()
		}
		o := op{kind: rng.IntN(4), slot: rng.IntN(8), page: rng.IntN(pages), fixed: rng.IntN(2) == 0}
		slot := NoBuffer
		if o.fixed {
			slot = 3
		}
		if o.kind < 2 && (busySlot[[2]int{o.slot, btoi(o.fixed)}] || busyPage[o.page]) {
			continue
		}
		var ok bool
		switch o.kind {
		case 0:
			for i := range mem(o) {
				mem(o)[i] = byte(id) + byte(i>>8)
			}
			copy(want[o.page*size:], mem(o))
			ok = r.Write(mem(o), int64(o.page*size), slot, id)
		case 1:
			ok = r.Read(mem(o), int64(o.page*size), slot, id)
		case 2:
			ok = r.Datasync(id)
		case 3:
			ok = r.Nop(id)
		}
		if !ok {
			t.Fatalf("operation %d: queue is full with %d in flight", id, len(flight))
		}
		if o.kind < 2 {
			busySlot[[2]int{o.slot, btoi(o.fixed)}], busyPage[o.page] = true, true
		}
		flight[id] = o
		if rng.IntN(3) == 0 {
			if err := r.Enter(false); err != nil {
				t.Fatal(err)
			}
		}
		if rng.IntN(5) == 0 {
			r.Wake() // the eventfd read takes a slot of the queue again and again
		}
	}
	for len(flight) > 0 {
		finish()
	}
	got := make([]byte, len(want))
	if _, err := unix.Pread(fd, got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the file holds other bytes than were written")
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestWriteBehindDatasync is the case in which giouring's own entries keep a flag of their slot's former use.
func TestWriteBehindDatasync(t *testing.T) {
	r := open(t, 2, target(t, 4096))
	b := page(t, 4096)
	for i := range uint64(10) {
		r.Datasync(i)
		if _, res := take(t, r); res != 0 {
			t.Fatalf("round %d: fdatasync: %d", i, res)
		}
		for range 2 {
			r.Write(b, 0, NoBuffer, i)
			if _, res := take(t, r); res != 4096 {
				t.Fatalf("round %d: write: %v", i, unix.Errno(-res))
			}
		}
	}
}

func TestWakeEndsAWait(t *testing.T) {
	r := open(t, 4, target(t, 4096))
	r.Wake() // before the wait: not lost
	if err := r.Enter(true); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := r.Next(); ok {
		t.Fatal("a wake-up shows as a completion")
	}
	for range 200 {
		ready := make(chan struct{})
		go func() {
			close(ready)
			r.Wake()
		}()
		<-ready
		if err := r.Enter(true); err != nil {
			t.Fatal(err)
		}
		r.Next()
	}
}

// TestWaitSurvivesSignals has the runtime interrupt the wait: preemption of Go code is done by signals.
func TestWaitSurvivesSignals(t *testing.T) {
	r := open(t, 4, target(t, 4096))
	tid := unix.Gettid()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_ = unix.Tgkill(unix.Getpid(), tid, unix.SIGURG)
			if i%50 == 0 {
				r.Wake()
			}
			time.Sleep(20 * time.Microsecond) // a pace, not a condition
		}
	}()
	for range 100 {
		if err := r.Enter(true); err != nil {
			t.Error(err)
			break
		}
		r.Next()
	}
	close(stop)
	<-done
}

func TestQueueFull(t *testing.T) {
	r := open(t, 4, target(t, 4096))
	n := 0
	for r.Nop(uint64(n)) {
		n++
	}
	if n != 4 {
		t.Fatalf("%d operations fit a queue of 4", n)
	}
	if err := r.Enter(true); err != nil { // hands over, then has room for the eventfd read
		t.Fatal(err)
	}
	for range n {
		take(t, r)
	}
}

func TestErrnoAndShortWrite(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	r := open(t, 4, pipe[1])
	b := page(t, 4096)
	r.Write(b, -1, NoBuffer, 9)
	if data, res := take(t, r); data != 9 || unix.Errno(-res) != unix.EPIPE {
		t.Fatalf("completion %d: %v, want EPIPE", data, unix.Errno(-res))
	}
}

func TestBufferSlots(t *testing.T) {
	r := open(t, 4, target(t, 1<<16))
	b := page(t, 4096)
	if err := r.SetBuffer(0, b); err == nil {
		t.Fatal("a slot of no table was set")
	}
	if err := r.ReserveBuffers(2); err != nil {
		t.Fatal(err)
	}
	if err := r.SetBuffer(2, b); err == nil {
		t.Fatal("a slot behind the table was set")
	}
	r.Write(b, 0, 1, 1)
	if _, res := take(t, r); unix.Errno(-res) != unix.EFAULT {
		t.Fatalf("write from an empty slot: %d, want EFAULT", res)
	}
	for round := range 100 { // set and clear over and over, with other memory
		b := page(t, 4096)
		b[0] = byte(round)
		if err := r.SetBuffer(1, b); err != nil {
			t.Fatal(err)
		}
		r.Write(b, 4096, 1, 1)
		if _, res := take(t, r); res != 4096 {
			t.Fatalf("round %d: %d", round, res)
		}
		if err := r.ClearBuffer(1); err != nil {
			t.Fatal(err)
		}
		r.Read(b, 4096, NoBuffer, 2)
		if _, res := take(t, r); res != 4096 || b[0] != byte(round) {
			t.Fatalf("round %d: read %d, first byte %d", round, res, b[0])
		}
	}
}

func TestNoAllocations(t *testing.T) {
	r := open(t, 8, target(t, 4096))
	b := page(t, 4096)
	n := testing.AllocsPerRun(100, func() {
		r.Write(b, 0, NoBuffer, 1)
		r.Wake()
		take(t, r)
	})
	if n != 0 {
		t.Fatalf("%v allocations per write", n)
	}
}
