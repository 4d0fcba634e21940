package s3stream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/wal"
)

// TestStores leads streams through a life on every kind of store: small and multipart uploads, crashes, compaction with copies within the store, deletion.
func TestStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testStore(t, objstore.NewMemory("life")) })
	t.Run("directory", func(t *testing.T) {
		b, err := objstore.Open(context.Background(), objstore.Config{Scheme: "file", Dir: t.TempDir()})
		must(t, err)
		testStore(t, b)
	})
	t.Run("minio", func(t *testing.T) { testStore(t, s3test.StartMinIO(t).NewBucket(t, "life")) })
}

func testStore(t *testing.T, b objstore.Bucket) {
	w := newWorld(t, 128<<20)
	w.bucket = s3test.NewFaults(b, 1)
	w.walOptions = func(o *wal.Options) { o.MemoryBytes = 64 << 20 }
	w.options = func(o *s3stream.Options) {
		o.PartBytes, o.DeleteRetention, o.BlockCacheBytes = objstore.MinPartBytes, time.Nanosecond, 8<<20
	}
	w.mustStart()
	big, small := w.newStream().mustOpen(), []*stream{w.newStream().mustOpen(), w.newStream().mustOpen()}
	put := func(s *stream, n int) {
		for err := s.append(n, 1, 1); err != nil; err = s.append(n, 1, 1) {
			if !errors.Is(err, s3stream.ErrFull) {
				t.Fatal(err)
			}
			<-w.space
		}
	}
	all := func(fn func(*stream)) {
		for _, s := range append(small, big) {
			fn(s)
		}
	}
	for range 3 {
		for range 120 {
			put(big, 100_000)
			put(small[0], 1000)
			put(small[1], 50)
		}
		all((*stream).settle)
		w.flush()
	}
	if n := w.bucket.Counts().Calls[s3test.OpCompleteUpload]; n == 0 {
		t.Error("no multipart upload")
	}
	for range 30 {
		put(small[0], 1000)
	}
	all((*stream).settle)
	w.crash(1)
	w.mustStart()
	all(func(s *stream) { s.mustOpen().mustReadAll() })
	must(t, w.storage.Compact(ctxFor(t)))
	if n := w.bucket.Counts().Calls[s3test.OpCopyPart]; n == 0 {
		t.Error("nothing was copied within the store")
	}
	must(t, w.storage.Sweep(ctxFor(t)))
	if n := len(w.keys()); n != 3 {
		t.Errorf("%d objects, want 3", n)
	}
	w.stop()
	w.mustStart()
	all(func(s *stream) { s.mustOpen().mustReadAll() })
	all(func(s *stream) {
		w.cluster.DeleteStream(s.id)
		w.storage.DropStream(s.id)
	})
	must(t, w.storage.Sweep(ctxFor(t)))
	if keys := w.keys(); len(keys) != 0 {
		t.Errorf("objects of deleted streams: %v", keys)
	}
}
