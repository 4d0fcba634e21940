package kproto

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// testBatch has n records with keys, values and a header here and there.
func testBatch(n int, codec Codec) Batch {
	bb := BatchBuilder{Codec: codec}
	for i := range n {
		var headers []Header
		if i%3 == 1 {
			headers = []Header{{Key: []byte("h"), Value: []byte{byte(i)}}, {Key: []byte{}, Value: nil}}
		}
		value := fmt.Appendf(nil, "value %d", i)
		if i%5 == 4 {
			value = nil
		}
		bb.Add(int64(1000+10*i), fmt.Appendf(nil, "key %d", i), value, headers)
	}
	return slices.Clone(bb.Bytes())
}

func TestBatchAgainstKmsg(t *testing.T) {
	for _, codec := range append(codecs, CodecNone) {
		bb := BatchBuilder{Codec: codec}
		bb.SetProducer(99, 3, math.MaxInt32-1, true)
		for i := range 4 {
			bb.Add(int64(500-i), []byte{byte(i)}, nil, nil)
		}
		b := bb.Bytes()
		b.SetBaseOffset(1 << 40)
		b.SetLeaderEpoch(12)
		var want kmsg.RecordBatch
		if err := want.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		if b.BaseOffset() != want.FirstOffset || b.Length() != int(want.Length)+12 || b.Length() != len(b) || b.PartitionLeaderEpoch() != want.PartitionLeaderEpoch ||
			b.Magic() != want.Magic || b.CRC() != uint32(want.CRC) || b.Attributes() != want.Attributes || b.LastOffsetDelta() != want.LastOffsetDelta ||
			b.BaseTimestamp() != want.FirstTimestamp || b.MaxTimestamp() != want.MaxTimestamp || b.ProducerID() != want.ProducerID ||
			b.ProducerEpoch() != want.ProducerEpoch || b.BaseSequence() != want.FirstSequence || b.Count() != want.NumRecords {
			t.Errorf("%s: %x is not %+v", codec, b[:BatchHeaderBytes], want)
		}
		if b.BaseOffset() != 1<<40 || b.PartitionLeaderEpoch() != 12 || b.LastOffset() != 1<<40+3 || b.Codec() != codec || !b.IsTransactional() || b.IsControl() ||
			b.TimestampType() != 0 || b.BaseTimestamp() != 500 || b.MaxTimestamp() != 500 || b.LastSequence() != 1 || b.Verify() != nil {
			t.Errorf("%s: %x", codec, b[:BatchHeaderBytes])
		}
		b.SetLogAppendTime(777)
		if b.TimestampType() != 1 || b.MaxTimestamp() != 777 || b.Verify() != nil || b.Codec() != codec {
			t.Errorf("%s: stamped %x", codec, b[:BatchHeaderBytes])
		}
		bb.Reset()
		bb.Add(-1, nil, nil, nil)
		if b = bb.Bytes(); b.ProducerID() != -1 || b.ProducerEpoch() != -1 || b.BaseSequence() != -1 || b.LastSequence() != -1 || b.IsTransactional() ||
			b.MaxTimestamp() != -1 || b.BaseTimestamp() != -1 || b.PartitionLeaderEpoch() != -1 || b.BaseOffset() != 0 || b.Verify() != nil {
			t.Errorf("%s: plain %x", codec, b)
		}
	}
	var empty BatchBuilder
	if empty.Bytes() != nil || empty.Count() != 0 || empty.Len() != BatchHeaderBytes {
		t.Error("a batch of nothing")
	}
	empty.SetControl()
	empty.Add(1, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 9}, nil)
	if b := empty.Bytes(); !b.IsControl() || b.Count() != 1 {
		t.Errorf("control batch %x", b)
	}
}

func TestSplitBatches(t *testing.T) {
	var all []byte
	var want []Batch
	for i := 1; i < 5; i++ {
		b := testBatch(i*7, Codec(i))
		all, want = append(all, b...), append(want, b)
	}
	at := 0
	if err := SplitBatches(all, func(b Batch) error {
		if !bytes.Equal(b, want[at]) || cap(b) != len(b) {
			t.Errorf("batch %d: %x, want %x", at, b, want[at])
		}
		at++
		return nil
	}); err != nil || at != len(want) {
		t.Fatalf("%d batches: %v", at, err)
	}
	seen := func(b []byte) (n int, err error) {
		err = SplitBatches(b, func(Batch) error { n++; return nil })
		return n, err
	}
	if n, err := seen(all[:len(all)-1]); n != 3 || !errors.Is(err, ErrShortBatch) {
		t.Errorf("cut at the end: %d batches, %v", n, err)
	}
	if n, err := seen(all[:len(want[0])+30]); n != 1 || !errors.Is(err, ErrShortBatch) {
		t.Errorf("cut in a header: %d batches, %v", n, err)
	}
	for what, at := range map[string]int{"length": offLength, "magic": offMagic} {
		bad := bytes.Clone(all)
		bad[len(want[0])+at] = 0xff
		if n, err := seen(bad); n != 1 || !errors.Is(err, ErrCorruptBatch) {
			t.Errorf("bad %s: %d batches, %v", what, n, err)
		}
	}
	stop := errors.New("stop")
	if err := SplitBatches(all, func(Batch) error { return stop }); err != stop {
		t.Errorf("error of fn: %v", err)
	}
}

func TestVerify(t *testing.T) {
	b := testBatch(3, CodecNone)
	for i := offAttributes; i < len(b); i++ {
		b[i] ^= 1
		if !errors.Is(b.Verify(), ErrCorruptBatch) {
			t.Fatalf("a flipped bit in byte %d went unseen", i)
		}
		b[i] ^= 1
	}
	b.SetBaseOffset(55)
	b.SetLeaderEpoch(9)
	if err := b.Verify(); err != nil {
		t.Error(err)
	}
}

func TestRecordIter(t *testing.T) {
	var it RecordIter
	if it.Next() || it.Err() != nil {
		t.Error("the zero value has records")
	}
	for _, codec := range append(codecs, CodecNone) {
		b := testBatch(100, codec)
		b.SetBaseOffset(5000)
		if err := it.Reset(b); err != nil {
			t.Fatal(err)
		}
		plain := b.records()
		if codec != CodecNone {
			plain, _ = decompress(nil, codec, plain, 1<<20)
		}
		n := 0
		for ; it.Next(); n++ {
			r := it.Record()
			var want kmsg.Record
			if err := want.ReadFrom(plain); err != nil {
				t.Fatal(err)
			}
			plain = plain[varintLen(int64(want.Length))+int(want.Length):]
			if r.Offset != 5000+int64(n) || r.Timestamp != int64(1000+10*n) || want.OffsetDelta != int32(n) || !bytes.Equal(r.Key, want.Key) || !bytes.Equal(r.Value, want.Value) ||
				(r.Value == nil) != (n%5 == 4) || r.HeaderCount != len(want.Headers) {
				t.Fatalf("%s record %d: got %+v, want %+v", codec, n, r, want)
			}
			for i, h := range r.AppendHeaders(nil) {
				if string(h.Key) != want.Headers[i].Key || !bytes.Equal(h.Value, want.Headers[i].Value) || (h.Value == nil) != (want.Headers[i].Value == nil) {
					t.Errorf("%s record %d: header %+v, want %+v", codec, n, h, want.Headers[i])
				}
			}
		}
		if it.Err() != nil || n != 100 {
			t.Fatalf("%s: %d records, %v", codec, n, it.Err())
		}
		b.SetLogAppendTime(123456)
		it.Reset(b)
		if !it.Next() || it.Record().Timestamp != 123456 {
			t.Errorf("%s: log append time is not the record's: %+v", codec, it.Record())
		}
	}
	it.Close()
	if err := it.Reset(Batch("short")); !errors.Is(err, ErrCorruptBatch) || it.Next() {
		t.Errorf("short batch: %v", err)
	}
	b := testBatch(3, CodecGzip)
	b[BatchHeaderBytes] ^= 1
	if err := it.Reset(b); !errors.Is(err, ErrCorruptBatch) || it.Next() || it.Err() == nil {
		t.Errorf("damaged gzip: %v", err)
	}
	it.Close()
}

// Each mutation makes one record wrong in one way.
func TestRecordIterDamage(t *testing.T) {
	record := []byte{16, 0, 0, 0, 2, 'k', 2, 'v', 0} // length 8
	iterate := func(count int32, records ...byte) error {
		b := slices.Clone(append(Batch(emptyHeader[:]), records...))
		b[offCount+3] = byte(count)
		b.finish(CodecNone, 0)
		var it RecordIter
		if err := it.Reset(b); err != nil {
			return err
		}
		for it.Next() {
		}
		return it.Err()
	}
	if err := iterate(1, record...); err != nil {
		t.Fatal(err)
	}
	for name, records := range map[string][]byte{
		"nothing":                   {},
		"cut":                       record[:8],
		"trailing byte":             append(slices.Clone(record), 0),
		"second record":             append(slices.Clone(record), record...),
		"length too short":          {14, 0, 0, 0, 2, 'k', 2, 'v', 0},
		"length too long":           {18, 0, 0, 0, 2, 'k', 2, 'v', 0},
		"negative length":           {1, 0, 0, 0, 2, 'k', 2, 'v', 0},
		"length zero":               {0},
		"length below the minimum":  {10, 0, 0, 0, 1, 1},
		"overlong length":           {0x90, 0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0, 2, 'k', 2, 'v', 0},
		"overlong timestamp delta":  {36, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 2, 'k', 2, 'v', 0},
		"offset delta of 6 bytes":   {26, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 2, 'k', 2, 'v', 0},
		"key longer than record":    {16, 0, 0, 0, 40, 'k', 2, 'v', 0},
		"value longer than record":  {16, 0, 0, 0, 2, 'k', 40, 'v', 0},
		"negative header count":     {16, 0, 0, 0, 2, 'k', 2, 'v', 1},
		"more headers than bytes":   {16, 0, 0, 0, 2, 'k', 2, 'v', 126},
		"header without key":        {20, 0, 0, 0, 2, 'k', 2, 'v', 2, 1, 1},
		"header key too long":       {20, 0, 0, 0, 2, 'k', 2, 'v', 2, 8, 1},
		"header value too long":     {20, 0, 0, 0, 2, 'k', 2, 'v', 2, 0, 8},
		"bytes behind the headers":  {22, 0, 0, 0, 2, 'k', 2, 'v', 2, 0, 1, 0},
		"header count is not there": {14, 0, 0, 0, 2, 'k', 2, 'v'},
	} {
		if err := iterate(1, records...); !errors.Is(err, ErrCorruptBatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRecordIter(f *testing.F) {
	for _, codec := range append(codecs, CodecNone) {
		f.Add([]byte(testBatch(7, codec)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := FirstBatch(in)
		if err != nil {
			return
		}
		var it RecordIter
		defer it.Close()
		if it.Reset(b) != nil {
			return
		}
		n := int32(0)
		for plain := it.rest; it.Next(); plain = it.rest {
			n++
			r := it.Record()
			var want kmsg.Record
			if err := want.ReadFrom(plain); err != nil {
				t.Fatalf("record %d: kmsg does not take it: %v", n, err)
			}
			if r.Offset-b.BaseOffset() != int64(want.OffsetDelta) || r.timestampDelta != want.TimestampDelta64 || !bytes.Equal(r.Key, want.Key) || !bytes.Equal(r.Value, want.Value) || r.HeaderCount != len(want.Headers) {
				t.Fatalf("record %d: got %+v, want %+v", n, r, want)
			}
			for i, h := range r.AppendHeaders(nil) {
				if string(h.Key) != want.Headers[i].Key || !bytes.Equal(h.Value, want.Headers[i].Value) {
					t.Fatalf("record %d: header %+v, want %+v", n, h, want.Headers[i])
				}
			}
		}
		if it.Err() == nil && n != max(b.Count(), 0) {
			t.Fatalf("%d records of %d", n, b.Count())
		}
	})
}
