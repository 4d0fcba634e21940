package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/engine/enginetest"
)

func newClient(t *testing.T, n *enginetest.Node, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.Seed()), kgo.AllowAutoTopicCreation(), kgo.MetadataMinAge(10 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func createTopic(t *testing.T, n *enginetest.Node, topic string, partitions int32, configs map[string]*string) {
	t.Helper()
	if _, err := kadm.NewClient(newClient(t, n)).CreateTopic(testContext(t), partitions, 1, configs, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// produce sends count records round robin and returns what is expected of each partition.
func produce(t *testing.T, n *enginetest.Node, topic string, partitions, count, size int, opts ...kgo.Opt) [][][]byte {
	t.Helper()
	cl := newClient(t, n, append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	want := make([][][]byte, partitions)
	ctx := testContext(t)
	for i := range count {
		p := i % partitions
		value := append(fmt.Appendf(nil, "%s-%d-%d-", topic, p, i), bytes.Repeat([]byte{byte('a' + i%26)}, size)...)
		want[p] = append(want[p], value)
		cl.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(p), Value: value}, func(r *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatalf("flush: %v", err)
	}
	return want
}

// expect reads the topic from its start and compares it.
func expect(t *testing.T, n *enginetest.Node, topic string, want [][][]byte) {
	t.Helper()
	from := map[int32]kgo.Offset{}
	left := 0
	for p := range want {
		from[int32(p)] = kgo.NewOffset().AtStart()
		left += len(want[p])
	}
	cl := newClient(t, n, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	next := make([]int64, len(want))
	ctx := testContext(t)
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("fetch with %d records to go: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			p := r.Partition
			if r.Offset != next[p] {
				t.Fatalf("%s-%d: offset %d, want %d", topic, p, r.Offset, next[p])
			}
			if !bytes.Equal(r.Value, want[p][r.Offset]) {
				t.Fatalf("%s-%d offset %d: %.40q, want %.40q", topic, p, r.Offset, r.Value, want[p][r.Offset])
			}
			next[p]++
			left--
		})
	}
}

// TestRoundTripAcrossRestart produces, reads back from the log cache, after a clean restart from the object store, and goes on.
func TestRoundTripAcrossRestart(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	createTopic(t, n, "orders", 3, nil)
	want := produce(t, n, "orders", 3, 3000, 500)
	expect(t, n, "orders", want)

	n = n.Restart()
	expect(t, n, "orders", want)

	more := produce(t, n, "orders", 3, 300, 100)
	for p := range want {
		want[p] = append(want[p], more[p]...)
	}
	expect(t, n, "orders", want)
}

// TestCompression sends every codec through and back.
func TestCompression(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	for name, codec := range map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		t.Run(name, func(t *testing.T) {
			createTopic(t, n, name, 1, nil)
			expect(t, n, name, produce(t, n, name, 1, 500, 300, kgo.ProducerBatchCompression(codec)))
		})
	}
}

// TestAutoCreation produces to a topic that nobody has created.
func TestAutoCreation(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{Overrides: []string{"num.partitions=2"}})
	expect(t, n, "fresh", produce(t, n, "fresh", 2, 10, 10))
}

// TestLongPoll waits in a fetch and gets a record as soon as it is there.
func TestLongPoll(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	createTopic(t, n, "poll", 1, nil)
	consumer := newClient(t, n, kgo.ConsumeTopics("poll"), kgo.FetchMaxWait(30*time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := make(chan *kgo.Record, 1)
	ctx := testContext(t)
	go func() {
		for ctx.Err() == nil {
			if r := consumer.PollFetches(ctx).Records(); len(r) > 0 {
				got <- r[0]
				return
			}
		}
	}()
	produce(t, n, "poll", 1, 1, 10)
	select {
	case r := <-got:
		if r.Offset != 0 {
			t.Fatalf("offset %d, want 0", r.Offset)
		}
	case <-ctx.Done():
		t.Fatal("the record did not arrive")
	}
}

// TestConsumerGroup commits offsets with a group, restarts the broker, and goes on where it was.
func TestConsumerGroup(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	createTopic(t, n, "jobs", 4, nil)
	produce(t, n, "jobs", 4, 400, 20)
	ctx := testContext(t)
	consume := func(n *enginetest.Node, want int) {
		t.Helper()
		cl := newClient(t, n, kgo.ConsumerGroup("workers"), kgo.ConsumeTopics("jobs"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for got := 0; got < want; {
			fetches := cl.PollRecords(ctx, want-got)
			if err := fetches.Err0(); err != nil {
				t.Fatalf("after %d records: %v", got, err)
			}
			got += fetches.NumRecords()
			if err := cl.CommitRecords(ctx, fetches.Records()...); err != nil {
				t.Fatalf("commit: %v", err)
			}
		}
		if err := cl.LeaveGroupContext(ctx); err != nil {
			t.Fatal(err)
		}
	}
	consume(n, 150)
	n = n.Restart()
	consume(n, 250)
	offsets, err := kadm.NewClient(newClient(t, n)).FetchOffsets(ctx, "workers")
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	offsets.Each(func(o kadm.OffsetResponse) { total += o.At })
	if total != 400 {
		t.Fatalf("committed offsets add up to %d, want 400", total)
	}
}

// TestDeleteRecords moves the start of a partition, also across a restart.
func TestDeleteRecords(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	createTopic(t, n, "trim", 1, nil)
	produce(t, n, "trim", 1, 100, 10)
	ctx := testContext(t)
	adm := kadm.NewClient(newClient(t, n))
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "trim", Partition: 0, At: 40, LeaderEpoch: -1})
	deleted, err := adm.DeleteRecords(ctx, offsets)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := deleted.Lookup("trim", 0); r.LowWatermark != 40 || r.Err != nil {
		t.Fatalf("%+v, want low watermark 40", r)
	}
	offsets["trim"][0] = kadm.Offset{Topic: "trim", Partition: 0, At: 101, LeaderEpoch: -1}
	deleted, err = adm.DeleteRecords(ctx, offsets)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := deleted.Lookup("trim", 0); r.Err != kerr.OffsetOutOfRange {
		t.Fatalf("beyond the high watermark: %v, want OFFSET_OUT_OF_RANGE", r.Err)
	}
	n = n.Restart()
	start, err := kadm.NewClient(newClient(t, n)).ListStartOffsets(ctx, "trim")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := start.Lookup("trim", 0); o.Offset != 40 {
		t.Fatalf("log start %d after a restart, want 40", o.Offset)
	}
}

// TestListOffsetsByTime looks records up by their timestamps.
func TestListOffsetsByTime(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	createTopic(t, n, "clock", 1, nil)
	cl := newClient(t, n)
	ctx := testContext(t)
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i := range 50 {
		at := base.Add(time.Duration(i) * time.Second)
		if i == 30 {
			at = base.Add(49 * time.Minute) // the largest of all
		}
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "clock", Value: []byte("x"), Timestamp: at}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(n *enginetest.Node) {
		t.Helper()
		adm := kadm.NewClient(newClient(t, n))
		for at, want := range map[time.Duration]int64{0: 0, 500 * time.Millisecond: 1, 20 * time.Second: 20, 30 * time.Second: 30, time.Minute: 30} {
			listed, err := adm.ListOffsetsAfterMilli(ctx, base.Add(at).UnixMilli(), "clock")
			if err != nil {
				t.Fatal(err)
			}
			if o, _ := listed.Lookup("clock", 0); o.Offset != want {
				t.Errorf("first record at %v or later: offset %d, want %d", at, o.Offset, want)
			}
		}
		listed, err := adm.ListMaxTimestampOffsets(ctx, "clock")
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := listed.Lookup("clock", 0); o.Offset != 30 {
			t.Errorf("largest timestamp at offset %d, want 30", o.Offset)
		}
	}
	check(n)
	check(n.Restart())
}

// TestTopicsAdmin creates, grows, configures, describes and deletes topics.
func TestTopicsAdmin(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	ctx := testContext(t)
	adm := kadm.NewClient(newClient(t, n))
	retention := "60000"
	if _, err := adm.CreateTopic(ctx, 2, 3, map[string]*string{"retention.ms": &retention}, "admin"); err != nil {
		t.Fatalf("create: %v", err)
	}
	if _, err := adm.CreateTopic(ctx, 2, 1, nil, "admin"); err != kerr.TopicAlreadyExists {
		t.Fatalf("create again: %v, want TOPIC_ALREADY_EXISTS", err)
	}
	bad := "yesterday"
	if _, err := adm.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &bad}, "bad"); err == nil || kerr.ErrorForCode(kerr.InvalidConfig.Code) == nil {
		t.Fatalf("create with a malformed config: %v", err)
	}
	grown, err := adm.CreatePartitions(ctx, 3, "admin")
	if err != nil || grown.Error() != nil {
		t.Fatalf("create partitions: %v %v", err, grown.Error())
	}
	topics, err := adm.ListTopics(ctx, "admin")
	if err != nil || len(topics["admin"].Partitions) != 5 {
		t.Fatalf("topic has %d partitions (%v), want 5", len(topics["admin"].Partitions), err)
	}
	configs, err := adm.DescribeTopicConfigs(ctx, "admin")
	if err != nil {
		t.Fatal(err)
	}
	rc, err := configs.On("admin", nil)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, c := range rc.Configs {
		if c.Key == "retention.ms" {
			found = c.MaybeValue() == "60000"
		}
	}
	if !found {
		t.Fatalf("retention.ms=60000 is not among %d configs", len(rc.Configs))
	}
	if _, err := adm.DeleteTopic(ctx, "admin"); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, "admin"); err != nil {
		t.Fatalf("create after delete: %v", err)
	}
	expect(t, n, "admin", produce(t, n, "admin", 1, 10, 10))
}

// TestListOffsetsByTimeInsideABatch deletes up to the middle of a batch whose largest timestamp is thereby gone: the lookup goes on behind it.
func TestListOffsetsByTimeInsideABatch(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	createTopic(t, n, "cut", 1, nil)
	cl := newClient(t, n, kgo.ProducerLinger(20*time.Millisecond))
	ctx := testContext(t)
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	batch := func(after ...time.Duration) {
		t.Helper()
		var records []*kgo.Record
		for _, d := range after {
			records = append(records, &kgo.Record{Topic: "cut", Value: []byte("x"), Timestamp: base.Add(d)})
		}
		if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	batch(30*time.Second, time.Second, time.Second) // offset 0 has the largest timestamp
	batch(40*time.Second, 41*time.Second)
	adm := kadm.NewClient(newClient(t, n))
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "cut", Partition: 0, At: 1, LeaderEpoch: -1})
	if _, err := adm.DeleteRecords(ctx, offsets); err != nil {
		t.Fatal(err)
	}
	listed, err := adm.ListOffsetsAfterMilli(ctx, base.Add(20*time.Second).UnixMilli(), "cut")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := listed.Lookup("cut", 0); o.Offset != 3 {
		t.Fatalf("first record 20 s after the base or later: offset %d, want 3", o.Offset)
	}
}
