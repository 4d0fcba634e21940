package sharegroup

import (
	"maps"
	"slices"

	"github.com/ringmq/ringmq/engine/group/assignor"
)

// topicPartition is one that may be assigned.
type topicPartition struct {
	topic     TopicID
	partition int32
}

// assign computes the target of each member. Kafka's simple assignor: every partition has the same number of members, every member about the same number of
// partitions, and who has a partition keeps it if that is possible. When not all members are subscribed to the same topics, that holds topic by topic.
func (g *Group) assign(env *Env) map[string]assignor.Assignment {
	members := g.Members()
	out := make(map[string]assignor.Assignment, len(members))
	for _, m := range members {
		out[m.ID] = make(assignor.Assignment)
	}
	if len(members) == 0 {
		return out
	}
	same := !slices.ContainsFunc(members, func(m *Member) bool { return !slices.Equal(m.Topics, members[0].Topics) })
	if same {
		var all []topicPartition
		for _, name := range members[0].Topics {
			all = append(all, g.assignable(env, name)...)
		}
		g.spread(out, members, all)
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(g.names)) {
		subscribed := slices.DeleteFunc(slices.Clone(members), func(m *Member) bool { return !slices.Contains(m.Topics, name) })
		g.spread(out, subscribed, g.assignable(env, name))
	}
	return out
}

// assignable are the partitions of a topic that have a state.
func (g *Group) assignable(env *Env, name string) (list []topicPartition) {
	id, n, ok := env.Topics.ByName(name)
	if !ok {
		return nil
	}
	if ready := g.initialized[id]; ready != nil {
		for _, p := range ready.partitions {
			if p < n {
				list = append(list, topicPartition{id, p})
			}
		}
	}
	return list
}

// spread shares partitions out among members.
func (g *Group) spread(out map[string]assignor.Assignment, members []*Member, partitions []topicPartition) {
	if len(members) == 0 || len(partitions) == 0 {
		return
	}
	sharing := (len(members) + len(partitions) - 1) / len(partitions)
	total := sharing * len(partitions)
	want := func(i int) int { return ceilDiv(total*(i+1), len(members)) - ceilDiv(total*i, len(members)) }
	left := make(map[topicPartition]int, len(partitions)) // members that a partition may still get
	for _, tp := range partitions {
		left[tp] = sharing
	}
	has := make([]map[topicPartition]bool, len(members))
	give := func(i int, tp topicPartition) {
		has[i][tp] = true
		left[tp]--
		a := out[members[i].ID]
		a[tp.topic] = append(a[tp.topic], tp.partition)
	}
	for i, m := range members { // what they have
		has[i] = make(map[topicPartition]bool)
		for _, topic := range sortedTopics(g.target[m.ID]) {
			for _, p := range g.target[m.ID][topic] {
				if tp := (topicPartition{topic, p}); left[tp] > 0 && len(has[i]) < want(i) {
					give(i, tp)
				}
			}
		}
	}
	for i := range members { // what is left, least shared first
		for len(has[i]) < want(i) {
			best := -1
			for k, tp := range partitions {
				if left[tp] > 0 && !has[i][tp] && (best < 0 || left[tp] > left[partitions[best]]) {
					best = k
				}
			}
			if best < 0 {
				break
			}
			give(i, partitions[best])
		}
	}
	for i, tp := range partitions { // nobody may be without a member, whatever the order above has come to
		if left[tp] == sharing {
			give(i%len(members), tp)
		}
	}
	for _, m := range members {
		for topic := range out[m.ID] {
			slices.Sort(out[m.ID][topic])
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
