package kproto

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is matched by every error of a request decoder: the bytes are not a request of that key and version. The
// connection that sent them cannot be trusted to be in step any more and is closed.
var ErrMalformed = errors.New("kproto: malformed")

// DecodeError says what was being decoded and what is wrong with it. It matches ErrMalformed.
type DecodeError struct {
	What    string // "Produce request"
	Version int16
	Bytes   int // length of the input
	Reason  string
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("kproto: malformed: %s v%d of %d bytes: %s", e.What, e.Version, e.Bytes, e.Reason)
}

func (e *DecodeError) Is(target error) bool { return target == ErrMalformed }

// fault is the first thing that went wrong in a reader. Small, so that the reading methods stay cheap enough to be inlined.
type fault uint8

const (
	sound fault = iota
	truncated
	negativeLength
	nullField
	overlongVarint
	badTag
)

var faultReason = [...]string{
	sound:          "no fault",
	truncated:      "ends too early",
	negativeLength: "a length or count is negative",
	nullField:      "a field that must not be null is null",
	overlongVarint: "a varint does not fit in 32 bits",
	badTag:         "a known tagged field has the wrong size",
}

// reader takes primitives off the front of b. After the first fault b is empty and every read returns a zero value, so that callers
// check once, at the end; loops check ok, since a count read before the fault may be large.
type reader struct {
	b     []byte
	fault fault
}

func (r *reader) ok() bool { return r.fault == sound }

func (r *reader) fail(f fault) {
	if r.fault == sound {
		r.fault = f
	}
	r.b = nil
}

func (r *reader) err(what string, version int16, size int) error {
	if r.fault == sound {
		return nil
	}
	return &DecodeError{What: what, Version: version, Bytes: size, Reason: faultReason[r.fault]}
}

func (r *reader) int8() int8 {
	if len(r.b) < 1 {
		r.fail(truncated)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return int8(v)
}

func (r *reader) int16() int16 {
	if len(r.b) < 2 {
		r.fail(truncated)
		return 0
	}
	v := binary.BigEndian.Uint16(r.b)
	r.b = r.b[2:]
	return int16(v)
}

func (r *reader) int32() int32 {
	if len(r.b) < 4 {
		r.fail(truncated)
		return 0
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return int32(v)
}

func (r *reader) int64() int64 {
	if len(r.b) < 8 {
		r.fail(truncated)
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return int64(v)
}

func (r *reader) uuid() (id [16]byte) {
	if len(r.b) < 16 {
		r.fail(truncated)
		return id
	}
	copy(id[:], r.b)
	r.b = r.b[16:]
	return id
}

// uvarint reads an unsigned varint of at most 32 bits.
func (r *reader) uvarint() uint32 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint32(r.b[0])
		r.b = r.b[1:]
		return v
	}
	return r.uvarintSlow()
}

func (r *reader) uvarintSlow() uint32 {
	v, n := uvarint32(r.b)
	if n <= 0 {
		if n == 0 {
			r.fail(truncated)
		} else {
			r.fail(overlongVarint)
		}
		return 0
	}
	r.b = r.b[n:]
	return v
}

// span takes n bytes, capped so that an append cannot reach the bytes behind them.
func (r *reader) span(n int) []byte {
	if n < 0 || n > len(r.b) {
		if n < 0 {
			r.fail(negativeLength)
		} else {
			r.fail(truncated)
		}
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

// nullableBytes reads bytes with a length of 32 bits, or a compact length. nil is null; empty bytes are not nil.
func (r *reader) nullableBytes(compact bool) []byte {
	n := r.length32(compact)
	if n == -1 {
		return nil
	}
	return r.span(n)
}

// nullableString reads a string, in place. nil is null.
func (r *reader) nullableString(compact bool) []byte {
	var n int
	if compact {
		n = int(r.uvarint()) - 1
	} else {
		n = int(r.int16())
	}
	if n == -1 || !r.ok() {
		return nil
	}
	return r.span(n)
}

// string reads a string that must not be null, in place.
func (r *reader) string(compact bool) []byte {
	s := r.nullableString(compact)
	if s == nil {
		r.fail(nullField)
	}
	return s
}

// count reads the length of an array that must not be null. Each element takes at least minBytes, so a larger count than the
// bytes that are left is found before anything is allocated for it.
func (r *reader) count(compact bool, minBytes int) int {
	n := r.length32(compact)
	switch {
	case !r.ok():
		return 0
	case n < 0:
		r.fail(nullField)
		return 0
	case n > len(r.b)/minBytes:
		r.fail(truncated)
		return 0
	}
	return n
}

// length32 reads a length or count: -1 is null, less is a fault.
func (r *reader) length32(compact bool) int {
	if compact {
		return int(r.uvarint()) - 1
	}
	n := int(r.int32())
	if n < -1 {
		r.fail(negativeLength)
	}
	return n
}

// skipTags passes over a section of tagged fields.
func (r *reader) skipTags() {
	if len(r.b) > 0 && r.b[0] == 0 { // nearly always
		r.b = r.b[1:]
		return
	}
	for n := r.uvarint(); n > 0 && r.ok(); n-- {
		r.tag()
	}
}

// tag reads one tagged field.
func (r *reader) tag() (key uint32, value []byte) {
	key = r.uvarint()
	n := r.uvarint()
	if uint64(n) > uint64(len(r.b)) {
		r.fail(truncated)
		return 0, nil
	}
	return key, r.span(int(n))
}

// uvarint32 reads an unsigned varint of at most 32 bits at the start of b. n is the number of bytes taken, 0 when b ends too
// early, -1 when the value does not fit.
func uvarint32(b []byte) (v uint32, n int) {
	for i := 0; i < len(b) && i < 5; i++ {
		c := b[i]
		if c < 0x80 {
			if i == 4 && c > 0x0f {
				return 0, -1
			}
			return v | uint32(c)<<(7*i), i + 1
		}
		v |= uint32(c&0x7f) << (7 * i)
	}
	if len(b) < 5 {
		return 0, 0
	}
	return 0, -1
}

// uvarint64 is uvarint32 for 64 bits.
func uvarint64(b []byte) (v uint64, n int) {
	for i := 0; i < len(b) && i < 10; i++ {
		c := b[i]
		if c < 0x80 {
			if i == 9 && c > 1 {
				return 0, -1
			}
			return v | uint64(c)<<(7*i), i + 1
		}
		v |= uint64(c&0x7f) << (7 * i)
	}
	if len(b) < 10 {
		return 0, 0
	}
	return 0, -1
}

func unzigzag32(u uint32) int32 { return int32(u>>1) ^ -int32(u&1) }
func unzigzag64(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
