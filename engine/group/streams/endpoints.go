package streams

import (
	"maps"
	"slices"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// EndpointTasks says which partitions the state at an endpoint was made of.
type EndpointTasks struct {
	Endpoint        Endpoint
	Active, Standby []TopicPartitions
}

// TopicPartitions are partitions of a topic, ascending.
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}

// tellEndpoints puts the endpoints into an answer if the member does not know of their last change. has is the epoch that it knows, changed
// says that its own tasks are others. The epoch of a group that begins with the request stays 0, as with Kafka.
func (g *Group) tellEndpoints(env *Env, out *Outcome, has int32, changed, fresh bool) {
	if changed && out.Member.Endpoint != nil {
		g.endpointsEpoch++
	}
	if g.endpointsEpoch != has {
		out.TellEndpoints = true
		for _, m := range g.Members() {
			if m.Endpoint != nil {
				out.Endpoints = append(out.Endpoints, g.endpoint(env.Topics, m))
			}
		}
	}
	if fresh {
		g.endpointsEpoch = 0
	}
	out.EndpointsEpoch = g.endpointsEpoch
}

func (g *Group) endpoint(topics consumer.Topics, m *Member) EndpointTasks {
	return EndpointTasks{*m.Endpoint, g.partitionsOf(topics, m.Assigned[Active]), g.partitionsOf(topics, m.Assigned[Standby])}
}

// partitionsOf are the partitions that tasks read. A task beyond the last partition of a topic reads the others of its topics only.
func (g *Group) partitionsOf(topics consumer.Topics, tasks Set) []TopicPartitions {
	numbers := make(map[string][]int32) // of the tasks, by subtopology
	for id := range tasks {
		numbers[id.Subtopology] = append(numbers[id.Subtopology], id.Partition)
	}
	all := make(map[string][]int32)
	for i := range g.topology.Subtopologies {
		s := &g.topology.Subtopologies[i]
		s.eachSource(func(topic string) {
			_, n, _ := topics.ByName(topic)
			for _, p := range numbers[s.ID] {
				if p < n {
					all[topic] = append(all[topic], p)
				}
			}
		})
	}
	var out []TopicPartitions
	for _, topic := range slices.Sorted(maps.Keys(all)) {
		out = append(out, TopicPartitions{topic, slices.Compact(slices.Sorted(slices.Values(all[topic])))})
	}
	return out
}
