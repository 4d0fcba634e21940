package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The layout of a target, see FORMAT.md:
//
//	0           64 KiB       128 KiB                                    capacity
//	| slot 0 ...| slot 1 ... | ring of blocks ............................|
const (
	pageBytes   = 4096
	slotStride  = 64 << 10 // the slots lie apart, so that no page of the medium holds both
	ringStart   = 128 << 10
	superMagic  = "RINGMQWL"
	blockMagic  = 0x42514d52 // "RMQB"
	formatMajor = 2
	// formatEmpty is the version before, of which a log is read that holds nothing: its blocks and superblocks lack what recovery relies on.
	formatEmpty = 1

	maxClusterID = 64

	flagClean = 1 << 0
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

// Offsets in a superblock.
const (
	sbMagic      = 0
	sbVersion    = 8
	sbSlot       = 12
	sbUUID       = 16
	sbSequence   = 32
	sbCapacity   = 40
	sbRingStart  = 48
	sbBase       = 56
	sbTrim       = 64
	sbDurable    = 72
	sbGeneration = 80
	sbFlags      = 84
	sbGenStart   = 88
	sbNodeEpoch  = 96
	sbNodeID     = 104
	sbClusterLen = 108
	sbCluster    = 112
	sbStartChain = sbCluster + maxClusterID
	sbZero       = sbStartChain + 4
	sbCRC        = pageBytes - 4
)

// superblock is the log's identity and the little state that is not in the blocks. Two copies are kept; each update goes to both,
// one after the other, with growing sequence numbers, so that either alone is enough.
type superblock struct {
	Slot     uint32 // 0 or 1, where this copy belongs
	UUID     [16]byte
	Sequence uint64
	Capacity int64 // bytes of the target that the log uses, superblocks included
	Base     Position
	Trim     Position // the first block that is still needed; where recovery starts
	Durable  Position // every block before it was durable when this copy was written
	// Generation counts the openings. Blocks at GenStart and above carry exactly Generation, those below a smaller one.
	Generation uint32
	GenStart   Position
	StartChain uint32 // chain value of the block that ends at GenStart; 0 when the log was empty then
	Clean      bool   // nothing was in flight; Durable is the exact end
	NodeEpoch  int64
	NodeID     int32
	ClusterID  string
}

var (
	errNoMagic  = errors.New("no superblock magic")
	errChecksum = errors.New("superblock checksum mismatch")
)

// ring is the size of the ring of blocks.
func (s *superblock) ring() int64 { return s.Capacity - ringStart }

// logID is what blocks carry of the uuid.
func (s *superblock) logID() uint64 { return le.Uint64(s.UUID[:8]) }

// physical is where on the target the block at pos lies.
func (s *superblock) physical(pos Position) int64 {
	return ringStart + int64(pos-s.Base)%s.ring()
}

// room is how many bytes of the ring follow pos before it wraps.
func (s *superblock) room(pos Position) int64 {
	return s.ring() - int64(pos-s.Base)%s.ring()
}

// encode fills page, pageBytes long.
func (s *superblock) encode(page []byte) {
	clear(page[:pageBytes])
	copy(page[sbMagic:], superMagic)
	le.PutUint32(page[sbVersion:], formatMajor)
	le.PutUint32(page[sbSlot:], s.Slot)
	copy(page[sbUUID:], s.UUID[:])
	le.PutUint64(page[sbSequence:], s.Sequence)
	le.PutUint64(page[sbCapacity:], uint64(s.Capacity))
	le.PutUint64(page[sbRingStart:], ringStart)
	le.PutUint64(page[sbBase:], uint64(s.Base))
	le.PutUint64(page[sbTrim:], uint64(s.Trim))
	le.PutUint64(page[sbDurable:], uint64(s.Durable))
	le.PutUint32(page[sbGeneration:], s.Generation)
	if s.Clean {
		le.PutUint32(page[sbFlags:], flagClean)
	}
	le.PutUint64(page[sbGenStart:], uint64(s.GenStart))
	le.PutUint64(page[sbNodeEpoch:], uint64(s.NodeEpoch))
	le.PutUint32(page[sbNodeID:], uint32(s.NodeID))
	le.PutUint32(page[sbClusterLen:], uint32(len(s.ClusterID)))
	copy(page[sbCluster:sbStartChain], s.ClusterID)
	le.PutUint32(page[sbStartChain:], s.StartChain)
	le.PutUint32(page[sbCRC:], crc32.Checksum(page[:sbCRC], castagnoli))
}

// decodeSuperblock judges one slot. slot is where the page was read, size how large the target is (0: not checked).
func decodeSuperblock(page []byte, slot uint32, size int64) (superblock, error) {
	var s superblock
	if len(page) < pageBytes {
		return s, fmt.Errorf("superblock of %d bytes, want %d", len(page), pageBytes)
	}
	page = page[:pageBytes]
	if string(page[:len(superMagic)]) != superMagic {
		return s, errNoMagic
	}
	v := le.Uint32(page[sbVersion:])
	if v != formatMajor && v != formatEmpty {
		return s, fmt.Errorf("superblock format version %d, this program reads %d", v, formatMajor)
	}
	if got, want := crc32.Checksum(page[:sbCRC], castagnoli), le.Uint32(page[sbCRC:]); got != want {
		return s, errChecksum
	}
	n := le.Uint32(page[sbClusterLen:])
	if n > maxClusterID {
		return s, fmt.Errorf("superblock cluster id of %d bytes, want at most %d", n, maxClusterID)
	}
	s = superblock{
		Slot:       le.Uint32(page[sbSlot:]),
		UUID:       [16]byte(page[sbUUID:]),
		Sequence:   le.Uint64(page[sbSequence:]),
		Capacity:   int64(le.Uint64(page[sbCapacity:])),
		Base:       Position(le.Uint64(page[sbBase:])),
		Trim:       Position(le.Uint64(page[sbTrim:])),
		Durable:    Position(le.Uint64(page[sbDurable:])),
		Generation: le.Uint32(page[sbGeneration:]),
		GenStart:   Position(le.Uint64(page[sbGenStart:])),
		StartChain: le.Uint32(page[sbStartChain:]),
		Clean:      le.Uint32(page[sbFlags:])&flagClean != 0,
		NodeEpoch:  int64(le.Uint64(page[sbNodeEpoch:])),
		NodeID:     int32(le.Uint32(page[sbNodeID:])),
		ClusterID:  string(page[sbCluster : sbCluster+n]),
	}
	if err := s.check(page, slot, size); err != nil {
		return superblock{}, err
	}
	if v == formatEmpty && (!s.Clean || s.Trim != s.Durable) {
		return superblock{}, fmt.Errorf("%w: format version %d, this program reads %d", ErrOldFormat, v, formatMajor)
	}
	return s, nil
}

// check judges fields whose checksum is right: a fault here is a bug of the writer, or a page that landed in the wrong place.
func (s *superblock) check(page []byte, slot uint32, size int64) error {
	for i := sbZero; i < sbCRC; i++ {
		if page[i] != 0 {
			return fmt.Errorf("superblock byte %d is %#x, want 0", i, page[i])
		}
	}
	for i := sbCluster + len(s.ClusterID); i < sbStartChain; i++ {
		if page[i] != 0 {
			return fmt.Errorf("superblock byte %d is %#x, want 0", i, page[i])
		}
	}
	switch start := le.Uint64(page[sbRingStart:]); {
	case s.Slot != slot:
		return fmt.Errorf("superblock of slot %d found in slot %d", s.Slot, slot)
	case le.Uint32(page[sbFlags:])&^flagClean != 0:
		return fmt.Errorf("superblock flags %#x, this program knows %#x", le.Uint32(page[sbFlags:]), flagClean)
	case start != ringStart:
		return fmt.Errorf("superblock ring start %d, want %d", start, ringStart)
	case s.Capacity < minCapacity || s.Capacity%pageBytes != 0:
		return fmt.Errorf("superblock capacity %d, want a multiple of %d and at least %d", s.Capacity, pageBytes, minCapacity)
	case size > 0 && s.Capacity > size:
		return fmt.Errorf("superblock capacity %d, but the target has only %d bytes", s.Capacity, size)
	case s.Base < 0 || s.Base%pageBytes != 0:
		return fmt.Errorf("superblock base %d, want a multiple of %d", s.Base, pageBytes)
	case s.Trim < s.Base || s.Trim%pageBytes != 0:
		return fmt.Errorf("superblock trim %d, want a multiple of %d, at least base %d", s.Trim, pageBytes, s.Base)
	case s.Durable < s.Trim || int64(s.Durable-s.Trim) > s.ring() || s.Durable%pageBytes != 0:
		return fmt.Errorf("superblock durable %d, want a multiple of %d, within %d of trim %d", s.Durable, pageBytes, s.ring(), s.Trim)
	case s.GenStart < s.Base || s.GenStart > s.Durable || s.GenStart%pageBytes != 0:
		return fmt.Errorf("superblock generation start %d, want a multiple of %d from base %d to durable %d", s.GenStart, pageBytes, s.Base, s.Durable)
	}
	return nil
}

// Offsets in a block header.
const (
	bhMagic      = 0
	bhVersion    = 4
	bhLogID      = 8
	bhOffset     = 16
	bhLength     = 24
	bhUsed       = 28
	bhRecords    = 32
	bhGeneration = 36
	bhDurable    = 40
	bhPrev       = 48
	bhPayload    = 52
	bhSkipped    = 56
	bhCRC        = 60
	blockHeader  = 64

	// recordHeader precedes every record in a block: its length.
	recordHeader = 4
)

// header describes one block.
type header struct {
	LogID      uint64
	Offset     Position // logical; the block claims [Offset, Offset+Length)
	Length     uint32   // bytes on the device, a multiple of pageBytes
	Used       uint32   // header and records; the rest is zero
	Records    uint32
	Generation uint32
	Durable    Position // every block before it was durable when this block was sealed
	Prev       uint32   // chain value of the block before this one
	Payload    uint32   // CRC32C of [blockHeader, Length)
	Skipped    uint32   // pages of the ring between the end of the block before this one and Offset: what was left before the ring's end
	Chain      uint32   // CRC32C of the header; the next block's Prev
}

var (
	errBlockMagic    = errors.New("no block magic")
	errBlockChecksum = errors.New("header checksum mismatch")
	errPayload       = errors.New("payload checksum mismatch")
)

// encode fills the first blockHeader bytes of b and sets Chain.
func (h *header) encode(b []byte) {
	b = b[:blockHeader]
	le.PutUint32(b[bhMagic:], blockMagic)
	le.PutUint32(b[bhVersion:], formatMajor)
	le.PutUint64(b[bhLogID:], h.LogID)
	le.PutUint64(b[bhOffset:], uint64(h.Offset))
	le.PutUint32(b[bhLength:], h.Length)
	le.PutUint32(b[bhUsed:], h.Used)
	le.PutUint32(b[bhRecords:], h.Records)
	le.PutUint32(b[bhGeneration:], h.Generation)
	le.PutUint64(b[bhDurable:], uint64(h.Durable))
	le.PutUint32(b[bhPrev:], h.Prev)
	le.PutUint32(b[bhPayload:], h.Payload)
	le.PutUint32(b[bhSkipped:], h.Skipped)
	h.Chain = crc32.Checksum(b[:bhCRC], castagnoli)
	le.PutUint32(b[bhCRC:], h.Chain)
}

// decodeHeader reads a block header and judges it by itself: whether it belongs at this place and time is judged by the caller.
func decodeHeader(b []byte) (header, error) {
	var h header
	if len(b) < blockHeader {
		return h, fmt.Errorf("block header of %d bytes, want %d", len(b), blockHeader)
	}
	b = b[:blockHeader]
	if le.Uint32(b[bhMagic:]) != blockMagic {
		return h, errBlockMagic
	}
	if v := le.Uint32(b[bhVersion:]); v != formatMajor {
		return h, fmt.Errorf("block format version %d, this program reads %d", v, formatMajor)
	}
	h = header{
		LogID:      le.Uint64(b[bhLogID:]),
		Offset:     Position(le.Uint64(b[bhOffset:])),
		Length:     le.Uint32(b[bhLength:]),
		Used:       le.Uint32(b[bhUsed:]),
		Records:    le.Uint32(b[bhRecords:]),
		Generation: le.Uint32(b[bhGeneration:]),
		Durable:    Position(le.Uint64(b[bhDurable:])),
		Prev:       le.Uint32(b[bhPrev:]),
		Payload:    le.Uint32(b[bhPayload:]),
		Skipped:    le.Uint32(b[bhSkipped:]),
		Chain:      le.Uint32(b[bhCRC:]),
	}
	if crc32.Checksum(b[:bhCRC], castagnoli) != h.Chain {
		return header{}, errBlockChecksum
	}
	switch {
	case h.Offset < 0 || h.Offset%pageBytes != 0:
		return header{}, fmt.Errorf("block offset %d, want a multiple of %d", h.Offset, pageBytes)
	case h.Length == 0 || h.Length%pageBytes != 0 || h.Length > maxBlockLength:
		return header{}, fmt.Errorf("block length %d, want a multiple of %d", h.Length, pageBytes)
	case h.Used < blockHeader || h.Used > h.Length:
		return header{}, fmt.Errorf("block uses %d bytes of %d", h.Used, h.Length)
	case uint64(h.Records)*recordHeader > uint64(h.Used-blockHeader):
		return header{}, fmt.Errorf("block claims %d records in %d bytes", h.Records, h.Used)
	case int64(h.Skipped)*pageBytes > int64(h.Offset):
		return header{}, fmt.Errorf("block at %d skips %d pages", h.Offset, h.Skipped)
	case h.Durable < 0 || h.Durable > h.Offset:
		return header{}, fmt.Errorf("block at %d claims durable %d", h.Offset, h.Durable)
	}
	return h, nil
}

// maxBlockLength bounds a block, so that lengths fit an int32 and a kernel write (MAX_RW_COUNT is just below 2 GiB).
const maxBlockLength = 1 << 30

// verify checks the payload of a whole block and the framing of its records. b has h.Length bytes.
func (h *header) verify(b []byte) error {
	if crc32.Checksum(b[blockHeader:h.Length], castagnoli) != h.Payload {
		return errPayload
	}
	at := uint32(blockHeader)
	for range h.Records {
		if h.Used-at < recordHeader {
			return fmt.Errorf("record header at %d passes the end of the records at %d", at, h.Used)
		}
		n := le.Uint32(b[at:])
		if n > h.Used-at-recordHeader {
			return fmt.Errorf("record of %d bytes at %d passes the end of the records at %d", n, at, h.Used)
		}
		at += recordHeader + n
	}
	if at != h.Used {
		return fmt.Errorf("records end at %d, header says %d", at, h.Used)
	}
	return nil
}

// records calls fn with each record of a verified block and its position.
func (h *header) records(b []byte, fn func(pos Position, data []byte) error) error {
	at := uint32(blockHeader)
	for range h.Records {
		n := le.Uint32(b[at:])
		end := at + recordHeader + n
		if err := fn(h.Offset+Position(at), b[at+recordHeader:end:end]); err != nil {
			return err
		}
		at = end
	}
	return nil
}

func roundUp(n int64) int64 { return (n + pageBytes - 1) &^ (pageBytes - 1) }

// The offsets above must tile without gaps; these lines stop compiling when they drift.
var (
	_ = [1]struct{}{}[sbZero-180]
	_ = [1]struct{}{}[blockHeader-(bhCRC+4)]
)
