package partition

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// transactions is which transactions are open on a partition and which were aborted.
//
//	first transactional batch ──► open ──► marker appended ──► settling ──► marker durable
//	                               └── the last stable offset stays ──┘
type transactions struct {
	open     []openTxn    // by first offset
	settling []settling   // ended, and the marker may not be durable yet; by marker
	aborted  []abortedTxn // by last
}

// lso is what readers need to know of the transactions, without a lock.
type lso struct {
	// unstable is the first offset of the earliest transaction that is open or settling; MaxInt64 when there is none. It is stored before a batch that
	// opens one is appended, and whoever reads it reads the high watermark before: a transaction that opens in between lies above that.
	unstable  atomic.Int64
	unsettled atomic.Bool // a marker may not be durable yet
}

type openTxn struct{ producer, first int64 }

type settling struct{ first, marker int64 }

// abortedTxn is one aborted transaction: its first offset and that of its marker.
type abortedTxn struct{ producer, first, last int64 }

func (ts *transactions) begin(producer, first int64) {
	ts.open = append(ts.open, openTxn{producer, first})
}

// end takes the marker of a transaction that began at first.
func (ts *transactions) end(producer, first, marker int64, commit bool) {
	ts.open = slices.DeleteFunc(ts.open, func(o openTxn) bool { return o.producer == producer })
	ts.settling = append(ts.settling, settling{first, marker})
	if !commit {
		ts.aborted = append(ts.aborted, abortedTxn{producer, first, marker})
	}
}

// settle forgets the markers below the high watermark.
func (ts *transactions) settle(hw int64) {
	n := 0
	for n < len(ts.settling) && ts.settling[n].marker < hw {
		n++
	}
	ts.settling = append(ts.settling[:0], ts.settling[n:]...)
}

// unstable is the first offset of the earliest transaction that is open or settling, MaxInt64 when there is none.
func (ts *transactions) unstable() int64 {
	first := int64(math.MaxInt64)
	if len(ts.open) > 0 {
		first = ts.open[0].first
	}
	for _, s := range ts.settling {
		first = min(first, s.first)
	}
	return first
}

// trim forgets the aborted transactions that lie below the log start as a whole.
func (ts *transactions) trim(start int64) {
	n := sort.Search(len(ts.aborted), func(i int) bool { return ts.aborted[i].last >= start })
	if n > 0 {
		ts.aborted = slices.Clone(ts.aborted[n:])
	}
}

// restore makes the open transactions those that the producers have.
func (ts *transactions) restore(ps *producers) {
	ts.open = nil
	for id, p := range ps.byID {
		if p.txnFirst >= 0 {
			ts.open = append(ts.open, openTxn{id, p.txnFirst})
		}
	}
	slices.SortFunc(ts.open, func(a, b openTxn) int { return cmp.Compare(a.first, b.first) })
}

// stable bounds a high watermark that was read before the call by the open transactions.
func (p *Partition) stable(hw int64) int64 {
	if p.lso.unsettled.Load() {
		p.mu.Lock()
		p.mu.txns.settle(hw)
		p.publishLocked()
		p.mu.Unlock()
	}
	u := p.lso.unstable.Load()
	if u >= hw {
		return hw
	}
	return min(max(u, p.stream.Start()), hw)
}

// holdLocked keeps readers of committed records below a transactional batch that is about to be appended at an offset: it may be durable, and in the
// high watermark, before the transaction is noted.
func (p *Partition) holdLocked(first int64) {
	p.lso.unstable.Store(min(p.mu.txns.unstable(), first))
}

// publishLocked tells readers of changes of the transactions.
func (p *Partition) publishLocked() {
	p.lso.unstable.Store(p.mu.txns.unstable())
	p.lso.unsettled.Store(len(p.mu.txns.settling) > 0)
}

// LastStable is the last stable offset: everything below is durable and belongs to no open transaction.
func (p *Partition) LastStable() int64 { return p.stable(p.stream.Confirmed()) }

// Aborted appends to dst the aborted transactions that have records in [from, to), in the order of their markers.
func (p *Partition) Aborted(dst []kproto.AbortedTxn, from, to int64) []kproto.AbortedTxn {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.mu.txns.aborted
	for _, a := range all[sort.Search(len(all), func(i int) bool { return all[i].last >= from }):] {
		if a.first < to {
			dst = append(dst, kproto.AbortedTxn{ProducerID: a.producer, FirstOffset: a.first})
		}
	}
	return dst
}

// Marker ends a transaction of a producer on a partition.
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	Commit           bool
	// Bumped says that the epoch is newer than that of the transaction (KIP-890 part 2), so that a marker that comes late, or again, cannot end the next
	// one. It is not in the log.
	Bumped bool
}

// Kafka's control record of a transaction's end: key is version and type, value is version and coordinator epoch.
const (
	controlAbort  = 0
	controlCommit = 1
)

func (m Marker) batch(now int64) kproto.Batch {
	be := binary.BigEndian
	kind := uint16(controlAbort)
	if m.Commit {
		kind = controlCommit
	}
	var bb kproto.BatchBuilder
	bb.SetProducer(m.ProducerID, m.ProducerEpoch, -1, true)
	bb.SetControl()
	bb.Add(now, be.AppendUint16(make([]byte, 2), kind), be.AppendUint32(make([]byte, 2), uint32(m.CoordinatorEpoch)), nil)
	return bb.Bytes()
}

// parseMarker reads a control batch. ok is false for control records of other types.
func parseMarker(b kproto.Batch) (m Marker, ok bool, err error) {
	var it kproto.RecordIter
	defer it.Close()
	if err := it.Reset(b); err != nil {
		return m, false, err
	}
	if !it.Next() {
		return m, false, fmt.Errorf("control batch without a record: %w", it.Err())
	}
	r, be := it.Record(), binary.BigEndian
	if len(r.Key) < 4 {
		return m, false, fmt.Errorf("control record with a key of %d bytes, 4 are needed", len(r.Key))
	}
	kind := be.Uint16(r.Key[2:])
	if kind != controlAbort && kind != controlCommit {
		return m, false, nil
	}
	if len(r.Value) < 6 {
		return m, false, fmt.Errorf("transaction marker with a value of %d bytes, 6 are needed", len(r.Value))
	}
	m = Marker{ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), CoordinatorEpoch: int32(be.Uint32(r.Value[2:])), Commit: kind == controlCommit}
	return m, true, nil
}

// ParseMarker says which producer's transaction a batch ends, and how; ok is false for batches that are no markers.
func ParseMarker(b kproto.Batch) (m Marker, ok bool) {
	if !b.IsControl() {
		return Marker{}, false
	}
	m, ok, err := parseMarker(b)
	return m, ok && err == nil
}

// AppendMarker ends a producer's transaction: it takes an offset, like a record. A producer without an open transaction gets its marker all the
// same, as in Kafka. It does not block; done is told when the marker is durable (see Appended.Pending). INVALID_PRODUCER_EPOCH: a newer instance of the
// producer has written, or the next transaction has begun; TRANSACTION_COORDINATOR_FENCED: a newer coordinator has.
func (p *Partition) AppendMarker(m Marker, done s3stream.Done) Appended {
	if p.closed.Load() {
		return refused(kproto.NotLeaderOrFollower, "")
	}
	now := p.opts.Now()
	batch := m.batch(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.mu.producers.byID[m.ProducerID]; known != nil {
		switch {
		case m.ProducerEpoch < known.epoch, m.Bumped && m.ProducerEpoch == known.epoch && known.txnFirst >= 0 && known.epoch < math.MaxInt16:
			return refused(kproto.InvalidProducerEpoch, "")
		case m.CoordinatorEpoch < known.coordinator:
			return refused(kproto.TransactionCoordinatorFenced, "")
		}
	}
	out := p.appendLocked(batch, 1, done)
	if out.Code == kproto.None && !out.Full {
		p.markLocked(m, out.BaseOffset, now)
	}
	return out
}

// markLocked notes an appended marker.
func (p *Partition) markLocked(m Marker, offset, now int64) {
	p.mu.mark(m, offset, now)
	p.publishLocked()
}

// noteLocked notes a producer's appended batch.
func (p *Partition) noteLocked(b kproto.Batch, first, last, now int64) *producerBatch {
	known := p.mu.note(b, first, last, now)
	if b.IsTransactional() {
		p.publishLocked()
	}
	return known
}

// mark adds a marker to the state.
func (s *checkpointState) mark(m Marker, offset, now int64) {
	known := s.producers.at(m.ProducerID, m.ProducerEpoch)
	if known.txnFirst >= 0 {
		s.txns.end(m.ProducerID, known.txnFirst, offset, m.Commit)
	}
	known.txnFirst, known.coordinator, known.marked, known.touched = -1, m.CoordinatorEpoch, offset, now
	if a, ok := s.producers.asked[m.ProducerID]; ok && (!m.Bumped || a.epoch < m.ProducerEpoch) {
		delete(s.producers.asked, m.ProducerID)
	}
}

// note adds a producer's batch to the state. A transactional one may open a transaction.
func (s *checkpointState) note(b kproto.Batch, first, last, now int64) *producerBatch {
	at := s.producers.record(b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.LastSequence(), first, last, now)
	if b.IsTransactional() {
		s.begin(b.ProducerID(), b.ProducerEpoch(), first)
	}
	return at
}

// begin opens a producer's transaction, unless one is open.
func (s *checkpointState) begin(producer int64, epoch int16, first int64) {
	if known := s.producers.at(producer, epoch); known.txnFirst < 0 {
		known.txnFirst = first
		s.txns.begin(producer, first)
		delete(s.producers.asked, producer)
	}
}

// admitTxnLocked judges a batch by the transaction that its producer has open. unverified: it would open one, and the coordinator has not said, since
// the log ended at verified, that the partition is part of it.
func (p *Partition) admitTxnLocked(b kproto.Batch, verified Verified) (code kproto.ErrorCode, unverified bool) {
	if len(p.mu.txns.open) == 0 && !b.IsTransactional() {
		return kproto.None, false // nearly always
	}
	known := p.mu.producers.byID[b.ProducerID()]
	switch {
	case !b.IsTransactional():
		if known != nil && known.txnFirst >= 0 {
			return kproto.InvalidTxnState, false
		}
		return kproto.None, false
	case known != nil && known.txnFirst >= 0 && known.epoch == b.ProducerEpoch():
		return kproto.None, false
	case verified.At < 0:
		return kproto.None, true
	case known != nil && known.marked >= verified.At && !(verified.Added && known.epoch == b.ProducerEpoch()):
		return kproto.InvalidTxnState, false // the transaction that was verified has ended meanwhile
	}
	return p.mu.producers.checkFirst(b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), verified.Added), false
}

// InTransaction reports whether a producer has a transaction open on the partition, with this epoch.
func (p *Partition) InTransaction(producer int64, epoch int16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.mu.producers.byID[producer]
	return known != nil && known.txnFirst >= 0 && known.epoch == epoch
}

// ProducerState is what DescribeProducers shows of one producer.
type ProducerState struct {
	ID               int64
	Epoch            int16
	LastSequence     int32 // -1: it has only written markers
	LastTimestamp    int64 // ms
	CoordinatorEpoch int32 // -1: never ended a transaction
	TxnStart         int64 // first offset of the open transaction, -1: there is none
}

// Producers lists the producers that the partition knows, by id.
func (p *Partition) Producers() []ProducerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]ProducerState, 0, len(p.mu.producers.byID))
	for _, id := range slices.Sorted(maps.Keys(p.mu.producers.byID)) {
		s := p.mu.producers.byID[id]
		st := ProducerState{id, s.epoch, -1, s.touched, s.coordinator, s.txnFirst}
		if s.count > 0 {
			st.LastSequence = s.last().lastSeq
		}
		out = append(out, st)
	}
	return out
}
