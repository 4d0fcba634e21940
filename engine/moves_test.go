package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/tools/freeport"
)

// startPair starts two brokers, the first of them the controller, over one object store.
func startPair(t *testing.T, more ...string) (one, two *enginetest.Node) {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	controller := fmt.Sprintf("127.0.0.1:%d", port)
	common := append([]string{"cluster.id=pairAAAAAAAAAAAAAAAAAA", "controller.quorum.voters=1@" + controller, "offsets.topic.num.partitions=1",
		"s3.data.buckets=0@file://" + filepath.Join(t.TempDir(), "objects")}, more...)
	one = enginetest.Start(t, enginetest.Options{Overrides: append(common, "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://"+controller)})
	two = enginetest.Start(t, enginetest.Options{Overrides: append(common, "node.id=2", "process.roles=broker", "listeners=PLAINTEXT://127.0.0.1:0")})
	return one, two
}

// moveTo moves a partition and waits until it is led there.
func moveTo(t *testing.T, cl *kgo.Client, n *enginetest.Node, topic string, partition, broker int32) {
	t.Helper()
	ctx := testContext(t)
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign(topic, partition, []int32{broker})
	resp, err := kadm.NewClient(cl).AlterPartitionAssignments(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Error(); err != nil {
		t.Fatal(err)
	}
	err = n.Node().WaitImage(ctx, func(img *kraft.Image) bool { return img.Topic(topic).Partitions[partition].Leader == broker })
	if err != nil {
		t.Fatalf("%s-%d does not move to broker %d: %v", topic, partition, broker, err)
	}
}

// TestGroupsMove: the partitions that a group reads, and the one of its coordinator, move back and forth while a member reads and commits: it gets every record in order, loses no
// commit, and is not thrown out.
func TestGroupsMove(t *testing.T) {
	one, _ := startPair(t)
	createTopic(t, one, "t", 2, nil)
	ctx := testContext(t)
	producer := newClient(t, one, kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	var assigned atomic.Int32
	consumer := newClient(t, one, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { assigned.Add(int32(len(m["t"]))) }))
	next := map[int32]int64{}
	sent := int64(0)
	round := func() {
		t.Helper()
		for range 20 {
			for p := range int32(2) {
				r := producer.ProduceSync(ctx, &kgo.Record{Partition: p, Value: fmt.Append(nil, sent)})
				if err := r.FirstErr(); err != nil {
					t.Fatal(err)
				}
				if r[0].Record.Offset != sent {
					t.Fatalf("partition %d: record %d is at offset %d", p, sent, r[0].Record.Offset)
				}
			}
			sent++
		}
		for next[0] < sent || next[1] < sent {
			fetches := consumer.PollFetches(ctx)
			if err := fetches.Err0(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if r.Offset != next[r.Partition] || string(r.Value) != fmt.Sprint(r.Offset) {
					t.Fatalf("partition %d: offset %d has %s, want offset %d", r.Partition, r.Offset, r.Value, next[r.Partition])
				}
				next[r.Partition]++
			})
		}
		if err := consumer.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatal(err)
		}
	}
	round()
	for _, to := range []int32{2, 1, 2} {
		moveTo(t, producer, one, "t", 0, to)
		round()
		moveTo(t, producer, one, "__consumer_offsets", 0, to)
		round()
	}
	committed, err := kadm.NewClient(producer).FetchOffsets(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		if o, ok := committed.Lookup("t", p); !ok || o.At != sent {
			t.Errorf("partition %d: committed %+v, want %d", p, o, sent)
		}
	}
	if n := assigned.Load(); n != 2 {
		t.Errorf("%d partitions were assigned, 2 at the beginning: the member was thrown out", n)
	}
}

// TestHandoverIsRefused: whoever is not the target of a move by the image gets nothing, and nobody resigns for it.
func TestHandoverIsRefused(t *testing.T) {
	one, two := startPair(t)
	createTopic(t, one, "t", 1, nil)
	ctx := testContext(t)
	cl := newClient(t, one, kgo.DefaultProduceTopic("t"))
	moveTo(t, cl, one, "t", 0, 1)
	produce := func() {
		t.Helper()
		if err := cl.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce()
	topic := one.Node().Image().Topic("t")
	p := topic.Partitions[0]
	st, _ := one.Node().Image().Stream(p.StreamID)
	right := kraft.HandoverRequest{Owner: 1, Topic: topic.ID, Stream: p.StreamID, StreamEpoch: st.Epoch, LeaderEpoch: p.LeaderEpoch + 1, Offset: -1}
	for name, spoil := range map[string]func(*kraft.HandoverRequest){
		"no move":       func(*kraft.HandoverRequest) {},
		"its own epoch": func(r *kraft.HandoverRequest) { r.LeaderEpoch-- },
		"another topic": func(r *kraft.HandoverRequest) { r.Topic[0]++ },
		"no partition":  func(r *kraft.HandoverRequest) { r.Partition = 1 },
	} {
		req := right
		spoil(&req)
		if resp, err := two.Node().AskHandover(ctx, "PLAINTEXT", &req); err == nil {
			t.Errorf("%s: %+v", name, resp)
		}
		produce()
	}
	// The key is not advertised.
	versions, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, cl)
	if err != nil || kerr.ErrorForCode(versions.ErrorCode) != nil {
		t.Fatal(err)
	}
	for _, k := range versions.ApiKeys {
		if k.ApiKey >= 1000 {
			t.Errorf("key %d is advertised", k.ApiKey)
		}
	}
}
