package kproto

import (
	"errors"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdMaxWindow is the largest window that the reference decoder takes by default (and the highest level asks for). Decoding a
// whole frame at once keeps no window of its own, so it costs nothing to allow.
const zstdMaxWindow = 128 << 20

var zstdDecoders = sync.Pool{New: func() any {
	// The output never grows beyond the slice that it is given: we hand out the memory (see unzstd).
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(2*zstdMaxWindow), zstd.WithDecoderMaxWindow(zstdMaxWindow))
	if err != nil {
		panic("BUG: kproto: zstd decoder options: " + err.Error())
	}
	return d
}}

func unzstd(dst, src []byte, limit int) ([]byte, error) {
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	want := min(max(4*len(src), 4096), limit)
	var h zstd.Header
	if err := h.Decode(src); err == nil && h.HasFCS {
		if h.FrameContentSize > uint64(limit) {
			return dst, ErrTooLarge
		}
		want = int(h.FrameContentSize)
	}
	dst = slices.Grow(dst, want)
	for {
		room := dst[len(dst):len(dst):min(cap(dst), limit)]
		out, err := d.DecodeAll(src, room)
		if err == nil {
			return dst[:len(dst)+len(out)], nil
		}
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return dst, err
		}
		if dst, err = double(dst, limit); err != nil {
			return dst, err
		}
	}
}

// zstdEncoders is indexed by the library's level, 1 to 4.
var zstdEncoders [zstd.SpeedBestCompression + 1]sync.Pool

func zstdTo(dst, src []byte, level int) []byte {
	if level == 0 {
		level = 3
	}
	speed := zstd.EncoderLevelFromZstd(level)
	e, _ := zstdEncoders[speed].Get().(*zstd.Encoder)
	if e == nil {
		var err error
		e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			panic("BUG: kproto: zstd encoder options: " + err.Error())
		}
	}
	dst = e.EncodeAll(src, dst)
	zstdEncoders[speed].Put(e)
	return dst
}
