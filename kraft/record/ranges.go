package record

import "github.com/ringmq/ringmq/kraft/internal/wire"

// minRangeBytes is the least that one encoded range takes.
const minRangeBytes = 6

// AppendRanges appends a count and the ranges.
func AppendRanges(dst []byte, ranges []Range) []byte {
	dst = wire.AppendUvarint(dst, uint64(len(ranges)))
	for _, r := range ranges {
		dst = wire.AppendVarint(dst, int64(r.Stream))
		dst = wire.AppendVarint(dst, r.Epoch)
		dst = wire.AppendVarint(dst, r.Start)
		dst = wire.AppendVarint(dst, r.End)
		dst = wire.AppendVarint(dst, r.Bytes)
		dst = wire.AppendVarint(dst, r.MaxTimestamp)
	}
	return dst
}

// ReadRanges reads what AppendRanges wrote; nil if there are none.
func ReadRanges(d *wire.Reader) []Range {
	n := d.Count(minRangeBytes)
	if n == 0 {
		return nil
	}
	ranges := make([]Range, n)
	for i := range ranges {
		ranges[i] = Range{
			Stream: StreamID(d.Varint()), Epoch: d.Varint(), Start: d.Varint(), End: d.Varint(),
			Bytes: d.Varint(), MaxTimestamp: d.Varint(),
		}
	}
	return ranges
}

// AppendObjectIDs appends a count and the ids.
func AppendObjectIDs(dst []byte, ids []ObjectID) []byte {
	dst = wire.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		dst = wire.AppendVarint(dst, int64(id))
	}
	return dst
}

// ReadObjectIDs reads what AppendObjectIDs wrote; nil if there are none.
func ReadObjectIDs(d *wire.Reader) []ObjectID {
	n := d.Count(1)
	if n == 0 {
		return nil
	}
	ids := make([]ObjectID, n)
	for i := range ids {
		ids[i] = ObjectID(d.Varint())
	}
	return ids
}
