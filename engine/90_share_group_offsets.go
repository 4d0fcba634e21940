package engine

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/sharestate"
	"github.com/ringmq/ringmq/kraft"
)

// DescribeShareGroupOffsets (key 90) 0 to 1, AlterShareGroupOffsets (91) 0 and DeleteShareGroupOffsets (92) 0: where share groups are, for administrators. v1 of
// 90: how far they are behind. The coordinator of the group knows of which partitions there is a state, the share coordinator what is in it, and the leader
// of each where it ends.

func describeShareGroupOffsets(r *request) {
	req, resp := r.body.(*kmsg.DescribeShareGroupOffsetsRequest), kmsg.NewPtrDescribeShareGroupOffsetsResponse()
	resp.Groups = make([]kmsg.DescribeShareGroupOffsetsResponseGroup, len(req.Groups))
	var ws workers
	ws.limit(shareQuestionsMax)
	for i := range req.Groups {
		rg, at := &req.Groups[i], &resp.Groups[i]
		at.Default()
		at.GroupID = rg.GroupID
		if !r.broker.shareProtocol() {
			at.ErrorCode = int16(kproto.UnsupportedVersion)
		} else if rg.Topics != nil {
			r.broker.describeShareTopics(&ws, rg, at)
		} else {
			r.broker.describeShareAll(&ws, rg.GroupID, at)
		}
	}
	ws.wait()
	r.reply(resp)
}

// describeShareAll tells of every partition that a group has a state of.
func (b *Broker) describeShareAll(ws *workers, id string, at *kmsg.DescribeShareGroupOffsetsResponseGroup) {
	ready, code := b.groups.SharePartitions(id)
	if code != 0 {
		at.ErrorCode = code
		return
	}
	img := b.node.Image()
	for topic, partitions := range ready {
		if t := img.TopicByID(topic); t != nil {
			at.Topics = append(at.Topics, newShareTopic(t.Name, topic, partitions))
		}
	}
	for i := range at.Topics {
		b.describeShareTopic(ws, id, &at.Topics[i])
	}
}

func newShareTopic(name string, id [16]byte, partitions []int32) kmsg.DescribeShareGroupOffsetsResponseGroupTopic {
	t := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
	t.Topic, t.TopicID = name, id
	for _, index := range partitions {
		p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
		p.Partition, p.StartOffset, p.Lag = index, -1, -1
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// describeShareTopics tells of the partitions that are asked for.
func (b *Broker) describeShareTopics(ws *workers, rg *kmsg.DescribeShareGroupOffsetsRequestGroup, at *kmsg.DescribeShareGroupOffsetsResponseGroup) {
	img := b.node.Image()
	at.Topics = make([]kmsg.DescribeShareGroupOffsetsResponseGroupTopic, len(rg.Topics))
	for i, rt := range rg.Topics {
		t := img.Topic(rt.Topic)
		if t == nil {
			at.Topics[i] = newShareTopic(rt.Topic, [16]byte{}, rt.Partitions)
			continue
		}
		at.Topics[i] = newShareTopic(rt.Topic, t.ID, rt.Partitions)
		b.describeShareTopic(ws, rg.GroupID, &at.Topics[i])
	}
}

func (b *Broker) describeShareTopic(ws *workers, id string, t *kmsg.DescribeShareGroupOffsetsResponseGroupTopic) {
	for i := range t.Partitions {
		p := &t.Partitions[i]
		ws.Go(func() {
			sum, err := b.summarizeShare(b.serving, sharestate.Key{Group: id, Topic: t.TopicID, Partition: p.Partition})
			if err != nil {
				return // as in Kafka: a partition of which nothing is known
			}
			p.StartOffset, p.LeaderEpoch = sum.Start, sum.LeaderEpoch
			if sum.Start == sharestate.NoStart || sum.Complete == sharestate.NotCounted {
				return
			}
			end, code := b.latestOffset(b.serving, t.Topic, t.TopicID, p.Partition)
			if code != kproto.None {
				p.StartOffset, p.LeaderEpoch, p.ErrorCode = 0, 0, int16(code)
				return
			}
			p.Lag = end - sum.Start - int64(sum.Complete)
		})
	}
}

// latestOffset asks the leader of a partition where it ends.
func (b *Broker) latestOffset(ctx context.Context, name string, id kraft.TopicID, index int32) (int64, kproto.ErrorCode) {
	leader, _ := b.leaderOf(name, id, index)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 11, -1
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = index, tsLatest, -1
	if leader == b.cfg.NodeID {
		p := b.listOffset(ctx, req, name, &rp)
		return p.Offset, kproto.ErrorCode(p.ErrorCode)
	}
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp}}}
	answer, err := b.askBroker(ctx, leader, req)
	if err != nil {
		return 0, kproto.LeaderNotAvailable
	}
	for _, t := range answer.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			return p.Offset, kproto.ErrorCode(p.ErrorCode)
		}
	}
	return 0, kproto.UnknownServerError
}

func alterShareGroupOffsets(r *request) {
	if !r.broker.shareProtocol() {
		resp := kmsg.NewPtrAlterShareGroupOffsetsResponse()
		resp.ErrorCode = int16(kproto.UnsupportedVersion)
		r.reply(resp)
		return
	}
	r.broker.groups.AlterShareGroupOffsets(r.body.(*kmsg.AlterShareGroupOffsetsRequest), r.reply)
}

func deleteShareGroupOffsets(r *request) {
	if !r.broker.shareProtocol() {
		resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
		resp.ErrorCode = int16(kproto.UnsupportedVersion)
		r.reply(resp)
		return
	}
	r.broker.groups.DeleteShareGroupOffsets(r.body.(*kmsg.DeleteShareGroupOffsetsRequest), r.reply)
}
