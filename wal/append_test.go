package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/ringmq/ringmq/tools/waittest"
	"github.com/ringmq/ringmq/wal/waltest"
)

// signal is a Completion that allocates nothing.
type signal chan error

func (s signal) Durable(_ Position, err error) { s <- err }

func TestAppendAllocatesNothing(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		l, _ := recovered(t, o)
		defer l.Close(false)
		s := make(signal, 1)
		head, body := make([]byte, 30), make([]byte, 1000)
		round := func() {
			e, err := l.Append(s, head, body)
			if err != nil {
				t.Fatal(err)
			}
			e.Mem.Unref()
			if err := <-s; err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			round()
		}
		if n := testing.AllocsPerRun(500, round); n != 0 {
			t.Fatalf("%v allocations per append, all goroutines counted", n)
		}
	})
}

// notifier turns OnSpace into a channel.
func notifier(o *Options) <-chan struct{} {
	space := make(chan struct{}, 1)
	o.OnSpace = func() {
		select {
		case space <- struct{}{}:
		default:
		}
	}
	return space
}

// TestManyRounds has several goroutines append for many rounds of the ring, with trims behind them, and verifies each record through its
// entry, through ReadBlock and after a restart.
func TestManyRounds(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		o.CapacityBytes, o.MemoryBytes, o.QueueDepth = 4<<20, 8<<20, 4
		var mu sync.Mutex
		cond := sync.NewCond(&mu)
		o.OnSpace = func() {
			mu.Lock()
			cond.Broadcast()
			mu.Unlock()
		}
		l, _ := recovered(t, o)
		type item struct {
			e    Entry
			data []byte
		}
		var live []item      // guarded by mu; not in order of position
		var trimmed Position // guarded by mu; what lies below need not be there any more
		const workers, each = 4, 400
		w := newWaiter()
		var wg sync.WaitGroup
		for g := range workers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 5))
				for i := range each {
					size := rng.IntN(9000)
					if rng.IntN(40) == 0 {
						size = rng.IntN(600 << 10)
					}
					data := record(g<<12+i, size)
					h := rng.IntN(size + 1)
					for {
						e, err := l.Append(w, data[:h], data[h:])
						if err == nil {
							runtime.Gosched() // so that others trim past a record that is not in live yet
							mu.Lock()
							live = append(live, item{e, data})
							mu.Unlock()
							break
						}
						if err != ErrFull && err != ErrNoMemory {
							t.Error(err)
							return
						}
						// Drop the older half.
						mu.Lock()
						var p Position
						for _, it := range live {
							p = max(p, it.e.Pos)
						}
						if n := len(live); n > 0 {
							p = live[n/2].e.Pos
						}
						kept := live[:0]
						for _, it := range live {
							if it.e.Pos >= p {
								kept = append(kept, it)
								continue
							}
							if !bytes.Equal(it.e.Data, it.data) {
								t.Errorf("entry at %d changed", it.e.Pos)
							}
							it.e.Mem.Unref()
						}
						live = kept
						trimmed = max(trimmed, p)
						mu.Unlock()
						if err := l.Trim(p); err != nil {
							t.Error(err)
						}
						runtime.Gosched()
					}
				}
			})
		}
		wg.Wait()
		w.wait(workers * each)
		for i := range w.pos {
			if w.errs[i] != nil || i > 0 && w.pos[i] <= w.pos[i-1] {
				t.Fatalf("completion %d: position %d, %v", i, w.pos[i], w.errs[i])
			}
		}
		st := l.Stats()
		if st.MemoryUsed > st.MemoryBudget {
			t.Fatalf("%d bytes mapped, budget %d", st.MemoryUsed, st.MemoryBudget)
		}
		byPos := map[Position][]byte{}
		for _, it := range live {
			// A worker may have been between its append and its entry in live while another one trimmed past it.
			if it.e.Pos >= trimmed {
				byPos[it.e.Pos] = it.data
			}
			found := false
			err := l.ReadBlock(t.Context(), it.e.Block, func(e Entry) error {
				if e.Pos == it.e.Pos {
					found = bytes.Equal(e.Data, it.data) && e.Block == it.e.Block && e.Mem == nil
				}
				return nil
			})
			if err != nil && !errors.Is(err, ErrTrimmed) || err == nil && !found {
				t.Fatalf("block at %d, record at %d: found %v, %v", it.e.Block, it.e.Pos, found, err)
			}
			it.e.Mem.Unref()
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		if used := l.pool.usage(); used != 0 {
			t.Fatalf("%d bytes are still mapped", used)
		}
		l, all := recovered(t, o)
		defer l.Close(false)
		n := 0
		for _, g := range all {
			if data, ok := byPos[g.pos]; ok {
				n++
				if !bytes.Equal(data, g.data) {
					t.Fatalf("record at %d differs after the restart", g.pos)
				}
			}
		}
		if n != len(byPos) {
			t.Fatalf("%d of %d records are there after the restart", n, len(byPos))
		}
		t.Logf("%d rounds of the ring", int64(st.Next)/st.Capacity)
	})
}

// TestFull fills the device: refused appends leave nothing behind, OnSpace comes after a trim, and everything accepted is there.
func TestFull(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		o.CapacityBytes = 1 << 20
		space := notifier(&o)
		l, _ := recovered(t, o)
		w := newWaiter()
		var want []got
		for {
			data := record(len(want), 5000)
			e, err := l.Append(w, nil, data)
			if err == ErrFull {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			e.Mem.Unref()
			want = append(want, got{e.Pos, data})
		}
		w.wait(len(want))
		if st := l.Stats(); st.Used < st.Capacity-8192 {
			t.Fatalf("full at %d of %d bytes", st.Used, st.Capacity)
		}
		select {
		case <-space:
			t.Fatal("OnSpace without space")
		default:
		}
		half := len(want) / 2
		if err := l.Trim(want[half].pos); err != nil {
			t.Fatal(err)
		}
		<-space
		e, err := l.Append(w, nil, []byte("more"))
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
		want = append(want, got{e.Pos, []byte("more")})
		w.wait(len(want))
		if err := l.Close(false); err != nil {
			t.Fatal(err)
		}
		l, all := recovered(t, o)
		defer l.Close(true)
		for i := range want { // the trim keeps whole blocks
			if want[i].pos == all[0].pos {
				if i > half {
					t.Fatalf("record %d was trimmed, %d was the first wanted", half, i)
				}
				check(t, all, want[i:])
				return
			}
		}
		t.Fatalf("recovered from %d", all[0].pos)
	})
}

// TestMemoryBudget holds on to entries until memory is spent.
func TestMemoryBudget(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		o.CapacityBytes, o.MemoryBytes = 16<<20, 4<<20
		space := notifier(&o)
		l, _ := recovered(t, o)
		defer l.Close(false)
		w := newWaiter()
		var held []Entry
		fill := func(size int) {
			t.Helper()
			for {
				e, err := l.Append(w, nil, make([]byte, size))
				if err == ErrNoMemory {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, e)
			}
		}
		fill(100 << 10)
		if st := l.Stats(); st.MemoryUsed > st.MemoryBudget || st.MemoryUsed < st.MemoryBudget-chunkBytes {
			t.Fatalf("%d of %d bytes used when memory was refused", st.MemoryUsed, st.MemoryBudget)
		}
		w.wait(len(held))
		select {
		case <-space:
			t.Fatal("OnSpace while all memory is held")
		default:
		}
		for _, e := range held {
			e.Mem.Unref()
		}
		held = held[:0]
		<-space
		// Large records use the same budget; the free chunks have to make room for them.
		for {
			e, err := l.Append(w, nil, make([]byte, 2000<<10))
			if err == nil {
				e.Mem.Unref()
				break
			}
			if err != ErrNoMemory {
				t.Fatal(err)
			}
			<-space
		}
	})
}

func TestTooLarge(t *testing.T) {
	o := testOptions(t)
	o.CapacityBytes, o.MemoryBytes = 2<<20, 4<<20
	l, _ := recovered(t, o)
	defer l.Close(false)
	if _, err := l.Append(newWaiter(), make([]byte, 1<<20), nil); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	// The largest fits wherever the log stands, as long as it is empty.
	w := newWaiter()
	space := make(chan struct{}, 1)
	l.opts.OnSpace = func() {
		select {
		case space <- struct{}{}:
		default:
		}
	}
	for i := range 20 {
		e, err := l.Append(w, nil, make([]byte, l.maxRec-i*5000))
		for err == ErrFull || err == ErrNoMemory {
			w.wait(i)
			if err := l.Trim(l.Next()); err != nil {
				t.Fatal(err)
			}
			<-space
			e, err = l.Append(w, nil, make([]byte, l.maxRec-i*5000))
		}
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
	}
	w.wait(20)
}

// TestRecoverWithoutMemory recovers more than the budget allows: the surplus is handed out without memory, and can be read again.
func TestRecoverWithoutMemory(t *testing.T) {
	o := testOptions(t)
	o.CapacityBytes, o.MemoryBytes = 16<<20, 64<<20
	l, _ := recovered(t, o)
	w := newWaiter()
	var want []got
	for i := range 100 {
		data := record(i, 100<<10)
		if i%10 == 0 {
			data = record(i, 300<<10)
		}
		e, err := l.Append(w, nil, data)
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
		want = append(want, got{e.Pos, data})
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	o.MemoryBytes = 4 << 20
	l = mustOpen(t, o)
	defer l.Close(false)
	var held, evicted []Entry
	i := 0
	err := l.Recover(t.Context(), func(e Entry) error {
		if e.Pos != want[i].pos || !bytes.Equal(e.Data, want[i].data) {
			return fmt.Errorf("record %d differs", i)
		}
		i++
		if e.Mem != nil {
			held = append(held, e)
		} else {
			e.Data = nil
			evicted = append(evicted, e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if i != len(want) || len(held) == 0 || len(evicted) == 0 {
		t.Fatalf("%d records, %d in memory, %d evicted", i, len(held), len(evicted))
	}
	if st := l.Stats(); st.MemoryUsed > st.MemoryBudget {
		t.Fatalf("%d bytes mapped, budget %d", st.MemoryUsed, st.MemoryBudget)
	}
	e, err := l.Append(w, nil, []byte("memory is left for appends"))
	if err != nil {
		t.Fatal(err)
	}
	e.Mem.Unref()
	for _, e := range evicted {
		n := 0
		err := l.ReadBlock(t.Context(), e.Block, func(again Entry) error {
			if again.Pos == e.Pos {
				n++
			}
			return nil
		})
		if err != nil || n != 1 {
			t.Fatalf("block at %d: %v, found %d times", e.Block, err, n)
		}
	}
	for _, e := range held {
		e.Mem.Unref()
	}
}

func TestReadBlockRefuses(t *testing.T) {
	d := waltest.New(1 << 20)
	o := testOptions(t)
	o.Path, o.Device = "", d
	l, _ := recovered(t, o)
	w := newWaiter()
	var entries []Entry
	for i := range 3 {
		e, err := l.Append(w, nil, make([]byte, 6000))
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
		entries = append(entries, e)
		w.wait(i + 1)
	}
	none := func(Entry) error { return errors.New("a record") }
	if err := l.ReadBlock(t.Context(), entries[0].Block+pageBytes, none); err == nil {
		t.Error("the middle of a block was read")
	}
	if err := l.ReadBlock(t.Context(), l.Next(), none); err == nil {
		t.Error("a block behind the end was read")
	}
	d.Bytes()[l.super.physical(entries[1].Block)+3000] ^= 1
	if err := l.ReadBlock(t.Context(), entries[1].Block, none); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a flipped bit: %v", err)
	}
	stop := errors.New("stop")
	if err := l.ReadBlock(t.Context(), entries[2].Block, func(Entry) error { return stop }); err != stop {
		t.Errorf("the caller's error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.ReadBlock(ctx, entries[2].Block, none); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if err := l.ReadBlock(t.Context(), entries[2].Block, none); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := l.Append(w, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed log: %v", err)
	}
}

// TestCloseAbandons closes without clean while a write hangs: what is in flight is waited for, the rest is refused.
func TestCloseAbandons(t *testing.T) {
	d := &gated{Disk: waltest.New(1 << 20), gate: make(chan struct{}), entered: make(chan struct{}, 16)}
	o := testOptions(t)
	o.Path, o.Device, o.QueueDepth, o.BlockBytes, o.GatherBytes = "", d, 2, pageBytes, 1
	l, _ := recovered(t, o)
	d.closed.Store(true)
	w := newWaiter()
	for range 6 {
		e, err := l.Append(w, nil, make([]byte, 3000))
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
	}
	<-d.entered
	<-d.entered
	done := make(chan error)
	go func() { done <- l.Close(false) }()
	waittest.Until(t, testTimeout, "the log is closed for appends", func() bool { return l.Stats().State == StateClosed })
	close(d.gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.wait(6)
	for i, err := range w.errs {
		if i < 2 && err != nil || i >= 2 && !errors.Is(err, ErrClosed) {
			t.Errorf("completion %d: %v", i, err)
		}
	}
}
