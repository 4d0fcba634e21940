package objstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

func newDir(t testing.TB) (*objstore.Dir, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "bucket")
	d, err := objstore.NewDir(root)
	if err != nil {
		t.Fatal(err)
	}
	return d, root
}

func files(t *testing.T, root string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, path[len(root)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDirLeavesNothing: neither finished nor failed operations leave files or directories behind.
func TestDirLeavesNothing(t *testing.T) {
	d, root := newDir(t)
	data := s3test.Random(1, objstore.MinPartBytes)
	if err := errors.Join(d.Put(ctx, "a/b/c", data), d.Put(ctx, "a/b/d", data)); err != nil {
		t.Fatal(err)
	}
	id, err := d.CreateUpload(ctx, "a/big")
	if err != nil {
		t.Fatal(err)
	}
	p1, err1 := d.UploadPart(ctx, "a/big", id, 1, data)
	p2, err2 := d.CopyPart(ctx, "a/big", id, 2, "a/b/c", 1, 100)
	if err := errors.Join(err1, err2, d.CompleteUpload(ctx, "a/big", id, []objstore.Part{p1, p2})); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(ctx, "a/big", data); !errors.Is(err, objstore.ErrExists) {
		t.Fatal(err)
	}
	if err := d.Put(ctx, "a/big/below", data); !errors.Is(err, objstore.ErrInvalid) {
		t.Fatalf("a key below an object: %v, want ErrInvalid", err)
	}
	if err := d.Put(ctx, "a/b", data); !errors.Is(err, objstore.ErrInvalid) && !errors.Is(err, objstore.ErrExists) {
		t.Fatalf("a key above an object: %v, want ErrInvalid", err)
	}
	if err := d.GetRange(ctx, "a/big/below", 0, make([]byte, 1)); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("%v, want ErrNotFound", err)
	}
	if got := files(t, root); len(got) != 3 {
		t.Fatalf("files %q, want the three objects", got)
	}
	if err := d.Delete(ctx, "a/b/c", "a/b/d", "a/big"); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(root, "objects"))
	if err != nil || len(left) != 0 {
		t.Fatalf("%d directories left, %v", len(left), err)
	}
}

// TestDirStale: what a crash left under tmp goes away after a day and not before; an upload that it cut off is still listed.
func TestDirStale(t *testing.T) {
	d, root := newDir(t)
	id, err := d.CreateUpload(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fresh", "stale"} {
		if err := os.WriteFile(filepath.Join(root, "tmp", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-objstore.StaleTemp - time.Minute)
	if err := os.Chtimes(filepath.Join(root, "tmp", "stale"), old, old); err != nil {
		t.Fatal(err)
	}
	if d, err = objstore.NewDir(root); err != nil {
		t.Fatal(err)
	}
	if got := files(t, filepath.Join(root, "tmp")); len(got) != 1 || got[0] != "fresh" {
		t.Fatalf("temporary files %q, want fresh", got)
	}
	var found []string
	if err := d.ListUploads(ctx, "", func(u objstore.Upload) error { found = append(found, u.ID); return nil }); err != nil || len(found) != 1 || found[0] != id {
		t.Fatalf("uploads %q, %v", found, err)
	}
}

// TestDirEscape: neither keys nor upload ids nor ETags lead out of the directory.
func TestDirEscape(t *testing.T) {
	d, root := newDir(t)
	if err := os.WriteFile(filepath.Join(root, "..", "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := d.CreateUpload(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, etag := range []string{"", "key", "../../../secret", "1-0-1-../../../../secret", "1-0-1-x/../../../secret"} {
		err := d.CompleteUpload(ctx, "k", id, []objstore.Part{{Number: 1, Size: 1, ETag: etag}})
		if !errors.Is(err, objstore.ErrInvalid) {
			t.Fatalf("ETag %q: %v, want ErrInvalid", etag, err)
		}
	}
	for _, upload := range []string{"", "..", "../objects", id + "/", "../uploads/" + id} {
		if _, err := d.UploadPart(ctx, "k", upload, 1, []byte("x")); !errors.Is(err, objstore.ErrNotFound) {
			t.Fatalf("upload %q: %v, want ErrNotFound", upload, err)
		}
	}
	if err := d.AbortUpload(ctx, "k", ".."); err != nil {
		t.Fatal(err)
	}
	if got := files(t, root); len(got) != 1 {
		t.Fatalf("files %q, want the key of the upload", got)
	}
}

// TestDirDeleteRace: puts succeed while deletes remove the directories that become empty.
func TestDirDeleteRace(t *testing.T) {
	d, _ := newDir(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				key := fmt.Sprintf("x/y/%d", g)
				data := []byte{byte(i)}
				got := make([]byte, 1)
				if err := errors.Join(d.Put(ctx, key, data), d.GetRange(ctx, key, 0, got), d.Delete(ctx, key)); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s: %v", key, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDirErrors(t *testing.T) {
	d, root := newDir(t)
	for _, c := range []struct {
		err, want error
	}{
		{syscall.ENOSPC, objstore.ErrNoSpace}, {syscall.EDQUOT, objstore.ErrNoSpace}, {syscall.EACCES, objstore.ErrAccessDenied},
		{syscall.EROFS, objstore.ErrAccessDenied}, {syscall.EIO, objstore.ErrUnavailable}, {syscall.EMFILE, objstore.ErrUnavailable},
		{syscall.ENOENT, objstore.ErrNotFound}, {syscall.ENAMETOOLONG, objstore.ErrInvalid},
	} {
		if err := d.Fail("put", "k", &fs.PathError{Op: "write", Path: "p", Err: c.err}); !errors.Is(err, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%v becomes %v, want %v", c.err, err, c.want)
		}
	}
	if _, err := objstore.NewDir(filepath.Join(root, "no", "such")); !errors.Is(err, objstore.ErrNoSuchBucket) {
		t.Fatalf("parent missing: %v, want ErrNoSuchBucket", err)
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := objstore.NewDir(filepath.Join(root, "file")); !errors.Is(err, objstore.ErrInvalid) {
		t.Fatalf("a file in place of the directory: %v", err)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Head(ctx, "k"); !errors.Is(err, objstore.ErrNoSuchBucket) {
		t.Fatalf("directory gone: %v, want ErrNoSuchBucket", err)
	}
	if err := objstore.CheckReady(ctx, d); !errors.Is(err, objstore.ErrNoSuchBucket) {
		t.Fatalf("directory gone: %v", err)
	}
}

func TestReadyDir(t *testing.T) {
	d, root := newDir(t)
	if err := objstore.CheckReady(ctx, d); err != nil {
		t.Fatal(err)
	}
	if got := files(t, root); len(got) != 0 {
		t.Fatalf("the probe left %q", got)
	}
}
