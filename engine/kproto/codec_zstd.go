package kproto

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdMaxWindow is the largest window that the reference decoder takes by default (and the highest level asks for). Decoding a
	// whole frame at once keeps no window beside the result, so it costs nothing to allow.
	zstdMaxWindow = 128 << 20

	// zstdStreamWindow bounds the window of a frame that has to be decoded piece by piece, which takes memory for it.
	zstdStreamWindow = 8 << 20

	// zstdBlockBytes is the most that a block can become.
	zstdBlockBytes = 128 << 10

	// zstdSlack is how much room behind its result the library likes to have; with less it is slower.
	zstdSlack = 64
)

var errZstd = errors.New("bad zstd frame")

var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(2*zstdMaxWindow), zstd.WithDecoderMaxWindow(zstdMaxWindow))
	if err != nil {
		panic("BUG: kproto: zstd decoder options: " + err.Error())
	}
	return d
}}

func unzstd(dst, src []byte, limit int) ([]byte, error) {
	most, err := zstdBound(src)
	if err != nil {
		return dst, err
	}
	if most > limit-len(dst)+zstdBlockBytes {
		return unzstdStream(dst, src, limit)
	}
	dst = slices.Grow(dst, most+zstdSlack)
	d := zstdDecoders.Get().(*zstd.Decoder)
	out, err := d.DecodeAll(src, dst)
	zstdDecoders.Put(d)
	if len(out) > limit {
		return dst, ErrTooLarge
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// zstdBound walks over the block headers and returns what src can become at most. The library grows its result as it goes, up to
// one fixed limit for all; knowing this bound we hand it enough memory at the start, or none.
func zstdBound(src []byte) (most int, err error) {
	if len(src) == 0 {
		return 0, errZstd
	}
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, err
		}
		if h.Skippable {
			if int64(h.HeaderSize)+int64(h.SkippableSize) > int64(len(src)) {
				return 0, errZstd
			}
			src = src[h.HeaderSize+int(h.SkippableSize):]
			continue
		}
		if h.HeaderSize > len(src) {
			return 0, errZstd
		}
		src = src[h.HeaderSize:]
		frame := 0
		for last := false; !last; {
			if len(src) < 3 {
				return 0, errZstd
			}
			block := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
			src = src[3:]
			last = block&1 != 0
			stored := block >> 3
			switch block >> 1 & 3 {
			case 0: // as it is
				frame += stored
			case 1: // one byte, repeated
				frame += stored
				stored = 1
			case 2:
				frame += zstdBlockBytes
			default:
				return 0, errZstd
			}
			if stored > len(src) {
				return 0, errZstd
			}
			src = src[stored:]
		}
		if h.HasCheckSum {
			if len(src) < 4 {
				return 0, errZstd
			}
			src = src[4:]
		}
		if h.HasFCS {
			if h.FrameContentSize > uint64(frame) {
				return 0, errZstd // its blocks cannot hold that much
			}
			frame = int(h.FrameContentSize)
		}
		most += frame
	}
	return most, nil
}

// unzstdStream decodes what may become too large, piece by piece: data that is, and frames of very many tiny blocks, of which the
// headers do not say how little they hold. A window larger than the limit is refused: its memory would not be worth the few honest
// frames that have both.
func unzstdStream(dst, src []byte, limit int) ([]byte, error) {
	d, err := zstd.NewReader(bytes.NewReader(src), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(2*zstdMaxWindow), zstd.WithDecoderMaxWindow(uint64(max(min(zstdStreamWindow, limit), zstd.MinWindowSize))))
	if err != nil {
		return dst, err
	}
	defer d.Close()
	dst, err = readLimited(dst, d, limit)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = ErrTooLarge
	}
	return dst, err
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
