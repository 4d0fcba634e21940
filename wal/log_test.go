package wal

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// waiter is a Completion that counts and can be waited for.
type waiter struct {
	mu   sync.Mutex
	cond *sync.Cond
	pos  []Position
	errs []error
}

func newWaiter() *waiter {
	w := &waiter{}
	w.cond = sync.NewCond(&w.mu)
	return w
}

func (w *waiter) Durable(pos Position, err error) {
	w.mu.Lock()
	w.pos, w.errs = append(w.pos, pos), append(w.errs, err)
	w.cond.Broadcast()
	w.mu.Unlock()
}

// wait returns after n completions.
func (w *waiter) wait(n int) {
	w.mu.Lock()
	for len(w.pos) < n {
		w.cond.Wait()
	}
	w.mu.Unlock()
}

// testTimeout is how long a condition may take on a busy machine.
const testTimeout = 30 * time.Second

func testOptions(t testing.TB) Options {
	return Options{
		Path: filepath.Join(t.TempDir(), "wal"), CapacityBytes: 8 << 20, MemoryBytes: 16 << 20,
		ClusterID: "test-cluster", NodeID: 7, NodeEpoch: 1,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type got struct {
	pos  Position
	data []byte
}

// recovered opens and recovers a log, and copies what it finds.
func recovered(t testing.TB, o Options) (*Log, []got) {
	t.Helper()
	l := mustOpen(t, o)
	var all []got
	err := l.Recover(context.Background(), func(e Entry) error {
		all = append(all, got{e.Pos, bytes.Clone(e.Data)})
		if e.Mem != nil {
			e.Mem.Unref()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, all
}

func modes(t *testing.T, fn func(t *testing.T, o Options)) {
	for _, mode := range []Mode{ModeURing, ModePWrite} {
		for _, how := range syncMethods {
			t.Run(string(mode)+"/"+string(how), func(t *testing.T) {
				o := testOptions(t)
				o.Mode, o.Sync = mode, how
				fn(t, o)
			})
		}
	}
}

func record(i, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	_, _ = rng.Read(b)
	return b
}

func TestAppendRecover(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		space := make(chan struct{}, 1)
		o.OnSpace = func() {
			select {
			case space <- struct{}{}:
			default:
			}
		}
		l, all := recovered(t, o)
		if len(all) != 0 {
			t.Fatalf("%d records in a new log", len(all))
		}
		sizes := []int{0, 1, 100, 4000, 4096, 65536, 300 << 10, 2 << 20, 17}
		w := newWaiter()
		var want []got
		for i := range 60 {
			data := record(i, sizes[i%len(sizes)])
			h := len(data) / 3
			e, err := l.Append(w, data[:h], data[h:])
			for err == ErrFull || err == ErrNoMemory {
				// Keep one round of the ring at most.
				w.wait(len(want))
				want = want[:0:0]
				w = newWaiter()
				if err := l.Trim(l.Next()); err != nil {
					t.Fatal(err)
				}
				<-space
				e, err = l.Append(w, data[:h], data[h:])
			}
			if err != nil {
				t.Fatalf("append %d: %v", i, err)
			}
			if !bytes.Equal(e.Data, data) {
				t.Fatalf("append %d: entry holds other bytes", i)
			}
			e.Mem.Unref()
			want = append(want, got{e.Pos, data})
		}
		w.wait(len(want))
		for i := range want {
			if w.errs[i] != nil || w.pos[i] != want[i].pos {
				t.Fatalf("completion %d: position %d, %v; want %d", i, w.pos[i], w.errs[i], want[i].pos)
			}
		}
		for _, clean := range []bool{false, true, true} {
			if err := l.Close(clean); err != nil {
				t.Fatal(err)
			}
			l, all = recovered(t, o)
			check(t, all, want)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	})
}

func check(t testing.TB, have, want []got) {
	t.Helper()
	if len(have) != len(want) {
		t.Fatalf("%d records recovered, want %d", len(have), len(want))
	}
	for i := range want {
		if have[i].pos != want[i].pos || !bytes.Equal(have[i].data, want[i].data) {
			t.Fatalf("record %d: position %d, %d bytes; want position %d, %d bytes", i, have[i].pos, len(have[i].data), want[i].pos, len(want[i].data))
		}
	}
}
