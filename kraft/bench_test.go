package kraft

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
	"github.com/ringmq/ringmq/kraft/record"
)

// BenchmarkPropose measures a change from Do to the image on one voter with a real log: from one goroutine, and from many that share writes.
func BenchmarkPropose(b *testing.B) {
	for _, parallel := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", parallel), func(b *testing.B) {
			n := start(b, singleOptions(b, b.TempDir()))
			register(b, n)
			before := n.core.writes.Load()
			b.SetParallelism(parallel)
			b.ResetTimer()
			work := func() {
				if _, err := n.PrepareObjects(context.Background(), 1); err != nil {
					b.Error(err)
				}
			}
			if parallel == 1 {
				for b.Loop() {
					work()
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						work()
					}
				})
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/float64(n.core.writes.Load()-before), "changes/write")
		})
	}
}

// bigImage has 100,000 partitions and 1,000,000 objects.
func bigImage(b *testing.B) *Image {
	e := image.New().Edit()
	apply := func(r record.Record) {
		if err := e.Apply(r); err != nil {
			b.Fatal(err)
		}
	}
	const streams = 100_000
	for i := range 100 {
		id := TopicID{byte(i), 1}
		apply(&record.TopicCreated{ID: id, Name: fmt.Sprintf("topic-%d", i), ReplicationFactor: 1})
		for p := range int32(streams / 100) {
			apply(&record.PartitionCreated{Topic: id, Partition: p, Leader: p % 3, Stream: StreamID(i*streams/100 + int(p) + 1)})
		}
	}
	for first := 0; first < 1_000_000; first += 1000 {
		apply(&record.ObjectsPrepared{Node: 1, First: ObjectID(first + 1), Count: 1000, Time: 1})
		c := &record.ObjectsCommitted{Node: 1, Time: 1, Extends: true}
		for i := first; i < first+1000; i++ {
			at := int64(i/streams) * 1000
			c.New = append(c.New, record.NewObject{ID: ObjectID(i + 1), Kind: StreamObject, Size: 1 << 20, Ranges: []Range{{Stream: StreamID(i%streams + 1), Start: at, End: at + 1000, Bytes: 1 << 20, MaxTimestamp: time.Now().UnixMilli()}}})
		}
		apply(c)
	}
	img, _ := e.Build(1, 1)
	return img
}

// BenchmarkSnapshot writes and reads the snapshot of 100,000 partitions and 1,000,000 objects.
func BenchmarkSnapshot(b *testing.B) {
	img := bigImage(b)
	var file bytes.Buffer
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			file.Reset()
			if err := snapfile.Write(&file, testCluster, img); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(file.Len())/(1<<20), "MiB")
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := snapfile.Read(bytes.NewReader(file.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCommit validates and applies commits of 20 objects in a cluster of that size, without a log.
func BenchmarkCommit(b *testing.B) {
	h := newHarness(b, nil)
	epoch := h.broker(1)
	leaders := make([]int32, 5000)
	for i := range leaders {
		leaders[i] = 1
	}
	topic := h.topic("t", leaders...)
	for _, p := range topic.Partitions {
		if err := h.stream(&OpenStreamRequest{Stream: p.StreamID, Node: 1, NodeEpoch: epoch}); err != nil {
			b.Fatal(err)
		}
	}
	next := make([]int64, len(topic.Partitions))
	n := 0
	for b.Loop() {
		first := h.prepare(1, epoch, 20)
		req := &CommitObjectsRequest{Node: 1, NodeEpoch: epoch, Extends: true}
		for i := range 20 {
			p := n % len(next)
			n++
			req.New = append(req.New, NewObject{ID: first + ObjectID(i), Kind: StreamObject, Size: 1, Ranges: []Range{{Stream: topic.Partitions[p].StreamID, Start: next[p], End: next[p] + 10}}})
			next[p] += 10
		}
		if err := h.stream(req); err != nil {
			b.Fatal(err)
		}
		h.entries = h.entries[:0:0]
		h.base = h.image().Offset()
	}
}
