package assignor

import "slices"

// Uniform gives every member as many partitions as every other that could have them, give or take one, and takes away as few as
// it must for that.
func Uniform(g *Group) map[string]Assignment {
	slices.SortFunc(g.Members, byID)
	if len(g.Members) == 0 {
		return map[string]Assignment{}
	}
	if g.Same {
		return uniformSame(g)
	}
	return uniformMixed(g)
}

// partitionSet remembers which partitions somebody has.
type partitionSet map[TopicID][]bool

func newPartitionSet(g *Group) partitionSet {
	s := make(partitionSet, len(g.Partitions))
	for topic, n := range g.Partitions {
		s[topic] = make([]bool, n)
	}
	return s
}

// add reports whether the partition exists and was not in the set yet.
func (s partitionSet) add(topic TopicID, partition int32) bool {
	has := s[topic]
	if partition < 0 || int(partition) >= len(has) || has[partition] {
		return false
	}
	has[partition] = true
	return true
}

type topicPartition struct {
	topic     TopicID
	partition int32
}

// rest lists the partitions that are not in the set, by topic and number.
func (s partitionSet) rest(topics []TopicID) []topicPartition {
	var rest []topicPartition
	for _, topic := range topics {
		for p, has := range s[topic] {
			if !has {
				rest = append(rest, topicPartition{topic, int32(p)})
			}
		}
	}
	return rest
}

// uniformSame is for members that all may have everything. With 7 partitions and 3 members the quotas are 3, 2 and 2: who has
// more already gets the larger ones, as long as there are some.
//
// First everybody keeps what it has up to its quota, then what is left over fills up those below it. Time and memory are linear
// in members and partitions.
func uniformSame(g *Group) map[string]Assignment {
	total := 0
	for _, n := range g.Partitions {
		total += int(n)
	}
	least, larger := total/len(g.Members), total%len(g.Members)
	taken := newPartitionSet(g)
	kept := make([]builder, len(g.Members))
	counts := make([]int, len(g.Members))
	topics := g.topics()
	for i := range g.Members {
		m := &g.Members[i]
		quota := least
		if larger > 0 {
			quota++
		}
		kept[i] = make(builder, len(m.Assigned))
		for _, topic := range topics {
			for _, p := range m.Assigned[topic] {
				if counts[i] < quota && taken.add(topic, p) {
					kept[i].take(topic, p)
					counts[i]++
				}
			}
		}
		if counts[i] > least {
			larger--
		}
	}
	rest := taken.rest(topics)
	out := make(map[string]Assignment, len(g.Members))
	for i := range g.Members {
		quota := least
		switch {
		case counts[i] > least:
			quota = counts[i]
		case larger > 0:
			quota++
			larger--
		}
		for counts[i] < quota {
			kept[i].take(rest[0].topic, rest[0].partition)
			rest = rest[1:]
			counts[i]++
		}
		out[g.Members[i].ID] = kept[i].seal(g.Members[i].Assigned)
	}
	return out
}
