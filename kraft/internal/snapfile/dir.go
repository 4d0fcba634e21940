package snapfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ringmq/ringmq/kraft/image"
)

// Dir is a directory of snapshot files. Its methods may be called from any goroutine, but only one may write.
type Dir string

// ID names a snapshot.
type ID struct{ Index, Term int64 }

const (
	suffix   = ".snapshot"
	tempName = "incoming.tmp"
)

// Path is the file of a snapshot.
func (d Dir) Path(id ID) string {
	return filepath.Join(string(d), fmt.Sprintf("%020d-%020d%s", id.Index, id.Term, suffix))
}

// List returns the complete snapshots, newest first.
func (d Dir) List() ([]ID, error) {
	files, err := os.ReadDir(string(d))
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	var ids []ID
	for _, f := range files {
		var id ID
		name, ok := strings.CutSuffix(f.Name(), suffix)
		if !ok {
			continue
		}
		if n, err := fmt.Sscanf(name, "%020d-%020d", &id.Index, &id.Term); n == 2 && err == nil && d.Path(id) == filepath.Join(string(d), f.Name()) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b ID) int {
		if a.Index != b.Index {
			return int(min(1, max(-1, b.Index-a.Index)))
		}
		return int(min(1, max(-1, b.Term-a.Term)))
	})
	return ids, nil
}

// Save writes the image's snapshot and returns its size in bytes. It is durable when Save returns nil.
func (d Dir) Save(clusterID string, img *image.Image) (int64, error) {
	var size int64
	err := d.create(tempName, ID{Index: img.Offset(), Term: img.Term()}, func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if err := Write(w, clusterID, img); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		st, err := f.Stat()
		if err == nil {
			size = st.Size()
		}
		return err
	})
	return size, err
}

// Receive stores a snapshot that another node sent, after it has read as a whole and is the one that was announced.
func (d Dir) Receive(clusterID string, id ID, r io.Reader) (*image.Image, error) {
	var img *image.Image
	err := d.create("received.tmp", id, func(f *os.File) error {
		if _, err := io.Copy(f, r); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		var err error
		img, err = readAs(f, clusterID, id)
		return err
	})
	return img, err
}

// create writes a file under a temporary name with fill, then gives it its final name, durably.
func (d Dir) create(temp string, id ID, fill func(*os.File) error) (err error) {
	path := filepath.Join(string(d), temp)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("snapshot %d: %w", id.Index, err)
			os.Remove(path)
		}
	}()
	if err := fill(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(path, d.Path(id)); err != nil {
		return err
	}
	return syncDir(string(d))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Load reads a snapshot of the cluster.
func (d Dir) Load(clusterID string, id ID) (*image.Image, error) {
	f, err := os.Open(d.Path(id))
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	defer f.Close()
	return readAs(f, clusterID, id)
}

func readAs(f *os.File, clusterID string, id ID) (*image.Image, error) {
	img, m, err := Read(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if m.ClusterID != clusterID {
		return nil, fmt.Errorf("%s: %w: belongs to cluster %q, not %q", f.Name(), ErrCorrupt, m.ClusterID, clusterID)
	}
	if m.Index != id.Index || m.Term != id.Term {
		return nil, fmt.Errorf("%s: %w: is of index %d term %d, not %d and %d", f.Name(), ErrCorrupt, m.Index, m.Term, id.Index, id.Term)
	}
	return img, nil
}

// Keep removes all snapshots but the newest n, and returns the index of the oldest one kept, 0 when there are fewer than n.
func (d Dir) Keep(n int) (oldest int64, err error) {
	ids, err := d.List()
	if err != nil {
		return 0, err
	}
	if len(ids) < n {
		return 0, nil
	}
	for _, id := range ids[n:] {
		if err := os.Remove(d.Path(id)); err != nil {
			return 0, fmt.Errorf("snapshot: %w", err)
		}
	}
	return ids[n-1].Index, nil
}
