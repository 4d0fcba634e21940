package kproto

import (
	"math"
	"testing"
)

// noAllocs says how often fn allocates once its pools are warm.
func noAllocs(t *testing.T, what string, fn func()) {
	t.Helper()
	if raceEnabled {
		t.Skipf("SKIPPED: allocations of %s; under the race detector pools drop things at random", what)
	}
	for range 10 {
		fn()
	}
	if n := testing.AllocsPerRun(200, fn); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}

func TestAllocsRequests(t *testing.T) {
	id := "client-1"
	var produce, clone ProduceRequest
	var fetch FetchRequest
	var out []byte
	results := make([]ProduceResult, 3)
	endpoints := []NodeEndpoint{{ID: 1, Host: "host", Port: 9092, Rack: "rack"}}
	for _, version := range []int16{3, 9, 13} {
		frame := requestFrame(&id, 7, produceRequest(version))
		noAllocs(t, "Produce", func() {
			h, body, err := ParseHeader(frame)
			if err == nil {
				err = produce.Decode(h.Version, body)
			}
			if err != nil {
				t.Fatal(err)
			}
			produce.CloneInto(&clone)
			out = AppendResponseHeader(out[:0], h.Key, h.Version, h.CorrelationID)
			out = AppendProduceResponse(out, h.Version, &clone, results, endpoints, 0)
		})
	}
	for _, version := range []int16{4, 12, 18} {
		frame := requestFrame(&id, 7, fetchRequest(version))
		noAllocs(t, "Fetch", func() {
			h, body, err := ParseHeader(frame)
			if err == nil {
				err = fetch.Decode(h.Version, body)
			}
			if err != nil {
				t.Fatal(err)
			}
			var w FetchResponseWriter
			out = AppendResponseHeader(out[:0], h.Key, h.Version, h.CorrelationID)
			out = w.Begin(out, h.Version, 0, None, 0, len(fetch.Topics))
			for i := range fetch.Topics {
				topic := &fetch.Topics[i]
				out = w.Topic(out, "topic", topic.ID, topic.Count)
				for range topic.Count {
					out = w.PartitionEnd(w.PartitionHeader(out, NewPartitionResult(1), 0))
				}
				out = w.TopicEnd(out)
			}
			out = w.End(out, endpoints)
		})
	}
}

func TestAllocsBatches(t *testing.T) {
	rules := anything()
	rules.Compacted, rules.BeforeMaxMillis, rules.AfterMaxMillis = true, math.MaxInt64, 3600_000
	for _, codec := range []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd} {
		b := testBatch(100, codec)
		noAllocs(t, "CheckProduce "+codec.String(), func() {
			got, bad := CheckProduce(b, 9, rules)
			if bad != nil {
				t.Fatal(bad)
			}
			got.SetBaseOffset(7)
			got.SetLeaderEpoch(3)
			got.SetBaseOffset(0)
		})
		var it RecordIter
		noAllocs(t, "RecordIter "+codec.String(), func() {
			if err := it.Reset(b); err != nil {
				t.Fatal(err)
			}
			n := 0
			for it.Next() {
				n++
			}
			if n != 100 || it.Err() != nil {
				t.Fatal(n, it.Err())
			}
			it.Close()
		})
		var scratch []byte
		recompress := rules
		recompress.TargetCodec, recompress.Scratch = (codec+1)%5, &scratch
		noAllocs(t, codec.String()+" to "+recompress.TargetCodec.String(), func() {
			if _, bad := CheckProduce(b, 9, recompress); bad != nil {
				t.Fatal(bad)
			}
		})
		bb := BatchBuilder{Codec: codec}
		key, value, headers := []byte("key"), []byte("value"), []Header{{Key: []byte("h")}}
		noAllocs(t, "BatchBuilder "+codec.String(), func() {
			bb.Reset()
			for range 20 {
				bb.Add(1, key, value, headers)
			}
			if bb.Bytes() == nil {
				t.Fatal("nothing")
			}
		})
	}
	all := append(append([]byte(nil), testBatch(3, CodecNone)...), testBatch(3, CodecLZ4)...)
	noAllocs(t, "SplitBatches", func() {
		n := 0
		if err := SplitBatches(all, func(Batch) error { n++; return nil }); err != nil || n != 2 {
			t.Fatal(n, err)
		}
	})
}
