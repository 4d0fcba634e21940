package wal

import (
	"bytes"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
)

func someSuperblock() superblock {
	return superblock{
		Slot: 1, UUID: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Sequence: 41, Capacity: 8 << 20,
		Trim: 3 << 20, Durable: 4 << 20, Generation: 5, GenStart: 7 << 19, NodeEpoch: 9, NodeID: 3, ClusterID: "rZdE0DjZSrqy96PXrMUZVw",
	}
}

func TestSuperblockRoundTrip(t *testing.T) {
	want := someSuperblock()
	page := make([]byte, pageBytes)
	want.encode(page)
	have, err := decodeSuperblock(page, 1, 8<<20)
	if err != nil || have != want {
		t.Fatalf("%+v, %v", have, err)
	}
	want.Clean, want.Slot = true, 0
	want.encode(page)
	if have, err = decodeSuperblock(page, 0, 0); err != nil || have != want {
		t.Fatalf("%+v, %v", have, err)
	}
}

// TestSuperblockEveryBit flips each bit of a superblock: none goes unnoticed.
func TestSuperblockEveryBit(t *testing.T) {
	page := make([]byte, pageBytes)
	s := someSuperblock()
	s.encode(page)
	for bit := range pageBytes * 8 {
		page[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeSuperblock(page, 1, 8<<20); err == nil {
			t.Fatalf("bit %d flipped and not noticed", bit)
		}
		page[bit/8] ^= 1 << (bit % 8)
	}
}

// TestSuperblockRefuses has the right checksum and a wrong field.
func TestSuperblockRefuses(t *testing.T) {
	for name, change := range map[string]func(page []byte){
		"found in slot 1":    func(p []byte) { le.PutUint32(p[sbSlot:], 0) },
		"format version 3":   func(p []byte) { le.PutUint32(p[sbVersion:], 3) },
		"format version 1":   func(p []byte) { le.PutUint32(p[sbVersion:], 1) }, // with records
		"cluster id of 65":   func(p []byte) { le.PutUint32(p[sbClusterLen:], 65) },
		"byte 134 is":        func(p []byte) { p[sbCluster+22] = 1 },
		"byte 2000 is":       func(p []byte) { p[2000] = 1 },
		"flags 0x2":          func(p []byte) { p[sbFlags] = 2 },
		"ring start 4096":    func(p []byte) { le.PutUint64(p[sbRingStart:], 4096) },
		"has only 8388608":   func(p []byte) { le.PutUint64(p[sbCapacity:], 9<<20) },
		"capacity 4096":      func(p []byte) { le.PutUint64(p[sbCapacity:], 4096) },
		"base -4096":         func(p []byte) { le.PutUint64(p[sbBase:], 1<<64-4096) },
		"trim 5":             func(p []byte) { le.PutUint64(p[sbTrim:], 5) },
		"durable 4096":       func(p []byte) { le.PutUint64(p[sbDurable:], 4096) },
		"durable 16777216":   func(p []byte) { le.PutUint64(p[sbDurable:], 16<<20) },
		"generation start 8": func(p []byte) { le.PutUint64(p[sbGenStart:], 8) },
	} {
		page := make([]byte, pageBytes)
		s := someSuperblock()
		s.encode(page)
		change(page)
		le.PutUint32(page[sbCRC:], crc32.Checksum(page[:sbCRC], castagnoli))
		if _, err := decodeSuperblock(page, 1, 8<<20); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
}

// someBlock returns a whole block that holds the given records.
func someBlock(offset Position, prev uint32, records ...string) []byte {
	b := &block{off: offset, mem: make([]byte, 1<<20), used: blockHeader}
	for _, r := range records {
		le.PutUint32(b.mem[b.used:], uint32(len(r)))
		b.used += recordHeader + copy(b.mem[b.used+recordHeader:], r)
		b.records++
	}
	b.length = int(roundUp(int64(b.used)))
	b.finish(0x1122334455667788, 3, offset, prev)
	return b.mem[:b.length]
}

func TestBlockRoundTrip(t *testing.T) {
	b := someBlock(8192, 77, "one", "", strings.Repeat("x", 5000))
	h, err := decodeHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	want := header{LogID: 0x1122334455667788, Offset: 8192, Length: 8192, Used: 64 + 3*4 + 5003, Records: 3, Generation: 3, Durable: 8192,
		Prev: 77, Payload: h.Payload, Chain: h.Chain}
	if h != want {
		t.Fatalf("%+v", h)
	}
	if err := h.verify(b); err != nil {
		t.Fatal(err)
	}
	var all []string
	var at []Position
	_ = h.records(b, func(pos Position, data []byte) error {
		all, at = append(all, string(data)), append(at, pos)
		if cap(data) != len(data) {
			t.Error("an append to a record would overwrite its neighbour")
		}
		return nil
	})
	if len(all) != 3 || all[0] != "one" || all[1] != "" || len(all[2]) != 5000 || at[0] != 8192+64 || at[1] != 8192+71 || at[2] != 8192+75 {
		t.Fatalf("%d records at %v", len(all), at)
	}
}

// TestBlockEveryBit flips each bit of a block.
func TestBlockEveryBit(t *testing.T) {
	b := someBlock(0, 0, "some", "records", "of a block")
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		h, err := decodeHeader(b)
		if err == nil {
			err = h.verify(b)
		}
		if err == nil {
			t.Fatalf("bit %d flipped and not noticed", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func FuzzSuperblock(f *testing.F) {
	page := make([]byte, pageBytes)
	s := someSuperblock()
	s.encode(page)
	f.Add(bytes.Clone(page))
	s.Clean, s.ClusterID = true, ""
	s.encode(page)
	f.Add(page)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= pageBytes { // let the fuzzer reach what lies behind the checksum
			b = bytes.Clone(b)
			le.PutUint32(b[sbCRC:], crc32.Checksum(b[:sbCRC], castagnoli))
		}
		s, err := decodeSuperblock(b, 1, 0)
		if err != nil {
			return
		}
		again := make([]byte, pageBytes)
		s.encode(again)
		if !bytes.Equal(again, b[:pageBytes]) {
			t.Fatalf("encodes differently: %+v", s)
		}
		if p := s.physical(s.Trim); p < ringStart || p >= s.Capacity || s.room(s.Trim) <= 0 {
			t.Fatalf("trim %d is at %d of %d", s.Trim, p, s.Capacity)
		}
	})
}

func FuzzBlock(f *testing.F) {
	f.Add(someBlock(0, 0))
	f.Add(someBlock(4096, 1, "a"))
	f.Add(someBlock(8192, 2, "a", strings.Repeat("b", 4090), ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= blockHeader {
			b = bytes.Clone(b)
			if n := int(le.Uint32(b[bhLength:])); n >= blockHeader && n <= len(b) {
				le.PutUint32(b[bhPayload:], crc32.Checksum(b[blockHeader:n], castagnoli))
			}
			le.PutUint32(b[bhCRC:], crc32.Checksum(b[:bhCRC], castagnoli))
		}
		h, err := decodeHeader(b)
		if err != nil || int(h.Length) > len(b) {
			return
		}
		head := make([]byte, blockHeader)
		again := h
		again.encode(head)
		if !bytes.Equal(head, b[:blockHeader]) || again != h {
			t.Fatalf("encodes differently: %+v", h)
		}
		if h.verify(b[:h.Length]) != nil {
			return
		}
		sum, n := blockHeader, uint32(0)
		err = h.records(b[:h.Length], func(pos Position, data []byte) error {
			if pos != h.Offset+Position(sum) {
				return errors.New("positions do not follow each other")
			}
			sum, n = sum+recordHeader+len(data), n+1
			return nil
		})
		if err != nil || uint32(sum) != h.Used || n != h.Records {
			t.Fatalf("%d records over %d bytes, header says %d over %d; %v", n, sum, h.Records, h.Used, err)
		}
	})
}

func TestBitmap(t *testing.T) {
	const n = 200
	b := newBitmap(n)
	model := make([]bool, n)
	set := func(i, k int64) {
		b.place(i, k)
		for j := range k {
			model[i+j] = j == 0
		}
	}
	for _, c := range [][2]int64{{0, 64}, {64, 1}, {65, 70}, {135, 65}, {10, 3}, {63, 2}, {128, 64}, {199, 1}, {60, 140}, {0, 200}, {63, 1}} {
		set(c[0], c[1])
		for i := range int64(n) {
			floor, ceil := int64(-1), int64(n)
			for j := i; j >= 0; j-- {
				if model[j] {
					floor = j
					break
				}
			}
			for j := i; j < n; j++ {
				if model[j] {
					ceil = j
					break
				}
			}
			if b.floor(i) != floor || b.ceil(i, n) != ceil {
				t.Fatalf("after %v, page %d: floor %d, ceil %d, want %d, %d", c, i, b.floor(i), b.ceil(i, n), floor, ceil)
			}
		}
	}
}
