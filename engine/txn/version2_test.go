package txn

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// adding adds topics as the first write to them does, and returns where the answer comes.
func (h *harness) adding(p initialized, wait time.Duration, topics ...string) chan kproto.ErrorCode {
	var tps []TopicPartition
	for _, topic := range topics {
		tps = append(tps, TopicPartition{topic, 0})
	}
	answer := make(chan kproto.ErrorCode, 1)
	h.c.Add(Producer{"t", p.id, p.epoch}, tps, Version2, wait, func(c kproto.ErrorCode) { answer <- c })
	return answer
}

// TestBumpRules: what EndTxn says to a producer whose epoch every end changes, by the state of the id and the epoch that the producer has. Kafka has the same
// table in TransactionCoordinator.
func TestBumpRules(t *testing.T) {
	const (
		current = iota // what the producer was given last
		again          // what it had before: it did not get the answer
		older
		newer
		other // producer
	)
	fenced, bad, busy, mapping := kproto.ProducerFenced, kproto.InvalidTxnState, kproto.ConcurrentTransactions, kproto.InvalidProducerIDMapping
	const bump, same = kproto.ErrorCode(-2), kproto.ErrorCode(-3)
	states := map[State]func(h *harness) initialized{
		Empty: func(h *harness) initialized {
			p := h.init(-1, -1)
			return h.init(p.id, p.epoch)
		},
		Ongoing: func(h *harness) initialized {
			p := h.init(-1, -1)
			p = h.init(p.id, p.epoch)
			h.want("add", <-h.adding(p, 0, "a"), kproto.None)
			return p
		},
	}
	prepare := func(commit bool) func(h *harness) initialized {
		return func(h *harness) initialized {
			p := states[Ongoing](h)
			return h.endAs(Version2, p, commit)
		}
	}
	states[PrepareCommit], states[PrepareAbort] = prepare(true), prepare(false)
	states[CompleteCommit] = func(h *harness) initialized { p := prepare(true)(h); h.complete(CompleteCommit); return p }
	states[CompleteAbort] = func(h *harness) initialized { p := prepare(false)(h); h.complete(CompleteAbort); return p }
	for _, c := range []struct {
		state         State
		who           int
		commit, abort kproto.ErrorCode
	}{
		{Empty, current, bad, bump},
		{Empty, again, fenced, fenced},
		{Empty, older, fenced, fenced},
		{Empty, newer, fenced, fenced},
		{Empty, other, mapping, mapping},
		{Ongoing, current, bump, bump},
		{Ongoing, again, fenced, fenced},
		{Ongoing, newer, fenced, fenced},
		{Ongoing, other, mapping, mapping},
		{PrepareCommit, current, busy, busy},
		{PrepareCommit, again, busy, busy},
		{PrepareCommit, other, busy, busy},
		{PrepareAbort, current, busy, busy},
		{PrepareAbort, again, busy, busy},
		{CompleteCommit, current, bad, bump},
		{CompleteCommit, again, same, bad},
		{CompleteCommit, older, fenced, fenced},
		{CompleteCommit, newer, fenced, fenced},
		{CompleteCommit, other, mapping, mapping},
		{CompleteAbort, current, bad, bump},
		{CompleteAbort, again, bad, same},
		{CompleteAbort, older, fenced, fenced},
		{CompleteAbort, newer, fenced, fenced},
		{CompleteAbort, other, mapping, mapping},
	} {
		for _, commit := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v producer=%d commit=%t", c.state, c.who, commit), func(t *testing.T) {
				h := newHarness(t)
				p := states[c.state](h)
				if s := h.state(); s != c.state {
					t.Fatalf("state %v", s)
				}
				asks := p
				switch c.who {
				case again:
					asks.epoch--
				case older:
					asks.epoch -= 2
				case newer:
					asks.epoch++
				case other:
					asks.id++
				}
				want := initialized{-1, -1, c.abort}
				if commit {
					want.code = c.commit
				}
				switch want.code {
				case bump:
					want = initialized{p.id, p.epoch + 1, kproto.None}
				case same:
					want = initialized{p.id, p.epoch, kproto.None}
				}
				if got := h.endAs(Version2, asks, commit); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			})
		}
	}
}

func TestBumpedTransaction(t *testing.T) {
	h := newHarness(t)
	first := h.init(-1, -1)
	h.want("add", <-h.adding(first, 0, "a", "b"), kproto.None)
	second := h.endAs(Version2, first, true)
	if second != (initialized{first.id, first.epoch + 1, kproto.None}) {
		t.Fatalf("%+v after %+v", second, first)
	}
	h.crash() // the next coordinator knows the kind of the transaction
	m := h.complete(CompleteCommit)
	if m.ProducerEpoch != second.epoch || m.Version != Version2 || !m.Commit || len(m.Partitions) != 2 {
		t.Fatalf("%+v", m)
	}
	if again := h.endAs(Version2, first, true); again != second {
		t.Fatalf("asked again: %+v, want %+v", again, second)
	}
	h.want("zombie", <-h.adding(first, 0, "a"), kproto.ProducerFenced)
	// Nothing was written: the epoch changes all the same, and no partition has to be told.
	third := h.endAs(Version2, second, false)
	if m := h.complete(CompleteAbort); len(m.Partitions) != 0 || third != (initialized{first.id, second.epoch + 1, kproto.None}) {
		t.Fatalf("%+v, %+v", third, m)
	}
	// KIP-360: a producer that did not get the answer may also ask for an epoch.
	if again := h.init(second.id, second.epoch); again != third {
		t.Fatalf("%+v, want %+v", again, third)
	}
	h.want("a producer that does not know of epochs", h.end(third, true), kproto.InvalidTxnState)
}

// A write that comes while the last transaction ends waits for it.
func TestAddWaits(t *testing.T) {
	h := newHarness(t)
	p := h.init(-1, -1)
	h.want("add", <-h.adding(p, 0, "a"), kproto.None)
	next := h.endAs(Version2, p, true)
	h.want("no time to wait", <-h.adding(next, 0, "a"), kproto.ConcurrentTransactions)
	h.want("not long enough", <-h.adding(next, time.Millisecond, "a"), kproto.ConcurrentTransactions)
	if n := len(h.c.shards.At(0).ids["t"].waiters); n != 0 {
		t.Errorf("%d waiters after their time is up", n)
	}
	one, two := h.adding(next, time.Minute, "a"), h.adding(next, time.Minute, "b")
	h.markers <- <-h.markers // both wait for this
	h.written <- nil
	h.want("one", <-one, kproto.None)
	h.want("two", <-two, kproto.None)
	d, _ := h.c.Describe("t")
	if want := []TopicPartition{{"a", 0}, {"b", 0}}; d.State != Ongoing || !slices.Equal(d.Partitions, want) {
		t.Fatalf("%+v", d)
	}
	h.log.set(true, nil)
	first, second := h.adding(next, time.Minute, "c"), h.adding(next, time.Minute, "d")
	h.c.Unload(0)
	h.want("waits when the partition goes", <-second, kproto.NotCoordinator)
	h.log.release()
	h.want("is being written when the partition goes", <-first, kproto.NotCoordinator)
}

// TestExhaustedEpochs: the last epoch ends with a new producer id.
func TestExhaustedEpochs(t *testing.T) {
	for _, commit := range []bool{true, false} {
		h := newHarness(t)
		p := h.init(-1, -1)
		h.c.shards.At(0).ids["t"].epoch = lastEpoch
		p.epoch = lastEpoch
		h.want("add", <-h.adding(p, 0, "a"), kproto.None)
		h.noIDs = kproto.CoordinatorLoadInProgress
		h.want("no producer id", h.endAs(Version2, p, commit).code, kproto.CoordinatorLoadInProgress)
		h.noIDs = kproto.None
		next := h.endAs(Version2, p, commit)
		if next.code != kproto.None || next.id == p.id || next.epoch != 0 {
			t.Fatalf("%+v", next)
		}
		h.want("add with the new id", <-h.adding(next, 0, "a"), kproto.ConcurrentTransactions)
		h.want("init with the new id", h.init(next.id, next.epoch).code, kproto.ConcurrentTransactions)
		h.crash() // decided, with the id that follows
		if m := h.complete(outcomeOf(commit)); m.ProducerID != p.id || m.ProducerEpoch != math.MaxInt16 || m.Commit != commit {
			t.Fatalf("%+v", m)
		}
		h.crash()
		if again := h.endAs(Version2, p, commit); again != next {
			t.Fatalf("asked again: %+v, want %+v", again, next)
		}
		h.want("the other end", h.endAs(Version2, p, !commit).code, kproto.InvalidTxnState)
		h.want("add", <-h.adding(next, 0, "a"), kproto.None)
		h.want("the old id", h.endAs(Version2, p, commit).code, kproto.InvalidProducerIDMapping)
	}
}

// TestFencing: whoever comes with the same id, and the time-out, end a transaction with a new epoch, at every level of the feature and every epoch.
func TestFencing(t *testing.T) {
	for _, c := range []struct {
		level   Version
		epoch   int16
		marker  int16
		rotates bool
	}{
		{Version0, 5, 6, false},
		{Version1, 5, 6, false},
		{Version2, 5, 6, false},
		{Version2, lastEpoch - 1, lastEpoch, false},
		{Version2, lastEpoch, math.MaxInt16, true},
		{Version0, lastEpoch, math.MaxInt16, false},
	} {
		for _, by := range []string{"init", "time-out"} {
			t.Run(fmt.Sprintf("level %d epoch %d by %s", c.level, c.epoch, by), func(t *testing.T) {
				h := newHarness(t)
				h.level = c.level
				p := h.init(-1, -1)
				p.epoch = c.epoch
				h.c.shards.At(0).ids["t"].epoch = c.epoch
				h.want("add", <-h.adding(p, 0, "a"), kproto.None)
				if by == "init" {
					h.want("init", h.init(-1, -1).code, kproto.ConcurrentTransactions)
				} else {
					h.now = h.now.Add(2 * time.Second)
					h.noIDs = kproto.CoordinatorLoadInProgress
					h.c.AbortTimedOut() // has to wait for a producer id if the epochs are exhausted
					h.noIDs = kproto.None
					h.c.AbortTimedOut()
				}
				m := h.complete(CompleteAbort)
				bumps := c.level >= Version2
				if m.ProducerID != p.id || m.ProducerEpoch != c.marker || m.Commit || m.Version >= Version2 != bumps {
					t.Fatalf("%+v", m)
				}
				d, _ := h.c.Describe("t")
				if rotated := d.ProducerID != p.id; rotated != c.rotates {
					t.Fatalf("%+v", d)
				}
				if rotated := h.init(-1, -1); rotated.code != kproto.None || (rotated.id != p.id) != (c.marker >= lastEpoch) {
					t.Fatalf("the next producer is %+v", rotated)
				}
				if code := h.endAs(Version2, p, true).code; code != kproto.ProducerFenced && code != kproto.InvalidProducerIDMapping {
					t.Fatalf("late commit: %v", code)
				}
			})
		}
	}
}

// TestRecordOfVersion2: the level of the feature decides what is written, and both kinds are read.
func TestRecordOfVersion2(t *testing.T) {
	e := entry{producerID: 7, epoch: math.MaxInt16, previousID: 7, nextID: 8, lastEpoch: -1, version: Version2, timeoutMillis: 60000, state: PrepareCommit,
		partitions: []TopicPartition{{"a", 0}}, updateMillis: 1000, startMillis: 1000}
	// The second example of FORMAT.md.
	want := "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x07\x7f\xff\x00\x00\xea\x60\x02\x02\x02a\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x00\x00\x00\x00\x03\xe8" +
		"\x03\x00\x08\x00\x00\x00\x00\x00\x00\x00\x07\x01\x08\x00\x00\x00\x00\x00\x00\x00\x08\x02\x02\x00\x02"
	value := appendValue(&e, Version2)
	if string(value) != want {
		t.Errorf("value %x, want %x", value, want)
	}
	same := func(got *entry) bool {
		parts := slices.Equal(got.partitions, e.partitions)
		a, b := *got, e
		a.partitions, b.partitions = nil, nil
		return parts && fmt.Sprint(a) == fmt.Sprint(b)
	}
	if got, err := decodeValue(value); err != nil || !same(got) {
		t.Errorf("%+v, %v", got, err)
	}
	e.previousID, e.nextID, e.version = -1, -1, Version0 // all that version 0 does not have
	if got, err := decodeValue(appendValue(&e, Version0)); err != nil || !same(got) {
		t.Errorf("version 0: %+v, %v", got, err)
	}
}

// A producer of the second kind keeps its transaction when the feature is taken back while it is open.
func TestLevelTakenBack(t *testing.T) {
	h := newHarness(t)
	p := h.init(-1, -1)
	h.want("add", <-h.adding(p, 0, "a"), kproto.None)
	h.level = Version0
	next := h.endAs(Version2, p, true)
	h.complete(CompleteCommit)
	h.crash()
	if next.code != kproto.None || next.epoch != p.epoch+1 {
		t.Fatalf("%+v", next)
	}
	h.want("a transaction of the first kind", h.add(next, "a"), kproto.None)
	h.want("commit", h.end(next, true), kproto.None)
	if m := h.complete(CompleteCommit); m.ProducerEpoch != next.epoch || m.Version >= Version2 {
		t.Fatalf("%+v", m)
	}
	h.want("commit again", h.end(next, true), kproto.None)
}

// FuzzValue: what decodes is the same after encoding and decoding, with the version that it came in.
func FuzzValue(f *testing.F) {
	e := entry{producerID: 7, epoch: 2, previousID: 6, nextID: 8, version: Version2, state: Ongoing, partitions: []TopicPartition{{"a", 0}, {"a", 3}, {"b", 1}}}
	f.Add(appendValue(&e, Version2))
	f.Add(appendValue(&e, Version0))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := decodeValue(b)
		if err != nil {
			return
		}
		level := Version0
		if b[1] == 1 {
			level = Version2
		}
		if first.state == Empty {
			first.partitions = nil // not written
		}
		second, err := decodeValue(appendValue(first, level))
		if err != nil || fmt.Sprint(first) != fmt.Sprint(second) {
			t.Fatalf("%+v, then %+v, %v", first, second, err)
		}
	})
}
