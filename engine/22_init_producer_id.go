package engine

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// InitProducerId (key 22), versions 0 to 5, for idempotent producers. Transactional ids are refused: this broker has no transaction
// coordinator, and does not advertise the transaction APIs, so that clients say so before they get here.

// producerIDs gives out cluster-unique producer ids from blocks that the controller allocates.
type producerIDs struct {
	mu         sync.Mutex
	next, last int64 // next <= last: the rest of the block
}

func (ids *producerIDs) take(ctx context.Context, b *Broker) (int64, kproto.ErrorCode) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.next > ids.last || ids.last == 0 {
		req := kmsg.NewPtrAllocateProducerIDsRequest()
		req.BrokerID, req.BrokerEpoch = b.cfg.NodeID, b.brokerEpoch
		answer, code, _ := b.forward(ctx, req)
		if code != kproto.None {
			return -1, kproto.CoordinatorLoadInProgress // clients ask again
		}
		resp := answer.(*kmsg.AllocateProducerIDsResponse)
		if resp.ErrorCode != 0 {
			return -1, kproto.CoordinatorLoadInProgress
		}
		ids.next, ids.last = resp.ProducerIDStart, resp.ProducerIDStart+int64(resp.ProducerIDLen)-1
	}
	id := ids.next
	ids.next++
	return id, kproto.None
}

func initProducerID(r *request) {
	req := r.body.(*kmsg.InitProducerIDRequest)
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		resp.ErrorCode = int16(kproto.InvalidRequest)
		r.reply(resp)
		return
	}
	ctx, cancel := context.WithTimeout(r.broker.ctx, 10*time.Second)
	defer cancel()
	id, code := r.broker.producerIDs.take(ctx, r.broker)
	resp.ErrorCode = int16(code)
	if code == kproto.None {
		resp.ProducerID, resp.ProducerEpoch = id, 0
	}
	r.reply(resp)
}
