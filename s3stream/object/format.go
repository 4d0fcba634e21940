package object

import (
	"errors"
	"fmt"
	"hash/crc32"
)

// The sizes of the format, in bytes. FORMAT.md draws them.
const (
	recordEntrySize     = 20
	blockTrailerSize    = 32
	checkpointHeadSize  = 32
	checksumSize        = 4
	blockEntrySize      = 48
	checkpointEntrySize = 32
	indexHeadSize       = 24
	footerSize          = 48

	// FooterSize is the size of the footer, the last bytes of every object.
	FooterSize = footerSize
)

// Limits of the format. They bound what a decoder allocates for damaged input.
const (
	// MaxPayloadBytes is the largest payload of one record, and MaxBlockBytes the largest data block with its record table.
	MaxPayloadBytes = 1 << 30
	MaxBlockBytes   = 1<<30 + 1<<24
	// MaxStateBytes is the largest opaque state of a checkpoint.
	MaxStateBytes = 1 << 28
	// MaxIndexBytes is the largest index block. It is enough for 5 million data blocks.
	MaxIndexBytes = 1 << 28
)

// Version of the format written, and the newest one read.
const Version = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors of objects. Reading may also fail with an error of package objstore.
var (
	// ErrCorrupt: bytes of the object are damaged, or are not what its index says.
	ErrCorrupt = errors.New("object: corrupt")
	// ErrTooNew: the object has a version of the format that this program does not know.
	ErrTooNew = errors.New("object: format version too new")
	// ErrInvalid: the caller broke a rule of the writer (order, size). Nothing of the call was written.
	ErrInvalid = errors.New("object: invalid argument")
	// ErrClosed: the writer was finished or aborted before.
	ErrClosed = errors.New("object: writer is closed")
)

// CorruptError says where an object is damaged and how. It matches ErrCorrupt.
type CorruptError struct {
	Key      string // of the object; empty for a decoder that knows only bytes
	Position int64  // of the damaged structure in the object
	Reason   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("object: corrupt: %s at %d: %s", e.Key, e.Position, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Record is one payload of a stream, covering the offsets [First, Next).
type Record struct {
	Stream       int64
	First        int64
	Next         int64
	MaxTimestamp int64 // ms since the epoch, -1 if none
	Payload      []byte
	// Mem, when not nil, is released once by the Writer when it does not need Payload any more, whatever became of the write: also when Append
	// fails. When nil, Payload is borrowed until Finish or Abort has returned.
	Mem Releaser
}

// Releaser is a reference on memory; s3stream.Mem and wal.Mem have this method.
type Releaser interface{ Unref() }

// BlockEntry is what the index says of one data block.
type BlockEntry struct {
	Stream       int64
	First, Next  int64 // offsets covered: [First, Next)
	Position     int64 // in the object
	Size         int32 // bytes of the block, record table and trailer included
	Records      int32
	MaxTimestamp int64 // ms, largest of its records
}

// PayloadBytes is the number of payload bytes in the block.
func (e BlockEntry) PayloadBytes() int64 {
	return int64(e.Size) - int64(e.Records)*recordEntrySize - blockTrailerSize
}

// CheckpointEntry is what the index says of one checkpoint block.
type CheckpointEntry struct {
	Stream   int64
	Offset   int64 // the state is the one after all records below Offset
	Position int64 // in the object
	Size     int32 // bytes of the block, head and checksum included
}

// StreamRange sums up one stream's part of an object.
type StreamRange struct {
	Stream       int64
	Start, End   int64 // [Start, End); holes are possible after log compaction
	Bytes        int64 // payload bytes
	Records      int64
	MaxTimestamp int64 // ms
}

// Result describes a finished object.
type Result struct {
	Key     string
	Size    int64         // bytes in the bucket
	Ranges  []StreamRange // by stream id; streams that have only a checkpoint are not in it
	Index   *Index        // what Open would read
	Parts   int           // requests that carried bytes: 1 for a single PUT
	Copied  int64         // bytes that the store copied by itself
	Written int64         // bytes sent
	Read    int64         // bytes fetched to write them again
	Hedged  int           // requests made a second time because they took long
}
