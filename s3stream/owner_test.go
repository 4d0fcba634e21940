package s3stream_test

import (
	"runtime"
	"testing"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/tools/waittest"
)

// stuck is an owner that never has a state of what was appended.
type stuck struct{}

func (stuck) Checkpoint() (int64, []byte) { return 0, nil }
func (stuck) Confirmed(int64)             {}

// TestStuckOwner: an owner that gives no usable checkpoint holds up nobody; its older checkpoint is carried along, and what is behind it is replayed from objects.
func TestStuckOwner(t *testing.T) {
	w := newWorld(t, 16<<20).mustStart()
	s, other := w.newStream().mustOpen(), w.newStream().mustOpen()
	s.mustAppend(100, 1, 1)
	s.settle()
	w.flush()
	s.epoch++
	st, opened, err := w.storage.OpenStream(ctxFor(t), s.id, s.epoch, stuck{}, s3stream.Replay{})
	must(t, err)
	s.s = st
	for range 5 {
		s.mustAppend(100, 1, 1)
		other.mustAppend(100, 1, 1)
	}
	other.settle()
	waittest.Until(t, testTimeout, "all confirmed", func() bool { return st.Confirmed() == opened.Next+5 })
	s.acked = len(s.records)
	w.flush()
	w.crash(1)
	w.mustStart()
	s.mustOpen().mustReadAll()
	other.mustOpen().mustReadAll()
}

// TestUnopenedTail: recovered records of a stream that nobody opens are uploaded after the grace, and the state is complete all the same when somebody does.
func TestUnopenedTail(t *testing.T) {
	w := newWorld(t, 16<<20).mustStart()
	s := w.newStream().mustOpen()
	for range 5 {
		s.mustAppend(100, 1, 1)
	}
	s.settle()
	w.flush()
	for range 5 {
		s.mustAppend(100, 1, 1)
	}
	s.settle()
	w.crash(1)
	w.options = func(o *s3stream.Options) { o.TailGrace = 1 }
	w.mustStart()
	w.flush()
	waittest.Until(t, testTimeout, "the WAL is trimmed", func() bool { return w.log.Stats().Used < 64<<10 })
	if info, _ := w.cluster.Node(1, w.epoch).Stream(s.id); info.End != 10 {
		t.Fatalf("committed end %d, want 10", info.End)
	}
	w.crash(2) // now nothing of it is in the WAL
	w.mustStart()
	s.mustOpen().mustReadAll()
}

// TestOpenMany: after a restart the checkpoints of many streams come with few requests.
func TestOpenMany(t *testing.T) {
	w := newWorld(t, 64<<20).mustStart()
	var streams []*stream
	for range 500 {
		streams = append(streams, w.newStream().mustOpen())
	}
	for _, s := range streams {
		s.mustAppend(100, 1, 1)
	}
	for _, s := range streams {
		s.settle()
	}
	w.stop()
	w.mustStart()
	w.bucket.ResetCounts()
	for _, s := range streams {
		s.mustOpen()
	}
	if n := w.bucket.Counts().Calls[s3test.OpGetRange]; n > 500/64+5 {
		t.Errorf("%d requests to open 500 streams", n)
	}
}

// TestIdleMemory: what an open, idle stream costs.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED: memory of an idle stream; the race detector takes memory")
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w := newWorld(t, 16<<20).mustStart()
	ids := make([]s3stream.StreamID, 10000)
	for i := range ids {
		ids[i] = w.cluster.CreateStream()
		if _, err := w.cluster.Node(1, 1).OpenStream(ctxFor(t), ids[i], 0); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	keep := make([]*s3stream.Stream, len(ids))
	ctx := ctxFor(t)
	for i, id := range ids {
		st, _, err := w.storage.OpenStream(ctx, id, 0, nil, s3stream.Replay{})
		must(t, err)
		keep[i] = st
	}
	per := (heap() - before) / uint64(len(ids))
	t.Logf("%d bytes of heap per open stream", per)
	if per > 1000 {
		t.Errorf("%d bytes of heap per open stream, want at most 1000", per)
	}
	runtime.KeepAlive(keep)
}

// TestDigest: a restart with a full tail opens its streams without reading a record again.
func TestDigest(t *testing.T) {
	w := newWorld(t, 8<<20).mustStart()
	a, b := w.newStream().mustOpen(), w.newStream().mustOpen()
	w.away()
	for range 200 {
		must(t, a.append(1000, 1, 1))
		must(t, b.append(1000, 1, 1))
	}
	a.settle()
	b.settle()
	for range 2 { // of two incarnations in a row one has digests
		before := digestsUsed.Load()
		w.crash(1)
		w.mustStart()
		must(t, a.open())
		must(t, b.open())
		if n := digestsUsed.Load() - before; n == 2 {
			w.back()
			return
		} else if n != 0 {
			t.Fatalf("%d of 2 streams were opened by a digest", n)
		}
	}
	t.Fatal("no stream was opened by a digest")
}
