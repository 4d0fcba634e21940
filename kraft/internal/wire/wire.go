package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrMalformed is matched by every error of a Reader.
var ErrMalformed = errors.New("malformed")

// AppendUvarint appends v in base 128, least significant group first.
func AppendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// AppendVarint appends v zigzag-encoded.
func AppendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

// AppendString appends the length as uvarint and the bytes.
func AppendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// AppendBytes appends the length as uvarint and the bytes.
func AppendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// AppendBool appends one byte, 0 or 1.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// Reader decodes a byte slice. The first error sticks; after it every method returns zero values.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a Reader of b. The Reader keeps b; what Bytes returns aliases it.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is the first error.
func (r *Reader) Err() error { return r.err }

// Len is the number of bytes not read yet.
func (r *Reader) Len() int { return len(r.b) }

// Rest returns the bytes not read yet.
func (r *Reader) Rest() []byte { return r.b }

// Close reports the first error, or that bytes are left over.
func (r *Reader) Close() error {
	if r.err == nil && len(r.b) != 0 {
		r.Fail("%d bytes left over", len(r.b))
	}
	return r.err
}

// Fail records an error unless there is one already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

// Uvarint reads what AppendUvarint wrote.
func (r *Reader) Uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.Fail("truncated or oversized varint")
		return 0
	}
	if n > 1 && r.b[n-1] == 0 {
		r.Fail("varint is not minimal")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads what AppendVarint wrote.
func (r *Reader) Varint() int64 {
	u := r.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// Int32 reads a varint that must fit 32 bits.
func (r *Reader) Int32() int32 {
	v := r.Varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.Fail("%d does not fit 32 bits", v)
		return 0
	}
	return int32(v)
}

// Int16 reads a varint that must fit 16 bits.
func (r *Reader) Int16() int16 {
	v := r.Varint()
	if v < math.MinInt16 || v > math.MaxInt16 {
		r.Fail("%d does not fit 16 bits", v)
		return 0
	}
	return int16(v)
}

// Uint16 reads a uvarint that must fit 16 bits.
func (r *Reader) Uint16() uint16 {
	v := r.Uvarint()
	if v > math.MaxUint16 {
		r.Fail("%d does not fit 16 bits", v)
		return 0
	}
	return uint16(v)
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if r.err != nil || len(r.b) == 0 {
		r.Fail("truncated")
		return 0
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

// Bool reads what AppendBool wrote.
func (r *Reader) Bool() bool {
	b := r.Byte()
	if b > 1 {
		r.Fail("boolean is %d", b)
	}
	return b == 1
}

// Bytes reads what AppendBytes wrote. The result aliases the input.
func (r *Reader) Bytes() []byte {
	n := r.Uvarint()
	return r.Take(n)
}

// Take reads n bytes. The result aliases the input.
func (r *Reader) Take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.b)) {
		r.Fail("%d bytes wanted, %d left", n, len(r.b))
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// String reads what AppendString wrote.
func (r *Reader) String() string { return string(r.Bytes()) }

// Array reads into dst, exactly len(dst) bytes.
func (r *Reader) Array(dst []byte) { copy(dst, r.Take(uint64(len(dst)))) }

// Count reads the number of items that follow, each of at least minBytes bytes (>= 1), and refuses a number that the rest of
// the input cannot hold: the caller may allocate that many.
func (r *Reader) Count(minBytes int) int {
	n := r.Uvarint()
	if r.err != nil {
		return 0
	}
	if n > uint64(len(r.b)/minBytes) {
		r.Fail("count %d, but only %d bytes left", n, len(r.b))
		return 0
	}
	return int(n)
}
