package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll"
)

// Private requests of this project's own tools. They are in no list of APIs, and a broker hands them to the active controller.

// toolTimeout bounds a tool's request.
const toolTimeout = 30 * time.Second

// toolHeader reads the header of a private request, whose key Kafka's protocol does not know. Of any other frame it returns err, the reason why it is none.
func toolHeader(frame []byte, err error) (kproto.RequestHeader, []byte, error) {
	if len(frame) < 10 || !kraft.IsToolKey(int16(binary.BigEndian.Uint16(frame))) {
		return kproto.RequestHeader{}, nil, err
	}
	h := kproto.RequestHeader{Key: int16(binary.BigEndian.Uint16(frame)), CorrelationID: int32(binary.BigEndian.Uint32(frame[4:]))}
	n, rest := max(0, int(int16(binary.BigEndian.Uint16(frame[8:])))), frame[10:]
	if n > len(rest) {
		return kproto.RequestHeader{}, nil, err
	}
	return h, rest[n:], nil
}

func (b *Broker) serveTool(st *connState, h kproto.RequestHeader, body []byte) netpoll.Verdict {
	body = bytes.Clone(body)
	resp := st.conn.Begin()
	st.begin()
	b.workers.Go(func() {
		defer st.end()
		ctx, cancel := context.WithTimeout(b.serving, toolTimeout)
		defer cancel()
		out, err := b.node.ServeTool(ctx, h.Key, body)
		if err != nil {
			b.log.Warn("request of a tool refused", "key", h.Key, "remote", st.conn.RemoteAddr(), "cause", err)
			resp.Drop()
			st.conn.Close(err)
			return
		}
		resp.SetBuf(append(binary.BigEndian.AppendUint32(resp.Buf(), uint32(h.CorrelationID)), out...))
		resp.Send()
	})
	return netpoll.Next
}
