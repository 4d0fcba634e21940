package kproto

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// benchBatch has n records of size bytes that compress to about half.
func benchBatch(n, size int, codec Codec) Batch {
	bb := BatchBuilder{Codec: codec}
	value := make([]byte, size)
	for i := range n {
		copy(value, payloads()["random"][i*size/2%(100<<10):][:size/2])
		bb.Add(int64(1000+i), fmt.Appendf(nil, "key-%06d", i), value, nil)
	}
	return bytes.Clone(bb.Bytes())
}

func BenchmarkCheckProduce(b *testing.B) {
	for _, shape := range []struct{ n, size int }{{1, 1024}, {16, 1024}, {1000, 100}} {
		for _, codec := range []Codec{CodecNone, CodecLZ4, CodecZstd, CodecSnappy, CodecGzip} {
			b.Run(fmt.Sprintf("%s/%dx%d", codec, shape.n, shape.size), func(b *testing.B) {
				batch, rules := benchBatch(shape.n, shape.size, codec), anything()
				b.SetBytes(int64(len(batch)))
				b.ReportAllocs()
				for b.Loop() {
					if _, bad := CheckProduce(batch, 9, rules); bad != nil {
						b.Fatal(bad)
					}
				}
			})
		}
	}
}

func BenchmarkProduceRequest(b *testing.B) {
	for _, partitions := range []int{1, 50} {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks = 12, -1
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = "some-topic"
		for p := range partitions {
			topic.Partitions = append(topic.Partitions, kmsg.ProduceRequestTopicPartition{Partition: int32(p), Records: make([]byte, 1024)})
		}
		req.Topics = append(req.Topics, topic)
		id := "client-1"
		frame := requestFrame(&id, 7, req)
		b.Run(fmt.Sprintf("decode+answer/%d", partitions), func(b *testing.B) {
			var r, clone ProduceRequest
			results := make([]ProduceResult, partitions)
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				h, body, err := ParseHeader(frame)
				if err != nil || r.Decode(h.Version, body) != nil {
					b.Fatal("malformed")
				}
				r.CloneInto(&clone)
				out = AppendResponseHeader(out[:0], h.Key, h.Version, h.CorrelationID)
				out = AppendProduceResponse(out, h.Version, &clone, results, nil, 0)
			}
		})
	}
}

func BenchmarkFetchRequest(b *testing.B) {
	for _, partitions := range []int{1, 50} {
		req := kmsg.NewPtrFetchRequest()
		req.Version = 17
		topic := kmsg.NewFetchRequestTopic()
		for p := range partitions {
			part := kmsg.NewFetchRequestTopicPartition()
			part.Partition = int32(p)
			topic.Partitions = append(topic.Partitions, part)
		}
		req.Topics = append(req.Topics, topic)
		body := req.AppendTo(nil)
		b.Run(fmt.Sprintf("decode+answer/%d", partitions), func(b *testing.B) {
			var r FetchRequest
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				if r.Decode(17, body) != nil {
					b.Fatal("malformed")
				}
				var w FetchResponseWriter
				out = w.Begin(out[:0], 17, 0, None, 0, 1)
				out = w.Topic(out, "", r.Topics[0].ID, partitions)
				for i := range r.Partitions {
					out = w.PartitionEnd(w.PartitionHeader(out, NewPartitionResult(r.Partitions[i].Index), 0))
				}
				out = w.End(w.TopicEnd(out), nil)
			}
		})
	}
}

func BenchmarkRecompress(b *testing.B) {
	for _, codec := range codecs {
		b.Run(codec.String(), func(b *testing.B) {
			batch, rules := benchBatch(16, 1024, CodecNone), anything()
			var scratch []byte
			rules.TargetCodec, rules.Scratch = codec, &scratch
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, bad := CheckProduce(batch, 9, rules); bad != nil {
					b.Fatal(bad)
				}
			}
		})
	}
}
