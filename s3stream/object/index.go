package object

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

var le = binary.LittleEndian

const (
	indexMagic  = 0x49514d52         // "RMQI"
	footerMagic = 0x314a424f514d4752 // "RGMQOBJ1"
)

// Index says where everything in an object lies. It does not change after Open and may be read by any goroutine.
type Index struct {
	// Blocks are sorted by stream, then by offset, and lie in the object in this order without gaps from position 0.
	Blocks []BlockEntry
	// Checkpoints follow the last data block without gaps, sorted by stream, at most one for each.
	Checkpoints []CheckpointEntry
}

// Find returns the position in x.Blocks of the block that holds offset, or, when offset lies in a hole or before the first block of the
// stream, of the first block after it. False when the object has nothing of the stream at or after offset.
func (x *Index) Find(stream, offset int64) (int, bool) {
	i, _ := slices.BinarySearchFunc(x.Blocks, offset, func(e BlockEntry, offset int64) int {
		if c := cmp.Compare(e.Stream, stream); c != 0 {
			return c
		}
		if e.Next <= offset {
			return -1
		}
		return 1
	})
	return i, i < len(x.Blocks) && x.Blocks[i].Stream == stream
}

// FindTime returns the position in x.Blocks of the stream's first block whose MaxTimestamp is at least timestamp.
func (x *Index) FindTime(stream, timestamp int64) (int, bool) {
	blocks, at := x.Stream(stream)
	for i, e := range blocks {
		if e.MaxTimestamp >= timestamp {
			return at + i, true
		}
	}
	return 0, false
}

// Stream returns the blocks of one stream and the position of the first of them in x.Blocks.
func (x *Index) Stream(stream int64) ([]BlockEntry, int) {
	byStream := func(e BlockEntry, s int64) int { return cmp.Compare(e.Stream, s) }
	i, _ := slices.BinarySearchFunc(x.Blocks, stream, byStream)
	n := len(x.Blocks) - i
	if stream != maxInt64 {
		end, _ := slices.BinarySearchFunc(x.Blocks[i:], stream+1, byStream)
		n = end
	}
	return x.Blocks[i : i+n : i+n], i
}

const maxInt64 = 1<<63 - 1

// Checkpoint returns the entry of the stream's checkpoint.
func (x *Index) Checkpoint(stream int64) (CheckpointEntry, bool) {
	i, ok := slices.BinarySearchFunc(x.Checkpoints, stream, func(e CheckpointEntry, s int64) int { return cmp.Compare(e.Stream, s) })
	if !ok {
		return CheckpointEntry{}, false
	}
	return x.Checkpoints[i], true
}

// Ranges sums up each stream that has blocks, by stream id.
func (x *Index) Ranges() []StreamRange {
	var out []StreamRange
	for _, e := range x.Blocks {
		if n := len(out); n == 0 || out[n-1].Stream != e.Stream {
			out = append(out, StreamRange{Stream: e.Stream, Start: e.First, MaxTimestamp: e.MaxTimestamp})
		}
		r := &out[len(out)-1]
		r.End = e.Next
		r.Bytes += e.PayloadBytes()
		r.Records += int64(e.Records)
		r.MaxTimestamp = max(r.MaxTimestamp, e.MaxTimestamp)
	}
	return out
}

// DataBytes is the number of bytes of data blocks, which is where the first checkpoint block lies.
func (x *Index) DataBytes() int64 {
	if n := len(x.Blocks); n > 0 {
		return x.Blocks[n-1].Position + int64(x.Blocks[n-1].Size)
	}
	return 0
}

// end is the position behind the last checkpoint block: where the index block lies.
func (x *Index) end() int64 {
	if n := len(x.Checkpoints); n > 0 {
		return x.Checkpoints[n-1].Position + int64(x.Checkpoints[n-1].Size)
	}
	return x.DataBytes()
}

// encodedSize is the size of the index block.
func (x *Index) encodedSize() int {
	return indexHeadSize + len(x.Blocks)*blockEntrySize + len(x.Checkpoints)*checkpointEntrySize + checksumSize
}

// appendIndex appends the index block.
func appendIndex(dst []byte, x *Index) []byte {
	start := len(dst)
	dst = slices.Grow(dst, x.encodedSize())
	dst = le.AppendUint32(dst, indexMagic)
	dst = le.AppendUint32(dst, uint32(len(x.Blocks)))
	dst = le.AppendUint32(dst, uint32(len(x.Checkpoints)))
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, uint64(x.DataBytes()))
	for _, e := range x.Blocks {
		dst = le.AppendUint64(dst, uint64(e.Stream))
		dst = le.AppendUint64(dst, uint64(e.First))
		dst = le.AppendUint64(dst, uint64(e.Next))
		dst = le.AppendUint64(dst, uint64(e.Position))
		dst = le.AppendUint32(dst, uint32(e.Size))
		dst = le.AppendUint32(dst, uint32(e.Records))
		dst = le.AppendUint64(dst, uint64(e.MaxTimestamp))
	}
	for _, e := range x.Checkpoints {
		dst = le.AppendUint64(dst, uint64(e.Stream))
		dst = le.AppendUint64(dst, uint64(e.Offset))
		dst = le.AppendUint64(dst, uint64(e.Position))
		dst = le.AppendUint32(dst, uint32(e.Size))
		dst = le.AppendUint32(dst, 0)
	}
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// decodeIndex decodes an index block that takes up all of b and lies at position pos of its object.
func decodeIndex(b []byte, pos int64) (*Index, error) {
	corrupt := func(format string, args ...any) error {
		return &CorruptError{Position: pos, Reason: "index block: " + fmt.Sprintf(format, args...)}
	}
	if len(b) < indexHeadSize+checksumSize {
		return nil, corrupt("%d bytes, want at least %d", len(b), indexHeadSize+checksumSize)
	}
	if m := le.Uint32(b); m != indexMagic {
		return nil, corrupt("magic %#x, want %#x", m, uint32(indexMagic))
	}
	blocks, checkpoints := int64(le.Uint32(b[4:])), int64(le.Uint32(b[8:]))
	if want := indexHeadSize + blocks*blockEntrySize + checkpoints*checkpointEntrySize + checksumSize; want != int64(len(b)) {
		return nil, corrupt("%d bytes for %d blocks and %d checkpoints, want %d", len(b), blocks, checkpoints, want)
	}
	if got, want := crc32.Checksum(b[:len(b)-checksumSize], castagnoli), le.Uint32(b[len(b)-checksumSize:]); got != want {
		return nil, corrupt("checksum %#x, want %#x", got, want)
	}
	if z := le.Uint32(b[12:]); z != 0 {
		return nil, corrupt("reserved bytes are %#x, want 0", z)
	}
	x := &Index{}
	dataBytes, p := le.Uint64(b[16:]), b[indexHeadSize:]
	if blocks > 0 {
		x.Blocks = make([]BlockEntry, blocks)
	}
	for i := range x.Blocks {
		x.Blocks[i] = BlockEntry{
			Stream: int64(le.Uint64(p)), First: int64(le.Uint64(p[8:])), Next: int64(le.Uint64(p[16:])), Position: int64(le.Uint64(p[24:])),
			Size: int32(le.Uint32(p[32:])), Records: int32(le.Uint32(p[36:])), MaxTimestamp: int64(le.Uint64(p[40:])),
		}
		p = p[blockEntrySize:]
	}
	if checkpoints > 0 {
		x.Checkpoints = make([]CheckpointEntry, checkpoints)
	}
	for i := range x.Checkpoints {
		x.Checkpoints[i] = CheckpointEntry{Stream: int64(le.Uint64(p)), Offset: int64(le.Uint64(p[8:])), Position: int64(le.Uint64(p[16:])), Size: int32(le.Uint32(p[24:]))}
		if z := le.Uint32(p[28:]); z != 0 {
			return nil, corrupt("reserved bytes of checkpoint %d are %#x, want 0", i, z)
		}
		p = p[checkpointEntrySize:]
	}
	if err := x.check(); err != nil {
		return nil, corrupt("%v", err)
	}
	if dataBytes != uint64(x.DataBytes()) {
		return nil, corrupt("%d bytes of data, want %d", dataBytes, x.DataBytes())
	}
	if x.end() != pos {
		return nil, corrupt("lies at %d, but data and checkpoints end at %d", pos, x.end())
	}
	return x, nil
}

// check tells whether the entries keep the rules of the format.
func (x *Index) check() error {
	var pos int64
	for i, e := range x.Blocks {
		switch {
		case e.Position != pos:
			return fmt.Errorf("block %d lies at %d, want %d", i, e.Position, pos)
		case e.First < 0 || e.Next <= e.First:
			return fmt.Errorf("block %d covers offsets %d to %d", i, e.First, e.Next)
		case e.Records <= 0 || e.Size > MaxBlockBytes || e.PayloadBytes() < 0:
			return fmt.Errorf("block %d has %d records in %d bytes", i, e.Records, e.Size)
		case i > 0 && e.Stream < x.Blocks[i-1].Stream:
			return fmt.Errorf("block %d of stream %d follows one of stream %d", i, e.Stream, x.Blocks[i-1].Stream)
		case i > 0 && e.Stream == x.Blocks[i-1].Stream && e.First < x.Blocks[i-1].Next:
			return fmt.Errorf("block %d begins at offset %d, but the one before it ends at %d", i, e.First, x.Blocks[i-1].Next)
		}
		pos += int64(e.Size)
	}
	for i, e := range x.Checkpoints {
		switch {
		case e.Position != pos:
			return fmt.Errorf("checkpoint %d lies at %d, want %d", i, e.Position, pos)
		case e.Offset < 0:
			return fmt.Errorf("checkpoint %d has offset %d", i, e.Offset)
		case e.Size < checkpointHeadSize+checksumSize || e.Size > MaxStateBytes+checkpointHeadSize+checksumSize:
			return fmt.Errorf("checkpoint %d has %d bytes", i, e.Size)
		case i > 0 && e.Stream <= x.Checkpoints[i-1].Stream:
			return fmt.Errorf("checkpoint %d of stream %d follows one of stream %d", i, e.Stream, x.Checkpoints[i-1].Stream)
		}
		pos += int64(e.Size)
	}
	return nil
}

// footer is the last structure of an object.
type footer struct {
	indexPosition int64
	indexSize     int32
	objectSize    int64
}

// appendFooter appends the footer of an object whose index block ends where the footer begins.
func appendFooter(dst []byte, f footer) []byte {
	start := len(dst)
	dst = le.AppendUint64(dst, uint64(f.indexPosition))
	dst = le.AppendUint32(dst, uint32(f.indexSize))
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, uint64(f.objectSize))
	dst = le.AppendUint64(dst, 0)
	dst = le.AppendUint32(dst, Version)
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, footerMagic)
	le.PutUint32(dst[start+36:], footerSum(dst[start:]))
	return dst
}

// footerSum is the checksum of a footer: of all its bytes without the checksum's own.
func footerSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:36], castagnoli), castagnoli, b[40:footerSize])
}

// decodeFooter decodes the last footerSize bytes of an object of the given size.
func decodeFooter(b []byte, size int64) (footer, error) {
	corrupt := func(format string, args ...any) error {
		return &CorruptError{Position: size - footerSize, Reason: "footer: " + fmt.Sprintf(format, args...)}
	}
	if len(b) != footerSize || size < footerSize {
		return footer{}, corrupt("%d bytes of an object of %d, want %d", len(b), size, footerSize)
	}
	if m := le.Uint64(b[40:]); m != footerMagic {
		return footer{}, corrupt("magic %#x, want %#x", m, uint64(footerMagic))
	}
	// Magic, version and checksum keep their places in every version, so that a damaged version does not pass for a new one.
	if got, want := footerSum(b), le.Uint32(b[36:]); got != want {
		return footer{}, corrupt("checksum %#x, want %#x", got, want)
	}
	if v := le.Uint32(b[32:]); v > Version {
		return footer{}, fmt.Errorf("%w: %d, this program reads up to %d", ErrTooNew, v, Version)
	} else if v == 0 {
		return footer{}, corrupt("version 0")
	}
	f := footer{indexPosition: int64(le.Uint64(b)), objectSize: int64(le.Uint64(b[16:]))}
	indexSize := le.Uint32(b[8:])
	switch {
	case le.Uint32(b[12:]) != 0 || le.Uint64(b[24:]) != 0:
		return footer{}, corrupt("reserved bytes are not 0")
	case f.objectSize != size:
		return footer{}, corrupt("written for an object of %d bytes, this one has %d", f.objectSize, size)
	case indexSize > MaxIndexBytes:
		return footer{}, corrupt("index block of %d bytes, at most %d", indexSize, MaxIndexBytes)
	case f.indexPosition != size-footerSize-int64(indexSize):
		return footer{}, corrupt("index block of %d bytes at %d does not end at the footer at %d", indexSize, f.indexPosition, size-footerSize)
	}
	f.indexSize = int32(indexSize)
	return f, nil
}
