package cleaner

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/ringmq/ringmq/engine/kproto"
)

// Aborted is one aborted transaction of the partition's index.
type Aborted struct {
	Producer    int64
	First, Last int64 // its first offset, and that of its marker
}

// txns follows the transactions of a log that is read from front to back.
type txns struct {
	coming    []Aborted         // by first offset: not come upon yet
	aborting  map[int64]aborted // by producer: begun and not ended
	committed map[int64]bool    // producers with records of a transaction that will be committed
}

type aborted struct {
	Aborted
	seen bool // batches of it are left
}

func newTxns(index []Aborted) txns {
	index = slices.Clone(index)
	slices.SortFunc(index, func(a, b Aborted) int { return int(min(max(a.First-b.First, -1), 1)) })
	return txns{coming: index, aborting: make(map[int64]aborted), committed: make(map[int64]bool)}
}

// clone is a copy that changes on its own.
func (t *txns) clone() txns {
	return txns{t.coming, maps.Clone(t.aborting), maps.Clone(t.committed)}
}

// advance comes to a batch. What has ended before it, where nobody looked, is of no interest.
func (t *txns) advance(b kproto.Batch) {
	for len(t.coming) > 0 && t.coming[0].First <= b.LastOffset() {
		a := t.coming[0]
		if _, ok := t.aborting[a.Producer]; !ok && a.Last >= b.BaseOffset() {
			t.aborting[a.Producer] = aborted{Aborted: a}
		}
		t.coming = t.coming[1:]
	}
}

// data takes a batch of records, and says whether it belongs to an aborted transaction.
func (t *txns) data(b kproto.Batch) bool {
	t.advance(b)
	if !b.IsTransactional() {
		return false
	}
	a, ok := t.aborting[b.ProducerID()]
	if !ok {
		t.committed[b.ProducerID()] = true
		return false
	}
	a.seen = true
	t.aborting[b.ProducerID()] = a
	return true
}

// marked is what a control batch means to what is left of its transaction.
type marked struct {
	last bool // nothing else of the transaction is left
	// indexed is the entry of the index that the marker ends, if it has one.
	indexed *Aborted
	abort   bool
}

// Kinds of control records.
const (
	controlAbort  = 0
	controlCommit = 1
)

// control takes a control batch.
func (t *txns) control(b kproto.Batch) marked {
	t.advance(b)
	kind, ok := controlKind(b)
	switch {
	case !ok: // emptied by an earlier cleaning
		return marked{last: true}
	case kind == controlAbort:
		a, ok := t.aborting[b.ProducerID()]
		if !ok {
			return marked{last: true, abort: true}
		}
		delete(t.aborting, b.ProducerID())
		return marked{last: !a.seen, abort: true, indexed: &a.Aborted}
	case kind == controlCommit:
		seen := t.committed[b.ProducerID()]
		delete(t.committed, b.ProducerID())
		return marked{last: !seen}
	}
	return marked{}
}

// controlKind reads the type of a control batch; ok is false when it has no record.
func controlKind(b kproto.Batch) (kind int16, ok bool) {
	var it kproto.RecordIter
	defer it.Close()
	if it.Reset(b) != nil || !it.Next() || len(it.Record().Key) < 4 {
		return -1, b.Count() > 0 // what is damaged is left alone
	}
	return int16(binary.BigEndian.Uint16(it.Record().Key[2:])), true
}
