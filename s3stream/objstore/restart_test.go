package objstore_test

import (
	"errors"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestMinIOKilled: after the store was killed in the middle of an upload, the client goes on with the same upload when it is back, what was acknowledged
// before is there, and the unfinished upload is still listed for its key.
func TestMinIOKilled(t *testing.T) {
	m := s3test.StartMinIO(t)
	b := m.NewBucket(t, "bucket")
	data := s3test.Random(1, objstore.MinPartBytes)
	if err := b.Put(ctx, "before", data); err != nil {
		t.Fatal(err)
	}
	id, err := b.CreateUpload(ctx, "big")
	if err != nil {
		t.Fatal(err)
	}
	p1, err := b.UploadPart(ctx, "big", id, 1, data)
	if err != nil {
		t.Fatal(err)
	}
	m.Stop()
	if _, err := b.UploadPart(ctx, "big", id, 2, data); !errors.Is(err, objstore.ErrUnreachable) {
		t.Fatalf("stopped: %v, want ErrUnreachable", err)
	}
	m.Restart(t)
	found := 0
	if err := b.ListUploads(ctx, "big", func(u objstore.Upload) error {
		if u.ID == id {
			found++
		}
		return nil
	}); err != nil || found != 1 {
		t.Fatalf("the upload is listed %d times (%v)", found, err)
	}
	p2, err := b.UploadPart(ctx, "big", id, 2, data)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CompleteUpload(ctx, "big", id, []objstore.Part{p1, p2}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"before", "big"} {
		if err := b.GetRange(ctx, key, 0, make([]byte, len(data))); err != nil {
			t.Fatal(err)
		}
	}
}
