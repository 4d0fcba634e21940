package s3stream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/tools/waittest"
	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

func (w *world) away()  { w.bucket.SetRates(s3test.Rates{Before: 1}) }
func (w *world) back()  { w.bucket.SetRates(s3test.Rates{}) }
func (w *world) flush() { w.t.Helper(); must(w.t, w.storage.Flush(ctxFor(w.t))) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFull: with the store away the WAL fills, then appends are refused; nothing is lost; once the store is back OnSpace comes and appends go on.
func TestFull(t *testing.T) {
	w := newWorld(t, 6<<20)
	w.walOptions = func(o *wal.Options) { o.MemoryBytes = 4 << 20 }
	w.mustStart()
	s := w.newStream().mustOpen()
	w.away()
	refused := false
	for range 10000 {
		err := s.append(1000, 1, 1)
		if errors.Is(err, s3stream.ErrFull) {
			if used := w.log.Stats(); used.Used > used.Capacity*8/10 {
				refused = true
				break
			}
			<-w.space // memory; it is dropped as records can be read back
			continue
		}
		must(t, err)
		if len(s.records)%64 == 0 {
			s.settle()
		}
	}
	if !refused {
		t.Fatal("10 MB went into a WAL of 6 MiB")
	}
	s.settle()
	s.mustReadAll()
	if st := w.storage.Stats(); st.Refused == 0 || st.UploadFailures == 0 || st.PendingOnDisk == 0 {
		t.Fatalf("stats %+v", st)
	}
	w.back()
	for n := 0; n < 3000; {
		err := s.append(1000, 1, 1)
		if err == nil {
			n++
			continue
		}
		if !errors.Is(err, s3stream.ErrFull) {
			t.Fatal(err)
		}
		select {
		case <-w.space:
		case <-time.After(testTimeout):
			t.Fatal("no OnSpace after the store was back")
		}
	}
	s.settle()
	s.mustReadAll()
	w.flush()
	s.mustReadAll()
	w.crash(3)
	w.mustStart()
	s.mustOpen().mustReadAll()
}

// TestStoreAway: more than the memory holds is appended while the store is away; producers and tail readers notice nothing, and a crash changes nothing.
func TestStoreAway(t *testing.T) {
	w := newWorld(t, 32<<20)
	w.walOptions = func(o *wal.Options) { o.MemoryBytes = 4 << 20 }
	w.mustStart()
	streams := []*stream{w.newStream().mustOpen(), w.newStream().mustOpen(), w.newStream().mustOpen()}
	w.away()
	for i := range 9000 {
		s := streams[i%3]
		for {
			err := s.append(1000, 1, int64(i))
			if err == nil {
				break
			}
			if !errors.Is(err, s3stream.ErrFull) {
				t.Fatal(err)
			}
			<-w.space
		}
		if i%50 == 49 {
			s.settle()
			got, err := s.s.Read(nil, s.s.Confirmed()-5, s.s.Confirmed(), 1<<20, true)
			if err != nil || len(got) != 5 {
				t.Fatalf("the newest records are not in memory: %d, %v", len(got), err)
			}
			release(got)
		}
	}
	for _, s := range streams {
		s.settle()
		s.mustReadAll()
	}
	if st := w.storage.Stats(); st.CachedBytes > 4<<20 || st.PendingOnDisk < 3<<20 || st.Objects != 0 {
		t.Fatalf("stats %+v", st)
	}
	w.crash(1)
	w.mustStart()
	for _, s := range streams {
		s.mustOpen().mustReadAll()
	}
	w.back()
	w.flush()
	waittest.Until(t, testTimeout, "the WAL is trimmed", func() bool { return w.log.Stats().Used < 1<<20 })
	for _, s := range streams {
		s.mustReadAll()
	}
}

// TestEviction: what is uploaded leaves memory, oldest first, and reads the same from objects.
func TestEviction(t *testing.T) {
	w := newWorld(t, 64<<20)
	w.walOptions = func(o *wal.Options) { o.MemoryBytes = 4 << 20 }
	w.mustStart()
	a, b := w.newStream().mustOpen(), w.newStream().mustOpen()
	for i := range 10000 {
		for _, s := range []*stream{a, b} {
			for {
				err := s.append(700, 2, int64(i))
				if err == nil {
					break
				}
				if !errors.Is(err, s3stream.ErrFull) {
					t.Fatal(err)
				}
				<-w.space
			}
		}
		if i%100 == 0 {
			a.settle()
		}
		if st := w.storage.Stats(); st.CachedBytes > 4<<20 {
			t.Fatalf("%d bytes in memory, the budget is 4 MiB", st.CachedBytes)
		}
	}
	a.settle()
	b.settle()
	w.flush()
	if _, err := a.s.Read(nil, 0, 100, 1000, true); !errors.Is(err, s3stream.ErrCold) {
		t.Fatalf("the oldest record is still in memory: %v", err)
	}
	end := b.s.Confirmed()
	got, err := b.s.Read(nil, end-2, end, 1000, true)
	if err != nil || len(got) != 1 {
		t.Fatalf("the newest record: %d, %v", len(got), err)
	}
	release(got)
	a.mustReadAll()
	b.mustReadAll()
}

// TestDeviceFails: appends under way and later ones get ErrFailed, OnFailure is called once.
func TestDeviceFails(t *testing.T) {
	w := newWorld(t, 16<<20)
	broken := errors.New("broken")
	var bad atomic.Bool
	w.disk.OnWrite = func(int, []byte, int64) waltest.Fate {
		if bad.Load() {
			return waltest.Fate{Err: broken}
		}
		return waltest.Fate{}
	}
	failures := make(chan error, 10)
	w.options = func(o *s3stream.Options) { o.OnFailure = func(err error) { failures <- err } }
	w.mustStart()
	s := w.newStream().mustOpen()
	s.mustAppend(100, 1, 1)
	s.settle()
	bad.Store(true)
	done := make(chan error, 1)
	must(t, s.s.Append(s3stream.Record{First: 1, Next: 2, Payload: []byte("x")}, doneFunc(func(err error) { done <- err })))
	if err := <-done; !errors.Is(err, s3stream.ErrFailed) || !errors.Is(err, broken) {
		t.Fatalf("append under way: %v", err)
	}
	if err := <-failures; !errors.Is(err, broken) {
		t.Fatalf("OnFailure: %v", err)
	}
	if err := s.s.Append(s3stream.Record{First: 2, Next: 3}, nil); !errors.Is(err, s3stream.ErrFailed) {
		t.Fatalf("append afterwards: %v", err)
	}
	if err := w.storage.Flush(ctxFor(t)); !errors.Is(err, s3stream.ErrFailed) {
		t.Fatalf("flush: %v", err)
	}
	if s.s.Confirmed() != 1 {
		t.Fatalf("confirmed %d", s.s.Confirmed())
	}
	if len(failures) > 0 {
		t.Fatal("OnFailure was called again")
	}
}

type doneFunc func(error)

func (f doneFunc) Appended(err error) { f(err) }

// lossyLog is a Log whose Recover leaves records out.
type lossyLog struct {
	*wal.Log
	lose func(stream s3stream.StreamID, first int64) bool
}

func (l *lossyLog) Recover(ctx context.Context, fn func(wal.Entry) error) error {
	return l.Log.Recover(ctx, func(e wal.Entry) error {
		le := binary.LittleEndian // FORMAT.md: stream id at 8, first offset at 24
		if l.lose(s3stream.StreamID(le.Uint64(e.Data[8:])), int64(le.Uint64(e.Data[24:]))) {
			if e.Mem != nil {
				e.Mem.Unref()
			}
			return nil
		}
		return fn(e)
	})
}

// TestDataLoss: records that the metadata expects in the WAL and that are not there are named; other streams are not touched.
func TestDataLoss(t *testing.T) {
	for name, c := range map[string]struct {
		lose            func(first int64) bool // of stream a
		expected, found int64
	}{
		"first":  {func(first int64) bool { return first == 5 }, 5, 6},
		"middle": {func(first int64) bool { return first == 7 || first == 8 }, 7, 9},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 16<<20).mustStart()
			a, b := w.newStream().mustOpen(), w.newStream().mustOpen()
			for range 5 {
				a.mustAppend(10, 1, 1)
			}
			a.settle()
			w.flush()
			for range 5 {
				a.mustAppend(10, 1, 1)
				b.mustAppend(10, 1, 1)
			}
			a.settle()
			b.settle()
			w.crash(1)
			w.wrapLog = func(l *wal.Log) s3stream.Log {
				return &lossyLog{l, func(id s3stream.StreamID, first int64) bool { return id == a.id && c.lose(first) }}
			}
			w.mustStart()
			b.mustOpen().mustReadAll()
			err := a.open()
			var loss *s3stream.DataLossError
			if !errors.Is(err, s3stream.ErrDataLoss) || !errors.As(err, &loss) || loss.Stream != a.id || loss.Expected != c.expected || loss.Found != c.found {
				t.Fatalf("open: %v, want loss of [%d, %d) of stream %d", err, c.expected, c.found, a.id)
			}
		})
	}
}

// TestCheckpointSteps kills the process at every step of an upload, before and after it takes effect: the state found afterwards is always the one of an
// exact offset (stream.open checks that).
func TestCheckpointSteps(t *testing.T) {
	bucketOps := []s3test.Op{s3test.OpPut, s3test.OpCreateUpload, s3test.OpUploadPart, s3test.OpCompleteUpload}
	metaOps := []string{"PrepareObjects", "CommitObjects"}
	for _, applied := range []bool{false, true} {
		for i := range len(bucketOps) + len(metaOps) {
			name := fmt.Sprintf("step=%d,applied=%v", i, applied)
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, 64<<20)
				w.walOptions = func(o *wal.Options) { o.MemoryBytes = 48 << 20 }
				w.options = func(o *s3stream.Options) { o.StreamSplitBytes, o.PartBytes = 6<<20, 5<<20 }
				w.mustStart()
				big, small, tiny := w.newStream().mustOpen(), w.newStream().mustOpen(), w.newStream().mustOpen()
				for range 7 {
					big.mustAppend(1<<20, 3, 1)
					small.mustAppend(1000, 1, 1)
					tiny.mustAppend(10, 1, 1)
				}
				var once sync.Once
				reached := make(chan struct{})
				hit := func() { once.Do(func() { close(reached) }) }
				if i < len(bucketOps) {
					if applied {
						w.bucket.SetOpRates(bucketOps[i], s3test.Rates{After: 1})
						w.bucket.SetHook(bucketOps[i], func(string) error { hit(); return nil })
					} else {
						w.bucket.SetHook(bucketOps[i], func(string) error { hit(); return errors.New("killed") })
					}
				} else {
					w.cluster.SetFault(func(op string, after bool) error {
						if op == metaOps[i-len(bucketOps)] && after == applied {
							hit()
							return errors.New("killed")
						}
						return nil
					})
				}
				go w.storage.Flush(ctxFor(t))
				<-reached
				// More comes in while the upload goes on.
				big.mustAppend(100, 1, 1)
				small.mustAppend(100, 1, 1)
				for _, s := range []*stream{big, small, tiny} {
					s.freeze()
				}
				w.crash(uint64(i))
				w.cluster.SetFault(nil)
				for _, op := range bucketOps {
					w.bucket.SetHook(op, nil)
					w.bucket.SetOpRates(op, s3test.Rates{})
				}
				w.mustStart()
				for _, s := range []*stream{big, small, tiny} {
					s.mustOpen()
					s.mustAppend(50, 1, 1)
					s.settle()
					s.mustReadAll()
				}
				w.flush()
				for _, s := range []*stream{big, small, tiny} {
					s.mustReadAll()
				}
			})
		}
	}
}

// other is another node of the same cluster.
func (w *world) other(node int32) *world {
	o := newWorld(w.t, 16<<20)
	o.cluster, o.bucket, o.node = w.cluster, w.bucket, node
	return o
}

// TestVoidTail: a node comes back with a tail in its WAL whose stream another node has written since. Nothing of the tail may come up again, not
// even after further crashes.
func TestVoidTail(t *testing.T) {
	w := newWorld(t, 16<<20).mustStart()
	s := w.newStream().mustOpen()
	keep := w.newStream().mustOpen() // keeps the WAL from being trimmed
	for range 10 {
		s.mustAppend(100, 1, 1)
	}
	s.settle()
	w.flush()
	w.away()
	keep.mustAppend(100, 1, 1)
	for range 20 {
		s.mustAppend(100, 1, 1)
	}
	s.settle()
	keep.settle()
	s.freeze()
	w.crash(1)
	w.back()

	// The other node goes on where the objects end, and stops before the end of the old tail.
	o := w.other(2).mustStart()
	s.w, s.records, s.acked = o, s.records[:10], 10
	s.mustOpen()
	for range 5 {
		s.mustAppend(77, 1, 2)
	}
	s.settle()
	must(t, s.s.Close(ctxFor(t)))

	s.w = w
	w.away()
	w.options = func(op *s3stream.Options) { op.TailGrace = time.Hour }
	w.mustStart()
	w.back()
	for i := range 3 {
		s.mustOpen() // fails if anything but the 15 records is found
		s.mustReadAll()
		if i < 2 {
			w.away() // nothing is uploaded, nothing trimmed
			s.mustAppend(60, 1, 3)
			s.settle()
			s.freeze()
			w.crash(uint64(i))
			w.mustStart()
			w.back()
		}
	}
	keep.mustOpen().mustReadAll()
	w.flush()
	s.mustReadAll()
}

// TestReopenFails: the metadata grants a newer epoch and the opening fails behind that. The stream is this node's all the same: its tail is uploaded, not
// given up, whether the upload is planned before that or behind it, and the next opening finds all of it.
func TestReopenFails(t *testing.T) {
	for _, planned := range []string{"before", "behind"} {
		t.Run(planned, func(t *testing.T) {
			w := newWorld(t, 16<<20).mustStart()
			s := w.newStream().mustOpen()
			for range 20 {
				s.mustAppend(500, 1, 1)
			}
			s.settle()
			flushed := make(chan error, 1)
			if planned == "before" {
				w.away()
				go func() { flushed <- w.storage.Flush(ctxFor(t)) }()
				waittest.Until(t, testTimeout, "an upload is tried", func() bool { return w.storage.Stats().UploadFailures > 0 })
			}
			broken := errors.New("no state today")
			s.epoch++
			if _, _, err := w.storage.OpenStream(ctxFor(t), s.id, s.epoch, s, s3stream.Replay{Opened: func(s3stream.Opened) error { return broken }}); !errors.Is(err, broken) {
				t.Fatalf("the opening ended with %v", err)
			}
			if planned == "before" {
				w.back()
				must(t, <-flushed)
			} else {
				w.flush()
			}
			if info, _ := w.cluster.Node(w.node, w.epoch).Stream(s.id); info.End != 20 {
				t.Errorf("uploaded up to offset %d, want 20", info.End)
			}
			s.mustOpen().mustReadAll()
			w.crash(1)
			w.mustStart()
			s.mustOpen().mustReadAll()
		})
	}
}

// TestTakenOver: a node whose stream was opened elsewhere without its knowing cannot commit, keeps uploading its other streams, and learns that it is fenced.
func TestTakenOver(t *testing.T) {
	w := newWorld(t, 16<<20).mustStart()
	mine, taken := w.newStream().mustOpen(), w.newStream().mustOpen()
	for range 5 {
		mine.mustAppend(100, 1, 1)
		taken.mustAppend(100, 1, 1)
	}
	mine.settle()
	taken.settle()
	old := taken.s
	o := w.other(2).mustStart()
	taken.w, taken.records, taken.acked = o, nil, 0
	taken.mustOpen()
	w.flush()
	if err := old.Append(s3stream.Record{First: 5, Next: 6}, nil); !errors.Is(err, s3stream.ErrFenced) {
		t.Fatalf("append of the old owner: %v", err)
	}
	if _, err := old.Read(nil, 0, 5, 100, true); !errors.Is(err, s3stream.ErrFenced) {
		t.Fatalf("read by the old owner: %v", err)
	}
	mine.mustReadAll()
	taken.mustAppend(10, 1, 1)
	taken.settle()
	o.flush()
	taken.mustReadAll()
	if info, _ := w.cluster.Node(1, w.epoch).Stream(mine.id); info.End != 5 {
		t.Fatalf("the stream that was not taken ends at %d in the metadata, want 5", info.End)
	}
}
