package group

import "github.com/twmb/franz-go/pkg/kmsg"

// OffsetFetch 1-10. v2: all topics, error of the group. v5: leader epoch. v7: RequireStable. v8: several groups. v9: member
// id and epoch, which only groups of the newer protocol check. v10: topic ids instead of names.
//
// RequireStable asks to wait out offsets of open transactions; an offset is visible here only once it is durable and final.

// OffsetFetch answers an OffsetFetch request at once. Offsets are those whose records are durable.
func (c *Coordinator) OffsetFetch(_ Client, req *kmsg.OffsetFetchRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.Version = req.Version
	if req.Version >= 8 {
		resp.Groups = make([]kmsg.OffsetFetchResponseGroup, len(req.Groups))
		for i := range req.Groups {
			resp.Groups[i] = c.fetchGroup(req.Version, &req.Groups[i])
		}
		reply(resp)
		return
	}
	asked := kmsg.OffsetFetchRequestGroup{Group: req.Group}
	if req.Topics != nil {
		asked.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
		for i, rt := range req.Topics {
			asked.Topics[i].Topic, asked.Topics[i].Partitions = rt.Topic, rt.Partitions
		}
	}
	answer := c.fetchGroup(req.Version, &asked)
	resp.ErrorCode = answer.ErrorCode
	for _, at := range answer.Topics {
		rt := kmsg.OffsetFetchResponseTopic{Topic: at.Topic, Partitions: make([]kmsg.OffsetFetchResponseTopicPartition, len(at.Partitions))}
		for i, ap := range at.Partitions {
			rt.Partitions[i] = kmsg.OffsetFetchResponseTopicPartition(ap)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	reply(resp)
}

// fetchGroup answers for one group.
func (c *Coordinator) fetchGroup(version int16, req *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = req.Group
	names := make([]string, len(req.Topics))
	for i, rt := range req.Topics {
		names[i] = rt.Topic
		if version >= 10 {
			names[i], _ = c.opts.TopicName(rt.TopicID)
		}
	}
	resp.ErrorCode = c.serve(req.Group, func(t *turn) {
		g := t.s.groups[req.Group]
		if req.Topics == nil {
			resp.Topics = g.fetchAll()
			return
		}
		for i, rt := range req.Topics {
			at := kmsg.OffsetFetchResponseGroupTopic{Topic: names[i], TopicID: rt.TopicID}
			at.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(rt.Partitions))
			for k, p := range rt.Partitions {
				at.Partitions[k] = g.fetch(topicPartition{names[i], p})
			}
			resp.Topics = append(resp.Topics, at)
		}
	})
	switch {
	case resp.ErrorCode != codeNone && version < 2:
		resp.Topics = failedFetch(req, resp.ErrorCode) // has no error for the whole
	case version >= 10:
		resp.Topics = c.withIDs(req, names, resp.Topics)
	}
	return resp
}

// withIDs fills in topic ids where all topics were asked for, and answers for the ids that were asked for and are unknown.
func (c *Coordinator) withIDs(req *kmsg.OffsetFetchRequestGroup, names []string, topics []kmsg.OffsetFetchResponseGroupTopic) []kmsg.OffsetFetchResponseGroupTopic {
	if req.Topics == nil {
		known := topics[:0]
		for _, at := range topics {
			if id, ok := c.opts.TopicID(at.Topic); ok { // else deleted just now
				at.TopicID = id
				known = append(known, at)
			}
		}
		return known
	}
	for i := range topics {
		if names[i] == "" {
			for k := range topics[i].Partitions {
				topics[i].Partitions[k].ErrorCode = codeUnknownTopicID
			}
		}
	}
	return topics
}

func failedFetch(req *kmsg.OffsetFetchRequestGroup, code int16) []kmsg.OffsetFetchResponseGroupTopic {
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, len(req.Topics))
	for i, rt := range req.Topics {
		topics[i].Topic = rt.Topic
		for _, p := range rt.Partitions {
			at := fetchAnswer(p, nil)
			at.ErrorCode = code
			topics[i].Partitions = append(topics[i].Partitions, at)
		}
	}
	return topics
}

// fetch answers for one partition. No group is a group without offsets.
func (g *group) fetch(tp topicPartition) kmsg.OffsetFetchResponseGroupTopicPartition {
	if g != nil {
		if o, ok := g.offsets[tp.topic][tp.partition]; ok {
			return fetchAnswer(tp.partition, &o)
		}
	}
	return fetchAnswer(tp.partition, nil)
}

func (g *group) fetchAll() []kmsg.OffsetFetchResponseGroupTopic {
	if g == nil {
		return nil
	}
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(g.offsets))
	for topic, partitions := range g.offsets {
		at := kmsg.OffsetFetchResponseGroupTopic{Topic: topic, Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(partitions))}
		for p, o := range partitions {
			at.Partitions = append(at.Partitions, fetchAnswer(p, &o))
		}
		topics = append(topics, at)
	}
	return topics
}

// fetchAnswer is the answer for a partition; nil: no offset is committed, which is not an error.
func fetchAnswer(partition int32, o *offset) kmsg.OffsetFetchResponseGroupTopicPartition {
	at := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	at.Partition, at.Offset, at.LeaderEpoch, at.Metadata = partition, -1, -1, new(string)
	if o != nil {
		metadata := o.metadata
		at.Offset, at.LeaderEpoch, at.Metadata = o.offset, o.leaderEpoch, &metadata
	}
	return at
}
