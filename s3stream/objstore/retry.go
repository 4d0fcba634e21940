package objstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// minBytesPerSecond is the rate below which a transfer counts as stuck: timeouts grow by the time that a call's bytes need at this rate.
const minBytesPerSecond = 1 << 20

// The backoff before retry n (from 0) is a random time up to base * 2^n, at most maxBackoff.
const (
	baseBackoff     = 50 * time.Millisecond
	slowDownBackoff = 500 * time.Millisecond // base after ErrSlowDown
	maxBackoff      = 5 * time.Second
)

// caller runs operations with a bound on their number, timeouts and retries.
//
// The rule: every attempt has AttemptTimeout, all together have CallTimeout, both plus the time of the bytes. An attempt is
// repeated up to Retries times when its error is Retryable, as all operations of a Bucket may be repeated; any other error is final.
type caller struct {
	slots   chan struct{}
	call    time.Duration
	attempt time.Duration
	retries int
	log     *slog.Logger
}

func newCaller(c Config) caller {
	return caller{slots: make(chan struct{}, c.MaxConnections), call: c.CallTimeout, attempt: c.AttemptTimeout, retries: c.Retries, log: c.Logger}
}

func (c *caller) do(ctx context.Context, op string, size int64, fn func(context.Context) error) error {
	transfer := time.Duration(float64(size) / minBytesPerSecond * float64(time.Second))
	callCtx, cancel := context.WithTimeout(ctx, c.call+transfer)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-callCtx.Done():
		return c.ended(ctx, fmt.Errorf("%w: %d requests were in flight for %s", ErrUnreachable, cap(c.slots), c.call))
	}
	for n := 0; ; n++ {
		err := c.once(callCtx, c.attempt+transfer, fn)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || callCtx.Err() != nil {
			return c.ended(ctx, err)
		}
		if n == c.retries || !Retryable(err) {
			return err
		}
		pause := backoff(n, err)
		c.log.Debug("object store: call failed, trying again", "op", op, "attempt", n+1, "pause", pause, "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-callCtx.Done():
			timer.Stop()
			return c.ended(ctx, err)
		}
	}
}

// once makes one attempt.
func (c *caller) once(ctx context.Context, timeout time.Duration, fn func(context.Context) error) error {
	attemptCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := fn(attemptCtx)
	if err != nil && attemptCtx.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: no answer within %s", ErrUnreachable, timeout)
	}
	return classify(err)
}

// ended tells a caller's own cancellation from a store that took too long.
func (c *caller) ended(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("objstore: %w", ctxErr)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: no answer within %s", ErrUnreachable, c.call)
	}
	return err
}

func backoff(n int, err error) time.Duration {
	base := baseBackoff
	if errors.Is(err, ErrSlowDown) {
		base = slowDownBackoff
	}
	return time.Duration(rand.Int64N(int64(min(base<<min(n, 10), maxBackoff)))) + time.Millisecond
}
