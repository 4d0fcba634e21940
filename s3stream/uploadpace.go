package s3stream

import (
	"context"
	"time"
)

const (
	// paceMin is the least rate of an upload, in bytes per second: a small one is over soon, and disturbs nobody.
	paceMin = 32 << 20
	// paceFactor is how many times faster a segment is uploaded than it was filled, so that uploads always catch up.
	paceFactor = 2
)

// uploadPace spreads the upload of one segment over about half the time in which it was filled. Sent as fast as the store takes it, the same
// bytes would hold up everything that is to be durable meanwhile: a flush of the device waits for all that it has taken, and the
// processors have to move them. Nothing is held back while space is short or somebody waits for the upload. It is an objstore.Pacer.
type uploadPace struct {
	s        *Storage
	throttle *Throttle
}

func (s *Storage) newUploadPace(g *segment) *uploadPace {
	took := max(g.age(s.opts.Now()), time.Millisecond)
	rate := int64(paceFactor * float64(g.bytes.Load()) / took.Seconds())
	return &uploadPace{s: s, throttle: NewThrottle(max(rate, paceMin))}
}

// Pace implements objstore.Pacer.
func (p *uploadPace) Pace(ctx context.Context, n int) error {
	if p.s.pressed() {
		return nil
	}
	return p.throttle.Pace(ctx, int64(n))
}

// pressed reports whether uploads should take all they can get.
func (s *Storage) pressed() bool {
	return s.hungry.Load() || s.flushes.Load() > 0 || s.closing.Load() || s.pendingSegments.Load() > 1 || s.hurried()
}
