package cleaner

import (
	"github.com/ringmq/ringmq/engine/kproto"
)

// Builder fills an OffsetMap with the keys of the part of a log that is dirty.
type Builder struct {
	m       *OffsetMap
	txns    txns
	it      kproto.RecordIter
	from    int64
	keyless int
}

// NewBuilder fills m with what lies at or behind offset from. index has the aborted transactions of what it will be given.
func NewBuilder(m *OffsetMap, from int64, index []Aborted) *Builder {
	m.end = from
	return &Builder{m: m, from: from, txns: newTxns(index)}
}

// Add puts the keys of a batch; batches come in the order of offsets. more is false when the map has no room for another key: then OffsetMap.End lies behind the last
// record that had room. Errors match kproto.ErrCorruptBatch or kproto.ErrTooLarge.
func (b *Builder) Add(batch kproto.Batch) (more bool, err error) {
	if batch.IsControl() {
		b.txns.control(batch)
	} else if !b.txns.data(batch) {
		if more, err := b.records(batch); err != nil || !more {
			return false, err
		}
	}
	b.m.end = max(b.m.end, batch.LastOffset()+1)
	return true, nil
}

func (b *Builder) records(batch kproto.Batch) (more bool, err error) {
	if err := b.it.Reset(batch); err != nil {
		return false, err
	}
	defer b.it.Close()
	for b.it.Next() {
		r := b.it.Record()
		switch {
		case r.Offset < b.from:
			continue
		case r.Key == nil:
			b.keyless++
		case !b.m.put(r.Key, r.Offset):
			return false, nil
		}
		b.m.end = max(b.m.end, r.Offset+1)
	}
	return true, b.it.Err()
}
