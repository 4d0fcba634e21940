package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fileDevice is a file or a raw block device, open for durable direct writes.
//
// Durable here means O_DSYNC, or RWF_DSYNC of the single write: it returns after the data, and the metadata needed to read it, are on stable storage;
// the kernel sends one FUA write or a write and a cache flush, whichever the device has. O_DIRECT keeps the page cache out of it.
//
// There is one open file for everything, so that the lock on it outlives the writes of a killed process (openFile). Since O_DSYNC cannot be changed
// later, whoever wants writes without it says so at the opening.
type fileDevice struct {
	path   string
	fd     int
	size   int64
	block  bool // a block device
	direct bool // false: the file system has no O_DIRECT; O_DSYNC alone is as durable, but slower
	rwf    bool // open without O_DSYNC: WriteAt asks for RWF_DSYNC
}

// openFile opens an existing target and locks it. The lock is bound to the open file: the kernel keeps it until the last write that a
// killed process had in flight has ended, so no write of an earlier incarnation can land after this returns. WriteAt is durable whatever the method;
// it says how blocks are going to be written.
func openFile(path string, wait time.Duration, method SyncMethod) (*fileDevice, error) {
	d := &fileDevice{path: path, direct: true, rwf: method != SyncDSync}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, &fs.PathError{Op: "wal: stat", Path: path, Err: err}
	}
	flags := unix.O_RDWR | unix.O_CLOEXEC
	if !d.rwf {
		flags |= unix.O_DSYNC
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFBLK:
		d.block = true
		flags |= unix.O_EXCL // refuses a device that is mounted or claimed
	default:
		return nil, fmt.Errorf("wal: %s is neither a regular file nor a block device", path)
	}
	deadline := time.Now().Add(wait)
	for {
		err := d.tryOpen(flags)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &fs.PathError{Op: "wal: open", Path: path, Err: err}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w: %s is locked by another process, or mounted", ErrBusy, path)
		}
		time.Sleep(5 * time.Millisecond) // there is no call that waits with a deadline
	}
	if err := d.measure(); err != nil {
		unix.Close(d.fd)
		return nil, err
	}
	return d, nil
}

func (d *fileDevice) tryOpen(flags int) error {
	fd, err := openRetry(d.path, flags|unix.O_DIRECT)
	if errors.Is(err, unix.EINVAL) {
		d.direct = false
		fd, err = openRetry(d.path, flags)
	}
	if err != nil {
		return err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return err
	}
	// While this waited for the lock, a format may have put another file in place.
	var here, there unix.Stat_t
	if unix.Fstat(fd, &here) == nil && unix.Stat(d.path, &there) == nil && (here.Dev != there.Dev || here.Ino != there.Ino) {
		unix.Close(fd)
		return unix.EBUSY
	}
	d.fd = fd
	return nil
}

func openRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// stat finds the size.
func (d *fileDevice) stat() error {
	if d.block {
		var size uint64
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size))); errno != 0 {
			return fmt.Errorf("wal: %s: BLKGETSIZE64: %w", d.path, errno)
		}
		d.size = int64(size) &^ (pageBytes - 1)
	} else {
		var st unix.Stat_t
		if err := unix.Fstat(d.fd, &st); err != nil {
			return fmt.Errorf("wal: fstat %s: %w", d.path, err)
		}
		d.size = st.Size &^ (pageBytes - 1)
	}
	return nil
}

// measure finds the size and checks that direct I/O in pages of 4 KiB is possible.
func (d *fileDevice) measure() error {
	if err := d.stat(); err != nil {
		return err
	}
	var sx unix.Statx_t
	err := unix.Statx(d.fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &sx)
	if err != nil || sx.Mask&unix.STATX_DIOALIGN == 0 || !d.direct {
		return nil // an older kernel does not tell; a write that does not fit fails with EINVAL and stops the log
	}
	if sx.Dio_offset_align == 0 {
		return nil
	}
	if sx.Dio_offset_align > pageBytes || sx.Dio_mem_align > pageBytes {
		return fmt.Errorf("wal: %s needs direct I/O aligned to %d bytes in memory and %d on the device, the log has %d",
			d.path, sx.Dio_mem_align, sx.Dio_offset_align, pageBytes)
	}
	return nil
}

// WriteAt does not continue a short write: direct writes are short only when something is wrong.
func (d *fileDevice) WriteAt(p []byte, off int64) (int, error) {
	if !d.rwf {
		return d.WriteVolatile(p, off)
	}
	for {
		n, err := unix.Pwritev2(d.fd, [][]byte{p}, off, unix.RWF_DSYNC)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// WriteVolatile returns when the device has p, maybe only in its cache, unless it was opened for SyncDSync. Flush makes it durable.
func (d *fileDevice) WriteVolatile(p []byte, off int64) (int, error) {
	for {
		n, err := unix.Pwrite(d.fd, p, off)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

func (d *fileDevice) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		m, err := unix.Pread(d.fd, p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case m == 0:
			return n, io.ErrUnexpectedEOF
		default:
			n += m
		}
	}
	return n, nil
}

func (d *fileDevice) Flush() error {
	for {
		err := unix.Fdatasync(d.fd)
		if err != unix.EINTR {
			return err
		}
	}
}

func (d *fileDevice) Size() int64 { return d.size }

// Close ends the use. REQUIRES: no write is in flight.
func (d *fileDevice) Close() error {
	_ = unix.Flock(d.fd, unix.LOCK_UN) // at once, whoever else still refers to the open file
	return unix.Close(d.fd)
}

// syncDir makes a rename or a creation in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// alloc maps n bytes of zeroed, page-aligned memory outside the Go heap. The kernel provides each page when it is first touched.
func alloc(n int) ([]byte, error) { return allocFlags(n, 0) }

// allocNow is alloc for memory that is about to be filled: all pages in one go, at half the price.
func allocNow(n int) ([]byte, error) { return allocFlags(n, unix.MAP_POPULATE) }

const hugeBytes = 2 << 20 // a huge page, on the machines that have them

// allocHuge is alloc for large reads and writes: n bytes, mem, within the mapping whole, which is what is to be released. The kernel is asked for huge pages.
// With them an operation of 1 MiB is one piece of memory for the device, with others up to 256, which are cut into several requests; where the
// kernel has none to give, mem is as good as any other.
func allocHuge(n int) (whole, mem []byte, err error) {
	if whole, err = alloc(n + hugeBytes - pageBytes); err != nil {
		return nil, nil, err
	}
	skip := int(-uintptr(unsafe.Pointer(&whole[0])) & (hugeBytes - 1))
	mem = whole[skip : skip+n : skip+n]
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	return whole, mem, nil
}

func allocFlags(n, flags int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|flags)
	if err != nil {
		return nil, fmt.Errorf("wal: mmap of %d bytes: %w", n, err)
	}
	return b, nil
}

func release(b []byte) {
	if err := unix.Munmap(b); err != nil {
		panic(fmt.Sprintf("BUG: wal: munmap: %v", err))
	}
}
