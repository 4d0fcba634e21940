package objstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// List implements Bucket.
func (d *Dir) List(ctx context.Context, prefix string, fn func(Info) error) error {
	// The walk starts in the deepest directory that the prefix names.
	start := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = prefix[:i+1]
		if checkKey(ctx, prefix[:i]) != nil {
			return ctx.Err() // no object has such a key
		}
	}
	return d.walk(ctx, start, prefix, fn)
}

// walk lists the directory of the keys that begin with dir, which is empty or ends in a slash.
func (d *Dir) walk(ctx context.Context, dir, prefix string, fn func(Info) error) error {
	entries, err := os.ReadDir(filepath.Join(d.root, dirObjects, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(d.root); statErr == nil {
			return nil // deleted meanwhile, or never there
		}
	}
	if err != nil {
		if info, statErr := os.Stat(filepath.Join(d.root, dirObjects, filepath.FromSlash(dir))); statErr == nil && !info.IsDir() {
			return nil
		}
		return d.fail("list", dir, err)
	}
	// Keys are ordered by bytes, and a directory's keys go on with a slash.
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = dir + e.Name()
		if e.IsDir() {
			keys[i] += "/"
		}
	}
	sort.Strings(keys)
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		isDir := strings.HasSuffix(key, "/")
		if !strings.HasPrefix(key, prefix) && !(isDir && strings.HasPrefix(prefix, key)) {
			continue
		}
		if isDir {
			if err := d.walk(ctx, key, prefix, fn); err != nil {
				return err
			}
			continue
		}
		info, err := os.Stat(d.object(key))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return d.fail("list", key, err)
		}
		if err := fn(Info{Key: key, Size: info.Size(), Modified: info.ModTime()}); err != nil {
			return err
		}
	}
	return nil
}
