package partition

import (
	"math"
	"slices"
	"testing"

	"github.com/ringmq/ringmq/engine/kproto"
)

// state is a partition's state without a stream, for what needs none.
func stateOnly() *Partition {
	p := &Partition{}
	p.mu.producers = newProducers()
	return p
}

// write applies a transactional batch of n records; mark applies a marker. They return the offset.
func (p *Partition) write(id int64, epoch int16, n int64) int64 {
	var bb kproto.BatchBuilder
	bb.SetProducer(id, epoch, -1, true)
	bb.Add(1, nil, nil, nil)
	at := p.mu.next
	p.noteLocked(bb.Bytes(), at, at+n-1, 1)
	p.mu.next += n
	return at
}

func (p *Partition) mark(id int64, epoch int16, commit bool) int64 {
	at := p.mu.next
	p.markLocked(Marker{ProducerID: id, ProducerEpoch: epoch, CoordinatorEpoch: 1, Commit: commit}, at, 1)
	p.mu.next++
	return at
}

func TestUnstableUntilTheMarkerIsDurable(t *testing.T) {
	p := stateOnly()
	ts := &p.mu.txns
	p.mu.next = 10
	a := p.write(1, 0, 5)
	b := p.write(2, 0, 5)
	p.write(1, 0, 1)
	check := func(what string, want int64) {
		t.Helper()
		if got := ts.unstable(); got != want {
			t.Errorf("%s: first unstable offset %d, want %d", what, got, want)
		}
	}
	check("both open", a)
	m := p.mark(1, 0, true)
	check("marker appended", a)
	ts.settle(m)
	check("marker not durable", a)
	ts.settle(m + 1)
	check("marker durable", b)
	m = p.mark(2, 0, false)
	ts.settle(m + 1)
	check("none open", math.MaxInt64)
	p.mark(2, 0, false) // without a transaction
	if len(ts.aborted) != 1 || len(ts.settling) != 0 {
		t.Errorf("%d aborted, %d settling", len(ts.aborted), len(ts.settling))
	}
}

// A batch may be durable before its transaction is noted: readers of committed records are held back before it is appended.
func TestHeldBeforeTheTransactionIsNoted(t *testing.T) {
	p := stateOnly()
	p.mu.next = 10
	check := func(what string, want int64) {
		t.Helper()
		if got := p.lso.unstable.Load(); got != want {
			t.Errorf("%s: readers are held at %d, want %d", what, got, want)
		}
	}
	p.publishLocked()
	p.holdLocked(p.mu.next)
	check("about to be appended", 10)
	p.publishLocked()
	check("refused by the log", math.MaxInt64)
	p.holdLocked(p.mu.next)
	p.write(1, 0, 5)
	check("noted", 10)
	p.holdLocked(p.mu.next)
	check("the next of the same transaction", 10)
	p.write(1, 0, 1)
	p.mark(1, 0, true)
	p.holdLocked(p.mu.next)
	check("the next transaction, and the marker not durable", 10)
}

func TestAbortedIndex(t *testing.T) {
	p := stateOnly()
	p.write(1, 0, 10)   // 0-9
	p.write(2, 0, 10)   // 10-19
	p.mark(2, 0, false) // 20
	p.mark(1, 0, false) // 21
	p.write(1, 0, 5)    // 22-26
	p.mark(1, 0, true)  // 27
	p.write(3, 0, 5)    // 28-32
	p.mark(3, 0, false) // 33
	one, two, three := kproto.AbortedTxn{ProducerID: 1}, kproto.AbortedTxn{ProducerID: 2, FirstOffset: 10}, kproto.AbortedTxn{ProducerID: 3, FirstOffset: 28}
	for _, c := range []struct {
		from, to int64
		want     []kproto.AbortedTxn
	}{
		{0, 10, []kproto.AbortedTxn{one}},
		{0, 11, []kproto.AbortedTxn{two, one}},
		{20, 21, []kproto.AbortedTxn{two, one}},
		{21, 28, []kproto.AbortedTxn{one}},
		{22, 28, nil},
		{22, 34, []kproto.AbortedTxn{three}},
		{34, 40, nil},
	} {
		if got := p.Aborted(nil, c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("[%d, %d): %v, want %v", c.from, c.to, got, c.want)
		}
	}
	encoded := appendCheckpoint(nil, &p.mu.producers, &p.mu.epochs, p.mu.txns.aborted)
	s, err := decodeCheckpoint(encoded)
	if err != nil || !slices.Equal(s.txns.aborted, p.mu.txns.aborted) {
		t.Errorf("checkpoint: %v, %v", s.txns.aborted, err)
	}
	p.mu.txns.trim(21)
	if got := p.Aborted(nil, 0, 40); !slices.Equal(got, []kproto.AbortedTxn{one, three}) {
		t.Errorf("after the log start moved to 21: %v", got)
	}
}

// A checkpoint keeps what is open, and the version before this one is read.
func TestCheckpointTransactions(t *testing.T) {
	p := stateOnly()
	p.mu.next = 100
	p.write(5, 3, 2)
	p.write(4, 0, 2)
	p.mark(4, 1, true)
	p.write(6, 0, 2)
	s, err := decodeCheckpoint(appendCheckpoint(nil, &p.mu.producers, &p.mu.epochs, nil))
	if err != nil {
		t.Fatal(err)
	}
	ts := &s.txns
	if !slices.Equal(ts.open, []openTxn{{5, 100}, {6, 105}}) || ts.unstable() != 100 {
		t.Errorf("open %v, first unstable offset %d", ts.open, ts.unstable())
	}
	if c := s.producers.byID[4]; c.epoch != 1 || c.coordinator != 1 || c.txnFirst != -1 {
		t.Errorf("%+v", c)
	}
	old := []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09\x00\x02\x00\x00\x00\x00\x00\x00\x00\x07\x00")
	if s, err = decodeCheckpoint(old); err != nil {
		t.Fatal(err)
	}
	if c := s.producers.byID[9]; c == nil || c.epoch != 2 || c.touched != 7 || c.txnFirst != -1 || c.coordinator != -1 {
		t.Errorf("version 1: %+v", c)
	}
}

// TestAdmission: what the coordinator has not confirmed opens no transaction, and what it confirmed before the last marker counts no more (KIP-890).
func TestAdmission(t *testing.T) {
	batch := func(epoch int16, transactional bool) kproto.Batch {
		var bb kproto.BatchBuilder
		bb.SetProducer(1, epoch, 0, transactional)
		bb.Add(1, nil, nil, nil)
		return bb.Bytes()
	}
	p := stateOnly()
	check := func(what string, b kproto.Batch, verified Verified, wantCode kproto.ErrorCode, wantUnverified bool) {
		t.Helper()
		if code, unverified := p.admitTxnLocked(b, verified); code != wantCode || unverified != wantUnverified {
			t.Errorf("%s: %v, unverified %t; want %v, %t", what, code, unverified, wantCode, wantUnverified)
		}
	}
	check("plain", batch(0, false), NotVerified, kproto.None, false)
	check("first of a transaction", batch(0, true), NotVerified, kproto.None, true)
	check("verified", batch(0, true), Verified{At: p.mu.next}, kproto.None, false)
	p.write(1, 0, 3)
	check("within the transaction", batch(0, true), NotVerified, kproto.None, false)
	check("newer epoch", batch(1, true), NotVerified, kproto.None, true)
	check("plain, transaction open", batch(0, false), NotVerified, kproto.InvalidTxnState, false)
	before := p.mu.next
	p.mark(1, 0, false)
	check("verified before the marker", batch(0, true), Verified{At: before}, kproto.InvalidTxnState, false)
	check("verified after it", batch(0, true), Verified{At: p.mu.next}, kproto.None, false)
	if p.mu.producers.expire(math.MaxInt64); len(p.mu.producers.byID) != 0 {
		t.Error("a producer without a transaction does not expire")
	}
	p.write(1, 0, 1)
	if p.mu.producers.expire(math.MaxInt64); len(p.mu.producers.byID) != 1 {
		t.Error("a producer with an open transaction expired")
	}
}

// TestAdmissionAfterAdding: a producer whose epoch changes with each transaction (KIP-890 part 2).
func TestAdmissionAfterAdding(t *testing.T) {
	batch := func(epoch int16, seq int32) kproto.Batch {
		var bb kproto.BatchBuilder
		bb.SetProducer(1, epoch, seq, true)
		bb.Add(1, nil, nil, nil)
		return bb.Bytes()
	}
	p := stateOnly()
	offer := func(what string, b kproto.Batch, verified Verified, want kproto.ErrorCode) {
		t.Helper()
		_, code := p.mu.producers.check(1, b.ProducerEpoch(), b.BaseSequence(), b.LastSequence())
		if code == kproto.None {
			var unverified bool
			if code, unverified = p.admitTxnLocked(b, verified); unverified {
				p.mu.producers.ask(1, b.ProducerEpoch(), b.BaseSequence(), 1)
			}
		}
		if code != want {
			t.Errorf("%s: %v, want %v", what, code, want)
		}
	}
	added := func(at int64) Verified { return Verified{at, true} }
	offer("unknown, in the middle", batch(5, 3), added(0), kproto.OutOfOrderSequenceNumber)
	offer("asked, in order", batch(5, 0), NotVerified, kproto.None)
	offer("asked, the next", batch(5, 1), NotVerified, kproto.None)
	offer("the next before the first", batch(5, 1), Verified{At: 0}, kproto.OutOfOrderSequenceNumber)
	offer("the first", batch(5, 0), Verified{At: 0}, kproto.None)
	offer("a newer epoch asks from its start", batch(6, 7), NotVerified, kproto.None)
	offer("and is judged by that", batch(6, 8), Verified{At: 0}, kproto.OutOfOrderSequenceNumber)
	if p.mu.producers.expire(2); len(p.mu.producers.asked) != 0 {
		t.Error("what a producer has asked does not expire")
	}

	offer("asked", batch(5, 0), NotVerified, kproto.None)
	p.write(1, 5, 1)
	if len(p.mu.producers.asked) != 0 || !p.InTransaction(1, 5) || p.InTransaction(1, 6) {
		t.Errorf("asked %v after the transaction has begun", p.mu.producers.asked)
	}
	mark := func(epoch int16) int64 {
		at := p.mu.next
		p.markLocked(Marker{ProducerID: 1, ProducerEpoch: epoch, Bumped: true}, at, 1)
		p.mu.next++
		return at
	}
	mark(6)
	offer("the old epoch, late", batch(5, 1), added(0), kproto.InvalidProducerEpoch)
	offer("the new epoch, not from its start", batch(6, 1), added(p.mu.next), kproto.OutOfOrderSequenceNumber)
	offer("asked", batch(6, 0), NotVerified, kproto.None)
	before := p.mu.next
	mark(6) // once more, because its answer was lost
	if len(p.mu.producers.asked) != 1 {
		t.Error("a repeated marker ends the next transaction")
	}
	offer("a marker of the transaction before came in between", batch(6, 0), added(before), kproto.None)
	offer("without a new epoch nobody can tell", batch(6, 0), Verified{At: before}, kproto.InvalidTxnState)
	mark(7)
	if len(p.mu.producers.asked) != 0 {
		t.Error("asked in a transaction that has ended")
	}
}

func TestMarkerRoundTrip(t *testing.T) {
	for _, want := range []Marker{{7, 3, 9, true, false}, {8, 0, 0, false, false}} {
		b := want.batch(5)
		if got, ok := ParseMarker(b); !ok || got != want || !b.IsTransactional() || b.BaseSequence() != -1 || b.Verify() != nil {
			t.Errorf("%+v, %t; want %+v", got, ok, want)
		}
	}
	var bb kproto.BatchBuilder
	bb.SetControl()
	bb.Add(1, []byte{0, 0, 0, 9}, nil, nil)
	if _, ok := ParseMarker(bb.Bytes()); ok {
		t.Error("another control record passes for a marker")
	}
}
