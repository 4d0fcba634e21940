package wire

import "encoding/binary"

// AppendInt16 and the functions below append what the methods of Reader read. Compact is meant where there are two forms.
func AppendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }

// AppendInt32 appends an int32.
func AppendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }

// AppendInt64 appends an int64.
func AppendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// AppendUvarint appends an unsigned varint.
func AppendUvarint(dst []byte, v int) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// AppendLen appends the length of a compact array.
func AppendLen(dst []byte, n int) []byte { return AppendUvarint(dst, n+1) }

// AppendString appends a compact string.
func AppendString(dst []byte, s string) []byte { return append(AppendLen(dst, len(s)), s...) }

// AppendNullableString appends a compact string or null.
func AppendNullableString(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, 0)
	}
	return AppendString(dst, *s)
}

// AppendBytes appends compact bytes.
func AppendBytes(dst, b []byte) []byte { return append(AppendLen(dst, len(b)), b...) }

// AppendShortString appends a string with an int16 length, as keys have them. REQUIRES: it is not longer than that allows.
func AppendShortString(dst []byte, s string) []byte {
	return append(AppendInt16(dst, int16(len(s))), s...)
}

// AppendTag appends one tagged field.
func AppendTag(dst []byte, tag int, field []byte) []byte {
	dst = AppendUvarint(dst, tag)
	return append(AppendUvarint(dst, len(field)), field...)
}
