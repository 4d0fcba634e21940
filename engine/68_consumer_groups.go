package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// ConsumerGroupHeartbeat (key 68) 0 to 1 and ConsumerGroupDescribe (key 69) 0 to 1: groups of the consumer protocol (KIP-848). The coordinator
// (package group) serves them; here is what it gets to know of the cluster. Where group.coordinator.rebalance.protocols has no consumer they
// answer UNSUPPORTED_VERSION, and the feature group.version is not shown; so do they at level 0 of that feature.

// groupVersionFeature tells clients, with level 1, that groups may be of the consumer protocol.
const groupVersionFeature = "group.version"

// consumerProtocol reports whether groups of the consumer protocol are served.
func (b *Broker) consumerProtocol() bool { return b.hasFeature(groupVersionFeature) }

func (b *Broker) consumerOptions() group.ConsumerOptions {
	g := b.cfg.Group
	return group.ConsumerOptions{
		Topics:               func() consumer.Topics { return clusterTopics{b.node.Image(), b.topicsVersion.Load()} },
		Config:               b.consumerConfig,
		MaxSize:              g.ConsumerMaxSize,
		Assignors:            g.ConsumerAssignors,
		RegexRefreshInterval: g.ConsumerRegexRefreshInterval,
		MayUpgrade:           g.ConsumerMigration == "bidirectional" || g.ConsumerMigration == "upgrade",
		MayDowngrade:         g.ConsumerMigration == "bidirectional" || g.ConsumerMigration == "downgrade",
	}
}

// consumerConfig is what holds for a group: its own keys, else the broker's.
func (b *Broker) consumerConfig(name string) group.ConsumerConfig {
	g, own := b.cfg.Group, b.groupConfig(name)
	return group.ConsumerConfig{
		SessionTimeout:     own.millis("consumer.session.timeout.ms", g.ConsumerSessionTimeout),
		HeartbeatInterval:  own.millis("consumer.heartbeat.interval.ms", g.ConsumerHeartbeatInterval),
		AssignmentInterval: own.millis("consumer.assignment.interval.ms", b.dynamicMillis("group.consumer.assignment.interval.ms", g.ConsumerAssignmentInterval)),
	}
}

// clusterTopics are the topics of an image.
type clusterTopics struct {
	img     *kraft.Image
	version int64
}

func (t clusterTopics) Version() int64 { return t.version }

func (t clusterTopics) ByName(name string) (consumer.TopicID, int32, bool) {
	if topic := t.img.Topic(name); topic != nil {
		return topic.ID, int32(len(topic.Partitions)), true
	}
	return consumer.TopicID{}, 0, false
}

func (t clusterTopics) ByID(id consumer.TopicID) (string, int32, bool) {
	if topic := t.img.TopicByID(id); topic != nil {
		return topic.Name, int32(len(topic.Partitions)), true
	}
	return "", 0, false
}

func (t clusterTopics) Each(fn func(name string) bool) {
	t.img.Topics(func(topic *kraft.Topic) bool { return fn(topic.Name) })
}

// followTopics notes that topics have come, grown or gone.
func (b *Broker) followTopics(prev, next *kraft.Image, delta *kraft.Delta) {
	changed := delta.Full || len(delta.Created) > 0 || len(delta.Deleted) > 0
	for i := 0; i < len(delta.Partitions) && !changed; i++ {
		before, after := prev.TopicByID(delta.Partitions[i].Topic), next.TopicByID(delta.Partitions[i].Topic)
		changed = before == nil || after == nil || len(before.Partitions) != len(after.Partitions)
	}
	if changed {
		b.topicsVersion.Store(next.Offset())
	}
}

func consumerGroupHeartbeat(r *request) {
	if !r.broker.consumerProtocol() {
		resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.ErrorCode = int16(kproto.UnsupportedVersion)
		r.reply(resp)
		return
	}
	r.broker.groups.ConsumerGroupHeartbeat(r.client(), r.body.(*kmsg.ConsumerGroupHeartbeatRequest), r.reply)
}

func consumerGroupDescribe(r *request) {
	req := r.body.(*kmsg.ConsumerGroupDescribeRequest)
	if !r.broker.consumerProtocol() {
		resp := kmsg.NewPtrConsumerGroupDescribeResponse()
		for _, id := range req.Groups {
			at := kmsg.NewConsumerGroupDescribeResponseGroup()
			at.Group, at.ErrorCode = id, int16(kproto.UnsupportedVersion)
			resp.Groups = append(resp.Groups, at)
		}
		r.reply(resp)
		return
	}
	r.broker.groups.ConsumerGroupDescribe(r.client(), req, func(resp kmsg.Response) {
		if req.IncludeAuthorizedOperations {
			groups := resp.(*kmsg.ConsumerGroupDescribeResponse).Groups
			for i := range groups {
				if groups[i].ErrorCode == 0 {
					groups[i].AuthorizedOperations = groupOperations
				}
			}
		}
		r.reply(resp)
	})
}
