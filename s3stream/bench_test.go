package s3stream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/streamtest"
	"github.com/ringmq/ringmq/wal"
)

// ram is a device that costs next to nothing, so that what is measured is this package and the WAL's memory work.
type ram struct {
	b []byte
}

func (d *ram) WriteAt(p []byte, off int64) (int, error) { return copy(d.b[off:], p), nil }
func (d *ram) ReadAt(p []byte, off int64) (int, error) {
	if n := copy(p, d.b[off:]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}
func (d *ram) Flush() error { return nil }
func (d *ram) Size() int64  { return int64(len(d.b)) }
func (d *ram) Close() error { return nil }

// void is a bucket that takes everything and keeps nothing.
type void struct{ objstore.Bucket }

func (void) Put(context.Context, string, ...[]byte) error { return nil }
func (void) UploadPart(_ context.Context, _, _ string, n int, data ...[]byte) (objstore.Part, error) {
	return objstore.Part{Number: n, Size: objstore.Size(data)}, nil
}
func (void) CompleteUpload(context.Context, string, string, []objstore.Part) error { return nil }

type fixture struct {
	storage *s3stream.Storage
	streams []*s3stream.Stream
	space   chan struct{}
}

// noOwner has no state, so that the next offset is all that a checkpoint says.
type noOwner struct{ next *atomic.Int64 }

func (o noOwner) Checkpoint() (int64, []byte) { return o.next.Load(), nil }
func (o noOwner) Confirmed(int64)             {}

func newFixture(tb testing.TB, streams int, memory int64, next *atomic.Int64) *fixture {
	f := &fixture{space: make(chan struct{}, 1)}
	onSpace := func() {
		select {
		case f.space <- struct{}{}:
		default:
		}
	}
	l, err := wal.Open(wal.Options{Device: &ram{b: make([]byte, 256<<20)}, ClusterID: "c", NodeID: 1, NodeEpoch: 1, MemoryBytes: memory, OnSpace: onSpace})
	if err != nil {
		tb.Fatal(err)
	}
	cluster := streamtest.NewCluster()
	f.storage, err = s3stream.Open(context.Background(), s3stream.Options{WAL: l, Bucket: void{objstore.NewMemory("void")}, Metadata: cluster.Node(1, 1),
		NodeID: 1, NodeEpoch: 1, ClusterID: "c", OnSpace: onSpace, UploadInterval: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.storage.Close(context.Background(), false) })
	for range streams {
		var owner s3stream.Owner
		if next != nil {
			owner = noOwner{next}
		}
		st, _, err := f.storage.OpenStream(context.Background(), cluster.CreateStream(), 0, owner, s3stream.Replay{})
		if err != nil {
			tb.Fatal(err)
		}
		f.streams = append(f.streams, st)
	}
	return f
}

func (f *fixture) append(tb testing.TB, st *s3stream.Stream, r s3stream.Record, done s3stream.Done) {
	for {
		err := st.Append(r, done)
		if err == nil {
			return
		}
		if !errors.Is(err, s3stream.ErrFull) {
			tb.Fatal(err)
		}
		select {
		case <-f.space:
		case <-time.After(testTimeout):
			tb.Fatal("no space")
		}
	}
}

// counted is a Done that costs nothing.
type counted struct{ n atomic.Int64 }

func (c *counted) Appended(error) { c.n.Add(1) }

// TestAllocs: appends and hot reads allocate nothing once the pools are warm.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED: allocations of appends and hot reads; the race detector allocates")
	}
	f := newFixture(t, 1, 128<<20, nil)
	st, done := f.streams[0], &counted{}
	payload := make([]byte, 1000)
	offset := int64(0)
	one := func() {
		f.append(t, st, s3stream.Record{First: offset, Next: offset + 1, Payload: payload}, done)
		offset++
		for st.Confirmed() < offset {
			runtime.Gosched()
		}
	}
	for range 20000 { // warm: every pool has seen its peak
		one()
	}
	if n := testing.AllocsPerRun(2000, one); n != 0 {
		t.Errorf("Append: %v allocations, want 0", n)
	}
	dst := make([]s3stream.Slice, 0, 64)
	read := func() {
		got, err := st.Read(dst, offset-50, offset, 40000, true)
		if err != nil || len(got) != 40 {
			t.Fatal(len(got), err)
		}
		for _, s := range got {
			s.Mem.Unref()
		}
	}
	if n := testing.AllocsPerRun(2000, read); n != 0 {
		t.Errorf("Read: %v allocations, want 0", n)
	}
}

// BenchmarkAppend is the cost of an append on its caller's goroutine and behind it, uploads into nothing included.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1000, 16000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			var next atomic.Int64
			f := newFixture(b, 1, 128<<20, &next)
			payload, done := make([]byte, size), &counted{}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f.append(b, f.streams[0], s3stream.Record{First: int64(i), Next: int64(i + 1), Payload: payload}, done)
				next.Store(int64(i + 1))
			}
		})
	}
}

// BenchmarkHotRead reads 64 KiB of records of 1000 bytes from memory.
func BenchmarkHotRead(b *testing.B) {
	f := newFixture(b, 1, 128<<20, nil)
	done, payload := &counted{}, make([]byte, 1000)
	const records = 20000
	for i := range int64(records) {
		f.append(b, f.streams[0], s3stream.Record{First: i, Next: i + 1, Payload: payload}, done)
	}
	dst := make([]s3stream.Slice, 0, 128)
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		from := int64(i*65) % (records - 100)
		got, err := f.streams[0].Read(dst, from, records, 64<<10, true)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range got {
			s.Mem.Unref()
		}
	}
}

// BenchmarkColdRead reads 1 MiB of records of 1000 bytes from objects in memory: sequentially with readahead, checksums verified; and again from the cache.
func BenchmarkColdRead(b *testing.B) {
	for _, cache := range []int64{16 << 20, 256 << 20} {
		b.Run(fmt.Sprintf("cacheMiB=%d", cache>>20), func(b *testing.B) {
			w := newWorld(b, 192<<20)
			w.walOptions = func(o *wal.Options) { o.MemoryBytes = 32 << 20 }
			w.options = func(o *s3stream.Options) { o.BlockCacheBytes = cache }
			w.mustStart()
			s := w.newStream().mustOpen()
			payload, done := make([]byte, 1000), &counted{}
			const records = 100_000
			for i := range int64(records) {
				for s.s.Append(s3stream.Record{First: i, Next: i + 1, Payload: payload}, done) != nil {
					<-w.space
				}
				s.mu.Lock()
				s.state.next = i + 1
				s.mu.Unlock()
			}
			must(b, w.storage.Flush(context.Background()))
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			at := int64(0)
			for b.Loop() {
				got, err := s.s.ReadCold(context.Background(), at, records, 1<<20, true)
				if err != nil {
					b.Fatal(err)
				}
				at = got[len(got)-1].Next
				if at > records*9/10 {
					at = 0
				}
				release(got)
			}
		})
	}
}
