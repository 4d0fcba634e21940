package s3stream

import "context"

// Storage is the streams of one node.
type Storage struct{}

// Open recovers the WAL and starts the background work. When it returns, every stream's tail is indexed and streams can be opened; the upload of what was
// found runs behind. Metadata must already show everything that this node had committed before.
func Open(ctx context.Context, o Options) (*Storage, error) { panic("API only") }

// Replay receives what OpenStream found, before OpenStream returns. An error ends the opening and is returned.
type Replay struct {
	// Opened is called first, once.
	Opened func(Opened) error
	// Record is called for each record at or after Opened.CheckpointOffset, in offset order. The payload is valid only during the call.
	Record func(Record) error
}

// OpenStream makes this node the writer of a stream with an epoch, hands the newest checkpoint and the records behind it to replay, and then returns the stream.
// An earlier Stream of the same id and a lower epoch is fenced. owner is not called before OpenStream has returned... see doc.go.
func (s *Storage) OpenStream(ctx context.Context, id StreamID, epoch int64, owner Owner, replay Replay) (*Stream, Opened, error) {
	panic("API only")
}

// DropStream forgets a deleted stream: its cached records are dropped, its tail is not uploaded, an open Stream of it is closed.
func (s *Storage) DropStream(id StreamID) { panic("API only") }

// Flush uploads and commits everything appended so far and trims the WAL behind it. It retries until ctx ends.
func (s *Storage) Flush(ctx context.Context) error { panic("API only") }

// Close stops all work. With clean it first flushes (as long as ctx lives; what is left stays in the WAL) and marks the WAL clean.
func (s *Storage) Close(ctx context.Context, clean bool) error { panic("API only") }

// Stats returns a snapshot. Any goroutine.
func (s *Storage) Stats() Stats { panic("API only") }

// Stats is a snapshot of a Storage.
type Stats struct {
	Streams       int   // open
	CachedBytes   int64 // payload bytes in the log cache
	PendingBytes  int64 // payload bytes appended and not yet uploaded
	PendingOnDisk int64 // those of PendingBytes that had to leave memory and are read back from the WAL device

	Appends, AppendedBytes, Refused                   int64 // Refused: ErrFull
	Uploads, UploadFailures, UploadedBytes            int64 // committed uploads, failed attempts, payload bytes committed
	Objects                                           int64 // objects committed by uploads
	Compactions, CompactedObjects                     int64 // committed compactions, objects replaced by them
	ObjectsDeleted, OrphansDeleted, UploadsAborted    int64
	HotReads, ColdReads                               int64
	BlockCacheBytes, BlockCacheHits, BlockCacheMisses int64
	ReadaheadBytes                                    int64 // fetched before anybody asked
}
