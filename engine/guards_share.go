package engine

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The guards of APIs about share groups. ShareFetch and ShareAcknowledge ask for topics themselves, when they have resolved the session.

// guardShareGroupHeartbeat: as in Kafka a member is refused as a whole for one topic that it may not see.
func guardShareGroupHeartbeat(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.ShareGroupHeartbeatRequest)
	resp := kmsg.NewPtrShareGroupHeartbeatResponse()
	switch {
	case !a.group(opRead, req.GroupID):
		resp.ErrorCode = groupRefused
	case a.hidden(req.SubscribedTopicNames):
		resp.ErrorCode = topicRefused
	default:
		return nil
	}
	return resp
}

// guardShareGroupDescribe: a group with a topic that the client may not see is not shown.
func guardShareGroupDescribe(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.ShareGroupDescribeRequest)
	var denied []kmsg.ShareGroupDescribeResponseGroup
	req.GroupIDs, denied = part(req.GroupIDs, func(g *string) bool { return a.group(opDescribe, *g) }, func(g *string) kmsg.ShareGroupDescribeResponseGroup {
		out := kmsg.NewShareGroupDescribeResponseGroup()
		out.GroupID, out.ErrorCode = *g, groupRefused
		return out
	})
	if len(req.GroupIDs) == 0 {
		return complete(r, 0, len(denied), func(p *kmsg.ShareGroupDescribeResponse) { p.Groups = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.ShareGroupDescribeResponse)
		for i := range p.Groups {
			g := &p.Groups[i]
			if slices.ContainsFunc(g.Members, func(m kmsg.ShareGroupDescribeResponseGroupMember) bool { return hidesShared(a, &m) }) {
				g.ErrorCode, g.ErrorMessage, g.Members = topicRefused, kmsg.StringPtr(hiddenTopics), nil
			}
			g.AuthorizedOperations = a.narrow(g.AuthorizedOperations, kmsg.ACLResourceTypeGroup, g.GroupID)
		}
		p.Groups = append(p.Groups, denied...)
	}
	return nil
}

// hidesShared reports whether a member has to do with a topic that the client may not see.
func hidesShared(a asker, m *kmsg.ShareGroupDescribeResponseGroupMember) bool {
	return a.hidden(m.SubscribedTopicNames) ||
		slices.ContainsFunc(m.Assignment.TopicPartitions, func(t kmsg.ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition) bool {
			return !a.topic(opDescribe, t.Topic)
		})
}

func guardDescribeShareGroupOffsets(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DescribeShareGroupOffsetsRequest)
	var denied []kmsg.DescribeShareGroupOffsetsResponseGroup
	req.Groups, denied = part(req.Groups, func(g *kmsg.DescribeShareGroupOffsetsRequestGroup) bool { return a.group(opDescribe, g.GroupID) },
		func(g *kmsg.DescribeShareGroupOffsetsRequestGroup) kmsg.DescribeShareGroupOffsetsResponseGroup {
			out := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
			out.GroupID, out.ErrorCode = g.GroupID, groupRefused
			return out
		})
	topics := make(map[string][]kmsg.DescribeShareGroupOffsetsResponseGroupTopic) // that are denied, by group
	all := make(map[string]bool)
	for i := range req.Groups {
		g := &req.Groups[i]
		all[g.GroupID] = g.Topics == nil
		g.Topics, topics[g.GroupID] = part(g.Topics, func(t *kmsg.DescribeShareGroupOffsetsRequestGroupTopic) bool { return a.topic(opDescribe, t.Topic) },
			func(t *kmsg.DescribeShareGroupOffsetsRequestGroupTopic) kmsg.DescribeShareGroupOffsetsResponseGroupTopic {
				out := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
				out.Topic = t.Topic
				for _, index := range t.Partitions {
					p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
					p.Partition, p.StartOffset, p.ErrorCode = index, -1, topicRefused
					out.Partitions = append(out.Partitions, p)
				}
				return out
			})
	}
	if len(req.Groups) == 0 {
		return complete(r, 0, len(denied), func(p *kmsg.DescribeShareGroupOffsetsResponse) { p.Groups = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.DescribeShareGroupOffsetsResponse)
		for i := range p.Groups {
			g := &p.Groups[i]
			if all[g.GroupID] {
				g.Topics = slices.DeleteFunc(g.Topics, func(t kmsg.DescribeShareGroupOffsetsResponseGroupTopic) bool { return !a.topic(opDescribe, t.Topic) })
			}
			if g.ErrorCode == 0 {
				g.Topics = append(g.Topics, topics[g.GroupID]...)
			}
		}
		p.Groups = append(p.Groups, denied...)
	}
	return nil
}

func guardAlterShareGroupOffsets(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.AlterShareGroupOffsetsRequest)
	if !a.group(opRead, req.GroupID) {
		resp := kmsg.NewPtrAlterShareGroupOffsetsResponse()
		resp.ErrorCode = groupRefused
		return resp
	}
	var denied []kmsg.AlterShareGroupOffsetsResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.AlterShareGroupOffsetsRequestTopic) bool { return a.topic(opRead, t.Topic) },
		func(t *kmsg.AlterShareGroupOffsetsRequestTopic) kmsg.AlterShareGroupOffsetsResponseTopic {
			out := kmsg.NewAlterShareGroupOffsetsResponseTopic()
			out.Topic = t.Topic
			for _, rp := range t.Partitions {
				p := kmsg.NewAlterShareGroupOffsetsResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, topicRefused
				out.Partitions = append(out.Partitions, p)
			}
			return out
		})
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.AlterShareGroupOffsetsResponse) {
		if p.ErrorCode == 0 {
			p.Topics = append(p.Topics, denied...)
		}
	})
}

func guardDeleteShareGroupOffsets(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DeleteShareGroupOffsetsRequest)
	if !a.group(opDelete, req.GroupID) {
		resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
		resp.ErrorCode = groupRefused
		return resp
	}
	var denied []kmsg.DeleteShareGroupOffsetsResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.DeleteShareGroupOffsetsRequestTopic) bool { return a.topic(opRead, t.Topic) },
		func(t *kmsg.DeleteShareGroupOffsetsRequestTopic) kmsg.DeleteShareGroupOffsetsResponseTopic {
			out := kmsg.NewDeleteShareGroupOffsetsResponseTopic()
			out.Topic, out.ErrorCode = t.Topic, topicRefused
			return out
		})
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.DeleteShareGroupOffsetsResponse) {
		if p.ErrorCode == 0 {
			p.Topics = append(p.Topics, denied...)
		}
	})
}

// readsShare is the guard of ShareFetch and ShareAcknowledge. One without a group is refused by the handler.
func readsShare[Q kmsg.Request, P kmsg.Response](group func(Q) *string, refuse func(P)) guard {
	return func(r *request, a asker) kmsg.Response {
		if id := group(r.body.(Q)); id == nil || a.group(opRead, *id) {
			return nil
		}
		resp := r.body.ResponseKind()
		refuse(resp.(P))
		return resp
	}
}

// refuseShareStates answers a request about states of which the client may have none.
func refuseShareStates(r *request, resp kmsg.Response) {
	refused, message := clusterRefused, "Cluster authorization failed."
	switch p := resp.(type) {
	case *kmsg.InitializeShareGroupStateResponse:
		for _, t := range r.body.(*kmsg.InitializeShareGroupStateRequest).Topics {
			at := kmsg.InitializeShareGroupStateResponseTopic{TopicID: t.TopicID}
			for _, x := range t.Partitions {
				at.Partitions = append(at.Partitions, kmsg.InitializeShareGroupStateResponseTopicPartition{Partition: x.Partition, ErrorCode: refused, ErrorMessage: &message})
			}
			p.Topics = append(p.Topics, at)
		}
	case *kmsg.ReadShareGroupStateResponse:
		for _, t := range r.body.(*kmsg.ReadShareGroupStateRequest).Topics {
			at := kmsg.ReadShareGroupStateResponseTopic{TopicID: t.TopicID}
			for _, x := range t.Partitions {
				at.Partitions = append(at.Partitions, kmsg.ReadShareGroupStateResponseTopicPartition{Partition: x.Partition, ErrorCode: refused, ErrorMessage: &message})
			}
			p.Topics = append(p.Topics, at)
		}
	case *kmsg.WriteShareGroupStateResponse:
		for _, t := range r.body.(*kmsg.WriteShareGroupStateRequest).Topics {
			at := kmsg.WriteShareGroupStateResponseTopic{TopicID: t.TopicID}
			for _, x := range t.Partitions {
				at.Partitions = append(at.Partitions, kmsg.WriteShareGroupStateResponseTopicPartition{Partition: x.Partition, ErrorCode: refused, ErrorMessage: &message})
			}
			p.Topics = append(p.Topics, at)
		}
	case *kmsg.DeleteShareGroupStateResponse:
		for _, t := range r.body.(*kmsg.DeleteShareGroupStateRequest).Topics {
			at := kmsg.DeleteShareGroupStateResponseTopic{TopicID: t.TopicID}
			for _, x := range t.Partitions {
				at.Partitions = append(at.Partitions, kmsg.DeleteShareGroupStateResponseTopicPartition{Partition: x.Partition, ErrorCode: refused, ErrorMessage: &message})
			}
			p.Topics = append(p.Topics, at)
		}
	case *kmsg.ReadShareGroupStateSummaryResponse:
		for _, t := range r.body.(*kmsg.ReadShareGroupStateSummaryRequest).Topics {
			at := kmsg.ReadShareGroupStateSummaryResponseTopic{TopicID: t.TopicID}
			for _, x := range t.Partitions {
				ap := kmsg.NewReadShareGroupStateSummaryResponseTopicPartition()
				ap.Partition, ap.ErrorCode, ap.ErrorMessage = x.Partition, refused, &message
				at.Partitions = append(at.Partitions, ap)
			}
			p.Topics = append(p.Topics, at)
		}
	}
}
