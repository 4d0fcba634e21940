package objstore

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// directBytes is the size of one direct write: enough for the device, and short enough for the durable writes of a log on the same device to
	// pass between two of them.
	directBytes = 256 << 10
	// directFrom is the size from which files are written directly.
	directFrom  = 64 << 10
	directAlign = 4096
)

// directBuffers keeps aligned buffers of directBytes, outside the Go heap, for the next writer.
var directBuffers = make(chan []byte, 4)

func takeDirect() ([]byte, error) {
	select {
	case b := <-directBuffers:
		return b, nil
	default:
		return unix.Mmap(-1, 0, directBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	}
}

func giveDirect(b []byte) {
	select {
	case directBuffers <- b:
	default:
		_ = unix.Munmap(b)
	}
}

// writeWhole writes data as the content of the new file f. Large files are written with O_DIRECT: through the page cache, the same bytes would
// cost twice the processor time, and would go out in one storm when the file is synced, behind which every durable write on that device
// waits.
func writeWhole(ctx context.Context, f *os.File, data [][]byte) error {
	size := Size(data)
	if size < directFrom {
		return writeSlices(ctx, f, data)
	}
	fd := int(f.Fd())
	if err := unix.Fallocate(fd, 0, 0, size); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_DIRECT); err != nil {
		return writeSlices(ctx, f, data) // a file system without O_DIRECT
	}
	buf, err := takeDirect()
	if err != nil {
		return err
	}
	defer giveDirect(buf)
	fill, off := 0, int64(0)
	flush := func() error {
		if err := pace(ctx, fill); err != nil {
			return err
		}
		n := (fill + directAlign - 1) &^ (directAlign - 1)
		clear(buf[fill:n])
		if err := pwriteAll(fd, buf[:n], off); err != nil {
			return err
		}
		off, fill = off+int64(n), 0
		return nil
	}
	for _, b := range data {
		for len(b) > 0 {
			n := copy(buf[fill:], b)
			b, fill = b[n:], fill+n
			if fill == len(buf) {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if fill > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	return unix.Ftruncate(fd, size)
}

func pwriteAll(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}
