package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/quota"
	"github.com/ringmq/ringmq/netpoll"
)

// Produce (key 0), versions 3 to 13; ApiVersions shows 0 as the lowest, for old librdkafka (KAFKA-18659).
//
//	v3 transactional id, v2 batches   v5 log start offset   v7 zstd   v8 record errors   v9 flexible
//	v10 current leader (KIP-951)      v11, v12 transactions v2 (KIP-890)   v13 topic ids
//
// Runs on the connection's event loop: decoded in place, each batch copied once, into the WAL's block. acks=1 and acks=all are both
// answered when the batch is durable. Different from Kafka: acks=1 is as strong as acks=all, and min.insync.replicas never refuses,
// since the copies that the cluster keeps are always in sync.

// produceOp is one Produce request from its decoding to its answer. Pooled.
type produceOp struct {
	broker *Broker
	conn   *connState
	resp   *netpoll.Response
	header kproto.RequestHeader

	request  kproto.ProduceRequest // aliases the frame while it is being served
	names    kproto.ProduceRequest // what the answer needs of it, own memory
	results  []kproto.ProduceResult
	next     int         // first partition that is not appended yet
	waits    produceWait // for what the held request waits
	deadline time.Time   // when it gives up

	// pending counts appends that are not durable yet, plus one while the request is being served.
	pending atomic.Int32
	failed  atomic.Bool // an append failed after it had been taken

	// Partitions of which the coordinator of the producer's transaction has to be asked first, see admit; admitted of them have their answers.
	asks     []produceAsk
	admitted int
	asked    bool
	answer   atomic.Pointer[[]kproto.ErrorCode] // of the coordinator, nil until it comes

	// What a quota counts, see quotas.go; meter is nil when nothing counts.
	meter *quota.Client
	size  int // of the request
	began time.Time
	spent time.Duration
}

var produceOps = sync.Pool{New: func() any { return new(produceOp) }}

// repeat waits until a batch that was appended before is durable.
type repeat struct {
	op    *produceOp
	part  *partition.Partition
	at    partition.Watch
	upTo  int64
	fired atomic.Bool
}

func (b *Broker) produce(st *connState, header kproto.RequestHeader, frame, body []byte) netpoll.Verdict {
	op := produceOps.Get().(*produceOp)
	op.broker, op.conn, op.header = b, st, header
	op.header.ClientID = nil
	if err := op.request.Decode(header.Version, body); err != nil {
		op.release()
		return b.reject(st.conn, "malformed Produce request", err)
	}
	op.next = 0
	op.failed.Store(false)
	op.pending.Store(1)
	op.results = append(op.results[:0], make([]kproto.ProduceResult, len(op.request.Partitions))...)
	if op.meter = b.metered(st, header.ClientID); op.meter != nil {
		op.size = len(frame)
		op.serving()
	}
	op.resp = st.conn.Begin()
	st.begin()
	return op.serve(string(header.ClientID) == adminClientID)
}

// adminClientID may write to internal topics, as in Kafka.
const adminClientID = "__admin_client"

// serve appends what is left of the request. When the WAL is full the frame is held and resume goes on later.
func (op *produceOp) serve(admin bool) netpoll.Verdict {
	badAcks := op.request.Acks < -1 || op.request.Acks > 1
	badTxn := op.refused()
	if badTxn == kproto.None {
		badTxn = op.checkTransaction()
	}
	for ; op.next < len(op.request.Partitions); op.next++ {
		rp, result := &op.request.Partitions[op.next], &op.results[op.next]
		if badAcks {
			*result = kproto.FailedProduce(kproto.InvalidRequiredAcks, "")
			continue
		}
		if badTxn != kproto.None {
			*result = kproto.FailedProduce(badTxn, "")
			continue
		}
		if wait := op.append(rp, result, admin); wait != waitNot {
			if op.park(wait) {
				return netpoll.Hold
			}
			op.next--
		}
	}
	for wait := op.admit(); wait != waitNot; wait = op.admit() {
		if op.park(wait) {
			return netpoll.Hold
		}
	}
	if op.conn.parked != nil || !op.deadline.IsZero() {
		op.broker.parked.remove(op.conn.conn)
	}
	op.conn.parked = nil
	op.deadline = time.Time{}
	op.resting()
	if op.request.Acks == 0 {
		return op.finishUnacknowledged()
	}
	op.request.CloneInto(&op.names)
	op.done()
	return netpoll.Next
}

// park has the request wait, with its frame, unless it returns that the attempt is to be repeated first.
func (op *produceOp) park(wait produceWait) bool {
	if wait != waitCoordinator {
		if op.deadline.IsZero() {
			op.deadline = time.Now().Add(time.Duration(max(op.request.TimeoutMillis, 0)) * time.Millisecond)
		}
		// Room that came between the refusal and the note in the list would wake nobody: once noted, try again.
		if op.broker.parked.add(op.conn.conn, op.deadline) {
			if wait == waitRoom {
				op.broker.metrics.walFull.Add(1)
			}
			return false
		}
	}
	op.request.CloneInto(&op.names) // the frame is not ours when the broker closes
	op.conn.parked, op.waits = op, wait
	if wait == waitRoom {
		op.broker.noteFull()
	}
	op.resting()
	if op.broker.closing.Load() {
		op.giveUp()
	}
	return true
}

// produceWait says what a produce has to wait for.
type produceWait uint8

const (
	waitNot         produceWait = iota
	waitRoom                    // in the WAL
	waitLeader                  // the partition is on its way, here or elsewhere
	waitCoordinator             // of the producer's transaction, for its answer
)

// append offers one partition's records, unless it returns that they have to wait.
func (op *produceOp) append(rp *kproto.ProducePartition, result *kproto.ProduceResult, admin bool) produceWait {
	t := &op.request.Topics[rp.Topic]
	if op.broker.authorizer != nil && !op.mayProduce(t) {
		*result = kproto.FailedProduce(kproto.TopicAuthorizationFailed, "")
		return waitNot
	}
	part, code := op.broker.partitionFor(t.Name, t.ID, op.header.Version >= 13, rp.Index)
	*result = kproto.FailedProduce(code, "")
	if code == kproto.None && !admin && isInternalTopic(part.Topic) {
		result.ErrorCode = kproto.InvalidTopicException
		return waitNot
	}
	if code == kproto.NotLeaderOrFollower {
		return op.elsewhere(t, rp.Index, result)
	}
	if code != kproto.None {
		return waitNot
	}
	a := op.offer(part, rp.Records, partition.NotVerified)
	if a.Unverified {
		var ended bool
		if a, ended = op.verify(part, rp, result, a.Verified); ended {
			return waitNot
		}
	}
	return op.settle(part, a, rp, result)
}

// settle makes the answer of a partition to which a batch was offered, unless it returns that the batch has to wait.
func (op *produceOp) settle(part *partition.Partition, a partition.Appended, rp *kproto.ProducePartition, result *kproto.ProduceResult) produceWait {
	if a.Full {
		return waitRoom
	}
	if a.Code == kproto.NotLeaderOrFollower { // since we found it
		result.ErrorCode = a.Code
		return op.elsewhere(&op.request.Topics[rp.Topic], rp.Index, result)
	}
	op.take(part, a, result, len(rp.Records))
	return waitNot
}

// offer gives a batch to its partition.
func (op *produceOp) offer(part *partition.Partition, records []byte, verified partition.Verified) partition.Appended {
	op.pending.Add(1)
	a := part.Append(records, op.header.Version, verified, op)
	if !a.Pending {
		op.pending.Add(-1)
	}
	return a
}

// take makes the answer of a partition of what became of its batch of n bytes.
func (op *produceOp) take(part *partition.Partition, a partition.Appended, result *kproto.ProduceResult, n int) {
	result.ErrorCode, result.ErrorMessage, result.RecordErrors = a.Code, a.Message, a.RecordErrors
	result.BaseOffset, result.LogAppendTime, result.LogStartOffset = a.BaseOffset, a.LogAppendTime, a.LogStart
	switch a.Code { // of what does not get as far as the log, Kafka does not say where that starts
	case kproto.CorruptMessage, kproto.MessageTooLarge, kproto.RecordListTooLarge:
		result.LogStartOffset = -1
	case kproto.InvalidRecord:
		if len(a.RecordErrors) == 0 {
			result.LogStartOffset = -1
		}
	}
	if a.WaitFor > 0 {
		op.waitForRepeat(part, a.WaitFor)
	}
	if a.Code == kproto.None {
		op.broker.metrics.produced(n)
	}
}

// elsewhere answers for a partition that is not open here: who leads it, unless that is being decided.
func (op *produceOp) elsewhere(t *kproto.ProduceTopic, index int32, result *kproto.ProduceResult) produceWait {
	if op.broker.isHeld(t.Name, t.ID, op.header.Version >= 13, index) {
		return waitLeader
	}
	op.broker.currentLeader(t.Name, t.ID, index, result)
	return waitNot
}

// resume goes on with a held request whose frame is delivered again, when what it waits for may be there or the request has waited long enough.
func (op *produceOp) resume(frame []byte) netpoll.Verdict {
	header, body, err := kproto.ParseHeader(frame)
	if err == nil {
		err = op.request.Decode(header.Version, body) // the frame may have moved
	}
	if err != nil {
		panic("BUG: engine: a held Produce frame does not decode any more: " + err.Error())
	}
	op.serving()
	if !op.deadline.IsZero() && !time.Now().Before(op.deadline) {
		refusal := kproto.FailedProduce(kproto.RequestTimedOut, "the write-ahead log is full: the object store does not take uploads fast enough")
		switch op.waits {
		case waitLeader:
			refusal = kproto.FailedProduce(kproto.NotLeaderOrFollower, "the partition is on its way to another leader")
		case waitCoordinator:
			refusal = kproto.FailedProduce(kproto.RequestTimedOut, "the coordinator of the transaction did not answer")
		}
		op.refuseRest(refusal)
	}
	return op.serve(string(header.ClientID) == adminClientID)
}

// refuseRest gives up what is not appended yet.
func (op *produceOp) refuseRest(refusal kproto.ProduceResult) {
	for ; op.next < len(op.results); op.next++ {
		op.results[op.next] = refusal
	}
	for ; op.admitted < len(op.asks); op.admitted++ {
		op.results[op.asks[op.admitted].index] = refusal
	}
}

// giveUp answers a held request because the broker closes. Its frame stays held. Runs on the connection's goroutine.
func (op *produceOp) giveUp() {
	op.conn.parked = nil
	op.broker.parked.remove(op.conn.conn)
	op.refuseRest(kproto.FailedProduce(kproto.NotLeaderOrFollower, "the broker is shutting down"))
	op.done()
}

// abandon ends a held request whose connection is gone, and its frame with it: there is no answer, as for acks=0.
func (op *produceOp) abandon() {
	op.names.Acks = 0
	op.done()
}

// finishUnacknowledged ends an acks=0 request: no answer, but an error closes the connection so that the client notices.
func (op *produceOp) finishUnacknowledged() netpoll.Verdict {
	verdict := netpoll.Next
	for i := range op.results {
		if op.results[i].ErrorCode != kproto.None {
			verdict = netpoll.Close
		}
	}
	op.request.CloneInto(&op.names)
	op.done()
	return verdict
}

// Appended implements s3stream.Done: one batch is durable, or failed. It runs on the WAL's commit goroutine, which flushes the broker's batch of
// acknowledgements when it has told everybody whose append came with the same commit.
func (op *produceOp) Appended(err error) {
	if err != nil {
		op.failed.Store(true)
	}
	op.doneIn(&op.broker.acks)
}

// waitForRepeat holds the answer back until the first append of the same batch is durable.
func (op *produceOp) waitForRepeat(part *partition.Partition, upTo int64) {
	r := &repeat{op: op, part: part, upTo: upTo}
	op.pending.Add(1)
	part.Watch(&r.at, r)
	r.Ready()
}

// Ready implements partition.Waiter. It may run under the partition's waiter lock, so the watch is ended elsewhere.
func (r *repeat) Ready() {
	if (r.part.HighWatermark() >= r.upTo || r.part.Resigned()) && r.fired.CompareAndSwap(false, true) {
		r.op.broker.workers.Go(func() {
			r.at.Unwatch()
			if r.part.HighWatermark() < r.upTo {
				r.op.failed.Store(true)
			}
			r.op.done()
		})
	}
}

// done drops one of the things the answer waits for; the last one sends it.
func (op *produceOp) done() { op.doneIn(nil) }

// doneIn is done, with the answer sent in a batch, which may be nil.
func (op *produceOp) doneIn(batch *netpoll.Batch) {
	if op.pending.Add(-1) > 0 {
		return
	}
	st := op.conn
	wait := op.throttle()
	if op.names.Acks == 0 {
		op.resp.Drop()
	} else {
		if op.failed.Load() {
			op.failAll()
		}
		head := kproto.AppendResponseHeader(op.resp.Buf(), kproto.KeyProduce, op.header.Version, op.header.CorrelationID)
		op.resp.SetBuf(kproto.AppendProduceResponse(head, op.header.Version, &op.names, op.results, op.broker.leaderEndpoints(op.results, st.listener), wait))
		op.resp.SendIn(batch)
	}
	op.release()
	st.end()
}

// failAll turns what had been taken into errors: the device failed before it was durable.
func (op *produceOp) failAll() {
	for i := range op.results {
		if op.results[i].ErrorCode == kproto.None {
			op.results[i] = kproto.FailedProduce(kproto.KafkaStorageError, "the write-ahead log failed before the batch was durable")
		}
	}
}

func (op *produceOp) release() {
	clear(op.asks)
	op.asks, op.admitted, op.asked = op.asks[:0], 0, false
	op.answer.Store(nil)
	op.conn, op.resp, op.deadline = nil, nil, time.Time{}
	op.meter, op.spent = nil, 0
	produceOps.Put(op)
}
