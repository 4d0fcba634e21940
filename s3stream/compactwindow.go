package s3stream

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

const (
	// windowsBytes bounds the windows of one compaction step, windowMax and windowMin each of them. Objects that are read through them have sizes of
	// several megabytes, so that the requests stay few.
	windowsBytes = 32 << 20
	windowMax    = 4 << 20
	windowMin    = 256 << 10
)

// windowed is a bucket that reads some of its objects through windows: a compaction reads the streams of a group of objects one after the other, so in each
// object its small reads follow one another, and one large request serves many of them. The memory is not the Go heap's: it would make the collector let the
// heap grow by as much again.
type windowed struct {
	objstore.Bucket
	windows map[string]*window // by key; not changed after newWindowed
	memory  []byte             // of all windows
}

// window is a part of one object in memory.
type window struct {
	mu   sync.Mutex
	size int64  // of the object
	buf  []byte // nil after release
	off  int64  // of buf[0] in the object
	n    int    // valid bytes of buf
}

// newWindowed opens a window on each object of a group, and returns a bucket that reads through them until release is called.
func (s *Storage) newWindowed(group []ObjectInfo) (*windowed, error) {
	each := min(max(windowsBytes/max(len(group), 1), windowMin), windowMax)
	memory, err := unix.Mmap(-1, 0, max(each*len(group), 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("s3stream: compaction: map %d bytes: %w", each*len(group), err)
	}
	w := &windowed{Bucket: s.compact.bucket, windows: make(map[string]*window, len(group)), memory: memory}
	for i, o := range group {
		w.windows[s.key(o.ID)] = &window{size: o.Size, buf: memory[i*each : (i+1)*each : (i+1)*each]}
	}
	return w, nil
}

// GetRange copies, so that nobody has a slice of a window. What a window is too small for, and everything after release, is read from the bucket.
func (w *windowed) GetRange(ctx context.Context, key string, off int64, dst []byte) error {
	v := w.windows[key]
	if v == nil {
		return w.Bucket.GetRange(ctx, key, off, dst)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	end := off + int64(len(dst))
	if off < 0 || len(dst) > len(v.buf) || end > v.size {
		return w.Bucket.GetRange(ctx, key, off, dst)
	}
	if off < v.off || end > v.off+int64(v.n) {
		n := int(min(int64(len(v.buf)), v.size-off))
		v.n = 0 // until it is read again
		if err := w.Bucket.GetRange(ctx, key, off, v.buf[:n]); err != nil {
			return err
		}
		v.off, v.n = off, n
	}
	copy(dst, v.buf[off-v.off:])
	return nil
}

// release gives the memory back; it may be called again.
func (w *windowed) release() {
	for _, v := range w.windows {
		v.mu.Lock()
		v.buf, v.n = nil, 0
		v.mu.Unlock()
	}
	if w.memory == nil {
		return
	}
	if err := unix.Munmap(w.memory); err != nil {
		panic(fmt.Sprintf("BUG: s3stream: unmap %d bytes: %v", len(w.memory), err))
	}
	w.memory = nil
}
