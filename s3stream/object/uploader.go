package object

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// uploader brings one object into a bucket: a single Put when it is small, else parts in parallel. Its methods belong to one
// goroutine; only the parts themselves run on others.
type uploader struct {
	bucket objstore.Bucket
	key    string
	ctx    context.Context // of the whole upload; cancelled by the first failure
	cancel context.CancelCauseFunc

	uploadID string        // empty until the first part
	slots    chan struct{} // one token per part in flight
	hedge    time.Duration // Options.HedgeAfter
	hedging  chan struct{} // the token of the one repeated part
	running  sync.WaitGroup

	mu struct {
		sync.Mutex
		parts []objstore.Part // by number-1; Number is 0 until that part is done
	}
	requests         int
	written, copied  int64
	hedged           atomic.Int64 // calls made twice
	finishedOrFailed bool
}

// abortTimeout bounds the clean-up after a failed upload, which must not depend on the caller's context.
const abortTimeout = 10 * time.Second

func newUploader(ctx context.Context, b objstore.Bucket, key string, o Options) *uploader {
	u := &uploader{bucket: b, key: key, slots: make(chan struct{}, o.Parallel), hedge: o.HedgeAfter, hedging: make(chan struct{}, 1)}
	u.ctx, u.cancel = context.WithCancelCause(ctx)
	return u
}

// err returns the first failure, or why the caller's context ended.
func (u *uploader) err() error {
	if u.ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("object: upload of %s: %w", u.key, context.Cause(u.ctx))
}

// send uploads data as the next part. It waits for a slot, not for the part. done, if not nil, is called once, whatever happens, when
// data is not read any more.
func (u *uploader) send(data [][]byte, done func()) error {
	n := objstore.Size(data)
	u.written += n
	return u.part(done, func(ctx context.Context, number int) (objstore.Part, error) {
		return u.twice(ctx, func(ctx context.Context) (objstore.Part, error) {
			p, err := u.bucket.UploadPart(ctx, u.key, u.uploadID, number, data...)
			if err == nil && p.Size != n {
				err = fmt.Errorf("object: the store took %d of the %d bytes of part %d", p.Size, n, number)
			}
			return p, err
		})
	})
}

// twice calls send, and a second time at the same time when the first call has not returned after HedgeAfter: a single slow disk or
// connection must not hold up a whole upload. The first success wins. Both calls send the same bytes under the same name, so it does not matter which of
// them takes effect last. twice returns only when both have returned, as the bytes are borrowed.
func (u *uploader) twice(ctx context.Context, send func(context.Context) (objstore.Part, error)) (objstore.Part, error) {
	if u.hedge < 0 {
		return send(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		part objstore.Part
		err  error
	}
	answers := make(chan answer, 2)
	call := func() {
		p, err := send(ctx)
		answers <- answer{p, err}
	}
	go call()
	running := 1
	timer := time.NewTimer(u.hedge)
	defer timer.Stop()
	var best answer
	have := false
	for running > 0 {
		select {
		case a := <-answers:
			running--
			if !have || best.err != nil && a.err == nil {
				best, have = a, true
			}
			if best.err == nil {
				cancel() // the other call has lost
			}
		case <-timer.C:
			select {
			case u.hedging <- struct{}{}:
				defer func() { <-u.hedging }()
				running++
				u.hedged.Add(1)
				go call()
			default: // one at a time: when all parts are slow, sending them again makes it worse; but this one may hang
				timer.Reset(u.hedge)
			}
		}
	}
	return best.part, best.err
}

// copy makes the next part out of the bytes [off, off+n) of the object src.
func (u *uploader) copy(src string, off, n int64) error {
	u.copied += n
	return u.part(nil, func(ctx context.Context, number int) (objstore.Part, error) {
		return u.bucket.CopyPart(ctx, u.key, u.uploadID, number, src, off, n)
	})
}

func (u *uploader) part(done func(), do func(context.Context, int) (objstore.Part, error)) error {
	if done == nil {
		done = func() {}
	}
	if u.uploadID == "" && u.ctx.Err() == nil {
		id, err := u.bucket.CreateUpload(u.ctx, u.key)
		if err != nil {
			u.cancel(err)
		}
		u.uploadID = id
	}
	select {
	case u.slots <- struct{}{}:
	case <-u.ctx.Done():
	}
	if err := u.err(); err != nil {
		done()
		return err
	}
	u.mu.Lock()
	u.mu.parts = append(u.mu.parts, objstore.Part{})
	number := len(u.mu.parts)
	u.mu.Unlock()
	u.requests++
	u.running.Go(func() {
		p, err := do(u.ctx, number)
		done()
		if err != nil {
			u.cancel(err) // the first cause stays
		} else {
			u.mu.Lock()
			u.mu.parts[number-1] = p
			u.mu.Unlock()
		}
		<-u.slots
	})
	return nil
}

// finish makes the object: tail is its last bytes, and all of them when no part was sent before. After an error nothing of the upload
// remains, as far as the store can be reached; what remains the sweep of unfinished uploads removes.
func (u *uploader) finish(tail [][]byte) error {
	if u.uploadID == "" && u.ctx.Err() == nil {
		u.finishedOrFailed = true
		u.requests++
		u.written += objstore.Size(tail)
		defer u.cancel(nil)
		_, err := u.twice(u.ctx, func(ctx context.Context) (objstore.Part, error) {
			return objstore.Part{}, u.bucket.Put(ctx, u.key, tail...)
		})
		if err != nil {
			return fmt.Errorf("object: upload of %s: %w", u.key, err)
		}
		return nil
	}
	if err := u.send(tail, nil); err != nil {
		u.abort()
		return err
	}
	u.running.Wait()
	err := u.err()
	if err == nil {
		if err = u.bucket.CompleteUpload(u.ctx, u.key, u.uploadID, u.mu.parts); err != nil {
			err = fmt.Errorf("object: upload of %s: %w", u.key, err)
		}
	}
	if err != nil {
		u.abort()
		return err
	}
	u.finishedOrFailed = true
	u.cancel(nil)
	return nil
}

var errAborted = errors.New("aborted")

// abort stops and waits for the parts in flight and removes the upload. It does nothing after finish or another abort.
func (u *uploader) abort() {
	if u.finishedOrFailed {
		return
	}
	u.finishedOrFailed = true
	u.cancel(errAborted)
	u.running.Wait()
	if u.uploadID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortTimeout)
	defer cancel()
	// A failure leaves an unfinished upload, which the sweep removes: there is nothing better to do with it here.
	_ = u.bucket.AbortUpload(ctx, u.key, u.uploadID)
}
