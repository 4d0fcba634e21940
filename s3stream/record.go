package s3stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// What the storage puts in front of each payload in the WAL. FORMAT.md draws it.
const (
	headerSize    = 56
	headerVersion = 1

	offVersion  = 0
	offKind     = 1
	offReserved = 2 // two bytes, zero
	offCRC      = 4 // CRC32C of the header from offStream on, then the payload
	offStream   = 8
	offEpoch    = 16
	offFirst    = 24
	offNext     = 32
	offMaxTime  = 40
	offLength   = 48 // payload bytes
	offSpare    = 52 // four bytes, zero
)

// The offsets above must tile the header.
var _ = [1]struct{}{}[headerSize-(offSpare+4)]

// recordKind says what a WAL record is for.
type recordKind uint8

const (
	// kindData is a record of a stream.
	kindData recordKind = 1
	// kindVoid says that all earlier records of the stream in this WAL are void: another node has written the stream since.
	kindVoid recordKind = 2
)

// header is the decoded head of a WAL record.
type header struct {
	kind         recordKind
	stream       StreamID
	epoch        int64
	first, next  int64
	maxTimestamp int64
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errRecord = errors.New("s3stream: malformed record in the write-ahead log")
)

// put encodes h for a payload into b.
func (h *header) put(b *[headerSize]byte, payload []byte) {
	le := binary.LittleEndian
	b[offVersion], b[offKind] = headerVersion, byte(h.kind)
	le.PutUint16(b[offReserved:], 0)
	le.PutUint64(b[offStream:], uint64(h.stream))
	le.PutUint64(b[offEpoch:], uint64(h.epoch))
	le.PutUint64(b[offFirst:], uint64(h.first))
	le.PutUint64(b[offNext:], uint64(h.next))
	le.PutUint64(b[offMaxTime:], uint64(h.maxTimestamp))
	le.PutUint32(b[offLength:], uint32(len(payload)))
	le.PutUint32(b[offSpare:], 0)
	le.PutUint32(b[offCRC:], recordCRC(b[:headerSize], payload))
}

func recordCRC(head, payload []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(head[offVersion])|uint32(head[offKind])<<8, castagnoli, head[offStream:headerSize]), castagnoli, payload)
}

// decodeRecord splits a WAL record into header and payload and verifies both. The payload shares b.
func decodeRecord(b []byte) (header, []byte, error) {
	h, payload, err := decodeHeader(b)
	if err != nil {
		return header{}, nil, err
	}
	if got, want := recordCRC(b[:headerSize], payload), binary.LittleEndian.Uint32(b[offCRC:]); got != want {
		return header{}, nil, fmt.Errorf("%w: stream %d offset %d: checksum %08x, want %08x", errRecord, h.stream, h.first, got, want)
	}
	return h, payload, nil
}

// decodeHeader is decodeRecord without the checksum, for bytes that the WAL has just verified.
func decodeHeader(b []byte) (header, []byte, error) {
	le := binary.LittleEndian
	if len(b) < headerSize {
		return header{}, nil, fmt.Errorf("%w: %d bytes, the header alone has %d", errRecord, len(b), headerSize)
	}
	if b[offVersion] != headerVersion {
		return header{}, nil, fmt.Errorf("%w: version %d, this program knows %d", errRecord, b[offVersion], headerVersion)
	}
	h := header{
		kind:         recordKind(b[offKind]),
		stream:       StreamID(le.Uint64(b[offStream:])),
		epoch:        int64(le.Uint64(b[offEpoch:])),
		first:        int64(le.Uint64(b[offFirst:])),
		next:         int64(le.Uint64(b[offNext:])),
		maxTimestamp: int64(le.Uint64(b[offMaxTime:])),
	}
	if n := le.Uint32(b[offLength:]); int64(n) != int64(len(b)-headerSize) {
		return header{}, nil, fmt.Errorf("%w: a payload of %d bytes, the header says %d", errRecord, len(b)-headerSize, n)
	}
	if le.Uint16(b[offReserved:]) != 0 || le.Uint32(b[offSpare:]) != 0 {
		return header{}, nil, fmt.Errorf("%w: reserved bytes are not zero", errRecord)
	}
	switch h.kind {
	case kindData:
		if h.first < 0 || h.next <= h.first || h.next-h.first > math.MaxUint32 {
			return header{}, nil, fmt.Errorf("%w: stream %d: offsets %d to %d", errRecord, h.stream, h.first, h.next)
		}
	case kindVoid:
	default:
		return header{}, nil, fmt.Errorf("%w: stream %d: unknown kind %d", errRecord, h.stream, h.kind)
	}
	return h, b[headerSize:len(b):len(b)], nil
}
