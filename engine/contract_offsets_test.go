package engine_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestListOffsetsRules holds statements 103 to 109.
func TestListOffsetsRules(t *testing.T) {
	x := contract(t)
	topic, empty := x.topic(1), x.topic(1)
	base := time.Now().Add(-time.Hour).UnixMilli()
	for i := range int64(5) { // offsets 3i to 3i+2; the largest timestamp is that of offsets 6 to 8
		at := base + 1000*i
		if i == 2 {
			at = base + 60_000
		}
		x.mustSend(topic, batchAt(at, "a", "b", "c"))
	}
	epoch := x.leaderEpoch(topic)
	for _, tc := range []struct {
		name      string
		topic     string
		version   int16
		at        int64
		code      kproto.ErrorCode
		offset    int64
		timestamp int64
		epoch     int32
	}{
		{"latest", topic, 9, -1, 0, 15, -1, epoch},
		{"earliest", topic, 9, -2, 0, 0, -1, epoch},
		{"largest timestamp", topic, 7, -3, 0, 6, base + 60_000, epoch},
		{"earliest local", topic, 8, -4, 0, 0, -1, epoch},
		{"latest tiered", topic, 9, -5, 0, -1, -1, -1},
		{"earliest pending upload", topic, 11, -6, 0, -1, -1, -1},
		{"largest timestamp, too old a version", topic, 6, -3, kproto.UnsupportedVersion, -1, -1, -1},
		{"earliest local, too old a version", topic, 7, -4, kproto.UnsupportedVersion, -1, -1, -1},
		{"latest tiered, too old a version", topic, 8, -5, kproto.UnsupportedVersion, -1, -1, -1},
		{"an unknown special timestamp", topic, 9, -9, kproto.UnsupportedVersion, -1, -1, -1},
		{"the time of the first", topic, 9, base, 0, 0, base, epoch},
		{"before the first", topic, 9, base - 1, 0, 0, base, epoch},
		{"between two", topic, 9, base + 1, 0, 3, base + 1000, epoch},
		{"only one is late enough", topic, 9, base + 5000, 0, 6, base + 60_000, epoch},
		{"after the last", topic, 9, base + 60_001, 0, -1, -1, -1},
		{"an empty log, latest", empty, 9, -1, 0, 0, -1, x.leaderEpoch(empty)},
		{"an empty log, largest timestamp", empty, 9, -3, 0, -1, -1, -1},
		{"an empty log, by time", empty, 9, base, 0, -1, -1, -1},
		{"an unknown topic", "nope", 9, -1, kproto.UnknownTopicOrPartition, -1, -1, -1},
	} {
		p := x.listOffset(tc.version, tc.topic, 0, tc.at)
		if wantCode(t, tc.name, p.ErrorCode, tc.code); p.Offset != tc.offset || p.Timestamp != tc.timestamp || p.LeaderEpoch != tc.epoch {
			t.Errorf("%s: offset %d, timestamp %d (+%d), epoch %d; want %d, %d, %d", tc.name, p.Offset, p.Timestamp, p.Timestamp-base, p.LeaderEpoch, tc.offset, tc.timestamp, tc.epoch)
		}
	}
	t.Run("the same partition twice", func(t *testing.T) {
		req := listOffsetsRequest(9, topic, 0, -1)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[0].Partitions[0])
		for _, p := range ask[*kmsg.ListOffsetsResponse](x.at(t), req).Topics[0].Partitions {
			wantCode(t, "twice", p.ErrorCode, kproto.InvalidRequest)
		}
	})
	t.Run("leader epochs", func(t *testing.T) {
		req := listOffsetsRequest(9, topic, 0, -1)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch + 1
		wantCode(t, "higher", ask[*kmsg.ListOffsetsResponse](x.at(t), req).Topics[0].Partitions[0].ErrorCode, kproto.UnknownLeaderEpoch)
		if epoch > 0 {
			req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch - 1
			wantCode(t, "lower", ask[*kmsg.ListOffsetsResponse](x.at(t), req).Topics[0].Partitions[0].ErrorCode, kproto.FencedLeaderEpoch)
		}
	})
}

func (x *target) endOfEpoch(topic string, current, epoch int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	x.t.Helper()
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.Version, req.ReplicaID = 4, -1
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.CurrentLeaderEpoch, rp.LeaderEpoch = current, epoch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return ask[*kmsg.OffsetForLeaderEpochResponse](x, req).Topics[0].Partitions[0]
}

// TestOffsetForLeaderEpoch holds statements 112 and 113: each restart is a new epoch, stamped in what is written then.
func TestOffsetForLeaderEpoch(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	e0 := x.leaderEpoch(topic)
	x.mustSend(topic, batchOf(numbered(10)...))
	check := func(what string, current, epoch int32, code kproto.ErrorCode, gotEpoch int32, end int64) {
		t.Helper()
		p := x.endOfEpoch(topic, current, epoch)
		if wantCode(t, what, p.ErrorCode, code); p.LeaderEpoch != gotEpoch || p.EndOffset != end {
			t.Errorf("%s: epoch %d ends at %d, want %d at %d", what, p.LeaderEpoch, p.EndOffset, gotEpoch, end)
		}
	}
	check("the only one", -1, e0, 0, e0, 10)
	check("above the latest", -1, e0+1, 0, -1, -1)
	check("none", -1, -1, 0, -1, -1)
	check("fenced", e0+1, e0, kproto.UnknownLeaderEpoch, -1, -1)
	x.restart()
	e1 := x.leaderEpoch(topic)
	if e1 <= e0 {
		t.Fatalf("leader epoch %d after a restart, was %d", e1, e0)
	}
	x.mustSend(topic, batchOf(numbered(5)...))
	x.restart() // nothing is written in between:
	x.restart()
	e3 := x.leaderEpoch(topic)
	x.mustSend(topic, batchOf(numbered(5)...))
	check("the first", -1, e0, 0, e0, 10)
	check("the second", e3, e1, 0, e1, 15)
	check("one in which nothing was written", -1, e1+1, 0, e1, 15)
	check("the current", -1, e3, 0, e3, 20)
	check("an old current one", e1, e0, kproto.FencedLeaderEpoch, -1, -1)
	for offset, epoch := range map[int64]int32{0: e0, 10: e1, 15: e3} {
		if b := first(t, x.fetch(topic, offset).RecordBatches); b.PartitionLeaderEpoch() != epoch {
			t.Errorf("the batch at offset %d has leader epoch %d, want %d", offset, b.PartitionLeaderEpoch(), epoch)
		}
	}
}

// TestDeleteRecordsRules holds statements 114 and 115.
func TestDeleteRecordsRules(t *testing.T) {
	x := contract(t)
	topic, compacted := x.topic(1), x.topic(1, "cleanup.policy=compact")
	for range 3 {
		x.mustSend(topic, batchOf(numbered(10)...))
	}
	check := func(what, topic string, to int64, code kproto.ErrorCode, low int64) {
		t.Helper()
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version, req.TimeoutMillis = 2, 10000
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = topic
		rt.Partitions = append(rt.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Offset: to})
		req.Topics = append(req.Topics, rt)
		p := ask[*kmsg.DeleteRecordsResponse](x, req).Topics[0].Partitions[0]
		if wantCode(t, what, p.ErrorCode, code); p.LowWatermark != low {
			t.Errorf("%s: low watermark %d, want %d", what, p.LowWatermark, low)
		}
	}
	check("inside a batch", topic, 15, 0, 15)
	check("below the start", topic, 3, 0, 15)
	check("above the end", topic, 31, kproto.OffsetOutOfRange, -1)
	check("below -1", topic, -2, kproto.OffsetOutOfRange, -1)
	check("an unknown topic", "nope", 0, kproto.UnknownTopicOrPartition, -1)
	check("a compacted topic", compacted, 0, kproto.PolicyViolation, -1)
	seen := func() {
		t.Helper()
		if p := x.listOffset(9, topic, 0, -2); p.Offset != 15 {
			t.Errorf("earliest %d, want 15", p.Offset)
		}
		wantCode(t, "below the start", x.fetch(topic, 14).ErrorCode, kproto.OffsetOutOfRange)
		if p := x.fetch(topic, 15); p.LogStartOffset != 15 || first(t, p.RecordBatches).BaseOffset() != 10 {
			t.Errorf("at the start: log start %d", p.LogStartOffset)
		}
	}
	seen()
	if x.node != nil {
		x.restart()
		seen()
	}
	check("to the high watermark", topic, -1, 0, 30)
	if at := x.mustSend(topic, batchOf("x")); at != 30 {
		t.Errorf("after everything was deleted: offset %d, want 30", at)
	}
}

// TestRetention holds statements 116, 117 and 125: a changed configuration lets old records go, and the log's end stays.
func TestRetention(t *testing.T) {
	x := contract(t, "log.retention.check.interval.ms=20")
	// In this order: the second one restarts the node.
	for _, by := range []struct{ name, config string }{{"time", "retention.ms=1000"}, {"size", "retention.bytes=1"}} {
		name, config := by.name, by.config
		t.Run(name, func(t *testing.T) {
			x := x.at(t)
			topic := x.topic(1)
			x.mustSend(topic, batchAt(time.Now().Add(-time.Hour).UnixMilli(), numbered(10)...))
			if p := x.listOffset(9, topic, 0, -2); p.Offset != 0 {
				t.Fatalf("log start %d before retention, want 0", p.Offset)
			}
			x.alter(2, topic, config)
			end := int64(10)
			if name == "size" {
				// What is gathered for one upload goes as a whole, and something always stays.
				x.restart()
				x.mustSend(topic, batchOf("x"))
				end = 11
			}
			x.eventually("the old records are gone", func() bool { return x.listOffset(9, topic, 0, -2).Offset == 10 })
			if p := x.listOffset(9, topic, 0, -1); p.Offset != end {
				t.Fatalf("log end %d, want %d", p.Offset, end)
			}
		})
	}
}

// alter sets one key by IncrementalAlterConfigs.
func (x *target) alter(kind kmsg.ConfigResourceType, name, pair string) {
	x.t.Helper()
	r := ask[*kmsg.IncrementalAlterConfigsResponse](x, alterRequest(kind, name, 0, pair)).Resources[0]
	if r.ErrorCode != 0 {
		x.t.Fatalf("set %s: %v (%s)", pair, kproto.ErrorCode(r.ErrorCode), deref(r.ErrorMessage))
	}
}
