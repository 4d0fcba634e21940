package engine

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/quota"
	"github.com/ringmq/ringmq/kraft"
)

// CreateTopics (key 19) 2 to 7, DeleteTopics (key 20) 1 to 6, CreatePartitions (key 37) 0 to 3: decided by the active controller.
// The answer to CreateTopics and CreatePartitions waits until this broker has opened what it leads, so that the next produce works.
// Different from Kafka: a replication factor above the number of brokers is accepted, and reported as what it is.

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func createTopics(r *request) {
	req, b := r.body.(*kmsg.CreateTopicsRequest), r.broker
	ctx, cancel := b.withTimeout(req.TimeoutMillis)
	defer cancel()
	var over []kmsg.CreateTopicsResponseTopic
	if r.meter.Limited(quota.Mutation) {
		over = b.meterCreation(ctx, r, req)
	}
	resp := kmsg.NewPtrCreateTopicsResponse()
	if len(req.Topics) > 0 || len(over) == 0 {
		resp = b.create(ctx, req, "by "+r.clientID)
	}
	resp.Topics = append(resp.Topics, over...)
	r.reply(resp)
}

// meterCreation takes out of a request the topics for which the client's quota of changes is used up, and returns their answers. What is refused for other
// reasons costs nothing: so the controller is asked first what it would do.
func (b *Broker) meterCreation(ctx context.Context, r *request, req *kmsg.CreateTopicsRequest) (over []kmsg.CreateTopicsResponseTopic) {
	ask := *req
	ask.ValidateOnly = true
	answer, code, _ := b.forward(ctx, &ask)
	if code != kproto.None {
		return nil // the request itself will fail for the same reason
	}
	partitions := make(map[string]int32, len(req.Topics))
	for _, t := range answer.(*kmsg.CreateTopicsResponse).Topics {
		if t.ErrorCode == 0 {
			partitions[t.Topic] = t.NumPartitions
		}
	}
	req.Topics, over = part(req.Topics, func(t *kmsg.CreateTopicsRequestTopic) bool {
		n, valid := partitions[t.Topic]
		return !valid || r.mutate(n, createStrictFrom)
	}, func(t *kmsg.CreateTopicsRequestTopic) kmsg.CreateTopicsResponseTopic {
		out := kmsg.NewCreateTopicsResponseTopic()
		out.Topic, out.ErrorCode = t.Topic, int16(kproto.ThrottlingQuotaExceeded)
		out.NumPartitions, out.ReplicationFactor, out.Configs = -1, -1, []kmsg.CreateTopicsResponseTopicConfig{}
		return out
	})
	return over
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
	img := b.node.Image()
	var over []kmsg.CreatePartitionsResponseTopic
	req.Topics, over = part(req.Topics, func(t *kmsg.CreatePartitionsRequestTopic) bool {
		known := img.Topic(t.Topic)
		return known == nil || int(t.Count) <= len(known.Partitions) || r.mutate(t.Count-int32(len(known.Partitions)), partitionsStrictFrom)
	}, func(t *kmsg.CreatePartitionsRequestTopic) kmsg.CreatePartitionsResponseTopic {
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic, out.ErrorCode = t.Topic, int16(kproto.ThrottlingQuotaExceeded)
		return out
	})
	if len(over) > 0 && len(req.Topics) == 0 {
		resp := kmsg.NewPtrCreatePartitionsResponse()
		resp.Topics = over
		r.reply(resp)
		return
	}
	answer, code, message := b.forward(ctx, req)
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
	resp.Topics = append(resp.Topics, over...)
	r.reply(resp)
}

// meterDeletion is meterCreation for topics that are to be deleted.
func (b *Broker) meterDeletion(r *request, req *kmsg.DeleteTopicsRequest) (over []kmsg.DeleteTopicsResponseTopic) {
	img := b.node.Image()
	allowed := func(t *kraft.Topic) bool { return t == nil || r.mutate(int32(len(t.Partitions)), deleteStrictFrom) }
	refuse := func(name *string, id [16]byte) kmsg.DeleteTopicsResponseTopic {
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID, out.ErrorCode = name, id, int16(kproto.ThrottlingQuotaExceeded)
		return out
	}
	var byName, byRef []kmsg.DeleteTopicsResponseTopic
	req.TopicNames, byName = part(req.TopicNames, func(name *string) bool { return allowed(img.Topic(*name)) },
		func(name *string) kmsg.DeleteTopicsResponseTopic { n := *name; return refuse(&n, [16]byte{}) })
	req.Topics, byRef = part(req.Topics, func(t *kmsg.DeleteTopicsRequestTopic) bool {
		if t.Topic != nil {
			return allowed(img.Topic(*t.Topic))
		}
		return allowed(img.TopicByID(t.TopicID))
	}, func(t *kmsg.DeleteTopicsRequestTopic) kmsg.DeleteTopicsResponseTopic {
		return refuse(t.Topic, t.TopicID)
	})
	return append(byName, byRef...)
}

func deleteTopics(r *request) {
	req, b := r.body.(*kmsg.DeleteTopicsRequest), r.broker
	ctx, cancel := b.withTimeout(req.TimeoutMillis)
	defer cancel()
	over := b.meterDeletion(r, req)
	if len(over) > 0 && len(req.TopicNames)+len(req.Topics) == 0 {
		resp := kmsg.NewPtrDeleteTopicsResponse()
		resp.Topics = over
		r.reply(resp)
		return
	}
	answer, code, message := b.forward(ctx, req)
	if code == kproto.None {
		resp := answer.(*kmsg.DeleteTopicsResponse)
		for i := range resp.Topics {
			if t := &resp.Topics[i]; t.ErrorCode == 0 && t.Topic != nil {
				b.log.Info("topic deleted", "topic", *t.Topic, "why", "by "+r.clientID)
			}
		}
		resp.Topics = append(resp.Topics, over...)
		r.reply(resp)
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
