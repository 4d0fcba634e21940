package kproto

import (
	"encoding/binary"
	"math/bits"
)

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// appendVarint appends the zigzag varint of record fields, for 32 and 64 bits alike.
func appendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

// uvarintLen is the number of bytes that appendUvarint takes.
func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// varintLen is the number of bytes that appendVarint takes.
func varintLen(v int64) int { return uvarintLen(uint64(v)<<1 ^ uint64(v>>63)) }

// appendCount appends the length of an array; -1 is null.
func appendCount(dst []byte, compact bool, n int) []byte {
	if compact {
		return appendUvarint(dst, uint64(n+1))
	}
	return appendInt32(dst, int32(n))
}

func appendString[T ~string | ~[]byte](dst []byte, compact bool, s T) []byte {
	if compact {
		dst = appendUvarint(dst, uint64(len(s))+1)
	} else {
		dst = appendInt16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

// appendNullableString appends null for the empty string.
func appendNullableString(dst []byte, compact bool, s string) []byte {
	if s != "" {
		return appendString(dst, compact, s)
	}
	if compact {
		return append(dst, 0)
	}
	return appendInt16(dst, -1)
}

// nodeEndpointsTag is the tag of NodeEndpoints in Produce and Fetch responses (KIP-951).
const nodeEndpointsTag = 0

// appendNodeEndpoints appends the tag section of a flexible response whose only tagged field is NodeEndpoints.
func appendNodeEndpoints(dst []byte, endpoints []NodeEndpoint) []byte {
	if len(endpoints) == 0 {
		return append(dst, 0)
	}
	size := uvarintLen(uint64(len(endpoints)) + 1)
	for i := range endpoints {
		e := &endpoints[i]
		size += 4 + compactLen(e.Host) + 4 + nullableCompactLen(e.Rack) + 1
	}
	dst = append(dst, 1, nodeEndpointsTag)
	dst = appendUvarint(dst, uint64(size))
	dst = appendCount(dst, true, len(endpoints))
	for i := range endpoints {
		e := &endpoints[i]
		dst = appendInt32(dst, e.ID)
		dst = appendString(dst, true, e.Host)
		dst = appendInt32(dst, e.Port)
		dst = appendNullableString(dst, true, e.Rack)
		dst = append(dst, 0)
	}
	return dst
}

func compactLen(s string) int { return uvarintLen(uint64(len(s))+1) + len(s) }

func nullableCompactLen(s string) int {
	if s == "" {
		return 1
	}
	return compactLen(s)
}

// NodeEndpoint is where clients reach a broker, sent with NOT_LEADER_OR_FOLLOWER so that they need no Metadata request.
type NodeEndpoint struct {
	ID   int32
	Host string
	Port int32
	Rack string // empty: none
}
