package wal

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// resizeWait is how long Resize waits for a holder of the target to go.
const resizeWait = time.Second

// Resized is what Resize did.
type Resized struct {
	Before, After int64 // bytes that the log used of the file, and that it will use
	Records       int64 // in the log; all of them stay
	// Wrapped says that the records lie around the ring's end. Then the log uses the new space from the next opening that finds them trimmed so far
	// that they do not, otherwise from the next opening on.
	Wrapped bool
}

// Resize changes the capacity of a log in a file that nobody has open, to capacity bytes, headers included. A crash at any point is harmless:
// the log is then whole, with its old or its new capacity, and the call may be made again.
//
// A file grows with everything that is in it: the new space is allocated and filled with zeroes, and the opening adopts it (see Log.grow). It
// shrinks only while no record is in it, since records may lie anywhere in the ring. Errors: ErrBusy, ErrForeign, ErrCorrupt, ErrNotEmpty, and
// what the operating system says.
func Resize(ctx context.Context, path string, capacity int64) (Resized, error) {
	if capacity < minCapacity || capacity%pageBytes != 0 {
		return Resized{}, fmt.Errorf("wal: resize to %d bytes, want a multiple of %d and at least %d", capacity, pageBytes, minCapacity)
	}
	d, err := openFile(path, resizeWait, SyncDSync)
	if err != nil {
		return Resized{}, err
	}
	defer d.Close()
	if d.block {
		return Resized{}, fmt.Errorf("wal: %s is a block device, which a log uses whole: resize the device; the next start takes new space into use", path)
	}
	s, end, records, err := judge(ctx, d)
	if err != nil {
		return Resized{}, err
	}
	r := Resized{Before: s.Capacity, After: capacity, Records: records, Wrapped: capacity > s.Capacity && !s.straight(end)}
	if capacity < s.Capacity {
		if end > s.Trim {
			return Resized{}, fmt.Errorf("%w: %s holds %d records in %d bytes, and only an empty log can shrink; a clean stop of its node uploads them", ErrNotEmpty, path,
				records, end-s.Trim)
		}
		if err := shrinkLog(d, s, capacity); err != nil {
			return Resized{}, err
		}
	}
	if capacity < d.size {
		return r, cutFile(d, capacity)
	}
	return r, growFile(d, s.Capacity, capacity)
}

// cutFile gives back what the log does not use. Should it not happen, the next opening takes the rest of the file into use again.
func cutFile(d *fileDevice, to int64) error {
	if err := unix.Ftruncate(d.fd, to); err != nil {
		return fmt.Errorf("wal: truncate %s to %d bytes: %w", d.path, to, err)
	}
	if err := unix.Fsync(d.fd); err != nil {
		return fmt.Errorf("wal: sync %s: %w", d.path, err)
	}
	return nil
}

// judge reads a log as Recover would and returns where it ends.
func judge(ctx context.Context, d *fileDevice) (s superblock, end Position, records int64, err error) {
	s, faults, err := loadSuperblocks(d)
	if err != nil {
		return s, 0, 0, err
	}
	if faults[0] != nil && faults[1] != nil {
		found, err := inventory(d)
		if err == nil {
			if found == "" {
				found = "zeroes, but no superblock"
			}
			err = &ForeignError{Path: d.path, Found: found}
		}
		return s, 0, 0, err
	}
	sc, err := newScanner(d, &s, readBytes)
	if err != nil {
		return s, 0, 0, err
	}
	defer sc.r.close()
	m := &recoveryMemory{pool: newPool(0, func() {})}
	defer m.close()
	end, err = sc.walk(ctx, m.get, func(h header, _ []byte) error {
		records += int64(h.Records)
		return nil
	})
	if err == nil {
		err = sc.judgeEnd(end)
	}
	return s, end, records, err
}

// growFile makes the file larger, all of the new part written. Until the opening adopts it, the log does not know of it.
func growFile(d *fileDevice, from, to int64) error {
	before := d.size
	err := unix.Fallocate(d.fd, 0, 0, to)
	if err == nil || err == unix.EOPNOTSUPP {
		err = zeroFill(d, from, to)
	}
	if err == nil {
		err = unix.Fsync(d.fd)
	}
	if err != nil {
		_ = unix.Ftruncate(d.fd, before) // what could be allocated
		return fmt.Errorf("wal: grow %s to %d bytes: %w", d.path, to, err)
	}
	d.size = to
	return nil
}

// shrinkLog makes an empty log use less of its target. What blocks lie there cannot be taken for current: they carry an earlier generation, and
// positions below the trim.
func shrinkLog(d Device, s superblock, capacity int64) error {
	if s.Generation == ^uint32(0) {
		return fmt.Errorf("wal: generation %d is the last one, format the log anew", s.Generation)
	}
	if err := d.Flush(); err != nil {
		return fmt.Errorf("wal: flush: %w", err)
	}
	page, err := alloc(pageBytes)
	if err != nil {
		return err
	}
	defer release(page)
	s.Generation++
	s.Base, s.GenStart, s.Durable, s.Clean, s.Capacity = s.Trim, s.Trim, s.Trim, true, capacity
	return writeSuperblocks(d, &s, page)
}

// straight says whether the blocks of [trim, end) lie on the target one behind the other, not around the ring's end.
func (s *superblock) straight(end Position) bool { return int64(end-s.Trim) <= s.room(s.Trim) }

// grow takes a target that has become larger into use, if the blocks lie straight. They stay where they are: with base at the start of the trim's
// round of the ring, a position p from trim to end lies at 128 KiB + p - base, whatever the size of the ring. Either superblock alone, the old or
// the new one, leads to the same blocks.
//
// Example: a ring of 100 pages, base 0, trim 230 and end 260 lie at pages 30 to 60. With base 200 and a ring of 150 pages they still do, and position
// 340 goes to page 140.
func (l *Log) grow(s *superblock, end Position) {
	size := l.dev.Size() &^ (pageBytes - 1)
	if size <= s.Capacity {
		return
	}
	if !s.straight(end) {
		l.log.Warn("wal: the target has grown; the new space is taken into use by an opening that finds no records around the ring's end", "path", l.opts.Path,
			"capacity", s.Capacity, "target", size)
		return
	}
	if f, ok := l.dev.(*fileDevice); ok && !f.block {
		// Of a file that was only extended, or whose growth was interrupted, the space may not be there.
		if err := unix.Fallocate(f.fd, 0, 0, size); err != nil && err != unix.EOPNOTSUPP {
			l.log.Warn("wal: the file has grown, but its space cannot be allocated; the old capacity is used", "path", l.opts.Path, "capacity", s.Capacity,
				"file", size, "cause", err)
			return
		}
	}
	l.log.Info("wal: the target has grown", "path", l.opts.Path, "capacity", s.Capacity, "target", size)
	s.Base, s.Capacity = s.Trim-Position(s.ring()-s.room(s.Trim)), size
}
