package objstore

import (
	"context"
	"time"
)

// Limits every implementation keeps, the same as S3's.
const (
	// MinPartBytes is the least size of a part of a multipart upload, except the last one.
	MinPartBytes = 5 << 20
	// MaxPartBytes is the largest size of one part, sent or copied, and of one Put.
	MaxPartBytes = 5 << 30
	// MaxParts is the largest number of parts, and the largest part number.
	MaxParts = 10000
	// MaxDelete is how many keys one S3 delete request carries; Delete cuts longer lists by itself.
	MaxDelete = 1000
)

// Bucket is a flat store of immutable objects. All methods may be called from any goroutine.
//
// Byte slices passed in are borrowed until the method returns: even after a timeout or a cancelled context nothing
// reads or writes them any more, so they may live in memory that is unmapped afterwards.
//
// Errors wrap one of the sentinels of this package (ErrNotFound, ErrUnreachable, …) whenever one fits. A method that
// returns an error may still have taken effect (the store did the work and the answer was lost), except when
// the error is ErrNotFound, ErrExists, ErrAccessDenied, ErrBadCredentials, ErrNoSuchBucket, ErrClockSkew or ErrInvalid.
type Bucket interface {
	// Name is the bucket's URI for logs and messages, without secrets.
	Name() string

	// Put stores data (the concatenation of its slices) as the object key, whole or not at all, replacing what was there.
	Put(ctx context.Context, key string, data ...[]byte) error
	// Create is Put that fails with ErrExists, and changes nothing, when the key exists. It is atomic.
	Create(ctx context.Context, key string, data ...[]byte) error

	// GetRange fills dst with the bytes of the object from off. ErrRange when the object ends before off+len(dst).
	// The content of dst is undefined after an error.
	GetRange(ctx context.Context, key string, off int64, dst []byte) error
	// Head returns what is known of an object.
	Head(ctx context.Context, key string) (Info, error)

	// Delete removes objects. Keys that do not exist are no error. After an error any subset may be gone.
	Delete(ctx context.Context, keys ...string) error
	// List calls fn for each object whose key has the prefix, in byte order of the keys, until fn returns an error, which
	// List returns as it is. Objects put or deleted meanwhile may or may not be seen.
	List(ctx context.Context, prefix string, fn func(Info) error) error

	// CreateUpload starts a multipart upload of key. Until CompleteUpload nothing of it is visible.
	CreateUpload(ctx context.Context, key string) (uploadID string, err error)
	// UploadPart sends part number (1..MaxParts), replacing an earlier part of that number. Parts may be sent in parallel.
	UploadPart(ctx context.Context, key, uploadID string, number int, data ...[]byte) (Part, error)
	// CopyPart makes part number out of the bytes [off, off+n) of the object src without passing them through the caller.
	CopyPart(ctx context.Context, key, uploadID string, number int, src string, off, n int64) (Part, error)
	// CompleteUpload makes the object out of parts, which must be in ascending order of number.
	CompleteUpload(ctx context.Context, key, uploadID string, parts []Part) error
	// AbortUpload forgets an upload and frees its parts. An upload that does not exist is no error.
	AbortUpload(ctx context.Context, key, uploadID string) error
	// ListUploads calls fn for each unfinished upload of a key with the prefix, in no certain order, until fn returns an error, which it returns.
	// With a whole key as prefix it finds all uploads of that key. With a shorter one it may miss some that began before the store
	// was started last (MinIO), so it is not a proof that there are none.
	ListUploads(ctx context.Context, prefix string, fn func(Upload) error) error
}

// PutPreferrer is a Bucket that takes large objects better in one Put than in parts.
type PutPreferrer interface {
	// PutBytes is the size up to which it does, at most MaxPartBytes.
	PutBytes() int64
}

// Info describes an object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the clock of the store
}

// Part is a part of a multipart upload that the store has.
type Part struct {
	Number   int
	Size     int64  // bytes
	ETag     string // opaque, from the store
	Checksum string // CRC32C in base64 as S3 writes it; empty when the store gave none
}

// Upload is an unfinished multipart upload.
type Upload struct {
	Key       string
	ID        string
	Initiated time.Time // by the clock of the store
}

// Size returns the number of bytes in the slices of data.
func Size(data [][]byte) int64 {
	var n int64
	for _, b := range data {
		n += int64(len(b))
	}
	return n
}
