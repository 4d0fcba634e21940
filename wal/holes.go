package wal

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// holeFinder is what a Device may have beside its methods: it knows which of its space was never written.
type holeFinder interface {
	// Holes returns the ranges [start, end) that were never written and read as zeroes, in ascending order.
	Holes() ([][2]int64, error)
}

// Holes asks the file system. ext4 and xfs report extents that are allocated and not written as holes. Where a file system does not know
// (it says that everything is data), and on a block device, there are none.
func (d *fileDevice) Holes() ([][2]int64, error) {
	if d.block {
		return nil, nil
	}
	var holes [][2]int64
	for at := int64(0); at < d.size; {
		start, err := seek(d.fd, at, unix.SEEK_HOLE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("wal: %s: SEEK_HOLE from %d: %w", d.path, at, err)
		}
		if start >= d.size { // the end of a file counts as a hole
			break
		}
		end, err := seek(d.fd, start, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO):
			end = d.size
		case err != nil:
			return nil, fmt.Errorf("wal: %s: SEEK_DATA from %d: %w", d.path, start, err)
		}
		end = min(end, d.size)
		holes = append(holes, [2]int64{start, end})
		at = end
	}
	return holes, nil
}

func seek(fd int, off int64, whence int) (int64, error) {
	for {
		at, err := unix.Seek(fd, off, whence) // reads and writes name their offsets: nothing else uses the file's position
		if err != unix.EINTR {
			return at, err
		}
	}
}
