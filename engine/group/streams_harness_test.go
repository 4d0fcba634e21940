package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// streamsTopology reads "in", writes the repartition topic g-rep, and keeps state in g-log.
func streamsTopology() *kmsg.StreamsGroupHeartbeatRequestTopology {
	return &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
		{SubtopologyID: "0", SourceTopics: []string{"in"}, RepartitionSinkTopics: []string{"g-rep"}},
		{SubtopologyID: "1", RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: "g-rep"}}, StateChangelogTopics: []kmsg.TopicInfo{{Topic: "g-log"}}},
	}}
}

// streamsReq is a heartbeat; the first one of a member, with epoch 0, says everything.
func streamsReq(member, process string, epoch int32) *kmsg.StreamsGroupHeartbeatRequest {
	r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch = "g", member, epoch
	if epoch == 0 {
		r.RebalanceTimeoutMillis, r.ProcessID, r.Topology = 60_000, &process, streamsTopology()
		r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	}
	return r
}

// createMissing makes the internal topics that streams groups wanted, and gives those that exist the number of partitions that "in" has.
func (h *harness) createMissing() {
	for _, m := range h.missing {
		h.setTopic(m.Name, m.Partitions)
	}
	h.missing = nil
	for _, name := range []string{"g-rep", "g-log"} {
		if n := h.topics[name]; n != 0 && h.topics["in"] > n {
			h.setTopic(name, h.topics["in"])
		}
	}
}
