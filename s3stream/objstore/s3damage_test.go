package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// damage flips one bit of the next n request bodies of at least 1000 bytes.
type damage struct {
	left atomic.Int64
}

func (d *damage) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.ContentLength >= 1000 && d.left.Add(-1) >= 0 {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		b[len(b)/2] ^= 4
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestDamagedInTransit: the store refuses a body that arrives damaged, for objects and for parts, and the retry repairs it.
func TestDamagedInTransit(t *testing.T) {
	m := s3test.StartMinIO(t)
	m.MakeBucket(t, "bucket")
	ctx := context.Background()
	for _, sign := range []bool{false, true} {
		d := &damage{}
		c := m.Config("bucket")
		c.Transport, c.SignPayload = d, sign
		b, err := objstore.Open(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		data := s3test.Random(1, 100_000)
		got := make([]byte, len(data))

		d.left.Store(1)
		if err := b.Put(ctx, "k", data); err != nil {
			t.Fatal(err)
		}
		if err := b.GetRange(ctx, "k", 0, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("signed %t: damaged object stored (%v)", sign, err)
		}
		d.left.Store(100)
		if err := b.Put(ctx, "k", data); !errors.Is(err, objstore.ErrChecksum) {
			t.Fatalf("signed %t: put with damage: %v, want ErrChecksum", sign, err)
		}
		d.left.Store(0)

		id, err := b.CreateUpload(ctx, "m")
		if err != nil {
			t.Fatal(err)
		}
		d.left.Store(1)
		p, err := b.UploadPart(ctx, "m", id, 1, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.CompleteUpload(ctx, "m", id, []objstore.Part{p}); err != nil {
			t.Fatal(err)
		}
		if err := b.GetRange(ctx, "m", 0, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("signed %t: damaged part stored (%v)", sign, err)
		}
		if d.left.Load() > 0 {
			t.Fatal("nothing was damaged")
		}
	}
}
