package verify

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// A record's value: magic 4 | partition 4 | sequence 8 | CRC32C of everything else 4 | noise.
const (
	magic        = 0x564d5152
	headerBytes  = 20
	offPartition = 4
	offSequence  = 8
	offCRC       = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode makes the value of a record, of size bytes but at least headerBytes.
func encode(partition int32, sequence int64, size int, noise *rand.Rand) []byte {
	v := make([]byte, max(size, headerBytes))
	binary.BigEndian.PutUint32(v, magic)
	binary.BigEndian.PutUint32(v[offPartition:], uint32(partition))
	binary.BigEndian.PutUint64(v[offSequence:], uint64(sequence))
	for i := headerBytes; i+8 <= len(v); i += 8 {
		binary.BigEndian.PutUint64(v[i:], noise.Uint64())
	}
	binary.BigEndian.PutUint32(v[offCRC:], checksum(v))
	return v
}

func checksum(v []byte) uint32 {
	return crc32.Update(crc32.Checksum(v[:offCRC], castagnoli), castagnoli, v[headerBytes:])
}

// decode checks a value and returns what it says.
func decode(v []byte) (partition int32, sequence int64, err error) {
	if len(v) < headerBytes || binary.BigEndian.Uint32(v) != magic {
		return 0, 0, fmt.Errorf("verify: %d bytes that are no record of this tool", len(v))
	}
	if got, want := checksum(v), binary.BigEndian.Uint32(v[offCRC:]); got != want {
		return 0, 0, fmt.Errorf("verify: damaged value: CRC %08x, want %08x", got, want)
	}
	return int32(binary.BigEndian.Uint32(v[offPartition:])), int64(binary.BigEndian.Uint64(v[offSequence:])), nil
}
