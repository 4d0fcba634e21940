package s3stream

import (
	"context"
	"errors"
	"time"
)

// StreamID names a stream for ever; ids are given by the controller and never reused.
type StreamID int64

// ObjectID names an object for ever; ids are given by the controller and never reused.
type ObjectID int64

// Errors of streams. Callers act differently on each.
var (
	// ErrFull: the WAL or its memory is full. Nothing was appended; try again after Options.OnSpace.
	ErrFull = errors.New("s3stream: write-ahead log is full")
	// ErrFenced: another owner holds a newer epoch of the stream. Final for this Stream.
	ErrFenced = errors.New("s3stream: stream is fenced")
	// ErrNotClosed: the stream is open at another node, or at another epoch than it was handed over at. It comes with ErrFenced.
	ErrNotClosed = errors.New("s3stream: stream is open elsewhere")
	// ErrClosed: the stream or the storage is closed.
	ErrClosed = errors.New("s3stream: closed")
	// ErrOutOfRange: the offset lies before the start or after the end of the stream.
	ErrOutOfRange = errors.New("s3stream: offset out of range")
	// ErrFailed: the WAL's device failed. Final for the Storage; nothing more is acknowledged.
	ErrFailed = errors.New("s3stream: write-ahead log failed")
	// ErrNotFound: the metadata does not know the stream.
	ErrNotFound = errors.New("s3stream: no such stream")
	// ErrTooLarge: the record can never fit the WAL or its memory. Nothing was appended.
	ErrTooLarge = errors.New("s3stream: record is too large")
	// ErrCold: the offset is not in the log cache. Stream.ReadCold has it.
	ErrCold = errors.New("s3stream: offset is not in memory")
	// ErrDataLoss: acknowledged records that the metadata expects in the WAL are not there. See DataLossError.
	ErrDataLoss = errors.New("s3stream: acknowledged records are missing")
)

// Mem holds bytes alive. Whoever is handed bytes with a Mem owns one reference and calls Unref once.
type Mem interface {
	Ref()
	Unref()
}

// Record is what a stream stores: opaque bytes covering the offsets [First, Next).
type Record struct {
	First        int64
	Next         int64 // one past the last offset; > First
	MaxTimestamp int64 // ms since the epoch, -1 if none; drives retention and lookup by time
	Payload      []byte
}

// Done is told the fate of an append: once, in append order per stream, on the WAL's completion goroutine. It must not block.
// When err is nil the record is durable and Stream.Confirmed has already moved past it.
type Done interface {
	Appended(err error)
}

// Slice is a run of whole records' payloads, adjacent in memory.
type Slice struct {
	First, Next int64 // offsets covered
	Data        []byte
	Mem         Mem // one reference, owned by the receiver
}

// Owner is what a Stream needs of whoever opened it (a partition).
type Owner interface {
	// Checkpoint returns an offset and the owner's state at exactly that offset (all records below it applied, none
	// above). The offset is at least the end of what had been appended when Checkpoint was called. Called from upload goroutines, from the
	// end of OpenStream until Close has returned or a newer Stream has taken over. An offset below what is being uploaded is
	// not used: the owner is asked again for a second, then its last checkpoint is carried along. The state is borrowed until the upload is done.
	Checkpoint() (offset int64, state []byte)
	// Confirmed is called on the WAL's completion goroutine after Stream.Confirmed has moved to next and before Done.Appended of the
	// appends that it covers; several completions may be folded into one call. It must not block.
	Confirmed(next int64)
}

// Opened is what OpenStream found.
type Opened struct {
	Start int64 // first readable offset
	Next  int64 // next offset to append
	// Checkpoint is the newest stored state of the owner (nil if none was ever stored) and CheckpointOffset its offset.
	Checkpoint       []byte
	CheckpointOffset int64
}

// Range is the part of a stream that an object holds.
type Range struct {
	Stream       StreamID
	Epoch        int64
	Start, End   int64 // [Start, End)
	Bytes        int64 // payload bytes of the stream in the object
	MaxTimestamp int64 // ms, largest of the range
}

// ObjectKind tells the two kinds of object apart.
type ObjectKind uint8

const (
	// StreamSetObject holds parts of many streams, as one upload of one node wrote them.
	StreamSetObject ObjectKind = 1
	// StreamObject holds a part of one stream.
	StreamObject ObjectKind = 2
)

// ObjectInfo is a committed object as the metadata knows it.
type ObjectInfo struct {
	ID        ObjectID
	Kind      ObjectKind
	Node      int32 // writer
	Size      int64 // bytes in the bucket
	Ranges    []Range
	Committed time.Time // informational
}

// StreamInfo is a stream as the metadata knows it.
type StreamInfo struct {
	ID         StreamID
	Epoch      int64 // newest epoch granted
	Node       int32 // owner of that epoch, -1 if never opened
	Start, End int64 // trimmed start; committed end: everything below End is in objects
	Cleaned    int64 // everything below is compacted by key
	Closed     bool  // closed cleanly by its last owner: nothing of it remains in any WAL
	Deleted    bool
}

// Commit makes objects part of streams, atomically: all or nothing.
type Commit struct {
	Node      int32
	NodeEpoch int64
	// New objects, prepared before. Extends says whether they continue their streams at StreamInfo.End (an upload)
	// or replace Compacted objects covering the same offsets (a compaction).
	New       []ObjectInfo
	Extends   bool
	Compacted []ObjectID // replaced, to be marked destroyed
}

// RewriteCommit puts objects of one stream in the place of what others hold of it, atomically: all or nothing.
type RewriteCommit struct {
	Stream   StreamID
	Epoch    int64 // that this node owns the stream at
	Cleaned  int64 // to be StreamInfo.Cleaned, if that is lower
	New      []ObjectInfo
	Replaced []ObjectID // they lose their ranges of the stream, and are destroyed when they have no others
}

// Metadata is what the storage asks of the quorum. Reads answer from the local image and do not block; writes return after the local
// image shows their effect. Errors wrap ErrFenced when a newer epoch or node epoch exists, ErrNotFound for an unknown or deleted stream.
type Metadata interface {
	PrepareObjects(ctx context.Context, n int) (first ObjectID, err error) // ids first..first+n-1, to be committed within an hour
	CommitObjects(ctx context.Context, c Commit) error
	RewriteStream(ctx context.Context, c RewriteCommit) error
	OpenStream(ctx context.Context, id StreamID, epoch int64) (StreamInfo, error)
	// TakeOverStream is OpenStream for a stream that its owner at fromEpoch, node from, has handed over.
	TakeOverStream(ctx context.Context, id StreamID, epoch int64, from int32, fromEpoch int64) (StreamInfo, error)
	CloseStream(ctx context.Context, id StreamID, epoch int64) error
	TrimStream(ctx context.Context, id StreamID, epoch int64, start int64) error

	Stream(id StreamID) (StreamInfo, bool)
	// Objects appends to dst the objects that hold offsets >= from of the stream, in offset order, at most limit. Ranges of each
	// returned object are only this stream's.
	Objects(dst []ObjectInfo, id StreamID, from int64, limit int) []ObjectInfo
	// StreamSetObjects returns this node's stream-set objects (all ranges), oldest first, at most limit.
	StreamSetObjects(node int32, limit int) []ObjectInfo
	// Destroyed returns objects marked destroyed longer ago than age, at most limit; Deleted forgets them after their removal from the bucket.
	Destroyed(age time.Duration, limit int) []ObjectID
	Deleted(ctx context.Context, ids []ObjectID) error
	// ObjectState says whether an id is known (prepared or committed); the orphan sweep asks before it deletes an unknown key.
	ObjectState(id ObjectID) (known bool)
}
