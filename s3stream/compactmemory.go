package s3stream

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// inMemory reads a group of objects into memory, with few large requests, when they fit CompactCacheBytes, because the streams in them will be read one by
// one. It returns a bucket that serves their content until release is called.
func (s *Storage) inMemory(ctx context.Context, group []ObjectInfo) (_ objstore.Bucket, release func(), err error) {
	var size int64
	for _, o := range group {
		size += o.Size
	}
	if size > s.opts.CompactCacheBytes {
		return s.compact.bucket, func() {}, nil
	}
	m := &memoryCopy{Bucket: s.compact.bucket, objects: make(map[string][]byte, len(group))}
	for _, o := range group {
		if err := m.load(ctx, s.key(o.ID), o.Size, s.opts.PartBytes); err != nil {
			m.release()
			return nil, nil, fmt.Errorf("s3stream: compaction: read object %d: %w", o.ID, err)
		}
	}
	return m, m.release, nil
}

// memoryCopy is a bucket some of whose objects are in memory. The memory is not the Go heap's: some hundred megabytes for some seconds would make the
// collector let the heap grow by that much again, and it would be long before the system got either back.
type memoryCopy struct {
	objstore.Bucket
	mu      sync.RWMutex
	objects map[string][]byte // guarded by mu; empty after release
}

func (m *memoryCopy) load(ctx context.Context, key string, size, part int64) error {
	if size == 0 {
		return nil
	}
	b, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map %d bytes: %w", size, err)
	}
	m.objects[key] = b
	for off := int64(0); off < size; off += part {
		end := min(off+part, size)
		if err := m.Bucket.GetRange(ctx, key, off, b[off:end]); err != nil {
			return err
		}
	}
	return nil
}

// GetRange copies, so that nobody has a slice of the memory. After release it reads from the bucket.
func (m *memoryCopy) GetRange(ctx context.Context, key string, off int64, dst []byte) error {
	m.mu.RLock()
	b, ok := m.objects[key]
	if !ok {
		m.mu.RUnlock()
		return m.Bucket.GetRange(ctx, key, off, dst)
	}
	defer m.mu.RUnlock()
	if off < 0 || off+int64(len(dst)) > int64(len(b)) {
		return objstore.ErrRange
	}
	copy(dst, b[off:])
	return nil
}

func (m *memoryCopy) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, b := range m.objects {
		delete(m.objects, key)
		if err := unix.Munmap(b); err != nil {
			panic(fmt.Sprintf("BUG: s3stream: unmap %d bytes: %v", len(b), err))
		}
	}
}
