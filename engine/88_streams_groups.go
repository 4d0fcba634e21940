package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/group/streams"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// StreamsGroupHeartbeat (key 88) 0 and StreamsGroupDescribe (key 89) 0: groups of Kafka Streams (KIP-1071). The coordinator (package group)
// serves them; here is what it gets to know of the cluster, and the topics that it wants are created (internal_topics.go). Where
// group.coordinator.rebalance.protocols has no streams they answer UNSUPPORTED_VERSION, and the feature streams.version is not shown; so do they at level 0 of that feature.

// streamsVersionFeature tells clients, with level 1, that groups may be of Kafka Streams.
const streamsVersionFeature = "streams.version"

// streamsProtocol reports whether streams groups are served.
func (b *Broker) streamsProtocol() bool { return b.hasFeature(streamsVersionFeature) }

func (b *Broker) streamsOptions() group.StreamsOptions {
	return group.StreamsOptions{Config: b.streamsConfig, MaxSize: b.cfg.Group.Streams.MaxSize}
}

// streamsConfig is what holds for a group: its own keys, else the broker's.
func (b *Broker) streamsConfig(name string) group.StreamsConfig {
	g, own := b.cfg.Group.Streams, b.groupConfig(name)
	return group.StreamsConfig{
		SessionTimeout:        own.millis("streams.session.timeout.ms", g.SessionTimeout),
		HeartbeatInterval:     own.millis("streams.heartbeat.interval.ms", g.HeartbeatInterval),
		AssignmentInterval:    own.millis("streams.assignment.interval.ms", b.dynamicMillis("group.streams.assignment.interval.ms", g.AssignmentInterval)),
		InitialRebalanceDelay: own.millis("streams.initial.rebalance.delay.ms", g.InitialRebalanceDelay),
		Standbys:              own.number("streams.num.standby.replicas", g.Standbys),
	}
}

func streamsGroupHeartbeat(r *request) {
	req, b := r.body.(*kmsg.StreamsGroupHeartbeatRequest), r.broker
	resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	if !b.streamsProtocol() {
		resp.ErrorCode = int16(kproto.UnsupportedVersion)
		r.reply(resp)
		return
	}
	if message := prohibitedTopics(req); message != "" {
		resp.ErrorCode, resp.ErrorMessage = int16(streams.CodeInvalidTopology), &message
		r.reply(resp)
		return
	}
	b.groups.StreamsGroupHeartbeat(r.client(), req, func(resp *kmsg.StreamsGroupHeartbeatResponse, missing []streams.NewTopic) {
		if len(missing) > 0 {
			b.createInternal(r, resp, missing)
		}
		r.reply(resp)
	})
}

// streamsTopics are the topics of a topology.
func streamsTopics(t *kmsg.StreamsGroupHeartbeatRequestTopology) []string {
	if t == nil {
		return nil
	}
	var names []string
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		names = appendTopics(names, s.SourceTopics, s.RepartitionSinkTopics, s.RepartitionSourceTopics, s.StateChangelogTopics)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// appendTopics appends the topics of a subtopology.
func appendTopics(names, sources, sinks []string, repartition, changelogs []kmsg.TopicInfo) []string {
	names = append(append(names, sources...), sinks...)
	for _, infos := range [][]kmsg.TopicInfo{repartition, changelogs} {
		for i := range infos {
			names = append(names, infos[i].Topic)
		}
	}
	return names
}

// prohibitedTopics says which topics of a request's topology no program may have; "" when there are none.
func prohibitedTopics(req *kmsg.StreamsGroupHeartbeatRequest) string {
	names := streamsTopics(req.Topology)
	not := func(bad func(name string) bool) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !bad(name) }), ",")
	}
	if internal := not(isInternalTopic); internal != "" {
		return fmt.Sprintf("Use of Kafka internal topics %s in a Kafka Streams topology is prohibited.", internal)
	}
	if invalid := not(func(name string) bool { return !kraft.ValidTopicName(name) }); invalid != "" {
		return fmt.Sprintf("Topic names %s are not valid topic names.", invalid)
	}
	return ""
}

func streamsGroupDescribe(r *request) {
	req := r.body.(*kmsg.StreamsGroupDescribeRequest)
	if !r.broker.streamsProtocol() {
		resp := kmsg.NewPtrStreamsGroupDescribeResponse()
		for _, id := range req.Groups {
			at := kmsg.NewStreamsGroupDescribeResponseGroup()
			at.Group, at.ErrorCode = id, int16(kproto.UnsupportedVersion)
			resp.Groups = append(resp.Groups, at)
		}
		r.reply(resp)
		return
	}
	r.broker.groups.StreamsGroupDescribe(r.client(), req, func(resp kmsg.Response) {
		groups := resp.(*kmsg.StreamsGroupDescribeResponse).Groups
		for i := range groups {
			if req.IncludeAuthorizedOperations && groups[i].ErrorCode == 0 {
				groups[i].AuthorizedOperations = groupOperations
			}
		}
		r.reply(resp)
	})
}
