package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// S3 is a Bucket in MinIO, AWS S3 or another store of that protocol.
type S3 struct {
	core  *minio.Core
	name  string // the bucket's
	uri   string // for messages
	conf  Config
	calls caller
	// declared: multipart uploads declare CRC32C as their checksum. AWS wants that, or it refuses the parts' checksums. MinIO verifies
	// the parts' checksums either way, but refuses copied parts in a declared upload.
	declared bool
}

const (
	headerCRC       = "X-Amz-Checksum-Crc32c"
	headerAlgorithm = "X-Amz-Checksum-Algorithm"
)

func newS3(c Config) (*S3, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	return &S3{
		core: &minio.Core{Client: client}, name: c.Bucket, uri: c.String(), conf: c, calls: newCaller(c),
		declared: s3utils.IsAmazonEndpoint(*client.EndpointURL()),
	}, nil
}

// Name implements Bucket.
func (s *S3) Name() string { return s.uri }

// Put implements Bucket.
func (s *S3) Put(ctx context.Context, key string, data ...[]byte) error {
	return s.put(ctx, key, data, false)
}

// Create implements Bucket. It relies on If-None-Match, which MinIO and AWS honour. When an answer was lost and the call was repeated,
// it may return ErrExists for the object that it made itself: callers compare.
func (s *S3) Create(ctx context.Context, key string, data ...[]byte) error {
	return s.put(ctx, key, data, true)
}

func (s *S3) put(ctx context.Context, key string, data [][]byte, mustBeNew bool) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	size := Size(data)
	if size > MaxPartBytes {
		return fmt.Errorf("%w: put of %s with %d bytes, at most %d", ErrInvalid, key, size, int64(MaxPartBytes))
	}
	crc, sha := s.sums(data)
	return s.do(ctx, "put", key, size, func(ctx context.Context) error {
		opts := minio.PutObjectOptions{DisableContentSha256: true, UserMetadata: map[string]string{headerCRC: crc}}
		if mustBeNew {
			opts.SetMatchETagExcept("*")
		}
		body := newBody(ctx, data)
		defer body.detach()
		_, err := s.core.PutObject(ctx, s.name, key, body, size, "", sha, opts)
		return err
	})
}

// GetRange implements Bucket.
func (s *S3) GetRange(ctx context.Context, key string, off int64, dst []byte) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	if off < 0 {
		return checkRange(key, off, int64(len(dst)), 0)
	}
	if len(dst) == 0 { // HTTP has no empty ranges
		info, err := s.Head(ctx, key)
		if err != nil {
			return err
		}
		return checkRange(key, off, 0, info.Size)
	}
	return s.do(ctx, "get", key, int64(len(dst)), func(ctx context.Context) error {
		var opts minio.GetObjectOptions
		if err := opts.SetRange(off, off+int64(len(dst))-1); err != nil {
			return err
		}
		body, info, _, err := s.core.GetObject(ctx, s.name, key, opts)
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size != int64(len(dst)) { // of the answer, not of the object
			return fmt.Errorf("%w: %d bytes at %d of %s, the store has %d of them", ErrRange, len(dst), off, key, info.Size)
		}
		if n, err := io.ReadFull(body, dst); err != nil {
			return fmt.Errorf("%w: answer broke off after %d of %d bytes: %w", ErrUnreachable, n, len(dst), err)
		}
		return nil
	})
}

// Head implements Bucket.
func (s *S3) Head(ctx context.Context, key string) (Info, error) {
	if err := checkKey(ctx, key); err != nil {
		return Info{}, err
	}
	var info Info
	err := s.do(ctx, "head", key, 0, func(ctx context.Context) error {
		o, err := s.core.StatObject(ctx, s.name, key, minio.StatObjectOptions{})
		info = Info{Key: key, Size: o.Size, Modified: o.LastModified}
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// Delete implements Bucket.
func (s *S3) Delete(ctx context.Context, keys ...string) error {
	for _, k := range keys {
		if err := checkKey(ctx, k); err != nil {
			return err
		}
	}
	if len(keys) == 1 {
		err := s.do(ctx, "delete", keys[0], 0, func(ctx context.Context) error {
			return s.core.RemoveObject(ctx, s.name, keys[0], minio.RemoveObjectOptions{})
		})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	}
	for batch := range slices.Chunk(keys, MaxDelete) {
		err := s.do(ctx, "delete", fmt.Sprintf("%s and %d more", batch[0], len(batch)-1), 0, func(ctx context.Context) error {
			return s.deleteBatch(ctx, batch)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *S3) deleteBatch(ctx context.Context, keys []string) error {
	results, err := s.core.RemoveObjectsWithIter(ctx, s.name, func(yield func(minio.ObjectInfo) bool) {
		for _, k := range keys {
			if !yield(minio.ObjectInfo{Key: k}) {
				return
			}
		}
	}, minio.RemoveObjectsOptions{})
	if err != nil {
		return err
	}
	for r := range results {
		if r.Err != nil && minio.ToErrorResponse(r.Err).Code != minio.NoSuchKey {
			return r.Err
		}
	}
	return ctx.Err()
}

// listPage is how many objects one request lists.
const listPage = 1000

// List implements Bucket.
func (s *S3) List(ctx context.Context, prefix string, fn func(Info) error) error {
	last := ""
	for {
		var page []Info
		err := s.do(ctx, "list", prefix, 0, func(ctx context.Context) error {
			page = page[:0]
			opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, StartAfter: last, MaxKeys: listPage}
			for o := range s.core.ListObjectsIter(ctx, s.name, opts) {
				if o.Err != nil {
					return o.Err
				}
				if page = append(page, Info{Key: o.Key, Size: o.Size, Modified: o.LastModified}); len(page) == listPage {
					break // the next page is a request, and an operation, of its own
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		for _, info := range page {
			if err := fn(info); err != nil {
				return err
			}
		}
		if len(page) < listPage {
			return nil
		}
		last = page[len(page)-1].Key
	}
}

// CreateUpload implements Bucket.
func (s *S3) CreateUpload(ctx context.Context, key string) (string, error) {
	if err := checkKey(ctx, key); err != nil {
		return "", err
	}
	var id string
	var opts minio.PutObjectOptions
	if s.declared {
		opts.UserMetadata = map[string]string{headerAlgorithm: "CRC32C"}
	}
	err := s.do(ctx, "create upload", key, 0, func(ctx context.Context) (err error) {
		id, err = s.core.NewMultipartUpload(ctx, s.name, key, opts)
		return err
	})
	return id, err
}

// UploadPart implements Bucket.
func (s *S3) UploadPart(ctx context.Context, key, uploadID string, number int, data ...[]byte) (Part, error) {
	size := Size(data)
	if err := checkPart(ctx, key, number, size); err != nil {
		return Part{}, err
	}
	crc, sha := s.sums(data)
	part := Part{Number: number, Size: size, Checksum: crc}
	err := s.do(ctx, "upload part", key, size, func(ctx context.Context) error {
		body := newBody(ctx, data)
		defer body.detach()
		p, err := s.core.PutObjectPart(ctx, s.name, key, uploadID, number, body, size, minio.PutObjectPartOptions{
			Sha256Hex: sha, DisableContentSha256: true, CustomHeader: http.Header{headerCRC: {crc}},
		})
		if err == nil && p.ChecksumCRC32C != "" && p.ChecksumCRC32C != crc {
			return fmt.Errorf("%w: part %d of %s: the store has %s, sent %s", ErrChecksum, number, key, p.ChecksumCRC32C, crc)
		}
		part.ETag = p.ETag
		return err
	})
	if err != nil {
		return Part{}, err
	}
	return part, nil
}

// CopyPart implements Bucket.
func (s *S3) CopyPart(ctx context.Context, key, uploadID string, number int, src string, off, n int64) (Part, error) {
	if err := checkPart(ctx, key, number, n); err != nil {
		return Part{}, err
	}
	if off < 0 {
		return Part{}, checkRange(src, off, n, 0)
	}
	part := Part{Number: number, Size: n}
	err := s.do(ctx, "copy part", src+" to "+key, n, func(ctx context.Context) error {
		p, err := s.core.CopyObjectPart(ctx, s.name, src, s.name, key, uploadID, number, off, n, nil)
		part.ETag, part.Checksum = strings.Trim(p.ETag, `"`), p.ChecksumCRC32C
		return err
	})
	if err != nil {
		return Part{}, err
	}
	return part, nil
}

// CompleteUpload implements Bucket. When an answer was lost and the call was repeated, the store no longer knows the upload; then the object itself
// tells whether it worked.
func (s *S3) CompleteUpload(ctx context.Context, key, uploadID string, parts []Part) error {
	if err := checkComplete(ctx, key, parts); err != nil {
		return err
	}
	list := make([]minio.CompletePart, len(parts))
	var size int64
	for i, p := range parts {
		list[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
		if s.declared {
			list[i].ChecksumCRC32C = p.Checksum
		}
		size += p.Size
	}
	attempts := 0
	// Some stores put the object together only now: the timeout grows with its size.
	err := s.do(ctx, "complete upload", key, size, func(ctx context.Context) error {
		attempts++
		_, err := s.core.CompleteMultipartUpload(ctx, s.name, key, uploadID, list, minio.PutObjectOptions{})
		return err
	})
	if errors.Is(err, ErrNotFound) && attempts > 1 {
		if info, headErr := s.Head(ctx, key); headErr == nil && info.Size == size {
			return nil
		}
	}
	return err
}

// AbortUpload implements Bucket.
func (s *S3) AbortUpload(ctx context.Context, key, uploadID string) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	err := s.do(ctx, "abort upload", key, 0, func(ctx context.Context) error {
		return s.core.AbortMultipartUpload(ctx, s.name, key, uploadID)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// ListUploads implements Bucket. MinIO takes a prefix for the whole key of an object and then looks at its disks; for the empty prefix
// it lists what it remembers since its start, of all keys. So both are asked, and the prefix is applied here. What MinIO has forgotten it deletes
// by itself after a day (its setting api stale_uploads_expiry).
func (s *S3) ListUploads(ctx context.Context, prefix string, fn func(Upload) error) error {
	if s.declared { // AWS knows what a prefix is
		return s.listUploads(ctx, prefix, fn)
	}
	seen := make(map[string]bool)
	for _, ask := range slices.Compact([]string{prefix, ""}) {
		err := s.listUploads(ctx, ask, func(u Upload) error {
			if !strings.HasPrefix(u.Key, prefix) || seen[u.ID] {
				return nil
			}
			seen[u.ID] = true
			return fn(u)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *S3) listUploads(ctx context.Context, prefix string, fn func(Upload) error) error {
	var keyMarker, idMarker string
	for {
		var page minio.ListMultipartUploadsResult
		err := s.do(ctx, "list uploads", prefix, 0, func(ctx context.Context) (err error) {
			page, err = s.core.ListMultipartUploads(ctx, s.name, prefix, keyMarker, idMarker, "", 1000)
			return err
		})
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			if err := fn(Upload{Key: u.Key, ID: u.UploadID, Initiated: u.Initiated}); err != nil {
				return err
			}
		}
		if !page.IsTruncated || page.NextKeyMarker == "" || page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker {
			return nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

// sums returns the CRC32C of data for a header and, when payloads are signed, the SHA-256 in hexadecimal.
func (s *S3) sums(data [][]byte) (crc, sha string) {
	var sum uint32
	for _, d := range data {
		sum = crc32.Update(sum, castagnoli, d)
	}
	if s.conf.SignPayload {
		h := sha256.New()
		for _, d := range data {
			h.Write(d)
		}
		sha = hex.EncodeToString(h.Sum(nil))
	}
	return encodeCRC(sum), sha
}

// do runs one operation with timeouts and retries; errors come back classified and with the operation's name.
func (s *S3) do(ctx context.Context, op, what string, size int64, fn func(context.Context) error) error {
	if err := s.calls.do(ctx, op, size, fn); err != nil {
		return fmt.Errorf("%w (%s %s in %s)", err, op, what, s.uri)
	}
	return nil
}
