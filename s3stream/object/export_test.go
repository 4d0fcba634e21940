package object

import "hash/crc32"

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
