package group

import (
	"math"
	"unicode/utf16"
)

// PartitionFor returns the partition of __consumer_offsets, out of n, that coordinates a group. It is Kafka's choice: the
// absolute value of Java's String.hashCode, modulo n. REQUIRES: n > 0.
func PartitionFor(group string, n int32) int32 {
	h := javaHash(group)
	if h == math.MinInt32 {
		h = 0 // has no absolute value; Kafka's Utils.abs says 0
	}
	return max(h, -h) % n
}

// javaHash is String.hashCode: over the UTF-16 code units of s, h = 31*h + unit, in wrapping 32-bit arithmetic.
func javaHash(s string) int32 {
	var h int32
	for _, r := range s {
		if r1, r2 := utf16.EncodeRune(r); r > 0xFFFF {
			h = 31*(31*h+r1) + r2
		} else {
			h = 31*h + r
		}
	}
	return h
}
