package streams

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Describe fills in what StreamsGroupDescribe shows of the group.
func (g *Group) Describe(at *kmsg.StreamsGroupDescribeResponseGroup) {
	at.State, at.Epoch, at.AssignmentEpoch = g.Name(), g.Epoch, g.AssignmentEpoch
	if g.topology != nil {
		at.Topology = g.describeTopology()
	}
	for _, m := range g.Members() {
		d := kmsg.NewStreamsGroupDescribeResponseGroupMember()
		d.MemberID, d.MemberEpoch, d.InstanceID, d.RackID, d.ClientID, d.ClientHost = m.ID, m.Epoch, m.Instance, m.Rack, m.ClientID, m.ClientHost
		d.TopologyEpoch, d.ProcessID = m.TopologyEpoch, m.Process
		if m.Endpoint != nil {
			e := kmsg.NewStreamsGroupDescribeResponseGroupMemberUserEndpoint()
			e.Host, e.Port = m.Endpoint.Host, m.Endpoint.Port
			d.UserEndpoint = &e
		}
		for _, t := range m.Tags {
			tag := kmsg.NewStreamsGroupDescribeResponseGroupMemberClientTag()
			tag.Key, tag.Value = t.Key, t.Value
			d.ClientTags = append(d.ClientTags, tag)
		}
		d.Assignment.ActiveTasks, d.Assignment.StandbyTasks, d.Assignment.WarmupTasks = m.Assigned[Active].Wire(), m.Assigned[Standby].Wire(), m.Assigned[Warmup].Wire()
		if t := g.target[m.ID]; t != nil {
			d.TargetAssignment.ActiveTasks, d.TargetAssignment.StandbyTasks, d.TargetAssignment.WarmupTasks = t[Active].Wire(), t[Standby].Wire(), t[Warmup].Wire()
		}
		at.Members = append(at.Members, d)
	}
}

// describeTopology shows the topology; with the numbers of partitions that were decided, when it is complete.
func (g *Group) describeTopology() *kmsg.StreamsGroupDescribeResponseGroupTopology {
	out := kmsg.NewStreamsGroupDescribeResponseGroupTopology()
	out.Epoch, out.Subtopologies = g.topology.Epoch, []kmsg.StreamsGroupDescribeResponseGroupTopologySubtopology{}
	for i := range g.topology.Subtopologies {
		s := &g.topology.Subtopologies[i]
		d := kmsg.NewStreamsGroupDescribeResponseGroupTopologySubtopology()
		d.SubtopologyID = s.ID
		d.SourceTopics = slices.Sorted(slices.Values(s.Sources))
		d.RepartitionSinkTopics = slices.Sorted(slices.Values(s.RepartitionSinks))
		d.RepartitionSourceTopics, d.StateChangelogTopics = g.describeTopics(s.RepartitionSources), g.describeTopics(s.Changelogs)
		out.Subtopologies = append(out.Subtopologies, d)
	}
	return &out
}

func (g *Group) describeTopics(topics []InternalTopic) []kmsg.TopicInfo {
	out := []kmsg.TopicInfo{}
	for i := range topics {
		t := kmsg.NewTopicInfo()
		t.Topic, t.NumPartitions, t.ReplicationFactor = topics[i].Name, topics[i].Partitions, topics[i].Replication
		if t.NumPartitions == 0 && g.layout != nil && g.layout.ready() {
			t.NumPartitions = g.layout.counts[t.Topic]
		}
		for _, c := range topics[i].Configs {
			pair := kmsg.NewTopicInfoConfig()
			pair.Key, pair.Value = c.Key, c.Value
			t.Configs = append(t.Configs, pair)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b kmsg.TopicInfo) int { return strings.Compare(a.Topic, b.Topic) })
	return out
}
