package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// TestBucket checks that a bucket keeps the contract of objstore.Bucket. open returns an empty bucket.
func TestBucket(t *testing.T, open func(t *testing.T) objstore.Bucket) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, b objstore.Bucket)
	}{
		{"PutGet", testPutGet},
		{"Ranges", testRanges},
		{"NotFound", testNotFound},
		{"Create", testCreate},
		{"CreateRace", testCreateRace},
		{"Delete", testDelete},
		{"List", testList},
		{"ListPages", testListPages},
		{"Keys", testKeys},
		{"Multipart", testMultipart},
		{"MultipartRules", testMultipartRules},
		{"CopyPart", testCopyPart},
		{"Abort", testAbort},
		{"ListUploads", testListUploads},
		{"ListUploadsPages", testListUploadsPages},
		{"Cancelled", testCancelled},
		{"Parallel", testParallel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

var ctx = context.Background()

// Random returns n bytes that depend only on seed.
func Random(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1], key[2], key[3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	rand.NewChaCha8(key).Read(b)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// wantObject checks the whole content of an object.
func wantObject(t *testing.T, b objstore.Bucket, key string, want []byte) {
	t.Helper()
	info, err := b.Head(ctx, key)
	must(t, err)
	if info.Size != int64(len(want)) || info.Key != key || info.Modified.IsZero() {
		t.Fatalf("head of %s: %+v, want %d bytes", key, info, len(want))
	}
	got := make([]byte, len(want))
	must(t, b.GetRange(ctx, key, 0, got))
	if !bytes.Equal(got, want) {
		t.Fatalf("content of %s differs from what was stored", key)
	}
}

func listed(t *testing.T, b objstore.Bucket, prefix string) []string {
	t.Helper()
	keys := []string{}
	must(t, b.List(ctx, prefix, func(i objstore.Info) error {
		keys = append(keys, i.Key)
		return nil
	}))
	return keys
}

func testPutGet(t *testing.T, b objstore.Bucket) {
	data := Random(1, 100_000)
	must(t, b.Put(ctx, "a/b", data[:10], nil, data[10:11], data[11:]))
	wantObject(t, b, "a/b", data)
	must(t, b.Put(ctx, "a/b", data[:7]))
	wantObject(t, b, "a/b", data[:7])
	must(t, b.Put(ctx, "empty"))
	wantObject(t, b, "empty", nil)
	many := make([][]byte, 5000) // more slices than one system call takes
	for i := range many {
		many[i] = data[i*20 : i*20+20]
	}
	must(t, b.Put(ctx, "many", many...))
	wantObject(t, b, "many", data)
}

func testRanges(t *testing.T, b objstore.Bucket) {
	data := Random(2, 10_000)
	must(t, b.Put(ctx, "o", data))
	for _, r := range [][2]int{{0, 1}, {0, 10_000}, {9_999, 1}, {5_000, 100}, {0, 0}, {10_000, 0}, {77, 0}} {
		dst := bytes.Repeat([]byte{0xaa}, r[1])
		must(t, b.GetRange(ctx, "o", int64(r[0]), dst))
		if !bytes.Equal(dst, data[r[0]:r[0]+r[1]]) {
			t.Fatalf("%d bytes at %d are wrong", r[1], r[0])
		}
	}
	for _, r := range [][2]int{{0, 10_001}, {9_999, 2}, {10_000, 1}, {10_001, 0}, {20_000, 5}, {-1, 1}} {
		if err := b.GetRange(ctx, "o", int64(r[0]), make([]byte, r[1])); !errors.Is(err, objstore.ErrRange) {
			t.Fatalf("%d bytes at %d: error %v, want ErrRange", r[1], r[0], err)
		}
	}
}

func testNotFound(t *testing.T, b objstore.Bucket) {
	wantErr(t, b.GetRange(ctx, "no/such", 0, make([]byte, 1)), objstore.ErrNotFound)
	wantErr(t, b.GetRange(ctx, "no/such", 0, nil), objstore.ErrNotFound)
	_, err := b.Head(ctx, "no/such")
	wantErr(t, err, objstore.ErrNotFound)
	must(t, b.Put(ctx, "dir/file", []byte("x")))
	_, err = b.Head(ctx, "dir") // a prefix is not an object
	wantErr(t, err, objstore.ErrNotFound)
	wantErr(t, b.GetRange(ctx, "dir", 0, make([]byte, 1)), objstore.ErrNotFound)
}

func testCreate(t *testing.T, b objstore.Bucket) {
	must(t, b.Create(ctx, "k/one", []byte("first")))
	wantErr(t, b.Create(ctx, "k/one", []byte("second")), objstore.ErrExists)
	wantObject(t, b, "k/one", []byte("first"))
	must(t, b.Delete(ctx, "k/one"))
	must(t, b.Create(ctx, "k/one", []byte("third")))
	wantObject(t, b, "k/one", []byte("third"))
}

func testCreateRace(t *testing.T, b objstore.Bucket) {
	const n = 8
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = b.Create(ctx, "race", []byte{byte(i)}) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Fatalf("both %d and %d created the object", winner, i)
		case !errors.Is(err, objstore.ErrExists):
			t.Fatalf("create %d: %v, want ErrExists", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody created the object")
	}
	wantObject(t, b, "race", []byte{byte(winner)})
}

func testDelete(t *testing.T, b objstore.Bucket) {
	var keys []string
	for i := range 7 {
		keys = append(keys, fmt.Sprintf("d/%d/x", i))
		must(t, b.Put(ctx, keys[i], []byte("x")))
	}
	must(t, b.Delete(ctx))
	must(t, b.Delete(ctx, keys[0]))
	must(t, b.Delete(ctx, keys[0])) // again
	must(t, b.Delete(ctx, "never/was"))
	must(t, b.Delete(ctx, keys[0], keys[1], keys[2], "never/was", keys[3]))
	if got := listed(t, b, "d/"); !slices.Equal(got, keys[4:]) {
		t.Fatalf("left: %q, want %q", got, keys[4:])
	}
	must(t, b.Put(ctx, keys[0], []byte("back")))
	wantObject(t, b, keys[0], []byte("back"))
}

func testList(t *testing.T, b objstore.Bucket) {
	keys := []string{"a", "a-b/c", "b/1", "b/10", "b/2/x", "b/2/y", "b0", "c/d/e/f"}
	for _, k := range keys {
		must(t, b.Put(ctx, k, []byte(k)))
	}
	for _, prefix := range []string{"", "a", "a-", "a-b/", "b", "b/", "b/1", "b/2/", "b/2/y", "c/d", "x", "b/2/y/z"} {
		want := []string{}
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		if got := listed(t, b, prefix); !slices.Equal(got, want) {
			t.Fatalf("prefix %q: %q, want %q", prefix, got, want)
		}
	}
	stop := errors.New("enough")
	n := 0
	err := b.List(ctx, "", func(i objstore.Info) error {
		if i.Size != int64(len(i.Key)) || i.Modified.IsZero() {
			t.Fatalf("%+v, want %d bytes and a time", i, len(i.Key))
		}
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if err != stop || n != 3 {
		t.Fatalf("stopped after %d with %v", n, err)
	}
}

// many runs fn for 0..n-1, eight at a time.
func many(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(8)
	for i := range n {
		group.Go(func() error { return fn(i) })
	}
	must(t, group.Wait())
}

// morePages is more than a page of any listing.
const morePages = 1100

func testListPages(t *testing.T, b objstore.Bucket) {
	want := make([]string, morePages)
	many(t, morePages, func(i int) error {
		want[i] = fmt.Sprintf("p/%05d", i)
		return b.Put(ctx, want[i], nil)
	})
	if got := listed(t, b, "p/"); !slices.Equal(got, want) {
		t.Fatalf("%d keys listed, want %d", len(got), len(want))
	}
	must(t, b.Delete(ctx, want...)) // more than one batch
	if got := listed(t, b, ""); len(got) != 0 {
		t.Fatalf("%d keys left", len(got))
	}
}

func testListUploadsPages(t *testing.T, b objstore.Bucket) {
	ids := make([]string, morePages)
	many(t, morePages, func(i int) (err error) {
		ids[i], err = b.CreateUpload(ctx, fmt.Sprintf("p/%d", i))
		return err
	})
	found := map[string]bool{}
	must(t, b.ListUploads(ctx, "", func(u objstore.Upload) error {
		found[u.ID] = true
		return nil
	}))
	if len(found) != morePages {
		t.Fatalf("%d uploads listed, want %d", len(found), morePages)
	}
	many(t, morePages, func(i int) error { return b.AbortUpload(ctx, fmt.Sprintf("p/%d", i), ids[i]) })
}

func testKeys(t *testing.T, b objstore.Bucket) {
	for _, key := range []string{"_ringmq/cluster.json", "with space/ü", "plus+and&amp", "per%cent", "q?uery#hash", "a=b:c@d", strings.Repeat("k", 255)} {
		must(t, b.Put(ctx, key, []byte(key)))
		wantObject(t, b, key, []byte(key))
		if got := listed(t, b, key); !slices.Equal(got, []string{key}) {
			t.Fatalf("listed %q, want %q", got, key)
		}
		must(t, b.Delete(ctx, key, "other"))
	}
	for _, key := range []string{"", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\\b", "a\x00b", "a\nb", "\xff", strings.Repeat("k", 256), strings.Repeat("kk/", 400) + "k"} {
		wantErr(t, b.Put(ctx, key, nil), objstore.ErrInvalid)
		wantErr(t, b.GetRange(ctx, key, 0, make([]byte, 1)), objstore.ErrInvalid)
		wantErr(t, b.Delete(ctx, key), objstore.ErrInvalid)
		_, err := b.CreateUpload(ctx, key)
		wantErr(t, err, objstore.ErrInvalid)
	}
}

func testCancelled(t *testing.T, b objstore.Bucket) {
	c, cancel := context.WithCancel(ctx)
	cancel()
	wantErr(t, b.Put(c, "k", []byte("x")), context.Canceled)
	wantErr(t, b.GetRange(c, "k", 0, make([]byte, 1)), context.Canceled)
	must(t, b.Put(ctx, "k", []byte("x")))
	wantErr(t, b.List(c, "", func(objstore.Info) error { return nil }), context.Canceled)
	wantObject(t, b, "k", []byte("x"))
}

func testParallel(t *testing.T, b objstore.Bucket) {
	var wg sync.WaitGroup
	errs := make(chan error, 1000)
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				key := fmt.Sprintf("g/%d", (g+i)%5) // the same keys from all sides
				data := bytes.Repeat([]byte{byte(g)}, 5000)
				if err := b.Put(ctx, key, data); err != nil {
					errs <- err
				}
				got := make([]byte, 5000)
				err := b.GetRange(ctx, key, 0, got)
				switch {
				case err != nil && !errors.Is(err, objstore.ErrNotFound):
					errs <- err
				case err == nil && !bytes.Equal(got, bytes.Repeat(got[:1], 5000)):
					errs <- errors.New("an object is a mixture of two puts")
				}
				if i%7 == 0 {
					if err := b.Delete(ctx, key); err != nil {
						errs <- err
					}
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
}
