package image

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/ringmq/ringmq/kraft/record"
)

const (
	scaleTopics     = 1_000
	scalePartitions = 100 // per topic
	scaleObjects    = 1_000_000
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// scaleRecords calls fn with batches that build 100,000 partitions, and 1,000,000 stream objects, ten of each stream in turn.
func scaleTopicBatches(fn func([]record.Record)) {
	stream := record.StreamID(1)
	for i := range scaleTopics {
		id := record.TopicID{byte(i), byte(i >> 8), 1}
		recs := []record.Record{&record.TopicCreated{ID: id, Name: fmt.Sprintf("topic-%04d", i), ReplicationFactor: 1}}
		for p := range int32(scalePartitions) {
			recs = append(recs, &record.PartitionCreated{Topic: id, Partition: p, Leader: p % 3, Stream: stream})
			stream++
		}
		fn(recs)
	}
}

// scaleObjectBatches: each batch is what one upload of a node commits.
func scaleObjectBatches(perBatch int, fn func([]record.Record)) {
	const streams = scaleTopics * scalePartitions
	for first := 0; first < scaleObjects; first += perBatch {
		prepared := &record.ObjectsPrepared{Node: 1, First: record.ObjectID(first + 1), Count: int32(perBatch), Time: 1}
		commit := &record.ObjectsCommitted{Node: 1, Time: 2, Extends: true}
		for i := first; i < first+perBatch; i++ {
			start := int64(i/streams) * 1000
			commit.New = append(commit.New, record.NewObject{
				ID: record.ObjectID(i + 1), Kind: record.StreamObject, Size: 8 << 20,
				Ranges: []record.Range{{Stream: record.StreamID(i%streams + 1), Start: start, End: start + 1000, Bytes: 8 << 20, MaxTimestamp: 5}},
			})
		}
		fn([]record.Record{prepared, commit})
	}
}

// BenchmarkScale builds 100,000 partitions and 1,000,000 objects, as a follower does: from encoded batches, a new image for every batch. It reports the
// memory that the image holds per item, and how many items are applied in a second.
func BenchmarkScale(b *testing.B) {
	for b.Loop() {
		img := New()
		index := int64(0)
		step := func(recs []record.Record) {
			data := record.AppendBatch(nil, record.Batch{Records: recs})
			batch, err := record.ReadBatch(data)
			if err != nil {
				b.Fatal(err)
			}
			e := img.Edit()
			for _, r := range batch.Records {
				if err := e.Apply(r); err != nil {
					b.Fatal(err)
				}
			}
			index++
			img, _ = e.Build(index, 1)
		}
		start := heap()
		t0 := b.Elapsed()
		scaleTopicBatches(step)
		t1 := b.Elapsed()
		afterTopics := heap()
		t2 := b.Elapsed()
		scaleObjectBatches(10, step)
		t3 := b.Elapsed()
		afterObjects := heap()
		b.ReportMetric(float64(afterTopics-start)/float64(img.NumPartitions()), "B/partition")
		b.ReportMetric(float64(afterObjects-afterTopics)/float64(img.NumObjects()), "B/object")
		b.ReportMetric(float64(img.NumPartitions())/(t1-t0).Seconds(), "partitions/s")
		b.ReportMetric(float64(img.NumObjects())/(t3-t2).Seconds(), "objects/s")
		if img.NumPartitions() != scaleTopics*scalePartitions || img.NumObjects() != scaleObjects {
			b.Fatal(img.NumPartitions(), img.NumObjects())
		}
		t4 := b.Elapsed()
		if _, _, err := apply(img, &record.BrokerRegistered{ID: 1, Epoch: 100}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64((b.Elapsed() - t4).Milliseconds()), "ms/registration")
		runtime.KeepAlive(img)
	}
}
