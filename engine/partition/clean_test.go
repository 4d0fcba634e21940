package partition

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/streamtest"
	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

// world is a partition with everything below it. The cluster, the bucket and the disk survive its crashes.
type world struct {
	t       *testing.T
	cluster *streamtest.Cluster
	bucket  objstore.Bucket
	disk    *waltest.Disk
	stream  s3stream.StreamID
	epoch   int64
	storage *s3stream.Storage
	p       *Partition
	now     atomic.Int64 // ms; uploads look at it, too
	cfg     config.TopicConfig
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, cluster: streamtest.NewCluster(), bucket: objstore.NewMemory("test"), disk: waltest.New(8 << 20)}
	w.now.Store(1_000_000)
	w.stream = w.cluster.CreateStream()
	w.cfg = config.TopicConfig{
		MaxMessageBytes: 1 << 20, RetentionMillis: -1, RetentionBytes: -1, CleanupPolicy: config.CleanupPolicy{Compact: true}, BeforeMaxMillis: math.MaxInt64, AfterMaxMillis: math.MaxInt64,
		CompressionType: config.CompressionProducer, SegmentBytes: 1 << 20, SegmentMillis: 1, DeleteRetentionMillis: 1000, MaxCompactionLag: math.MaxInt64,
	}
	return w
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	w.t.Cleanup(cancel)
	return ctx
}

// start opens storage and partition as the next incarnation of the node.
func (w *world) start() {
	w.t.Helper()
	w.epoch++
	l, err := wal.Open(wal.Options{Device: w.disk, ClusterID: "c", NodeID: 1, NodeEpoch: w.epoch, MemoryBytes: 8 << 20, QueueDepth: 4, BlockBytes: 64 << 10, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.storage, err = s3stream.Open(w.ctx(), s3stream.Options{WAL: l, Bucket: w.bucket, Metadata: w.cluster.Node(1, w.epoch), NodeID: 1, NodeEpoch: w.epoch, ClusterID: "c",
		Digest: func(s3stream.StreamID) s3stream.Digest { return NewDigest() }, BlockBytes: 1 << 10, StreamSplitBytes: 4 << 10,
		UploadInterval: -1, CompactInterval: -1, StreamCompactInterval: -1, SweepInterval: -1, OrphanInterval: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.p, err = Open(w.ctx(), w.storage, Options{Topic: "t", LeaderEpoch: int32(w.epoch), StreamID: w.stream, Config: w.cfg, Logger: slog.New(slog.DiscardHandler), Now: w.now.Load})
	if err != nil {
		w.t.Fatal(err)
	}
}

// stop shuts down cleanly, or crashes; what was acknowledged survives.
func (w *world) stop(clean bool, seed uint64) {
	w.t.Helper()
	if clean {
		if err := w.storage.Close(w.ctx(), true); err != nil {
			w.t.Fatal(err)
		}
		w.disk = w.disk.Reopen()
		return
	}
	w.cluster.Node(1, w.epoch+1) // fences the dead one
	disk := w.disk.Kill(len(w.disk.History()), waltest.RandomFate(seed), waltest.RandomFate(seed+1), rand.New(rand.NewPCG(seed, 2)))
	_ = w.storage.Close(context.Background(), false)
	w.disk = disk
}

// await is a Done that hands over what it is told.
type await chan error

func (a await) Appended(err error) { a <- err }

// append appends a batch, or with mark a marker, and waits until it is durable. It returns the offset.
func (w *world) append(b kproto.Batch) int64 {
	w.t.Helper()
	done := make(await, 1)
	a := w.p.Append(slices.Clone(b), 11, NotVerified, done)
	if a.Unverified {
		a = w.p.Append(slices.Clone(b), 11, a.Verified, done)
	}
	return w.appended(a, done)
}

func (w *world) mark(producer int64, commit bool) int64 {
	w.t.Helper()
	done := make(await, 1)
	return w.appended(w.p.AppendMarker(Marker{ProducerID: producer, CoordinatorEpoch: 1, Commit: commit}, done), done)
}

func (w *world) appended(a Appended, done await) int64 {
	w.t.Helper()
	if a.Code != kproto.None || !a.Pending {
		w.t.Fatalf("append: %v %s, pending=%t", a.Code, a.Message, a.Pending)
	}
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
	return a.BaseOffset
}

func (w *world) flush() {
	w.t.Helper()
	if err := w.storage.Flush(w.ctx()); err != nil {
		w.t.Fatal(err)
	}
}

// clean compacts what is due, with memory for a number of keys.
func (w *world) clean(keys int64) (Cleaned, error) {
	w.t.Helper()
	d, err := w.p.Dirt(w.ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.p.Clean(w.ctx(), d, CleanOptions{MapBytes: keys * 24, MapLoad: 0.9})
}

func (w *world) mustClean() Cleaned {
	w.t.Helper()
	done, err := w.clean(1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// seen is a record as a consumer gets it.
type seen struct {
	offset, timestamp int64
	key, value        string
	tombstone         bool
}

// consume reads the log as a consumer does that wants committed records only, from the log start to the last stable offset.
func (w *world) consume() (out []seen) {
	w.t.Helper()
	var it kproto.RecordIter
	defer it.Close()
	for offset := w.p.LogStart(); offset < w.p.LastStable(); {
		parts, _, code, err := w.p.ReadCold(w.ctx(), offset, 2000, true, true)
		if code != kproto.None || err != nil {
			w.t.Fatalf("fetch at %d: %v %v", offset, code, err)
		}
		if len(parts) == 0 {
			if w.p.LastStable() == w.p.HighWatermark() {
				w.t.Fatalf("fetch at %d: nothing, the log ends at %d: a consumer would be stuck", offset, w.p.HighWatermark())
			}
			break // nothing is left before the open transaction
		}
		end := parts[len(parts)-1].Next
		coming := w.p.Aborted(nil, offset, end)
		aborted := make(map[int64]bool)
		for _, s := range parts {
			err := kproto.SplitBatches(s.Data, func(b kproto.Batch) error {
				if err := b.Verify(); err != nil {
					return err
				}
				if b.ProducerID() >= 0 {
					coming = slices.DeleteFunc(coming, func(a kproto.AbortedTxn) bool {
						begun := a.FirstOffset <= b.LastOffset()
						aborted[a.ProducerID] = aborted[a.ProducerID] || begun
						return begun
					})
				}
				if m, ok := ParseMarker(b); ok && !m.Commit {
					delete(aborted, b.ProducerID())
				}
				if b.IsControl() {
					return nil
				}
				if b.IsTransactional() && aborted[b.ProducerID()] {
					return nil
				}
				if err := it.Reset(b); err != nil {
					return err
				}
				for it.Next() {
					if r := it.Record(); r.Offset >= offset {
						out = append(out, seen{r.Offset, r.Timestamp, string(r.Key), string(r.Value), r.Value == nil})
					}
				}
				return it.Err()
			})
			s.Mem.Unref()
			if err != nil {
				w.t.Fatalf("fetch at %d: %v", offset, err)
			}
		}
		offset = end
	}
	return out
}

// history is the model: every record ever appended, and what became of it.
type history struct {
	*world
	rng     *rand.Rand
	records []written
	open    map[int64]int // producers with an open transaction: index of its first record
	seq     map[int64]int32
	value   int
}

type written struct {
	seen
	producer  int64
	at        int64 // when
	undecided bool
	aborted   bool
}

const modelKeys = 12

func (h *history) write(producer int64, txn bool) {
	var bb kproto.BatchBuilder
	bb.Reset()
	bb.Codec = kproto.Codec(h.rng.IntN(5))
	n := 1 + h.rng.IntN(6)
	var recs []written
	for range n {
		h.value++
		r := written{seen: seen{timestamp: h.now.Load() - h.rng.Int64N(5), key: fmt.Sprintf("k%d", h.rng.IntN(modelKeys))}, producer: producer, at: h.now.Load(), undecided: txn}
		if r.tombstone = h.rng.IntN(5) == 0; r.tombstone {
			bb.Add(r.timestamp, []byte(r.key), nil, nil)
		} else {
			r.value = fmt.Sprintf("v%d-%0*d", h.value, h.rng.IntN(200), 0)
			bb.Add(r.timestamp, []byte(r.key), []byte(r.value), nil)
		}
		recs = append(recs, r)
	}
	if producer >= 0 {
		bb.SetProducer(producer, 0, h.seq[producer], txn)
		h.seq[producer] += int32(n)
	}
	base := h.append(bb.Bytes())
	if _, ok := h.open[producer]; txn && !ok {
		h.open[producer] = len(h.records)
	}
	for i := range recs {
		recs[i].offset = base + int64(i)
	}
	h.records = append(h.records, recs...)
}

func (h *history) end(producer int64) {
	commit := h.rng.IntN(2) == 0
	h.mark(producer, commit)
	for i := h.open[producer]; i < len(h.records); i++ {
		if r := &h.records[i]; r.producer == producer {
			r.undecided, r.aborted = false, !commit
		}
	}
	delete(h.open, producer)
}

// check compares what a consumer sees with the model.
func (h *history) check() error {
	got := h.consume()
	byOffset := make(map[int64]written, len(h.records))
	last := make(map[string]written)
	lso, start := h.p.LastStable(), h.p.LogStart()
	for _, r := range h.records {
		byOffset[r.offset] = r
		if !r.aborted && !r.undecided && r.offset < lso && r.offset >= start {
			last[r.key] = r
		}
	}
	st, err := h.p.stream.Stored()
	if err != nil {
		return err
	}
	view := make(map[string]seen)
	previous := int64(-1)
	for _, s := range got {
		w, ok := byOffset[s.offset]
		switch {
		case s.offset <= previous:
			return fmt.Errorf("offset %d after %d", s.offset, previous)
		case !ok || w.seen != s:
			return fmt.Errorf("offset %d: got %+v, written %+v", s.offset, s, w)
		case w.aborted || w.undecided:
			return fmt.Errorf("offset %d: got an aborted record, of producer %d", s.offset, w.producer)
		}
		if old, ok := view[s.key]; ok && s.offset < st.Cleaned {
			return fmt.Errorf("key %s is there at %d and at %d, cleaned up to %d", s.key, old.offset, s.offset, st.Cleaned)
		}
		view[s.key], previous = s, s.offset
	}
	for key, w := range last {
		s, ok := view[key]
		switch {
		case w.tombstone && !ok && h.now.Load()-w.at >= h.cfg.DeleteRetentionMillis:
		case !ok || s != w.seen:
			return fmt.Errorf("key %s is %+v, %t, want %+v (now %d, written %d, log start %d)", key, s, ok, w, h.now.Load(), w.at, start)
		}
	}
	return nil
}

// TestCleanModel cleans in a random history of plain, idempotent and transactional writes, uploads, compactions of objects, crashes in the middle, and truncations.
func TestCleanModel(t *testing.T) {
	var fixed tally
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { fixed = fixed.plus(cleanHistory(t, seed)) })
	}
	if !t.Failed() && (fixed.failed == 0 || fixed.forgotten == 0 || fixed.removed == 0 || fixed.passes <= fixed.cleanings/3) {
		t.Fatalf("%+v: these histories show too little", fixed)
	}
	for range 4 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { cleanHistory(t, seed) })
	}
}

// tally counts what happened.
type tally struct {
	cleanings, passes, failed, forgotten int
	removed                              int64 // bytes
}

func (a tally) plus(b tally) tally {
	return tally{a.cleanings + b.cleanings, a.passes + b.passes, a.failed + b.failed, a.forgotten + b.forgotten, a.removed + b.removed}
}

func cleanHistory(t *testing.T, seed uint64) (did tally) {
	h := &history{world: newWorld(t), rng: rand.New(rand.NewPCG(seed, 3)), open: make(map[int64]int), seq: make(map[int64]int32)}
	h.start()
	defer func() { _ = h.storage.Close(context.Background(), false) }()
	defer func() {
		if t.Failed() {
			t.Logf("replay with seed %d", seed)
		}
	}()
	for step := range 250 {
		h.now.Add(h.rng.Int64N(200))
		switch n := h.rng.IntN(26); {
		case n < 6:
			h.write(-1, false)
		case n < 9:
			h.write(h.rng.Int64N(3), false)
		case n < 14:
			h.write(10+h.rng.Int64N(3), true)
		case n < 17:
			for _, id := range []int64{10, 11, 12} {
				if _, ok := h.open[id]; ok && h.rng.IntN(2) == 0 {
					h.end(id)
				}
			}
		case n < 19:
			h.flush()
		case n == 19:
			if err := h.storage.Compact(h.ctx()); err != nil {
				t.Fatal(err)
			}
		case n == 20 && step > 50:
			start := h.p.LogStart() + h.rng.Int64N(h.p.LastStable()-h.p.LogStart()+1)/4
			if err := h.p.DeleteTo(h.ctx(), start); err != nil {
				t.Fatal(err)
			}
		case n == 21:
			h.stop(h.rng.IntN(2) == 0, h.rng.Uint64())
			h.start()
		case n == 22:
			h.now.Add(markerGrace.Milliseconds()) // markers and tombstones come of age
			fallthrough
		default:
			h.flush()
			h.now.Add(2)
			indexed := len(h.p.mu.txns.aborted)
			refuse, after := h.rng.IntN(6) == 0, h.rng.IntN(2) == 0
			calls, fail := 0, 1+h.rng.IntN(2)
			h.cluster.SetFault(func(op string, applied bool) error {
				if op == "RewriteStream" && refuse && applied == after {
					if calls++; calls == fail {
						return errors.New("injected: the owner dies here")
					}
				}
				return nil
			})
			done, err := h.clean(3 + h.rng.Int64N(20))
			h.cluster.SetFault(nil)
			if err != nil && !refuse {
				t.Fatal(err)
			}
			if err != nil {
				did.failed++
				h.stop(false, h.rng.Uint64())
				h.start()
			}
			did.cleanings, did.passes = did.cleanings+1, did.passes+done.Passes
			did.removed += done.Before - done.After
			did.forgotten += max(indexed-len(h.p.mu.txns.aborted), 0)
		}
		if err := h.check(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	for id := range h.open {
		h.end(id)
	}
	h.now.Add(2)
	h.flush()
	h.mustClean()
	h.stop(true, 0)
	h.start()
	if err := h.check(); err != nil {
		t.Fatalf("in the end: %v", err)
	}
	if got := len(h.consume()); got > modelKeys+6 {
		t.Fatalf("%d records are left of %d keys", got, modelKeys)
	}
	t.Logf("%d records, %+v", len(h.records), did)
	return did
}

// sequence of an idempotent producer survives: TestCleanModel's producers would be refused otherwise. This one shows the batch that holds it.
func TestCleanKeepsSequence(t *testing.T) {
	w := newWorld(t)
	w.start()
	defer func() { _ = w.storage.Close(context.Background(), false) }()
	for i := range int32(3) {
		var bb kproto.BatchBuilder
		bb.SetProducer(7, 0, i, false)
		bb.Add(w.now.Load(), []byte("k"), []byte("v"), nil)
		w.append(bb.Bytes())
	}
	var bb kproto.BatchBuilder
	bb.Add(w.now.Load(), []byte("k"), []byte("last"), nil)
	w.append(bb.Bytes())
	w.flush()
	w.now.Add(10)
	done := w.mustClean()
	w.stop(true, 0)
	w.start()
	var left []string
	err := w.p.Scan(w.ctx(), 0, w.p.HighWatermark(), func(b kproto.Batch) error {
		left = append(left, fmt.Sprintf("%d-%d seq=%d count=%d", b.BaseOffset(), b.LastOffset(), b.BaseSequence(), b.Count()))
		return nil
	})
	if want := []string{"2-2 seq=2 count=0", "3-3 seq=-1 count=1"}; err != nil || !slices.Equal(left, want) {
		t.Fatalf("%q, want %q: %v (%+v)", left, want, err, done)
	}
	if got := binary.BigEndian.Uint64(kproto.Batch(bb.Bytes())); got != 0 {
		t.Fatalf("the builder's batch changed: base offset %d", got)
	}
	// By time: the empty batch is older than the record, and has nothing.
	if found, ok, err := w.p.FirstAtOrAfter(w.ctx(), 0); err != nil || !ok || found.Offset != 3 {
		t.Fatalf("first record by time: %+v %t %v", found, ok, err)
	}
	if found, ok, err := w.p.MaxTimestamp(w.ctx()); err != nil || !ok || found.Offset != 3 {
		t.Fatalf("last record by time: %+v %t %v", found, ok, err)
	}
}

// TestDirt: what is active, young, or not stable is not cleaned, and what little is dirty is not due.
func TestDirt(t *testing.T) {
	w := newWorld(t)
	w.start()
	defer func() { _ = w.storage.Close(context.Background(), false) }()
	put := func(n int) {
		for range n {
			var bb kproto.BatchBuilder
			bb.Add(w.now.Load(), []byte("k"), make([]byte, 400), nil)
			w.append(bb.Bytes())
		}
		w.flush()
	}
	dirt := func() Dirt {
		d, err := w.p.Dirt(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	set := func(change func(c *config.TopicConfig)) {
		c := w.cfg
		change(&c)
		w.p.SetConfig(c)
	}
	put(10)
	old := w.now.Load()
	w.now.Add(1000)
	put(10)
	for _, c := range []struct {
		what   string
		change func(c *config.TopicConfig)
		to     int64
		due    bool
	}{
		{"everything is younger than segment.ms", func(c *config.TopicConfig) { c.SegmentMillis = 5000 }, 0, false},
		{"half is older", func(c *config.TopicConfig) { c.SegmentMillis = 500 }, 10, true},
		{"half is older than max.compaction.lag.ms", func(c *config.TopicConfig) { c.SegmentMillis, c.MaxCompactionLag = 5000, 500 }, 10, true},
		{"the last segment.bytes are active", func(c *config.TopicConfig) { c.SegmentMillis, c.SegmentBytes = 5000, 2000 }, 14, true},
		{"half is younger than min.compaction.lag.ms", func(c *config.TopicConfig) { c.SegmentMillis, c.MinCompactionLag = 0, 500 }, 10, true},
		{"all is old", func(c *config.TopicConfig) { c.SegmentMillis = 0 }, 20, true},
		{"the ratio asks for more than there can be", func(c *config.TopicConfig) { c.SegmentMillis, c.MinCleanableRatio = 0, 1 }, 20, false},
	} {
		set(c.change)
		// Blocks of 1 KiB hold two batches.
		if d := dirt(); d.To != c.to || d.Due != c.due {
			t.Errorf("%s: %+v, want to=%d due=%t", c.what, d, c.to, c.due)
		}
	}
	// Cleaned once, the same share of new dirt is not due before there is enough of it.
	set(func(c *config.TopicConfig) { c.SegmentMillis, c.MinCleanableRatio = 0, 0.5 })
	if done := w.mustClean(); done.To != 20 || done.RecordsKept != 1 {
		t.Fatalf("%+v", done)
	}
	if d := dirt(); d.Due || d.Dirty != 20 || d.DirtyBytes != 0 {
		t.Fatalf("cleaned: %+v", d)
	}
	var bb kproto.BatchBuilder
	bb.SetProducer(9, 0, 0, true)
	bb.Add(old, []byte("k"), []byte("x"), nil)
	first := w.append(bb.Bytes())
	put(3)
	if d := dirt(); d.To != first {
		t.Fatalf("behind the last stable offset %d: %+v", first, d)
	}
	w.mark(9, true)
	put(1)
	if d := dirt(); d.To <= first || !d.Due {
		t.Fatalf("%+v", d)
	}
}
