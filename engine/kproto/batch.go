package kproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Layout of a record batch of magic 2. All integers are big endian.
//
//	 0 base offset          8     21 attributes           2 ┐          43 producer id      8
//	 8 length of the rest   4     23 last offset delta    4 │ covered  51 producer epoch   2
//	12 leader epoch         4     27 base timestamp       8 │ by the   53 base sequence    4
//	16 magic                1     35 max timestamp        8 │ CRC, to  57 record count     4
//	17 CRC32C               4                               ▼ the end  61 records, compressed as attributes say
//
// Attributes: bits 0-2 codec, 3 log append time, 4 transactional, 5 control, 6 base timestamp is a delete horizon.
const (
	offBaseOffset    = 0
	offLength        = 8
	offLeaderEpoch   = 12
	offMagic         = 16
	offCRC           = 17
	offAttributes    = 21
	offLastDelta     = 23
	offBaseTimestamp = 27
	offMaxTimestamp  = 35
	offProducerID    = 43
	offProducerEpoch = 51
	offBaseSequence  = 53
	offCount         = 57

	// BatchHeaderBytes is the size of a batch without its records.
	BatchHeaderBytes = 61

	// lengthOverhead is what the length field does not count: base offset and the field itself.
	lengthOverhead = offLength + 4
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 1 << 3
	attrTransactional = 1 << 4
	attrControl       = 1 << 5
)

// noTimestamp marks a record without a timestamp.
const noTimestamp = -1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// ErrShortBatch is matched when bytes end inside a batch, as the last batch of a size-limited read may.
	ErrShortBatch = errors.New("kproto: record batch is cut short")
	// ErrCorruptBatch is matched when a batch is damaged: length, magic, checksum, records or compressed data are wrong.
	ErrCorruptBatch = errors.New("kproto: corrupt record batch")
)

// Batch is one record batch of magic 2 in wire form, from its base offset to its last byte.
//
// The accessors REQUIRE at least BatchHeaderBytes bytes; FirstBatch, SplitBatches and CheckProduce give nothing shorter.
type Batch []byte

// FirstBatch returns the batch at the start of b, capped at its end. Only length and magic are checked. Errors match ErrShortBatch
// (more bytes are needed) or ErrCorruptBatch.
func FirstBatch(b []byte) (Batch, error) {
	if len(b) < BatchHeaderBytes {
		return nil, fmt.Errorf("%w: %d bytes, a header has %d", ErrShortBatch, len(b), BatchHeaderBytes)
	}
	n := Batch(b).Length()
	if n < BatchHeaderBytes {
		return nil, fmt.Errorf("%w: length field says %d bytes, a header has %d", ErrCorruptBatch, n, BatchHeaderBytes)
	}
	if m := Batch(b).Magic(); m != 2 {
		return nil, fmt.Errorf("%w: magic %d, want 2", ErrCorruptBatch, m)
	}
	if n > len(b) {
		return nil, fmt.Errorf("%w: %d bytes of %d", ErrShortBatch, len(b), n)
	}
	return Batch(b[:n:n]), nil
}

// SplitBatches calls fn for every batch in b, in order. It stops at the first error of fn, and reports what FirstBatch says about
// the rest: ErrShortBatch when b ends inside a batch. Checksums are not verified (see Verify).
func SplitBatches(b []byte, fn func(Batch) error) error {
	for at := 0; at < len(b); {
		batch, err := FirstBatch(b[at:])
		if err != nil {
			return fmt.Errorf("at byte %d of %d: %w", at, len(b), err)
		}
		if err := fn(batch); err != nil {
			return err
		}
		at += len(batch)
	}
	return nil
}

// Verify checks the checksum. The error matches ErrCorruptBatch.
func (b Batch) Verify() error {
	if got, want := b.checksum(), b.CRC(); got != want {
		return fmt.Errorf("%w: CRC %08x, header says %08x", ErrCorruptBatch, got, want)
	}
	return nil
}

func (b Batch) checksum() uint32 { return crc32.Checksum(b[offAttributes:], castagnoli) }

// BaseOffset is the offset of the first record (of the first one before compaction).
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[offBaseOffset:])) }

// Length is the size of the whole batch in bytes according to its length field; negative or tiny in a damaged one.
func (b Batch) Length() int {
	return int(int32(binary.BigEndian.Uint32(b[offLength:]))) + lengthOverhead
}

// PartitionLeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) PartitionLeaderEpoch() int32 {
	return int32(binary.BigEndian.Uint32(b[offLeaderEpoch:]))
}

// Magic is the version of the format, 2.
func (b Batch) Magic() int8 { return int8(b[offMagic]) }

// CRC is the checksum that the header carries.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[offCRC:]) }

// Attributes holds codec and flags.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[offAttributes:])) }

// Codec says how the records are compressed. Values above CodecZstd do not exist.
func (b Batch) Codec() Codec { return Codec(b[offAttributes+1] & attrCodec) }

// IsControl says that the records are markers of the broker and not data.
func (b Batch) IsControl() bool { return b[offAttributes+1]&attrControl != 0 }

// IsTransactional says that the batch is part of a transaction.
func (b Batch) IsTransactional() bool { return b[offAttributes+1]&attrTransactional != 0 }

// TimestampType is 0 for create time and 1 for log append time.
func (b Batch) TimestampType() int8 {
	if b[offAttributes+1]&attrLogAppendTime != 0 {
		return 1
	}
	return 0
}

// LastOffsetDelta is LastOffset - BaseOffset.
func (b Batch) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(b[offLastDelta:])) }

// LastOffset is the offset of the last record (of the last one before compaction).
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// BaseTimestamp is what the timestamp deltas of records count from, in milliseconds.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[offBaseTimestamp:])) }

// MaxTimestamp is the highest timestamp of a record, or the time of the append, in milliseconds. -1: the records have none.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[offMaxTimestamp:])) }

// ProducerID is -1 when the producer is not idempotent.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[offProducerID:])) }

// ProducerEpoch is -1 when the producer is not idempotent.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[offProducerEpoch:])) }

// BaseSequence is the sequence number of the first record, -1 when there is none.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[offBaseSequence:])) }

// LastSequence is the sequence number of the last record; numbers wrap from the largest int32 to 0. -1 when there is none.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base < 0 {
		return -1
	}
	return int32((int64(base) + int64(b.LastOffsetDelta())) & math.MaxInt32)
}

// Count is the number of records.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[offCount:])) }

// SetBaseOffset stores the offset of the first record. It lies outside the checksum.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(offset))
}

// SetLeaderEpoch stores the partition's leader epoch. It lies outside the checksum.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], uint32(epoch))
}

// SetLogAppendTime stamps the whole batch with now (milliseconds) and renews the checksum. The deltas of the records stay as they
// are; readers use the batch's time for all of them.
func (b Batch) SetLogAppendTime(now int64) {
	b[offAttributes+1] |= attrLogAppendTime
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(now))
	b.seal()
}

// Restore takes back what SetBaseOffset and SetLogAppendTime did to a batch that was not appended after all, so that it can be checked
// and offered again. Leader epoch and maximum timestamp stay; nothing depends on them until they are set again.
func (b Batch) Restore() {
	b.SetBaseOffset(0)
	if b[offAttributes+1]&attrLogAppendTime != 0 {
		b[offAttributes+1] &^= attrLogAppendTime
		b.seal()
	}
}

func (b Batch) setMaxTimestamp(t int64) {
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(t))
	b.seal()
}

// seal stores the checksum of what b holds now.
func (b Batch) seal() { binary.BigEndian.PutUint32(b[offCRC:], b.checksum()) }

// records are the bytes behind the header, compressed or not.
func (b Batch) records() []byte { return b[BatchHeaderBytes:] }
