package kproto

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// anything takes every batch that is sound.
func anything() Rules {
	return Rules{MaxMessageBytes: 1 << 20, BeforeMaxMillis: math.MaxInt64, AfterMaxMillis: math.MaxInt64, NowMillis: 1000, TargetCodec: CodecProducer}
}

// sealed changes a copy of b and renews its checksum.
func sealed(b Batch, change func(Batch)) Batch {
	b = slices.Clone(b)
	change(b)
	b.seal()
	return b
}

// rawBatch is an uncompressed batch of hand-made records.
func rawBatch(codec Codec, records ...[]byte) Batch {
	b := slices.Clone(Batch(emptyHeader[:]))
	b = compress(b, codec, 0, bytes.Join(records, nil))
	binary.BigEndian.PutUint32(b[offCount:], uint32(len(records)))
	binary.BigEndian.PutUint32(b[offLastDelta:], uint32(len(records)-1))
	b.finish(codec, noTimestamp)
	return b
}

func TestCheckProduceTakes(t *testing.T) {
	for _, codec := range append(codecs, CodecNone) {
		for _, version := range []int16{7, 13} {
			in := testBatch(20, codec)
			want := slices.Clone(in)
			got, bad := CheckProduce(in, version, anything())
			if bad != nil {
				t.Fatalf("%s v%d: %v", codec, version, bad)
			}
			if &got[0] != &in[0] || !bytes.Equal(got, want) {
				t.Errorf("%s v%d: a good batch was rewritten", codec, version)
			}
		}
	}
	idempotent := sealed(testBatch(2, CodecNone), func(b Batch) {
		binary.BigEndian.PutUint64(b[offProducerID:], 5)
		binary.BigEndian.PutUint16(b[offProducerEpoch:], 0)
		binary.BigEndian.PutUint32(b[offBaseSequence:], math.MaxInt32)
	})
	if _, bad := CheckProduce(idempotent, 9, anything()); bad != nil {
		t.Error(bad)
	}
}

func TestCheckProduceRefuses(t *testing.T) {
	good := testBatch(4, CodecNone)
	record := []byte{16, 0, 0, 0, 2, 'k', 2, 'v', 0}
	set32 := func(at int, v int32) func(Batch) {
		return func(b Batch) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
	}
	flip := func(at int, mask byte) func(Batch) { return func(b Batch) { b[at] ^= mask } }
	for _, c := range []struct {
		name    string
		in      []byte
		version int16
		want    ErrorCode
	}{
		{"null", nil, 9, InvalidRecord},
		{"empty", []byte{}, 9, InvalidRecord},
		{"one byte", []byte{0}, 9, CorruptMessage},
		{"cut in the header", good[:60], 9, CorruptMessage},
		{"cut in the records", good[:len(good)-1], 9, InvalidRecord},
		{"header only", sealed(good[:61], set32(offLength, 49)), 9, InvalidRecord},
		{"length below a header", sealed(good, set32(offLength, 48)), 9, CorruptMessage},
		{"negative length", sealed(good, set32(offLength, -1)), 9, CorruptMessage},
		{"lowest length", sealed(good, set32(offLength, math.MinInt32)), 9, CorruptMessage},
		{"highest length", sealed(good, set32(offLength, math.MaxInt32)), 9, InvalidRecord},
		{"two batches", append(slices.Clone(good), good...), 9, InvalidRecord},
		{"garbage behind", append(slices.Clone(good), 1, 2, 3), 9, CorruptMessage},
		{"a second one that is cut", append(slices.Clone(good), good[:70]...), 9, CorruptMessage},
		{"magic 0", sealed(good, flip(offMagic, 2)), 9, InvalidRecord},
		{"magic 1", sealed(good, flip(offMagic, 3)), 9, InvalidRecord},
		{"magic 3", sealed(good, flip(offMagic, 1)), 9, CorruptMessage},
		{"bad CRC", slices.Concat(good[:len(good)-1], []byte{good[len(good)-1] ^ 1}), 9, CorruptMessage},
		{"zstd in v6", testBatch(2, CodecZstd), 6, UnsupportedCompressionType},
		{"base offset", sealed(good, flip(offBaseOffset+7, 1)), 9, InvalidRecord},
		{"log append time", sealed(good, flip(offAttributes+1, attrLogAppendTime)), 9, InvalidTimestamp},
		{"control", sealed(good, flip(offAttributes+1, attrControl)), 9, InvalidRecord},
		{"codec 5", sealed(good, flip(offAttributes+1, 5)), 9, UnsupportedCompressionType},
		{"count too high", sealed(good, set32(offCount, 5)), 9, InvalidRecord},
		{"count and delta too high", sealed(sealed(good, set32(offCount, 5)), set32(offLastDelta, 4)), 9, InvalidRecord},
		{"count and delta too low", sealed(sealed(good, set32(offCount, 3)), set32(offLastDelta, 2)), 9, InvalidRecord},
		{"count 0", sealed(sealed(good, set32(offCount, 0)), set32(offLastDelta, -1)), 9, InvalidRecord},
		{"negative count", sealed(sealed(good, set32(offCount, math.MinInt32)), set32(offLastDelta, math.MaxInt32)), 9, InvalidRecord},
		{"huge count", sealed(sealed(good, set32(offCount, math.MaxInt32)), set32(offLastDelta, math.MaxInt32-1)), 9, InvalidRecord},
		{"producer without sequence", sealed(good, func(b Batch) { clear(b[offProducerID : offProducerID+8]) }), 9, InvalidRecord},
		{"record that does not parse", rawBatch(CodecNone, record[:8]), 9, InvalidRecord},
		{"compressed record that does not parse", rawBatch(CodecGzip, record[:8]), 9, InvalidRecord},
		{"compressed data that is none", sealed(good, flip(offAttributes+1, byte(CodecLZ4))), 9, CorruptMessage},
		{"bomb", rawBatch(CodecZstd, make([]byte, 16<<20)), 9, MessageTooLarge},
	} {
		in := slices.Clone(c.in)
		got, bad := CheckProduce(in, c.version, anything())
		if bad == nil || bad.Code != c.want || got != nil || bad.Message == "" {
			t.Errorf("%s: %v, want %s", c.name, bad, c.want)
		}
		if !bytes.Equal(in, c.in) {
			t.Errorf("%s: a refused batch was changed", c.name)
		}
	}
}

func TestCheckProduceRules(t *testing.T) {
	times := func(codec Codec, ts ...int64) Batch {
		bb := BatchBuilder{Codec: codec}
		for _, t := range ts {
			bb.Add(t, []byte("k"), []byte("v"), nil)
		}
		return bb.Bytes()
	}
	for _, codec := range []Codec{CodecNone, CodecSnappy} {
		rules := anything()
		rules.NowMillis, rules.BeforeMaxMillis, rules.AfterMaxMillis = 10_000, 1000, 500
		for _, c := range []struct {
			ts   []int64
			want []int32 // indexes of bad records
		}{
			{[]int64{9000, 10_500, 10_000}, nil},
			{[]int64{-1, -1}, nil},
			{[]int64{8999}, []int32{0}},
			{[]int64{10_000, 10_501, 9500, 3, -1}, []int32{1, 3}},
		} {
			_, bad := CheckProduce(times(codec, c.ts...), 9, rules)
			if (bad == nil) != (c.want == nil) {
				t.Errorf("%s %v: %v", codec, c.ts, bad)
				continue
			}
			if bad == nil {
				continue
			}
			var got []int32
			for _, e := range bad.RecordErrors {
				got = append(got, e.BatchIndex)
				if e.Message == "" {
					t.Errorf("%s %v: no message", codec, c.ts)
				}
			}
			if bad.Code != InvalidTimestamp || !slices.Equal(got, c.want) {
				t.Errorf("%s %v: %v, records %v, want %v", codec, c.ts, bad, got, c.want)
			}
		}
		rules.LogAppendTime = true // then the producer's clock does not matter
		if got, bad := CheckProduce(times(codec, 3, math.MaxInt64/2), 9, rules); bad != nil || got.MaxTimestamp() != math.MaxInt64/2 {
			t.Errorf("%s: %v", codec, bad)
		}
	}

	bb := BatchBuilder{}
	bb.Add(5, []byte("k"), nil, nil)
	bb.Add(5, nil, []byte("v"), nil)
	bb.Add(5, []byte{}, nil, nil)
	bb.Add(5, nil, nil, nil)
	rules := anything()
	rules.Compacted, rules.Topic, rules.Partition = true, "t", 7
	_, bad := CheckProduce(bb.Bytes(), 9, rules)
	const noKey = "Compacted topic cannot accept message without key in topic partition t-7."
	if want := "One or more records have been rejected due to 2 record errors in total, and only showing the first three errors at most: [RecordError(batchIndex=1, message='" +
		noKey + "'), RecordError(batchIndex=3, message='" + noKey + "')]"; bad == nil || bad.Message != want || bad.RecordErrors[0].Message != noKey {
		t.Errorf("null keys on a compacted topic: %+v, want %s", bad, want)
	}
	if bad == nil || bad.Code != InvalidRecord || len(bad.RecordErrors) != 2 || bad.RecordErrors[0].BatchIndex != 1 || bad.RecordErrors[1].BatchIndex != 3 {
		t.Errorf("null keys on a compacted topic: %+v", bad)
	}
	for range 5000 {
		bb.Add(5, nil, nil, nil)
	}
	if _, bad := CheckProduce(bb.Bytes(), 9, rules); bad == nil || len(bad.RecordErrors) != maxRecordErrors {
		t.Errorf("%d record errors", len(bad.RecordErrors))
	}

	rules = anything()
	b := testBatch(5, CodecNone)
	rules.MaxMessageBytes = len(b)
	if _, bad := CheckProduce(b, 9, rules); bad != nil {
		t.Error(bad)
	}
	rules.MaxMessageBytes--
	if _, bad := CheckProduce(b, 9, rules); bad == nil || bad.Code != MessageTooLarge {
		t.Error(bad)
	}
}

func TestCheckProduceMaxTimestamp(t *testing.T) {
	for _, codec := range append(codecs, CodecNone) {
		for _, header := range []int64{0, -1, math.MaxInt64} {
			in := sealed(testBatch(9, codec), func(b Batch) { binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(header)) })
			got, bad := CheckProduce(in, 9, anything())
			if bad != nil || &got[0] != &in[0] || got.MaxTimestamp() != 1080 || got.Verify() != nil {
				t.Errorf("%s: max timestamp %d, want 1080: %v", codec, got.MaxTimestamp(), bad)
			}
		}
	}
	none := rawBatch(CodecNone, []byte{16, 0, 0, 0, 2, 'k', 2, 'v', 0})
	none = sealed(none, func(b Batch) { binary.BigEndian.PutUint64(b[offBaseTimestamp:], math.MaxUint64) })
	if got, bad := CheckProduce(none, 9, anything()); bad != nil || got.MaxTimestamp() != -1 {
		t.Errorf("records without timestamps: %v", bad)
	}
}

// records are the records of a batch as text, to compare batches of different codecs.
func recordsOf(t *testing.T, b Batch) (out []Record) {
	t.Helper()
	var it RecordIter
	if err := it.Reset(b); err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		r := *it.Record()
		r.Key, r.Value, r.headers = bytes.Clone(r.Key), bytes.Clone(r.Value), bytes.Clone(r.headers)
		r.body, r.deltaAt, r.deltaEnd = nil, 0, 0
		out = append(out, r)
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	it.Close()
	return out
}

func sameRecords(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(x, y Record) bool {
		return x.Offset == y.Offset && x.Timestamp == y.Timestamp && bytes.Equal(x.Key, y.Key) && bytes.Equal(x.Value, y.Value) && bytes.Equal(x.headers, y.headers) &&
			(x.Value == nil) == (y.Value == nil) && (x.Key == nil) == (y.Key == nil)
	})
}

func TestCheckProduceRecompresses(t *testing.T) {
	all := append(slices.Clone(codecs), CodecNone)
	for _, from := range all {
		for _, to := range all {
			for _, level := range []int{0, 1, 9} {
				in := testBatch(200, from)
				want := recordsOf(t, in)
				var scratch []byte
				rules := anything()
				rules.TargetCodec, rules.Level, rules.Scratch = to, level, &scratch
				got, bad := CheckProduce(in, 9, rules)
				if bad != nil {
					t.Fatalf("%s to %s: %v", from, to, bad)
				}
				if from == to && &got[0] != &in[0] || from != to && &got[0] != &scratch[0] {
					t.Errorf("%s to %s: the batch lies in the wrong memory", from, to)
				}
				if got.Codec() != to || got.Verify() != nil || got.Length() != len(got) || got.Count() != 200 || got.MaxTimestamp() != in.MaxTimestamp() || !sameRecords(recordsOf(t, got), want) {
					t.Errorf("%s to %s: %x", from, to, got[:BatchHeaderBytes])
				}
			}
		}
	}
	// A batch that fits as it was sent may not fit as it is stored.
	bb := BatchBuilder{Codec: CodecZstd}
	bb.Add(1, nil, make([]byte, 100_000), nil)
	rules := anything()
	rules.TargetCodec, rules.MaxMessageBytes = CodecNone, 50_000
	if _, bad := CheckProduce(bb.Bytes(), 9, rules); bad == nil || bad.Code != MessageTooLarge {
		t.Errorf("larger after decompression: %v", bad)
	}
}

// Inner offsets that are not 0, 1, 2 … are put right, in compressed and plain batches.
func TestCheckProduceRenumbers(t *testing.T) {
	var records [][]byte
	want := testBatch(300, CodecNone)
	for i, r := range recordsOf(t, want) {
		var body []byte
		body = append(body, 0)
		body = appendVarint(body, r.timestampDelta)
		body = appendVarint(body, int64(1_000_000-i*7)) // falling, and longer than the right ones
		body = appendVarbytes(body, r.Key)
		body = appendVarbytes(body, r.Value)
		body = appendVarint(body, int64(r.HeaderCount))
		if r.HeaderCount > 0 {
			body = append(body, r.headers...)
		}
		records = append(records, append(appendVarint(nil, int64(len(body))), body...))
	}
	for _, from := range append(codecs, CodecNone) {
		for _, target := range []Codec{CodecProducer, CodecNone, CodecGzip, CodecLZ4} {
			in := sealed(rawBatch(from, records...), func(b Batch) { binary.BigEndian.PutUint64(b[offBaseTimestamp:], 1000) })
			rules := anything()
			rules.TargetCodec = target
			got, bad := CheckProduce(in, 9, rules)
			if bad != nil {
				t.Fatalf("%s to %s: %v", from, target, bad)
			}
			codec := target
			if target == CodecProducer {
				codec = from
			}
			if got.Codec() != codec || got.Verify() != nil || got.MaxTimestamp() != want.MaxTimestamp() || !sameRecords(recordsOf(t, got), recordsOf(t, want)) {
				t.Errorf("%s to %s: %x", from, target, got[:BatchHeaderBytes])
			}
		}
	}
}

// A batch that found the log full comes again as it is.
func TestRestore(t *testing.T) {
	for _, codec := range append(codecs, CodecNone) {
		for _, logAppendTime := range []bool{false, true} {
			in, rules := testBatch(5, codec), anything()
			rules.LogAppendTime = logAppendTime
			for range 3 {
				b, bad := CheckProduce(in, 9, rules)
				if bad != nil {
					t.Fatal(bad)
				}
				if logAppendTime {
					b.SetLogAppendTime(4711)
				}
				b.SetBaseOffset(99)
				b.SetLeaderEpoch(3)
				b.Restore()
			}
		}
	}
}

// A batch that became much smaller when it was stored can still be read.
func TestStoredSmallerThanSent(t *testing.T) {
	in := rawBatch(CodecNone, func() []byte {
		body := append([]byte{0, 0, 0, 1}, appendVarbytes(nil, make([]byte, 20<<20))...)
		body = append(body, 0)
		return append(appendVarint(nil, int64(len(body))), body...)
	}())
	rules := anything()
	rules.MaxMessageBytes, rules.TargetCodec = 100<<20, CodecZstd
	stored, bad := CheckProduce(in, 9, rules)
	if bad != nil {
		t.Fatal(bad)
	}
	if maxDecompressed(len(stored)) > 20<<20 {
		t.Fatalf("stored in %d bytes, the test shows nothing", len(stored))
	}
	if r := recordsOf(t, stored); len(r) != 1 || len(r[0].Value) != 20<<20 {
		t.Error("the record is not what was sent")
	}
}

// FuzzCheckProduce: what is taken keeps every promise, and says the same as what was sent.
func FuzzCheckProduce(f *testing.F) {
	for _, codec := range append(codecs, CodecNone) {
		f.Add([]byte(testBatch(7, codec)), int16(9), int8(-1), false)
		f.Add([]byte(testBatch(3, codec)), int16(9), int8(2), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, version int16, target int8, compacted bool) {
		if len(in) >= BatchHeaderBytes { // else the fuzzer never gets behind the checksum
			Batch(in).seal()
			clear(in[:8])
			binary.BigEndian.PutUint32(in[offLength:], uint32(len(in)-lengthOverhead))
		}
		rules := anything()
		rules.TargetCodec, rules.Compacted = min(max(Codec(target), CodecProducer), CodecZstd), compacted
		sent := slices.Clone(in)
		got, bad := CheckProduce(in, version, rules)
		if bad != nil {
			if got != nil || bad.Code == None || bad.Message == "" || !bytes.Equal(in, sent) {
				t.Fatalf("refused: %v, batch %x, input changed: %v", bad, got, !bytes.Equal(in, sent))
			}
			return
		}
		if err := got.Verify(); err != nil {
			t.Fatal(err)
		}
		whole, err := FirstBatch(got)
		if err != nil || len(whole) != len(got) || len(got) > rules.MaxMessageBytes {
			t.Fatalf("%d of %d bytes: %v", len(whole), len(got), err)
		}
		if rules.TargetCodec != CodecProducer && got.Codec() != rules.TargetCodec {
			t.Fatalf("codec %s", got.Codec())
		}
		before, after := recordsOf(t, sent), recordsOf(t, got)
		if len(after) != int(got.Count()) || len(after) != len(before) || got.LastOffset() != int64(len(after)-1) {
			t.Fatalf("%d records of %d, header says %d", len(after), len(before), got.Count())
		}
		highest := int64(-1)
		for i := range after {
			before[i].Offset = after[i].Offset
			highest = max(highest, after[i].Timestamp)
			if after[i].Offset != int64(i) || compacted && after[i].Key == nil {
				t.Fatalf("record %d: %+v", i, after[i])
			}
		}
		if !sameRecords(before, after) || got.MaxTimestamp() != highest {
			t.Fatalf("records changed, or max timestamp %d is not %d", got.MaxTimestamp(), highest)
		}
	})
}
