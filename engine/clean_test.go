package engine_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/tools/waittest"
)

// quick are the settings of a node that uploads and compacts at once.
var quick = []string{"s3.wal.upload.interval.ms=100", "log.cleaner.backoff.ms=50"}

// compacting is contract for tests of log compaction.
func compacting(t *testing.T) *target {
	t.Helper()
	if os.Getenv(contractEnv) != "" {
		return contract(t)
	}
	return contract(t, quick...)
}

// put appends a batch of records, key=value or key for a tombstone, and returns its base offset.
func (x *target) put(topic string, codec kproto.Codec, records ...string) int64 {
	x.t.Helper()
	var bb kproto.BatchBuilder
	bb.Codec = codec
	now := time.Now().UnixMilli()
	for _, r := range records {
		key, value, ok := strings.Cut(r, "=")
		if ok {
			bb.Add(now, []byte(key), []byte(value), []kproto.Header{{Key: []byte("h"), Value: []byte(value)}})
		} else {
			bb.Add(now, []byte(key), nil, nil)
		}
	}
	return x.mustSend(topic, bb.Bytes())
}

// log lists the batches of partition 0 as a fetch from offset shows them: "first-last codec: offset key=value …".
func (x *target) log(topic string, offset int64) (out []string) {
	x.t.Helper()
	for {
		p := x.fetch(topic, offset)
		records := p.RecordBatches
		wantCode(x.t, "fetch", p.ErrorCode, kproto.None)
		if len(records) == 0 {
			return out
		}
		err := kproto.SplitBatches(records, func(b kproto.Batch) error {
			if err := b.Verify(); err != nil {
				return err
			}
			var it kproto.RecordIter
			if err := it.Reset(b); err != nil {
				return err
			}
			line := fmt.Sprintf("%d-%d %s:", b.BaseOffset(), b.LastOffset(), b.Codec())
			for it.Next() {
				line += fmt.Sprintf(" %d %s", it.Record().Offset, it.Record().Key)
				if it.Record().Value != nil {
					line += "=" + string(it.Record().Value)
				}
			}
			out, offset = append(out, line), b.LastOffset()+1
			return it.Err()
		})
		if err != nil {
			x.t.Fatal(err)
		}
	}
}

// rolled appends batches of the key roll, which close segments where there are such, until the log has what is wanted before the first of them.
func (x *target) rolled(topic string, want []string) {
	x.t.Helper()
	end := x.put(topic, kproto.CodecNone, "roll=1")
	last := ""
	waittest.Until(x.t, 2*time.Minute, "the log is compacted", func() bool {
		var got []string
		for _, line := range x.log(topic, 0) {
			var first int64
			if _, err := fmt.Sscanf(line, "%d-", &first); err != nil {
				x.t.Fatal(err)
			}
			if first < end {
				got = append(got, line)
			}
		}
		if now := strings.Join(got, "\n"); now != last {
			x.t.Logf("%s has\n%s", topic, now)
			last = now
		}
		x.put(topic, kproto.CodecNone, "roll=1")
		return slices.Equal(got, want)
	})
}

// TestCompactedTopic: what remains of a compacted topic, batch by batch, as Kafka leaves it.
func TestCompactedTopic(t *testing.T) {
	x := compacting(t)
	topic := x.topic(1, "cleanup.policy=compact", "segment.ms=100", "min.cleanable.dirty.ratio=0.01", "delete.retention.ms=1000")
	x.put(topic, kproto.CodecNone, "a=1", "b=1", "c=1")
	x.put(topic, kproto.CodecGzip, "a=2", "d=1")
	x.put(topic, kproto.CodecZstd, "a=3", "a=4", "e=1")
	x.put(topic, kproto.CodecLZ4, "d=2", "d=3")
	x.put(topic, kproto.CodecSnappy, "c", "f=1")
	x.rolled(topic, []string{
		"0-2 uncompressed: 1 b=1",
		"5-7 zstd: 6 a=4 7 e=1",
		"8-9 lz4: 9 d=3",
		"10-11 snappy: 10 c 11 f=1",
	})
	// The log start stays, and a fetch inside of a hole goes on behind it.
	if p := x.listOffset(9, topic, 0, -2); p.Offset != 0 {
		t.Errorf("the log starts at %d", p.Offset)
	}
	if got := x.log(topic, 4); len(got) == 0 || got[0] != "5-7 zstd: 6 a=4 7 e=1" {
		t.Errorf("fetch at 4: %q", got)
	}
	if got := x.log(topic, 9); len(got) == 0 || got[0] != "8-9 lz4: 9 d=3" {
		t.Errorf("fetch at 9: %q", got)
	}
	// The tombstone goes when delete.retention.ms has passed.
	x.put(topic, kproto.CodecNone, "b=2")
	x.rolled(topic, []string{
		"5-7 zstd: 6 a=4 7 e=1",
		"8-9 lz4: 9 d=3",
		"10-11 snappy: 11 f=1",
		x.batchOf(topic, "b=2"),
	})
}

// batchOf is the line of log that has a record.
func (x *target) batchOf(topic, record string) string {
	x.t.Helper()
	for _, line := range x.log(topic, 0) {
		if strings.HasSuffix(line, " "+record) {
			return line
		}
	}
	x.t.Fatalf("%s has no %s", topic, record)
	return ""
}

// TestPolicyBecomesCompact: cleanup.policy is changed while the topic is in use.
func TestPolicyBecomesCompact(t *testing.T) {
	x := compacting(t)
	topic := x.topic(1, "segment.ms=100", "min.cleanable.dirty.ratio=0.01")
	x.put(topic, kproto.CodecNone, "a=1")
	x.put(topic, kproto.CodecNone, "a=2")
	before := x.log(topic, 0)
	x.alter(2, topic, "cleanup.policy=compact")
	x.rolled(topic, before[1:])
}

// TestOffsetsTopicShrinks: the offsets topic is compacted like any other, and the coordinator that loads what is left knows every group's last commit.
func TestOffsetsTopicShrinks(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{Overrides: append([]string{"offsets.topic.num.partitions=1"}, quick...)})
	cl := newClient(t, n)
	adm := kadm.NewClient(cl)
	createTopic(t, n, "t", 1, nil)
	commit := func(group string, offset int64) {
		t.Helper()
		var os kadm.Offsets
		os.AddOffset("t", 0, offset, 0)
		r, err := adm.CommitOffsets(testContext(t), group, os)
		if err == nil {
			err = r.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range int64(400) {
		commit(fmt.Sprintf("g%d", i%4), i)
	}
	for key, value := range map[string]string{"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"} {
		if _, err := adm.AlterTopicConfigs(testContext(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, "__consumer_offsets"); err != nil {
			t.Fatal(err)
		}
	}
	count := func(n *enginetest.Node) (records int) {
		ctx, cancel := context.WithTimeout(testContext(t), 20*time.Second)
		defer cancel()
		reader := newClient(t, n, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"__consumer_offsets": {0: kgo.NewOffset().AtStart()}}))
		defer reader.Close()
		ends, err := kadm.NewClient(reader).ListEndOffsets(ctx, "__consumer_offsets")
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends.Lookup("__consumer_offsets", 0)
		for {
			f := reader.PollFetches(ctx)
			if err := f.Err0(); err != nil {
				t.Fatal(err)
			}
			done := false
			f.EachRecord(func(r *kgo.Record) {
				records++
				done = done || r.Offset == end.Offset-1
			})
			if done {
				return records
			}
		}
	}
	last := int64(400)
	waittest.Until(t, time.Minute, "the offsets topic is compacted", func() bool {
		last++
		commit("g0", last)
		left := count(n)
		t.Logf("%d records are left of %d commits", left, last+1)
		return left < 40
	})
	want := make(map[string]int64)
	for i := range 4 {
		group := fmt.Sprintf("g%d", i)
		os, err := adm.FetchOffsets(testContext(t), group)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := os.Lookup("t", 0)
		want[group] = o.At
	}
	n = n.Restart()
	adm = kadm.NewClient(newClient(t, n))
	for group, at := range want {
		os, err := adm.FetchOffsets(testContext(t), group)
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := os.Lookup("t", 0); o.At != at || at < 300 {
			t.Errorf("group %s is at %d, was at %d", group, o.At, at)
		}
	}
}
