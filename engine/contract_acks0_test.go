package engine_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestUnacknowledgedProducers: idempotent and transactional producers may write with acks=0. The broker does for them all that it does otherwise, and where it would
// answer with an error, it closes the connection.
func TestUnacknowledgedProducers(t *testing.T) {
	x := contract(t)
	// quietly sends a batch that is not acknowledged; the next answer is that of the next request, unless the connection is closed.
	quietly := func(t *testing.T, p *txnProducer, version int16, topic string, closes bool, values ...string) {
		t.Helper()
		w := p.x.dial()
		w.t = t
		// In one piece: Kafka does not always close a connection on which nothing more comes.
		w.send(append(frame(p.batch(version, 0, topic, values...), 1), frame(apiVersionsRequest(3), 2)...))
		if closes {
			w.expectClosed()
			return
		}
		w.response(apiVersionsRequest(3), 2)
		p.seq[topic] += int32(len(values))
	}
	t.Run("idempotent", func(t *testing.T) {
		topic := x.topic(1)
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.ProducerID, req.ProducerEpoch = 4, -1, -1
		resp := ask[*kmsg.InitProducerIDResponse](x, req)
		p := &txnProducer{x: x, id: resp.ProducerID, epoch: resp.ProducerEpoch, seq: map[string]int32{}}
		quietly(t, p, 9, topic, false, "a")
		p.seq[topic] = 0
		quietly(t, p, 9, topic, false, "a") // again
		p.seq[topic] = 5
		quietly(t, p, 9, topic, true, "gap")
		p.seq[topic] = 1
		quietly(t, p, 9, topic, false, "b")
		values, _ := x.readCommitted(topic, 0)
		wantValues(t, values, "a", "b")
	})
	t.Run("transactions", func(t *testing.T) {
		topic, txnID := x.topic(1), x.name()
		p := x.producer(txnID)
		quietly(t, p, 11, topic, true, "not added")
		p.begin(topic)
		quietly(t, p, 11, topic, false, "a")
		p.mustProduce(topic, "b")
		p.mustEnd(true)
		p = x.producer(txnID)
		p.begin(topic)
		quietly(t, p, 11, topic, false, "aborted")
		p.mustEnd(false)
		zombie := *p
		p = x.producer(txnID)
		quietly(t, &zombie, 11, topic, true, "fenced")
		quietly(t, &zombie, 12, topic, true, "fenced")
		quietly(t, p, 12, topic, false, "c") // adds the partition
		quietly(t, p, 12, topic, false, "d")
		wantCode(t, "EndTxn", int16(p.endWith(5, true)), kproto.None)
		x.eventually("all of it is committed", func() bool {
			values, lso := x.readCommitted(topic, 0)
			return len(values) == 4 && lso == x.listOffset(9, topic, 0, -1).Offset
		})
		values, _ := x.readCommitted(topic, 0)
		wantValues(t, values, "a", "b", "c", "d")
	})
	t.Run("order", func(t *testing.T) {
		topic := x.topic(1)
		p := x.producer(x.name())
		w := x.dial()
		quiet := p.batch(12, 0, topic, "first")
		p.seq[topic]++
		loud := p.batch(12, -1, topic, "second")
		w.send(append(frame(quiet, 1), frame(loud, 2)...))
		out := w.response(loud, 2).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		wantCode(t, "what follows on the connection", out.ErrorCode, kproto.None)
		if out.BaseOffset != 1 {
			t.Errorf("it is at offset %d, want 1", out.BaseOffset)
		}
		wantCode(t, "EndTxn", int16(p.endWith(5, true)), kproto.None)
	})
}
