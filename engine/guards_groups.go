package engine

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// The guards of APIs about groups. What a client may not know of a group's topics is left out where it asked for all of them.

// readsGroup is the guard of an API of a group's members.
func readsGroup[Q kmsg.Request, P kmsg.Response](group func(Q) string, refuse func(P)) guard {
	return func(r *request, a asker) kmsg.Response {
		if a.group(opRead, group(r.body.(Q))) {
			return nil
		}
		resp := r.body.ResponseKind()
		refuse(resp.(P))
		return resp
	}
}

// topicRef allows a topic that is named in one of two ways. One that does not exist by its id may be asked for.
func (r *request) topicRef(a asker, op kmsg.ACLOperation, name string, id [16]byte) bool {
	if id == [16]byte{} {
		return a.topic(op, name)
	}
	t := r.broker.node.Image().TopicByID(id)
	return t == nil || a.topic(op, t.Name)
}

func guardFindCoordinator(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.FindCoordinatorRequest)
	allowed, code, text := func(key string) bool { return a.group(opDescribe, key) }, kproto.GroupAuthorizationFailed, "Group authorization failed."
	switch req.CoordinatorType {
	case coordinatorGroup:
	case coordinatorTransaction:
		allowed, code, text = func(key string) bool { return a.txn(opDescribe, key) }, kproto.TransactionalIDAuthorizationFailed, "Transactional Id authorization failed."
	default:
		allowed, code, text = func(string) bool { return a.cluster(opClusterAction) }, kproto.ClusterAuthorizationFailed, "Cluster authorization failed."
	}
	if req.Version < 4 {
		if allowed(req.CoordinatorKey) {
			return nil
		}
		resp := kmsg.NewPtrFindCoordinatorResponse()
		resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Port = int16(code), &text, -1, -1
		return resp
	}
	var denied []kmsg.FindCoordinatorResponseCoordinator
	req.CoordinatorKeys, denied = part(req.CoordinatorKeys, func(key *string) bool { return allowed(*key) },
		func(key *string) kmsg.FindCoordinatorResponseCoordinator {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.ErrorCode, c.ErrorMessage, c.NodeID, c.Port = *key, int16(code), &text, -1, -1
			return c
		})
	return complete(r, len(req.CoordinatorKeys), len(denied), func(p *kmsg.FindCoordinatorResponse) { p.Coordinators = append(p.Coordinators, denied...) })
}

func guardOffsetCommit(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.OffsetCommitRequest)
	code, group := topicRefused, a.group(opRead, req.Group)
	if !group {
		code = groupRefused
	}
	var denied []kmsg.OffsetCommitResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.OffsetCommitRequestTopic) bool { return group && r.topicRef(a, opRead, t.Topic, t.TopicID) },
		func(t *kmsg.OffsetCommitRequestTopic) kmsg.OffsetCommitResponseTopic {
			out := kmsg.NewOffsetCommitResponseTopic()
			out.Topic, out.TopicID = t.Topic, t.TopicID
			for i := range t.Partitions {
				p := kmsg.NewOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = t.Partitions[i].Partition, code
				out.Partitions = append(out.Partitions, p)
			}
			return out
		})
	if !group && len(denied) == 0 {
		return kmsg.NewPtrOffsetCommitResponse()
	}
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.OffsetCommitResponse) { p.Topics = append(p.Topics, denied...) })
}

func guardOffsetFetch(r *request, a asker) kmsg.Response {
	if r.body.GetVersion() < 8 {
		return guardOffsetFetchOne(r, a)
	}
	req := r.body.(*kmsg.OffsetFetchRequest)
	var denied []kmsg.OffsetFetchResponseGroup
	req.Groups, denied = part(req.Groups, func(g *kmsg.OffsetFetchRequestGroup) bool { return a.group(opDescribe, g.Group) },
		func(g *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
			out := kmsg.NewOffsetFetchResponseGroup()
			out.Group, out.ErrorCode = g.Group, groupRefused
			return out
		})
	topics := make(map[string][]kmsg.OffsetFetchResponseGroupTopic) // that are denied, by group
	all := make(map[string]bool)
	for i := range req.Groups {
		g := &req.Groups[i]
		all[g.Group] = g.Topics == nil
		g.Topics, topics[g.Group] = part(g.Topics, func(t *kmsg.OffsetFetchRequestGroupTopic) bool { return r.topicRef(a, opDescribe, t.Topic, t.TopicID) },
			func(t *kmsg.OffsetFetchRequestGroupTopic) kmsg.OffsetFetchResponseGroupTopic {
				out := kmsg.NewOffsetFetchResponseGroupTopic()
				out.Topic, out.TopicID = t.Topic, t.TopicID
				for _, index := range t.Partitions {
					p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
					p.Partition, p.Offset, p.ErrorCode = index, -1, topicRefused
					out.Partitions = append(out.Partitions, p)
				}
				return out
			})
	}
	if len(req.Groups) == 0 {
		return complete(r, 0, len(denied), func(p *kmsg.OffsetFetchResponse) { p.Groups = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.OffsetFetchResponse)
		for i := range p.Groups {
			g := &p.Groups[i]
			if all[g.Group] {
				g.Topics = slices.DeleteFunc(g.Topics, func(t kmsg.OffsetFetchResponseGroupTopic) bool { return !r.topicRef(a, opDescribe, t.Topic, t.TopicID) })
			}
			if g.ErrorCode == 0 {
				g.Topics = append(g.Topics, topics[g.Group]...)
			}
		}
		p.Groups = append(p.Groups, denied...)
	}
	return nil
}

// guardOffsetFetchOne is for versions with one group.
func guardOffsetFetchOne(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.OffsetFetchRequest)
	all, group := req.Topics == nil, a.group(opDescribe, req.Group)
	code := topicRefused
	if !group {
		code = groupRefused
	}
	var denied []kmsg.OffsetFetchResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.OffsetFetchRequestTopic) bool { return group && a.topic(opDescribe, t.Topic) },
		func(t *kmsg.OffsetFetchRequestTopic) kmsg.OffsetFetchResponseTopic {
			out := kmsg.NewOffsetFetchResponseTopic()
			out.Topic = t.Topic
			for _, index := range t.Partitions {
				p := kmsg.NewOffsetFetchResponseTopicPartition()
				p.Partition, p.Offset, p.ErrorCode = index, -1, code
				out.Partitions = append(out.Partitions, p)
			}
			return out
		})
	if !group {
		resp := kmsg.NewPtrOffsetFetchResponse()
		if req.Version < 2 {
			resp.Topics = denied // no other place for the error
		} else {
			resp.ErrorCode = groupRefused
		}
		return resp
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.OffsetFetchResponse)
		if all {
			p.Topics = slices.DeleteFunc(p.Topics, func(t kmsg.OffsetFetchResponseTopic) bool { return !a.topic(opDescribe, t.Topic) })
		}
		if p.ErrorCode == 0 {
			p.Topics = append(p.Topics, denied...)
		}
	}
	return nil
}

func guardOffsetDelete(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.OffsetDeleteRequest)
	if !a.group(opDelete, req.Group) {
		resp := kmsg.NewPtrOffsetDeleteResponse()
		resp.ErrorCode = groupRefused
		return resp
	}
	var denied []kmsg.OffsetDeleteResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.OffsetDeleteRequestTopic) bool { return a.topic(opRead, t.Topic) },
		func(t *kmsg.OffsetDeleteRequestTopic) kmsg.OffsetDeleteResponseTopic {
			out := kmsg.NewOffsetDeleteResponseTopic()
			out.Topic = t.Topic
			for i := range t.Partitions {
				p := kmsg.NewOffsetDeleteResponseTopicPartition()
				p.Partition, p.ErrorCode = t.Partitions[i].Partition, topicRefused
				out.Partitions = append(out.Partitions, p)
			}
			return out
		})
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.OffsetDeleteResponse) {
		if p.ErrorCode == 0 {
			p.Topics = append(p.Topics, denied...)
		}
	})
}

func guardDescribeGroups(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DescribeGroupsRequest)
	var denied []kmsg.DescribeGroupsResponseGroup
	req.Groups, denied = part(req.Groups, func(g *string) bool { return a.group(opDescribe, *g) }, func(g *string) kmsg.DescribeGroupsResponseGroup {
		out := kmsg.NewDescribeGroupsResponseGroup()
		out.Group, out.ErrorCode, out.AuthorizedOperations = *g, groupRefused, operationsUnknown
		return out
	})
	if len(req.Groups) == 0 {
		return complete(r, 0, len(denied), func(p *kmsg.DescribeGroupsResponse) { p.Groups = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.DescribeGroupsResponse)
		for i := range p.Groups {
			g := &p.Groups[i]
			g.AuthorizedOperations = a.narrow(g.AuthorizedOperations, kmsg.ACLResourceTypeGroup, g.Group)
		}
		p.Groups = append(p.Groups, denied...)
	}
	return nil
}

func guardListGroups(r *request, a asker) kmsg.Response {
	if !a.cluster(opDescribe) {
		r.amend = func(resp kmsg.Response) {
			p := resp.(*kmsg.ListGroupsResponse)
			p.Groups = slices.DeleteFunc(p.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !a.group(opDescribe, g.Group) })
		}
	}
	return nil
}

func guardDeleteGroups(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DeleteGroupsRequest)
	var denied []kmsg.DeleteGroupsResponseGroup
	req.Groups, denied = part(req.Groups, func(g *string) bool { return a.group(opDelete, *g) }, func(g *string) kmsg.DeleteGroupsResponseGroup {
		out := kmsg.NewDeleteGroupsResponseGroup()
		out.Group, out.ErrorCode = *g, groupRefused
		return out
	})
	return complete(r, len(req.Groups), len(denied), func(p *kmsg.DeleteGroupsResponse) { p.Groups = append(p.Groups, denied...) })
}

// guardConsumerGroupHeartbeat: a topic that the client may not see refuses the request as a whole. What an expression comes to is
// filtered where it is resolved.
func guardConsumerGroupHeartbeat(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.ConsumerGroupHeartbeatRequest)
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	switch {
	case !a.group(opRead, req.Group):
		resp.ErrorCode = groupRefused
	case a.hidden(req.SubscribedTopicNames):
		resp.ErrorCode = topicRefused
	default:
		return nil
	}
	return resp
}

// guardConsumerGroupDescribe: a group with a topic that the client may not see is not shown.
func guardConsumerGroupDescribe(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.ConsumerGroupDescribeRequest)
	var denied []kmsg.ConsumerGroupDescribeResponseGroup
	req.Groups, denied = part(req.Groups, func(g *string) bool { return a.group(opDescribe, *g) }, func(g *string) kmsg.ConsumerGroupDescribeResponseGroup {
		out := kmsg.NewConsumerGroupDescribeResponseGroup()
		out.Group, out.ErrorCode = *g, groupRefused
		return out
	})
	if len(req.Groups) == 0 {
		return complete(r, 0, len(denied), func(p *kmsg.ConsumerGroupDescribeResponse) { p.Groups = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.ConsumerGroupDescribeResponse)
		for i := range p.Groups {
			g := &p.Groups[i]
			if slices.ContainsFunc(g.Members, func(m kmsg.ConsumerGroupDescribeResponseGroupMember) bool { return hidesTopic(a, &m) }) {
				g.ErrorCode, g.ErrorMessage, g.Members = topicRefused, kmsg.StringPtr(hiddenTopics), nil
			}
			g.AuthorizedOperations = a.narrow(g.AuthorizedOperations, kmsg.ACLResourceTypeGroup, g.Group)
		}
		p.Groups = append(p.Groups, denied...)
	}
	return nil
}

// hidesTopic reports whether a member has to do with a topic that the client may not see.
func hidesTopic(a asker, m *kmsg.ConsumerGroupDescribeResponseGroupMember) bool {
	if a.hidden(m.SubscribedTopics) {
		return true
	}
	for _, assigned := range []kmsg.Assignment{m.Assignment, m.TargetAssignment} {
		for i := range assigned.TopicPartitions {
			if !a.topic(opDescribe, assigned.TopicPartitions[i].Topic) {
				return true
			}
		}
	}
	return false
}
