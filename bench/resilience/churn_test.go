package resilience

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestChurn kills a node that uploads, compacts and deletes all the time, because its thresholds are tiny and topics come and go beside the load.
// Every acknowledged record is there; once all topics are deleted, what is left in the bucket is no more than the uploads that kills cut off, which
// belong to nobody and are removed by the search for orphans when they are old enough.
func TestChurn(t *testing.T) {
	short(t)
	churn(t, 3, 1200*time.Millisecond)
}

// TestSoakChurn kills thirty times, late enough for compactions too, which run once a minute at most.
func TestSoakChurn(t *testing.T) {
	soak(t)
	churn(t, 30, 10*time.Second)
}

func churn(t *testing.T, kills int, up time.Duration) {
	dir := t.TempDir()
	m := startMinIO(t, dir)
	n := newNode(t, dir, "s3.data.buckets="+m.BucketURI(), "s3.wal.upload.threshold=1048576", "s3.wal.upload.interval.ms=100", "s3.stream.object.split.size=1048576",
		"s3.object.delete.retention.minutes=0", "s3.stream.set.object.compaction.interval.minutes=1", "s3.stream.object.compaction.interval.minutes=1",
		"s3.stream.set.object.compaction.stream.split.size=65536", "s3.object.part.size=5242880", "log.retention.check.interval.ms=200")
	n.start()
	l := startLoad(t, n, "stays", 4, 4000, 1024)
	ctx, cancel := context.WithCancel(t.Context())
	comings := make(chan int, 1)
	go func() { comings <- comeAndGo(ctx, n) }()

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range kills {
		l.run(up/2 + time.Duration(random.Int64N(int64(up))))
		n.Kill()
		n.start()
	}
	l.run(up)
	cancel()
	topics := <-comings
	l.stop()
	r := l.check()
	n.stop()
	n.start()
	l.check()

	admin := kadm.NewClient(n.client())
	listed, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteTopics(t.Context(), listed.Names()...); err != nil {
		t.Fatal(err)
	}
	// One upload may have been cut off by each kill: the stream-set object of a batch, and an object for each large stream in it.
	limit := kills*4 + 4
	var left map[string]int64
	waittest.Until(t, 60*time.Second, "empty bucket", func() bool { left = bucketObjects(t, m); return len(left) <= limit })
	note(t, map[string]any{"seed": seed, "kills": kills, "topics_created": topics, "records": r.Records, "objects_left": len(left), "bytes_left": sum(left)})
}

// comeAndGo creates topics, writes to them and deletes them again until the context ends, whatever fails, and returns how many there were.
func comeAndGo(ctx context.Context, n *node) (topics int) {
	for ; ctx.Err() == nil; topics++ {
		topic := fmt.Sprint("passes-", topics)
		cl, err := kgo.NewClient(kgo.SeedBrokers(n.Seed()), kgo.DefaultProduceTopic(topic), kgo.RecordDeliveryTimeout(3*time.Second))
		if err != nil {
			continue
		}
		admin := kadm.NewClient(cl)
		_, _ = admin.CreateTopic(ctx, 8, 1, nil, topic)
		for i := range 200 {
			cl.Produce(ctx, &kgo.Record{Key: fmt.Append(nil, i), Value: make([]byte, 4096)}, nil)
		}
		_ = cl.Flush(ctx)
		if topics%4 != 0 { // some stay until the end
			_, _ = admin.DeleteTopics(ctx, topic)
		}
		cl.Close()
	}
	return topics
}
