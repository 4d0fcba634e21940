package engine

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// forward hands a request to the active controller and turns a failure into a code and a message.
func (b *Broker) forward(ctx context.Context, req kmsg.Request) (kmsg.Response, kproto.ErrorCode, string) {
	resp, err := b.controller.Do(ctx, req)
	if err != nil {
		code := controllerError(err)
		b.log.Warn("the controller did not answer", "request", kmsg.NameForKey(req.Key()), "answer", code.String(), "cause", err)
		return nil, code, err.Error()
	}
	return resp, kproto.None, ""
}

// withTimeout bounds a request by the timeout that its client gave.
func (b *Broker) withTimeout(millis int32) (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, time.Duration(max(millis, 1))*time.Millisecond)
}

// passOn answers with what the active controller answers; failed makes the response that says why it did not.
func (r *request) passOn(timeoutMillis int32, failed func(code int16, message *string) kmsg.Response) {
	ctx, cancel := r.broker.withTimeout(timeoutMillis)
	defer cancel()
	answer, code, message := r.broker.forward(ctx, r.body)
	if code != kproto.None {
		answer = failed(int16(code), &message)
	}
	r.reply(answer)
}
