package s3stream

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// TestMemoryCopy: what is in memory is served from there, and after the release, as everything else, from the bucket.
func TestMemoryCopy(t *testing.T) {
	ctx := t.Context()
	b := objstore.NewMemory("b")
	content := bytes.Repeat([]byte("0123456789"), 1000)
	for _, key := range []string{"copied", "not copied"} {
		if err := b.Put(ctx, key, content); err != nil {
			t.Fatal(err)
		}
	}
	m := &memoryCopy{Bucket: b, objects: map[string][]byte{}}
	if err := m.load(ctx, "copied", int64(len(content)), 777); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(ctx, "copied"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5000)
	for _, key := range []string{"copied", "not copied"} {
		if err := m.GetRange(ctx, key, 4321, got); err != nil || !bytes.Equal(got, content[4321:9321]) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := m.GetRange(ctx, "copied", 5001, got); !errors.Is(err, objstore.ErrRange) {
		t.Errorf("past the end: %v", err)
	}
	if err := m.load(ctx, "missing", 10, 777); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	m.release()
	m.release()
	if err := m.GetRange(ctx, "copied", 0, got); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("after the release: %v", err)
	}
}
