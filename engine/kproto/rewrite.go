package kproto

import (
	"encoding/binary"
	"errors"
)

// rewrite returns a batch with the header of b and the records raw, compressed with codec. renumber gives the records the offset
// deltas 0, 1, 2 …. raw has been checked. The result lies in *scratch when that is given.
func (b Batch) rewrite(scratch *[]byte, raw []byte, codec Codec, level int, renumber bool, maxTimestamp int64) Batch {
	var out []byte
	if scratch != nil {
		out = (*scratch)[:0]
	} else {
		out = make([]byte, 0, len(b)+len(b)/8)
	}
	out = append(out, b[:BatchHeaderBytes]...)
	switch {
	case renumber && codec == CodecNone:
		out = appendRenumbered(out, raw)
	case renumber:
		buf := getBuffer()
		*buf = appendRenumbered((*buf)[:0], raw)
		out = compress(out, codec, level, *buf)
		putBuffer(buf)
	default:
		out = compress(out, codec, level, raw)
	}
	if scratch != nil {
		*scratch = out
	}
	n := Batch(out[:len(out):len(out)])
	n.finish(codec, maxTimestamp)
	return n
}

// finish sets the fields of a header that depend on what follows it.
func (b Batch) finish(codec Codec, maxTimestamp int64) {
	binary.BigEndian.PutUint32(b[offLength:], uint32(len(b)-lengthOverhead))
	b[offAttributes+1] = b[offAttributes+1]&^attrCodec | byte(codec)
	b.setMaxTimestamp(maxTimestamp)
}

// appendRenumbered appends the records of raw with offset deltas 0, 1, 2 ….
func appendRenumbered(dst, raw []byte) []byte {
	var r Record
	for i := int64(0); len(raw) > 0; i++ {
		n, wrong := r.parse(raw)
		if n == 0 {
			panic("BUG: kproto: a checked record does not parse: " + wrong)
		}
		raw = raw[n:]
		length := len(r.body) - (r.deltaEnd - r.deltaAt) + varintLen(i)
		dst = appendVarint(dst, int64(length))
		dst = append(dst, r.body[:r.deltaAt]...)
		dst = appendVarint(dst, i)
		dst = append(dst, r.body[r.deltaEnd:]...)
	}
	return dst
}

// refuseCompressed says why records that do not decompress are refused.
func refuseCompressed(err error) *BatchError {
	if errors.Is(err, ErrTooLarge) {
		return refuse(MessageTooLarge, "%v", err) // the producer splits the batch
	}
	return refuse(CorruptMessage, "%v", err)
}
