package engine

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/txn"
)

// What would open a transaction on a partition waits for the transaction's coordinator (KIP-890), so that nothing is written that no marker will end: of
// an older producer it is asked whether the partition is part of the transaction, and by a newer one's write the partition is added. What comes
// later in the transaction is known to the partition, and costs a look at its state.

// Versions from which a request adds its partition to the transaction itself.
const (
	produceAdds      = 12
	offsetCommitAdds = 5
)

// checkTransaction judges the transactional batches of a request as a whole, as Kafka does.
func (op *produceOp) checkTransaction() kproto.ErrorCode {
	producer, epoch := int64(-1), int16(-1)
	for i := range op.request.Partitions {
		records := op.request.Partitions[i].Records
		if len(records) < kproto.BatchHeaderBytes || !kproto.Batch(records).IsTransactional() {
			continue
		}
		batch := kproto.Batch(records)
		switch {
		case op.request.TransactionalID == nil:
			return kproto.TransactionalIDAuthorizationFailed
		case producer >= 0 && (batch.ProducerID() != producer || batch.ProducerEpoch() != epoch):
			return kproto.InvalidProducerIDMapping
		}
		producer, epoch = batch.ProducerID(), batch.ProducerEpoch()
	}
	return kproto.None
}

// produceAsk is a partition of a Produce request that waits for the coordinator.
type produceAsk struct {
	index    int // in the request
	part     *partition.Partition
	verified partition.Verified
}

// producerOf names the producer of a transactional batch.
func (op *produceOp) producerOf(records []byte) txn.Producer {
	batch := kproto.Batch(records)
	return txn.Producer{ID: string(op.request.TransactionalID), ProducerID: batch.ProducerID(), ProducerEpoch: batch.ProducerEpoch()}
}

// verifiesTransactions reports whether the coordinator is asked about partitions that a transaction has to have added before. It may be changed at run time.
func (b *Broker) verifiesTransactions() bool {
	if text, ok := b.dynamicConfig()("transaction.partition.verification.enable"); ok {
		return strings.EqualFold(text, "true")
	}
	return b.cfg.Producer.TransactionPartitionVerification
}

// verify offers a batch that would open a transaction again if the coordinator is here and knows enough. ended: the answer is set, or will be by admit.
func (op *produceOp) verify(part *partition.Partition, rp *kproto.ProducePartition, result *kproto.ProduceResult, verified partition.Verified) (a partition.Appended, ended bool) {
	b := op.broker
	verified.Added = op.header.Version >= produceAdds
	if !verified.Added && !b.verifiesTransactions() {
		return op.offer(part, rp.Records, verified), false
	}
	codes, code := b.txns.Verify(op.producerOf(rp.Records), []txn.TopicPartition{{Topic: part.Topic, Index: part.Index}})
	if code == kproto.None {
		code = codes[0]
	}
	switch {
	case code == kproto.None:
		return op.offer(part, rp.Records, verified), false
	case !verified.Added && code != kproto.NotCoordinator:
		*result = kproto.FailedProduce(admissionCode(code, op.header.Version), "")
	default:
		op.asks = append(op.asks, produceAsk{index: op.next, part: part, verified: verified})
	}
	return a, true
}

// admit offers the batches of asks when the coordinator, asked about all of them at once, has answered, unless it returns that the request has to wait. Its frame
// is held meanwhile, so batches of the connection stay in order.
func (op *produceOp) admit() produceWait {
	if len(op.asks) == 0 {
		return waitNot
	}
	if !op.asked {
		op.ask()
	}
	codes := op.answer.Load()
	for ; op.admitted < len(op.asks); op.admitted++ {
		if codes == nil {
			return waitCoordinator
		}
		if wait := op.admitOne(&op.asks[op.admitted], (*codes)[op.admitted]); wait != waitNot {
			return wait
		}
	}
	return waitNot
}

// ask asks the coordinator about all partitions in asks. The operation does not end before the answer, so that it is not another one's by then.
func (op *produceOp) ask() {
	tps := make([]txn.TopicPartition, len(op.asks))
	for i, ask := range op.asks {
		tps[i] = txn.TopicPartition{Topic: ask.part.Topic, Index: ask.part.Index}
	}
	op.asked = true
	op.pending.Add(1)
	conn := op.conn.conn
	first := &op.asks[0]
	op.broker.askTransaction(op.producerOf(op.request.Partitions[first.index].Records), tps, first.verified.Added, func(codes []kproto.ErrorCode) {
		op.answer.Store(&codes)
		conn.Resume()
		op.done()
	})
}

// admitOne takes the coordinator's answer about a partition.
func (op *produceOp) admitOne(ask *produceAsk, code kproto.ErrorCode) produceWait {
	rp, result := &op.request.Partitions[ask.index], &op.results[ask.index]
	if code != kproto.None {
		*result = kproto.FailedProduce(admissionCode(code, op.header.Version), "")
		return waitNot
	}
	a := op.offer(ask.part, rp.Records, ask.verified)
	if a.Unverified {
		*result = kproto.FailedProduce(kproto.NotEnoughReplicas, "") // another transaction has ended since: the producer tries again
		return waitNot
	}
	return op.settle(ask.part, a, rp, result)
}

// admissionCode is how a producer is told that its batch was not taken.
func admissionCode(code kproto.ErrorCode, version int16) kproto.ErrorCode {
	switch code {
	case kproto.TransactionAbortable:
		if version < 11 {
			return kproto.InvalidTxnState
		}
	case kproto.ProducerFenced:
		return kproto.InvalidProducerEpoch
	case kproto.ConcurrentTransactions:
		if version < produceAdds {
			return kproto.NotEnoughReplicas
		}
	case kproto.CoordinatorLoadInProgress, kproto.CoordinatorNotAvailable, kproto.NotCoordinator, kproto.NetworkException:
		return kproto.NotEnoughReplicas // all that an old producer retries
	}
	return code
}

// txnOffsetCommit commits offsets in a transaction, whose partition of __consumer_offsets the coordinator has to know like any other.
func txnOffsetCommit(r *request) {
	req, b := r.body.(*kmsg.TxnOffsetCommitRequest), r.broker
	tp, adds := b.offsetsOf(req.Group), req.Version >= offsetCommitAdds
	fail := func(code kproto.ErrorCode) {
		r.reply(group.FailTxnOffsetCommit(req, int16(offsetsCode(code, req.Version))))
	}
	if req.Group == "" {
		fail(kproto.InvalidGroupID)
		return
	}
	p, code := b.partitionByName(tp.Topic, [16]byte{}, false, tp.Index)
	if code != kproto.None {
		fail(kproto.NotCoordinator)
		return
	}
	verified := p.LogEnd()
	switch {
	case p.InTransaction(req.ProducerID, req.ProducerEpoch):
		b.groups.TxnOffsetCommit(r.client(), req, partition.NotVerified.At, r.reply)
		return
	case !adds && !b.verifiesTransactions():
		b.groups.TxnOffsetCommit(r.client(), req, verified, r.reply)
		return
	}
	producer := txn.Producer{ID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch}
	b.askTransaction(producer, []txn.TopicPartition{tp}, adds, func(codes []kproto.ErrorCode) {
		if codes[0] != kproto.None {
			fail(codes[0])
			return
		}
		b.workers.Go(func() { b.groups.TxnOffsetCommit(r.client(), req, verified, r.reply) })
	})
}

// offsetsCode is how the sender of a TxnOffsetCommit is told that the offsets were not taken.
func offsetsCode(code kproto.ErrorCode, version int16) kproto.ErrorCode {
	switch code {
	case kproto.TransactionAbortable:
		if version < 4 {
			return kproto.InvalidTxnState
		}
	case kproto.ProducerFenced:
		return kproto.InvalidProducerEpoch
	case kproto.ConcurrentTransactions, kproto.NetworkException:
		return kproto.CoordinatorLoadInProgress // clients retry
	}
	return code
}

// askTransaction asks the coordinator of a producer's transaction, wherever it is, whether partitions are part of it, or to add them. reply is called
// once, on any goroutine, with a code for each partition; it must not block.
func (b *Broker) askTransaction(p txn.Producer, tps []txn.TopicPartition, add bool, reply func([]kproto.ErrorCode)) {
	one := func(code kproto.ErrorCode) {
		if code == kproto.NotCoordinator {
			b.questions.ask(b, &txnQuestion{producer: p, partitions: tps, add: add, reply: reply})
			return
		}
		reply(slices.Repeat([]kproto.ErrorCode{code}, len(tps)))
	}
	if add {
		b.txns.Add(p, tps, txn.Version2, b.cfg.Producer.TransactionAddWait, one)
		return
	}
	if codes, code := b.txns.Verify(p, tps); code != kproto.None {
		one(code)
	} else {
		reply(codes)
	}
}
