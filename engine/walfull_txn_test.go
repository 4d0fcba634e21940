package engine_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
)

// TestWALFullTransactions: with a full write-ahead log, the first batch of a transaction waits for room as any other does, and so does the coordinator's record
// which says that its partition is part of the transaction.
func TestWALFullTransactions(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: fills a write-ahead log of 64 MB")
	}
	n := enginetest.Start(t, enginetest.Options{})
	x := &target{t, n.Seed(), n}
	topic := x.topic(1)
	adding, verified, late := x.producer("adding"), x.producer("verified"), x.producer("late")
	verified.begin(topic)
	late.begin(topic)
	end := outage(t, n)
	w := x.dial()
	for _, size := range []int{1<<20 - 1000, 1 << 15, 1} { // until there is no room for the least
		req := produceRequest(topic, -1, batchOf(string(make([]byte, size))))
		req.TimeoutMillis = 50
		x.eventually("the write-ahead log is full", func() bool {
			p := askOn[*kmsg.ProduceResponse](w, req).Topics[0].Partitions[0]
			if p.ErrorCode != 0 && p.ErrorCode != int16(kproto.RequestTimedOut) {
				t.Fatalf("produce: %v (%s)", kproto.ErrorCode(p.ErrorCode), deref(p.ErrorMessage))
			}
			return p.ErrorCode != 0
		})
	}
	type waiting struct {
		name string
		on   *wire
		req  *kmsg.ProduceRequest
		sent time.Time
	}
	var all []waiting
	for _, p := range []struct {
		name string
		*txnProducer
		version int16
	}{{"adds its partition", adding, 12}, {"is verified", verified, 11}} {
		w := waiting{name: p.name, on: x.dial(), req: p.batch(p.version, -1, topic, p.name)}
		w.req.TimeoutMillis = 600_000
		w.sent = time.Now()
		w.on.send(frame(w.req, 1))
		all = append(all, w)
	}
	req := late.batch(11, -1, topic, "late")
	req.TimeoutMillis = 50
	p := askOn[*kmsg.ProduceResponse](w, req).Topics[0].Partitions[0]
	wantCode(t, "a batch that waits too long", p.ErrorCode, kproto.RequestTimedOut)
	end()
	for _, w := range all {
		_ = w.on.SetDeadline(time.Now().Add(time.Minute))
		p := w.on.response(w.req, 1).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if p.ErrorCode == int16(kproto.NotEnoughReplicas) && time.Since(w.sent) > 10*time.Second {
			p = askOn[*kmsg.ProduceResponse](w.on, w.req).Topics[0].Partitions[0] // this machine stood still for longer than the coordinator waits
		}
		wantCode(t, w.name+": "+deref(p.ErrorMessage), p.ErrorCode, kproto.None)
	}
	wantCode(t, "EndTxn", int16(adding.endWith(5, true)), kproto.None)
	wantCode(t, "EndTxn", int16(verified.endWith(4, true)), kproto.None)
	wantCode(t, "EndTxn", int16(late.endWith(4, false)), kproto.None)
}
