package objstore

import "context"

// Pacer spreads the bytes of a call over time, so that a large upload does not take the device, the network or the processors from whoever
// waits for microseconds. Pace returns when n more bytes may be moved, at once if there is no reason to wait. Any goroutine.
type Pacer interface {
	Pace(ctx context.Context, n int) error
}

type pacerKey struct{}

// WithPacer returns a context in which Put, Create and UploadPart ask p before each piece that they move. The bytes are the same.
func WithPacer(ctx context.Context, p Pacer) context.Context {
	return context.WithValue(ctx, pacerKey{}, p)
}

// Pace asks the pacer of ctx, if it has one, whether n more bytes may be moved. A Bucket calls it before each piece, so that pieces are small
// beside what is uploaded.
func Pace(ctx context.Context, n int) error {
	if p, ok := ctx.Value(pacerKey{}).(Pacer); ok {
		return p.Pace(ctx, n)
	}
	return nil
}
