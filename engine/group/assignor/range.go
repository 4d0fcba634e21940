package assignor

import (
	"cmp"
	"slices"
)

// Range divides each topic into contiguous ranges over its subscribers, the first of which get one more where it does not come
// out even. Static members come first, by their instance: they keep their place, and so their ranges, when they restart.
func Range(g *Group) map[string]Assignment {
	slices.SortFunc(g.Members, func(a, b Member) int {
		switch {
		case a.Instance != nil && b.Instance != nil:
			return cmp.Compare(*a.Instance, *b.Instance)
		case a.Instance != nil:
			return -1
		case b.Instance != nil:
			return 1
		}
		return byID(a, b)
	})
	subscribers := make(map[TopicID]int32, len(g.Partitions))
	for i := range g.Members {
		for _, topic := range g.Members[i].Topics {
			subscribers[topic]++
		}
	}
	type cursor struct{ next, extra int32 }
	cursors := make(map[TopicID]*cursor, len(subscribers))
	for topic, n := range subscribers {
		cursors[topic] = &cursor{extra: g.Partitions[topic] % n}
	}
	out := make(map[string]Assignment, len(g.Members))
	for i := range g.Members {
		m := &g.Members[i]
		b := make(builder, len(m.Topics))
		for _, topic := range m.Topics {
			c, quota := cursors[topic], g.Partitions[topic]/subscribers[topic]
			if c.extra > 0 {
				c.extra--
				quota++
			}
			for range quota {
				b.take(topic, c.next)
				c.next++
			}
		}
		out[m.ID] = b.seal(m.Assigned)
	}
	return out
}
