package engine_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
)

// TestProducerExpirationChanges: producer.id.expiration.ms may be changed while the broker runs. A producer is forgotten with the next upload.
func TestProducerExpirationChanges(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{Overrides: []string{"s3.wal.upload.interval.ms=100"}})
	x := &target{t, n.Seed(), n}
	topic, id := x.topic(1), x.producerID()
	x.mustSend(topic, sequence(id, 0, 0, 1))
	known := func() bool {
		x.mustSend(topic, batchOf("so that there is something to upload"))
		req := kmsg.NewPtrDescribeProducersRequest()
		req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0}}}
		p := ask[*kmsg.DescribeProducersResponse](x, req).Topics[0].Partitions[0]
		wantCode(t, "describe producers", p.ErrorCode, kproto.None)
		return len(p.ActiveProducers) > 0
	}
	if !known() {
		t.Fatal("the producer is not known")
	}
	x.alter(kmsg.ConfigResourceTypeBroker, "", "producer.id.expiration.ms=1")
	x.eventually("the producer is forgotten", func() bool { return !known() })
}
