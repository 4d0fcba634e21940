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

// writeWhole writes data as the content of the new file f. Large files are written with O_DIRECT: what the page cache gathers would go out at once
// when the file is synced, and a log on the same device would wait behind it, however the writes were paced.
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
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_DIRECT) // a file system without it writes through the page cache
	buf, err := takeDirect()
	if err != nil {
		return err
	}
	defer giveDirect(buf)
	fill, off := 0, int64(0)
	flush := func() error {
		if err := Pace(ctx, fill); err != nil {
			return err
		}
		n := (fill + directAlign - 1) &^ (directAlign - 1)
		clear(buf[fill:n])
		_, err := f.WriteAt(buf[:n], off)
		if off == 0 && errors.Is(err, unix.EINVAL) { // direct writes need another alignment here
			if _, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags); err == nil {
				_, err = f.WriteAt(buf[:n], off)
			}
		}
		if err != nil {
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
	return f.Truncate(size)
}
