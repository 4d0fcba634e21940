package group

import "github.com/twmb/franz-go/pkg/kmsg"

// OffsetDelete 0.

// OffsetDelete answers an OffsetDelete request when the offsets are removed from the log.
func (c *Coordinator) OffsetDelete(_ Client, req *kmsg.OffsetDeleteRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	resp.Version = req.Version
	if req.Group == "" {
		resp.ErrorCode = codeInvalidGroupID
		reply(resp)
		return
	}
	var names []string
	resp.Topics = make([]kmsg.OffsetDeleteResponseTopic, len(req.Topics))
	for i, rt := range req.Topics {
		names = append(names, rt.Topic)
		at := &resp.Topics[i]
		at.Topic, at.Partitions = rt.Topic, make([]kmsg.OffsetDeleteResponseTopicPartition, len(rt.Partitions))
		for k, rp := range rt.Partitions {
			at.Partitions[k].Partition = rp.Partition
			if !c.opts.TopicExists(rt.Topic, rp.Partition) {
				at.Partitions[k].ErrorCode = codeUnknownTopicOrPartition
			}
		}
	}
	waits := false
	result := codeNone
	code := c.serve(req.Group, func(t *turn) {
		g := t.s.groups[req.Group]
		switch {
		case g == nil:
			result = codeGroupIDNotFound
			return
		case g.deleting:
			result = codeCoordinatorLoading
			return
		case g.state != empty && g.protocolType != consumerProtocolType:
			result = codeNonEmptyGroup
			return
		}
		var subscribed map[string]bool
		if !g.memberless() {
			subscribed = g.subscribed(names)
		}
		var tps []topicPartition
		var codes []*int16
		for i := range resp.Topics {
			topic := resp.Topics[i].Topic
			for k := range resp.Topics[i].Partitions {
				p := &resp.Topics[i].Partitions[k]
				tp := topicPartition{topic, p.Partition}
				switch {
				case p.ErrorCode != codeNone:
				case subscribed[topic]:
					p.ErrorCode = codeGroupSubscribedToTopic
				case g.hasOffset(tp):
					tps, codes = append(tps, tp), append(codes, &p.ErrorCode)
				}
			}
		}
		if len(tps) == 0 {
			return
		}
		waits = true
		g.removeOffsets(t, tps, func(t *turn, err error) {
			for _, at := range codes {
				*at = appendCode(err, codeUnknownServerError)
			}
			t.reply(func() { reply(resp) })
		})
	})
	if code == codeNone {
		code = result
	}
	if code != codeNone {
		resp.ErrorCode, resp.Topics = code, nil
	}
	if !waits {
		reply(resp)
	}
}
