package kproto

import (
	"fmt"
)

// A record, behind the header of its batch and after decompression:
//
//	length varint | attributes 1 | timestamp delta varlong | offset delta varint | key length varint, key | value length varint, value |
//	header count varint | { key length varint, key | value length varint, value }
//
// Varints are zigzag. A negative key or value length is null. length counts what follows it, to the byte.

// minRecordBytes is the size of a record with null key, null value and no header.
const minRecordBytes = 7

// Header is a header of a record.
type Header struct {
	Key   []byte
	Value []byte // nil is null
}

// Record is one record. Its bytes belong to the RecordIter that gave it.
type Record struct {
	Offset      int64 // base offset of the batch + delta
	Timestamp   int64 // milliseconds; the batch's time when that is of type log append time
	Key, Value  []byte
	HeaderCount int

	timestampDelta int64
	offsetDelta    int32
	attributes     int8
	headers        []byte // validated
	deltaAt        int    // where the offset delta starts in the record's bytes,
	deltaEnd       int    // and where it ends; record bytes start at the attributes
	body           []byte // the record's bytes
}

// AppendHeaders appends the record's headers to dst.
func (r *Record) AppendHeaders(dst []Header) []Header {
	i := 0
	for range r.HeaderCount {
		var h Header
		var ok bool
		if h.Key, i, ok = varbytes(r.headers, i); !ok {
			panic("BUG: kproto: headers of a record were validated and do not parse")
		}
		if h.Value, i, ok = varbytes(r.headers, i); !ok {
			panic("BUG: kproto: headers of a record were validated and do not parse")
		}
		dst = append(dst, h)
	}
	return dst
}

// varint32 reads a zigzag varint of at most 32 bits at b[i:]. next is -1 when there is none there, and when i is. One and two bytes,
// values from -8192 to 8191, are nearly all that occurs.
func varint32(b []byte, i int) (v int32, next int) {
	if uint(i) >= uint(len(b)) {
		return 0, -1
	}
	c := uint32(b[i])
	if c < 0x80 {
		return unzigzag32(c), i + 1
	}
	if i+1 < len(b) && b[i+1] < 0x80 {
		return unzigzag32(c&0x7f | uint32(b[i+1])<<7), i + 2
	}
	u, n := uvarint32(b[i:])
	if n <= 0 {
		return 0, -1
	}
	return unzigzag32(u), i + n
}

// varint64 is varint32 for 64 bits.
func varint64(b []byte, i int) (v int64, next int) {
	if uint(i) >= uint(len(b)) {
		return 0, -1
	}
	c := uint64(b[i])
	if c < 0x80 {
		return unzigzag64(c), i + 1
	}
	if i+1 < len(b) && b[i+1] < 0x80 {
		return unzigzag64(c&0x7f | uint64(b[i+1])<<7), i + 2
	}
	u, n := uvarint64(b[i:])
	if n <= 0 {
		return 0, -1
	}
	return unzigzag64(u), i + n
}

// varbytes reads nullable bytes at b[i:].
func varbytes(b []byte, i int) (v []byte, next int, ok bool) {
	n, i := varint32(b, i)
	if i < 0 {
		return nil, i, false
	}
	if n < 0 {
		return nil, i, true
	}
	if int(n) > len(b)-i {
		return nil, i, false
	}
	end := i + int(n)
	return b[i:end:end], end, true
}

// parse reads the record at the start of b. It returns the number of bytes taken, or 0 and what is wrong. Offset and Timestamp are
// left to the caller, who knows the batch.
func (r *Record) parse(b []byte) (n int, wrong string) {
	length, at := varint32(b, 0)
	if at < 0 || length < 0 || int(length) > len(b)-at {
		return 0, "record length"
	}
	n = at + int(length)
	b = b[at:n:n]
	if len(b) < minRecordBytes-1 {
		return 0, "record length"
	}
	r.body = b
	r.attributes = int8(b[0])
	i := 1
	var ok bool
	r.timestampDelta, r.deltaAt = varint64(b, i)
	if r.offsetDelta, r.deltaEnd = varint32(b, r.deltaAt); r.deltaEnd < 0 {
		return 0, "timestamp or offset delta"
	}
	if r.Key, i, ok = varbytes(b, r.deltaEnd); !ok {
		return 0, "key length"
	}
	if r.Value, i, ok = varbytes(b, i); !ok {
		return 0, "value length"
	}
	if i == len(b)-1 && b[i] == 0 { // no headers, nearly always
		r.HeaderCount, r.headers = 0, nil
		return n, ""
	}
	headers, i := varint32(b, i)
	if i < 0 || headers < 0 || int(headers) > (len(b)-i)/2 {
		return 0, "header count"
	}
	r.HeaderCount, r.headers = int(headers), b[i:]
	for range headers {
		var key []byte
		if key, i, ok = varbytes(b, i); !ok || key == nil {
			return 0, "header key length"
		}
		if _, i, ok = varbytes(b, i); !ok {
			return 0, "header value length"
		}
	}
	if i != len(b) {
		return 0, "record length: bytes behind the last header"
	}
	return n, ""
}

// RecordIter reads the records of batches, one batch after another. The zero value is ready.
//
//	if err := it.Reset(batch); err != nil { … }
//	for it.Next() { use(it.Record()) }
//	if err := it.Err(); err != nil { … }
//	it.Close()
type RecordIter struct {
	batch  Batch
	rest   []byte // records that are left
	index  int32
	record Record
	err    error
	buf    *[]byte // pooled memory of decompressed records, nil when they were not compressed
}

// Reset starts reading b, which must stay unchanged until the next Reset or Close. Compressed records are decompressed here, as a
// whole. The checksum is not verified. Errors match ErrCorruptBatch or ErrTooLarge.
func (it *RecordIter) Reset(b Batch) error {
	it.Close()
	if len(b) < BatchHeaderBytes {
		return it.start(b, nil, fmt.Errorf("%w: %d bytes, a header has %d", ErrCorruptBatch, len(b), BatchHeaderBytes))
	}
	if b.Codec() == CodecNone {
		return it.start(b, b.records(), nil)
	}
	it.buf = getBuffer()
	out, err := decompress((*it.buf)[:0], b.Codec(), b.records(), maxRecordsBytes)
	*it.buf = out
	return it.start(b, out, err)
}

func (it *RecordIter) start(b Batch, records []byte, err error) error {
	it.batch, it.rest, it.index, it.err = b, records, 0, err
	return err
}

// Next moves to the next record. It returns false at the end and on an error.
func (it *RecordIter) Next() bool {
	if it.err != nil || it.batch == nil {
		return false
	}
	if it.index >= it.batch.Count() {
		if len(it.rest) > 0 {
			it.err = fmt.Errorf("%w: %d bytes behind the last of %d records", ErrCorruptBatch, len(it.rest), it.batch.Count())
		}
		return false
	}
	n, wrong := it.record.parse(it.rest)
	if n == 0 {
		it.err = fmt.Errorf("%w: record %d of %d: bad %s", ErrCorruptBatch, it.index, it.batch.Count(), wrong)
		return false
	}
	it.rest = it.rest[n:]
	it.index++
	it.record.Offset = it.batch.BaseOffset() + int64(it.record.offsetDelta)
	it.record.Timestamp = it.batch.BaseTimestamp() + it.record.timestampDelta
	if it.batch.TimestampType() == 1 {
		it.record.Timestamp = it.batch.MaxTimestamp()
	}
	return true
}

// Record is the record that Next moved to. It is overwritten by the next call of Next; its bytes are valid until Reset or Close.
func (it *RecordIter) Record() *Record { return &it.record }

// Err is what ended the iteration early, nil at a proper end. It matches ErrCorruptBatch or ErrTooLarge.
func (it *RecordIter) Err() error { return it.err }

// Close returns memory to its pool. The iterator may be used again after a Reset.
func (it *RecordIter) Close() {
	if it.buf != nil {
		putBuffer(it.buf)
	}
	*it = RecordIter{}
}
