package group

// consumerProtocolType is the protocol type of consumers, the only one whose metadata is looked into.
const consumerProtocolType = "consumer"

// subscribed tells which of the topics a member is subscribed to. Members are opaque to the coordinator: when the group is
// not of consumers, has no protocol yet, or the metadata of one member cannot be read, all topics count as subscribed.
func (g *group) subscribed(topics []string) map[string]bool {
	used := make(map[string]bool, len(topics))
	for _, topic := range topics {
		used[topic] = false
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
	r := reader{b: metadata}
	if r.int16() < 0 {
		return false
	}
	for n := r.arrayLen(false, 2); n > 0 && !r.bad; n-- {
		topic := r.string(false)
		if is, asked := used[string(topic)]; asked && !is && !r.bad {
			used[string(topic)] = true
		}
	}
	return !r.bad
}
