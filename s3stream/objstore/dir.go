package objstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Dir is a Bucket in a local directory, for a single node:
//
//	objects/<key>              finished objects
//	uploads/<id>/key           the key of a multipart upload, and its start as time of modification
//	uploads/<id>/<part>        its parts; a copied part is a hard link to its source, which is copied only once, at completion
//	tmp/<random>               files being written
//
// A file is written under tmp, synced and renamed, and the directories are synced: what Put returned nil for survives a power cut,
// and what was cut off is never visible. Temporary files of a crash are removed after a day.
type Dir struct {
	root string
}

const (
	dirObjects = "objects"
	dirUploads = "uploads"
	dirTemp    = "tmp"

	// staleTemp is the age after which a temporary file cannot belong to a running operation.
	staleTemp = 24 * time.Hour
)

// NewDir opens the bucket in directory root, and creates it if its parent exists.
func NewDir(root string) (*Dir, error) {
	if root == "" {
		return nil, fmt.Errorf("%w: the bucket URI names no directory", ErrInvalid)
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("%w: directory %q: %w", ErrInvalid, root, err)
	}
	d := &Dir{root: root}
	if err := os.Mkdir(root, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s: its parent directory does not exist (the first start of a node makes its log.dirs, nothing else)", ErrNoSuchBucket, d.Name())
		}
		return nil, d.fail("create", "", err)
	}
	for _, sub := range []string{dirObjects, dirUploads, dirTemp} {
		if err := d.makeDir(filepath.Join(root, sub)); err != nil {
			return nil, d.fail("create", "", err)
		}
	}
	if err := syncDir(filepath.Dir(root)); err != nil && !errors.Is(err, fs.ErrPermission) { // a parent that is not ours may be closed to us
		return nil, d.fail("sync parent of", "", err)
	}
	return d, d.removeStale()
}

func (d *Dir) removeStale() error {
	entries, err := os.ReadDir(filepath.Join(d.root, dirTemp))
	if err != nil {
		return d.fail("list temporary files", "", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleTemp {
			// What cannot be removed is garbage, not a reason to refuse work.
			_ = os.Remove(filepath.Join(d.root, dirTemp, e.Name()))
		}
	}
	return nil
}

// PutBytes implements PutPreferrer: the parts of a multipart upload are copied once more when it is completed.
func (d *Dir) PutBytes() int64 { return 1 << 30 }

// Name implements Bucket.
func (d *Dir) Name() string { return "file://" + d.root }

func (d *Dir) object(key string) string {
	return filepath.Join(d.root, dirObjects, filepath.FromSlash(key))
}

// Put implements Bucket.
func (d *Dir) Put(ctx context.Context, key string, data ...[]byte) error {
	return d.put(ctx, key, data, os.Rename)
}

// Create implements Bucket.
func (d *Dir) Create(ctx context.Context, key string, data ...[]byte) error {
	return d.put(ctx, key, data, func(from, to string) error {
		if err := os.Link(from, to); err != nil { // fails when to exists, unlike a rename
			return err
		}
		return os.Remove(from)
	})
}

func (d *Dir) put(ctx context.Context, key string, data [][]byte, move func(from, to string) error) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	err := d.writeFile(d.object(key), move, true, func(f *os.File) error { return writeWhole(ctx, f, data) })
	if err != nil {
		return d.fail("put", key, err)
	}
	return nil
}

// writeFile makes the file path atomically out of what fill writes. durable syncs it and the directories above it.
func (d *Dir) writeFile(path string, move func(from, to string) error, durable bool, fill func(*os.File) error) error {
	f, err := os.OpenFile(filepath.Join(d.root, dirTemp, randomName()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the move, as it should
	err = fill(f)
	if err == nil && durable {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	// A concurrent Delete removes directories that it left empty, perhaps the one just made: then make it again.
	for try := 0; ; try++ {
		if err = d.makeDir(filepath.Dir(path)); err == nil {
			err = move(f.Name(), path)
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 100 {
			break
		}
	}
	if err != nil || !durable {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// makeDir creates a directory below root, with its parents, durably.
func (d *Dir) makeDir(path string) error {
	err := os.Mkdir(path, 0o750)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(path))
	case errors.Is(err, fs.ErrExist):
		if info, statErr := os.Stat(path); statErr == nil && !info.IsDir() {
			return syscall.ENOTDIR
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist) || len(path) <= len(d.root):
		return err
	}
	if err := d.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// GetRange implements Bucket.
func (d *Dir) GetRange(ctx context.Context, key string, off int64, dst []byte) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	f, info, err := d.open(key)
	if err != nil {
		return d.fail("get", key, err)
	}
	defer f.Close()
	if err := checkRange(key, off, int64(len(dst)), info.Size()); err != nil {
		return err
	}
	if _, err := f.ReadAt(dst, off); err != nil && (err != io.EOF || len(dst) > 0) {
		return d.fail("get", key, err)
	}
	return nil
}

// open opens an object for reading.
func (d *Dir) open(key string) (*os.File, os.FileInfo, error) {
	f, err := os.Open(d.object(key))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist // a directory: the prefix of other keys
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Head implements Bucket.
func (d *Dir) Head(ctx context.Context, key string) (Info, error) {
	if err := checkKey(ctx, key); err != nil {
		return Info{}, err
	}
	info, err := os.Stat(d.object(key))
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, d.fail("head", key, err)
	}
	return Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Delete implements Bucket.
func (d *Dir) Delete(ctx context.Context, keys ...string) error {
	for _, k := range keys {
		if err := checkKey(ctx, k); err != nil {
			return err
		}
	}
	top := filepath.Join(d.root, dirObjects)
	for _, k := range keys {
		path := d.object(k)
		// unlink refuses directories, which os.Remove would not.
		err := syscall.Unlink(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && err != syscall.ENOTDIR && err != syscall.EISDIR {
			return d.fail("delete", k, err)
		}
		for dir := filepath.Dir(path); dir != top && syscall.Rmdir(dir) == nil; dir = filepath.Dir(dir) {
		}
	}
	return nil
}

func randomName() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// fail classifies an error of the file system.
func (d *Dir) fail(op, key string, err error) error {
	var sentinel error
	switch {
	case classified(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		sentinel = ErrNotFound
		if _, statErr := os.Stat(d.root); errors.Is(statErr, fs.ErrNotExist) {
			sentinel = ErrNoSuchBucket
		}
	case errors.Is(err, fs.ErrExist):
		sentinel = ErrExists
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		sentinel = ErrAccessDenied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		sentinel = ErrNoSpace
	case errors.Is(err, syscall.ENOTDIR) && (op == "get" || op == "head" || op == "list" || op == "copy part"):
		sentinel = ErrNotFound // a part of the key is an object
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ENOTEMPTY):
		sentinel = ErrInvalid
	default:
		sentinel = ErrUnavailable
	}
	return fmt.Errorf("%w: %w (%s %s in %s)", sentinel, err, op, key, d.Name())
}
