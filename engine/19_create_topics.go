package engine

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// CreateTopics (key 19) 2 to 7, DeleteTopics (key 20) 1 to 6, CreatePartitions (key 37) 0 to 3: decided by the active controller.
// The answer to CreateTopics and CreatePartitions waits until this broker has opened what it leads, so that the next produce works.
// Different from Kafka: a replication factor above the number of brokers is accepted, and reported as what it is.

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func createTopics(r *request) {
	req, b := r.body.(*kmsg.CreateTopicsRequest), r.broker
	ctx, cancel := b.withTimeout(req.TimeoutMillis)
	defer cancel()
	r.reply(r.paced(b.create(r.mutating(ctx, createStrictFrom), req, "by "+r.clientID)))
}

// The first versions whose clients understand THROTTLING_QUOTA_EXCEEDED (KIP-599).
const (
	createStrictFrom     = 6
	deleteStrictFrom     = 5
	partitionsStrictFrom = 3
)

// create has topics created and waits until they can be used.
func (b *Broker) create(ctx context.Context, req *kmsg.CreateTopicsRequest, why string) *kmsg.CreateTopicsResponse {
	answer, code, message := b.forward(ctx, req)
	if code != kproto.None {
		resp := kmsg.NewPtrCreateTopicsResponse()
		resp.Topics = []kmsg.CreateTopicsResponseTopic{}
		for i := range req.Topics {
			t := kmsg.NewCreateTopicsResponseTopic()
			t.Topic, t.ErrorCode, t.ErrorMessage = req.Topics[i].Topic, int16(code), &message
			t.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	}
	resp := answer.(*kmsg.CreateTopicsResponse)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.ErrorCode != 0 || req.ValidateOnly {
			continue
		}
		b.log.Info("topic created", "topic", t.Topic, "partitions", t.NumPartitions, "why", why)
		b.waitOpen(ctx, t.Topic)
	}
	return resp
}

func createPartitions(r *request) {
	req, b := r.body.(*kmsg.CreatePartitionsRequest), r.broker
	ctx, cancel := b.withTimeout(req.TimeoutMillis)
	defer cancel()
	answer, code, message := b.forward(r.mutating(ctx, partitionsStrictFrom), req)
	if code != kproto.None {
		resp := kmsg.NewPtrCreatePartitionsResponse()
		resp.Topics = []kmsg.CreatePartitionsResponseTopic{}
		for i := range req.Topics {
			t := kmsg.NewCreatePartitionsResponseTopic()
			t.Topic, t.ErrorCode, t.ErrorMessage = req.Topics[i].Topic, int16(code), &message
			resp.Topics = append(resp.Topics, t)
		}
		r.reply(resp)
		return
	}
	resp := answer.(*kmsg.CreatePartitionsResponse)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.ErrorCode == 0 && !req.ValidateOnly {
			b.log.Info("partitions added", "topic", t.Topic)
			b.waitOpen(ctx, t.Topic)
		}
	}
	r.reply(r.paced(resp))
}

func deleteTopics(r *request) {
	req, b := r.body.(*kmsg.DeleteTopicsRequest), r.broker
	ctx, cancel := b.withTimeout(req.TimeoutMillis)
	defer cancel()
	answer, code, message := b.forward(r.mutating(ctx, deleteStrictFrom), req)
	if code == kproto.None {
		resp := answer.(*kmsg.DeleteTopicsResponse)
		for i := range resp.Topics {
			if t := &resp.Topics[i]; t.ErrorCode == 0 && t.Topic != nil {
				b.log.Info("topic deleted", "topic", *t.Topic, "why", "by "+r.clientID)
			}
		}
		r.reply(r.paced(resp))
		return
	}
	resp := kmsg.NewPtrDeleteTopicsResponse()
	resp.Topics = []kmsg.DeleteTopicsResponseTopic{}
	refuse := func(name *string, id [16]byte) {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID, t.ErrorCode, t.ErrorMessage = name, id, int16(code), &message
		resp.Topics = append(resp.Topics, t)
	}
	for i := range req.TopicNames {
		refuse(&req.TopicNames[i], [16]byte{})
	}
	for i := range req.Topics {
		refuse(req.Topics[i].Topic, req.Topics[i].TopicID)
	}
	r.reply(resp)
}
