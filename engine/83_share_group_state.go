package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/share"
	"github.com/ringmq/ringmq/engine/sharestate"
)

// InitializeShareGroupState (key 83) 0, ReadShareGroupState (84) 0, WriteShareGroupState (85) 0 to 1, DeleteShareGroupState (86) 0 and
// ReadShareGroupStateSummary (87) 0 to 1: brokers ask the share coordinator. v1 of 85 and 87: how much is done beyond the start. A request without a group, or
// with a topic without partitions, is answered with nothing, as in Kafka.

// said turns a refusal into the code and the message of an answer.
func said(err *sharestate.Error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	message := err.Message
	if message == "" {
		message = shareMessages[err.Code]
	}
	return int16(err.Code), &message
}

// shareMessages is what Kafka says where it says no more than the code does.
var shareMessages = map[kproto.ErrorCode]string{
	kproto.UnknownTopicOrPartition:   "This server does not host this topic-partition.",
	kproto.FencedLeaderEpoch:         "The leader epoch in the request is older than the epoch on the broker.",
	kproto.FencedStateEpoch:          "The share coordinator rejected the request because the share-group state epoch did not match.",
	kproto.NotCoordinator:            "This is not the correct coordinator.",
	kproto.CoordinatorLoadInProgress: "The coordinator is loading and hence can't process requests.",
}

// complete says that a request about states can be answered: it names a group, and partitions of each topic.
func completeShares[T any](group string, topics []T, partitions func(*T) int) bool {
	for i := range topics {
		if partitions(&topics[i]) == 0 {
			return false
		}
	}
	return group != ""
}

func initializeShareGroupState(r *request) {
	req, resp := r.body.(*kmsg.InitializeShareGroupStateRequest), kmsg.NewPtrInitializeShareGroupStateResponse()
	if completeShares(req.GroupID, req.Topics, func(t *kmsg.InitializeShareGroupStateRequestTopic) int { return len(t.Partitions) }) {
		for _, t := range req.Topics {
			at := kmsg.NewInitializeShareGroupStateResponseTopic()
			at.TopicID = t.TopicID
			for _, p := range t.Partitions {
				ap := kmsg.NewInitializeShareGroupStateResponseTopicPartition()
				ap.Partition = p.Partition
				ap.ErrorCode, ap.ErrorMessage = said(r.broker.shareState.Initialize(sharestate.Key{Group: req.GroupID, Topic: t.TopicID, Partition: p.Partition}, p.StateEpoch, p.StartOffset))
				at.Partitions = append(at.Partitions, ap)
			}
			resp.Topics = append(resp.Topics, at)
		}
	}
	r.reply(resp)
}

func readShareGroupState(r *request) {
	req, resp := r.body.(*kmsg.ReadShareGroupStateRequest), kmsg.NewPtrReadShareGroupStateResponse()
	if completeShares(req.GroupID, req.Topics, func(t *kmsg.ReadShareGroupStateRequestTopic) int { return len(t.Partitions) }) {
		for _, t := range req.Topics {
			at := kmsg.NewReadShareGroupStateResponseTopic()
			at.TopicID = t.TopicID
			for _, p := range t.Partitions {
				ap := kmsg.NewReadShareGroupStateResponseTopicPartition()
				ap.Partition = p.Partition
				w, err := r.broker.shareState.Read(sharestate.Key{Group: req.GroupID, Topic: t.TopicID, Partition: p.Partition}, p.LeaderEpoch)
				if ap.ErrorCode, ap.ErrorMessage = said(err); err == nil {
					ap.StateEpoch, ap.StartOffset = w.StateEpoch, w.Start
					for _, x := range w.Batches {
						s := kmsg.NewReadShareGroupStateResponseTopicPartitionStateBatch()
						s.FirstOffset, s.LastOffset, s.DeliveryState, s.DeliveryCount = x.First, x.Last, int8(x.State), x.Deliveries
						ap.StateBatches = append(ap.StateBatches, s)
					}
				}
				at.Partitions = append(at.Partitions, ap)
			}
			resp.Topics = append(resp.Topics, at)
		}
	}
	r.reply(resp)
}

func writeShareGroupState(r *request) {
	req, resp := r.body.(*kmsg.WriteShareGroupStateRequest), kmsg.NewPtrWriteShareGroupStateResponse()
	if completeShares(req.GroupID, req.Topics, func(t *kmsg.WriteShareGroupStateRequestTopic) int { return len(t.Partitions) }) {
		for _, t := range req.Topics {
			at := kmsg.NewWriteShareGroupStateResponseTopic()
			at.TopicID = t.TopicID
			for i := range t.Partitions {
				p := &t.Partitions[i]
				ap := kmsg.NewWriteShareGroupStateResponseTopicPartition()
				ap.Partition = p.Partition
				ap.ErrorCode, ap.ErrorMessage = said(r.broker.shareState.Write(sharestate.Key{Group: req.GroupID, Topic: t.TopicID, Partition: p.Partition}, writeOf(p)))
				at.Partitions = append(at.Partitions, ap)
			}
			resp.Topics = append(resp.Topics, at)
		}
	}
	r.reply(resp)
}

func writeOf(p *kmsg.WriteShareGroupStateRequestTopicPartition) sharestate.Write {
	w := sharestate.Write{StateEpoch: p.StateEpoch, LeaderEpoch: p.LeaderEpoch, Start: p.StartOffset, Complete: p.DeliveryCompleteCount}
	for _, s := range p.StateBatches {
		w.Batches = append(w.Batches, share.Batch{First: s.FirstOffset, Last: s.LastOffset, State: share.State(s.DeliveryState), Deliveries: s.DeliveryCount})
	}
	return w
}

func deleteShareGroupState(r *request) {
	req, resp := r.body.(*kmsg.DeleteShareGroupStateRequest), kmsg.NewPtrDeleteShareGroupStateResponse()
	if completeShares(req.GroupID, req.Topics, func(t *kmsg.DeleteShareGroupStateRequestTopic) int { return len(t.Partitions) }) {
		for _, t := range req.Topics {
			at := kmsg.NewDeleteShareGroupStateResponseTopic()
			at.TopicID = t.TopicID
			for _, p := range t.Partitions {
				ap := kmsg.NewDeleteShareGroupStateResponseTopicPartition()
				ap.Partition = p.Partition
				ap.ErrorCode, ap.ErrorMessage = said(r.broker.shareState.Delete(sharestate.Key{Group: req.GroupID, Topic: t.TopicID, Partition: p.Partition}))
				at.Partitions = append(at.Partitions, ap)
			}
			resp.Topics = append(resp.Topics, at)
		}
	}
	r.reply(resp)
}

func readShareGroupStateSummary(r *request) {
	req, resp := r.body.(*kmsg.ReadShareGroupStateSummaryRequest), kmsg.NewPtrReadShareGroupStateSummaryResponse()
	if completeShares(req.GroupID, req.Topics, func(t *kmsg.ReadShareGroupStateSummaryRequestTopic) int { return len(t.Partitions) }) {
		for _, t := range req.Topics {
			at := kmsg.NewReadShareGroupStateSummaryResponseTopic()
			at.TopicID = t.TopicID
			for _, p := range t.Partitions {
				ap := kmsg.NewReadShareGroupStateSummaryResponseTopicPartition()
				ap.Partition = p.Partition
				sum, err := r.broker.shareState.Summary(sharestate.Key{Group: req.GroupID, Topic: t.TopicID, Partition: p.Partition})
				if ap.ErrorCode, ap.ErrorMessage = said(err); err == nil {
					ap.StateEpoch, ap.LeaderEpoch, ap.StartOffset, ap.DeliveryCompleteCount = sum.StateEpoch, sum.LeaderEpoch, sum.Start, sum.Complete
				}
				at.Partitions = append(at.Partitions, ap)
			}
			resp.Topics = append(resp.Topics, at)
		}
	}
	r.reply(resp)
}
