package kproto

import (
	"fmt"
	"math"
	"strings"
)

// Rules are what a topic demands of the batches that producers send.
type Rules struct {
	// MaxMessageBytes is max.message.bytes: the largest batch, header included, as sent and as stored.
	MaxMessageBytes int
	// Compacted: records without a key are refused, with the name of the partition.
	Compacted bool
	Topic     string
	Partition int32
	// LogAppendTime: the broker will stamp the batch (SetLogAppendTime), so the records' timestamps are not looked at.
	LogAppendTime bool
	// BeforeMaxMillis and AfterMaxMillis say how far a timestamp may be from NowMillis.
	BeforeMaxMillis, AfterMaxMillis int64
	NowMillis                       int64
	// TargetCodec is compression.type. Other than CodecProducer, a batch with another codec is recompressed. Beware: the zero value
	// is CodecNone.
	TargetCodec Codec
	// Level is the compression level for recompression; 0 is the codec's default.
	Level int
	// Scratch is memory for a rewritten batch, kept by the caller. May be nil. A returned batch may lie in it.
	Scratch *[]byte
}

// BatchError is why a batch was refused.
type BatchError struct {
	Code         ErrorCode
	Message      string
	RecordErrors []RecordError // the records at fault, at most maxRecordErrors
}

func (e *BatchError) Error() string { return e.Code.String() + ": " + e.Message }

// maxRecordErrors bounds RecordErrors: beyond it a hostile batch could make a response many times its own size.
const maxRecordErrors = 1000

func refuse(code ErrorCode, format string, args ...any) *BatchError {
	return &BatchError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CheckProduce judges the records of one partition of a Produce request of the given version: exactly one batch of magic 2, whole and
// undamaged, that keeps the rules. records may be modified: the maximum timestamp is set to the records' own. The result aliases
// records, unless the batch had to be rewritten (another codec, inner offsets that are not 0, 1, 2 …): then it is new memory or
// rules.Scratch. Base offset and leader epoch are the caller's to set.
//
// An uncompressed batch is checked in one pass over its records and one over its bytes (checksum), without allocation; a compressed
// one is decompressed into pooled memory.
func CheckProduce(records []byte, version int16, rules Rules) (Batch, *BatchError) {
	b, bad := checkFrame(records, version, &rules)
	if bad != nil {
		return nil, bad
	}
	if bad := checkHeader(b); bad != nil {
		return nil, bad
	}
	raw, codec := b.records(), b.Codec()
	if codec != CodecNone {
		buf := getBuffer()
		defer putBuffer(buf)
		out, err := decompress((*buf)[:0], codec, raw, maxDecompressed(len(b)))
		*buf = out
		if err != nil {
			return nil, refuseCompressed(err)
		}
		raw = out
	}
	scan, bad := checkRecords(b, raw, &rules)
	if bad != nil {
		return nil, bad
	}
	if rules.TargetCodec != CodecProducer && rules.TargetCodec != codec {
		codec = rules.TargetCodec
	} else if scan.inOrder {
		if !rules.LogAppendTime && b.MaxTimestamp() != scan.maxTimestamp {
			b.setMaxTimestamp(scan.maxTimestamp)
		}
		return b, nil
	}
	maxTimestamp := scan.maxTimestamp
	if rules.LogAppendTime {
		maxTimestamp = b.MaxTimestamp()
	}
	out := b.rewrite(rules.Scratch, raw, codec, rules.Level, !scan.inOrder, maxTimestamp)
	if len(out) > rules.MaxMessageBytes {
		return nil, refuse(MessageTooLarge, "batch of %d bytes has %d after it was stored with codec %s, max.message.bytes is %d", len(b), len(out), codec, rules.MaxMessageBytes)
	}
	return out, nil
}

// checkFrame finds the one batch in records, up to its checksum.
func checkFrame(records []byte, version int16, rules *Rules) (Batch, *BatchError) {
	if len(records) == 0 {
		return nil, refuse(InvalidRecord, "the request has no record batch for the partition")
	}
	if len(records) > offMagic {
		switch m := int8(records[offMagic]); {
		case m == 0 || m == 1:
			return nil, refuse(InvalidRecord, "magic %d, Produce v%d takes only record batches of magic 2", m, version)
		case m != 2:
			return nil, refuse(CorruptMessage, "magic %d does not exist", m)
		}
	}
	if len(records) < BatchHeaderBytes {
		return nil, refuse(CorruptMessage, "%d bytes, the header of a batch has %d", len(records), BatchHeaderBytes)
	}
	n := Batch(records).Length()
	switch {
	case n < BatchHeaderBytes:
		return nil, refuse(CorruptMessage, "batch length %d, the header alone has %d", n, BatchHeaderBytes)
	case n > len(records):
		return nil, refuse(InvalidRecord, "batch length %d, the request has %d bytes of it", n, len(records))
	case n < len(records):
		if _, err := FirstBatch(records[n:]); err == nil {
			return nil, refuse(InvalidRecord, "more than one record batch for the partition")
		}
		return nil, refuse(CorruptMessage, "%d bytes behind the record batch of %d", len(records)-n, n)
	}
	b := Batch(records[:n:n])
	if b.Codec() == CodecZstd && version < 7 {
		return nil, refuse(UnsupportedCompressionType, "Produce v%d does not take zstd, v7 does", version)
	}
	if o := b.BaseOffset(); o != 0 {
		return nil, refuse(InvalidRecord, "base offset %d, producers send 0", o)
	}
	if n > rules.MaxMessageBytes {
		return nil, refuse(MessageTooLarge, "batch of %d bytes, max.message.bytes is %d", n, rules.MaxMessageBytes)
	}
	if got, want := b.checksum(), b.CRC(); got != want {
		return nil, refuse(CorruptMessage, "CRC %08x, the header says %08x", got, want)
	}
	return b, nil
}

// checkHeader judges the fields of a batch whose checksum is right.
func checkHeader(b Batch) *BatchError {
	count, last := b.Count(), b.LastOffsetDelta()
	switch {
	case b.TimestampType() != 0:
		return refuse(InvalidTimestamp, "producers must not set the timestamp type to log append time")
	case b.IsControl():
		return refuse(InvalidRecord, "producers must not write control records")
	case count <= 0:
		return refuse(InvalidRecord, "record count %d", count)
	case int64(last)+1 != int64(count):
		return refuse(InvalidRecord, "last offset delta %d does not fit a record count of %d", last, count)
	case b.ProducerID() >= 0 && b.BaseSequence() < 0:
		return refuse(InvalidRecord, "producer id %d with base sequence %d", b.ProducerID(), b.BaseSequence())
	case b.Codec() > CodecZstd:
		return refuse(UnsupportedCompressionType, "codec %d does not exist", b.Codec())
	}
	return nil
}

// scanned is what a pass over the records found.
type scanned struct {
	maxTimestamp int64 // -1: no record has one
	inOrder      bool  // offset deltas are 0, 1, 2 …
}

// checkRecords passes once over the uncompressed records.
func checkRecords(b Batch, raw []byte, rules *Rules) (scanned, *BatchError) {
	var (
		out         = scanned{maxTimestamp: noTimestamp, inOrder: true}
		count, base = b.Count(), b.BaseTimestamp()
		lo, hi      = int64(math.MinInt64), int64(math.MaxInt64)
		bad         *BatchError
		r           Record
		noKey       string // what Kafka says of a record without key, when there is one
	)
	if !rules.LogAppendTime {
		lo, hi = saturatingSub(rules.NowMillis, rules.BeforeMaxMillis), saturatingAdd(rules.NowMillis, rules.AfterMaxMillis)
	}
	for i := range count {
		n, wrong := r.parse(raw)
		if n == 0 {
			return out, refuse(InvalidRecord, "record %d of %d: bad %s", i, count, wrong)
		}
		raw = raw[n:]
		if r.offsetDelta != i {
			out.inOrder = false
		}
		t := base + r.timestampDelta
		out.maxTimestamp = max(out.maxTimestamp, t)
		if rules.Compacted && r.Key == nil {
			if noKey == "" {
				noKey = fmt.Sprintf("Compacted topic cannot accept message without key in topic partition %s-%d.", rules.Topic, rules.Partition)
			}
			bad = bad.add(i, InvalidRecord, noKey)
		} else if (t < lo || t > hi) && t != noTimestamp {
			bad = bad.add(i, InvalidTimestamp, "the timestamp is outside message.timestamp.before.max.ms and message.timestamp.after.max.ms")
		}
	}
	if bad == nil && len(raw) > 0 {
		return out, refuse(InvalidRecord, "%d bytes behind the last of %d records", len(raw), count)
	}
	return out, bad.sum()
}

// add notes a bad record. The first one decides about the code.
func (e *BatchError) add(index int32, code ErrorCode, message string) *BatchError {
	if e == nil {
		e = &BatchError{Code: code}
	}
	if len(e.RecordErrors) < maxRecordErrors {
		e.RecordErrors = append(e.RecordErrors, RecordError{BatchIndex: index, Message: message})
	}
	return e
}

// shownErrors is how many records at fault the message of a refused batch names, as Kafka's does.
const shownErrors = 3

// sum makes the message out of the records at fault, in Kafka's words. nil stays nil.
func (e *BatchError) sum() *BatchError {
	if e == nil {
		return nil
	}
	var shown []string
	for _, r := range e.RecordErrors[:min(len(e.RecordErrors), shownErrors)] {
		shown = append(shown, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", r.BatchIndex, r.Message))
	}
	e.Message = fmt.Sprintf("One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]",
		len(e.RecordErrors), strings.Join(shown, ", "))
	return e
}

func saturatingAdd(a, b int64) int64 {
	if s := a + b; b < 0 || s >= a {
		return s
	}
	return math.MaxInt64
}

func saturatingSub(a, b int64) int64 {
	if s := a - b; b < 0 || s <= a {
		return s
	}
	return math.MinInt64
}
