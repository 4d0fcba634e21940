package s3stream

import (
	"context"
	"sync"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// Throttle keeps what calls move to a rate. A call waits for the bytes of the calls before it, not for its own. Safe for any goroutine; the zero value
// lets everything pass.
type Throttle struct {
	mu   sync.Mutex
	rate int64     // bytes per second, 0: no bound
	free time.Time // when the bytes so far are paid for
}

// NewThrottle returns a Throttle of some bytes per second.
func NewThrottle(rate int64) *Throttle { return &Throttle{rate: rate} }

// SetRate changes the rate for the calls to come; 0 or less: no bound.
func (t *Throttle) SetRate(bytesPerSecond int64) {
	t.mu.Lock()
	t.rate = max(bytesPerSecond, 0)
	t.mu.Unlock()
}

// Pace waits for its turn to move n bytes. It returns the cause when ctx ends.
func (t *Throttle) Pace(ctx context.Context, n int64) error {
	t.mu.Lock()
	now := time.Now()
	wait := t.free.Sub(now)
	if t.rate > 0 {
		t.free = now.Add(max(wait, 0) + time.Duration(float64(n)/float64(t.rate)*float64(time.Second)))
	} else {
		t.free, wait = now, 0
	}
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

// paced is a bucket whose reads and writes wait for their turn.
type paced struct {
	objstore.Bucket
	pace func(ctx context.Context, n int64) error
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
