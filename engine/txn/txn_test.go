package txn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/tools/waittest"
)

// memLog is a partition whose appends are durable at once, or wait for release, or fail.
type memLog struct {
	mu      sync.Mutex
	batches [][]byte
	held    bool
	waiting []func()
	fail    error
}

func (l *memLog) Append(batch []byte, done func(error)) {
	l.mu.Lock()
	err := l.fail
	finish := func() {
		if err == nil {
			l.mu.Lock()
			l.batches = append(l.batches, batch)
			l.mu.Unlock()
		}
		done(err)
	}
	if l.held {
		l.waiting = append(l.waiting, finish)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	finish()
}

func (l *memLog) release() {
	l.mu.Lock()
	l.held = false
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	for _, f := range waiting {
		f()
	}
}

func (l *memLog) set(held bool, fail error) {
	l.mu.Lock()
	l.held, l.fail = held, fail
	l.mu.Unlock()
}

func (l *memLog) replay(yield func(key, value []byte, timestamp int64) error) error {
	l.mu.Lock()
	batches := slices.Clone(l.batches)
	l.mu.Unlock()
	var it kproto.RecordIter
	defer it.Close()
	for _, b := range batches {
		if err := it.Reset(b); err != nil {
			return err
		}
		for it.Next() {
			if err := yield(it.Record().Key, it.Record().Value, it.Record().Timestamp); err != nil {
				return err
			}
		}
	}
	return nil
}

// harness is a coordinator of one partition, with a clock and markers in the hands of the test.
type harness struct {
	t       *testing.T
	c       *Coordinator
	log     *memLog
	epoch   int32
	now     time.Time
	nextID  int64
	noIDs   kproto.ErrorCode // instead of a producer id
	level   Version
	markers chan Markers // sent by the coordinator
	written chan error   // the outcome of each
}

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, log: &memLog{}, now: time.UnixMilli(1_700_000_000_000), nextID: 1000, level: Version2, markers: make(chan Markers, 16), written: make(chan error, 16)}
	h.start()
	t.Cleanup(func() { h.c.Close() })
	return h
}

// start makes a coordinator that knows nothing but the log.
func (h *harness) start() {
	h.t.Helper()
	h.c = New(Options{NumPartitions: 1, Now: func() time.Time { return h.now }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Version: func() Version { return h.level },
		NewID: func(context.Context) (int64, kproto.ErrorCode) {
			if h.noIDs != kproto.None {
				return -1, h.noIDs
			}
			h.nextID++
			return h.nextID, kproto.None
		},
		WriteMarkers: func(ctx context.Context, m Markers) error {
			h.markers <- m
			select {
			case err := <-h.written:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
	h.epoch++
	if err := h.c.Load(0, h.epoch, h.log, h.log.replay); err != nil {
		h.t.Fatal(err)
	}
}

// crash loses everything but the log.
func (h *harness) crash() {
	h.c.Close()
	for len(h.markers) > 0 {
		<-h.markers
	}
	h.start()
}

type initialized struct {
	id    int64
	epoch int16
	code  kproto.ErrorCode
}

func (h *harness) init(id int64, epoch int16) (out initialized) {
	h.t.Helper()
	done := false
	h.c.Init(context.Background(), Init{ID: "t", TimeoutMillis: 1000, ProducerID: id, ProducerEpoch: epoch}, func(id int64, epoch int16, code kproto.ErrorCode) { out, done = initialized{id, epoch, code}, true })
	if !done {
		h.t.Fatal("InitProducerId was not answered")
	}
	return out
}

func (h *harness) add(p initialized, topics ...string) (code kproto.ErrorCode) {
	var tps []TopicPartition
	for _, topic := range topics {
		tps = append(tps, TopicPartition{topic, 0})
	}
	h.c.Add(Producer{"t", p.id, p.epoch}, tps, Version0, 0, func(c kproto.ErrorCode) { code = c })
	return code
}

func (h *harness) end(p initialized, commit bool) kproto.ErrorCode {
	return h.endAs(Version0, p, commit).code
}

func (h *harness) endAs(v Version, p initialized, commit bool) (out initialized) {
	h.c.End(context.Background(), End{Producer{"t", p.id, p.epoch}, commit, v}, func(id int64, epoch int16, code kproto.ErrorCode) { out = initialized{id, epoch, code} })
	return out
}

func (h *harness) state() State {
	h.t.Helper()
	d, code := h.c.Describe("t")
	if code != kproto.None {
		h.t.Fatal(code)
	}
	return d.State
}

// complete lets the markers that are being written succeed.
func (h *harness) complete(want State) Markers {
	h.t.Helper()
	m := <-h.markers
	h.written <- nil
	waittest.UntilNil(h.t, 30*time.Second, fmt.Sprint("state ", want), func() error {
		if is := h.state(); is != want {
			return fmt.Errorf("it is %v", is)
		}
		return nil
	})
	return m
}

func (h *harness) want(what string, got, want kproto.ErrorCode) {
	h.t.Helper()
	if got != want {
		h.t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func TestOneTransaction(t *testing.T) {
	h := newHarness(t)
	p := h.init(-1, -1)
	if p != (initialized{1001, 0, kproto.None}) {
		t.Fatalf("%+v", p)
	}
	h.want("add", h.add(p, "b", "a"), kproto.None)
	h.want("add", h.add(p, "a", "c"), kproto.None)
	codes, code := h.c.Verify(Producer{"t", p.id, p.epoch}, []TopicPartition{{"a", 0}, {"a", 1}})
	if code != kproto.None || !slices.Equal(codes, []kproto.ErrorCode{kproto.None, kproto.TransactionAbortable}) {
		t.Fatalf("verify: %v %v", codes, code)
	}
	h.want("end", h.end(p, true), kproto.None)
	// Decided, and not yet in the partitions.
	h.want("end again", h.end(p, true), kproto.ConcurrentTransactions)
	h.want("the other end", h.end(p, false), kproto.ConcurrentTransactions)
	h.want("add", h.add(p, "d"), kproto.ConcurrentTransactions)
	h.want("init", h.init(-1, -1).code, kproto.ConcurrentTransactions)
	m := h.complete(CompleteCommit)
	want := []TopicPartition{{"a", 0}, {"b", 0}, {"c", 0}}
	if m.ProducerID != p.id || m.ProducerEpoch != p.epoch || !m.Commit || m.CoordinatorEpoch != h.epoch || !slices.Equal(m.Partitions, want) {
		t.Fatalf("%+v", m)
	}
	h.want("end again", h.end(p, true), kproto.None)
	h.want("the other end", h.end(p, false), kproto.InvalidTxnState)
	if next := h.init(-1, -1); next != (initialized{p.id, 1, kproto.None}) {
		t.Fatalf("%+v", next)
	}
	h.want("zombie", h.add(p, "a"), kproto.ProducerFenced)
}

// A coordinator that takes over finishes what was decided, and keeps open what was not: whatever the log has counts, however often it is replayed.
func TestTakeover(t *testing.T) {
	for _, commit := range []bool{true, false} {
		h := newHarness(t)
		p := h.init(-1, -1)
		h.want("add", h.add(p, "a"), kproto.None)
		h.crash()
		if s := h.state(); s != Ongoing {
			t.Fatalf("open transaction is %v", s)
		}
		h.want("add", h.add(p, "b"), kproto.None)
		h.want("end", h.end(p, commit), kproto.None)
		for range 3 {
			h.crash()
		}
		want := CompleteCommit
		if !commit {
			want = CompleteAbort
		}
		m := h.complete(want)
		if m.Commit != commit || m.CoordinatorEpoch != h.epoch || len(m.Partitions) != 2 || m.ProducerEpoch != p.epoch {
			t.Fatalf("%+v", m)
		}
		h.crash()
		if len(h.markers) > 0 || h.state() != want {
			t.Fatalf("a completed transaction came back: %v", h.state())
		}
	}
}

// Nothing is answered before it is durable, and meanwhile the id is busy.
func TestAnswersWaitForTheLog(t *testing.T) {
	h := newHarness(t)
	p := h.init(-1, -1)
	h.want("add", h.add(p, "a"), kproto.None)
	h.log.set(true, nil)
	answer := make(chan kproto.ErrorCode, 1)
	h.c.End(context.Background(), End{Producer{"t", p.id, p.epoch}, true, Version0}, func(_ int64, _ int16, code kproto.ErrorCode) { answer <- code })
	h.want("end", h.end(p, true), kproto.ConcurrentTransactions)
	h.want("add", h.add(p, "b"), kproto.ConcurrentTransactions)
	h.want("init", h.init(-1, -1).code, kproto.ConcurrentTransactions)
	if len(answer) > 0 || len(h.markers) > 0 {
		t.Fatal("answered before the decision was durable")
	}
	h.log.release()
	h.want("end", <-answer, kproto.None)
	h.complete(CompleteCommit)
}

func TestFailedAppendChangesNothing(t *testing.T) {
	h := newHarness(t)
	full := errors.New("full")
	h.log.set(false, full)
	h.want("init", h.init(-1, -1).code, kproto.CoordinatorNotAvailable)
	h.log.set(false, ErrNotCoordinator)
	h.want("init", h.init(-1, -1).code, kproto.NotCoordinator)
	h.log.set(false, nil)
	p := h.init(-1, -1)
	h.want("add", h.add(p, "a"), kproto.None)
	h.log.set(false, full)
	h.want("end", h.end(p, true), kproto.CoordinatorNotAvailable)
	if s := h.state(); s != Ongoing {
		t.Fatalf("state %v", s)
	}
	// Fencing that fails is tried again with the same epoch, which nobody has got.
	h.want("init", h.init(-1, -1).code, kproto.ConcurrentTransactions)
	h.want("init", h.init(-1, -1).code, kproto.ConcurrentTransactions)
	if s := h.state(); s != Ongoing {
		t.Fatalf("state %v", s)
	}
	h.log.set(false, nil)
	h.want("init", h.init(-1, -1).code, kproto.ConcurrentTransactions)
	if m := h.complete(CompleteAbort); m.ProducerEpoch != p.epoch+1 {
		t.Fatalf("%+v", m)
	}
}

// TestEpochs: KIP-360 and the end of the epochs.
func TestEpochs(t *testing.T) {
	h := newHarness(t)
	p := h.init(-1, -1)
	if again := h.init(p.id, p.epoch); again.epoch != 1 || h.init(p.id, p.epoch) != again {
		t.Fatalf("%+v: a lost answer must not cost an epoch", again)
	}
	h.want("other producer", h.init(p.id+1, 1).code, kproto.ProducerFenced)
	h.crash() // the last epoch is not in the log: the retry counts as a zombie's
	h.want("old epoch", h.init(p.id, p.epoch).code, kproto.ProducerFenced)

	h.c.shards.At(0).ids["t"].epoch = lastEpoch - 1
	last := h.init(-1, -1)
	if last.id != p.id || last.epoch != lastEpoch {
		t.Fatalf("%+v", last)
	}
	h.want("add", h.add(last, "a"), kproto.None)
	h.want("fence", h.init(-1, -1).code, kproto.ConcurrentTransactions)
	if m := h.complete(CompleteAbort); m.ProducerEpoch != math.MaxInt16 {
		t.Fatalf("%+v", m)
	}
	fresh := h.init(-1, -1) // the abort has brought the new id, with epoch 0
	if fresh.id == p.id || fresh.epoch != 1 {
		t.Fatalf("%+v", fresh)
	}
	h.c.shards.At(0).ids["t"].epoch = lastEpoch
	rotated := h.init(fresh.id, lastEpoch)
	if rotated.id == fresh.id || rotated.epoch != 0 || h.init(fresh.id, lastEpoch) != rotated {
		t.Fatalf("%+v: a lost answer must not cost a producer id", rotated)
	}
}

func TestTimeoutAndExpiration(t *testing.T) {
	h := newHarness(t)
	p := h.init(-1, -1)
	h.want("add", h.add(p, "a"), kproto.None)
	h.now = h.now.Add(time.Second)
	h.c.AbortTimedOut()
	if s := h.state(); s != Ongoing {
		t.Fatalf("state %v when the time is just up", s)
	}
	h.now = h.now.Add(time.Millisecond)
	h.c.AbortTimedOut()
	if m := h.complete(CompleteAbort); m.Commit || m.ProducerEpoch != p.epoch+1 {
		t.Fatalf("%+v", m)
	}
	h.want("late commit", h.end(p, true), kproto.ProducerFenced)
	h.now = h.now.Add(7*24*time.Hour - time.Millisecond)
	h.c.Expire()
	if s := h.state(); s != CompleteAbort {
		t.Fatalf("state %v before it expires", s)
	}
	h.now = h.now.Add(2 * time.Millisecond)
	h.c.Expire()
	for range 2 {
		if _, code := h.c.Describe("t"); code != kproto.TransactionalIDNotFound {
			t.Fatalf("expired id: %v", code)
		}
		h.want("add", h.add(p, "a"), kproto.InvalidProducerIDMapping)
		h.crash()
	}
}

func TestLoadOrder(t *testing.T) {
	h := newHarness(t)
	if err := h.c.Load(0, h.epoch, h.log, h.log.replay); !errors.Is(err, ErrStaleEpoch) {
		t.Fatal(err)
	}
	h.init(-1, -1)
	h.c.Unload(0)
	h.want("unloaded", h.init(-1, -1).code, kproto.NotCoordinator)
	h.epoch++
	err := h.c.Load(0, h.epoch, h.log, func(yield func(key, value []byte, timestamp int64) error) error {
		h.want("loading", h.init(-1, -1).code, kproto.CoordinatorLoadInProgress)
		if _, code := h.c.List(func(Description, time.Duration) bool { return true }); code != kproto.CoordinatorLoadInProgress {
			t.Errorf("list while loading: %v", code)
		}
		h.c.Unload(0)
		return h.log.replay(yield)
	})
	if !errors.Is(err, ErrNotCoordinator) {
		t.Fatalf("unloaded while loading: %v", err)
	}
	h.c.Close()
	if err := h.c.Load(0, 99, h.log, h.log.replay); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestRecords(t *testing.T) {
	e := entry{producerID: 7, epoch: 2, previousID: -1, nextID: -1, lastEpoch: -1, timeoutMillis: 60000, state: Ongoing, partitions: []TopicPartition{{"a", 0}}, updateMillis: 1000, startMillis: 1000}
	// The example of FORMAT.md.
	want := "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x02\x00\x00\xea\x60\x01\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x00\x00\x00\x00\x03\xe8"
	value := appendValue(&e, Version0)
	if string(value) != want {
		t.Errorf("value %x, want %x", value, want)
	}
	got, err := decodeValue(value)
	if err != nil || got.producerID != 7 || got.state != Ongoing || !slices.Equal(got.partitions, e.partitions) || got.startMillis != 1000 {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(value) {
		if _, err := decodeValue(value[:n]); err == nil {
			t.Errorf("the first %d of %d bytes decode", n, len(value))
		}
	}
	if id, ok, err := decodeKey(appendKey("t")); id != "t" || !ok || err != nil {
		t.Errorf("key: %q %t %v", id, ok, err)
	}
	if _, ok, err := decodeKey([]byte{0, 9, 1}); ok || err != nil {
		t.Errorf("a key of a later version: %t %v", ok, err)
	}
}
