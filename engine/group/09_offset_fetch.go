package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// OffsetFetch 1-10. v2: all topics, error of the group. v5: leader epoch. v7: RequireStable. v8: several groups. v9: member
// id and epoch, which only groups of the newer protocol check. v10: topic ids instead of names.
//
// RequireStable: a partition with an offset in an open transaction answers UNSTABLE_OFFSET_COMMIT.

// OffsetFetch answers an OffsetFetch request at once. Offsets are those whose records are durable.
func (c *Coordinator) OffsetFetch(_ Client, req *kmsg.OffsetFetchRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.Version = req.Version
	if req.Version >= 8 {
		resp.Groups = make([]kmsg.OffsetFetchResponseGroup, len(req.Groups))
		for i := range req.Groups {
			resp.Groups[i] = c.fetchGroup(req.Version, &req.Groups[i], req.RequireStable)
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
	answer := c.fetchGroup(req.Version, &asked, req.RequireStable)
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
func (c *Coordinator) fetchGroup(version int16, req *kmsg.OffsetFetchRequestGroup, stable bool) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = req.Group
	names := make([]string, len(req.Topics))
	for i, rt := range req.Topics {
		names[i] = rt.Topic
		if version >= 10 {
			names[i], _ = c.opts.TopicName(rt.TopicID)
		}
	}
	refused := codeNone
	resp.ErrorCode = c.serve(req.Group, func(t *turn) {
		g := t.s.groups[req.Group]
		if refused = g.mayFetch(version, req); t.s.shares[req.Group] != nil {
			refused = codeGroupIDNotFound
		}
		if refused != codeNone {
			return
		}
		if req.Topics == nil {
			resp.Topics = g.fetchAll(stable)
			return
		}
		for i, rt := range req.Topics {
			at := kmsg.OffsetFetchResponseGroupTopic{Topic: names[i], TopicID: rt.TopicID}
			at.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(rt.Partitions))
			for k, p := range rt.Partitions {
				at.Partitions[k] = g.fetch(topicPartition{names[i], p}, stable)
			}
			resp.Topics = append(resp.Topics, at)
		}
	})
	if refused != codeNone {
		resp.ErrorCode = refused
		return resp
	}
	switch {
	case resp.ErrorCode != codeNone && version < 2:
		resp.Topics = failedFetch(req, resp.ErrorCode) // has no error for the whole
	case version >= 10:
		resp.Topics = c.withIDs(req, names, resp.Topics)
	}
	return resp
}

// mayFetch judges a sender that says which member it is. Where there is no group there is no offset, either: that is no error.
func (g *group) mayFetch(version int16, req *kmsg.OffsetFetchRequestGroup) int16 {
	var err *consumer.Error
	switch {
	case version < 9 || g == nil:
	case g.modern != nil:
		err = g.modern.CheckFetch(req.MemberID, req.MemberEpoch)
	case g.streams != nil:
		err = g.streams.CheckFetch(req.MemberID, req.MemberEpoch)
	}
	if err != nil {
		return err.Code
	}
	return codeNone
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
func (g *group) fetch(tp topicPartition, stable bool) kmsg.OffsetFetchResponseGroupTopicPartition {
	if g != nil {
		if stable && g.unstable(tp) {
			at := fetchAnswer(tp.partition, nil)
			at.ErrorCode = codeUnstableOffsetCommit
			return at
		}
		if o, ok := g.offsets[tp.topic][tp.partition]; ok {
			return fetchAnswer(tp.partition, &o)
		}
	}
	return fetchAnswer(tp.partition, nil)
}

func (g *group) fetchAll(stable bool) []kmsg.OffsetFetchResponseGroupTopic {
	if g == nil {
		return nil
	}
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(g.offsets))
	for topic, partitions := range g.offsets {
		at := kmsg.OffsetFetchResponseGroupTopic{Topic: topic, Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(partitions))}
		for p := range partitions {
			at.Partitions = append(at.Partitions, g.fetch(topicPartition{topic, p}, stable))
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
