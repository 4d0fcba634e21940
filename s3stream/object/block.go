package object

import (
	"fmt"
	"hash/crc32"
	"sort"
)

const (
	blockMagic      = 0x44514d52 // "RMQD"
	checkpointMagic = 0x43514d52 // "RMQC"
)

// Block is a data block in memory, verified. It shares the buffer it was read into.
type Block struct {
	Entry BlockEntry
	// Payload is the payloads of all records, back to back.
	Payload []byte
	table   []byte
}

// Cursor is a record of a block: its numbers and where its payload begins in Block.Payload.
type Cursor struct {
	First, Next  int64
	MaxTimestamp int64
	Start, End   int // Block.Payload[Start:End]
}

// Records calls fn for each record in order until it returns false.
func (b *Block) Records(fn func(Cursor) bool) {
	pos := 0
	for i := 0; i < len(b.table); i += recordEntrySize {
		c := b.at(i, pos)
		if !fn(c) {
			return
		}
		pos = c.End
	}
}

func (b *Block) at(i, pos int) Cursor {
	e := b.table[i : i+recordEntrySize]
	first := b.Entry.First + int64(le.Uint32(e))
	return Cursor{
		First: first, Next: first + int64(le.Uint32(e[4:])), MaxTimestamp: int64(le.Uint64(e[12:])),
		Start: pos, End: pos + int(le.Uint32(e[8:])),
	}
}

// Cut returns whole records, adjacent in memory, from the one that holds offset from (or the first after it) up to the last that begins below limit,
// as long as they fit maxBytes; the first one even when it is larger, if atLeastOne. Data is empty when there is none, and
// then First and Next are 0.
func (b *Block) Cut(from, limit int64, maxBytes int, atLeastOne bool) (data []byte, first, next int64) {
	start, end := -1, 0
	b.Records(func(c Cursor) bool {
		if c.Next <= from {
			return true
		}
		if c.First >= limit {
			return false
		}
		if start < 0 {
			if c.End-c.Start > maxBytes && !atLeastOne {
				return false
			}
			start, first = c.Start, c.First
		} else if c.End-start > maxBytes {
			return false
		}
		end, next = c.End, c.Next
		return true
	})
	if start < 0 {
		return nil, 0, 0
	}
	return b.Payload[start:end:end], first, next
}

// FindTime returns the first record whose MaxTimestamp is at least timestamp.
func (b *Block) FindTime(timestamp int64) (found Cursor, ok bool) {
	b.Records(func(c Cursor) bool {
		found, ok = c, c.MaxTimestamp >= timestamp
		return !ok
	})
	return found, ok
}

// Find returns the record that holds offset, or the first one after it.
func (b *Block) Find(offset int64) (Cursor, bool) {
	n := len(b.table) / recordEntrySize
	i := sort.Search(n, func(i int) bool {
		e := b.table[i*recordEntrySize:]
		return b.Entry.First+int64(le.Uint32(e))+int64(le.Uint32(e[4:])) > offset
	})
	if i == n {
		return Cursor{}, false
	}
	pos := 0
	for j := range i {
		pos += int(le.Uint32(b.table[j*recordEntrySize+8:]))
	}
	return b.at(i*recordEntrySize, pos), true
}

// blockBuilder gathers the record table and checksum of the open data block. The payload itself stays with the caller.
type blockBuilder struct {
	entry   BlockEntry // Size is set at the end
	payload int64
	sum     uint32
	table   []byte
}

// fits reports whether r may be added to a block that has a record: the same stream, and numbers within the widths of the record table.
func (b *blockBuilder) fits(r *Record, blockBytes int) bool {
	return b.entry.Stream == r.Stream && b.payload+int64(len(b.table)+len(r.Payload)) <= int64(blockBytes) &&
		r.First-b.entry.First <= 1<<32-1
}

func (b *blockBuilder) add(r *Record) {
	if b.entry.Records == 0 {
		b.entry.Stream, b.entry.First, b.entry.MaxTimestamp = r.Stream, r.First, r.MaxTimestamp
	}
	b.entry.Next = r.Next
	b.entry.Records++
	b.entry.MaxTimestamp = max(b.entry.MaxTimestamp, r.MaxTimestamp)
	b.payload += int64(len(r.Payload))
	b.sum = crc32.Update(b.sum, castagnoli, r.Payload)
	b.table = le.AppendUint32(b.table, uint32(r.First-b.entry.First))
	b.table = le.AppendUint32(b.table, uint32(r.Next-r.First))
	b.table = le.AppendUint32(b.table, uint32(len(r.Payload)))
	b.table = le.AppendUint64(b.table, uint64(r.MaxTimestamp))
}

// finish returns what follows the payload, a slice of its own, and readies b for the next block.
func (b *blockBuilder) finish() (BlockEntry, []byte) {
	t := le.AppendUint32(b.table, blockMagic)
	t = le.AppendUint32(t, uint32(b.entry.Records))
	t = le.AppendUint64(t, uint64(b.entry.Stream))
	t = le.AppendUint64(t, uint64(b.entry.First))
	t = le.AppendUint32(t, uint32(b.payload))
	t = le.AppendUint32(t, crc32.Update(b.sum, castagnoli, t))
	e := b.entry
	e.Size = int32(b.payload) + int32(len(t))
	*b = blockBuilder{}
	return e, t
}

// decodeBlock verifies a data block that takes up all of p, against its entry in the index. It allocates nothing unless it fails.
func decodeBlock(e BlockEntry, p []byte) (Block, error) {
	b, err := decodeBlockAlone(p)
	if err == nil {
		b.Entry.Position = e.Position
		if b.Entry != e {
			err = &CorruptError{Reason: fmt.Sprintf("data block holds %+v, the index says %+v", b.Entry, e)}
		}
	}
	if err != nil {
		return Block{}, at(err, e.Position)
	}
	return b, nil
}

// decodeBlockAlone verifies a data block without an index. Entry.Position of the result is 0.
func decodeBlockAlone(p []byte) (Block, error) {
	corrupt := func(format string, args ...any) (Block, error) {
		return Block{}, &CorruptError{Reason: "data block: " + fmt.Sprintf(format, args...)}
	}
	if len(p) < blockTrailerSize || len(p) > MaxBlockBytes {
		return corrupt("%d bytes, want %d to %d", len(p), blockTrailerSize, MaxBlockBytes)
	}
	t := p[len(p)-blockTrailerSize:]
	if m := le.Uint32(t); m != blockMagic {
		return corrupt("magic %#x, want %#x", m, uint32(blockMagic))
	}
	records, payload := int64(le.Uint32(t[4:])), int64(le.Uint32(t[24:]))
	if want := payload + records*recordEntrySize + blockTrailerSize; want != int64(len(p)) || records == 0 {
		return corrupt("%d bytes for %d records with %d bytes of payload, want %d", len(p), records, payload, want)
	}
	if got, want := crc32.Checksum(p[:len(p)-checksumSize], castagnoli), le.Uint32(t[28:]); got != want {
		return corrupt("checksum %#x, want %#x", got, want)
	}
	b := Block{Payload: p[:payload:payload], table: p[payload : len(p)-blockTrailerSize : len(p)-blockTrailerSize]}
	b.Entry = BlockEntry{Stream: int64(le.Uint64(t[8:])), First: int64(le.Uint64(t[16:])), Size: int32(len(p)), Records: int32(records)}
	if b.Entry.First < 0 {
		return corrupt("first offset %d", b.Entry.First)
	}
	b.Entry.MaxTimestamp = int64(le.Uint64(b.table[12:]))
	next, pos := b.Entry.First, int64(0)
	for i := 0; i < len(b.table); i += recordEntrySize {
		r := b.table[i : i+recordEntrySize]
		first, count := b.Entry.First+int64(le.Uint32(r)), int64(le.Uint32(r[4:]))
		if first < next || count == 0 || first+count < first || i == 0 && first != b.Entry.First {
			return corrupt("record %d covers %d offsets from %d, after offset %d", i/recordEntrySize, count, first, next)
		}
		next = first + count
		pos += int64(le.Uint32(r[8:]))
		b.Entry.MaxTimestamp = max(b.Entry.MaxTimestamp, int64(le.Uint64(r[12:])))
	}
	if pos != payload {
		return corrupt("records add up to %d bytes of payload, want %d", pos, payload)
	}
	b.Entry.Next = next
	return b, nil
}

// appendCheckpoint appends a checkpoint block.
func appendCheckpoint(dst []byte, stream, offset int64, state []byte) []byte {
	start := len(dst)
	dst = le.AppendUint32(dst, checkpointMagic)
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, uint64(stream))
	dst = le.AppendUint64(dst, uint64(offset))
	dst = le.AppendUint32(dst, uint32(len(state)))
	dst = le.AppendUint32(dst, 0)
	dst = append(dst, state...)
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// decodeCheckpoint verifies a checkpoint block that takes up all of p. The state shares p.
func decodeCheckpoint(p []byte) (stream, offset int64, state []byte, err error) {
	corrupt := func(format string, args ...any) (int64, int64, []byte, error) {
		return 0, 0, nil, &CorruptError{Reason: "checkpoint block: " + fmt.Sprintf(format, args...)}
	}
	if len(p) < checkpointHeadSize+checksumSize {
		return corrupt("%d bytes, want at least %d", len(p), checkpointHeadSize+checksumSize)
	}
	if m := le.Uint32(p); m != checkpointMagic {
		return corrupt("magic %#x, want %#x", m, uint32(checkpointMagic))
	}
	n := int64(le.Uint32(p[24:]))
	if want := checkpointHeadSize + n + checksumSize; n > MaxStateBytes || want != int64(len(p)) {
		return corrupt("%d bytes for a state of %d bytes, want %d", len(p), n, want)
	}
	if got, want := crc32.Checksum(p[:len(p)-checksumSize], castagnoli), le.Uint32(p[len(p)-checksumSize:]); got != want {
		return corrupt("checksum %#x, want %#x", got, want)
	}
	if le.Uint32(p[4:]) != 0 || le.Uint32(p[28:]) != 0 {
		return corrupt("reserved bytes are not 0")
	}
	stream, offset = int64(le.Uint64(p[8:])), int64(le.Uint64(p[16:]))
	if offset < 0 {
		return corrupt("offset %d", offset)
	}
	return stream, offset, p[checkpointHeadSize : checkpointHeadSize+n : checkpointHeadSize+n], nil
}

// at fills in where a CorruptError happened.
func at(err error, pos int64) error {
	if c, ok := err.(*CorruptError); ok {
		c.Position += pos
	}
	return err
}
