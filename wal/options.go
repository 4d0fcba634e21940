package wal

import (
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Bounds and defaults of Options.
const (
	DefaultCapacity   = 2 << 30
	DefaultMemory     = 256 << 20
	DefaultQueueDepth = 2
	DefaultBlock      = 256 << 10
	DefaultGather     = 64 << 10

	minCapacity = 1 << 20
	minMemory   = 4 << 20
	maxQueue    = 16
	maxBlock    = 1 << 20
)

// Options configures a Log. Path or Device must be set.
type Options struct {
	// Path of a file or a raw block device. A file that does not exist is created, a blank device is formatted. A new file has all its space, but
	// most of it is written only after the log is ready, while it is used; Format writes all of it.
	Path string
	// MustExist refuses a target that has no log yet, instead of making one.
	MustExist bool
	// CapacityBytes is the size of the file when it is created, headers included. Ignored for an existing file; a block device is used
	// whole. A multiple of 4096, at least 1 MiB. Default 2 GiB.
	CapacityBytes int64

	// ClusterID (at most 64 bytes) and NodeID are stored at creation. A target of another cluster or node is refused.
	ClusterID string
	NodeID    int32
	// NodeEpoch is the epoch that the controller gave to this incarnation of the node. A target that carries a higher one is refused.
	// 0: not known, the stored epoch is kept.
	NodeEpoch int64

	// MemoryBytes bounds the memory for entries: those being written and those still referenced. Default 256 MiB, at least 4 MiB.
	MemoryBytes int64
	// QueueDepth is how many block writes may be in flight, 1 to 16. Default 2: every durable write carries a flush, and what arrives meanwhile goes
	// together into the next one. Measured in BENCHMARKS.md of the repository.
	QueueDepth int
	// BlockBytes is how much a group commit gathers in one block; a larger record gets a block of its own. A multiple of 4096,
	// 4 KiB to 1 MiB. Default 256 KiB.
	BlockBytes int
	// GatherBytes is how much must have been gathered to be written while another write is in flight; less waits for that one's completion and goes
	// together with what comes until then. 1 to BlockBytes. Default 64 KiB.
	GatherBytes int

	// Mode forces a way of writing. Default: io_uring where the kernel allows it.
	Mode Mode
	// Sync forces how blocks are made durable. Default: what the target remembers from a trial (see the package page), SyncDSync before there was one. Format
	// makes the target remember Sync, or the winner of a trial. A Device remembers nothing.
	Sync SyncMethod
	// Logger default: discard.
	Logger *slog.Logger
	// OnSpace is called after space or memory became free following an ErrFull or ErrNoMemory. Any goroutine; it must not block.
	OnSpace func()
	// OnFailure is called once when the device fails, before the pending completions are told. It must not block and must not call Close.
	OnFailure func(error)
	// OnDelivered is called on the commit goroutine after it has called completions, once for all of those that came together. It must not block.
	OnDelivered func()
	// Hold is asked on the commit goroutine before it tells the completions of durable blocks, once for all that came together. While it returns true they
	// are not told, nor is anything behind them: to be durable is not enough to be acknowledged. It is asked again with the next commit and after
	// Log.Release; what is still held when the log fails or closes gets that error. nil: nothing is ever held. It must not block.
	Hold func() bool

	// Device replaces Path: a test double, always written by pwrite. With SyncFdatasync it must have WriteVolatile.
	Device Device

	// Tests change these.
	lockWait     time.Duration // how long Open waits for another holder of the target to go
	prepareStep  int64         // bytes of zeroes in one write, see preparation; a multiple of 4096
	prepareFirst int64         // bytes of space that are prepared before the log is ready
	readBytes    int           // of one read of recovery; tests choose less than 1 MiB, which costs memory to touch
	trialIdle    time.Duration // of the log, before it is measured; negative: never
	// stepped replaces the commit goroutine in tests: the log writes through what it returns, and its owner calls committer.turn.
	stepped func(*Log) backend
}

// Device is what a log needs of its target. Offsets, lengths and buffers are aligned to 4096 bytes.
type Device interface {
	// WriteAt returns nil only after p is on stable storage. It is called from several goroutines at once, for disjoint ranges.
	WriteAt(p []byte, off int64) (int, error)
	ReadAt(p []byte, off int64) (int, error)
	// Flush makes everything durable that a ReadAt has returned, and every write that had returned.
	Flush() error
	Size() int64
	Close() error
}

func (o Options) withDefaults() Options {
	if o.CapacityBytes == 0 {
		o.CapacityBytes = DefaultCapacity
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = DefaultMemory
	}
	if o.QueueDepth == 0 {
		o.QueueDepth = DefaultQueueDepth
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = DefaultBlock
	}
	if o.GatherBytes == 0 {
		o.GatherBytes = min(DefaultGather, o.BlockBytes)
	}
	if o.readBytes == 0 {
		o.readBytes = readBytes
	}
	if o.lockWait == 0 && o.MustExist {
		o.lockWait = time.Second // nothing of this caller's was here before, that has to go first
	}
	if o.lockWait == 0 {
		o.lockWait = 5 * time.Second
	}
	if o.prepareStep == 0 {
		o.prepareStep = prepareStep
	}
	if o.trialIdle == 0 {
		o.trialIdle = trialIdle
	}
	if o.prepareFirst == 0 {
		o.prepareFirst = prepareFirst
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.Path == "" && o.Device == nil:
		return fmt.Errorf("wal: Options.Path is empty")
	case o.CapacityBytes < minCapacity || o.CapacityBytes%pageBytes != 0:
		return fmt.Errorf("wal: Options.CapacityBytes is %d, want a multiple of %d and at least %d", o.CapacityBytes, pageBytes, minCapacity)
	case len(o.ClusterID) > maxClusterID:
		return fmt.Errorf("wal: Options.ClusterID has %d bytes, want at most %d", len(o.ClusterID), maxClusterID)
	case o.MemoryBytes < minMemory:
		return fmt.Errorf("wal: Options.MemoryBytes is %d, want at least %d", o.MemoryBytes, minMemory)
	case o.QueueDepth < 1 || o.QueueDepth > maxQueue:
		return fmt.Errorf("wal: Options.QueueDepth is %d, want 1 to %d", o.QueueDepth, maxQueue)
	case o.BlockBytes < pageBytes || o.BlockBytes > maxBlock || o.BlockBytes%pageBytes != 0:
		return fmt.Errorf("wal: Options.BlockBytes is %d, want a multiple of %d from %d to %d", o.BlockBytes, pageBytes, pageBytes, maxBlock)
	case o.GatherBytes < 0 || o.GatherBytes > o.BlockBytes:
		return fmt.Errorf("wal: Options.GatherBytes is %d, want 1 to BlockBytes, %d", o.GatherBytes, o.BlockBytes)
	case o.Mode != ModeAuto && o.Mode != ModeURing && o.Mode != ModePWrite:
		return fmt.Errorf("wal: Options.Mode is %q, want %q, %q or empty", o.Mode, ModeURing, ModePWrite)
	case o.Sync != SyncAuto && !slices.Contains(syncMethods[:], o.Sync):
		return fmt.Errorf("wal: Options.Sync is %q, want one of %q or empty", o.Sync, syncMethods)
	case o.Device != nil && o.Sync == SyncFdatasync && !isVolatileWriter(o.Device):
		return fmt.Errorf("wal: Options.Sync is %q, but the Device has no WriteVolatile", o.Sync)
	case o.Device != nil && o.Mode == ModeURing:
		return fmt.Errorf("wal: Options.Mode is %q, but a Device is always written by %q", o.Mode, ModePWrite)
	}
	return nil
}
