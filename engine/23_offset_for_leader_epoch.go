package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// OffsetForLeaderEpoch (key 23), versions 2 to 4: where a leader epoch ended (KIP-101, KIP-279), for consumers that check for truncation.
func offsetForLeaderEpoch(r *request) {
	req, b := r.body.(*kmsg.OffsetForLeaderEpochRequest), r.broker
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	resp.Topics = []kmsg.OffsetForLeaderEpochResponseTopic{}
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic, t.Partitions = rt.Topic, []kmsg.OffsetForLeaderEpochResponseTopicPartition{}
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			out := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			out.Partition, out.LeaderEpoch, out.EndOffset = rp.Partition, -1, -1
			p, code := b.partitionByName(rt.Topic, [16]byte{}, false, rp.Partition)
			if code == kproto.None {
				code = p.CheckEpoch(rp.CurrentLeaderEpoch)
			}
			if out.ErrorCode = int16(code); code == kproto.None {
				out.LeaderEpoch, out.EndOffset = p.EndOffsetForEpoch(rp.LeaderEpoch)
			}
			t.Partitions = append(t.Partitions, out)
		}
		resp.Topics = append(resp.Topics, t)
	}
	r.reply(resp)
}
