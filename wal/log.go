package wal

import "context"

const (
	pageBytes    = 4096
	chunkBytes   = 1 << 20
	maxClusterID = 64
)

// Log is a write-ahead log on one device.
type Log struct{}

// Open opens, creates or validates the target and reads its superblocks. Nothing is scanned yet: Recover must follow.
func Open(Options) (*Log, error) { return nil, ErrClosed }

// Recover hands every record from the trim position to the end of the last durable block to fn, in order, and makes the log ready.
// Once, before the first Append. When memory is short, Entry.Mem is nil and Entry.Data valid only during fn.
// An error of fn ends the recovery and is returned; the log then stays unusable.
func (l *Log) Recover(ctx context.Context, fn func(Entry) error) error { return ErrClosed }

// Append copies header and payload, back to back, into the open block and returns where they lie. It never blocks; any goroutine.
// Errors: ErrFull, ErrNoMemory, ErrTooLarge, ErrClosed, ErrNotRecovered, or one wrapping ErrFailed; c is then not called.
func (l *Log) Append(c Completion, header, payload []byte) (Entry, error) { return Entry{}, ErrClosed }

// ReadBlock reads one block from the device, verifies it and hands its records to fn in order. Entry.Mem is nil.
func (l *Log) ReadBlock(ctx context.Context, block Position, fn func(Entry) error) error {
	return ErrClosed
}

// Trim says that records before p are not needed any more. It returns at once; the space is reused after the trim is durable.
func (l *Log) Trim(p Position) error { return ErrClosed }

// Next returns a position that is greater than every record appended so far: Trim(Next()) trims all of them.
func (l *Log) Next() Position { return 0 }

// Stats returns a snapshot. Any goroutine.
func (l *Log) Stats() Stats { return Stats{} }

// Close stops the log. With clean it first waits until everything appended is durable and marks the log clean; without it, appends that are
// not yet handed to the device fail with ErrClosed. Memory of entries stays valid until their references are dropped.
func (l *Log) Close(clean bool) error { return nil }
