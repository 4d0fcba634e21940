package s3stream

import "context"

// Stream is an open stream. Methods may be called from any goroutine, except that the caller serialises Append.
type Stream struct{}

// Append makes r the next record of the stream: r.First must be where the last one ended. It never blocks; the payload is copied before it
// returns. done (may be nil) is called once unless Append fails. Errors: ErrFull (try again after Options.OnSpace), ErrTooLarge, ErrFenced, ErrClosed, ErrFailed.
func (st *Stream) Append(r Record, done Done) error { panic("API only") }

// Confirmed is the offset behind the last durable record. It never moves back.
func (st *Stream) Confirmed() int64 { panic("API only") }

// Start is the first readable offset. It never moves back.
func (st *Stream) Start() int64 { panic("API only") }

// Read appends to dst the records from the one that holds offset from, as long as they end at or before limit and fit maxBytes; the first one even when it
// is larger, if atLeastOne. It serves from memory only: ErrCold when the offset is not there. ErrOutOfRange below Start. It does not block or allocate when dst has room. The caller releases each slice's Mem.
func (st *Stream) Read(dst []Slice, from, limit int64, maxBytes int, atLeastOne bool) ([]Slice, error) {
	panic("API only")
}

// ReadCold is Read from wherever the records are. It may wait for the object store or the WAL device: call it from a goroutine that may block.
func (st *Stream) ReadCold(ctx context.Context, from, limit int64, maxBytes int, atLeastOne bool) ([]Slice, error) {
	panic("API only")
}

// Prefetch starts to bring maxBytes from offset from on into the block cache. It returns at once and does nothing when the offset is in memory.
func (st *Stream) Prefetch(from int64, maxBytes int) { panic("API only") }

// Sizes is the number of payload bytes from Start to the end. Objects that Start cuts in two count in proportion.
func (st *Stream) Sizes() int64 { panic("API only") }

// Trim moves Start: at once for readers, durably when it returns nil. Above Confirmed: ErrOutOfRange. Not above Start: nothing happens.
func (st *Stream) Trim(ctx context.Context, start int64) error { panic("API only") }

// Extent is a run of offsets that an index knows.
type Extent struct {
	First, Next  int64
	MaxTimestamp int64 // ms, largest in it
}

// FirstAtOrAfter finds the first record whose MaxTimestamp is at least timestamp: the extent (one record, or a block of records) that begins at
// or before it and ends behind it. Only indexes are read. False when there is none.
func (st *Stream) FirstAtOrAfter(ctx context.Context, timestamp int64) (Extent, bool, error) {
	panic("API only")
}

// MaxTimestamp finds the first extent with the largest MaxTimestamp of the stream. False when the stream is empty.
func (st *Stream) MaxTimestamp(ctx context.Context) (Extent, bool, error) { panic("API only") }

// Retain returns the offset to which Trim would bring the stream to keep retentionMillis and retentionBytes (negative: no limit): never above
// Confirmed, in steps of objects or of what was gathered for one upload. nowMillis is the time since the epoch.
func (st *Stream) Retain(nowMillis, retentionMillis, retentionBytes int64) (start int64) {
	panic("API only")
}

// Close refuses further appends, uploads the tail, commits it and closes the stream in the metadata. After an error the stream stays
// closed for appends and Close may be called again.
func (st *Stream) Close(ctx context.Context) error { panic("API only") }
