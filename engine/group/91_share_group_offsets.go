package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/sharegroup"
)

// AlterShareGroupOffsets 0 and DeleteShareGroupOffsets 0, and what DescribeShareGroupOffsets needs of the group. Where a group is in a partition is not for the
// coordinator of the group to say, but for the share coordinator.

// unknownTopic is how Kafka says so.
const unknownTopic = "This server does not host this topic-partition."

// SharePartitions are the partitions of which a share group has a state; none if there is no such group.
func (c *Coordinator) SharePartitions(group string) (ready map[[16]byte][]int32, code int16) {
	code = c.serve(group, func(t *turn) {
		if g := t.s.shares[group]; g != nil {
			ready = g.Ready()
		}
	})
	return ready, code
}

// AlterShareGroupOffsets has a group without members begin somewhere else, and answers when it will. A group that does not exist is made.
func (c *Coordinator) AlterShareGroupOffsets(req *kmsg.AlterShareGroupOffsetsRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrAlterShareGroupOffsetsResponse()
	resp.Version = req.Version
	fail := func(code int16, message string) {
		resp.Topics, resp.ErrorCode = nil, code
		if message != "" {
			resp.ErrorMessage = &message
		}
		reply(resp)
	}
	if req.GroupID == "" {
		fail(codeInvalidGroupID, "")
		return
	}
	code := c.serve(req.GroupID, func(t *turn) {
		g, err := t.findShare(req.GroupID)
		switch {
		case err != nil && t.s.groups[req.GroupID] != nil:
			t.reply(func() { fail(err.Code, err.Message) })
			return
		case g == nil:
			g = t.s.makeShareGroup(sharegroup.New(req.GroupID))
		case g.deleting:
			t.reply(func() { fail(codeCoordinatorLoading, "") })
			return
		case g.Size() > 0:
			t.reply(func() { fail(codeNonEmptyGroup, nonEmpty) })
			return
		}
		list, places := g.reset(t, req, resp)
		if t.s.shares[req.GroupID] == nil {
			if len(list) == 0 { // nothing to make a group for
				t.reply(func() { reply(resp) })
				return
			}
			g.MarkNew()
			t.s.shares[req.GroupID] = g
		}
		g.save(t, func(t *turn, err error) {
			switch {
			case err != nil:
				code := appendCode(err, codeUnknownServerError)
				t.reply(func() { fail(code, "") })
			case len(list) == 0:
				t.reply(func() { reply(resp) })
			default:
				g.initialize(t, list, func(codes []int16) {
					for i, code := range codes {
						places[i].ErrorCode = code
					}
					reply(resp)
				})
			}
		})
	})
	if code != codeNone {
		fail(code, "")
	}
}

const nonEmpty = "The group is not empty."

// reset lists what is to be initialized, with the places of the answer.
func (g *shareGroup) reset(t *turn, req *kmsg.AlterShareGroupOffsetsRequest, resp *kmsg.AlterShareGroupOffsetsResponse) (list []SharePartition, places []*kmsg.AlterShareGroupOffsetsResponseTopicPartition) {
	topics := t.s.opts.Consumer.Topics()
	resp.Topics = make([]kmsg.AlterShareGroupOffsetsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		rt, at := &req.Topics[i], &resp.Topics[i]
		at.Topic, at.Partitions = rt.Topic, make([]kmsg.AlterShareGroupOffsetsResponseTopicPartition, len(rt.Partitions))
		id, n, ok := topics.ByName(rt.Topic)
		if ok {
			at.TopicID = id
		}
		var partitions []int32
		for k := range rt.Partitions {
			rp, ap := &rt.Partitions[k], &at.Partitions[k]
			ap.Partition = rp.Partition
			if !ok || rp.Partition < 0 || rp.Partition >= n {
				message := unknownTopic
				ap.ErrorCode, ap.ErrorMessage = codeUnknownTopicOrPartition, &message
				continue
			}
			partitions = append(partitions, rp.Partition)
			list, places = append(list, SharePartition{Topic: id, Partition: rp.Partition, Start: rp.StartOffset}), append(places, ap)
		}
		if len(partitions) > 0 {
			g.Reset(id, rt.Topic, partitions, t.nowMillis())
		}
	}
	return list, places
}

// DeleteShareGroupOffsets removes the states that a group without members has of topics, and answers when they are gone.
func (c *Coordinator) DeleteShareGroupOffsets(req *kmsg.DeleteShareGroupOffsetsRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
	resp.Version = req.Version
	fail := func(code int16, message string) {
		resp.Topics, resp.ErrorCode = nil, code
		if message != "" {
			resp.ErrorMessage = &message
		}
		reply(resp)
	}
	if req.GroupID == "" {
		fail(codeInvalidGroupID, "")
		return
	}
	code := c.serve(req.GroupID, func(t *turn) {
		g, err := t.findShare(req.GroupID)
		switch {
		case err != nil:
			t.reply(func() { fail(err.Code, err.Message) })
			return
		case g.deleting:
			t.reply(func() { fail(codeCoordinatorLoading, "") })
			return
		case g.Size() > 0:
			t.reply(func() { fail(codeNonEmptyGroup, nonEmpty) })
			return
		}
		list := g.deleteTopics(t.s.opts.Consumer.Topics(), req, resp)
		g.save(t, func(t *turn, err error) {
			switch {
			case err != nil:
				code := appendCode(err, codeUnknownServerError)
				t.reply(func() { fail(code, "") })
			case len(list) == 0:
				t.reply(func() { reply(resp) })
			default:
				g.deleteStates(t, list, resp, func() { reply(resp) })
			}
		})
	})
	if code != codeNone {
		fail(code, "")
	}
}

// deleteTopics lists what is to be deleted, and answers for the topics of which there is nothing.
func (g *shareGroup) deleteTopics(topics consumer.Topics, req *kmsg.DeleteShareGroupOffsetsRequest, resp *kmsg.DeleteShareGroupOffsetsResponse) (list []SharePartition) {
	for _, rt := range req.Topics {
		at := kmsg.NewDeleteShareGroupOffsetsResponseTopic()
		at.Topic = rt.Topic
		id, n, ok := topics.ByName(rt.Topic)
		message := unknownTopic
		if ok {
			more := g.Delete(id, rt.Topic, n)
			if len(more) > 0 {
				at.TopicID = id
				list = append(list, more...)
				resp.Topics = append(resp.Topics, at)
				continue
			}
			message = "There is no offset information to delete."
		}
		at.ErrorCode, at.ErrorMessage = codeUnknownTopicOrPartition, &message
		resp.Topics = append(resp.Topics, at)
	}
	return list
}

// deleteStates has the share coordinator delete, and takes the outcome over.
func (g *shareGroup) deleteStates(t *turn, list []SharePartition, resp *kmsg.DeleteShareGroupOffsetsResponse, then func()) {
	s := g.s
	t.reply(func() {
		s.opts.Share.Delete(g.ID, list, func(codes []int16) {
			failed := make(map[sharegroup.TopicID]int16)
			for i, code := range codes {
				if code != codeNone {
					failed[list[i].Topic] = code
				}
			}
			code := s.serve(func(t *turn) {
				for i := range resp.Topics {
					at := &resp.Topics[i]
					if at.ErrorCode != codeNone {
						continue
					}
					if at.ErrorCode = failed[at.TopicID]; at.ErrorCode == codeNone {
						g.Deleted(at.TopicID)
					}
				}
				g.save(t, func(t *turn, err error) {
					if err != nil {
						resp.Topics, resp.ErrorCode = nil, appendCode(err, codeUnknownServerError)
					}
					t.reply(then)
				})
			})
			if code != codeNone {
				resp.Topics, resp.ErrorCode = nil, code
				then()
			}
		})
	})
}

// deleteShare deletes a share group, with its states.
func (t *turn) deleteShare(g *shareGroup, finish func(code int16)) {
	answer := func(t *turn, code int16) { t.reply(func() { finish(code) }) }
	switch {
	case g.deleting:
		answer(t, codeCoordinatorLoading)
		return
	case g.Size() > 0:
		answer(t, codeNonEmptyGroup)
		return
	}
	list := g.DeleteAll(t.s.opts.Consumer.Topics())
	g.deleting = true
	s := t.s
	end := func(t *turn, code int16) {
		if code != codeNone {
			g.deleting = false
			answer(t, code)
			return
		}
		t.append(timed(t, g.Tombstones()), func(t *turn, err error) {
			g.deleting = false
			if err == nil && t.s.shares[g.ID] == g {
				delete(t.s.shares, g.ID)
			}
			answer(t, appendCode(err, codeUnknownServerError))
		})
	}
	g.save(t, func(t *turn, err error) {
		switch {
		case err != nil:
			end(t, appendCode(err, codeUnknownServerError))
		case len(list) == 0:
			end(t, codeNone)
		default:
			t.reply(func() {
				s.opts.Share.Delete(g.ID, list, func(codes []int16) {
					worst := codeNone
					for _, code := range codes {
						if code != codeNone {
							worst = code
						}
					}
					if code := s.serve(func(t *turn) { end(t, worst) }); code != codeNone {
						finish(code)
					}
				})
			})
		}
	})
}
