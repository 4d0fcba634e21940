package engine

import (
	"context"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/txn"
)

// The APIs of transactions. From the versions in brackets on they are of the kind that gives the producer a new epoch with each transaction (KIP-890).
//
//	AddPartitionsToTxn (24) 0-5 [4, between brokers]   AddOffsetsToTxn (25) 0-4   EndTxn (26) 0-5 [5]   WriteTxnMarkers (27) 1-2 [2, names the kind]
//	TxnOffsetCommit (28) 0-5 [5], see txn_admission.go
//	DescribeProducers (61) 0   DescribeTransactions (65) 0   ListTransactions (66) 0-2

func addPartitionsToTxn(r *request) {
	req, b := r.body.(*kmsg.AddPartitionsToTxnRequest), r.broker
	resp := kmsg.NewPtrAddPartitionsToTxnResponse()
	if req.Version < 4 {
		p := txn.Producer{ID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch}
		b.addPartitions(p, req.Topics, adding{version: txn.Version0}, func(topics []kmsg.AddPartitionsToTxnResponseTopic) {
			for i := range topics {
				for k := range topics[i].Partitions {
					code := &topics[i].Partitions[k].ErrorCode
					*code = fencedCode(kproto.ErrorCode(*code), req.Version >= 2)
				}
			}
			resp.Topics = topics
			r.reply(resp)
		})
		return
	}
	resp.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(req.Transactions))
	var wait sync.WaitGroup
	for i := range req.Transactions {
		rt, at := &req.Transactions[i], &resp.Transactions[i]
		at.TransactionalID = rt.TransactionalID
		topics := make([]kmsg.AddPartitionsToTxnRequestTopic, len(rt.Topics))
		for k := range rt.Topics {
			topics[k] = kmsg.AddPartitionsToTxnRequestTopic{Topic: rt.Topics[k].Topic, Partitions: rt.Topics[k].Partitions}
		}
		wait.Add(1)
		p := txn.Producer{ID: rt.TransactionalID, ProducerID: rt.ProducerID, ProducerEpoch: rt.ProducerEpoch}
		how := adding{verifyOnly: rt.VerifyOnly, version: txn.Version2, wait: b.cfg.Producer.TransactionAddWait}
		b.addPartitions(p, topics, how, func(answers []kmsg.AddPartitionsToTxnResponseTopic) {
			for _, a := range answers {
				out := kmsg.AddPartitionsToTxnResponseTransactionTopic{Topic: a.Topic}
				for _, ap := range a.Partitions {
					if ap.ErrorCode == int16(kproto.TransactionAbortable) && req.Version < 5 {
						ap.ErrorCode = int16(kproto.InvalidTxnState)
					}
					out.Partitions = append(out.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: ap.Partition, ErrorCode: ap.ErrorCode})
				}
				at.Topics = append(at.Topics, out)
			}
			wait.Done()
		})
	}
	wait.Wait()
	r.reply(resp)
}

// adding is how partitions come into a transaction.
type adding struct {
	verifyOnly bool // they do not, the answer is whether they are part of it
	version    txn.Version
	wait       time.Duration // see txn.Coordinator.Add
}

// addPartitions adds partitions to a transaction, or asks whether they are part of it. reply gets an answer for each.
func (b *Broker) addPartitions(p txn.Producer, topics []kmsg.AddPartitionsToTxnRequestTopic, how adding, reply func([]kmsg.AddPartitionsToTxnResponseTopic)) {
	var tps []txn.TopicPartition
	var codes []kproto.ErrorCode
	img, unknown := b.node.Image(), false
	for _, rt := range topics {
		t := img.Topic(rt.Topic)
		for _, index := range rt.Partitions {
			tps = append(tps, txn.TopicPartition{Topic: rt.Topic, Index: index})
			code := kproto.OperationNotAttempted
			if t == nil || index < 0 || int(index) >= len(t.Partitions) {
				code, unknown = kproto.UnknownTopicOrPartition, true
			}
			codes = append(codes, code)
		}
	}
	answer := func(codes []kproto.ErrorCode, all kproto.ErrorCode) {
		out, n := make([]kmsg.AddPartitionsToTxnResponseTopic, 0, len(topics)), 0
		for _, rt := range topics {
			at := kmsg.AddPartitionsToTxnResponseTopic{Topic: rt.Topic}
			for _, index := range rt.Partitions {
				code := all
				if code == kproto.None && codes != nil {
					code = codes[n]
				}
				at.Partitions = append(at.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: index, ErrorCode: int16(code)})
				n++
			}
			out = append(out, at)
		}
		reply(out)
	}
	switch {
	case unknown:
		answer(codes, kproto.None)
	case how.verifyOnly:
		answer(b.txns.Verify(p, tps))
	default:
		b.txns.Add(p, tps, how.version, how.wait, func(code kproto.ErrorCode) { answer(nil, code) })
	}
}

func addOffsetsToTxn(r *request) {
	req, b := r.body.(*kmsg.AddOffsetsToTxnRequest), r.broker
	resp := kmsg.NewPtrAddOffsetsToTxnResponse()
	p := txn.Producer{ID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch}
	b.txns.Add(p, []txn.TopicPartition{b.offsetsOf(req.Group)}, txn.Version0, 0, func(code kproto.ErrorCode) {
		resp.ErrorCode = fencedCode(code, req.Version >= 2)
		r.reply(resp)
	})
}

// offsetsOf is where a group's offsets are.
func (b *Broker) offsetsOf(group string) txn.TopicPartition {
	return txn.TopicPartition{Topic: offsetsTopic, Index: b.groups.PartitionOf(group)}
}

func endTxn(r *request) {
	req := r.body.(*kmsg.EndTxnRequest)
	resp := kmsg.NewPtrEndTxnResponse()
	end := txn.End{Producer: txn.Producer{ID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch}, Commit: req.Commit}
	if req.Version >= 5 {
		end.Version = txn.Version2
	}
	ctx, cancel := context.WithTimeout(r.broker.ctx, producerIDTimeout)
	defer cancel()
	r.broker.txns.End(ctx, end, func(id int64, epoch int16, code kproto.ErrorCode) {
		resp.ProducerID, resp.ProducerEpoch, resp.ErrorCode = id, epoch, fencedCode(code, req.Version >= 2)
		r.reply(resp)
	})
}

func writeTxnMarkers(r *request) {
	req, b := r.body.(*kmsg.WriteTxnMarkersRequest), r.broker
	resp := kmsg.NewPtrWriteTxnMarkersResponse()
	resp.Markers = make([]kmsg.WriteTxnMarkersResponseMarker, len(req.Markers))
	var wait sync.WaitGroup
	for i := range req.Markers {
		rm, am := &req.Markers[i], &resp.Markers[i]
		am.ProducerID = rm.ProducerID
		m := partition.Marker{ProducerID: rm.ProducerID, ProducerEpoch: rm.ProducerEpoch, CoordinatorEpoch: rm.CoordinatorEpoch, Commit: rm.Committed,
			Bumped: txn.Version(rm.TransactionVersion) >= txn.Version2}
		am.Topics = make([]kmsg.WriteTxnMarkersResponseMarkerTopic, len(rm.Topics))
		for k := range rm.Topics {
			rt, at := &rm.Topics[k], &am.Topics[k]
			at.Topic = rt.Topic
			at.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(rt.Partitions))
			for j, index := range rt.Partitions {
				ap := &at.Partitions[j]
				ap.Partition = index
				wait.Add(1)
				b.appendMarker(txn.TopicPartition{Topic: rt.Topic, Index: index}, m, func(code kproto.ErrorCode) {
					ap.ErrorCode = int16(code)
					wait.Done()
				})
			}
		}
	}
	wait.Wait()
	r.reply(resp)
}

func describeProducers(r *request) {
	req, b := r.body.(*kmsg.DescribeProducersRequest), r.broker
	resp := kmsg.NewPtrDescribeProducersResponse()
	resp.Topics = []kmsg.DescribeProducersResponseTopic{}
	for i := range req.Topics {
		rt := &req.Topics[i]
		at := kmsg.DescribeProducersResponseTopic{Topic: rt.Topic, Partitions: []kmsg.DescribeProducersResponseTopicPartition{}}
		for _, index := range rt.Partitions {
			ap := kmsg.NewDescribeProducersResponseTopicPartition()
			ap.Partition, ap.ActiveProducers = index, []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{}
			p, code := b.partitionByName(rt.Topic, [16]byte{}, false, index)
			if ap.ErrorCode = int16(code); code == kproto.None {
				for _, s := range p.Producers() {
					out := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
					out.ProducerID, out.ProducerEpoch, out.LastSequence, out.LastTimestamp = s.ID, int32(s.Epoch), s.LastSequence, s.LastTimestamp
					out.CoordinatorEpoch, out.CurrentTxnStartOffset = s.CoordinatorEpoch, s.TxnStart
					ap.ActiveProducers = append(ap.ActiveProducers, out)
				}
			}
			at.Partitions = append(at.Partitions, ap)
		}
		resp.Topics = append(resp.Topics, at)
	}
	r.reply(resp)
}

func describeTransactions(r *request) {
	req := r.body.(*kmsg.DescribeTransactionsRequest)
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	resp.TransactionStates = []kmsg.DescribeTransactionsResponseTransactionState{}
	for _, id := range req.TransactionalIDs {
		d, code := r.broker.txns.Describe(id)
		out := kmsg.NewDescribeTransactionsResponseTransactionState()
		out.ErrorCode, out.TransactionalID, out.Topics = int16(code), id, []kmsg.DescribeTransactionsResponseTransactionStateTopic{}
		if code == kproto.None {
			out.State, out.TimeoutMillis, out.StartTimestamp = d.State.String(), d.TimeoutMillis, d.StartMillis
			out.ProducerID, out.ProducerEpoch = d.ProducerID, d.ProducerEpoch
			for _, tp := range d.Partitions {
				if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != tp.Topic {
					out.Topics = append(out.Topics, kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: tp.Topic})
				}
				last := &out.Topics[len(out.Topics)-1]
				last.Partitions = append(last.Partitions, tp.Index)
			}
		}
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	r.reply(resp)
}

func listTransactions(r *request) {
	req := r.body.(*kmsg.ListTransactionsRequest)
	resp := kmsg.NewPtrListTransactionsResponse()
	resp.UnknownStateFilters, resp.TransactionStates = []string{}, []kmsg.ListTransactionsResponseTransactionState{}
	var states []txn.State
	for _, name := range req.StateFilters {
		if s, ok := txn.StateByName(name); ok {
			states = append(states, s)
		} else {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
		}
	}
	var pattern *regexp.Regexp
	if req.Version >= 2 && req.TransactionalIDPattern != nil && *req.TransactionalIDPattern != "" {
		var err error
		if pattern, err = regexp.Compile(`^(?:` + *req.TransactionalIDPattern + `)$`); err != nil {
			resp.ErrorCode = int16(kproto.InvalidRegularExpression)
			r.reply(resp)
			return
		}
	}
	longer := time.Duration(-1)
	if req.Version >= 1 && req.DurationFilterMillis >= 0 {
		longer = time.Duration(req.DurationFilterMillis) * time.Millisecond
	}
	list, code := r.broker.txns.List(func(d txn.Description, age time.Duration) bool {
		return (len(req.StateFilters) == 0 || slices.Contains(states, d.State)) &&
			(len(req.ProducerIDFilters) == 0 || slices.Contains(req.ProducerIDFilters, d.ProducerID)) &&
			(longer < 0 || age > longer) && (pattern == nil || pattern.MatchString(d.ID))
	})
	resp.ErrorCode = int16(code)
	for _, d := range list {
		out := kmsg.NewListTransactionsResponseTransactionState()
		out.TransactionalID, out.ProducerID, out.TransactionState = d.ID, d.ProducerID, d.State.String()
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	r.reply(resp)
}
