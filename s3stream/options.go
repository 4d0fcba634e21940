package s3stream

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/wal"
)

// Log is what the storage needs of the write-ahead log; *wal.Log has it.
type Log interface {
	Recover(ctx context.Context, fn func(wal.Entry) error) error
	Append(c wal.Completion, header, payload []byte) (wal.Entry, error)
	ReadBlock(ctx context.Context, block wal.Position, fn func(wal.Entry) error) error
	Trim(p wal.Position) error
	Next() wal.Position
	Stats() wal.Stats
	Close(clean bool) error
}

// Options configures a Storage. WAL, Bucket, Metadata and ClusterID must be set.
type Options struct {
	// WAL is opened but not yet recovered; the Storage owns it from then on and closes it.
	WAL Log
	// Bucket holds the objects of the cluster, under keys made by object.Key(ClusterID, id).
	Bucket    objstore.Bucket
	Metadata  Metadata
	NodeID    int32
	NodeEpoch int64
	ClusterID string
	// Logger default: discard.
	Logger *slog.Logger

	// UploadBytes is how many payload bytes are gathered before they are uploaded together. Default 500 MiB; never more than a third of
	// the WAL's capacity or of its memory.
	UploadBytes int64
	// UploadInterval is the longest that a record waits for upload while the object store works. Default 60 s; negative: for ever.
	UploadInterval time.Duration
	// StreamSplitBytes: a stream with at least so many payload bytes in one upload gets an object of its own. Default 8 MiB.
	StreamSplitBytes int64
	// BlockBytes is the size of a data block in objects. Default 512 KiB.
	BlockBytes int
	// PartBytes is the size of a part of a multipart upload. 5 MiB to 5 GiB, default 16 MiB.
	PartBytes int64
	// BlockCacheBytes bounds the cache of blocks read from objects or back from the WAL device. Default 64 MiB.
	BlockCacheBytes int64
	// IndexCacheBytes bounds the cache of object indexes. Default 16 MiB.
	IndexCacheBytes int64
	// ReadaheadBytes is the most that is read ahead of one sequential reader. Default 8 MiB, at most a quarter of BlockCacheBytes.
	ReadaheadBytes int64
	// ColdReads is how many requests to the object store reads may have in flight, readahead included. Default 32.
	ColdReads int
	// HurryPercent is the fill level of the WAL, in percent of its capacity, from which uploads start without waiting for UploadBytes. Default 60.
	HurryPercent int
	// TailGrace is how long the upload of recovered records waits for their streams to be opened, so that their owners can add
	// a checkpoint. After it they are uploaded as they are. Default 60 s.
	TailGrace time.Duration
	// Digest makes an empty digest of a stream, of which the WAL holds records. nil: streams are opened without.
	Digest func(StreamID) Digest
	// Unowned: nobody is going to open the recovered streams. What the WAL holds of them is uploaded at once, and Open fails with ErrDataLoss when records of a
	// stream of this node do not join what the object store has, which otherwise OpenStream finds out. For the rescue of a dead node's WAL.
	Unowned bool
	// RetryMin and RetryMax bound the pause after a failed upload, which doubles from one failure to the next. Defaults 100 ms and 10 s.
	RetryMin, RetryMax time.Duration

	// CompactInterval is the pause between compactions of stream-set objects, StreamCompactInterval that of stream objects.
	// Defaults 5 min and 30 min; negative: only when Compact is called.
	CompactInterval       time.Duration
	StreamCompactInterval time.Duration
	// CompactSplitBytes: a stream with at least so many bytes in the stream-set objects that are compacted together gets an object of its own. Default
	// StreamSplitBytes.
	CompactSplitBytes int64
	// ForceSplitAge: stream-set objects of that age are taken apart into stream objects whatever their streams' share is. Default 2 h.
	ForceSplitAge time.Duration
	// CompactMaxSets is how many stream-set objects one step takes in, 8 to 100: each needs memory. Default 100.
	CompactMaxSets int
	// CompactMaxBytes is the size up to which stream objects are merged. Default 10 GiB.
	CompactMaxBytes int64
	// CompactCacheBytes bounds how many bytes of stream-set objects one compaction step takes in. Default 200 MiB.
	CompactCacheBytes int64

	// CompactBytesPerSecond bounds what the background compaction reads and sends, so that it does not take the network and the CPU from producers
	// and readers. What the store copies by itself does not count. Default 64 MiB/s; negative: no bound.
	CompactBytesPerSecond int64

	// SweepInterval is the pause between two rounds of deleting destroyed objects. Default 1 min; negative: only when Sweep is called.
	SweepInterval time.Duration
	// DeleteRetention is how long a destroyed object stays in the bucket for those who still read it. Default 10 min.
	DeleteRetention time.Duration
	// OrphanInterval is the pause between two searches of the bucket for objects and multipart uploads that nobody knows, and OrphanAge
	// the age from which they are removed. Defaults 6 h (negative: only when SweepOrphans is called) and 2 h.
	OrphanInterval time.Duration
	OrphanAge      time.Duration

	// OnSpace is called after an append was refused with ErrFull, when it is worth trying again. It must not block and may be called more
	// often than needed. The WAL knows first when space or memory is free: give wal.Options.OnSpace the same function. Without that an
	// append that was refused may wait some milliseconds longer.
	OnSpace func()
	// OnFailure is called once when the WAL has failed: nothing more will be acknowledged. It must not block.
	OnFailure func(error)
	// Now is the wall clock, used for ages. Default time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.UploadBytes == 0 {
		o.UploadBytes = 500 << 20
	}
	if o.WAL != nil {
		st := o.WAL.Stats()
		o.UploadBytes = min(o.UploadBytes, max(st.Capacity/3, 1), max(st.MemoryBudget/3, 1))
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.UploadInterval, time.Minute)
	def(&o.TailGrace, time.Minute)
	def(&o.RetryMin, 100*time.Millisecond)
	def(&o.RetryMax, 10*time.Second)
	def(&o.CompactInterval, 5*time.Minute)
	def(&o.StreamCompactInterval, 30*time.Minute)
	def(&o.ForceSplitAge, 2*time.Hour)
	def(&o.SweepInterval, time.Minute)
	def(&o.DeleteRetention, 10*time.Minute)
	def(&o.OrphanInterval, 6*time.Hour)
	def(&o.OrphanAge, 2*time.Hour)
	if o.StreamSplitBytes == 0 {
		o.StreamSplitBytes = 8 << 20
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = 512 << 10
	}
	if o.PartBytes == 0 {
		o.PartBytes = 16 << 20
	}
	if o.BlockCacheBytes == 0 {
		o.BlockCacheBytes = 64 << 20
	}
	if o.IndexCacheBytes == 0 {
		o.IndexCacheBytes = 16 << 20
	}
	if o.ReadaheadBytes == 0 {
		o.ReadaheadBytes = 8 << 20
	}
	o.ReadaheadBytes = min(o.ReadaheadBytes, o.BlockCacheBytes/4)
	if o.ColdReads == 0 {
		o.ColdReads = 32
	}
	if o.HurryPercent == 0 {
		o.HurryPercent = 60
	}
	if o.CompactSplitBytes == 0 {
		o.CompactSplitBytes = o.StreamSplitBytes
	}
	if o.CompactMaxSets == 0 {
		o.CompactMaxSets = maxSets
	}
	if o.CompactMaxBytes == 0 {
		o.CompactMaxBytes = 10 << 30
	}
	if o.CompactCacheBytes == 0 {
		o.CompactCacheBytes = 200 << 20
	}
	if o.CompactBytesPerSecond == 0 {
		o.CompactBytesPerSecond = 64 << 20
	}
	if o.OnSpace == nil {
		o.OnSpace = func() {}
	}
	if o.OnFailure == nil {
		o.OnFailure = func(error) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.WAL == nil:
		return fmt.Errorf("s3stream: Options.WAL is nil")
	case o.Bucket == nil:
		return fmt.Errorf("s3stream: Options.Bucket is nil")
	case o.Metadata == nil:
		return fmt.Errorf("s3stream: Options.Metadata is nil")
	case o.ClusterID == "":
		return fmt.Errorf("s3stream: Options.ClusterID is empty")
	case o.UploadBytes < 1:
		return fmt.Errorf("s3stream: Options.UploadBytes is %d, want at least 1", o.UploadBytes)
	case o.StreamSplitBytes < 1:
		return fmt.Errorf("s3stream: Options.StreamSplitBytes is %d, want at least 1", o.StreamSplitBytes)
	case o.CompactSplitBytes < 1 || o.ForceSplitAge < 0:
		return fmt.Errorf("s3stream: Options.CompactSplitBytes and ForceSplitAge are %d and %v, want more than 0", o.CompactSplitBytes, o.ForceSplitAge)
	case o.CompactMaxSets < minSets || o.CompactMaxSets > maxSets:
		return fmt.Errorf("s3stream: Options.CompactMaxSets is %d, want %d to %d", o.CompactMaxSets, minSets, maxSets)
	case o.BlockBytes < 1<<10 || o.BlockBytes > object.MaxBlockBytes/2:
		return fmt.Errorf("s3stream: Options.BlockBytes is %d, want %d to %d", o.BlockBytes, 1<<10, object.MaxBlockBytes/2)
	case o.PartBytes < objstore.MinPartBytes || o.PartBytes > objstore.MaxPartBytes:
		return fmt.Errorf("s3stream: Options.PartBytes is %d, want %d to %d", o.PartBytes, objstore.MinPartBytes, int64(objstore.MaxPartBytes))
	case o.ColdReads < 1:
		return fmt.Errorf("s3stream: Options.ColdReads is %d, want at least 1", o.ColdReads)
	case o.BlockCacheBytes < 1 || o.IndexCacheBytes < 1:
		return fmt.Errorf("s3stream: Options.BlockCacheBytes and IndexCacheBytes are %d and %d, want at least 1", o.BlockCacheBytes, o.IndexCacheBytes)
	case o.HurryPercent < 1 || o.HurryPercent > 100:
		return fmt.Errorf("s3stream: Options.HurryPercent is %d, want 1 to 100", o.HurryPercent)
	case o.RetryMin < 0 || o.RetryMax < o.RetryMin:
		return fmt.Errorf("s3stream: Options.RetryMin and RetryMax are %v and %v, want 0 < RetryMin <= RetryMax", o.RetryMin, o.RetryMax)
	}
	return nil
}
