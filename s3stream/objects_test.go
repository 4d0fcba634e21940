package s3stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/tools/waittest"
	"github.com/ringmq/ringmq/wal"
)

// keys lists the bucket.
func (w *world) keys() []string {
	w.t.Helper()
	var keys []string
	must(w.t, w.bucket.List(ctxFor(w.t), "", func(i objstore.Info) error {
		keys = append(keys, i.Key)
		return nil
	}))
	return keys
}

// TestCompaction: many small uploads become one object per stream; the old ones leave the bucket; nothing changes for readers, nor for the checkpoint.
func TestCompaction(t *testing.T) {
	w := newWorld(t, 32<<20)
	w.options = func(o *s3stream.Options) { o.DeleteRetention = time.Nanosecond }
	w.mustStart()
	var streams []*stream
	for range 5 {
		streams = append(streams, w.newStream().mustOpen())
	}
	for i := range 12 {
		for _, s := range streams {
			for range 1 + i%3 {
				s.mustAppend(500, 2, int64(i))
			}
			s.settle()
		}
		if i == 6 {
			must(t, streams[0].s.Trim(ctxFor(t), 7)) // in the middle of a record
		}
		w.flush()
	}
	live, _, _ := w.cluster.Objects()
	if len(live) < 11 {
		t.Fatalf("%d objects before", len(live))
	}
	w.cluster.DeleteStream(streams[4].id)
	w.storage.DropStream(streams[4].id)
	streams = streams[:4]
	must(t, w.storage.Compact(ctxFor(t)))
	live, _, _ = w.cluster.Objects()
	if len(live) != len(streams) {
		t.Fatalf("%d objects after compaction, want one per stream: %+v", len(live), live)
	}
	for _, o := range live {
		if o.Kind != s3stream.StreamObject {
			t.Fatalf("object %+v", o)
		}
	}
	must(t, w.storage.Sweep(ctxFor(t)))
	if keys := w.keys(); len(keys) != len(streams) {
		t.Fatalf("%d objects in the bucket, want %d: %v", len(keys), len(streams), keys)
	}
	for _, s := range streams {
		s.mustReadAll()
	}
	// Trimmed altogether, the last object stays: it has the checkpoint.
	must(t, streams[1].s.Trim(ctxFor(t), streams[1].s.Confirmed()))
	w.crash(1)
	w.mustStart()
	for _, s := range streams {
		s.mustOpen().mustReadAll()
	}
}

// TestCompactUnderReaders reads without pause while objects are rewritten and deleted at once.
func TestCompactUnderReaders(t *testing.T) {
	w := newWorld(t, 64<<20)
	w.walOptions = func(o *wal.Options) { o.MemoryBytes = 4 << 20 }
	w.options = func(o *s3stream.Options) {
		o.DeleteRetention, o.UploadBytes, o.BlockBytes, o.BlockCacheBytes = time.Nanosecond, 256<<10, 16<<10, 1<<20
	}
	w.mustStart()
	streams := []*stream{w.newStream().mustOpen(), w.newStream().mustOpen()}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	fail := make(chan error, 10)
	for i, s := range streams {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 9))
			for {
				select {
				case <-stop:
					return
				default:
				}
				if end := s.s.Confirmed(); end > 0 {
					from := rng.Int64N(end)
					if err := s.readAll(from, min(end, from+200), 64<<10); err != nil {
						fail <- err
						return
					}
				}
			}
		})
	}
	for i := range 15 {
		for range 300 {
			for _, s := range streams {
				for err := s.append(1000, 1, int64(i)); err != nil; err = s.append(1000, 1, int64(i)) {
					if !errors.Is(err, s3stream.ErrFull) {
						t.Fatal(err)
					}
					<-w.space
				}
			}
		}
		must(t, w.storage.Compact(ctxFor(t)))
		must(t, w.storage.Sweep(ctxFor(t)))
	}
	close(stop)
	readers.Wait()
	if len(fail) > 0 {
		t.Fatal(<-fail)
	}
	for _, s := range streams {
		s.settle()
		s.mustReadAll()
	}
}

// TestSweepOrphans: objects and uploads of this cluster that nobody knows go; those of others, and what is prepared or young, stay.
func TestSweepOrphans(t *testing.T) {
	w := newWorld(t, 16<<20)
	now := time.Now()
	w.options = func(o *s3stream.Options) { o.Now = func() time.Time { return now } }
	w.mustStart()
	s := w.newStream().mustOpen()
	s.mustAppend(100, 1, 1)
	s.settle()
	w.flush()
	ctx := ctxFor(t)
	prepared, err := w.cluster.Node(1, w.epoch).PrepareObjects(ctx, 1)
	must(t, err)
	orphan, stranger := object.Key("c", 999), object.Key("other", 999)
	for _, key := range []string{orphan, stranger, "notes.txt", object.Key("c", int64(prepared))} {
		must(t, w.bucket.Put(ctx, key, []byte("x")))
	}
	_, err = w.bucket.CreateUpload(ctx, object.Key("c", 1000))
	must(t, err)
	must(t, w.storage.SweepOrphans(ctx))
	if n := len(w.keys()); n != 5 {
		t.Fatalf("%d keys: young ones are gone", n)
	}
	now = now.Add(3 * time.Hour)
	must(t, w.storage.SweepOrphans(ctx))
	keys := w.keys()
	if len(keys) != 4 {
		t.Fatalf("keys %v", keys)
	}
	for _, k := range keys {
		if k == orphan {
			t.Fatalf("%s is still there", k)
		}
	}
	uploads := 0
	must(t, w.bucket.ListUploads(ctx, "", func(objstore.Upload) error { uploads++; return nil }))
	if uploads != 0 {
		t.Fatalf("%d uploads left", uploads)
	}
	if st := w.storage.Stats(); st.OrphansDeleted != 1 || st.UploadsAborted != 1 {
		t.Fatalf("stats %+v", st)
	}
	s.mustReadAll()
}

// TestRetention: by size and by time, over objects and the tail, never above Confirmed, and objects leave the bucket.
func TestRetention(t *testing.T) {
	w := newWorld(t, 16<<20)
	w.options = func(o *s3stream.Options) { o.DeleteRetention = time.Nanosecond }
	w.mustStart()
	s := w.newStream().mustOpen()
	for i := range 10 { // ten objects of 10 records of 100 bytes, time stamps 0, 1000, ...
		for range 10 {
			s.mustAppend(100, 1, int64(i)*1000)
		}
		s.settle()
		if i < 9 {
			w.flush()
		}
	}
	if n := s.s.Sizes(); n != 10000 {
		t.Fatalf("size %d, want 10000", n)
	}
	for _, c := range []struct {
		now, millis, bytes, want int64
	}{
		{0, -1, -1, 0},
		{0, -1, 10000, 0},
		{0, -1, 9999, 0}, // an object goes only whole
		{0, -1, 9000, 10},
		{0, -1, 0, 100},
		{10000, 5001, -1, 50},
		{10000, 5000, -1, 50},
		{10000, 4999, -1, 60},
		{10000, 4999, 2000, 80},
		{99999, 0, -1, 100},
	} {
		if got := s.s.Retain(c.now, c.millis, c.bytes); got != c.want {
			t.Errorf("Retain(%d, %d, %d) = %d, want %d", c.now, c.millis, c.bytes, got, c.want)
		}
	}
	must(t, s.s.Trim(ctxFor(t), 35))
	if n := s.s.Sizes(); n != 6500 {
		t.Errorf("size %d after trim to 35, want 6500", n)
	}
	must(t, w.storage.Sweep(ctxFor(t)))
	if n := len(w.keys()); n != 6 {
		t.Errorf("%d objects in the bucket, want 6", n)
	}
	if got := s.s.Retain(10000, 4999, -1); got != 60 {
		t.Errorf("Retain after trim: %d, want 60", got)
	}
	// All of it, the tail too: that is uploaded first.
	must(t, s.s.Trim(ctxFor(t), 100))
	if n := s.s.Sizes(); n != 0 || s.s.Start() != 100 {
		t.Errorf("size %d, start %d", n, s.s.Start())
	}
	if err := s.s.Trim(ctxFor(t), 101); !errors.Is(err, s3stream.ErrOutOfRange) {
		t.Errorf("trim above the end: %v", err)
	}
	w.crash(1)
	w.mustStart()
	s.mustOpen()
	if s.s.Start() != 100 {
		t.Errorf("start %d after a crash, want 100", s.s.Start())
	}
}

// TestTimes compares both searches by time with the model, over objects, a tail in memory and one on the device.
func TestTimes(t *testing.T) {
	w := newWorld(t, 32<<20)
	w.walOptions = func(o *wal.Options) { o.MemoryBytes = 4 << 20 }
	w.options = func(o *s3stream.Options) { o.BlockBytes = 2 << 10 }
	w.mustStart()
	s := w.newStream().mustOpen()
	if _, ok, err := s.s.MaxTimestamp(ctxFor(t)); ok || err != nil {
		t.Fatalf("MaxTimestamp of nothing: %v, %v", ok, err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		for range 20 {
			s.mustAppend(300, 1+rng.Int64N(3), int64(i)*100+rng.Int64N(200))
		}
		s.settle()
		if i%10 == 9 && i < 39 {
			w.flush()
		}
	}
	must(t, s.s.Trim(ctxFor(t), 33))
	for range 300 {
		ts := rng.Int64N(4500)
		e, ok, err := s.s.FirstAtOrAfter(ctxFor(t), ts, 0)
		must(t, err)
		var want *record
		for i := range s.records {
			if r := &s.records[i]; r.next > 33 && r.ts >= ts {
				want = r
				break
			}
		}
		if ok != (want != nil) {
			t.Fatalf("%d: found %v, want %+v", ts, ok, want)
		}
		if ok && (e.First > max(want.first, 33) || e.Next < want.next) {
			t.Fatalf("%d: found %+v, want the one with [%d, %d)", ts, e, want.first, want.next)
		}
	}
	largest := record{ts: -1}
	for _, r := range s.records {
		if r.next > 33 && r.ts > largest.ts {
			largest = r
		}
	}
	e, ok, err := s.s.MaxTimestamp(ctxFor(t))
	if err != nil || !ok || e.First > largest.first || e.Next < largest.next || e.MaxTimestamp != largest.ts {
		t.Fatalf("MaxTimestamp: %+v, %v, %v, want %+v", e, ok, err, largest)
	}
}

// TestReadahead: a sequential reader of objects causes few requests, each of them large, and none twice.
func TestReadahead(t *testing.T) {
	w := newWorld(t, 128<<20)
	w.walOptions = func(o *wal.Options) { o.MemoryBytes = 64 << 20 }
	w.options = func(o *s3stream.Options) { o.BlockCacheBytes = 64 << 20 }
	w.mustStart()
	s := w.newStream().mustOpen()
	const n = 2400
	for range n {
		s.mustAppend(10000, 1, 1)
	}
	s.settle()
	w.flush()
	must(t, s.s.Close(ctxFor(t)))
	w.stop()
	w.mustStart()
	s.mustOpen()
	w.bucket.ResetCounts()
	must(t, s.readAll(0, s.s.Confirmed(), 256<<10))
	c := w.bucket.Counts()
	if gets := c.Calls[s3test.OpGetRange]; gets > 50 || c.Fetched > n*10000*11/10 {
		t.Errorf("%d requests for %d bytes of %d", gets, c.Fetched, n*10000)
	}
	if st := w.storage.Stats(); st.ReadaheadBytes < n*10000/2 {
		t.Errorf("only %d bytes were read ahead", st.ReadaheadBytes)
	}
	// A second reader close behind costs nothing.
	w.bucket.ResetCounts()
	must(t, s.readAll(0, s.s.Confirmed(), 256<<10))
	if gets := w.bucket.Counts().Calls[s3test.OpGetRange]; gets > 5 {
		t.Errorf("%d requests for what is in the cache", gets)
	}
}

// TestSingleFlight: many readers of one cold block cause one request.
func TestSingleFlight(t *testing.T) {
	w := newWorld(t, 16<<20).mustStart()
	s := w.newStream().mustOpen()
	s.mustAppend(5000, 1, 1)
	s.settle()
	w.flush()
	must(t, s.s.Close(ctxFor(t)))
	w.stop()
	w.mustStart()
	s.mustOpen()
	w.bucket.ResetCounts()
	w.bucket.Block(s3test.OpGetRange)
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for range 20 {
		wg.Go(func() { errs <- s.readAll(0, 1, 100) })
	}
	// A reader that gives up does not take the request with it.
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if _, err := s.s.ReadCold(ctx, 0, 1, 100, true); !errors.Is(err, context.Canceled) {
			errs <- fmt.Errorf("cancelled read: %v", err)
		}
	})
	waittest.Until(t, testTimeout, "all read", func() bool { return w.storage.Stats().ColdReads == 21 })
	cancel()
	w.bucket.Release(s3test.OpGetRange)
	wg.Wait()
	close(errs)
	for err := range errs {
		must(t, err)
	}
	if gets := w.bucket.Counts().Calls[s3test.OpGetRange]; gets > 1 {
		t.Errorf("%d requests, want 1", gets)
	}
}

// TestRequests: what an upload costs. 200 streams with little data each share one object, and one commit.
func TestRequests(t *testing.T) {
	w := newWorld(t, 64<<20).mustStart()
	var streams []*stream
	for range 200 {
		streams = append(streams, w.newStream().mustOpen())
	}
	for range 5 {
		for _, s := range streams {
			s.mustAppend(1000, 1, 1)
		}
	}
	for _, s := range streams {
		s.settle()
	}
	w.bucket.ResetCounts()
	var wg sync.WaitGroup
	for _, s := range streams {
		wg.Go(func() {
			if err := s.s.Close(ctxFor(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if puts := w.bucket.Counts().Puts(); puts > 3 {
		t.Errorf("%d PUT requests for closing 200 streams", puts)
	}
	if n := w.cluster.Calls("CommitObjects"); n > 3 {
		t.Errorf("%d commits for closing 200 streams", n)
	}
}

// TestCompactionSplit: of many streams in stream-set objects only those that have CompactSplitBytes there get an object of their own.
func TestCompactionSplit(t *testing.T) {
	for split, want := range map[int64][2]int{20_000: {1, 1}, 1 << 20: {0, 1}} { // stream objects, stream-set objects
		w := newWorld(t, 32<<20)
		w.options = func(o *s3stream.Options) { o.CompactSplitBytes, o.StreamSplitBytes = split, 1<<20 }
		w.mustStart()
		var streams []*stream
		for range 20 {
			streams = append(streams, w.newStream().mustOpen())
		}
		for i := range 10 {
			for n, s := range streams {
				size := 500
				if n == 0 {
					size = 5000
				}
				s.mustAppend(size, 1, int64(i))
				s.settle()
			}
			w.flush()
		}
		must(t, w.storage.CompactSets(ctxFor(t)))
		live, _, _ := w.cluster.Objects()
		got := [2]int{}
		for _, o := range live {
			if o.Kind == s3stream.StreamObject {
				got[0]++
			} else {
				got[1]++
			}
		}
		if got != want {
			t.Errorf("split at %d bytes: %d stream objects and %d stream-set objects, want %v", split, got[0], got[1], want)
		}
		for _, s := range streams {
			s.mustReadAll()
		}
	}
}
