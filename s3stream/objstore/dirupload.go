package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// uploadDir returns the directory of an upload after checking that it is one of key.
func (d *Dir) uploadDir(key, id string) (string, error) {
	dir := filepath.Join(d.root, dirUploads, id)
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: upload %q of %s in %s", ErrNotFound, id, key, d.Name())
	}
	got, err := os.ReadFile(filepath.Join(dir, "key"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(got) != key {
		return "", fmt.Errorf("%w: upload %s of %s in %s", ErrNotFound, id, key, d.Name())
	}
	if err != nil {
		return "", d.fail("open upload", key, err)
	}
	return dir, nil
}

// CreateUpload implements Bucket.
func (d *Dir) CreateUpload(ctx context.Context, key string) (string, error) {
	if err := checkKey(ctx, key); err != nil {
		return "", err
	}
	id := randomName()
	path := filepath.Join(d.root, dirUploads, id, "key")
	err := d.writeFile(path, os.Rename, false, func(f *os.File) error {
		_, err := f.WriteString(key)
		return err
	})
	if err != nil {
		return "", d.fail("create upload", key, err)
	}
	return id, nil
}

// UploadPart implements Bucket.
func (d *Dir) UploadPart(ctx context.Context, key, uploadID string, number int, data ...[]byte) (Part, error) {
	if err := checkPart(ctx, key, number, Size(data)); err != nil {
		return Part{}, err
	}
	dir, err := d.uploadDir(key, uploadID)
	if err != nil {
		return Part{}, err
	}
	p := dirPart{number: number, size: Size(data)}
	name := p.newName()
	if err := d.writeFile(filepath.Join(dir, name), os.Rename, false, func(f *os.File) error { return writeSlices(ctx, f, data) }); err != nil {
		return Part{}, d.fail("upload part", key, err)
	}
	return Part{Number: number, Size: p.size, ETag: name}, nil
}

// CopyPart implements Bucket.
func (d *Dir) CopyPart(ctx context.Context, key, uploadID string, number int, src string, off, n int64) (Part, error) {
	if err := checkPart(ctx, key, number, n); err != nil {
		return Part{}, err
	}
	if err := checkKey(ctx, src); err != nil {
		return Part{}, err
	}
	dir, err := d.uploadDir(key, uploadID)
	if err != nil {
		return Part{}, err
	}
	info, err := d.Head(ctx, src)
	if err != nil {
		return Part{}, err
	}
	if err := checkRange(src, off, n, info.Size); err != nil {
		return Part{}, err
	}
	p := dirPart{number: number, off: off, size: n}
	name := p.newName()
	// The link keeps the bytes even when src is deleted or replaced: objects never change in place.
	if err := os.Link(d.object(src), filepath.Join(dir, name)); err != nil {
		return Part{}, d.fail("copy part", src, err)
	}
	return Part{Number: number, Size: n, ETag: name}, nil
}

// dirPart is a part as its file name tells: "<number>-<off>-<size>-<random>". The part's bytes are [off, off+size) of the file.
type dirPart struct {
	number    int
	off, size int64
}

func (p dirPart) newName() string {
	return fmt.Sprintf("%d-%d-%d-%s", p.number, p.off, p.size, randomName())
}

func parseDirPart(name string) (p dirPart, ok bool) {
	f := strings.Split(name, "-")
	if len(f) != 4 || strings.ContainsAny(name, "/.") {
		return p, false
	}
	var errs [3]error
	p.number, errs[0] = strconv.Atoi(f[0])
	p.off, errs[1] = strconv.ParseInt(f[1], 10, 64)
	p.size, errs[2] = strconv.ParseInt(f[2], 10, 64)
	return p, errors.Join(errs[:]...) == nil
}

// CompleteUpload implements Bucket.
func (d *Dir) CompleteUpload(ctx context.Context, key, uploadID string, parts []Part) error {
	if err := checkComplete(ctx, key, parts); err != nil {
		return err
	}
	dir, err := d.uploadDir(key, uploadID)
	if err != nil {
		return err
	}
	for i, part := range parts {
		p, ok := parseDirPart(part.ETag)
		if !ok || p.number != part.Number {
			return fmt.Errorf("%w: part %d of upload %s of %s is not there or another one", ErrInvalid, part.Number, uploadID, key)
		}
		if p.size < MinPartBytes && i < len(parts)-1 {
			return fmt.Errorf("%w: part %d of %s has %d bytes, want at least %d", ErrInvalid, part.Number, key, p.size, MinPartBytes)
		}
	}
	err = d.writeFile(d.object(key), os.Rename, true, func(f *os.File) error {
		for _, part := range parts {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := appendPart(f, filepath.Join(dir, part.ETag)); err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("%w: part %d of upload %s of %s is not there", ErrInvalid, part.Number, uploadID, key)
				}
				return err
			}
		}
		return nil
	})
	if err != nil {
		return d.fail("complete upload", key, err)
	}
	return d.AbortUpload(ctx, key, uploadID) // the object is there; what remains is rubbish
}

// appendPart copies a part behind what f holds. ReadFrom between files is copy_file_range, which shares blocks where the file system can.
func appendPart(f *os.File, path string) error {
	p, _ := parseDirPart(filepath.Base(path))
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if _, err := src.Seek(p.off, io.SeekStart); err != nil {
		return err
	}
	n, err := f.ReadFrom(&io.LimitedReader{R: src, N: p.size})
	if err == nil && n != p.size {
		err = fmt.Errorf("%w: a part has %d bytes, want %d", ErrChecksum, n, p.size)
	}
	return err
}

// AbortUpload implements Bucket.
func (d *Dir) AbortUpload(ctx context.Context, key, uploadID string) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	dir, err := d.uploadDir(key, uploadID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// The key goes last: until then the upload is listed and can be aborted again.
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.fail("abort upload", key, err)
	}
	for _, e := range entries {
		if e.Name() != "key" {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return d.fail("abort upload", key, err)
			}
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return d.fail("abort upload", key, err)
	}
	return nil
}

// ListUploads implements Bucket.
func (d *Dir) ListUploads(ctx context.Context, prefix string, fn func(Upload) error) error {
	entries, err := os.ReadDir(filepath.Join(d.root, dirUploads))
	if err != nil {
		return d.fail("list uploads", prefix, err)
	}
	var found []Upload
	for _, e := range entries {
		path := filepath.Join(d.root, dirUploads, e.Name(), "key")
		key, err := os.ReadFile(path)
		if err != nil {
			continue // finished meanwhile
		}
		if info, err := os.Stat(path); err == nil && strings.HasPrefix(string(key), prefix) {
			found = append(found, Upload{Key: string(key), ID: e.Name(), Initiated: info.ModTime()})
		}
	}
	sort.Slice(found, func(i, j int) bool {
		return found[i].Key < found[j].Key || found[i].Key == found[j].Key && found[i].ID < found[j].ID
	})
	for _, u := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(u); err != nil {
			return err
		}
	}
	return nil
}

// maxVector is how many slices one system call takes (IOV_MAX), and maxVectorBytes how many bytes, so that a cancel takes effect.
const (
	maxVector      = 1024
	maxVectorBytes = 1 << 20
)

// writeSlices writes data at the file's position, many slices per system call.
func writeSlices(ctx context.Context, f *os.File, data [][]byte) error {
	var vec [][]byte
	var bytes int
	flush := func() error {
		if err := Pace(ctx, bytes); err != nil {
			return err
		}
		for bytes > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := unix.Writev(int(f.Fd()), vec)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			bytes -= n
			for n > 0 && n >= len(vec[0]) {
				n, vec = n-len(vec[0]), vec[1:]
			}
			if n > 0 {
				vec[0] = vec[0][n:]
			}
		}
		vec = vec[:0]
		return nil
	}
	for _, b := range data {
		for len(b) > 0 {
			n := min(len(b), maxVectorBytes)
			vec, bytes = append(vec, b[:n:n]), bytes+n
			b = b[n:]
			if len(vec) == maxVector || bytes >= maxVectorBytes {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}
