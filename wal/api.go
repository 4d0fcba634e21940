package wal

import (
	"errors"
	"fmt"
)

// Position is a logical byte offset in the log. It grows for ever and is never reused while the log keeps its uuid: the ring on the
// device repeats, positions do not.
type Position int64

// Completion is told the fate of one append.
type Completion interface {
	// Durable is called exactly once per successful Append, in append order, on the log's completion goroutine. err is nil when the
	// record and every record before it are on stable storage; otherwise it wraps ErrFailed or ErrClosed. It must not block and
	// must not call Close.
	Durable(pos Position, err error)
}

// Mem is a reference on the off-heap memory that holds an entry's bytes. The memory is returned to the log's budget after the last Unref.
// Safe from any goroutine, also after Close.
type Mem interface {
	Ref()
	Unref()
}

// Entry is one record.
type Entry struct {
	Pos   Position // of the record; strictly growing from record to record
	Block Position // of the block that holds the record; the argument of ReadBlock
	// Data is header and payload back to back, in the WAL's own memory: read-only, valid while Mem is held. When Mem is nil, Data
	// is valid only until the function that was handed the entry returns.
	Data []byte
	Mem  Mem // one reference, owned by the receiver; nil when the bytes are not kept in memory
}

// Errors of a log. Callers act differently on each.
var (
	// ErrFull: no room on the device until Trim, or in a new file until more of it is prepared. Nothing was appended; OnSpace is called when it is
	// worth trying again.
	ErrFull = errors.New("wal: device is full")
	// ErrNoMemory: the memory budget is spent on entries that are still referenced. Nothing was appended; wait for OnSpace.
	ErrNoMemory = errors.New("wal: memory budget is spent")
	// ErrTooLarge: the record can never fit the device or the memory budget.
	ErrTooLarge = errors.New("wal: record is too large")
	// ErrClosed: the log is closed.
	ErrClosed = errors.New("wal: closed")
	// ErrFailed: the device failed. Final for this Log: nothing more is made durable, nothing was retried.
	ErrFailed = errors.New("wal: device failed")
	// ErrNotRecovered: Append or ReadBlock before Recover has returned.
	ErrNotRecovered = errors.New("wal: not recovered yet")
	// ErrCorrupt: a record that had been acknowledged is damaged. See CorruptError.
	ErrCorrupt = errors.New("wal: corrupt")
	// ErrForeign: the target holds something that is not this node's log. See ForeignError.
	ErrForeign = errors.New("wal: foreign device")
	// ErrBusy: another process (or another Log of this process) has the target open.
	ErrBusy = errors.New("wal: target is in use")
	// ErrOldFormat: an earlier version wrote the log and left records in it.
	ErrOldFormat = errors.New("wal: the log has records of an earlier version of this program: start its node with that version and stop it cleanly, which uploads them")
	// ErrFenced: the target was last opened by a later incarnation of the node (a higher node epoch).
	ErrFenced = errors.New("wal: a later node epoch has used the target")
	// ErrNotEmpty: records are in the log, and it cannot shrink. See Resize.
	ErrNotEmpty = errors.New("wal: not empty")
	// ErrTrimmed: the block lies before the trim position, or its space was reused.
	ErrTrimmed = errors.New("wal: position is trimmed")
)

// CorruptError says where acknowledged data is damaged and why it is known to have been acknowledged. It matches ErrCorrupt.
type CorruptError struct {
	Pos    Position // first block that does not chain
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("wal: corrupt: position %d: %s", e.Pos, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// ForeignError says what a refused target holds. It matches ErrForeign.
type ForeignError struct {
	Path  string
	Found string // what was found, for a person
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("wal: %s: refused, it holds %s; format it explicitly to overwrite it", e.Path, e.Found)
}

// Is makes errors.Is(err, ErrForeign) true.
func (e *ForeignError) Is(target error) bool { return target == ErrForeign }

// State of a Log.
type State string

// The states of a Log, in the order in which they can follow each other.
const (
	StateOpened State = "opened" // superblocks are read, Recover has not been called
	StateReady  State = "ready"  // appends are accepted
	StateFailed State = "failed" // the device failed
	StateClosed State = "closed"
)

// Mode says how blocks reach the device.
type Mode string

// The modes of a Log.
const (
	ModeAuto   Mode = ""         // io_uring, and pwrite where the kernel refuses io_uring
	ModeURing  Mode = "io_uring" // one ring, one thread
	ModePWrite Mode = "pwrite"   // a pool of goroutines calling pwrite
)

// Stats is a snapshot of a Log.
type Stats struct {
	State State
	Mode  Mode // never ModeAuto
	// Registered says whether writes use buffers registered with the ring.
	Registered bool
	Sync       SyncChoice // how blocks are made durable; what is found out meanwhile counts at the next opening
	Hardware   Hardware   // the disk under the target

	Capacity int64 // bytes of the ring on the device
	Used     int64 // bytes of the ring between trim and next
	Trim     Position
	Next     Position
	Durable  Position // everything before it is on stable storage

	MemoryUsed   int64 // bytes mapped: in use and kept warm
	MemoryBudget int64
	InFlight     int   // blocks handed to the device and not durable
	Unprepared   int64 // bytes of a new file that are still to be filled with zeroes

	Appends     uint64 // records accepted
	Writes      uint64 // block writes completed
	Bytes       uint64 // bytes written, with headers and padding
	Flushes     uint64 // flushes completed; only SyncFdatasync needs them
	Superblocks uint64 // superblock writes completed
	Wakeups     uint64 // appends that had to wake the ring thread with a system call
}
