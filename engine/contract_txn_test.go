package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
)

// txnProducer is a transactional producer that speaks the protocol by hand.
type txnProducer struct {
	x       *target
	txnID   string
	id      int64
	epoch   int16
	seq     map[string]int32
	timeout int32
}

// producer becomes the only producer of a transactional id, however long an earlier transaction takes to end.
func (x *target) producer(txnID string) *txnProducer {
	x.t.Helper()
	p := &txnProducer{x: x, txnID: txnID, timeout: 60000}
	x.eventually("a transaction coordinator", func() bool {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorType, req.CoordinatorKeys = 4, 1, []string{txnID}
		return ask[*kmsg.FindCoordinatorResponse](x, req).Coordinators[0].ErrorCode == 0
	})
	x.eventually("a producer id", func() bool {
		switch code := p.init(5, -1, -1); code {
		case kproto.None:
			return true
		case kproto.ConcurrentTransactions, kproto.NotCoordinator, kproto.CoordinatorLoadInProgress:
			return false
		default:
			x.t.Fatalf("InitProducerId: %v", code)
			return false
		}
	})
	return p
}

func (p *txnProducer) init(version int16, id int64, epoch int16) kproto.ErrorCode {
	p.x.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = version, &p.txnID, p.timeout, id, epoch
	resp := ask[*kmsg.InitProducerIDResponse](p.x, req)
	if resp.ErrorCode == 0 {
		p.id, p.epoch, p.seq = resp.ProducerID, resp.ProducerEpoch, map[string]int32{}
	}
	return kproto.ErrorCode(resp.ErrorCode)
}

func (p *txnProducer) add(version int16, topics ...string) (codes []kproto.ErrorCode) {
	p.x.t.Helper()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, p.txnID, p.id, p.epoch
	for _, topic := range topics {
		req.Topics = append(req.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: topic, Partitions: []int32{0}})
	}
	for _, at := range ask[*kmsg.AddPartitionsToTxnResponse](p.x, req).Topics {
		for _, ap := range at.Partitions {
			codes = append(codes, kproto.ErrorCode(ap.ErrorCode))
		}
	}
	return codes
}

// begin adds a topic's partition 0 to the transaction, however long the last one takes to end.
func (p *txnProducer) begin(topics ...string) {
	p.x.t.Helper()
	p.x.eventually("the partition is added", func() bool {
		codes := p.add(3, topics...)
		if slices.Contains(codes, kproto.ConcurrentTransactions) {
			return false
		}
		for _, code := range codes {
			if code != kproto.None {
				p.x.t.Fatalf("AddPartitionsToTxn: %v", code)
			}
		}
		return true
	})
}

func (p *txnProducer) produce(version int16, topic string, values ...string) kmsg.ProduceResponseTopicPartition {
	p.x.t.Helper()
	out := ask[*kmsg.ProduceResponse](p.x, p.batch(version, -1, topic, values...)).Topics[0].Partitions[0]
	if out.ErrorCode == 0 {
		p.seq[topic] += int32(len(values))
	}
	return out
}

// batch is the request that produces the next records to a topic's partition 0.
func (p *txnProducer) batch(version, acks int16, topic string, values ...string) *kmsg.ProduceRequest {
	var bb kproto.BatchBuilder
	bb.SetProducer(p.id, p.epoch, p.seq[topic], p.txnID != "")
	for _, v := range values {
		bb.Add(time.Now().UnixMilli(), nil, []byte(v), nil)
	}
	req := produceRequest(topic, acks, bb.Bytes())
	req.Version = version
	if p.txnID != "" {
		req.TransactionID = &p.txnID
	}
	return req
}

func (p *txnProducer) mustProduce(topic string, values ...string) int64 {
	p.x.t.Helper()
	out := p.produce(9, topic, values...)
	if out.ErrorCode != 0 {
		p.x.t.Fatalf("transactional produce: %v", kproto.ErrorCode(out.ErrorCode))
	}
	return out.BaseOffset
}

func (p *txnProducer) end(version int16, commit bool) kproto.ErrorCode {
	p.x.t.Helper()
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = version, p.txnID, p.id, p.epoch, commit
	resp := ask[*kmsg.EndTxnResponse](p.x, req)
	if version >= 5 && resp.ErrorCode == 0 {
		p.id, p.epoch, p.seq = resp.ProducerID, resp.ProducerEpoch, map[string]int32{}
	}
	return kproto.ErrorCode(resp.ErrorCode)
}

func (p *txnProducer) mustEnd(commit bool) {
	p.x.t.Helper()
	if code := p.end(4, commit); code != kproto.None {
		p.x.t.Fatalf("EndTxn: %v", code)
	}
}

// commitOffset commits an offset of a topic's partition 0 in the transaction, however long the coordinators take to serve.
func (p *txnProducer) commitOffset(version int16, group, topic string, offset int64) (code kproto.ErrorCode) {
	p.x.t.Helper()
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = version, p.txnID, group, p.id, p.epoch, -1
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset, rp.LeaderEpoch = offset, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	p.x.eventually("the coordinators serve", func() bool {
		code = kproto.ErrorCode(ask[*kmsg.TxnOffsetCommitResponse](p.x, req).Topics[0].Partitions[0].ErrorCode)
		return code != kproto.NotCoordinator && code != kproto.CoordinatorLoadInProgress
	})
	return code
}

// state is what DescribeTransactions says.
func (x *target) txnState(id string) kmsg.DescribeTransactionsResponseTransactionState {
	x.t.Helper()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	return ask[*kmsg.DescribeTransactionsResponse](x, req).TransactionStates[0]
}

// settled waits until the id's transaction is complete.
func (p *txnProducer) settled(state string) {
	p.x.t.Helper()
	p.x.eventually("the transaction is "+state, func() bool { return p.x.txnState(p.txnID).State == state })
}

// committed reads partition 0 from its start as a reader of committed records does: values, and the last stable offset.
func (x *target) readCommitted(topic string, offset int64) (values []string, lso int64) {
	x.t.Helper()
	req := fetchRequest(12, 0, 1)
	req.IsolationLevel = 1
	addFetch(req, topic, [16]byte{}, 0, offset, 50<<20)
	p := ask[*kmsg.FetchResponse](x, req).Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.AbortedTransactions == nil {
		x.t.Fatalf("fetch: %v, aborted %v", kproto.ErrorCode(p.ErrorCode), p.AbortedTransactions)
	}
	aborted := map[int64][]int64{}
	for _, a := range p.AbortedTransactions {
		aborted[a.ProducerID] = append(aborted[a.ProducerID], a.FirstOffset)
	}
	skip := map[int64]bool{}
	var it kproto.RecordIter
	defer it.Close()
	err := kproto.SplitBatches(p.RecordBatches, func(b kproto.Batch) error {
		id := b.ProducerID()
		if firsts := aborted[id]; len(firsts) > 0 && firsts[0] <= b.LastOffset() {
			skip[id], aborted[id] = true, firsts[1:]
		}
		if b.IsControl() {
			skip[id] = false
			return nil
		}
		if b.IsTransactional() && skip[id] {
			return nil
		}
		if err := it.Reset(b); err != nil {
			return err
		}
		for it.Next() {
			values = append(values, string(it.Record().Value))
		}
		return it.Err()
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return values, p.LastStableOffset
}

func wantValues(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

// TestTransactionVisibility holds statements 85 to 87, 200 and 203: nothing of an open transaction is read, nothing of an aborted one ever.
func TestTransactionVisibility(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	a, b := x.producer(x.name()), x.producer(x.name())
	a.begin(topic)
	b.begin(topic)
	x.mustSend(topic, batchOf("plain 0"))
	first := a.mustProduce(topic, "a 0", "a 1")
	b.mustProduce(topic, "b 0")
	x.mustSend(topic, batchOf("plain 1"))
	values, lso := x.readCommitted(topic, 0)
	wantValues(t, values, "plain 0")
	if lso != first {
		t.Errorf("last stable offset %d, the open transaction begins at %d", lso, first)
	}
	if latest := listOffsetsRequest(9, topic, 0, -1); true {
		latest.IsolationLevel = 1
		if p := ask[*kmsg.ListOffsetsResponse](x, latest).Topics[0].Partitions[0]; p.Offset != first {
			t.Errorf("latest committed offset %d, want %d", p.Offset, first)
		}
	}
	if p := x.fetch(topic, 0); p.AbortedTransactions != nil {
		t.Errorf("a reader of uncommitted records is told of aborted transactions: %v", p.AbortedTransactions)
	}
	b.mustEnd(true)
	b.settled("CompleteCommit")
	values, _ = x.readCommitted(topic, 0)
	wantValues(t, values, "plain 0")
	a.mustEnd(false)
	a.settled("CompleteAbort")
	values, lso = x.readCommitted(topic, 0)
	wantValues(t, values, "plain 0", "b 0", "plain 1")
	if lso != 7 {
		t.Errorf("last stable offset %d, want 7: five records and two markers", lso)
	}
	x.restart()
	a.x, b.x = x, x
	values, lso = x.readCommitted(topic, 0)
	wantValues(t, values, "plain 0", "b 0", "plain 1")
	if lso != 7 {
		t.Errorf("after a restart: last stable offset %d, want 7", lso)
	}
}

// TestTransactionRules holds statements 186 to 189, 191, 193, 195, 197, 204 and 207.
func TestTransactionRules(t *testing.T) {
	x := contract(t)
	topic, other := x.topic(1), x.name()
	x.create(other, 1)
	check := x.check
	p := x.producer(x.name())
	bad := *p
	bad.txnID = ""
	check("empty id", bad.init(4, -1, -1), kproto.InvalidRequest)
	bad = *p
	bad.timeout = 0
	check("no timeout", bad.init(4, -1, -1), kproto.InvalidTransactionTimeout)
	bad.timeout = 900001
	check("long timeout", bad.init(4, -1, -1), kproto.InvalidTransactionTimeout)
	check("half a producer", p.init(4, p.id, -1), kproto.InvalidRequest)

	check("commit of nothing", p.end(4, true), kproto.InvalidTxnState)
	check("produce without add", kproto.ErrorCode(p.produce(9, topic, "x").ErrorCode), kproto.InvalidTxnState)
	check("the same, v11", kproto.ErrorCode(p.produce(11, topic, "x").ErrorCode), kproto.TransactionAbortable)
	if codes := p.add(3, topic, "no-such-topic"); !slices.Equal(codes, []kproto.ErrorCode{kproto.OperationNotAttempted, kproto.UnknownTopicOrPartition}) {
		t.Errorf("add an unknown topic: %v", codes)
	}
	bad = *p
	bad.id++
	check("add, other producer id", bad.add(3, topic)[0], kproto.InvalidProducerIDMapping)
	bad = *p
	bad.epoch++
	check("add, other epoch", bad.add(3, topic)[0], kproto.ProducerFenced)
	check("add, other epoch, v1", bad.add(1, topic)[0], kproto.InvalidProducerEpoch)
	bad = *p
	bad.txnID = x.name()
	check("add, unknown id", bad.add(3, topic)[0], kproto.InvalidProducerIDMapping)

	check("add", p.add(3, topic)[0], kproto.None)
	check("add again", p.add(3, topic)[0], kproto.None)
	p.mustProduce(topic, "one")
	check("a partition that is not in it", kproto.ErrorCode(p.produce(9, other, "x").ErrorCode), kproto.InvalidTxnState)
	var plain kproto.BatchBuilder
	plain.SetProducer(p.id, p.epoch, 1, false)
	plain.Add(0, nil, []byte("x"), nil)
	check("not transactional", kproto.ErrorCode(x.send(topic, plain.Bytes()).ErrorCode), kproto.InvalidTxnState)
	plain.Reset()
	plain.SetProducer(p.id, p.epoch, 1, true)
	plain.Add(0, nil, []byte("x"), nil)
	check("no transactional id", kproto.ErrorCode(x.send(topic, plain.Bytes()).ErrorCode), kproto.TransactionalIDAuthorizationFailed)

	check("commit", p.end(4, true), kproto.None)
	p.settled("CompleteCommit")
	check("commit again", p.end(4, true), kproto.None)
	check("abort what is committed", p.end(4, false), kproto.InvalidTxnState)

	// A second instance fences the first, and aborts what it left open.
	p.begin(topic)
	p.mustProduce(topic, "two")
	zombie := *p
	check("init while open", p.init(5, -1, -1), kproto.ConcurrentTransactions)
	x.eventually("the transaction is aborted", func() bool { return x.txnState(p.txnID).State == "CompleteAbort" })
	check("init", p.init(5, -1, -1), kproto.None)
	if p.id != zombie.id || p.epoch != zombie.epoch+2 {
		t.Errorf("producer %d epoch %d after %d epoch %d", p.id, p.epoch, zombie.id, zombie.epoch)
	}
	check("zombie adds", zombie.add(3, topic)[0], kproto.ProducerFenced)
	check("zombie ends", zombie.end(4, true), kproto.ProducerFenced)
	check("zombie ends, v1", zombie.end(1, true), kproto.InvalidProducerEpoch)
	check("zombie writes", kproto.ErrorCode(zombie.produce(9, topic, "x").ErrorCode), kproto.InvalidProducerEpoch)
	check("zombie asks for more", zombie.init(4, zombie.id, zombie.epoch), kproto.ProducerFenced)
	check("zombie asks for more, v3", zombie.init(3, zombie.id, zombie.epoch), kproto.InvalidProducerEpoch)
	before := *p
	check("bump", p.init(4, p.id, p.epoch), kproto.None)
	again := before
	check("bump, answer lost", again.init(4, before.id, before.epoch), kproto.None)
	if p.epoch != before.epoch+1 || again.epoch != p.epoch {
		t.Errorf("epochs %d, then %d, asked again %d", before.epoch, p.epoch, again.epoch)
	}
	wantCode(t, "unknown id", x.txnState(x.name()).ErrorCode, kproto.TransactionalIDNotFound)
	values, _ := x.readCommitted(topic, 0)
	wantValues(t, values, "one")
}

// crash ends the broker as the end of its process would, and starts it again.
func (x *target) crash() {
	x.t.Helper()
	if x.node == nil {
		x.t.Skipf("SKIPPED: what follows a crash of the broker; %s is not ours to crash", contractEnv)
	}
	x.node.Abandon()
	x.node = enginetest.Start(x.t, enginetest.Options{Dir: x.node.Dir})
	x.addr = x.node.Seed()
}

// TestTransactionCrashes lets the broker crash between any two steps: statements 72, 199, 203 and 205.
func TestTransactionCrashes(t *testing.T) {
	steps := []string{"init", "add", "produce", "produce more", "end"}
	for _, commit := range []bool{true, false} {
		for at := range steps {
			t.Run(fmt.Sprintf("commit=%t after %s", commit, steps[at]), func(t *testing.T) {
				x := contract(t)
				topic := x.topic(1)
				x.mustSend(topic, batchOf("before"))
				p := x.producer("t")
				run := []func(){
					func() {},
					func() { p.begin(topic) },
					func() { p.mustProduce(topic, "one") },
					func() { p.mustProduce(topic, "two") },
					func() { p.mustEnd(commit) },
				}
				for i, step := range run {
					x.eventually("the coordinator serves", func() bool { return x.txnState("t").ErrorCode == 0 })
					step()
					if i == at {
						x.crash()
						p.x = x
					}
				}
				state, want := "CompleteCommit", []string{"before", "one", "two"}
				if !commit {
					state, want = "CompleteAbort", want[:1]
				}
				p.settled(state)
				values, lso := x.readCommitted(topic, 0)
				wantValues(t, values, want...)
				// Three records and a marker, or two markers when the first was written and not noted before the crash.
				if hw := x.fetch(topic, 0).HighWatermark; lso != hw || lso < 4 || lso > 5 {
					t.Errorf("last stable offset %d, high watermark %d, want 4 or 5", lso, hw)
				}
			})
		}
	}
}

// TestTransactionTimeout holds statement 201.
func TestTransactionTimeout(t *testing.T) {
	x := contract(t, "transaction.abort.timed.out.transaction.cleanup.interval.ms=20")
	topic := x.topic(1)
	p := x.producer("t")
	p.timeout = 100
	if code := p.init(5, -1, -1); code != kproto.None {
		t.Fatal(code)
	}
	p.begin(topic)
	p.mustProduce(topic, "late")
	p.settled("CompleteAbort")
	if code := p.end(4, true); code != kproto.ProducerFenced {
		t.Errorf("commit after the time-out: %v", code)
	}
	values, lso := x.readCommitted(topic, 0)
	wantValues(t, values)
	if lso != 2 {
		t.Errorf("last stable offset %d, want 2", lso)
	}
}

// TestTransactionOffsets holds statements 136 and 196: offsets count when the transaction commits, and readers can wait for that.
func TestTransactionOffsets(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	x.coordinator("g")
	p := x.producer(x.name())
	commitOffset := func(offset int64) kproto.ErrorCode { return p.commitOffset(3, "g", topic, offset) }
	begin := func() {
		t.Helper()
		x.eventually("the group is added", func() bool {
			req := kmsg.NewPtrAddOffsetsToTxnRequest()
			req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = 3, p.txnID, p.id, p.epoch, "g"
			return ask[*kmsg.AddOffsetsToTxnResponse](x, req).ErrorCode == 0
		})
	}
	stable := func() kmsg.OffsetFetchResponseGroupTopicPartition {
		t.Helper()
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.RequireStable = 8, true
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "g"
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, Partitions: []int32{0}})
		req.Groups = append(req.Groups, g)
		return ask[*kmsg.OffsetFetchResponse](x, req).Groups[0].Topics[0].Partitions[0]
	}
	if code := commitOffset(5); code != kproto.InvalidTxnState {
		t.Errorf("offsets outside the transaction: %v", code)
	}
	begin()
	if code := commitOffset(5); code != kproto.None {
		t.Fatalf("offsets: %v", code)
	}
	if o := x.committed("g", topic); o.Offset != -1 {
		t.Errorf("offset %d before the commit", o.Offset)
	}
	wantCode(t, "stable offset", stable().ErrorCode, kproto.UnstableOffsetCommit)
	x.crash()
	p.x = x
	x.eventually("the group is loaded", func() bool {
		code := kproto.ErrorCode(stable().ErrorCode)
		return code == kproto.UnstableOffsetCommit
	})
	p.mustEnd(true)
	p.settled("CompleteCommit")
	if o := stable(); o.ErrorCode != 0 || o.Offset != 5 {
		t.Errorf("after the commit: %+v", o)
	}
	begin()
	if code := commitOffset(9); code != kproto.None {
		t.Fatalf("offsets: %v", code)
	}
	p.mustEnd(false)
	p.settled("CompleteAbort")
	if o := stable(); o.ErrorCode != 0 || o.Offset != 5 {
		t.Errorf("after the abort: %+v", o)
	}
	x.restart()
	if o := x.committed("g", topic); o.Offset != 5 {
		t.Errorf("after a restart: offset %d, want 5", o.Offset)
	}
}

// txnVersions are requests of the transaction APIs at each version, each of which must succeed.
func (x *target) txnVersions(topic, group string) map[int16]func(version int16) (kmsg.Request, func(kmsg.Response) error) {
	codes := func(codes ...int16) error {
		for _, code := range codes {
			if code != 0 {
				return fmt.Errorf("%v", kproto.ErrorCode(code))
			}
		}
		return nil
	}
	n := 0
	fresh := func() *txnProducer {
		n++
		return x.producer(fmt.Sprintf("%s-%d", x.name(), n))
	}
	return map[int16]func(version int16) (kmsg.Request, func(kmsg.Response) error){
		24: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			p := fresh()
			req := kmsg.NewPtrAddPartitionsToTxnRequest()
			req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = v, p.txnID, p.id, p.epoch
			req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: []int32{0}}}
			rt := kmsg.NewAddPartitionsToTxnRequestTransaction()
			rt.TransactionalID, rt.ProducerID, rt.ProducerEpoch = p.txnID, p.id, p.epoch
			rt.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: []int32{0}}}
			verify := rt
			verify.VerifyOnly = true
			verify.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: []int32{0}}}
			req.Transactions = append(req.Transactions, rt, verify)
			return req, func(r kmsg.Response) error {
				resp := r.(*kmsg.AddPartitionsToTxnResponse)
				if v < 4 {
					return codes(resp.Topics[0].Partitions[0].ErrorCode)
				}
				return codes(resp.ErrorCode, resp.Transactions[0].Topics[0].Partitions[0].ErrorCode)
			}
		},
		25: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			p := fresh()
			req := kmsg.NewPtrAddOffsetsToTxnRequest()
			req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = v, p.txnID, p.id, p.epoch, group
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.AddOffsetsToTxnResponse).ErrorCode) }
		},
		26: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			p := fresh()
			p.begin(topic)
			req := kmsg.NewPtrEndTxnRequest()
			req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = v, p.txnID, p.id, p.epoch, true
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.EndTxnResponse).ErrorCode) }
		},
		27: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			p := fresh()
			req := kmsg.NewPtrWriteTxnMarkersRequest()
			req.Version = v
			m := kmsg.NewWriteTxnMarkersRequestMarker()
			m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch = p.id, p.epoch, 0
			m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: []int32{0, 99}}}
			req.Markers = append(req.Markers, m)
			return req, func(r kmsg.Response) error {
				ps := r.(*kmsg.WriteTxnMarkersResponse).Markers[0].Topics[0].Partitions
				if len(ps) != 2 {
					return fmt.Errorf("%d answers", len(ps))
				}
				if ps[0].Partition == 99 { // Apache Kafka answers in any order
					ps[0], ps[1] = ps[1], ps[0]
				}
				if ps[1].ErrorCode != int16(kproto.UnknownTopicOrPartition) {
					return fmt.Errorf("partition 99: %v", kproto.ErrorCode(ps[1].ErrorCode))
				}
				return codes(ps[0].ErrorCode)
			}
		},
		28: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			p := fresh()
			x.coordinator("txn-group")
			add := kmsg.NewPtrAddOffsetsToTxnRequest()
			add.Version, add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = 3, p.txnID, p.id, p.epoch, "txn-group"
			if code := ask[*kmsg.AddOffsetsToTxnResponse](x, add).ErrorCode; code != 0 {
				x.t.Fatal(kproto.ErrorCode(code))
			}
			req := kmsg.NewPtrTxnOffsetCommitRequest()
			req.Version, req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = v, p.txnID, "txn-group", p.id, p.epoch, -1
			rt := kmsg.NewTxnOffsetCommitRequestTopic()
			rt.Topic, rt.Partitions = topic, []kmsg.TxnOffsetCommitRequestTopicPartition{{Offset: 1, LeaderEpoch: -1}}
			req.Topics = append(req.Topics, rt)
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		61: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			p := fresh()
			p.begin(topic)
			p.mustProduce(topic, "x")
			req := kmsg.NewPtrDescribeProducersRequest()
			req.Version, req.Topics = v, []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0, 99}}}
			return req, func(r kmsg.Response) error {
				ps := r.(*kmsg.DescribeProducersResponse).Topics[0].Partitions
				if ps[1].ErrorCode != int16(kproto.UnknownTopicOrPartition) {
					return fmt.Errorf("partition 99: %v", kproto.ErrorCode(ps[1].ErrorCode))
				}
				for _, a := range ps[0].ActiveProducers {
					if a.ProducerID == p.id && a.ProducerEpoch == int32(p.epoch) && a.LastSequence == 0 && a.CurrentTxnStartOffset >= 0 && a.CoordinatorEpoch == -1 {
						return codes(ps[0].ErrorCode)
					}
				}
				return fmt.Errorf("producer %d is not in %+v", p.id, ps[0].ActiveProducers)
			}
		},
		65: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			p := fresh()
			p.begin(topic)
			req := kmsg.NewPtrDescribeTransactionsRequest()
			req.Version, req.TransactionalIDs = v, []string{p.txnID}
			return req, func(r kmsg.Response) error {
				s := r.(*kmsg.DescribeTransactionsResponse).TransactionStates[0]
				if s.State != "Ongoing" || s.ProducerID != p.id || s.TimeoutMillis != p.timeout || len(s.Topics) != 1 || s.Topics[0].Topic != topic || !slices.Equal(s.Topics[0].Partitions, []int32{0}) {
					return fmt.Errorf("%+v", s)
				}
				return codes(s.ErrorCode)
			}
		},
		66: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			p := fresh()
			p.begin(topic)
			req := kmsg.NewPtrListTransactionsRequest()
			req.Version, req.StateFilters, req.ProducerIDFilters, req.DurationFilterMillis = v, []string{"Ongoing", "Sleeping"}, []int64{p.id}, -1
			if v >= 2 {
				pattern := ".*" + p.txnID[len(p.txnID)-4:]
				req.TransactionalIDPattern = &pattern
			}
			return req, func(r kmsg.Response) error {
				resp := r.(*kmsg.ListTransactionsResponse)
				if !slices.Equal(resp.UnknownStateFilters, []string{"Sleeping"}) || len(resp.TransactionStates) != 1 || resp.TransactionStates[0].TransactionalID != p.txnID {
					return fmt.Errorf("%+v", resp)
				}
				return codes(resp.ErrorCode)
			}
		},
	}
}
