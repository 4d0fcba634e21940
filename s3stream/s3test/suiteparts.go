package s3test

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

const minPart = objstore.MinPartBytes

func testMultipart(t *testing.T, b objstore.Bucket) {
	data := Random(3, 2*minPart+12_345)
	id, err := b.CreateUpload(ctx, "m/big")
	must(t, err)
	parts := make([]objstore.Part, 3)
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			p := data[i*minPart : min(len(data), (i+1)*minPart)]
			parts[i], errs[i] = b.UploadPart(ctx, "m/big", id, i+1, p[:100], p[100:])
		})
	}
	wg.Wait()
	for i, err := range errs {
		must(t, err)
		if parts[i].Number != i+1 || parts[i].Size <= 0 {
			t.Fatalf("part %+v, want number %d", parts[i], i+1)
		}
	}
	_, err = b.Head(ctx, "m/big")
	wantErr(t, err, objstore.ErrNotFound) // nothing is visible yet
	if got := listed(t, b, ""); len(got) != 0 {
		t.Fatalf("an unfinished upload is listed as %q", got)
	}
	must(t, b.CompleteUpload(ctx, "m/big", id, parts))
	wantObject(t, b, "m/big", data)
	wantErr(t, b.CompleteUpload(ctx, "m/big", id, parts), objstore.ErrNotFound)
	must(t, b.AbortUpload(ctx, "m/big", id)) // too late, and no error
	wantObject(t, b, "m/big", data)

	// A part that is sent again replaces the first one; numbers may have gaps; an upload replaces an object.
	id, err = b.CreateUpload(ctx, "m/big")
	must(t, err)
	_, err = b.UploadPart(ctx, "m/big", id, 4, data[:minPart])
	must(t, err)
	first, err := b.UploadPart(ctx, "m/big", id, 4, data[1:1+minPart])
	must(t, err)
	last, err := b.UploadPart(ctx, "m/big", id, 9, []byte("end"))
	must(t, err)
	must(t, b.CompleteUpload(ctx, "m/big", id, []objstore.Part{first, last}))
	wantObject(t, b, "m/big", slices.Concat(data[1:1+minPart], []byte("end")))
}

func testMultipartRules(t *testing.T, b objstore.Bucket) {
	data := Random(4, minPart)
	id, err := b.CreateUpload(ctx, "r")
	must(t, err)
	for _, number := range []int{0, -1, objstore.MaxParts + 1} {
		_, err := b.UploadPart(ctx, "r", id, number, data)
		wantErr(t, err, objstore.ErrInvalid)
	}
	_, err = b.UploadPart(ctx, "r", id, 1)
	wantErr(t, err, objstore.ErrInvalid) // empty
	one, err := b.UploadPart(ctx, "r", id, 1, data)
	must(t, err)
	small, err := b.UploadPart(ctx, "r", id, 2, data[:minPart-1])
	must(t, err)
	three, err := b.UploadPart(ctx, "r", id, 3, data[:10])
	must(t, err)
	wantErr(t, b.CompleteUpload(ctx, "r", id, nil), objstore.ErrInvalid)
	wantErr(t, b.CompleteUpload(ctx, "r", id, []objstore.Part{three, one}), objstore.ErrInvalid)
	wantErr(t, b.CompleteUpload(ctx, "r", id, []objstore.Part{one, small, three}), objstore.ErrInvalid) // 2 is too small to be in the middle
	wrong := three
	wrong.Number, wrong.ETag = 5, one.ETag
	wantErr(t, b.CompleteUpload(ctx, "r", id, []objstore.Part{one, wrong}), objstore.ErrInvalid)
	_, err = b.UploadPart(ctx, "other", id, 1, data)
	wantErr(t, err, objstore.ErrNotFound) // the upload is of another key
	_, err = b.UploadPart(ctx, "r", "no-such-upload", 1, data)
	wantErr(t, err, objstore.ErrNotFound)
	must(t, b.CompleteUpload(ctx, "r", id, []objstore.Part{one, three}))
	wantObject(t, b, "r", slices.Concat(data, data[:10]))
}

func testCopyPart(t *testing.T, b objstore.Bucket) {
	src := Random(5, 2*minPart+1000)
	must(t, b.Put(ctx, "src/a", src))
	id, err := b.CreateUpload(ctx, "dst")
	must(t, err)
	p1, err := b.CopyPart(ctx, "dst", id, 1, "src/a", 500, minPart+1)
	must(t, err)
	p2, err := b.UploadPart(ctx, "dst", id, 2, src[:minPart])
	must(t, err)
	p3, err := b.CopyPart(ctx, "dst", id, 3, "src/a", 999, 1)
	must(t, err)
	if p1.Size != minPart+1 || p3.Size != 1 {
		t.Fatalf("sizes of copied parts are %d and %d", p1.Size, p3.Size)
	}
	_, err = b.CopyPart(ctx, "dst", id, 4, "no/such", 0, 1)
	wantErr(t, err, objstore.ErrNotFound)
	for _, r := range [][2]int64{{-1, 10}, {int64(len(src)) - 5, 6}, {int64(len(src)) + 5, 1}} {
		if _, err = b.CopyPart(ctx, "dst", id, 4, "src/a", r[0], r[1]); err == nil {
			t.Fatalf("copied %d bytes at %d of %d", r[1], r[0], len(src))
		}
	}
	must(t, b.Delete(ctx, "src/a")) // the copies are independent
	must(t, b.CompleteUpload(ctx, "dst", id, []objstore.Part{p1, p2, p3}))
	wantObject(t, b, "dst", slices.Concat(src[500:500+minPart+1], src[:minPart], src[999:1000]))

	// An object that was itself an upload, copied whole, the last part small.
	id, err = b.CreateUpload(ctx, "dst2")
	must(t, err)
	p1, err = b.CopyPart(ctx, "dst2", id, 1, "dst", minPart-3, minPart)
	must(t, err)
	p2, err = b.UploadPart(ctx, "dst2", id, 2, []byte("tail"))
	must(t, err)
	must(t, b.CompleteUpload(ctx, "dst2", id, []objstore.Part{p1, p2}))
	whole := slices.Concat(src[500:500+minPart+1], src[:minPart], src[999:1000])
	wantObject(t, b, "dst2", slices.Concat(whole[minPart-3:2*minPart-3], []byte("tail")))
}

func testAbort(t *testing.T, b objstore.Bucket) {
	id, err := b.CreateUpload(ctx, "ab")
	must(t, err)
	p, err := b.UploadPart(ctx, "ab", id, 1, []byte("x"))
	must(t, err)
	must(t, b.AbortUpload(ctx, "ab", id))
	must(t, b.AbortUpload(ctx, "ab", id))
	wantErr(t, b.CompleteUpload(ctx, "ab", id, []objstore.Part{p}), objstore.ErrNotFound)
	_, err = b.UploadPart(ctx, "ab", id, 2, []byte("x"))
	wantErr(t, err, objstore.ErrNotFound)
	_, err = b.Head(ctx, "ab")
	wantErr(t, err, objstore.ErrNotFound)
}

func testListUploads(t *testing.T, b objstore.Bucket) {
	before := time.Now().Add(-time.Hour)
	want := map[string]string{}
	for _, key := range []string{"u/1", "u/2", "u/2", "v/1"} {
		id, err := b.CreateUpload(ctx, key)
		must(t, err)
		want[id] = key
	}
	for _, prefix := range []string{"", "u/", "u/2", "v/1", "w"} {
		got := map[string]string{}
		must(t, b.ListUploads(ctx, prefix, func(u objstore.Upload) error {
			got[u.ID] = u.Key
			if u.Initiated.Before(before) || u.Initiated.After(time.Now().Add(time.Hour)) {
				t.Fatalf("upload of %s initiated at %s", u.Key, u.Initiated)
			}
			return nil
		}))
		n := 0
		for id, key := range want {
			if bytes.HasPrefix([]byte(key), []byte(prefix)) {
				n++
				if got[id] != key {
					t.Fatalf("prefix %q: upload %s is of %q, want %q", prefix, id, got[id], key)
				}
			}
		}
		if len(got) != n {
			t.Fatalf("prefix %q: %d uploads, want %d", prefix, len(got), n)
		}
	}
	for id, key := range want {
		must(t, b.AbortUpload(ctx, key, id))
	}
	must(t, b.ListUploads(ctx, "", func(u objstore.Upload) error {
		t.Fatalf("upload of %s is left", u.Key)
		return nil
	}))
}
