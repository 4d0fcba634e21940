package objstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sort"
	"strings"
	"sync"
	"time"
)

// Memory is a Bucket in this process's memory, for tests. It keeps S3's rules, part sizes and limits included.
type Memory struct {
	name string

	mu struct {
		sync.RWMutex
		objects map[string]memObject
		uploads map[string]*memUpload // by upload id
		nextID  int
	}
}

type memObject struct {
	data     []byte
	modified time.Time
}

type memUpload struct {
	key       string
	initiated time.Time
	parts     map[int][]byte
}

// NewMemory returns an empty bucket; name appears in messages only.
func NewMemory(name string) *Memory {
	m := &Memory{name: "mem://" + name}
	m.mu.objects = make(map[string]memObject)
	m.mu.uploads = make(map[string]*memUpload)
	return m
}

// Name implements Bucket.
func (m *Memory) Name() string { return m.name }

// Put implements Bucket.
func (m *Memory) Put(ctx context.Context, key string, data ...[]byte) error {
	return m.put(ctx, key, data, false)
}

// Create implements Bucket.
func (m *Memory) Create(ctx context.Context, key string, data ...[]byte) error {
	return m.put(ctx, key, data, true)
}

func (m *Memory) put(ctx context.Context, key string, data [][]byte, mustBeNew bool) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	b := join(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.mu.objects[key]; ok && mustBeNew {
		return fmt.Errorf("%w: %s in %s", ErrExists, key, m.name)
	}
	m.mu.objects[key] = memObject{data: b, modified: time.Now()}
	return nil
}

// GetRange implements Bucket.
func (m *Memory) GetRange(ctx context.Context, key string, off int64, dst []byte) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	m.mu.RLock()
	o, ok := m.mu.objects[key]
	m.mu.RUnlock()
	if !ok {
		return fmt.Errorf("%w: %s in %s", ErrNotFound, key, m.name)
	}
	if err := checkRange(key, off, int64(len(dst)), int64(len(o.data))); err != nil {
		return err
	}
	copy(dst, o.data[off:])
	return nil
}

// Head implements Bucket.
func (m *Memory) Head(ctx context.Context, key string) (Info, error) {
	if err := checkKey(ctx, key); err != nil {
		return Info{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	o, ok := m.mu.objects[key]
	if !ok {
		return Info{}, fmt.Errorf("%w: %s in %s", ErrNotFound, key, m.name)
	}
	return Info{Key: key, Size: int64(len(o.data)), Modified: o.modified}, nil
}

// Delete implements Bucket.
func (m *Memory) Delete(ctx context.Context, keys ...string) error {
	for _, k := range keys {
		if err := checkKey(ctx, k); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.mu.objects, k)
	}
	return nil
}

// List implements Bucket.
func (m *Memory) List(ctx context.Context, prefix string, fn func(Info) error) error {
	m.mu.RLock()
	var found []Info
	for k, o := range m.mu.objects {
		if strings.HasPrefix(k, prefix) {
			found = append(found, Info{Key: k, Size: int64(len(o.data)), Modified: o.modified})
		}
	}
	m.mu.RUnlock()
	sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
	for _, f := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// CreateUpload implements Bucket.
func (m *Memory) CreateUpload(ctx context.Context, key string) (string, error) {
	if err := checkKey(ctx, key); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.nextID++
	id := fmt.Sprintf("upload-%d", m.mu.nextID)
	m.mu.uploads[id] = &memUpload{key: key, initiated: time.Now(), parts: make(map[int][]byte)}
	return id, nil
}

// uploadLocked needs m.mu held.
func (m *Memory) uploadLocked(key, id string) (*memUpload, error) {
	u := m.mu.uploads[id]
	if u == nil || u.key != key {
		return nil, fmt.Errorf("%w: upload %s of %s in %s", ErrNotFound, id, key, m.name)
	}
	return u, nil
}

// UploadPart implements Bucket.
func (m *Memory) UploadPart(ctx context.Context, key, uploadID string, number int, data ...[]byte) (Part, error) {
	if err := checkPart(ctx, key, number, Size(data)); err != nil {
		return Part{}, err
	}
	b := join(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.uploadLocked(key, uploadID)
	if err != nil {
		return Part{}, err
	}
	u.parts[number] = b
	return memPart(number, b), nil
}

// CopyPart implements Bucket.
func (m *Memory) CopyPart(ctx context.Context, key, uploadID string, number int, src string, off, n int64) (Part, error) {
	if err := checkPart(ctx, key, number, n); err != nil {
		return Part{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.uploadLocked(key, uploadID)
	if err != nil {
		return Part{}, err
	}
	o, ok := m.mu.objects[src]
	if !ok {
		return Part{}, fmt.Errorf("%w: %s in %s", ErrNotFound, src, m.name)
	}
	if err := checkRange(src, off, n, int64(len(o.data))); err != nil {
		return Part{}, err
	}
	u.parts[number] = o.data[off : off+n : off+n] // objects never change in place
	return memPart(number, u.parts[number]), nil
}

func memPart(number int, b []byte) Part {
	sum := encodeCRC(crc32.Checksum(b, castagnoli))
	return Part{Number: number, Size: int64(len(b)), ETag: sum, Checksum: sum}
}

// CompleteUpload implements Bucket.
func (m *Memory) CompleteUpload(ctx context.Context, key, uploadID string, parts []Part) error {
	if err := checkComplete(ctx, key, parts); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.uploadLocked(key, uploadID)
	if err != nil {
		return err
	}
	var data [][]byte
	for _, p := range parts {
		b, ok := u.parts[p.Number]
		if !ok || memPart(p.Number, b).ETag != p.ETag {
			return fmt.Errorf("%w: part %d of upload %s of %s is not there or another one", ErrInvalid, p.Number, uploadID, key)
		}
		data = append(data, b)
	}
	for i, b := range data[:len(data)-1] {
		if len(b) < MinPartBytes {
			return fmt.Errorf("%w: part %d of %s has %d bytes, want at least %d", ErrInvalid, parts[i].Number, key, len(b), MinPartBytes)
		}
	}
	m.mu.objects[key] = memObject{data: join(data), modified: time.Now()}
	delete(m.mu.uploads, uploadID)
	return nil
}

// AbortUpload implements Bucket.
func (m *Memory) AbortUpload(ctx context.Context, key, uploadID string) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.uploadLocked(key, uploadID); err == nil {
		delete(m.mu.uploads, uploadID)
	}
	return nil
}

// ListUploads implements Bucket.
func (m *Memory) ListUploads(ctx context.Context, prefix string, fn func(Upload) error) error {
	m.mu.RLock()
	var found []Upload
	for id, u := range m.mu.uploads {
		if strings.HasPrefix(u.key, prefix) {
			found = append(found, Upload{Key: u.key, ID: id, Initiated: u.initiated})
		}
	}
	m.mu.RUnlock()
	sort.Slice(found, func(i, j int) bool {
		return found[i].Key < found[j].Key || found[i].Key == found[j].Key && found[i].ID < found[j].ID
	})
	for _, f := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeCRC writes a CRC32C the way S3 headers do: base64 of the big-endian bytes.
func encodeCRC(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func join(data [][]byte) []byte {
	b := make([]byte, 0, Size(data))
	for _, d := range data {
		b = append(b, d...)
	}
	return b
}
