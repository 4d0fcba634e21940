package kraft

import "context"

// Asker is who has a broker send a request to the controller, for those requests whose answer depends on it. The zero value is nobody: the node itself.
type Asker struct {
	Principal string // type:name
	ClientID  string
	// Patient: the client does not know THROTTLING_QUOTA_EXCEEDED. Nothing is refused because of a quota, and it has to wait afterwards.
	Patient bool
}

type askerKey struct{}

// AskedBy returns a context with which Controller.Do says on whose behalf it is called.
func AskedBy(ctx context.Context, a Asker) context.Context {
	return context.WithValue(ctx, askerKey{}, a)
}

func askerOf(ctx context.Context) Asker {
	a, _ := ctx.Value(askerKey{}).(Asker)
	return a
}
