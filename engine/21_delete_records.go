package engine

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// DeleteRecords (key 21), versions 0 to 2: the log start moves at once; objects wholly below it go later.
func deleteRecords(r *request) {
	req, b := r.body.(*kmsg.DeleteRecordsRequest), r.broker
	ctx, cancel := b.withTimeout(req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrDeleteRecordsResponse()
	resp.Topics = []kmsg.DeleteRecordsResponseTopic{}
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := kmsg.NewDeleteRecordsResponseTopic()
		t.Topic, t.Partitions = rt.Topic, []kmsg.DeleteRecordsResponseTopicPartition{}
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			out := kmsg.NewDeleteRecordsResponseTopicPartition()
			out.Partition, out.LowWatermark = rp.Partition, -1
			p, code := b.partitionByName(rt.Topic, [16]byte{}, false, rp.Partition)
			if code == kproto.None {
				to := rp.Offset
				if to == -1 {
					to = p.HighWatermark()
				}
				cfg := p.Config()
				switch {
				case to < 0 || to > p.HighWatermark():
					code = kproto.OffsetOutOfRange
				case cfg.CleanupPolicy.Compact && !cfg.CleanupPolicy.Delete:
					code = kproto.PolicyViolation
				default:
					err := p.DeleteTo(ctx, to)
					switch {
					case err == nil:
						out.LowWatermark = p.LogStart()
					case errors.Is(err, s3stream.ErrFenced) || errors.Is(err, s3stream.ErrClosed):
						code = kproto.NotLeaderOrFollower
					case ctx.Err() != nil:
						code = kproto.RequestTimedOut
					default:
						b.log.Error("records not deleted", "topic", rt.Topic, "partition", rp.Partition, "to", to, "cause", err)
						code = kproto.KafkaStorageError
					}
				}
			}
			out.ErrorCode = int16(code)
			t.Partitions = append(t.Partitions, out)
		}
		resp.Topics = append(resp.Topics, t)
	}
	r.reply(resp)
}
