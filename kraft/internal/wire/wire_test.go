package wire

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestOnlyTheShortestVarint(t *testing.T) {
	for _, b := range [][]byte{{0x80, 0x00}, {0x81, 0x80, 0x00}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, {0x80}, {}} {
		r := NewReader(b)
		if v := r.Uvarint(); v != 0 || !errors.Is(r.Err(), ErrMalformed) {
			t.Errorf("%x reads as %d, %v", b, v, r.Err())
		}
	}
	for _, v := range []int64{0, -1, 1, math.MaxInt64, math.MinInt64, math.MaxInt32 + 1} {
		r := NewReader(AppendVarint(nil, v))
		if got := r.Varint(); got != v || r.Close() != nil {
			t.Errorf("%d reads as %d, %v", v, got, r.Err())
		}
	}
}

func TestBounds(t *testing.T) {
	for name, read := range map[string]func(*Reader){
		"int32":  func(r *Reader) { r.Int32() },
		"int16":  func(r *Reader) { r.Int16() },
		"uint16": func(r *Reader) { r.Uint16() },
		"bytes":  func(r *Reader) { r.Bytes() },
		"string": func(r *Reader) { _ = r.String() },
		"count":  func(r *Reader) { r.Count(1) },
		"bool":   func(r *Reader) { r.Bool() },
		"array":  func(r *Reader) { r.Array(make([]byte, 100)) },
	} {
		r := NewReader(AppendUvarint(nil, math.MaxUint64-1))
		if read(r); !errors.Is(r.Err(), ErrMalformed) {
			t.Errorf("%s takes 2^64-2", name)
		}
		first := r.Err()
		if read(r); r.Err() != first || r.Len() != 0 {
			t.Errorf("%s: the first error does not stick", name)
		}
	}
	// 10 items of at least 3 bytes do not fit 29.
	if r := NewReader(append(AppendUvarint(nil, 10), make([]byte, 29)...)); r.Count(3) != 0 || r.Err() == nil {
		t.Error("count beyond the input")
	}
	if r := NewReader(append(AppendUvarint(nil, 10), make([]byte, 30)...)); r.Count(3) != 10 || r.Err() != nil {
		t.Error("count that fits")
	}
	r := NewReader([]byte{1, 2})
	r.Byte()
	if r.Close() == nil {
		t.Error("a byte is left over")
	}
}

// FuzzReader reads any mixture of fields, and writes them again.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, AppendBool(AppendString(AppendVarint(AppendUvarint(nil, 300), -5), "text"), true))
	f.Fuzz(func(t *testing.T, fields, b []byte) {
		r := NewReader(b)
		var out []byte
		for _, k := range fields {
			switch k % 6 {
			case 0:
				out = AppendUvarint(out, r.Uvarint())
			case 1:
				out = AppendVarint(out, r.Varint())
			case 2:
				out = AppendString(out, r.String())
			case 3:
				out = AppendBool(out, r.Bool())
			case 4:
				out = append(out, r.Byte())
			case 5:
				s := r.Bytes()
				if len(s) != cap(s) {
					t.Fatal("an append would overwrite what follows")
				}
				out = AppendBytes(out, s)
			}
			if r.Err() != nil {
				return
			}
		}
		if read := b[:len(b)-r.Len()]; !bytes.Equal(out, read) {
			t.Fatalf("%x is written as %x", read, out)
		}
	})
}
