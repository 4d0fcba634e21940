package kproto

import (
	"runtime"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// allocated is how many bytes fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What a request makes us allocate is a small multiple of its size, whatever it says.
func TestHostileRequestsCostLittle(t *testing.T) {
	const size = 1 << 20
	many := []byte{0x7f, 0xff, 0xff, 0xff}
	compactMany := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	produceHead, fetchHead := []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, make([]byte, 17)
	compactProduceHead, compactFetchHead := []byte{0, 0xff, 0xff, 0, 0, 0, 0}, make([]byte, 25)
	fill := func(head, count, unit []byte) []byte {
		return slices.Concat(head, count, slices.Repeat(unit, size/len(unit)))
	}
	compactCount := func(n int) []byte { return appendUvarint(nil, uint64(n)+1) }
	for name, c := range map[string]struct {
		fetch   bool
		version int16
		body    []byte
	}{
		"produce: announced topics":         {false, 3, slices.Concat(produceHead, many)},
		"produce: announced compact topics": {false, 9, slices.Concat(compactProduceHead, compactMany)},
		"produce: smallest topics":          {false, 9, fill(compactProduceHead, compactCount(size/3), []byte{1, 1, 0})},
		"produce: smallest partitions":      {false, 9, fill(compactProduceHead, compactCount(size/9), []byte{1, 2, 0, 0, 0, 0, 0, 0, 0})},
		"fetch: announced topics":           {true, 4, slices.Concat(fetchHead, many)},
		"fetch: announced compact topics":   {true, 12, slices.Concat(compactFetchHead, compactMany)},
		"fetch: smallest topics":            {true, 12, fill(compactFetchHead, compactCount(size/3), []byte{1, 1, 0})},
		"fetch: smallest forgotten topics":  {true, 12, fill(append(slices.Clone(compactFetchHead), 1), compactCount(size/7), []byte{1, 2, 0, 0, 0, 0, 0})},
	} {
		got := allocated(func() {
			if c.fetch {
				new(FetchRequest).Decode(c.version, c.body)
			} else {
				new(ProduceRequest).Decode(c.version, c.body)
			}
		})
		if limit := uint64(16*len(c.body) + 16384); got > limit && !raceEnabled {
			t.Errorf("%s: %d bytes made us allocate %d", name, len(c.body), got)
		}
	}
}

// The memory of one huge request is not kept for ever.
func TestHugeRequestIsForgotten(t *testing.T) {
	huge := kmsg.NewPtrProduceRequest()
	huge.Version = 9
	huge.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: make([]kmsg.ProduceRequestTopicPartition, 100_000)}}
	small := produceRequest(9)
	var r, clone ProduceRequest
	for _, req := range []*kmsg.ProduceRequest{huge, small, small} {
		if err := r.Decode(9, req.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		r.CloneInto(&clone)
	}
	if cap(r.Partitions) > retainedEntries || cap(clone.Partitions) > retainedEntries {
		t.Errorf("kept room for %d and %d partitions", cap(r.Partitions), cap(clone.Partitions))
	}
	checkProduceRequest(t, &r, small)
}

// An unusual batch costs no more than its announced or real size, and says so.
func TestHostileBatchesCostLittle(t *testing.T) {
	for _, codec := range codecs {
		b := rawBatch(codec, make([]byte, 12<<20)) // one record of length 0: refused after decompression
		got := allocated(func() { CheckProduce(b, 9, anything()) })
		if limit := uint64(4 * maxDecompressed(len(b))); got > limit && !raceEnabled {
			t.Errorf("%s: %d bytes made us allocate %d", codec, len(b), got)
		}
	}
}
