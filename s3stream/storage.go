package s3stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/wal"
)

const (
	maxPayload = object.MaxPayloadBytes
	partBytes  = 160 // what a part costs in the index beside its entries, roughly
)

// Storage is the streams of one node.
type Storage struct {
	opts    Options
	log     Log
	bucket  objstore.Bucket
	meta    Metadata
	logger  *slog.Logger
	limiter logLimiter

	// turn is held for reading around each append, for writing while the active segment changes: so every record lies in the segment that its
	// position says.
	turn   sync.RWMutex
	active *segment // guarded by turn

	segments struct {
		sync.Mutex
		sealed []*segment // in WAL order: committed ones that are still cached, then pending ones
	}
	pendingSegments atomic.Int64 // sealed, not committed

	// relieving excludes those who take memory out of sealed segments from those who read it without tail.mu (the uploader, by pinning).
	relieving sync.Mutex

	streams struct {
		sync.Mutex
		tails map[StreamID]*tail
	}

	completions sync.Pool // *completion
	pages       pagePool
	durable     notifier // a record became durable, or failed: woken by each completion, so what waits must be quick to look and rare
	changes     notifier // something was uploaded, opened, dropped or failed

	cached struct {
		payload atomic.Int64 // payload bytes in memory
		device  atomic.Int64 // payload bytes that are indexed but only on the WAL device
		index   atomic.Int64 // bytes of entries and parts
		pending atomic.Int64 // payload bytes not uploaded
	}
	keepAt  atomic.Int64 // WAL position from which an append wakes the keeper
	short   atomic.Bool  // the WAL refused an append for lack of memory
	hungry  atomic.Bool  // an append was refused; its caller waits for OnSpace
	failure atomic.Pointer[error]
	closing atomic.Bool

	wakeKeeper   chan struct{} // capacity 1
	wakeUploader chan struct{} // capacity 1
	flushes      atomic.Int64  // Flush and Close calls that wait
	opened       time.Time     // for TailGrace

	blocks  *blockCache
	indexes *indexCache
	compact compactor
	sweep   sweeper

	ctx    context.Context // of all background work
	cancel context.CancelFunc
	work   sync.WaitGroup
	gate   struct {
		sync.RWMutex
		stopped bool // no new work
	}
	coldSlots  chan struct{} // one token per request of a read in flight
	aheadSlots chan struct{} // those of them that may be readahead

	count counters
}

type counters struct {
	appends, appendedBytes, refused                                 atomic.Int64
	uploads, uploadFailures, uploadedBytes, objects                 atomic.Int64
	hotReads, coldReads, hits, misses, readahead                    atomic.Int64
	compactions, compactedObjects, deleted, orphans, uploadsAborted atomic.Int64
}

// Open recovers the WAL and starts the background work. When it returns, every stream's tail is indexed and streams can be opened; the upload
// of what was found runs behind. Metadata must already show everything that this node had committed before. Open may be
// repeated after a crash at any point of it: it changes nothing but what it holds in memory.
func Open(ctx context.Context, o Options) (*Storage, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Storage{
		opts: o, log: o.WAL, bucket: o.Bucket, meta: o.Metadata, logger: o.Logger,
		wakeKeeper: make(chan struct{}, 1), wakeUploader: make(chan struct{}, 1),
	}
	s.limiter.now = o.Now
	s.completions.New = func() any { return new(completion) }
	s.streams.tails = make(map[StreamID]*tail)
	s.active = &segment{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.blocks = newBlockCache(s, o.BlockCacheBytes)
	s.indexes = newIndexCache(s, o.IndexCacheBytes)
	if err := s.recover(ctx); err != nil {
		s.cancel()
		return nil, err
	}
	if o.Unowned {
		if err := s.gaps(); err != nil {
			s.cancel()
			s.release()
			return nil, fmt.Errorf("s3stream: recover: %w", err)
		}
	}
	s.opened = o.Now()
	s.coldSlots = make(chan struct{}, o.ColdReads)
	s.aheadSlots = make(chan struct{}, max(1, o.ColdReads/2))
	s.work.Go(s.keep)
	s.work.Go(s.upload)
	s.startCompactor()
	s.startSweeper()
	s.kick(s.wakeKeeper)
	s.kick(s.wakeUploader)
	return s, nil
}

// spawn runs fn on a goroutine that Close waits for. False: the storage is closed.
func (s *Storage) spawn(fn func()) bool {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.gate.stopped {
		return false
	}
	s.work.Go(fn)
	return true
}

// key is the name of an object in the bucket.
func (s *Storage) key(id ObjectID) string { return object.Key(s.opts.ClusterID, int64(id)) }

// kick wakes the owner of a channel; a second kick before it has woken is folded into the first.
func (s *Storage) kick(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// fail stops the storage for ever: the WAL has failed.
func (s *Storage) fail(err error) {
	if s.failure.CompareAndSwap(nil, &err) {
		s.logger.Error("write-ahead log failed: nothing more is acknowledged", "cause", err)
		s.opts.OnFailure(err)
		s.durable.wake()
		s.changes.wake()
	}
}

// failedError is what calls answer after a failure of the WAL.
func (s *Storage) failedError() error {
	if p := s.failure.Load(); p != nil {
		return fmt.Errorf("%w: %w", ErrFailed, *p)
	}
	return ErrFailed
}

// tail returns the tail of a stream, which it makes when there is none.
func (s *Storage) tail(id StreamID) *tail {
	s.streams.Lock()
	defer s.streams.Unlock()
	t := s.streams.tails[id]
	if t == nil {
		t = &tail{id: id}
		t.mu.end, t.mu.epoch = -1, -1
		s.streams.tails[id] = t
	}
	return t
}

// forget drops tails that hold nothing and that nobody has open.
func (s *Storage) forget(ts []*tail) {
	s.streams.Lock()
	defer s.streams.Unlock()
	for _, t := range ts {
		t.mu.Lock()
		if len(t.mu.parts) == 0 && t.mu.stream == nil && !t.mu.opening && t.mu.lost == nil && t.mu.taking == nil && s.streams.tails[t.id] == t {
			delete(s.streams.tails, t.id)
		}
		t.mu.Unlock()
	}
}

// DropStream forgets a deleted stream: an open Stream of it is closed, its tail is not uploaded. What it has in memory and in the WAL goes with the
// records around it. After a crash the WAL still holds its records; they are dropped again because the metadata does not know the stream.
func (s *Storage) DropStream(id StreamID) {
	s.streams.Lock()
	t := s.streams.tails[id]
	delete(s.streams.tails, id)
	s.streams.Unlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	if st := t.mu.stream; st != nil && streamState(st.state.Load()) != streamFenced {
		st.state.Store(int32(streamClosed))
	}
	t.dropLocked()
	t.mu.Unlock()
	s.dropped()
}

// dropLocked ends a tail that is in the map no more. tail.mu is held.
func (t *tail) dropLocked() {
	t.mu.dropped, t.mu.stream, t.mu.taking = true, nil, nil
	t.voidLocked()
}

// dropped wakes who may wait for a tail that has been dropped.
func (s *Storage) dropped() {
	s.durable.wake()
	s.changes.wake()
	s.kick(s.wakeUploader)
}

// voidLocked takes everything out of the tail; the memory goes with its segments. tail.mu is held.
func (t *tail) voidLocked() {
	for _, p := range t.mu.parts {
		p.void = true
	}
	t.mu.parts, t.mu.digest = nil, nil
}

// Flush uploads and commits everything appended so far and trims the WAL behind it. It retries until ctx ends; what is not uploaded
// then stays in the WAL.
func (s *Storage) Flush(ctx context.Context) error {
	s.flushes.Add(1)
	defer s.flushes.Add(-1)
	s.rotate()
	var last *segment
	s.segments.Lock()
	if n := len(s.segments.sealed); n > 0 {
		last = s.segments.sealed[n-1]
	}
	s.segments.Unlock()
	if last == nil {
		return nil
	}
	s.kick(s.wakeUploader)
	done := false
	err := s.changes.wait(ctx, func() bool {
		s.segments.Lock()
		done = last.committed
		s.segments.Unlock()
		return done || s.failure.Load() != nil || s.ctx.Err() != nil
	})
	switch {
	case done:
		return nil
	case err != nil:
		return fmt.Errorf("s3stream: flush: %w", err)
	case s.failure.Load() != nil:
		return s.failedError()
	}
	return ErrClosed
}

// Close stops all work and closes the WAL. With clean it first uploads everything, as long as ctx lives; what is left stays in the WAL, to be found by the next
// Open. Without clean it stops where it stands, as a crash would, but for the memory. Close is called once.
func (s *Storage) Close(ctx context.Context, clean bool) error {
	s.closing.Store(true)
	s.changes.wake()
	var errs []error
	if clean {
		s.closeStreams()
		if err := s.Flush(ctx); err != nil {
			errs = append(errs, err)
		}
	} else {
		s.closeStreams()
	}
	s.gate.Lock()
	s.gate.stopped = true
	s.gate.Unlock()
	s.cancel()
	s.durable.wake()
	s.changes.wake()
	s.work.Wait()
	if err := s.log.Close(clean); err != nil {
		errs = append(errs, fmt.Errorf("s3stream: close: %w", err))
	}
	s.release()
	return errors.Join(errs...)
}

// closeStreams refuses further appends on every stream.
func (s *Storage) closeStreams() {
	s.streams.Lock()
	defer s.streams.Unlock()
	for _, t := range s.streams.tails {
		t.mu.Lock()
		if st := t.mu.stream; st != nil && streamState(st.state.Load()) == streamOpen {
			st.state.Store(int32(streamClosing))
		}
		t.mu.Unlock()
	}
}

// release drops all memory of the log cache. Nothing else runs any more; readers that still hold slices hold their own references.
func (s *Storage) release() {
	s.relieving.Lock()
	defer s.relieving.Unlock()
	for _, g := range append(s.segments.sealed, s.active) {
		for _, p := range g.mu.parts {
			s.evictPart(p, maxPosition, nil)
			p.tail.mu.Lock()
			if st := p.tail.mu.stream; st != nil {
				st.state.Store(int32(streamClosed))
			}
			p.tail.mu.Unlock()
		}
	}
	s.segments.sealed = nil
}

const maxPosition = wal.Position(1<<63 - 1)

// account subtracts what left the cache from the totals.
func (s *Storage) account(f freed) {
	if f.payload != 0 {
		s.cached.payload.Add(-f.payload)
	}
	if f.device != 0 {
		s.cached.device.Add(-f.device)
	}
	if f.index != 0 {
		s.cached.index.Add(-f.index)
	}
}
