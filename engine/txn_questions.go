package engine

import (
	"cmp"
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/txn"
)

// Questions to transaction coordinators on other brokers, as AddPartitionsToTxn requests of the version for brokers, which takes many transactions at once.

const (
	questionRequests = 4   // on their way to a broker at the same time; what comes meanwhile goes together in the next
	questionBatch    = 256 // transactions in a request
	questionVersion  = 5   // of AddPartitionsToTxn: knows TRANSACTION_ABORTABLE
)

// txnQuestion asks about one transaction. Its number is bounded by that of connections: one has one question at a time.
type txnQuestion struct {
	producer   txn.Producer
	partitions []txn.TopicPartition
	add        bool // add them, instead of asking whether they are part of it
	reply      func([]kproto.ErrorCode)
}

func (q *txnQuestion) answer(code kproto.ErrorCode) {
	codes := make([]kproto.ErrorCode, len(q.partitions))
	for i := range codes {
		codes[i] = code
	}
	q.reply(codes)
}

// txnQuestions are the questions on their way to other brokers. The zero value is ready.
type txnQuestions struct {
	mu       sync.Mutex
	byBroker map[int32]*questionQueue
}

type questionQueue struct {
	waiting  []*txnQuestion
	requests int
}

// ask sends a question to the broker that leads the transaction's partition of __transaction_state. It does not block.
func (qs *txnQuestions) ask(b *Broker, q *txnQuestion) {
	leader, _ := b.leaderOf(transactionsTopic, [16]byte{}, group.PartitionFor(q.producer.ID, b.txns.NumPartitions()))
	if leader < 0 || leader == b.cfg.NodeID {
		q.answer(kproto.CoordinatorNotAvailable)
		return
	}
	qs.mu.Lock()
	if qs.byBroker == nil {
		qs.byBroker = make(map[int32]*questionQueue)
	}
	queue := qs.byBroker[leader]
	if queue == nil {
		queue = &questionQueue{}
		qs.byBroker[leader] = queue
	}
	queue.waiting = append(queue.waiting, q)
	more := queue.requests < questionRequests
	if more {
		queue.requests++
	}
	qs.mu.Unlock()
	if more {
		b.workers.Go(func() { qs.send(b, leader, queue) })
	}
}

// send asks until nothing waits any more.
func (qs *txnQuestions) send(b *Broker, leader int32, queue *questionQueue) {
	for {
		qs.mu.Lock()
		batch := queue.take()
		if len(batch) == 0 {
			if queue.requests--; queue.requests == 0 {
				delete(qs.byBroker, leader)
			}
			qs.mu.Unlock()
			return
		}
		qs.mu.Unlock()
		b.putQuestions(b.serving, leader, batch)
	}
}

// take takes a batch out of the queue. A transactional id occurs in it once, because the answer names nothing else.
func (queue *questionQueue) take() (batch []*txnQuestion) {
	ids := make(map[string]bool)
	rest := queue.waiting[:0]
	for _, q := range queue.waiting {
		if len(batch) == questionBatch || ids[q.producer.ID] {
			rest = append(rest, q)
			continue
		}
		ids[q.producer.ID] = true
		batch = append(batch, q)
	}
	clear(queue.waiting[len(rest):])
	queue.waiting = rest
	return batch
}

// putQuestions asks another broker, and answers every question.
func (b *Broker) putQuestions(ctx context.Context, leader int32, batch []*txnQuestion) {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version = questionVersion
	for _, q := range batch {
		rt := kmsg.NewAddPartitionsToTxnRequestTransaction()
		rt.TransactionalID, rt.ProducerID, rt.ProducerEpoch, rt.VerifyOnly = q.producer.ID, q.producer.ProducerID, q.producer.ProducerEpoch, !q.add
		at := make(map[string]int)
		for _, tp := range q.partitions {
			i, ok := at[tp.Topic]
			if !ok {
				i = len(rt.Topics)
				at[tp.Topic] = i
				rt.Topics = append(rt.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: tp.Topic})
			}
			rt.Topics[i].Partitions = append(rt.Topics[i].Partitions, tp.Index)
		}
		req.Transactions = append(req.Transactions, rt)
	}
	type about struct {
		id string
		tp txn.TopicPartition
	}
	answers := make(map[about]kproto.ErrorCode)
	missing := kproto.NetworkException
	answer, err := b.askBroker(ctx, leader, req)
	if err != nil {
		b.log.Debug("transactions not verified", "broker", leader, "transactions", len(batch), "cause", err)
	} else {
		resp := answer.(*kmsg.AddPartitionsToTxnResponse)
		missing = cmp.Or(kproto.ErrorCode(resp.ErrorCode), kproto.UnknownServerError)
		if missing == kproto.ClusterAuthorizationFailed {
			b.log.Warn("transactions not verified: the broker's own principal may not ask", "broker", leader, "error", missing.String())
			missing = kproto.InvalidTxnState // the client has nothing to do with it
		}
		for _, t := range resp.Transactions {
			for _, at := range t.Topics {
				for _, ap := range at.Partitions {
					answers[about{t.TransactionalID, txn.TopicPartition{Topic: at.Topic, Index: ap.Partition}}] = kproto.ErrorCode(ap.ErrorCode)
				}
			}
		}
	}
	for _, q := range batch {
		codes := make([]kproto.ErrorCode, len(q.partitions))
		for i, tp := range q.partitions {
			code, ok := answers[about{q.producer.ID, tp}]
			if !ok {
				code = missing
			}
			codes[i] = code
		}
		q.reply(codes)
	}
}
