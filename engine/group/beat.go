package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// beat is how a heartbeat of one of the newer protocols (consumer, share, streams) is answered.
type beat struct {
	version int16
	reply   func(kmsg.Response)
	// refused makes the response that refuses; message may be nil.
	refused func(code int16, message *string) kmsg.Response
}

func (b *beat) refuse(err *consumer.Error) {
	var message *string
	if err.Message != "" {
		message = &err.Message
	}
	resp := b.refused(err.Code, message)
	resp.SetVersion(b.version)
	b.reply(resp)
}

// start refuses what no group has to be asked for, or hands run to the group's shard. err: what is wrong with the request. texts end up in a record.
func (b *beat) start(c *Coordinator, group string, err *consumer.Error, texts []string, run func(*turn)) {
	if err != nil {
		b.refuse(err)
		return
	}
	for _, text := range texts {
		if len(text) > maxString {
			b.refuse(&consumer.Error{Code: codeInvalidRequest, Message: "A string of the request is longer than a record's can be."})
			return
		}
	}
	if code := c.serve(group, run); code != codeNone {
		b.refuse(&consumer.Error{Code: code})
	}
}

func (b *beat) fail(t *turn, err *consumer.Error) {
	t.reply(func() { b.refuse(err) })
}

// answer sends resp when the group is in the log as it is now.
func (b *beat) answer(resp kmsg.Response) func(t *turn, err error) {
	resp.SetVersion(b.version)
	return func(t *turn, err error) {
		if err != nil {
			b.fail(t, &consumer.Error{Code: appendCode(err, codeUnknownServerError)})
			return
		}
		t.reply(func() { b.reply(resp) })
	}
}
