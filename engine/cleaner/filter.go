package cleaner

import (
	"github.com/ringmq/ringmq/engine/kproto"
)

// Verdict is what becomes of a batch.
type Verdict uint8

const (
	Keep    Verdict = iota // it stays as it is
	Replace                // a thinner one takes its place
	Drop                   // it goes
)

// Producer is what the partition knows of a live idempotent producer.
type Producer struct {
	Epoch      int16
	LastOffset int64 // of its last batch of records, -1: it has only written markers
}

// Options are the rules of one cleaning.
type Options struct {
	Map *OffsetMap
	// NowMillis is the time of the cleaning, and DeleteRetentionMillis delete.retention.ms.
	NowMillis, DeleteRetentionMillis int64
	// MarkerRetentionMillis is the same for the markers of transactions.
	MarkerRetentionMillis int64
	// Index has the aborted transactions of the log that readers are told of.
	Index []Aborted
	// Indexed says that readers may still be told of the aborted transaction that this abort marker ends, though Index does not have it. May be nil.
	Indexed func(producer, marker int64) bool
	// Producer returns a live producer. May be nil.
	Producer func(id int64) (Producer, bool)
	// LogEnd is the log end offset: the batch that ends there is kept, be it empty.
	LogEnd int64
}

// Stats counts what a Filter did.
type Stats struct {
	Batches, BatchesKept, BatchesEmptied int64
	Records, RecordsKept                 int64
	Keyless                              int64 // records without key, which are not kept
}

// Filter judges the batches of a log, oldest first.
type Filter struct {
	opts  Options
	state filterState
	mark  filterState
	thin  kproto.Thinner
}

// filterState is what Mark remembers.
type filterState struct {
	txns  txns
	gone  []Aborted
	stats Stats
}

func (s *filterState) clone() filterState {
	return filterState{s.txns.clone(), s.gone[:len(s.gone):len(s.gone)], s.stats}
}

// NewFilter returns a Filter at the start of the log.
func NewFilter(o Options) *Filter {
	return &Filter{opts: o, state: filterState{txns: newTxns(o.Index)}}
}

// Mark remembers the place that Rewind goes back to.
func (f *Filter) Mark()   { f.mark = f.state.clone() }
func (f *Filter) Rewind() { f.state = f.mark.clone() }

// Stats counts what was done so far.
func (f *Filter) Stats() Stats { return f.state.stats }

// Forgettable lists the aborted transactions of Options.Index of which only the marker is left, for longer than it has to be kept. When the index has forgotten
// them, for good, a later cleaning drops the marker.
func (f *Filter) Forgettable() []Aborted { return f.state.gone }

// Batch judges the next batch. must: it may not be dropped. For Replace the second result is the new batch, in memory of its own. Errors match
// kproto.ErrCorruptBatch or kproto.ErrTooLarge.
func (f *Filter) Batch(b kproto.Batch, must bool) (Verdict, kproto.Batch, error) {
	st := &f.state.stats
	st.Batches++
	st.Records += int64(b.Count())
	horizon, hasHorizon := b.DeleteHorizon()
	passed := hasHorizon && horizon <= f.opts.NowMillis
	discard, lonely := false, false // all records go; it is the marker of a transaction of which nothing else is left
	if b.IsControl() {
		discard, lonely = f.marker(b, passed)
	} else {
		discard = f.state.txns.data(b)
	}
	must = must || b.LastOffset()+1 >= f.opts.LogEnd || f.lastOfProducer(b)
	if discard && !must {
		return Drop, nil, nil
	}
	tombstones := false
	err := f.thin.Read(b, func(r *kproto.Record) (bool, error) {
		if discard || !b.IsControl() && !f.keepRecord(r, passed) {
			return false, nil
		}
		tombstones = tombstones || r.Value == nil
		return true, nil
	})
	if err != nil {
		return Keep, nil, err
	}
	switch {
	case f.thin.Kept() == 0 && !must:
		return Drop, nil, nil
	case f.thin.Kept() == 0:
		st.BatchesKept++
		if b.Count() == 0 {
			return Keep, nil, nil
		}
		st.BatchesEmptied++
		return Replace, b.Emptied(), nil
	}
	st.BatchesKept++
	st.RecordsKept += int64(f.thin.Kept())
	newHorizon := int64(-1)
	if !hasHorizon && (tombstones || lonely) {
		newHorizon = f.opts.NowMillis + f.opts.DeleteRetentionMillis
		if lonely {
			newHorizon = f.opts.NowMillis + f.opts.MarkerRetentionMillis
		}
	}
	if f.thin.Thrown() == 0 && newHorizon < 0 {
		return Keep, nil, nil
	}
	return Replace, f.thin.Build(newHorizon), nil
}

// keepRecord judges a record of a batch that is not to be discarded. passed: so is the batch's delete horizon.
func (f *Filter) keepRecord(r *kproto.Record, passed bool) bool {
	switch {
	case r.Offset >= f.opts.Map.End():
		return true // not looked at yet
	case r.Key == nil:
		f.state.stats.Keyless++
		return false
	}
	return !f.opts.Map.superseded(r.Key, r.Offset) && (r.Value != nil || !passed)
}

// marker judges a control batch; passed: so is its delete horizon.
func (f *Filter) marker(b kproto.Batch, passed bool) (discard, lonely bool) {
	m := f.state.txns.control(b)
	if !m.last {
		return false, false
	}
	if m.indexed != nil {
		if passed {
			f.state.gone = append(f.state.gone, *m.indexed)
		}
		return false, true
	}
	if m.abort && f.opts.Indexed != nil && f.opts.Indexed(b.ProducerID(), b.BaseOffset()) {
		return false, true
	}
	return passed || b.Count() == 0, true
}

// lastOfProducer says that the batch holds the sequence number, or the epoch, that a live producer goes on from.
func (f *Filter) lastOfProducer(b kproto.Batch) bool {
	if f.opts.Producer == nil || b.ProducerID() < 0 {
		return false
	}
	p, ok := f.opts.Producer(b.ProducerID())
	switch {
	case !ok:
		return false
	case p.LastOffset >= 0:
		return b.LastOffset() == p.LastOffset
	}
	return b.IsControl() && b.ProducerEpoch() == p.Epoch
}
