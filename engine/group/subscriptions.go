package group

import "github.com/ringmq/ringmq/engine/group/wire"

// consumerProtocolType is the protocol type of consumers, the only one whose metadata is looked into.
const consumerProtocolType = "consumer"

// subscribed tells which of the topics a member is subscribed to. Members are opaque to the coordinator: when the group is
// not of consumers, has no protocol yet, or the metadata of one member cannot be read, all topics count as subscribed.
func (g *group) subscribed(topics []string) map[string]bool {
	used := make(map[string]bool, len(topics))
	for _, topic := range topics {
		used[topic] = g.newer != nil && g.newer.members.Subscribed(topic)
	}
	if g.newer != nil {
		return used
	}
	known := g.protocolType == consumerProtocolType && g.protocol != nil
	for i := 0; known && i < len(g.order); i++ {
		known = markSubscribed(used, g.order[i].metadata(g.protocol))
	}
	if !known {
		for topic := range used {
			used[topic] = true
		}
	}
	return used
}

// markSubscribed reads the topics out of a ConsumerProtocolSubscription, and marks those that are asked for. All versions
// begin with the version and the topics: an array of strings. It reports whether the bytes can be read so far.
func markSubscribed(used map[string]bool, metadata []byte) bool {
	r := wire.Reader{B: metadata}
	if r.Int16() < 0 {
		return false
	}
	for n := r.ArrayLen(false, 2); n > 0 && !r.Bad; n-- {
		topic := r.String(false)
		if is, asked := used[string(topic)]; asked && !is && !r.Bad {
			used[string(topic)] = true
		}
	}
	return !r.Bad
}
