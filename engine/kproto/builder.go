package kproto

import (
	"encoding/binary"
	"math"
)

// BatchBuilder makes record batches: for internal topics, tools and tests. The zero value builds uncompressed batches without a
// producer id. Use: Reset, Add once or more, Bytes.
type BatchBuilder struct {
	// Codec and Level are used by Bytes. Level 0 is the codec's default.
	Codec Codec
	Level int

	buf   []byte // header and plain records
	out   []byte // header and compressed records
	count int32
	max   int64
}

// maxBatchBytes bounds a batch, whose length field has 31 bits.
const maxBatchBytes = math.MaxInt32 - 1<<20

// Reset empties the builder and keeps its memory, which the batch of the last Bytes lies in.
func (bb *BatchBuilder) Reset() {
	bb.buf, bb.count, bb.max = append(bb.buf[:0], emptyHeader[:]...), 0, noTimestamp
}

// emptyHeader belongs to a batch without producer: id, epoch and sequence are -1.
var emptyHeader = func() (h [BatchHeaderBytes]byte) {
	h[offMagic] = 2
	for i := offLeaderEpoch; i < offMagic; i++ {
		h[i] = 0xff
	}
	for i := offMaxTimestamp; i < offCount; i++ {
		h[i] = 0xff
	}
	return h
}()

// SetProducer makes the batch one of an idempotent or transactional producer. Call it after Reset and before Bytes.
func (bb *BatchBuilder) SetProducer(id int64, epoch int16, baseSequence int32, transactional bool) {
	bb.begin()
	binary.BigEndian.PutUint64(bb.buf[offProducerID:], uint64(id))
	binary.BigEndian.PutUint16(bb.buf[offProducerEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(bb.buf[offBaseSequence:], uint32(baseSequence))
	bb.buf[offAttributes+1] &^= attrTransactional
	if transactional {
		bb.buf[offAttributes+1] |= attrTransactional
	}
}

// SetControl makes the batch a control batch: its records are markers.
func (bb *BatchBuilder) SetControl() {
	bb.begin()
	bb.buf[offAttributes+1] |= attrControl
}

func (bb *BatchBuilder) begin() {
	if len(bb.buf) == 0 {
		bb.Reset()
	}
}

// Add appends a record. A nil key or value is null. Everything is copied. timestamp is in milliseconds, -1 for none.
func (bb *BatchBuilder) Add(timestamp int64, key, value []byte, headers []Header) {
	bb.begin()
	if bb.count == 0 {
		binary.BigEndian.PutUint64(bb.buf[offBaseTimestamp:], uint64(timestamp))
	}
	delta := timestamp - Batch(bb.buf).BaseTimestamp()
	length := 1 + varintLen(delta) + varintLen(int64(bb.count)) + varbytesLen(key) + varbytesLen(value) + varintLen(int64(len(headers)))
	for i := range headers {
		length += varintLen(int64(len(headers[i].Key))) + len(headers[i].Key) + varbytesLen(headers[i].Value)
	}
	if len(bb.buf)+length > maxBatchBytes {
		panic("BUG: kproto: a batch of more than 2 GiB is being built")
	}
	dst := appendVarint(bb.buf, int64(length))
	dst = append(dst, 0)
	dst = appendVarint(dst, delta)
	dst = appendVarint(dst, int64(bb.count))
	dst = appendVarbytes(dst, key)
	dst = appendVarbytes(dst, value)
	dst = appendVarint(dst, int64(len(headers)))
	for i := range headers {
		dst = appendVarint(dst, int64(len(headers[i].Key)))
		dst = append(dst, headers[i].Key...)
		dst = appendVarbytes(dst, headers[i].Value)
	}
	bb.buf = dst
	bb.count++
	bb.max = max(bb.max, timestamp)
}

// Count is the number of records added since Reset.
func (bb *BatchBuilder) Count() int { return int(bb.count) }

// Len is the size of the batch so far, before compression.
func (bb *BatchBuilder) Len() int { return max(len(bb.buf), BatchHeaderBytes) }

// Bytes finishes the batch: base offset 0, leader epoch -1, checksum set. It is valid until Reset, or until more records are added.
// Nil when there are no records.
func (bb *BatchBuilder) Bytes() Batch {
	if bb.count == 0 {
		return nil
	}
	binary.BigEndian.PutUint32(bb.buf[offLastDelta:], uint32(bb.count-1))
	binary.BigEndian.PutUint32(bb.buf[offCount:], uint32(bb.count))
	b := Batch(bb.buf[:len(bb.buf):len(bb.buf)])
	if bb.Codec > CodecNone {
		bb.out = compress(append(bb.out[:0], bb.buf[:BatchHeaderBytes]...), bb.Codec, bb.Level, bb.buf[BatchHeaderBytes:])
		b = Batch(bb.out[:len(bb.out):len(bb.out)])
	}
	b.finish(max(bb.Codec, CodecNone), bb.max)
	return b
}

func varbytesLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func appendVarbytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1
	}
	dst = appendVarint(dst, int64(len(b)))
	return append(dst, b...)
}
