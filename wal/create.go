package wal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Format creates an empty log at o.Path. A file is written anew, full of zeroes from end to end, beside the old one and renamed over it; of a block device
// the first MiB is overwritten. Whatever the target holds is lost when force is set; without it only an absent or empty file or a
// blank device is formatted, and anything else is refused with a ForeignError. A target in use is always refused.
//
// Then the ways to make writes durable are measured, in less than 100 ms, unless o.Sync names one, and the target remembers which to use.
func Format(o Options, force bool) error {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return err
	}
	if o.Device != nil {
		return formatDevice(o.Device, "device", o, force)
	}
	if err := formatPath(o, force); err != nil {
		return err
	}
	return rememberSync(o)
}

func formatPath(o Options, force bool) error {
	st, err := os.Stat(o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return createFile(o, true)
	}
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	if st.Mode().IsRegular() && st.Size() == 0 {
		return createFile(o, true)
	}
	d, err := openFile(o.Path, o.lockWait, SyncDSync)
	if err != nil {
		return err
	}
	defer d.Close()
	if d.block {
		return formatDevice(d, o.Path, o, force)
	}
	if !force {
		found, err := inventory(d)
		if err != nil {
			return err
		}
		if found == "" {
			found = "zeroes, but no superblock"
		}
		return &ForeignError{Path: o.Path, Found: found}
	}
	return createFile(o, true)
}

// inventory says what a target holds, "" when it is blank.
func inventory(d Device) (string, error) {
	n := min(d.Size(), probeBytes)
	if n < pageBytes {
		return fmt.Sprintf("only %d bytes", d.Size()), nil
	}
	buf, err := alloc(int(n))
	if err != nil {
		return "", err
	}
	defer release(buf)
	if _, err := d.ReadAt(buf, 0); err != nil {
		return "", fmt.Errorf("wal: read the first %d bytes: %w", n, err)
	}
	var copies [2]error
	for slot := range copies {
		at := slot * slotStride
		if at+pageBytes > len(buf) {
			copies[slot] = errNoMagic
			continue
		}
		s, err := decodeSuperblock(buf[at:], uint32(slot), d.Size())
		if err == nil {
			return fmt.Sprintf("the write-ahead log of cluster %q, node %d", s.ClusterID, s.NodeID), nil
		}
		copies[slot] = err
	}
	if copies[0] != errNoMagic || copies[1] != errNoMagic {
		return fmt.Sprintf("a damaged write-ahead log (slot 0: %v; slot 1: %v)", copies[0], copies[1]), nil
	}
	tail, err := alloc(pageBytes)
	if err != nil {
		return "", err
	}
	defer release(tail)
	if _, err := d.ReadAt(tail, d.Size()-pageBytes); err != nil {
		return "", fmt.Errorf("wal: read the last page: %w", err)
	}
	return identify(buf, tail), nil
}

// formatDevice writes superblocks over a device. Old blocks need not be erased: they carry another log's id.
func formatDevice(d Device, path string, o Options, force bool) error {
	if d.Size() < minCapacity {
		return fmt.Errorf("wal: %s has %d bytes, want at least %d", path, d.Size(), minCapacity)
	}
	found, err := inventory(d)
	if err != nil {
		return err
	}
	if found != "" && !force {
		return &ForeignError{Path: path, Found: found}
	}
	n := int(min(d.Size(), probeBytes))
	buf, err := alloc(n)
	if err != nil {
		return err
	}
	defer release(buf)
	if found != "" {
		// A GPT backup would bring the partition table back.
		if err := writeFull(d, buf[:pageBytes], d.Size()-pageBytes); err != nil {
			return err
		}
	}
	if err := writeFull(d, buf, 0); err != nil {
		return err
	}
	s := newSuperblock(o, d.Size())
	return writeSuperblocks(d, &s, buf[:pageBytes])
}

func newSuperblock(o Options, capacity int64) superblock {
	s := superblock{
		Capacity:  capacity &^ (pageBytes - 1),
		Clean:     true,
		NodeEpoch: o.NodeEpoch,
		NodeID:    o.NodeID,
		ClusterID: o.ClusterID,
	}
	_, _ = rand.Read(s.UUID[:]) // never fails
	s.UUID[6] = s.UUID[6]&0x0f | 0x40
	s.UUID[8] = s.UUID[8]&0x3f | 0x80
	return s
}

// writeSuperblocks writes both copies, one after the other, and advances the sequence. page is scratch, off the Go heap.
func writeSuperblocks(d Device, s *superblock, page []byte) error {
	for range 2 {
		s.Sequence++
		s.Slot = uint32(s.Sequence % 2)
		s.encode(page)
		if err := writeFull(d, page[:pageBytes], int64(s.Slot)*slotStride); err != nil {
			return err
		}
	}
	return nil
}

func writeFull(d Device, p []byte, off int64) error {
	n, err := d.WriteAt(p, off)
	if err == nil && n < len(p) {
		err = fmt.Errorf("short write, %d bytes", n)
	}
	if err != nil {
		return fmt.Errorf("wal: write %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}

// createFile makes a log file and puts it in place by a rename, so that a crash leaves either nothing or a whole file. With whole it is written
// full of zeroes, else its space is only allocated, and the preparation at its opening writes the zeroes.
func createFile(o Options, whole bool) error {
	tmp := o.Path + ".new"
	fd, err := openRetryCreate(tmp)
	if err != nil {
		return &fs.PathError{Op: "wal: create", Path: tmp, Err: err}
	}
	d := &fileDevice{path: tmp, fd: fd, size: o.CapacityBytes}
	err = func() error {
		defer d.Close()
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return fmt.Errorf("%w: %s is being created by another process", ErrBusy, tmp)
		}
		if err := unix.Ftruncate(fd, 0); err != nil {
			return fmt.Errorf("wal: truncate %s: %w", tmp, err)
		}
		if err := reserve(d, o.CapacityBytes, whole); err != nil {
			if errors.Is(err, unix.ENOSPC) {
				err = fmt.Errorf("%w: make room there, put the log elsewhere or give it a smaller capacity", err)
			}
			return fmt.Errorf("wal: create %s of %d bytes: %w", tmp, o.CapacityBytes, err)
		}
		page, err := alloc(pageBytes)
		if err != nil {
			return err
		}
		defer release(page)
		s := newSuperblock(o, o.CapacityBytes)
		if err := writeSuperblocks(d, &s, page); err != nil {
			return err
		}
		if err := unix.Fsync(fd); err != nil {
			return fmt.Errorf("wal: sync %s: %w", tmp, err)
		}
		if err := os.Rename(tmp, o.Path); err != nil {
			return fmt.Errorf("wal: %w", err)
		}
		return nil
	}()
	if err != nil {
		if !errors.Is(err, ErrBusy) {
			_ = os.Remove(tmp)
		}
		return err
	}
	if err := syncDir(filepath.Dir(o.Path)); err != nil {
		return fmt.Errorf("wal: sync directory of %s: %w", o.Path, err)
	}
	return nil
}

// openRetryCreate opens for direct writes where the file system has them; durability comes from one fsync at the end.
func openRetryCreate(path string) (int, error) {
	flags := unix.O_RDWR | unix.O_CREAT | unix.O_CLOEXEC
	for {
		fd, err := unix.Open(path, flags|unix.O_DIRECT, 0o600)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EINVAL {
			return unix.Open(path, flags, 0o600)
		}
		return fd, err
	}
}

// reserve allocates n bytes, so that the device cannot run out of space later, and writes all of them, or at least those before the ring. Where
// the file system cannot allocate without writing, all are written.
func reserve(d *fileDevice, n int64, whole bool) error {
	err := unix.Fallocate(d.fd, 0, 0, n)
	switch {
	case err == unix.EOPNOTSUPP:
		whole = true
	case err != nil:
		return fmt.Errorf("fallocate: %w", err)
	case !whole:
		// A file system that cannot tell what was not written would leave it so for good.
		d.size = n
		holes, err := d.Holes()
		if err != nil {
			return err
		}
		whole = len(holes) == 0
	}
	if whole {
		return zeroFill(d, 0, n)
	}
	return zeroFill(d, 0, ringStart)
}

// zeroFill writes zeroes to [from, to) with a few large writes at a time.
func zeroFill(d *fileDevice, from, to int64) error {
	const step, workers = 4 << 20, 4
	zeroes, err := alloc(step)
	if err != nil {
		return err
	}
	defer release(zeroes)
	var (
		next atomic.Int64
		errs [workers]error
		wg   sync.WaitGroup
	)
	next.Store(from)
	for i := range errs {
		wg.Go(func() {
			for {
				at := next.Add(step) - step
				if at >= to {
					return
				}
				if errs[i] = writeFull(d, zeroes[:min(step, to-at)], at); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}
