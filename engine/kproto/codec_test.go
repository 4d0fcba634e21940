package kproto

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

var codecs = []Codec{CodecGzip, CodecSnappy, CodecLZ4, CodecZstd}

// payloads of every kind that codecs treat differently.
func payloads() map[string][]byte {
	rng := rand.NewChaCha8([32]byte{1})
	random := make([]byte, 300<<10)
	rng.Read(random)
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog, "), 5000)
	return map[string][]byte{
		"one byte": {7}, "few": []byte("few bytes"), "zeroes": make([]byte, 1<<20), "random": random, "text": text,
		"mixed": append(append(bytes.Clone(random[:100<<10]), text...), random[:70<<10]...),
	}
}

func TestCodecRoundTrip(t *testing.T) {
	for name, src := range payloads() {
		for _, c := range codecs {
			for _, level := range []int{0, -2, 1, 3, 5, 9, 12, 19, 23} {
				packed := compress([]byte("header"), c, level, src)
				if string(packed[:6]) != "header" {
					t.Fatalf("%s %s: compress does not append", c, name)
				}
				got, err := decompress(nil, c, packed[6:], maxDecompressed(len(packed)))
				if err != nil || !bytes.Equal(got, src) {
					t.Fatalf("%s level %d %s: %d bytes, want %d: %v", c, level, name, len(got), len(src), err)
				}
				if c == CodecSnappy || len(src) > 1<<18 && level == 3 {
					break // no levels, or slow enough already
				}
			}
		}
	}
}

// What we write must be readable by others, and what others write by us.
func TestCodecsAgainstOthers(t *testing.T) {
	for name, src := range payloads() {
		zr, err := gzip.NewReader(bytes.NewReader(compress(nil, CodecGzip, 0, src)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(zr); err != nil || !bytes.Equal(got, src) {
			t.Errorf("gzip %s: %v", name, err)
		}
		if got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(compress(nil, CodecLZ4, 0, src)))); err != nil || !bytes.Equal(got, src) {
			t.Errorf("lz4 %s: %v", name, err)
		}
		for what, in := range foreign(t, src) {
			if got, err := decompress(nil, what.codec, in, maxDecompressed(len(in))); err != nil || !bytes.Equal(got, src) {
				t.Errorf("%s, %s: %d bytes, want %d: %v", what.name, name, len(got), len(src), err)
			}
		}
	}
}

type foreignCodec struct {
	codec Codec
	name  string
}

// foreign compresses src in the ways that clients do and we do not.
func foreign(t testing.TB, src []byte) map[foreignCodec][]byte {
	out := map[foreignCodec][]byte{{CodecSnappy, "bare block"}: snappy.Encode(nil, src)}
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	zw.Name = "records"
	half := len(src) / 2
	zw.Write(src[:half])
	zw.Close()
	zw.Reset(&buf) // a second member
	zw.Write(src[half:])
	zw.Close()
	out[foreignCodec{CodecGzip, "two members"}] = bytes.Clone(buf.Bytes())
	for name, opts := range map[string][]lz4.Option{
		"4 MiB blocks":    {lz4.BlockSizeOption(lz4.Block4Mb)},
		"64 KiB, linked?": {lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(true), lz4.BlockChecksumOption(true), lz4.SizeOption(uint64(len(src)))},
		"high":            {lz4.CompressionLevelOption(lz4.Level5), lz4.ChecksumOption(false)},
	} {
		buf.Reset()
		lw := lz4.NewWriter(&buf)
		if err := lw.Apply(opts...); err != nil {
			t.Fatal(err)
		}
		lw.Write(src)
		lw.Close()
		out[foreignCodec{CodecLZ4, name}] = bytes.Clone(buf.Bytes())
	}
	buf.Reset()
	sw, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1)) // no content size
	if err != nil {
		t.Fatal(err)
	}
	sw.Write(src[:half])
	sw.Flush()
	sw.Write(src[half:])
	sw.Close()
	out[foreignCodec{CodecZstd, "stream"}] = bytes.Clone(buf.Bytes())
	return out
}

// linkedLZ4 is a frame whose second block refers to the first, as the C library writes by default.
func linkedLZ4(t *testing.T, first, second []byte) []byte {
	f := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	f = append(f, lz4Version, 4<<4)
	f = append(f, byte(xxh32(f[4:])>>8))
	f = binary.LittleEndian.AppendUint32(f, uint32(len(first))|lz4Stored)
	f = append(f, first...)
	// One sequence: no literals, then a match of len(second)-5 bytes at distance len(first), then the last 5 bytes as literals.
	match := len(second) - 5
	if !bytes.Equal(second[:match], first[:match]) || match < 4+15 || match >= 4+15+255 {
		t.Fatal("the second block does not start like the first")
	}
	block := []byte{0x0f, byte(len(first)), byte(len(first) >> 8), byte(match - 4 - 15), 5 << 4}
	block = append(block, second[match:]...)
	f = binary.LittleEndian.AppendUint32(f, uint32(len(block)))
	f = append(f, block...)
	return binary.LittleEndian.AppendUint32(f, 0)
}

func TestLZ4LinkedBlocks(t *testing.T) {
	first := payloads()["text"][:200]
	second := append(bytes.Clone(first[:100]), "12345"...)
	frame := linkedLZ4(t, first, second)
	want := append(bytes.Clone(first), second...)
	if got, err := decompress(nil, CodecLZ4, frame, 4096); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, want %d: %v", len(got), len(want), err)
	}
	if got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(frame))); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the frame is not what it should be: %v", err)
	}
}

// The limit is exact: as many bytes as allowed pass, one more does not, however the data is made up.
func TestDecompressLimit(t *testing.T) {
	for name, src := range payloads() {
		inputs := foreign(t, src)
		for _, c := range codecs {
			inputs[foreignCodec{c, "own"}] = compress(nil, c, 0, src)
		}
		for what, in := range inputs {
			if got, err := decompress(nil, what.codec, in, len(src)); err != nil || !bytes.Equal(got, src) {
				t.Errorf("%s %s of %s: limit %d: %v", what.codec, what.name, name, len(src), err)
			}
			for _, limit := range []int{len(src) - 1, len(src) / 2, 0} {
				got, err := decompress(nil, what.codec, in, limit)
				if !errors.Is(err, ErrTooLarge) || cap(got) > 2*limit+8192 {
					t.Errorf("%s %s of %s, %d bytes: limit %d, memory %d: %v", what.codec, what.name, name, len(src), limit, cap(got), err)
				}
			}
		}
	}
}

// Few bytes that announce much must not make us allocate much.
func TestDecompressBombs(t *testing.T) {
	zeroes := make([]byte, 12<<20)
	for _, c := range codecs {
		bomb := compress(nil, c, 0, zeroes)
		limit := maxDecompressed(len(bomb))
		got, err := decompress(nil, c, bomb, limit)
		if len(zeroes) <= limit {
			if err != nil {
				t.Errorf("%s: %d bytes of %d: %v", c, len(zeroes), len(bomb), err)
			}
			continue
		}
		if !errors.Is(err, ErrTooLarge) || cap(got) > 2*limit {
			t.Errorf("%s: %d bytes become %d, limit %d: memory %d, error %v", c, len(bomb), len(zeroes), limit, cap(got), err)
		}
	}
	announce := map[string]struct {
		codec Codec
		in    []byte
	}{
		"snappy block of 4 GB": {CodecSnappy, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1}},
		"snappy block of 3 MB": {CodecSnappy, []byte{0x80, 0x80, 0xc0, 0x01, 0, 1}},
		"snappy chunk":         {CodecSnappy, append(bytes.Clone(xerialHeader), 0x7f, 0xff, 0xff, 0xff, 1)},
		"lz4 block":            {CodecLZ4, append(lz4Header(lz4Version|lz4FlagIndependent, 7<<4), 0xff, 0xff, 0x3f, 0, 0x0f)},
		"zstd content size":    {CodecZstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0x30, 0, 0, 0, 0, 0, 1, 0, 0}},
		"zstd window":          {CodecZstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 1, 0, 0}},
	}
	for name, a := range announce {
		got, err := decompress(nil, a.codec, a.in, maxDecompressed(len(a.in)))
		if cap(got) > 4<<20+8192 || len(got) > 0 {
			t.Errorf("%s: memory %d, error %v", name, cap(got), err)
		}
	}
}

func lz4Header(flags, blockSize byte) []byte {
	h := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	h = append(h, flags, blockSize)
	return append(h, byte(xxh32(h[4:])>>8))
}

func TestDecompressDamage(t *testing.T) {
	src := payloads()["text"][:10000]
	for _, c := range codecs {
		packed := compress(nil, c, 0, src)
		for n := range packed {
			if got, err := decompress(nil, c, packed[:n], 1<<20); err == nil && (c != CodecSnappy || !bytes.HasPrefix(src, got)) {
				t.Errorf("%s: %d of %d bytes were taken", c, n, len(packed))
			} else if err != nil && !errors.Is(err, ErrCorruptBatch) {
				t.Errorf("%s: %d of %d bytes: %v", c, n, len(packed), err)
			}
		}
	}
	for _, c := range []Codec{CodecNone, CodecProducer, 5, 6, 7} {
		if _, err := decompress(nil, c, src, 1<<20); !errors.Is(err, ErrCorruptBatch) {
			t.Errorf("%s: %v", c, err)
		}
	}
	if _, err := decompress(nil, CodecLZ4, append(compress(nil, CodecLZ4, 0, src), 1), 1<<20); err == nil {
		t.Error("bytes behind an lz4 frame were taken")
	}
}

// S2 is snappy with more elements, which the decoders of consumers do not know.
func TestS2IsNotSnappy(t *testing.T) {
	src := make([]byte, 10000)
	in := s2.Encode(nil, src)
	if got, err := s2.Decode(nil, in); err != nil || !bytes.Equal(got, src) {
		t.Fatal(err)
	}
	if _, err := decompress(nil, CodecSnappy, in, 1<<20); !errors.Is(err, ErrCorruptBatch) {
		t.Errorf("error %v", err)
	}
	for name, src := range payloads() {
		if !plainSnappy(snappy.Encode(nil, src)) {
			t.Errorf("%s: a snappy block was taken for S2", name)
		}
	}
}

func TestXXH32(t *testing.T) {
	// Vectors of the reference implementation with seed 0.
	for in, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff, "Nobody inspects the spammish repetition": 0xe2293b2f} {
		if got := xxh32([]byte(in)); got != want {
			t.Errorf("%q: %08x, want %08x", in, got, want)
		}
	}
}

func TestParseCodec(t *testing.T) {
	for name, want := range map[string]Codec{"producer": -1, "uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4} {
		if c, ok := ParseCodec(name); !ok || c != want || c.String() != name {
			t.Errorf("%s: %v, %v", name, c, ok)
		}
	}
	if _, ok := ParseCodec("brotli"); ok || Codec(6).String() != "codec 6" {
		t.Error("a codec that does not exist is known")
	}
}

// FuzzDecompress feeds damaged data: an error is fine; memory beyond the limit, or output that differs from a second try, is not.
func FuzzDecompress(f *testing.F) {
	for _, src := range [][]byte{[]byte("few bytes"), payloads()["text"][:3000], make([]byte, 5000)} {
		for _, c := range codecs {
			f.Add(int8(c), compress(nil, c, 0, src))
		}
		for what, in := range foreign(f, src) {
			f.Add(int8(what.codec), in)
		}
	}
	f.Fuzz(func(t *testing.T, codec int8, in []byte) {
		const limit = 1 << 20
		got, err := decompress(nil, Codec(codec), in, limit)
		if len(got) > limit || cap(got) > 2*limit {
			t.Fatalf("%d bytes in memory of %d, limit %d", len(got), cap(got), limit)
		}
		if err != nil {
			if !errors.Is(err, ErrCorruptBatch) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("error %v matches nothing", err)
			}
			return
		}
		dirty := bytes.Repeat([]byte{0xee}, 512)[:0]
		if again, err := decompress(dirty, Codec(codec), in, limit); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("second try: %d bytes, want %d: %v", len(again), len(got), err)
		}
		want, err := referenceDecompress(Codec(codec), in)
		if err == nil && !bytes.Equal(want, got) {
			t.Fatalf("%d bytes, the library's stream reader gives %d", len(got), len(want))
		}
	})
}

// referenceDecompress uses other code than decompress where there is some.
func referenceDecompress(c Codec, in []byte) ([]byte, error) {
	switch c {
	case CodecGzip:
		r, err := gzip.NewReader(bytes.NewReader(in))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case CodecLZ4:
		return io.ReadAll(lz4.NewReader(bytes.NewReader(in)))
	case CodecZstd:
		r, err := zstd.NewReader(bytes.NewReader(in), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return nil, fmt.Errorf("no reference for %s", c)
}

func FuzzCompress(f *testing.F) {
	f.Add(int8(1), 0, []byte("few bytes"))
	f.Add(int8(3), 5, make([]byte, 70<<10))
	f.Fuzz(func(t *testing.T, codec int8, level int, src []byte) {
		c := Codec(codec&3) + 1
		packed := compress(nil, c, level, src)
		if len(src) == 0 {
			return
		}
		if got, err := decompress(nil, c, packed, len(src)); err != nil || !bytes.Equal(got, src) {
			t.Fatalf("%s: %d bytes, want %d: %v", c, len(got), len(src), err)
		}
	})
}
