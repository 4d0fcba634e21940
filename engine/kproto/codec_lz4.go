package kproto

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// LZ4 frames are taken apart here and only their blocks given to the library: that needs neither goroutines nor buffers of the
// block size, and decodes straight into the result. Layout (little endian):
//
//	magic 4 | FLG 1 | BD 1 | content size 8, if FLG says so | header checksum 1 | { block size 4 | block | checksum 4, if … } |
//	end mark 4 (zero) | content checksum 4, if …
const (
	lz4Magic = 0x184D2204

	lz4FlagDictID          = 1 << 0
	lz4FlagReserved        = 1 << 1
	lz4FlagContentChecksum = 1 << 2
	lz4FlagContentSize     = 1 << 3
	lz4FlagBlockChecksum   = 1 << 4
	lz4FlagIndependent     = 1 << 5
	lz4Version             = 1 << 6
	lz4VersionMask         = 3 << 6

	lz4Stored = 1 << 31 // in a block size: the block is not compressed

	// lz4HistoryBytes is how far back a block may refer to the ones before it.
	lz4HistoryBytes = 64 << 10
	// lz4MaxRatio bounds what a block can become: a byte of match length stands for 255 bytes.
	lz4MaxRatio = 255
)

var (
	errLZ4         = errors.New("bad lz4 frame")
	errLZ4Checksum = errors.New("lz4 checksum does not match")
)

func unlz4(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic {
		return dst, errLZ4
	}
	flags, blockSize := src[4], src[5]
	if flags&lz4VersionMask != lz4Version || flags&(lz4FlagDictID|lz4FlagReserved) != 0 || blockSize&^0x70 != 0 || blockSize>>4 < 4 {
		return dst, errLZ4
	}
	maxBlock := 1 << (8 + 2*(blockSize>>4)) // 64 KiB, 256 KiB, 1 MiB, 4 MiB
	header := 6
	if flags&lz4FlagContentSize != 0 {
		header += 8
	}
	if len(src) <= header {
		return dst, errLZ4
	}
	if src[header] != byte(xxh32(src[4:header])>>8) {
		return dst, errLZ4Checksum
	}
	src = src[header+1:]
	start := len(dst)
	for {
		if len(src) < 4 {
			return dst, errLZ4
		}
		size := binary.LittleEndian.Uint32(src)
		src = src[4:]
		if size == 0 {
			break
		}
		n := int(size &^ lz4Stored)
		if n > len(src) || n > maxBlock {
			return dst, errLZ4
		}
		block := src[:n]
		src = src[n:]
		if flags&lz4FlagBlockChecksum != 0 {
			if len(src) < 4 {
				return dst, errLZ4
			}
			if binary.LittleEndian.Uint32(src) != xxh32(block) {
				return dst, errLZ4Checksum
			}
			src = src[4:]
		}
		var err error
		if size&lz4Stored != 0 {
			if dst, err = grow(dst, n, limit); err != nil {
				return dst, err
			}
			dst = append(dst, block...)
			continue
		}
		history := dst[len(dst):]
		if flags&lz4FlagIndependent == 0 {
			history = dst[max(start, len(dst)-lz4HistoryBytes):]
		}
		if dst, err = unlz4Block(dst, block, history, maxBlock, limit); err != nil {
			return dst, err
		}
	}
	if flags&lz4FlagContentChecksum != 0 {
		if len(src) < 4 {
			return dst, errLZ4
		}
		if binary.LittleEndian.Uint32(src) != xxh32(dst[start:]) {
			return dst, errLZ4Checksum
		}
		src = src[4:]
	}
	if len(src) > 0 {
		return dst, errLZ4
	}
	return dst, nil
}

// unlz4Block appends one decompressed block. The library does not say how long a block will be, so room is tried in steps, since
// some clients declare blocks of 4 MiB and fill in a hundred bytes. history may lie in dst.
func unlz4Block(dst, block, history []byte, maxBlock, limit int) ([]byte, error) {
	most := min(maxBlock, lz4MaxRatio*len(block))
	for room := min(max(cap(dst)-len(dst), 4*len(block), 4096), most); ; room = min(4*room, most) {
		last := room == most
		if room > limit-len(dst) {
			room, last = limit-len(dst), true
		}
		if room == 0 {
			return dst, ErrTooLarge
		}
		dst = slices.Grow(dst, room)
		n, err := lz4.UncompressBlockWithDict(block, dst[len(dst):len(dst)+room], history)
		if err == nil {
			return dst[:len(dst)+n], nil
		}
		if last && room < most {
			return dst, ErrTooLarge
		}
		if last {
			return dst, errLZ4
		}
	}
}

var (
	lz4Fast = sync.Pool{New: func() any { return new(lz4.Compressor) }}
	lz4High = sync.Pool{New: func() any { return new(lz4.CompressorHC) }}
)

// lz4DefaultLevel of compression.lz4.level is the fast method in Kafka, the other levels are slow ones.
const lz4DefaultLevel = 9

const lz4BlockBytes = 64 << 10

func lz4To(dst, src []byte, level int) []byte {
	const flags, blockSize = lz4Version | lz4FlagIndependent, 4 << 4
	dst = binary.LittleEndian.AppendUint32(dst, lz4Magic)
	at := len(dst)
	dst = append(dst, flags, blockSize)
	dst = append(dst, byte(xxh32(dst[at:])>>8))

	var fast *lz4.Compressor
	var high *lz4.CompressorHC
	if level == 0 || level == lz4DefaultLevel {
		fast = lz4Fast.Get().(*lz4.Compressor)
		defer lz4Fast.Put(fast)
	} else {
		high = lz4High.Get().(*lz4.CompressorHC)
		high.Level = lz4.Level1 << min(max(level-1, 0), 8)
		defer lz4High.Put(high)
	}
	for len(src) > 0 {
		n := min(len(src), lz4BlockBytes)
		dst = slices.Grow(dst, 4+n)
		room := dst[len(dst)+4 : len(dst)+4+n] // a block that does not fit is stored
		var size int
		var err error
		if fast != nil {
			size, err = fast.CompressBlock(src[:n], room)
		} else {
			size, err = high.CompressBlock(src[:n], room)
		}
		if err != nil || size == 0 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(n)|lz4Stored)
			dst = append(dst, src[:n]...)
		} else {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
			dst = dst[:len(dst)+size]
		}
		src = src[n:]
	}
	return binary.LittleEndian.AppendUint32(dst, 0)
}
