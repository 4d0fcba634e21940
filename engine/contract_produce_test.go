package engine_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// reseal changes a batch and gives it the right checksum again.
func reseal(b []byte, change func(b []byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// TestProduceRules holds what a topic demands of a batch beyond its form (see TestProduceRefusals).
func TestProduceRules(t *testing.T) {
	x := contract(t)
	now := time.Now().UnixMilli()
	var keyed kproto.BatchBuilder
	keyed.Add(now, []byte("k"), []byte("v"), nil)
	keyed.Add(now, nil, []byte("v"), nil)
	codec := func(c kproto.Codec) []byte {
		bb := kproto.BatchBuilder{Codec: c}
		for range 50 {
			bb.Add(now, []byte("key"), []byte("a value that compresses"), nil)
		}
		return bb.Bytes()
	}
	for _, tc := range []struct {
		name         string
		configs      []string
		version      int16
		records      []byte
		code         kproto.ErrorCode
		recordErrors int
	}{
		{"zstd before version 7", nil, 6, codec(kproto.CodecZstd), kproto.UnsupportedCompressionType, 0},
		{"zstd from version 7", nil, 7, codec(kproto.CodecZstd), kproto.None, 0},
		{"a null key in a compacted topic", []string{"cleanup.policy=compact"}, 9, keyed.Bytes(), kproto.InvalidRecord, 1},
		{"too far in the future", nil, 9, batchAt(now+2*3600_000, "x"), kproto.InvalidTimestamp, 1},
		{"too far in the past", []string{"message.timestamp.before.max.ms=1000"}, 9, batchAt(now-60_000, "x"), kproto.InvalidTimestamp, 1},
		{"no timestamp", []string{"message.timestamp.before.max.ms=1000"}, 9, batchAt(-1, "x"), kproto.None, 0},
		{"larger than a segment", []string{"segment.bytes=1048576", "max.message.bytes=3000000"}, 9, batchOf(string(make([]byte, 1200_000))), kproto.RecordListTooLarge, 0},
		{"a producer without sequence", nil, 9, reseal(batchOf("x"), func(b []byte) {
			binary.BigEndian.PutUint64(b[43:], 5)
			binary.BigEndian.PutUint16(b[51:], 0)
		}), kproto.InvalidRecord, 0},
		{"last offset delta too small", nil, 9, reseal(batchOf("x", "y"), func(b []byte) { b[26] = 0 }), kproto.InvalidRecord, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := x.at(t)
			req := produceRequest(x.topic(1, tc.configs...), -1, tc.records)
			req.Version = tc.version
			p := ask[*kmsg.ProduceResponse](x, req).Topics[0].Partitions[0]
			if wantCode(t, deref(p.ErrorMessage), p.ErrorCode, tc.code); len(p.ErrorRecords) != tc.recordErrors {
				t.Errorf("%d record errors, want %d", len(p.ErrorRecords), tc.recordErrors)
			}
			if tc.code != kproto.None && (p.BaseOffset != -1 || p.LogAppendTime != -1) {
				t.Errorf("base offset %d, log append time %d with an error, want -1", p.BaseOffset, p.LogAppendTime)
			}
		})
	}
}

// TestProduceStored holds what the broker makes of a batch: statements 53 to 56.
func TestProduceStored(t *testing.T) {
	x := contract(t)
	t.Run("log append time", func(t *testing.T) {
		x := x.at(t)
		topic := x.topic(1, "message.timestamp.type=LogAppendTime")
		before := time.Now().UnixMilli()
		p := x.send(topic, batchAt(5, "x"))
		b := first(t, x.fetch(topic, 0).RecordBatches)
		if p.LogAppendTime < before || b.TimestampType() != 1 || b.MaxTimestamp() != p.LogAppendTime {
			t.Fatalf("answered %d (sent at %d), stored type %d time %d", p.LogAppendTime, before, b.TimestampType(), b.MaxTimestamp())
		}
	})
	t.Run("create time", func(t *testing.T) {
		x := x.at(t)
		topic := x.topic(1)
		// The batch's own maximum is wrong; the broker stores that of the records.
		p := x.send(topic, reseal(batchAt(1000, "x"), func(b []byte) { binary.BigEndian.PutUint64(b[35:], 7777) }))
		wantCode(t, "produce", p.ErrorCode, kproto.None)
		b := first(t, x.fetch(topic, 0).RecordBatches)
		if p.LogAppendTime != -1 || b.MaxTimestamp() != 1000 || b.TimestampType() != 0 {
			t.Fatalf("answered %d, stored type %d time %d", p.LogAppendTime, b.TimestampType(), b.MaxTimestamp())
		}
	})
	t.Run("offsets", func(t *testing.T) {
		x := x.at(t)
		topic := x.topic(1)
		x.mustSend(topic, batchOf(numbered(7)...))
		p := x.send(topic, batchOf("x"))
		if p.BaseOffset != 7 || p.LogStartOffset != 0 {
			t.Fatalf("base offset %d, log start %d; want 7 and 0", p.BaseOffset, p.LogStartOffset)
		}
		if b := first(t, x.fetch(topic, 7).RecordBatches); b.BaseOffset() != 7 || b.PartitionLeaderEpoch() != x.leaderEpoch(topic) {
			t.Fatalf("stored at %d with leader epoch %d", b.BaseOffset(), b.PartitionLeaderEpoch())
		}
	})
	for config, want := range map[string]kproto.Codec{"producer": kproto.CodecLZ4, "gzip": kproto.CodecGzip, "zstd": kproto.CodecZstd, "uncompressed": kproto.CodecNone} {
		t.Run("compression "+config, func(t *testing.T) {
			x := x.at(t)
			topic := x.topic(1, "compression.type="+config)
			bb := kproto.BatchBuilder{Codec: kproto.CodecLZ4}
			for _, v := range numbered(100) {
				bb.Add(1, nil, []byte(v), nil)
			}
			x.mustSend(topic, bb.Bytes())
			b := first(t, x.fetch(topic, 0).RecordBatches)
			if b.Codec() != want || b.Count() != 100 {
				t.Fatalf("stored %d records with codec %v, want %v", b.Count(), b.Codec(), want)
			}
		})
	}
	t.Run("one partition fails, the other does not", func(t *testing.T) {
		x := x.at(t)
		topic := x.topic(2)
		req := produceRequest(topic, -1, batchOf("x"))
		for _, index := range []int32{1, 2} {
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = index, batchOf("y")
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
		}
		req.Topics[0].Partitions[0].Records = []byte("nonsense")
		got := map[int32]int16{}
		for _, p := range ask[*kmsg.ProduceResponse](x, req).Topics[0].Partitions {
			got[p.Partition] = p.ErrorCode
		}
		if got[0] == 0 || got[1] != 0 || got[2] != int16(kproto.UnknownTopicOrPartition) {
			t.Fatalf("codes by partition %v", got)
		}
	})
	t.Run("an unknown topic id", func(t *testing.T) {
		req := produceRequest("", -1, batchOf("x"))
		req.Version = 13
		req.Topics[0].TopicID = [16]byte{1, 2, 3}
		p := ask[*kmsg.ProduceResponse](x.at(t), req).Topics[0].Partitions[0]
		wantCode(t, "produce", p.ErrorCode, kproto.UnknownTopicID)
	})
	t.Run("log append time is the broker's to set", func(t *testing.T) {
		x := x.at(t)
		if x.node == nil {
			t.Skip("SKIPPED: the refusal of a batch with log append time; Apache Kafka 4.3 takes it when it is not compressed")
		}
		p := x.send(x.topic(1), reseal(batchOf("x"), func(b []byte) { b[22] |= 8 }))
		wantCode(t, "produce", p.ErrorCode, kproto.InvalidTimestamp)
	})
	t.Run("a transaction that nobody began", func(t *testing.T) {
		x := x.at(t)
		topic := x.topic(1)
		var bb kproto.BatchBuilder
		bb.Add(1, nil, []byte("x"), nil)
		bb.SetProducer(4711, 0, 0, true)
		if p := x.send(topic, bb.Bytes()); p.ErrorCode == 0 {
			t.Fatal("a transactional batch was taken")
		}
	})
}

// sequence is a batch of an idempotent producer.
func sequence(id int64, epoch int16, base int32, n int) []byte {
	var bb kproto.BatchBuilder
	for _, v := range numbered(n) {
		bb.Add(1, nil, []byte(v), nil)
	}
	bb.SetProducer(id, epoch, base, false)
	return bb.Bytes()
}

func (x *target) producerID() int64 {
	x.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionTimeoutMillis = 4, 1000
	var resp *kmsg.InitProducerIDResponse
	x.eventually("the broker gives producer ids", func() bool {
		resp = ask[*kmsg.InitProducerIDResponse](x, req)
		return resp.ErrorCode != int16(kproto.CoordinatorLoadInProgress)
	})
	if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 {
		x.t.Fatalf("producer id: %v, epoch %d", kproto.ErrorCode(resp.ErrorCode), resp.ProducerEpoch)
	}
	return resp.ProducerID
}

// TestIdempotence holds statements 65 to 77, before and after restarts.
func TestIdempotence(t *testing.T) {
	x := contract(t)
	topic, id := x.topic(1), x.producerID()
	next := int64(0)
	for i := range int32(8) {
		if at := x.mustSend(topic, sequence(id, 0, 10*i, 10)); at != next {
			t.Fatalf("batch %d at offset %d, want %d", i, at, next)
		}
		next += 10
	}
	check := func(t *testing.T) {
		x := x.at(t)
		for _, tc := range []struct {
			name    string
			records []byte
			code    kproto.ErrorCode
			offset  int64
		}{
			{"the newest again", sequence(id, 0, 70, 10), kproto.None, 70},
			{"the fifth newest again", sequence(id, 0, 30, 10), kproto.None, 30},
			{"older than five batches", sequence(id, 0, 20, 10), kproto.OutOfOrderSequenceNumber, -1},
			{"a gap", sequence(id, 0, 90, 10), kproto.OutOfOrderSequenceNumber, -1},
			{"part of an earlier batch", sequence(id, 0, 72, 3), kproto.OutOfOrderSequenceNumber, -1},
			{"a higher epoch that does not start at 0", sequence(id, 1, 80, 10), kproto.OutOfOrderSequenceNumber, -1},
		} {
			p := x.send(topic, tc.records)
			if wantCode(t, tc.name, p.ErrorCode, tc.code); p.BaseOffset != tc.offset {
				t.Errorf("%s: offset %d, want %d", tc.name, p.BaseOffset, tc.offset)
			}
		}
		if end := x.fetch(topic, next).HighWatermark; end != next {
			t.Fatalf("the log ends at %d, want %d: something was appended twice", end, next)
		}
	}
	t.Run("first", check)
	t.Run("epochs and wrapping", func(t *testing.T) {
		x := x.at(t)
		topic, id := x.topic(1), x.producerID()
		x.mustSend(topic, sequence(id, 3, math.MaxInt32-9, 10)) // without any state every start is taken
		x.mustSend(topic, sequence(id, 3, 0, 10))
		x.mustSend(topic, sequence(id, 4, 0, 10))
		wantCode(t, "a lower epoch", x.send(topic, sequence(id, 3, 10, 10)).ErrorCode, kproto.InvalidProducerEpoch)
	})
	t.Run("ids are never given twice", func(t *testing.T) {
		x, seen := x.at(t), map[int64]bool{}
		for range 30 {
			got := x.producerID()
			if seen[got] {
				t.Fatalf("id %d twice", got)
			}
			seen[got] = true
		}
	})
	if x.node == nil {
		return
	}
	x.restart() // clean: from the checkpoint
	t.Run("after a restart", check)
	if got := x.producerID(); got <= id {
		t.Fatalf("id %d after a restart, %d was given before", got, id)
	}
	if at := x.mustSend(topic, sequence(id, 0, 80, 10)); at != next {
		t.Fatalf("the producer went on at offset %d, want %d", at, next)
	}
}
