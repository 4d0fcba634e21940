package engine

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
)

// ListOffsets (key 2), versions 1 to 11.
//
//	v4 current leader epoch   v6 flexible   v7 max timestamp (-3)   v8 earliest local (-4)   v9 latest tiered (-5)   v10 timeout
//	v11 earliest pending upload (-6)
//
// Everything is local in Kafka's sense: -4 answers as -2, and -5 and -6 answer -1, as on a topic without tiering.

// The timestamps with a meaning of their own.
const (
	tsLatest                = -1
	tsEarliest              = -2
	tsMax                   = -3
	tsEarliestLocal         = -4
	tsLatestTiered          = -5
	tsEarliestPendingUpload = -6
)

// tsSince is the first version that knows each of them.
var tsSince = map[int64]int16{tsLatest: 0, tsEarliest: 0, tsMax: 7, tsEarliestLocal: 8, tsLatestTiered: 9, tsEarliestPendingUpload: 11}

const listOffsetsTimeout = 30 * time.Second

func listOffsets(r *request) {
	req, b := r.body.(*kmsg.ListOffsetsRequest), r.broker
	ctx, cancel := context.WithTimeout(b.ctx, listOffsetsTimeout)
	defer cancel()
	resp := kmsg.NewPtrListOffsetsResponse()
	resp.Topics = []kmsg.ListOffsetsResponseTopic{}
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic, t.Partitions = rt.Topic, []kmsg.ListOffsetsResponseTopicPartition{}
		seen := make(map[int32]int, len(rt.Partitions))
		for j := range rt.Partitions {
			seen[rt.Partitions[j].Partition]++
		}
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			if seen[rp.Partition] > 1 {
				t.Partitions = append(t.Partitions, listed(rp.Partition, kproto.InvalidRequest, -1, -1, -1))
				continue
			}
			t.Partitions = append(t.Partitions, b.listOffset(ctx, req, rt.Topic, rp))
		}
		resp.Topics = append(resp.Topics, t)
	}
	r.reply(resp)
}

func listed(index int32, code kproto.ErrorCode, timestamp, offset int64, epoch int32) kmsg.ListOffsetsResponseTopicPartition {
	p := kmsg.NewListOffsetsResponseTopicPartition()
	p.Partition, p.ErrorCode, p.Timestamp, p.Offset, p.LeaderEpoch = index, int16(code), timestamp, offset, epoch
	return p
}

func (b *Broker) listOffset(ctx context.Context, req *kmsg.ListOffsetsRequest, topic string, rp *kmsg.ListOffsetsRequestTopicPartition) kmsg.ListOffsetsResponseTopicPartition {
	refuse := func(code kproto.ErrorCode) kmsg.ListOffsetsResponseTopicPartition {
		return listed(rp.Partition, code, -1, -1, -1)
	}
	if since, known := tsSince[rp.Timestamp]; rp.Timestamp < 0 && (!known || req.Version < since) {
		return refuse(kproto.UnsupportedVersion)
	}
	p, code := b.partitionByName(topic, [16]byte{}, false, rp.Partition)
	if code == kproto.None {
		code = p.CheckEpoch(rp.CurrentLeaderEpoch)
	}
	if code != kproto.None {
		return refuse(code)
	}
	switch rp.Timestamp {
	case tsLatest:
		if !b.node.Confirmed() {
			return refuse(kproto.NotLeaderOrFollower) // somebody else may know of more, see lease.go
		}
		end := p.HighWatermark()
		if req.IsolationLevel == readCommitted {
			end = p.LastStable()
		}
		if req.ReplicaID >= 0 {
			end = p.LogEnd()
		}
		return listed(rp.Partition, kproto.None, -1, end, p.LeaderEpoch)
	case tsEarliest, tsEarliestLocal:
		start := p.LogStart()
		return listed(rp.Partition, kproto.None, -1, start, p.EpochOf(start))
	case tsLatestTiered, tsEarliestPendingUpload:
		return refuse(kproto.None)
	}
	var found partition.TimedOffset
	var ok bool
	var err error
	if rp.Timestamp == tsMax {
		found, ok, err = p.MaxTimestamp(ctx)
	} else {
		found, ok, err = p.FirstAtOrAfter(ctx, rp.Timestamp)
	}
	switch {
	case ctx.Err() != nil:
		return refuse(kproto.RequestTimedOut)
	case err != nil:
		b.log.Error("offset lookup by time failed", "topic", topic, "partition", rp.Partition, "timestamp", rp.Timestamp, "cause", err)
		return refuse(kproto.KafkaStorageError)
	case !ok, req.IsolationLevel == readCommitted && found.Offset >= p.LastStable():
		return refuse(kproto.None)
	}
	return listed(rp.Partition, kproto.None, found.Timestamp, found.Offset, p.EpochOf(found.Offset))
}
