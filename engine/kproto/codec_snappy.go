package kproto

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/klauspost/compress/snappy"
)

// Java clients frame snappy blocks as snappy-java does: a header of 16 bytes (magic, version, lowest compatible version), then
// blocks with a length of 4 bytes each. Others send one bare block. We read both and write the framed form.
var (
	xerialHeader = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}

	errSnappy = errors.New("bad snappy data")
)

const (
	xerialMagicBytes = 8
	xerialBlockBytes = 32 << 10 // as snappy-java

	// snappyMaxRatio bounds what a block can become: the best it can do is a copy of 64 bytes in 3.
	snappyMaxRatio = 22
)

func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < len(xerialHeader) || string(src[:xerialMagicBytes]) != string(xerialHeader[:xerialMagicBytes]) {
		return unsnappyBlock(dst, src, limit)
	}
	for src = src[len(xerialHeader):]; len(src) > 0; {
		if len(src) < 4 {
			return dst, errSnappy
		}
		n := int(int32(binary.BigEndian.Uint32(src)))
		if src = src[4:]; n < 0 || n > len(src) {
			return dst, errSnappy
		}
		var err error
		if dst, err = unsnappyBlock(dst, src[:n], limit); err != nil {
			return dst, err
		}
		src = src[n:]
	}
	return dst, nil
}

func unsnappyBlock(dst, src []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(src)
	if err != nil {
		return dst, err
	}
	if n > snappyMaxRatio*len(src) || !plainSnappy(src) {
		return dst, errSnappy
	}
	if dst, err = grow(dst, n, limit); err != nil {
		return dst, err
	}
	out, err := snappy.Decode(dst[len(dst):len(dst)+n:len(dst)+n], src)
	if err != nil {
		return dst, err
	}
	return dst[:len(dst)+len(out)], nil
}

// plainSnappy says whether a block has no element that only S2, the successor of snappy, knows. Our decoder takes them, those of
// consumers do not. In snappy's terms such an element is a copy with offset 0.
func plainSnappy(src []byte) bool {
	_, i := binary.Uvarint(src)
	if i <= 0 {
		return false
	}
	for i < len(src) {
		tag := src[i]
		switch tag & 3 {
		case 0: // literal; its length is in the tag, or in the 1 to 4 bytes behind it
			n := int(tag >> 2)
			i++
			if n >= 60 {
				extra := n - 59
				if extra > len(src)-i {
					return false
				}
				n = 0
				for k := extra - 1; k >= 0; k-- {
					n = n<<8 | int(src[i+k])
				}
				i += extra
			}
			i += n + 1
		case 1:
			if i+1 < len(src) && tag>>5 == 0 && src[i+1] == 0 {
				return false
			}
			i += 2
		case 2:
			i += 3
		case 3:
			i += 5
		}
	}
	return i == len(src)
}

func snappyTo(dst, src []byte) []byte {
	dst = append(dst, xerialHeader...)
	for len(src) > 0 {
		n := min(len(src), xerialBlockBytes)
		bound := snappy.MaxEncodedLen(n)
		dst = slices.Grow(dst, 4+bound)
		at := len(dst) + 4
		block := snappy.Encode(dst[at:at+bound], src[:n])
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(block)))
		dst = dst[:at+len(block)]
		src = src[n:]
	}
	return dst
}
