package consumer

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Describe fills in what ConsumerGroupDescribe shows of the group.
func (g *Group) Describe(env *Env, at *kmsg.ConsumerGroupDescribeResponseGroup) {
	at.State, at.Epoch, at.AssignmentEpoch, at.AssignorName = g.Name(), g.Epoch, g.AssignmentEpoch, g.Assignor(env)
	for _, m := range g.Members() {
		d := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		d.MemberID, d.InstanceID, d.RackID, d.MemberEpoch, d.ClientID, d.ClientHost = m.ID, m.Instance, m.Rack, m.Epoch, m.ClientID, m.ClientHost
		d.SubscribedTopics, d.SubscribedTopicRegex, d.MemberType = m.Topics, m.Regex, 1
		if m.Classic != nil {
			d.MemberType = 0
		}
		has := make(map[TopicID][]int32)
		for _, owned := range []Owned{m.Assigned, m.Revoking} {
			for topic, parts := range owned {
				for _, p := range parts {
					has[topic] = append(has[topic], p.Partition)
				}
			}
		}
		d.Assignment.TopicPartitions = describeTopics(env.Topics, has)
		d.TargetAssignment.TopicPartitions = describeTopics(env.Topics, g.target[m.ID])
		at.Members = append(at.Members, d)
	}
}

// describeTopics leaves out topics that do not exist any more.
func describeTopics(topics Topics, has map[TopicID][]int32) []kmsg.AssignmentTopicPartition {
	var out []kmsg.AssignmentTopicPartition
	for id, partitions := range has {
		if name, _, ok := topics.ByID(id); ok {
			out = append(out, kmsg.AssignmentTopicPartition{TopicID: id, Topic: name, Partitions: slices.Sorted(slices.Values(partitions))})
		}
	}
	slices.SortFunc(out, func(a, b kmsg.AssignmentTopicPartition) int { return strings.Compare(a.Topic, b.Topic) })
	return out
}

// Assignment is what a heartbeat's answer shows of what a member has.
func (m *Member) Assignment() *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	out := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
	for topic, parts := range m.Assigned {
		t := kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{TopicID: topic}
		for _, p := range parts {
			t.Partitions = append(t.Partitions, p.Partition)
		}
		out.Topics = append(out.Topics, t)
	}
	slices.SortFunc(out.Topics, func(a, b kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic) int {
		return slices.Compare(a.TopicID[:], b.TopicID[:])
	})
	return &out
}
