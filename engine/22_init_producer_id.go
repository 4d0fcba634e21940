package engine

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/txn"
)

// InitProducerId (key 22), versions 0 to 5: the newest of Kafka is not stable yet, and is for two-phase commits (KIP-939), which are not supported. Without a transactional id any broker answers; with one its coordinator does (package txn).

// producerIDs gives out cluster-unique producer ids from blocks that the controller allocates.
type producerIDs struct {
	mu         sync.Mutex
	next, last int64 // next <= last: the rest of the block
}

// producerIDTimeout bounds how long a request waits for a new block of producer ids.
const producerIDTimeout = 10 * time.Second

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
	if req.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		resp.ErrorCode = int16(kproto.InvalidRequest)
		r.reply(resp)
		return
	}
	ctx, cancel := context.WithTimeout(r.broker.ctx, producerIDTimeout)
	defer cancel()
	if req.TransactionalID != nil {
		init := txn.Init{ID: *req.TransactionalID, TimeoutMillis: req.TransactionTimeoutMillis, ProducerID: -1, ProducerEpoch: -1}
		if req.Version >= 3 {
			init.ProducerID, init.ProducerEpoch = req.ProducerID, req.ProducerEpoch
		}
		r.broker.txns.Init(ctx, init, func(id int64, epoch int16, code kproto.ErrorCode) {
			resp.ProducerID, resp.ProducerEpoch, resp.ErrorCode = id, epoch, fencedCode(code, req.Version >= 4)
			r.reply(resp)
		})
		return
	}
	id, code := r.broker.producerIDs.take(ctx, r.broker)
	resp.ErrorCode = int16(code)
	if code == kproto.None {
		resp.ProducerID, resp.ProducerEpoch = id, 0
	}
	r.reply(resp)
}
