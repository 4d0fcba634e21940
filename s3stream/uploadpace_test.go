package s3stream_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/tools/waittest"
	"github.com/ringmq/ringmq/wal"
)

// pacedStore moves the bytes of uploads in pieces, for each of which it asks the pacer of the call, as the client of S3 does, and notes when they went.
type pacedStore struct {
	objstore.Bucket
	halfway func() // called once, on a goroutine of its own, when the first quarter of halfOf has gone
	halfOf  int64

	mu          sync.Mutex
	moved       int64
	first, last time.Time
}

func (b *pacedStore) move(ctx context.Context, data [][]byte) error {
	const piece = 32 << 10
	for left := objstore.Size(data); left > 0; left -= piece {
		n := min(left, piece)
		if err := objstore.Pace(ctx, int(n)); err != nil {
			return err
		}
		b.mu.Lock()
		if b.last = time.Now(); b.moved == 0 {
			b.first = b.last
		}
		b.moved += n
		if b.halfway != nil && b.moved >= b.halfOf/4 {
			go b.halfway()
			b.halfway = nil
		}
		b.mu.Unlock()
	}
	return nil
}

func (b *pacedStore) Put(ctx context.Context, key string, data ...[]byte) error {
	if err := b.move(ctx, data); err != nil {
		return err
	}
	return b.Bucket.Put(ctx, key, data...)
}

func (b *pacedStore) UploadPart(ctx context.Context, key, uploadID string, number int, data ...[]byte) (objstore.Part, error) {
	if err := b.move(ctx, data); err != nil {
		return objstore.Part{}, err
	}
	return b.Bucket.UploadPart(ctx, key, uploadID, number, data...)
}

// TestUploadPace: an upload is spread over half the time in which its records came, or goes at 32 MiB/s when they came slowly; and as fast as the
// store takes it as soon as somebody waits for a flush, the log is filling, or the next upload waits behind it. Time is simulated.
func TestUploadPace(t *testing.T) {
	const (
		segment  = 8 << 20 // what is uploaded together
		capacity = 64 << 20
		record   = 16 << 10
		slowly   = segment * time.Second / (32 << 20) // how long the upload takes at the least rate
	)
	type run struct {
		w *world
		s *stream
	}
	// add appends so many bytes over a time.
	add := func(r run, bytes int, over time.Duration) {
		for range bytes / record {
			time.Sleep(over / time.Duration(bytes/record))
			r.s.mustAppend(record, 1, 1)
		}
		r.s.settle()
	}
	flush := func(r run) {
		if err := r.w.storage.Flush(r.w.t.Context()); err != nil {
			r.w.t.Error(err)
		}
	}
	for name, c := range map[string]struct {
		fill      time.Duration // how long the records of the upload take to come
		size      int           // how many there are; less than a segment is uploaded by a flush
		meanwhile func(run)     // once a quarter of the upload has gone
		hurry     int           // HurryPercent
		from, to  time.Duration // how long the upload takes
	}{
		"as fast as they came, twice":         {fill: 200 * time.Millisecond, size: segment, hurry: 60, from: 95 * time.Millisecond, to: 100 * time.Millisecond},
		"faster for what came faster":         {fill: 100 * time.Millisecond, size: segment, hurry: 60, from: 47 * time.Millisecond, to: 50 * time.Millisecond},
		"not slower than the least rate":      {fill: 10 * time.Second, size: segment, hurry: 60, from: slowly * 95 / 100, to: slowly},
		"a flush":                             {fill: 10 * time.Second, size: segment / 2, hurry: 60},
		"a flush while it goes":               {fill: 10 * time.Second, size: segment, hurry: 60, meanwhile: flush, from: slowly / 5, to: slowly * 3 / 10},
		"the log fills while it goes":         {fill: 10 * time.Second, size: segment, hurry: 20, meanwhile: func(r run) { add(r, 5<<20, 0) }, from: slowly / 5, to: slowly * 3 / 10},
		"as before, but the log has room":     {fill: 10 * time.Second, size: segment, hurry: 60, meanwhile: func(r run) { add(r, 5<<20, 0) }, from: slowly * 95 / 100, to: slowly},
		"the next upload waits while it goes": {fill: 10 * time.Second, size: segment, hurry: 90, meanwhile: func(r run) { add(r, segment+4*record, 0) }, from: slowly / 5, to: slowly * 3 / 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &pacedStore{Bucket: objstore.NewMemory("test"), halfOf: int64(c.size)}
				w := newWorld(t, capacity)
				w.bucket = s3test.NewFaults(store, 1)
				w.walOptions = func(o *wal.Options) { o.MemoryBytes = capacity }
				w.options = func(o *s3stream.Options) { o.UploadBytes, o.HurryPercent = segment, c.hurry }
				w.mustStart()
				r := run{w, w.newStream().mustOpen()}
				var beside sync.WaitGroup
				if c.meanwhile != nil {
					beside.Add(1)
					store.halfway = func() { defer beside.Done(); c.meanwhile(r) }
				}
				add(r, c.size, c.fill)
				if c.size < segment {
					flush(r)
				} else {
					add(r, record, 0) // it is the append behind them that has them uploaded
				}
				waittest.Until(t, testTimeout, "the upload", func() bool { return w.storage.Stats().Uploads > 0 })
				beside.Wait()
				store.mu.Lock()
				defer store.mu.Unlock()
				if took := store.last.Sub(store.first); store.moved < int64(c.size) || took < c.from || took > c.to {
					t.Errorf("%d bytes took %v, want %v to %v", store.moved, took, c.from, c.to)
				}
			})
		})
	}
}
