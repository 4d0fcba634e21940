package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
)

// Log is a write-ahead log on one device. Append, Trim, ReadBlock, Next and Stats are safe from any goroutine; Open, Recover and Close
// belong to the owner.
type Log struct {
	opts Options
	log  *slog.Logger
	dev  Device
	pool *pool

	hardware Hardware   // the disk under dev
	sync     SyncChoice // how blocks are made durable

	// super is the newest superblock. Recover sets it for good but for Sequence, Slot, Trim, Durable and Clean, which belong to the
	// commit goroutine from then on.
	super  superblock
	ring   int64 // bytes of the ring; like maxRec fixed by the end of Recover
	maxRec int   // longest record

	mu appendState

	durable  atomic.Int64 // Position; every block before it is durable. Stored by the commit goroutine only
	trimmed  atomic.Int64 // Position; the durable trim. Stored by the commit goroutine only
	sleeping atomic.Int32 // how the commit goroutine blocks, or is about to: awake, resting, waiting, gathering
	released atomic.Bool  // Release was called, and Hold was not asked since
	commit   *committer
	stats    counters

	readers sync.WaitGroup // ReadBlocks that use dev; grows only under mu while the log is not closing
	scratch struct {       // buffers of ReadBlock, at most readBuffers, each opts.BlockBytes long
		sync.Mutex
		free [][]byte
	}
}

// appendState is what appenders and the commit goroutine share.
type appendState struct {
	sync.Mutex
	state   State
	failure error // why state is StateFailed

	open     *block       // gathers records; nil or at least one record
	sealed   blocks       // full blocks in log order, not taken by the commit goroutine yet
	next     Position     // where the next block opens, room for the open block not included
	limit    Position     // the smaller of durable trim + ring and prepared: no block may end above
	prepared Position     // frontier of the preparation, see there
	prep     *preparation // nil before the end of Recover
	trial    *trial       // nil when nothing is to be measured
	trim     Position     // asked for, may not be durable yet
	refused  bool         // ErrFull was returned and no OnSpace has followed
	closing  closing

	chunk     *chunk // where the open block lies, or the next one will; one reference
	chunkUsed int    // bytes of chunk taken by sealed blocks

	starts bitmap
	spare  blocks // recycled block structs
	spares int
}

type closing int

const (
	notClosing   closing = iota
	closingClean         // write everything, then mark clean
	closingNow           // only what is already in flight
)

type counters struct {
	appends, writes, bytes, flushes, superblocks, wakeups atomic.Uint64
	inFlight                                              atomic.Int64
	unprepared                                            atomic.Int64
	writing, acking                                       latencyCounts
}

// Open opens the target and reads its superblocks; an absent or empty file is created, a blank block device formatted. Nothing is scanned
// yet: Recover must follow. Errors: ErrForeign, ErrBusy, ErrFenced, and what the operating system says.
func Open(o Options) (*Log, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	dev, name, hw := o.Device, "device", Hardware{}
	how := SyncChoice{Method: cmp.Or(o.Sync, SyncDSync), Origin: SyncConfigured}
	if dev == nil {
		name = o.Path
		var f *fileDevice
		var err error
		if f, how, err = openOrCreate(o); err != nil {
			return nil, err
		}
		dev = f
		hw = f.hardware()
		hw.log(o.Logger, o.Path)
		how.log(o.Logger, "wal: how writes are made durable", o.Path)
	}
	l, err := open(o, dev, name, how)
	if err != nil {
		if o.Device == nil {
			_ = dev.Close()
		}
		return nil, err
	}
	l.hardware = hw
	return l, nil
}

func openOrCreate(o Options) (*fileDevice, SyncChoice, error) {
	st, err := os.Stat(o.Path)
	if !o.MustExist && (err == nil && st.Mode().IsRegular() && st.Size() == 0 || errors.Is(err, fs.ErrNotExist)) {
		o.Logger.Info("wal: creating the log file", "path", o.Path, "bytes", o.CapacityBytes)
		if err := createFile(o, false); err != nil {
			return nil, SyncChoice{}, err
		}
	}
	how, err := chooseSync(o)
	if err != nil {
		return nil, how, err
	}
	f, err := openFile(o.Path, o.lockWait, how.Method)
	if err == nil && !f.block && f.size != o.CapacityBytes {
		o.Logger.Info("wal: the file keeps its size (ringmq wal resize changes it)", "path", o.Path, "bytes", f.size, "configured", o.CapacityBytes)
	}
	return f, how, err
}

func open(o Options, dev Device, name string, how SyncChoice) (*Log, error) {
	s, err := readSuperblocks(o, dev, name)
	if err != nil {
		return nil, err
	}
	l := &Log{opts: o, log: o.Logger, dev: dev, sync: how}
	l.pool = newPool(o.MemoryBytes, l.kick)
	l.mu.state = StateOpened
	l.mu.trim = s.Trim
	l.setRingLocked(s)
	l.trimmed.Store(int64(s.Trim))
	l.durable.Store(int64(s.Trim))
	if l.commit, err = startCommitter(l); err != nil {
		return nil, err
	}
	return l, nil
}

// setRingLocked adopts a superblock and what follows from its capacity.
func (l *Log) setRingLocked(s superblock) {
	l.super = s
	if ring := s.ring(); ring != l.ring {
		l.ring = ring
		l.maxRec = int(min(ring/2, l.opts.MemoryBytes/2, maxBlockLength)) - blockHeader - recordHeader
		starts := newBitmap(ring / pageBytes)
		copy(starts, l.mu.starts) // a ring that grows leaves its blocks where they are
		l.mu.starts = starts
	}
}

// setLimitLocked follows a durable trim or the preparation of space.
func (l *Log) setLimitLocked() {
	l.mu.limit = min(Position(l.trimmed.Load())+Position(l.ring), l.mu.prepared)
}

// readSuperblocks returns the newer valid copy, after a blank device was formatted, and judges whether it is ours.
func readSuperblocks(o Options, dev Device, name string) (superblock, error) {
	s, faults, err := loadSuperblocks(dev)
	if err != nil {
		return s, err
	}
	for _, fault := range faults {
		if errors.Is(fault, ErrOldFormat) { // whatever the other slot says
			return s, fmt.Errorf("wal: %s: %w", name, fault)
		}
	}
	if faults[0] != nil && faults[1] != nil {
		f, isFile := dev.(*fileDevice)
		found, err := inventory(dev)
		if err != nil {
			return s, err
		}
		if found == "" && (isFile && !f.block || o.MustExist) {
			found = "zeroes, but no superblock"
		}
		if found != "" {
			return s, &ForeignError{Path: name, Found: found}
		}
		o.Logger.Info("wal: formatting a blank device", "path", name, "bytes", dev.Size())
		if err := formatDevice(dev, name, o, false); err != nil {
			return s, err
		}
		if s, faults, err = loadSuperblocks(dev); err != nil {
			return s, err
		}
		if faults[0] != nil && faults[1] != nil {
			return s, fmt.Errorf("wal: %s: neither superblock can be read back after a format (slot 0: %w; slot 1: %w)", name, faults[0], faults[1])
		}
	}
	for slot, fault := range faults {
		if fault != nil {
			o.Logger.Warn("wal: one superblock is damaged, the other is used", "path", name, "slot", slot, "fault", fault)
		}
	}
	switch {
	case s.ClusterID != o.ClusterID || s.NodeID != o.NodeID:
		return s, &ForeignError{Path: name, Found: fmt.Sprintf("the write-ahead log of cluster %q, node %d (this is cluster %q, node %d)",
			s.ClusterID, s.NodeID, o.ClusterID, o.NodeID)}
	case o.NodeEpoch != 0 && s.NodeEpoch > o.NodeEpoch:
		return s, fmt.Errorf("%w: %s was used by node epoch %d, this is %d", ErrFenced, name, s.NodeEpoch, o.NodeEpoch)
	}
	if o.NodeEpoch != 0 {
		s.NodeEpoch = o.NodeEpoch
	}
	return s, nil
}

// loadSuperblocks reads both slots. The result is the valid one with the highest sequence; faults says what is wrong with each.
func loadSuperblocks(dev Device) (s superblock, faults [2]error, err error) {
	if dev.Size() < minCapacity {
		return s, faults, fmt.Errorf("wal: the target has %d bytes, want at least %d", dev.Size(), minCapacity)
	}
	page, err := alloc(pageBytes)
	if err != nil {
		return s, faults, err
	}
	defer release(page)
	for slot := range faults {
		if _, err := dev.ReadAt(page, int64(slot)*slotStride); err != nil {
			faults[slot] = fmt.Errorf("read: %w", err)
			continue
		}
		c, err := decodeSuperblock(page, uint32(slot), dev.Size())
		if err != nil {
			faults[slot] = err
		} else if c.Sequence > s.Sequence {
			s = c
		}
	}
	return s, faults, nil
}

// Next returns a position above every record appended so far. Once these are durable, Trim(Next()) trims all of them.
func (l *Log) Next() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.mu.open; b != nil {
		return b.off + Position(b.used)
	}
	return l.mu.next
}

// Trim says that records before p are not needed any more. It returns at once: the trim is made durable in the background, in whole
// blocks, and only then is the space reused. A p that was trimmed already is ignored, one above Next is an error.
func (l *Log) Trim(p Position) error {
	l.mu.Lock()
	err := l.usableLocked()
	next := l.mu.next
	if l.mu.open != nil {
		next = l.mu.open.off + Position(l.mu.open.used)
	}
	switch {
	case err != nil:
	case p > next:
		err = fmt.Errorf("wal: trim to %d, but the log ends at %d", p, next)
	default:
		l.mu.trim = max(l.mu.trim, p)
	}
	l.mu.Unlock()
	if err == nil {
		l.kick()
	}
	return err
}

// SetNodeEpoch is Options.NodeEpoch for a caller that learns its epoch only when it has the target, locked. REQUIRES: Recover was not called.
func (l *Log) SetNodeEpoch(epoch int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.state != StateOpened {
		return errors.New("wal: SetNodeEpoch after Recover")
	}
	if l.super.NodeEpoch > epoch {
		return fmt.Errorf("%w: %s was used by node epoch %d, this is %d", ErrFenced, l.opts.Path, l.super.NodeEpoch, epoch)
	}
	l.super.NodeEpoch = epoch
	return nil
}

// Release has Options.Hold asked again about what it holds back. Any goroutine; it does not block.
func (l *Log) Release() {
	l.released.Store(true)
	l.kick()
}

// usableLocked says why the log takes no calls, or nil.
func (l *Log) usableLocked() error {
	switch l.mu.state {
	case StateReady:
		return nil
	case StateOpened:
		return ErrNotRecovered
	case StateFailed:
		return l.mu.failure
	}
	return ErrClosed
}

// Stats returns a snapshot. Any goroutine.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	next, state, ring := l.mu.next, l.mu.state, l.ring
	if b := l.mu.open; b != nil {
		next = b.off + Position(roundUp(int64(b.used)))
	}
	l.mu.Unlock()
	trim := Position(l.trimmed.Load())
	if state == StateOpened {
		next = trim
	}
	return Stats{
		State: state, Mode: l.commit.back.mode(), Registered: l.commit.back.registered(), Hardware: l.hardware,
		Capacity: ring, Used: int64(next - trim), Trim: trim, Next: next, Durable: Position(l.durable.Load()),
		MemoryUsed: l.pool.usage(), MemoryBudget: l.opts.MemoryBytes, InFlight: int(l.stats.inFlight.Load()),
		Appends: l.stats.appends.Load(), Writes: l.stats.writes.Load(), Bytes: l.stats.bytes.Load(),
		Sync: l.sync, Flushes: l.stats.flushes.Load(), Superblocks: l.stats.superblocks.Load(), Wakeups: l.stats.wakeups.Load(), Unprepared: l.stats.unprepared.Load(),
	}
}

// Latencies returns how long blocks have taken since the start. Any goroutine. It is not part of Stats, which is asked in the middle of work.
func (l *Log) Latencies() Latencies {
	return Latencies{Write: l.stats.writing.snapshot(), Ack: l.stats.acking.snapshot()}
}

// UUID identifies the log on its device; a format gives a new one.
func (l *Log) UUID() [16]byte { return l.super.UUID }

// Close stops the log and waits for what the device still writes. With clean, everything appended is made durable first and the log is
// marked clean; without, appends that are not in flight fail with ErrClosed. Memory of entries stays valid until its references
// are dropped. The error is the device's failure, if there was one. A second Close does nothing.
func (l *Log) Close(clean bool) error {
	l.mu.Lock()
	if l.mu.closing != notClosing {
		l.mu.Unlock()
		return nil
	}
	failure := l.mu.failure
	l.mu.closing = closingNow
	if clean && l.mu.state == StateReady {
		l.mu.closing = closingClean
	}
	l.mu.state = StateClosed
	l.mu.Unlock()
	l.kick()
	l.commit.wait()
	l.readers.Wait()
	l.mu.Lock()
	prep, trial := l.mu.prep, l.mu.trial
	l.mu.Unlock()
	trial.close()
	prep.close()
	l.mu.Lock()
	if failure == nil {
		failure = l.mu.failure
	}
	if l.mu.chunk != nil {
		l.mu.chunk.Unref()
		l.mu.chunk = nil
	}
	l.mu.Unlock()
	l.pool.close()
	l.scratch.Lock()
	for _, b := range l.scratch.free {
		release(b)
	}
	l.scratch.free = nil
	l.scratch.Unlock()
	return errors.Join(failure, l.dev.Close())
}

// How the commit goroutine sleeps.
const (
	awake     int32 = iota // it looks for work by itself, or has no room for any until a completion comes
	resting                // nothing is in flight: anything wakes it
	waiting                // for the completion of a superblock: anything wakes it
	gathering              // for the completion of a block, upon which it takes what has been gathered: only much wakes it
)

// kick wakes the commit goroutine if it sleeps. Any goroutine.
func (l *Log) kick() {
	if how := l.sleeping.Load(); how != awake && l.sleeping.CompareAndSwap(how, awake) {
		l.stats.wakeups.Add(1)
		l.commit.back.wake(how == resting)
	}
}

// appended wakes the commit goroutine if it would submit now. much: what has been gathered may go beside what is in flight.
func (l *Log) appended(much bool) {
	if much || l.sleeping.Load() != gathering {
		l.kick()
	}
}

// ended returns why ctx has ended, or nil.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	return nil
}
