package wal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// hexLines prints b as FORMAT.md shows it: without lines of zeroes.
func hexLines(b []byte) string {
	var out strings.Builder
	for at := 0; at < len(b); at += 16 {
		line := b[at : at+16]
		if bytes.Equal(line, make([]byte, 16)) {
			continue
		}
		fmt.Fprintf(&out, "    %04x  %s  |", at, strings.TrimRight(spaced(line), " "))
		for _, c := range line {
			if c < 32 || c > 126 {
				c = '.'
			}
			out.WriteByte(c)
		}
		out.WriteString("|\n")
	}
	return out.String()
}

func spaced(b []byte) string {
	s := hex.EncodeToString(b)
	var out strings.Builder
	for i := 0; i < len(s); i += 8 {
		out.WriteString(s[i:i+8] + " ")
	}
	return out.String()
}

// TestFormatPage keeps the example in FORMAT.md true.
func TestFormatPage(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	s := superblock{
		Slot: 0, UUID: [16]byte{0x5e, 0xed, 1, 2, 3, 4, 5, 6, 0x87, 8, 9, 10, 11, 12, 13, 14}, Sequence: 4, Capacity: 1 << 20,
		Generation: 1, NodeEpoch: 7, NodeID: 3, ClusterID: "c1",
	}
	page := make([]byte, pageBytes)
	s.encode(page)
	b := &block{mem: make([]byte, pageBytes), used: blockHeader}
	for _, r := range []string{"hello", "wal"} {
		le.PutUint32(b.mem[b.used:], uint32(len(r)))
		b.used += recordHeader + copy(b.mem[b.used+recordHeader:], r)
		b.records++
	}
	b.length = pageBytes
	b.finish(s.logID(), 1, 0, 0)
	for name, lines := range map[string]string{"superblock": hexLines(page), "block": hexLines(b.mem)} {
		if !bytes.Contains(text, []byte(lines)) {
			t.Errorf("FORMAT.md does not show this %s:\n%s", name, lines)
		}
	}
}
