package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// Transactions whose producer gets a new epoch with each end, and whose first write to a partition adds it (KIP-890 part 2): statements 193, 194, 198 and 200.

// write produces with a version that adds the partition, however long the transaction before takes to end.
func (p *txnProducer) write(topic string, values ...string) (out kmsg.ProduceResponseTopicPartition) {
	p.x.t.Helper()
	p.x.eventually("the transaction before is complete", func() bool {
		out = p.produce(12, topic, values...)
		return kproto.ErrorCode(out.ErrorCode) != kproto.ConcurrentTransactions && kproto.ErrorCode(out.ErrorCode) != kproto.NotEnoughReplicas
	})
	return out
}

func (p *txnProducer) mustWrite(topic string, values ...string) {
	p.x.t.Helper()
	if out := p.write(topic, values...); out.ErrorCode != 0 {
		p.x.t.Fatalf("transactional produce: %v", kproto.ErrorCode(out.ErrorCode))
	}
}

// endWith ends the transaction, however long another step of it takes.
func (p *txnProducer) endWith(version int16, commit bool) (code kproto.ErrorCode) {
	p.x.t.Helper()
	p.x.eventually("the coordinator has time", func() bool {
		code = p.end(version, commit)
		return code != kproto.ConcurrentTransactions && code != kproto.NotCoordinator && code != kproto.CoordinatorLoadInProgress
	})
	return code
}

// markers are the epochs of the control batches of a topic's partition 0.
func (x *target) markers(topic string) (epochs []int16) {
	x.t.Helper()
	err := kproto.SplitBatches(x.fetch(topic, 0).RecordBatches, func(b kproto.Batch) error {
		if b.IsControl() {
			epochs = append(epochs, b.ProducerEpoch())
		}
		return nil
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return epochs
}

func TestTransactionFeature(t *testing.T) {
	x := contract(t)
	const name = "transaction.version"
	for version := int16(3); version <= 4; version++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "test", "1"
		resp := ask[*kmsg.ApiVersionsResponse](x, req)
		supported := slices.ContainsFunc(resp.SupportedFeatures, func(f kmsg.ApiVersionsResponseSupportedFeature) bool {
			return f.Name == name && f.MinVersion == 0 && f.MaxVersion == 2
		})
		finalized := slices.ContainsFunc(resp.FinalizedFeatures, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool {
			return f.Name == name && f.MaxVersionLevel == 2 && f.MinVersionLevel == 2
		})
		if !finalized || supported != (version >= 4) {
			t.Errorf("version %d: supported %+v, finalized %+v", version, resp.SupportedFeatures, resp.FinalizedFeatures)
		}
	}
}

func TestBumpingTransactionRules(t *testing.T) {
	x := contract(t)
	topic, other := x.topic(1), x.name()
	x.create(other, 1)
	check := x.check
	p := x.producer(x.name())
	start := *p
	check("commit of nothing", p.endWith(5, true), kproto.InvalidTxnState)
	check("abort of nothing", p.endWith(5, false), kproto.None)
	if p.id != start.id || p.epoch != start.epoch+1 {
		t.Errorf("producer %d epoch %d after %d epoch %d", p.id, p.epoch, start.id, start.epoch)
	}
	p.settled("CompleteAbort")
	zombie := start
	check("write with the epoch before", kproto.ErrorCode(zombie.produce(12, topic, "x").ErrorCode), kproto.InvalidProducerEpoch)

	// Two partitions, added by writing to them.
	p.mustWrite(topic, "one")
	p.mustWrite(topic, "two")
	p.mustWrite(other, "one")
	s := x.txnState(p.txnID)
	if s.State != "Ongoing" || s.ProducerEpoch != p.epoch || len(s.Topics) != 2 {
		t.Errorf("%+v", s)
	}
	values, _ := x.readCommitted(topic, 0)
	wantValues(t, values)
	open := *p
	check("commit", p.endWith(5, true), kproto.None)
	if p.id != open.id || p.epoch != open.epoch+1 {
		t.Errorf("producer %d epoch %d after %d epoch %d", p.id, p.epoch, open.id, open.epoch)
	}
	p.settled("CompleteCommit")
	if got := x.markers(topic); !slices.Equal(got, []int16{p.epoch}) {
		t.Errorf("markers with epochs %v, want %d", got, p.epoch)
	}
	again := open
	check("commit, the answer was lost", again.endWith(5, true), kproto.None)
	if again.id != p.id || again.epoch != p.epoch {
		t.Errorf("asked again: producer %d epoch %d, want %d epoch %d", again.id, again.epoch, p.id, p.epoch)
	}
	again = open
	check("abort of what is committed, asked again", again.endWith(5, false), kproto.InvalidTxnState)
	check("commit of nothing after a commit", p.endWith(5, true), kproto.InvalidTxnState)
	check("older epoch", start.endWith(5, true), kproto.ProducerFenced)
	again.epoch = p.epoch + 1
	check("newer epoch", again.endWith(5, true), kproto.ProducerFenced)
	again = *p
	again.id += 1000
	check("other producer id", again.endWith(5, true), kproto.InvalidProducerIDMapping)

	// A late write of the transaction that has ended.
	late := open
	check("late write", kproto.ErrorCode(late.produce(12, topic, "late").ErrorCode), kproto.InvalidProducerEpoch)
	late = *p
	late.seq = map[string]int32{topic: 7}
	check("not the first of the epoch", kproto.ErrorCode(late.write(topic, "x").ErrorCode), kproto.OutOfOrderSequenceNumber)
	check("abort", p.endWith(5, false), kproto.None) // the write that was refused had added the partition

	p.mustWrite(topic, "three")
	check("abort", p.endWith(5, false), kproto.None)
	p.settled("CompleteAbort")
	p.mustWrite(topic, "four")
	check("commit", p.endWith(5, true), kproto.None)
	p.settled("CompleteCommit")
	values, _ = x.readCommitted(topic, 0)
	wantValues(t, values, "one", "two", "four")

	// A write that does not add its partition is verified.
	check("v11", kproto.ErrorCode(p.produce(11, topic, "x").ErrorCode), kproto.TransactionAbortable)
	check("v9", kproto.ErrorCode(p.produce(9, topic, "x").ErrorCode), kproto.InvalidTxnState)
	p.begin(topic)
	check("v11, added", kproto.ErrorCode(p.produce(11, topic, "five").ErrorCode), kproto.None)
	check("v12 in the same transaction", kproto.ErrorCode(p.produce(12, topic, "six").ErrorCode), kproto.None)
	epoch := p.epoch
	check("commit, v4", p.endWith(4, true), kproto.None)
	p.settled("CompleteCommit")
	if p.epoch != epoch || x.txnState(p.txnID).ProducerEpoch != epoch {
		t.Errorf("epoch %d, then %d: the old kind keeps it", epoch, x.txnState(p.txnID).ProducerEpoch)
	}
	p.seq[topic] = 2
	p.mustWrite(topic, "seven")
	check("commit", p.endWith(5, true), kproto.None)
	p.settled("CompleteCommit")
	values, _ = x.readCommitted(topic, 0)
	wantValues(t, values, "one", "two", "four", "five", "six", "seven")

	// A second instance fences the first.
	p.mustWrite(topic, "eight")
	zombie = *p
	check("init while open", p.init(5, -1, -1), kproto.ConcurrentTransactions)
	p.settled("CompleteAbort")
	check("init", p.init(5, -1, -1), kproto.None)
	if p.id != zombie.id || p.epoch != zombie.epoch+2 {
		t.Errorf("producer %d epoch %d after %d epoch %d", p.id, p.epoch, zombie.id, zombie.epoch)
	}
	check("zombie writes", kproto.ErrorCode(zombie.produce(12, topic, "x").ErrorCode), kproto.InvalidProducerEpoch)
	check("zombie ends", zombie.endWith(5, true), kproto.ProducerFenced)
	check("zombie asks for more", zombie.init(5, zombie.id, zombie.epoch), kproto.ProducerFenced)

	// A producer that was aborted, and does not know, goes on with the epoch that it was aborted with.
	p.mustWrite(topic, "nine")
	aborted := *p
	check("abort", p.endWith(5, false), kproto.None)
	p.settled("CompleteAbort")
	check("bump", aborted.init(5, aborted.id, aborted.epoch), kproto.None)
	if aborted.epoch != p.epoch {
		t.Errorf("epoch %d, want %d", aborted.epoch, p.epoch)
	}
}

// One request with several partitions, as the Java producer sends it.
func TestBumpingTransactionBatches(t *testing.T) {
	x := contract(t)
	topic := x.topic(8)
	p := x.producer(x.name())
	for round := range 3 {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis, req.TransactionID = 12, -1, 5000, &p.txnID
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic = topic
		for i := range int32(8) {
			var bb kproto.BatchBuilder
			bb.SetProducer(p.id, p.epoch, 0, true)
			bb.Add(time.Now().UnixMilli(), nil, fmt.Append(nil, round), nil)
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = i, bb.Bytes()
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
		x.eventually("the transaction before is complete", func() bool {
			answers := ask[*kmsg.ProduceResponse](x, req).Topics[0].Partitions
			for _, a := range answers {
				if code := kproto.ErrorCode(a.ErrorCode); code != kproto.None && code != kproto.ConcurrentTransactions && code != kproto.NotEnoughReplicas {
					t.Fatalf("partition %d: %v", a.Partition, code)
				}
			}
			return !slices.ContainsFunc(answers, func(a kmsg.ProduceResponseTopicPartition) bool { return a.ErrorCode != 0 })
		})
		if s := x.txnState(p.txnID); len(s.Topics) != 1 || len(s.Topics[0].Partitions) != 8 {
			t.Fatalf("%+v", s)
		}
		if code := p.endWith(5, round != 1); code != kproto.None {
			t.Fatal(code)
		}
	}
	p.settled("CompleteCommit")
	values, _ := x.readCommitted(topic, 0)
	wantValues(t, values, "0", "2")
}

func TestBumpingTransactionOffsets(t *testing.T) {
	x := contract(t)
	topic, g := x.topic(1), x.name()
	x.coordinator(g)
	p := x.producer(x.name())
	check := x.check
	check("v3 adds nothing", p.commitOffset(3, g, topic, 5), kproto.InvalidTxnState)
	check("v4 adds nothing", p.commitOffset(4, g, topic, 5), kproto.TransactionAbortable)
	check("v5", p.commitOffset(5, g, topic, 5), kproto.None)
	if s := x.txnState(p.txnID); s.State != "Ongoing" || len(s.Topics) != 1 || s.Topics[0].Topic != "__consumer_offsets" {
		t.Errorf("%+v", s)
	}
	check("once more", p.commitOffset(5, g, topic, 6), kproto.None)
	before := *p
	check("commit", p.endWith(5, true), kproto.None)
	p.settled("CompleteCommit")
	if o := x.committed(g, topic); o.Offset != 6 {
		t.Errorf("committed offset %d, want 6", o.Offset)
	}
	check("late", before.commitOffset(5, g, topic, 7), kproto.InvalidProducerEpoch)
	check("v5", p.commitOffset(5, g, topic, 8), kproto.None)
	check("abort", p.endWith(5, false), kproto.None)
	p.settled("CompleteAbort")
	if o := x.committed(g, topic); o.Offset != 6 {
		t.Errorf("committed offset %d after an abort, want 6", o.Offset)
	}
}

// TestBumpingMarkers: a marker has a newer epoch than the transaction that it ends, and one that comes again ends nothing.
func TestBumpingMarkers(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	p := x.producer(x.name())
	p.mustWrite(topic, "one")
	mark := func(epoch int16, version int8) kproto.ErrorCode {
		t.Helper()
		req := kmsg.NewPtrWriteTxnMarkersRequest()
		req.Version = 2
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, m.TransactionVersion = p.id, epoch, 1<<20, version
		m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: []int32{0}}}
		req.Markers = append(req.Markers, m)
		return kproto.ErrorCode(ask[*kmsg.WriteTxnMarkersResponse](x, req).Markers[0].Topics[0].Partitions[0].ErrorCode)
	}
	for _, c := range []struct {
		what    string
		epoch   int16
		version int8
		want    kproto.ErrorCode
	}{
		{"the epoch of the open transaction", p.epoch, 2, kproto.InvalidProducerEpoch},
		{"the next epoch", p.epoch + 1, 2, kproto.None},
		{"once more", p.epoch + 1, 2, kproto.None},
		{"an older one", p.epoch, 2, kproto.InvalidProducerEpoch},
		{"the old kind, the same epoch", p.epoch + 1, 0, kproto.None},
	} {
		if got := mark(c.epoch, c.version); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// TestBumpingTransactionCrashes lets the broker crash between any two steps.
func TestBumpingTransactionCrashes(t *testing.T) {
	steps := []string{"init", "produce", "produce more", "end", "next produce", "next end"}
	for _, commit := range []bool{true, false} {
		for at := range steps {
			t.Run(fmt.Sprintf("commit=%t after %s", commit, steps[at]), func(t *testing.T) {
				x := contract(t)
				topic := x.topic(1)
				x.mustSend(topic, batchOf("before"))
				p := x.producer("t")
				end := func(commit bool) {
					t.Helper()
					before := *p
					if code := p.endWith(5, commit); code != kproto.None || p.epoch != before.epoch+1 {
						t.Fatalf("EndTxn: %v, epoch %d after %d", code, p.epoch, before.epoch)
					}
				}
				run := []func(){
					func() {},
					func() { p.mustWrite(topic, "one") },
					func() { p.mustWrite(topic, "two") },
					func() { end(commit) },
					func() { p.mustWrite(topic, "three") },
					func() { end(true) },
				}
				for i, step := range run {
					x.eventually("the coordinator serves", func() bool { return x.txnState("t").ErrorCode == 0 })
					step()
					if i == at {
						x.crash()
						p.x = x
					}
				}
				want := []string{"before", "one", "two", "three"}
				if !commit {
					want = []string{"before", "three"}
				}
				p.settled("CompleteCommit")
				values, lso := x.readCommitted(topic, 0)
				wantValues(t, values, want...)
				// Four records and two markers, or one more when it was written and not noted before the crash.
				if hw := x.fetch(topic, 0).HighWatermark; lso != hw || lso < 6 || lso > 8 {
					t.Errorf("last stable offset %d, high watermark %d, want 6 to 8", lso, hw)
				}
			})
		}
	}
}
