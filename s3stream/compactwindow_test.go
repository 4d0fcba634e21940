package s3stream

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestWindow: small reads that follow one another cost few requests, and whatever is read is what the bucket holds.
func TestWindow(t *testing.T) {
	ctx := t.Context()
	counted := s3test.NewFaults(objstore.NewMemory("b"), 1)
	rng := rand.New(rand.NewPCG(1, 1))
	s := &Storage{compact: compactor{bucket: counted}}
	s.opts.ClusterID = "c"
	content := make(map[ObjectID][]byte)
	var group []ObjectInfo
	for id := ObjectID(1); id <= 3; id++ {
		b := make([]byte, 3*windowMax+int(id)*1000)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		content[id] = b
		if err := counted.Put(ctx, s.key(id), b); err != nil {
			t.Fatal(err)
		}
		if id < 3 {
			group = append(group, ObjectInfo{ID: id, Size: int64(len(b))})
		}
	}
	w, err := s.newWindowed(group)
	if err != nil {
		t.Fatal(err)
	}
	read := func(id ObjectID, off, n int) {
		t.Helper()
		got := make([]byte, n)
		if err := w.GetRange(ctx, s.key(id), int64(off), got); err != nil || !bytes.Equal(got, content[id][off:off+n]) {
			t.Fatalf("object %d, %d bytes at %d: %v", id, n, off, err)
		}
	}
	counted.ResetCounts()
	const step = 100_000
	for off := 0; off+step <= 3*windowMax; off += step {
		read(1, off, step)
		read(2, off, step)
	}
	if n := counted.Counts().Calls[s3test.OpGetRange]; n > 8 {
		t.Errorf("%d requests for two objects of three windows each", n)
	}
	for range 2000 {
		id := ObjectID(1 + rng.IntN(3))
		off := rng.IntN(len(content[id]))
		read(id, off, rng.IntN(min(len(content[id])-off, 5<<20)+1))
	}
	past := make([]byte, 100)
	if err := w.GetRange(ctx, s.key(1), int64(len(content[1])-50), past); !errors.Is(err, objstore.ErrRange) {
		t.Errorf("past the end: %v", err)
	}
	// A read that failed leaves nothing behind that could be taken for the object.
	read(2, 0, step)
	if err := counted.Delete(ctx, s.key(2)); err != nil {
		t.Fatal(err)
	}
	if err := w.GetRange(ctx, s.key(2), 2*windowMax, past); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("object gone: %v", err)
	}
	if err := w.GetRange(ctx, s.key(2), 0, past); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("object gone, what was in the window before: %v", err)
	}
	w.release()
	w.release()
	read(1, 123, step)
}
