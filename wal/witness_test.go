package wal_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/ringmq/ringmq/wal"
)

// This file reads FORMAT.md a second time, independently of the package: it looks at a whole image and says whether anything on it proves that
// a block at or behind a given end had been acknowledged. Recovery that ends there without ErrCorrupt although there is proof has lost
// acknowledged records without a word; recovery that finds none could not know.

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const (
	pageBytes = 4096
	ringStart = 128 << 10
)

// superCopy is what matters here of a superblock.
type superCopy struct {
	sequence, logID               uint64
	capacity, base, trim, durable int64
	generation                    uint32
	clean                         bool
	genStart                      int64
}

// newestSuper returns the valid copy with the highest sequence, ok false when there is none.
func newestSuper(image []byte) (best superCopy, ok bool) {
	for slot := range 2 {
		p := image[slot*(64<<10):][:pageBytes]
		if string(p[:8]) != "RINGMQWL" || le.Uint32(p[12:]) != uint32(slot) || crc32.Checksum(p[:4092], castagnoli) != le.Uint32(p[4092:]) {
			continue
		}
		s := superCopy{
			logID: le.Uint64(p[16:]), sequence: le.Uint64(p[32:]), capacity: int64(le.Uint64(p[40:])), base: int64(le.Uint64(p[56:])),
			trim: int64(le.Uint64(p[64:])), durable: int64(le.Uint64(p[72:])), generation: le.Uint32(p[80:]), clean: le.Uint32(p[84:]) == 1,
			genStart: int64(le.Uint64(p[88:])),
		}
		if !ok || s.sequence > best.sequence {
			best, ok = s, true
		}
	}
	return best, ok
}

// blockCopy is a block header with a right checksum.
type blockCopy struct {
	at         int64 // where it was found
	logID      uint64
	offset     int64
	length     int64
	generation uint32
	durable    int64
}

func blocksOn(image []byte) (all []blockCopy) {
	for at := int64(ringStart); at+pageBytes <= int64(len(image)); at += pageBytes {
		h := image[at:][:64]
		if string(h[:4]) != "RMQB" || crc32.Checksum(h[:60], castagnoli) != le.Uint32(h[60:]) {
			continue
		}
		all = append(all, blockCopy{at, le.Uint64(h[8:]), int64(le.Uint64(h[16:])), int64(le.Uint32(h[24:])), le.Uint32(h[36:]), int64(le.Uint64(h[40:]))})
	}
	return all
}

// proofAgainst returns what on the image proves that the log did not end at end, "" for nothing.
func proofAgainst(image []byte, end wal.Position) string {
	s, ok := newestSuper(image)
	if !ok {
		return "no superblock is left"
	}
	at := int64(end)
	switch {
	case at < s.genStart:
		return fmt.Sprintf("generation %d began at %d", s.generation, s.genStart)
	case at < s.durable:
		return fmt.Sprintf("the superblock knows %d to be durable", s.durable)
	case s.clean && at != s.durable:
		return fmt.Sprintf("closed at %d", s.durable)
	}
	ring := s.capacity - ringStart
	for _, b := range blocksOn(image) {
		if b.logID != s.logID || b.offset < at || ringStart+(b.offset-s.base)%ring != b.at {
			continue
		}
		switch {
		case b.generation == s.generation && b.durable > at:
			return fmt.Sprintf("the block at %d knows %d to be durable", b.offset, b.durable)
		case b.generation > s.generation:
			return fmt.Sprintf("the block at %d is of generation %d, the superblock of %d", b.offset, b.generation, s.generation)
		case b.offset >= s.trim+ring:
			return fmt.Sprintf("the block at %d lies a round above the trim at %d", b.offset, s.trim)
		}
	}
	return ""
}
