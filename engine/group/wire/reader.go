package wire

import "encoding/binary"

// Reader reads Kafka's primitive types. The first violation makes it bad, and all it returns from then on is zero.
type Reader struct {
	B   []byte // not read yet; sub-slices of it are returned
	Bad bool   // something did not fit
}

// take returns the next n bytes.
func (r *Reader) take(n int) []byte {
	if r.Bad || n < 0 || n > len(r.B) {
		r.Bad, r.B = true, nil
		return nil
	}
	taken := r.B[:n:n]
	r.B = r.B[n:]
	return taken
}

// Int16 reads an int16.
func (r *Reader) Int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

// Int32 reads an int32.
func (r *Reader) Int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Int64 reads an int64.
func (r *Reader) Int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *Reader) uvarint() int {
	v, n := binary.Uvarint(r.B)
	if r.Bad || n <= 0 || n > 5 || v > 1<<32-1 {
		r.Bad, r.B = true, nil
		return 0
	}
	r.B = r.B[n:]
	return int(v)
}

// length reads a length field: -1 is null.
func (r *Reader) length(compact, short bool) int {
	switch {
	case compact:
		return r.uvarint() - 1
	case short:
		return int(r.Int16())
	default:
		return int(r.Int32())
	}
}

// String reads a string, as a part of the input.
func (r *Reader) String(compact bool) []byte { return r.take(r.length(compact, true)) }

// NullableString reads a string or null.
func (r *Reader) NullableString(compact bool) *string {
	n := r.length(compact, true)
	if n == -1 {
		return nil
	}
	s := string(r.take(n))
	return &s
}

// Bytes returns a copy.
func (r *Reader) Bytes(compact bool) []byte {
	return append([]byte{}, r.take(r.length(compact, false))...)
}

// ArrayLen reads the number of elements, which take at least minSize bytes each.
func (r *Reader) ArrayLen(compact bool, minSize int) int {
	n := r.length(compact, false)
	if n < 0 || n > len(r.B)/minSize {
		r.Bad, r.B = true, nil
		return 0
	}
	return n
}

// Tags skips tagged fields.
func (r *Reader) Tags() {
	for n := r.uvarint(); n > 0 && !r.Bad; n-- {
		r.uvarint()
		r.take(r.uvarint())
	}
}

// Int8 reads an int8.
func (r *Reader) Int8() int8 {
	if b := r.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

// UUID reads a uuid.
func (r *Reader) UUID() (id [16]byte) {
	copy(id[:], r.take(16))
	return id
}

// EachTag calls fn with the number of each tagged field and a reader of its bytes. What fn leaves unread is skipped.
func (r *Reader) EachTag(fn func(tag int, field *Reader)) {
	for n := r.uvarint(); n > 0 && !r.Bad; n-- {
		tag := r.uvarint()
		field := Reader{B: r.take(r.uvarint())}
		if r.Bad {
			return
		}
		fn(tag, &field)
		r.Bad = r.Bad || field.Bad
	}
}

// Nullable reads the marker of a struct that may be null, and reports whether there is one.
func (r *Reader) Nullable() bool { return r.Int8() >= 0 }
