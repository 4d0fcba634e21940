package s3stream

import (
	"context"
	"sync"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// throttle keeps calls to a rate. A call waits for the bytes of the calls before it, not for its own.
type throttle struct {
	rate int64 // bytes per second

	mu   sync.Mutex
	free time.Time // when the bytes so far are paid for
}

// pace waits for its turn to move n bytes.
func (t *throttle) pace(ctx context.Context, n int64) error {
	t.mu.Lock()
	now := time.Now()
	wait := t.free.Sub(now)
	t.free = now.Add(max(wait, 0) + time.Duration(float64(n)/float64(t.rate)*float64(time.Second)))
	t.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// paced is a bucket whose reads and writes keep to a rate.
type paced struct {
	objstore.Bucket
	throttle
}

func (p *paced) GetRange(ctx context.Context, key string, off int64, dst []byte) error {
	if err := p.pace(ctx, int64(len(dst))); err != nil {
		return err
	}
	return p.Bucket.GetRange(ctx, key, off, dst)
}

func (p *paced) Put(ctx context.Context, key string, data ...[]byte) error {
	if err := p.pace(ctx, objstore.Size(data)); err != nil {
		return err
	}
	return p.Bucket.Put(ctx, key, data...)
}

func (p *paced) UploadPart(ctx context.Context, key, uploadID string, number int, data ...[]byte) (objstore.Part, error) {
	if err := p.pace(ctx, objstore.Size(data)); err != nil {
		return objstore.Part{}, err
	}
	return p.Bucket.UploadPart(ctx, key, uploadID, number, data...)
}
