package objstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// probePrefix is where CheckReady writes. Nothing else does; leftovers of a probe that was cut off may be deleted.
const probePrefix = "_ringmq/probe/"

// CheckReady tries on a bucket everything that a broker needs: create, conditional create, range read, list, multipart upload with a
// copied part, abort, delete. The error names the step, the cause and a remedy. It costs about a dozen requests and leaves nothing behind
// when it succeeds.
func CheckReady(ctx context.Context, b Bucket) error {
	p := probe{ctx: ctx, b: b, key: probePrefix + randomName()}
	for _, s := range []struct {
		what string
		run  func() error
	}{
		{"write an object (s3:PutObject)", p.put},
		{"create an object only if it does not exist (If-None-Match)", p.create},
		{"read a range of an object (s3:GetObject)", p.get},
		{"list objects (s3:ListBucket)", p.list},
		{"upload an object in parts (s3:PutObject)", p.upload},
		{"copy a part within the store (s3:GetObject, s3:PutObject)", p.copy},
		{"abort an upload (s3:AbortMultipartUpload)", p.abort},
		{"list unfinished uploads (s3:ListBucketMultipartUploads)", p.listUploads},
		{"delete objects (s3:DeleteObject)", p.remove},
	} {
		err := s.run()
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			_ = p.remove() // what can be cleaned up; the error that matters is the first one
		}
		if r := Remedy(err); r != "" {
			return fmt.Errorf("bucket %s is not usable: cannot %s: %w; remedy: %s", b.Name(), s.what, err, r)
		}
		return fmt.Errorf("bucket %s is not usable: cannot %s: %w", b.Name(), s.what, err)
	}
	return nil
}

type probe struct {
	ctx context.Context
	b   Bucket
	key string
}

var probeText = []byte("RingMQ writes this object to see whether the bucket is usable. It may be deleted.\n")

func (p *probe) put() error { return p.b.Put(p.ctx, p.key, probeText) }

func (p *probe) create() error {
	err := p.b.Create(p.ctx, p.key, []byte("second"))
	switch {
	case errors.Is(err, ErrExists):
		return nil
	case err == nil:
		return fmt.Errorf("%w: the store ignored the condition and replaced the object; use a store that honours If-None-Match", ErrInvalid)
	}
	return err
}

func (p *probe) get() error { return p.check(p.key, probeText) }

// check reads all but the first and the last byte.
func (p *probe) check(key string, want []byte) error {
	want = want[1 : len(want)-1]
	got := make([]byte, len(want))
	if err := p.b.GetRange(p.ctx, key, 1, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: %s has other bytes than were written", ErrChecksum, key)
	}
	return nil
}

var errFound = errors.New("found")

func (p *probe) list() error {
	err := p.b.List(p.ctx, p.key, func(Info) error { return errFound })
	switch {
	case err == errFound:
		return nil
	case err == nil:
		return fmt.Errorf("%w: the listing lacks an object that was just written", ErrInvalid)
	}
	return err
}

func (p *probe) upload() error {
	key := p.key + "-parts"
	id, err := p.b.CreateUpload(p.ctx, key)
	if err != nil {
		return err
	}
	first := make([]byte, MinPartBytes)
	rand.Read(first) // never fails
	one, err := p.b.UploadPart(p.ctx, key, id, 1, first)
	if err != nil {
		return errors.Join(err, p.b.AbortUpload(p.ctx, key, id))
	}
	two, err := p.b.UploadPart(p.ctx, key, id, 2, probeText)
	if err != nil {
		return errors.Join(err, p.b.AbortUpload(p.ctx, key, id))
	}
	if err := p.b.CompleteUpload(p.ctx, key, id, []Part{one, two}); err != nil {
		return errors.Join(err, p.b.AbortUpload(p.ctx, key, id))
	}
	return p.check(key, append(first, probeText...))
}

func (p *probe) copy() error {
	key := p.key + "-copy"
	id, err := p.b.CreateUpload(p.ctx, key)
	if err != nil {
		return err
	}
	part, err := p.b.CopyPart(p.ctx, key, id, 1, p.key, 0, int64(len(probeText)))
	if err == nil {
		err = p.b.CompleteUpload(p.ctx, key, id, []Part{part})
	}
	if err != nil {
		return errors.Join(err, p.b.AbortUpload(p.ctx, key, id))
	}
	return p.check(key, probeText)
}

func (p *probe) abort() error {
	key := p.key + "-abort"
	id, err := p.b.CreateUpload(p.ctx, key)
	if err != nil {
		return err
	}
	return p.b.AbortUpload(p.ctx, key, id)
}

func (p *probe) listUploads() error {
	return p.b.ListUploads(p.ctx, p.key, func(u Upload) error {
		return fmt.Errorf("%w: the store still lists the upload %s of %s, which was finished or aborted", ErrInvalid, u.ID, u.Key)
	})
}

func (p *probe) remove() error {
	keys := []string{p.key, p.key + "-parts", p.key + "-copy"}
	if err := p.b.Delete(p.ctx, keys[1:]...); err != nil { // the batch request and the single one are different calls
		return err
	}
	if err := p.b.Delete(p.ctx, keys[0]); err != nil {
		return err
	}
	for _, k := range keys {
		if _, err := p.b.Head(p.ctx, k); !errors.Is(err, ErrNotFound) {
			return errors.Join(fmt.Errorf("%w: %s is still there after its deletion", ErrInvalid, k), err)
		}
	}
	return nil
}
