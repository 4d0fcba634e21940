package engine

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// The guards of APIs about transactions.

// guardAddPartitionsToTxn: versions from 4 on are for brokers. As in Kafka one topic that may not be written to keeps the others out of the transaction too.
func guardAddPartitionsToTxn(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.AddPartitionsToTxnRequest)
	resp := kmsg.NewPtrAddPartitionsToTxnResponse()
	if req.Version >= 4 {
		if a.cluster(opClusterAction) {
			return nil
		}
		resp.ErrorCode = clusterRefused
		return resp
	}
	id := a.txn(opWrite, req.TransactionalID)
	if id && !slices.ContainsFunc(req.Topics, func(t kmsg.AddPartitionsToTxnRequestTopic) bool { return !a.topic(opWrite, t.Topic) }) {
		return nil
	}
	for _, t := range req.Topics {
		code := int16(kproto.OperationNotAttempted)
		switch {
		case !id:
			code = txnRefused
		case !a.topic(opWrite, t.Topic):
			code = topicRefused
		}
		out := kmsg.NewAddPartitionsToTxnResponseTopic()
		out.Topic = t.Topic
		for _, index := range t.Partitions {
			out.Partitions = append(out.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: index, ErrorCode: code})
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func guardAddOffsetsToTxn(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.AddOffsetsToTxnRequest)
	resp := kmsg.NewPtrAddOffsetsToTxnResponse()
	switch {
	case !a.txn(opWrite, req.TransactionalID):
		resp.ErrorCode = txnRefused
	case !a.group(opRead, req.Group):
		resp.ErrorCode = groupRefused
	default:
		return nil
	}
	return resp
}

func guardEndTxn(r *request, a asker) kmsg.Response {
	if a.txn(opWrite, r.body.(*kmsg.EndTxnRequest).TransactionalID) {
		return nil
	}
	resp := kmsg.NewPtrEndTxnResponse()
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = txnRefused, -1, -1
	return resp
}

func guardTxnOffsetCommit(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.TxnOffsetCommitRequest)
	code, group := topicRefused, true
	switch {
	case !a.txn(opWrite, req.TransactionalID):
		code, group = txnRefused, false
	case !a.group(opRead, req.Group):
		code, group = groupRefused, false
	}
	var denied []kmsg.TxnOffsetCommitResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.TxnOffsetCommitRequestTopic) bool {
		return group && r.topicRef(a, opRead, t.Topic, t.TopicID)
	},
		func(t *kmsg.TxnOffsetCommitRequestTopic) kmsg.TxnOffsetCommitResponseTopic {
			out := kmsg.NewTxnOffsetCommitResponseTopic()
			out.Topic, out.TopicID = t.Topic, t.TopicID
			for i := range t.Partitions {
				p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = t.Partitions[i].Partition, code
				out.Partitions = append(out.Partitions, p)
			}
			return out
		})
	if !group && len(denied) == 0 {
		return kmsg.NewPtrTxnOffsetCommitResponse()
	}
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.TxnOffsetCommitResponse) { p.Topics = append(p.Topics, denied...) })
}

func refuseMarkers(r *request, resp *kmsg.WriteTxnMarkersResponse) {
	for _, m := range r.body.(*kmsg.WriteTxnMarkersRequest).Markers {
		out := kmsg.NewWriteTxnMarkersResponseMarker()
		out.ProducerID = m.ProducerID
		for _, t := range m.Topics {
			topic := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			topic.Topic = t.Topic
			for _, index := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: index, ErrorCode: clusterRefused})
			}
			out.Topics = append(out.Topics, topic)
		}
		resp.Markers = append(resp.Markers, out)
	}
}

func guardDescribeProducers(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DescribeProducersRequest)
	var denied []kmsg.DescribeProducersResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.DescribeProducersRequestTopic) bool { return a.topic(opRead, t.Topic) },
		func(t *kmsg.DescribeProducersRequestTopic) kmsg.DescribeProducersResponseTopic {
			out := kmsg.NewDescribeProducersResponseTopic()
			out.Topic = t.Topic
			for _, index := range t.Partitions {
				out.Partitions = append(out.Partitions, kmsg.DescribeProducersResponseTopicPartition{Partition: index, ErrorCode: topicRefused})
			}
			return out
		})
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.DescribeProducersResponse) { p.Topics = append(p.Topics, denied...) })
}

// guardDescribeTransactions also leaves out the topics that the client may not know of.
func guardDescribeTransactions(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DescribeTransactionsRequest)
	var denied []kmsg.DescribeTransactionsResponseTransactionState
	req.TransactionalIDs, denied = part(req.TransactionalIDs, func(id *string) bool { return a.txn(opDescribe, *id) },
		func(id *string) kmsg.DescribeTransactionsResponseTransactionState {
			out := kmsg.NewDescribeTransactionsResponseTransactionState()
			out.TransactionalID, out.ErrorCode = *id, txnRefused
			return out
		})
	if len(req.TransactionalIDs) == 0 {
		return complete(r, 0, len(denied), func(p *kmsg.DescribeTransactionsResponse) { p.TransactionStates = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.DescribeTransactionsResponse)
		for i := range p.TransactionStates {
			s := &p.TransactionStates[i]
			s.Topics = slices.DeleteFunc(s.Topics, func(t kmsg.DescribeTransactionsResponseTransactionStateTopic) bool {
				return !a.topic(opDescribe, t.Topic)
			})
		}
		p.TransactionStates = append(p.TransactionStates, denied...)
	}
	return nil
}

func guardListTransactions(r *request, a asker) kmsg.Response {
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.ListTransactionsResponse)
		p.TransactionStates = slices.DeleteFunc(p.TransactionStates, func(s kmsg.ListTransactionsResponseTransactionState) bool {
			return !a.txn(opDescribe, s.TransactionalID)
		})
	}
	return nil
}
