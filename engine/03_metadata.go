package engine

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// Metadata (key 3), versions 0 to 13.
//
//	v1 controller, racks, null = all   v4 allow auto creation   v7 leader epoch   v8 authorized operations
//	v9 flexible   v10 topic ids   v12 ask by id   v13 top-level error
//
// Different from Kafka: a topic that is created on demand is waited for and answered at once, where Kafka answers
// UNKNOWN_TOPIC_OR_PARTITION and lets the client ask again.

// operationsUnknown is the authorized operations field when the client did not ask.
const operationsUnknown = -2147483648

func metadata(r *request) {
	req, b := r.body.(*kmsg.MetadataRequest), r.broker
	preferIDs(req)
	resp := kmsg.NewPtrMetadataResponse()
	all := req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0)
	if req.Version < 12 {
		for i := range req.Topics {
			if req.Topics[i].Topic == nil || req.Topics[i].TopicID != [16]byte{} && req.Version >= 10 {
				r.reply(metadataInvalid(req, resp))
				return
			}
		}
	}
	if !all && b.cfg.Topics.AutoCreate && (req.Version < 4 || req.AllowAutoTopicCreation) {
		b.autoCreate(r, req)
	}
	img := b.node.Image()
	b.describeBrokers(img, r.conn.listener, resp)
	if req.IncludeClusterAuthorizedOperations { // versions 8 to 10
		resp.AuthorizedOperations = clusterOperations
	}
	resp.Topics = []kmsg.MetadataResponseTopic{}
	if all {
		img.Topics(func(t *kraft.Topic) bool {
			resp.Topics = append(resp.Topics, b.describeTopic(img, t, req, r.conn.listener))
			return true
		})
		r.reply(resp)
		return
	}
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, b.metadataOf(img, &req.Topics[i], req, r.conn.listener))
	}
	r.reply(resp)
}

// preferIDs leaves only ids when a request has one: then Kafka does not look at names. Its consumer asks with empty names for what a group assigned to it.
func preferIDs(req *kmsg.MetadataRequest) {
	named := func(t kmsg.MetadataRequestTopic) bool { return t.TopicID == [16]byte{} }
	if req.Version < 12 || !slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return !named(t) }) {
		return
	}
	req.Topics = slices.DeleteFunc(req.Topics, named)
	for i := range req.Topics {
		req.Topics[i].Topic = nil
	}
}

// metadataInvalid answers a request that names a topic in a way that its version does not know.
func metadataInvalid(req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse) *kmsg.MetadataResponse {
	for i := range req.Topics {
		t := kmsg.NewMetadataResponseTopic()
		empty := ""
		t.ErrorCode, t.Topic, t.TopicID = int16(kproto.InvalidRequest), &empty, req.Topics[i].TopicID
		if req.Topics[i].Topic != nil {
			t.Topic = req.Topics[i].Topic
		}
		t.Partitions = []kmsg.MetadataResponseTopicPartition{}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (b *Broker) metadataOf(img *kraft.Image, ask *kmsg.MetadataRequestTopic, req *kmsg.MetadataRequest, listener string) kmsg.MetadataResponseTopic {
	var t *kraft.Topic
	code := kproto.UnknownTopicOrPartition
	if ask.Topic == nil {
		t, code = img.TopicByID(ask.TopicID), kproto.UnknownTopicID
	} else {
		t = img.Topic(*ask.Topic)
		if !kraft.ValidTopicName(*ask.Topic) {
			code = kproto.InvalidTopicException
		}
	}
	if t != nil {
		return b.describeTopic(img, t, req, listener)
	}
	out := kmsg.NewMetadataResponseTopic()
	out.ErrorCode, out.Topic, out.TopicID = int16(code), ask.Topic, ask.TopicID
	out.Partitions = []kmsg.MetadataResponseTopicPartition{}
	out.AuthorizedOperations = operationsUnknown
	if req.IncludeTopicAuthorizedOperations && ask.Topic != nil {
		out.AuthorizedOperations = topicOperations
	}
	return out
}

// describeBrokers fills in the live brokers as the listener's clients reach them, and one of them as controller: any broker
// forwards what a controller must decide.
func (b *Broker) describeBrokers(img *kraft.Image, listener string, resp *kmsg.MetadataResponse) {
	cluster := b.cfg.ClusterID
	resp.ClusterID = &cluster
	resp.ControllerID = -1
	resp.Brokers = []kmsg.MetadataResponseBroker{}
	resp.AuthorizedOperations = operationsUnknown
	img.Brokers(func(kb *kraft.Broker) bool {
		e, ok := kb.Endpoint(listener)
		if kb.Fenced || !ok {
			return true
		}
		mb := kmsg.NewMetadataResponseBroker()
		mb.NodeID, mb.Host, mb.Port = kb.ID, e.Host, int32(e.Port)
		if kb.Rack != "" {
			rack := kb.Rack
			mb.Rack = &rack
		}
		resp.Brokers = append(resp.Brokers, mb)
		return true
	})
	if len(resp.Brokers) > 0 {
		resp.ControllerID = b.cfg.NodeID
		if me := img.Broker(b.cfg.NodeID); me == nil || me.Fenced {
			resp.ControllerID = resp.Brokers[0].NodeID
		}
	}
}

func (b *Broker) describeTopic(img *kraft.Image, t *kraft.Topic, req *kmsg.MetadataRequest, listener string) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	name := t.Name
	out.Topic, out.TopicID, out.IsInternal = &name, t.ID, isInternalTopic(name)
	out.AuthorizedOperations = operationsUnknown
	if req.IncludeTopicAuthorizedOperations {
		out.AuthorizedOperations = topicOperations
	}
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i := range t.Partitions {
		p, mp := &t.Partitions[i], &out.Partitions[i]
		mp.Default()
		mp.Partition, mp.Leader, mp.LeaderEpoch = int32(i), p.Leader, p.LeaderEpoch
		mp.Replicas, mp.ISR, mp.OfflineReplicas = p.Replicas, p.ISR, []int32{}
		if code := leaderState(img, p, listener); code != kproto.None {
			mp.Leader, mp.ErrorCode = -1, int16(code)
			mp.OfflineReplicas = p.Replicas
			if code == kproto.LeaderNotAvailable {
				mp.ISR = []int32{} // as Kafka 4.3 has it, where the last replica leaves the ISR for the eligible leader replicas
			}
			if code == kproto.ListenerNotFound && req.Version < 6 {
				mp.ErrorCode = int16(kproto.LeaderNotAvailable)
			}
		}
	}
	return out
}

// leaderState says whether clients of a listener can reach a partition's leader.
func leaderState(img *kraft.Image, p *kraft.Partition, listener string) kproto.ErrorCode {
	leader := img.Broker(p.Leader)
	if leader == nil || leader.Fenced {
		return kproto.LeaderNotAvailable
	}
	if _, ok := leader.Endpoint(listener); !ok {
		return kproto.ListenerNotFound
	}
	return kproto.None
}

// topicOperations, clusterOperations and groupOperations are what anybody may do without an authorizer: bit n is AclOperation n.
const (
	groupOperations   = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

// autoCreate creates the unknown topics of a Metadata request and waits until they can be used.
func (b *Broker) autoCreate(r *request, req *kmsg.MetadataRequest) {
	img := b.node.Image()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = int32(autoCreateTimeout.Milliseconds())
	for i := range req.Topics {
		name := req.Topics[i].Topic
		if name == nil || img.Topic(*name) != nil || !kraft.ValidTopicName(*name) {
			continue
		}
		create.Topics = append(create.Topics, b.newTopicRequest(*name))
	}
	if len(create.Topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, autoCreateTimeout)
	defer cancel()
	b.create(r.mutating(ctx, 0), create, "on demand") // who asks for metadata never waits for the quota of changes, as in Kafka
}

const autoCreateTimeout = 10 * time.Second

// newTopicRequest asks for a topic as the broker itself creates it: with the configured defaults, or as Kafka shapes its internal topics.
func (b *Broker) newTopicRequest(name string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, b.cfg.Topics.NumPartitions, b.cfg.Topics.DefaultReplicationFactor
	if name == offsetsTopic {
		t.NumPartitions, t.ReplicationFactor = b.cfg.Offsets.TopicPartitions, b.cfg.Offsets.TopicReplicationFactor
		t.Configs = []kmsg.CreateTopicsRequestTopicConfig{
			topicConfigPair("cleanup.policy", "compact"), topicConfigPair("compression.type", "producer"),
			topicConfigPair("segment.bytes", itoa(b.cfg.Offsets.TopicSegmentBytes)),
		}
	}
	if name == shareStateTopic {
		s := b.cfg.Share
		t.NumPartitions, t.ReplicationFactor = s.StatePartitions, s.StateReplicationFactor
		t.Configs = []kmsg.CreateTopicsRequestTopicConfig{
			topicConfigPair("cleanup.policy", "delete"), topicConfigPair("compression.type", "producer"), topicConfigPair("segment.bytes", itoa(s.StateSegmentBytes)),
			topicConfigPair("min.insync.replicas", itoa(s.StateMinISR)), topicConfigPair("retention.ms", "-1"),
		}
	}
	if name == transactionsTopic {
		pr := b.cfg.Producer
		t.NumPartitions, t.ReplicationFactor = pr.TransactionTopicPartitions, pr.TransactionTopicReplicationFactor
		t.Configs = []kmsg.CreateTopicsRequestTopicConfig{
			topicConfigPair("cleanup.policy", "compact"), topicConfigPair("compression.type", "uncompressed"),
			topicConfigPair("segment.bytes", itoa(pr.TransactionTopicSegmentBytes)), topicConfigPair("min.insync.replicas", itoa(int64(pr.TransactionTopicMinISR))),
			topicConfigPair("unclean.leader.election.enable", "false"),
		}
	}
	return t
}

func topicConfigPair(key, value string) kmsg.CreateTopicsRequestTopicConfig {
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = key, &value
	return c
}
