package raftlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
	"github.com/ringmq/ringmq/kraft/record"
)

// Errors of the log.
var (
	// ErrFailed is matched by every error after the log has failed.
	ErrFailed = errors.New("raft log failed")
	// ErrCorrupt: the log is damaged in a part that was acknowledged.
	ErrCorrupt = errors.New("raft log is corrupt")
)

// Options configures a Log.
type Options struct {
	Dir       string
	ClusterID string
	// Identity is written at the head of every segment; a log with another one is refused.
	Identity string
	// Conf gives the members of the quorum as raft wants them, from an image; from the empty one, those that the cluster was founded with.
	Conf func(*image.Image) *pb.ConfState
	// SegmentBytes is the size of a segment, preallocated. The first Open of the process decides.
	SegmentBytes int64
	Logger       *slog.Logger
}

// keepSnapshots is how many snapshot files stay.
const keepSnapshots = 2

// Log is the raft log of one voter. Storage may be used from any goroutine; the other methods belong to one goroutine, except SaveSnapshot.
type Log struct {
	opts  Options
	snaps snapfile.Dir
	mem   *raft.MemoryStorage
	w     *wal.WAL
	last  uint64        // index of the last durable entry
	hs    *pb.HardState // the newest, with its true commit index
	fail  error         // the first error
}

// Recovered is what Open found.
type Recovered struct {
	Image     *image.Image // of the newest readable snapshot; the empty image if there is none
	HardState *pb.HardState
	Entries   int // entries after the snapshot
	Fresh     bool
	Repaired  bool // a torn tail was cut
}

// setSegmentBytes sets etcd's package variable, which all logs of a process share.
var setSegmentBytes sync.Once

// Open opens or creates the log.
func Open(o Options) (*Log, Recovered, error) {
	setSegmentBytes.Do(func() { wal.SegmentSizeBytes = o.SegmentBytes })
	l := &Log{opts: o, snaps: snapfile.Dir(o.Dir), mem: raft.NewMemoryStorage()}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, Recovered{}, fmt.Errorf("raftlog: %w", err)
	}
	var rec Recovered
	var err error
	if wal.Exist(l.walDir()) {
		rec, err = l.recover()
	} else {
		rec, err = l.create()
	}
	if err != nil {
		if l.w != nil {
			l.w.Close()
		}
		return nil, Recovered{}, err
	}
	return l, rec, nil
}

func (l *Log) walDir() string { return filepath.Join(l.opts.Dir, "wal") }

func (l *Log) create() (Recovered, error) {
	ids, err := l.snaps.List()
	if err != nil {
		return Recovered{}, err
	}
	if len(ids) != 0 {
		return Recovered{}, fmt.Errorf("raftlog: %w: %s has the snapshot %s but no log: the log was removed", ErrCorrupt, l.opts.Dir, l.snaps.Path(ids[0]))
	}
	l.w, err = wal.Create(zap.NewNop(), l.walDir(), []byte(l.opts.Identity))
	if err != nil {
		return Recovered{}, fmt.Errorf("raftlog: create %s: %w", l.walDir(), err)
	}
	if err := l.start(snapfile.ID{}, l.opts.Conf(image.New())); err != nil {
		return Recovered{}, err
	}
	hs := &pb.HardState{}
	l.hs = hs
	return Recovered{Image: image.New(), HardState: hs, Fresh: true}, l.mem.SetHardState(hs)
}

// start makes the in-memory log begin after a snapshot.
func (l *Log) start(id snapfile.ID, conf *pb.ConfState) error {
	return l.mem.ApplySnapshot(&pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(uint64(id.Index)), Term: new(uint64(id.Term)), ConfState: conf}})
}

// mark is what the log says of a snapshot. Who the members were is in the snapshot itself; etcd's reader only wants to see something.
func mark(id snapfile.ID, conf *pb.ConfState) *walpb.Snapshot {
	return &walpb.Snapshot{Index: new(uint64(id.Index)), Term: new(uint64(id.Term)), ConfState: conf}
}

func (l *Log) recover() (rec Recovered, err error) {
	id, img, err := l.newestSnapshot()
	if err != nil {
		return rec, err
	}
	rec.Image = img
	if err := checkTail(l.walDir()); err != nil {
		return rec, fmt.Errorf("raftlog: %w", err)
	}
	identity, hs, ents, err := l.read(id)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		// The end of a write that was never acknowledged.
		if !wal.Repair(zap.NewNop(), l.walDir()) {
			return rec, fmt.Errorf("raftlog: %s: %w: the torn tail cannot be cut: %w", l.walDir(), ErrCorrupt, err)
		}
		rec.Repaired = true
		identity, hs, ents, err = l.read(id)
	}
	if err != nil {
		return rec, fmt.Errorf("raftlog: read %s: %w: %w", l.walDir(), ErrCorrupt, err)
	}
	if string(identity) != l.opts.Identity {
		return rec, fmt.Errorf("raftlog: %s belongs to %q, not to %q", l.walDir(), identity, l.opts.Identity)
	}
	if last := id.Index + int64(len(ents)); int64(hs.GetCommit()) > last {
		return rec, fmt.Errorf("raftlog: %s: %w: committed up to %d, but it ends at %d", l.walDir(), ErrCorrupt, hs.GetCommit(), last)
	}
	if err := l.start(id, l.opts.Conf(img)); err != nil {
		return rec, fmt.Errorf("raftlog: %w", err)
	}
	if err := l.mem.Append(ents); err != nil {
		return rec, fmt.Errorf("raftlog: %w", err)
	}
	rec.HardState, rec.Entries = hs, len(ents)
	l.hs, l.last = hs, uint64(id.Index)+uint64(len(ents))
	return rec, l.mem.SetHardState(hs)
}

// read opens the log behind a snapshot and reads it to its end. On success l.w is ready for appending.
func (l *Log) read(id snapfile.ID) (identity []byte, hs *pb.HardState, ents []*pb.Entry, err error) {
	w, err := wal.Open(zap.NewNop(), l.walDir(), mark(id, nil))
	if err != nil {
		return nil, nil, nil, err
	}
	identity, hs, ents, err = w.ReadAll()
	if err != nil {
		return nil, nil, nil, errors.Join(err, w.Close())
	}
	l.w = w
	return identity, hs, ents, nil
}

// newestSnapshot loads the newest readable snapshot that the log knows; the empty image at index 0 if there is none.
func (l *Log) newestSnapshot() (snapfile.ID, *image.Image, error) {
	marks, err := wal.ValidSnapshotEntries(zap.NewNop(), l.walDir())
	if err != nil {
		return snapfile.ID{}, nil, fmt.Errorf("raftlog: read %s: %w: %w", l.walDir(), ErrCorrupt, err)
	}
	known := make(map[snapfile.ID]bool)
	for _, m := range marks {
		known[snapfile.ID{Index: int64(m.GetIndex()), Term: int64(m.GetTerm())}] = true
	}
	ids, err := l.snaps.List()
	if err != nil {
		return snapfile.ID{}, nil, err
	}
	var failures []error
	for _, id := range ids {
		if !known[id] {
			continue // written, but the node stopped before the log knew
		}
		img, err := l.snaps.Load(l.opts.ClusterID, id)
		if err == nil {
			return id, img, nil
		}
		if errors.Is(err, record.ErrUnknown) {
			return snapfile.ID{}, nil, fmt.Errorf("raftlog: %w", err) // an older snapshot would only lead to the same record
		}
		l.opts.Logger.Warn("kraft: snapshot is not readable, trying an older one", "index", id.Index, "cause", err)
		failures = append(failures, err)
	}
	if !known[snapfile.ID{}] {
		err := fmt.Errorf("raftlog: %s: %w: no readable snapshot, and the log does not reach back to the beginning", l.opts.Dir, ErrCorrupt)
		return snapfile.ID{}, nil, errors.Join(append([]error{err}, failures...)...)
	}
	return snapfile.ID{}, image.New(), nil
}

// Storage is the view that raft reads.
func (l *Log) Storage() raft.Storage { return l.mem }

// Snapshots is the directory of snapshot files.
func (l *Log) Snapshots() snapfile.Dir { return l.snaps }

// Append makes entries and the hard state (empty: unchanged) durable, and readable through Storage. Entries replace those at the same and higher
// indexes. What is written of the commit index covers only entries that were durable before (checkTail relies on it); raft learns the rest anew. A hard
// state in which only the commit index differs becomes durable with a later call.
func (l *Log) Append(hs *pb.HardState, ents []*pb.Entry) error {
	if l.fail != nil {
		return l.fail
	}
	last := l.last
	if len(ents) > 0 {
		last = min(last, ents[0].GetIndex()-1)
	}
	written := hs
	if hs.GetCommit() > last {
		written = &pb.HardState{Term: hs.Term, Vote: hs.Vote, Commit: new(last)}
	}
	if err := l.w.Save(written, ents); err != nil {
		return l.failed(err)
	}
	if !raft.IsEmptyHardState(hs) {
		l.hs = hs
		if err := l.mem.SetHardState(hs); err != nil {
			return l.failed(err)
		}
	}
	if err := l.mem.Append(ents); err != nil {
		return l.failed(err)
	}
	if n := len(ents); n > 0 {
		l.last = ents[n-1].GetIndex()
	}
	return nil
}

// Commit makes durable that the entries up to index, which are in the log, are committed.
func (l *Log) Commit(index int64) error {
	if l.fail != nil {
		return l.fail
	}
	if uint64(index) > l.last {
		return l.failed(fmt.Errorf("commit of entry %d, the log ends at %d", index, l.last))
	}
	hs := &pb.HardState{Term: new(l.hs.GetTerm()), Vote: new(l.hs.GetVote()), Commit: new(max(l.hs.GetCommit(), uint64(index)))}
	if err := l.w.Save(hs, nil); err != nil {
		return l.failed(err)
	}
	if err := l.w.Sync(); err != nil {
		return l.failed(err)
	}
	l.hs = hs
	if err := l.mem.SetHardState(hs); err != nil {
		return l.failed(err)
	}
	return nil
}

// Install makes the log begin after a snapshot that the leader sent, and whose members are conf; its file has been received. First comes the mark: without the commit index it is
// ignored by the next Open. Then the commit index, which makes it valid. Entries behind the snapshot may be written only after that, or an Open in between
// would find them behind a gap.
func (l *Log) Install(id snapfile.ID, conf *pb.ConfState) error {
	if l.fail != nil {
		return l.fail
	}
	if err := l.w.SaveSnapshot(mark(id, conf)); err != nil {
		return l.failed(err)
	}
	hs := &pb.HardState{Term: new(l.hs.GetTerm()), Vote: new(l.hs.GetVote()), Commit: new(max(l.hs.GetCommit(), uint64(id.Index)))}
	if err := l.w.Save(hs, nil); err != nil {
		return l.failed(err)
	}
	if err := l.w.Sync(); err != nil {
		return l.failed(err)
	}
	if err := errors.Join(l.start(id, conf), l.mem.SetHardState(hs)); err != nil {
		return l.failed(err)
	}
	l.hs, l.last = hs, uint64(id.Index)
	return nil
}

// Load reads the file of a snapshot.
func (l *Log) Load(id snapfile.ID) (*image.Image, error) { return l.snaps.Load(l.opts.ClusterID, id) }

// Compact tells the log that the file of a snapshot, whose members are conf, is durable: it forgets what is older than the oldest snapshot kept on disk, and in
// memory keeps about trailing bytes of entries before the snapshot, and everything above applied: raft may still look at what it has not been told to be
// applied, even when the snapshot has it.
func (l *Log) Compact(id snapfile.ID, conf *pb.ConfState, trailing, applied int64) error {
	if l.fail != nil {
		return l.fail
	}
	// A mark above the commit index that was written would be ignored.
	if err := l.Append(l.hs, nil); err != nil {
		return err
	}
	if err := l.w.SaveSnapshot(mark(id, conf)); err != nil {
		return l.failed(err)
	}
	if _, err := l.mem.CreateSnapshot(uint64(id.Index), conf, nil); err != nil && !errors.Is(err, raft.ErrSnapOutOfDate) {
		return l.failed(err)
	}
	oldest, err := l.snaps.Keep(keepSnapshots)
	if err != nil {
		return l.failed(err)
	}
	if oldest > 0 {
		if err := l.purge(oldest); err != nil {
			return l.failed(err)
		}
	}
	return l.compactMemory(min(id.Index, applied), trailing)
}

func (l *Log) compactMemory(index, trailing int64) error {
	first, err := l.mem.FirstIndex()
	if err != nil {
		return l.failed(err)
	}
	if uint64(index) < first {
		return nil
	}
	ents, err := l.mem.Entries(first, uint64(index)+1, 1<<62)
	if err != nil {
		return l.failed(err)
	}
	cut := len(ents)
	for size := int64(0); cut > 0; cut-- {
		if size += int64(len(ents[cut-1].GetData())) + entryOverhead; size > trailing {
			break
		}
	}
	if cut == 0 {
		return nil
	}
	if err := l.mem.Compact(ents[cut-1].GetIndex()); err != nil {
		return l.failed(err)
	}
	return nil
}

// entryOverhead is about what an entry costs in memory besides its data.
const entryOverhead = 120

// purge removes the segments that hold nothing behind index.
func (l *Log) purge(index int64) error {
	if err := l.w.ReleaseLockTo(uint64(index)); err != nil {
		return err
	}
	names, starts, err := segments(l.walDir())
	if err != nil {
		return err
	}
	keep := 0
	for i := range names {
		if starts[i] < index {
			keep = i
		}
	}
	for _, name := range names[:keep] {
		if err := os.Remove(filepath.Join(l.walDir(), name)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) failed(err error) error {
	l.fail = fmt.Errorf("%w: %s: %w", ErrFailed, l.walDir(), err)
	return l.fail
}

// Close closes the log. Everything that was appended is durable already. A failed log stays as it is: closing it would write what is left in
// its buffer behind a part of unknown content, so its files remain open until the process ends.
func (l *Log) Close() error {
	if l.fail != nil {
		return nil
	}
	l.fail = fmt.Errorf("%w: closed", ErrFailed)
	if err := l.w.Close(); err != nil {
		return fmt.Errorf("raftlog: close: %w", err)
	}
	return nil
}
