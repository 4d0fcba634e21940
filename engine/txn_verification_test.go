package engine_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestVerificationChanges: whether the coordinator is asked about a partition that a transaction did not add may be changed while the broker runs.
func TestVerificationChanges(t *testing.T) {
	x := contract(t)
	const key = "transaction.partition.verification.enable"
	topic := x.topic(1)
	p := x.producer(x.name())
	produce := func() kproto.ErrorCode { return kproto.ErrorCode(p.produce(9, topic, "x").ErrorCode) }
	if code := produce(); code != kproto.InvalidTxnState {
		t.Fatalf("a partition that is not in the transaction: %v", code)
	}
	x.alter(kmsg.ConfigResourceTypeBroker, "", key+"=false")
	defer ask[*kmsg.IncrementalAlterConfigsResponse](x, alterRequest(kmsg.ConfigResourceTypeBroker, "", kmsg.IncrementalAlterConfigOpDelete, key+"="))
	x.eventually("it is not verified any more", func() bool { return produce() == kproto.None })
}
