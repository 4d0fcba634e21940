package partition

import (
	"math"

	"github.com/ringmq/ringmq/engine/kproto"
)

// windowBatches is how many batches of a producer are remembered to recognise a retry (KIP-98: max.in.flight <= 5).
const windowBatches = 5

// producers is the idempotence state of a partition, by producer id.
type producers struct {
	byID map[int64]*producer
	// asked is what was offered by producers whose transaction has not reached the partition, and had to wait for the coordinator; not part of the
	// checkpoint. An entry goes when the transaction begins here, ends, or the producer expires.
	asked map[int64]asked
}

// asked is the lowest sequence of an epoch that a producer has offered: what it offered after that must not get into the log before it.
type asked struct {
	epoch   int16
	lowest  int32
	touched int64 // ms
}

// producer is what is known of one producer id on this partition.
type producer struct {
	epoch   int16
	count   uint8 // of batches in the window
	oldest  uint8 // index of the oldest batch in the window
	touched int64 // ms, when it last appended
	// coordinator is the epoch of the coordinator that last ended a transaction, -1: none did.
	coordinator int32
	txnFirst    int64 // first offset of the open transaction, -1: there is none
	marked      int64 // offset of the last marker, -1 unknown; not part of the checkpoint
	window      [windowBatches]producerBatch
}

// producerBatch is one appended batch: its sequence range and where it went.
type producerBatch struct {
	firstSeq, lastSeq       int32
	firstOffset, lastOffset int64
	timestamp               int64 // the response's log append time, -1 with CreateTime
}

// newProducer is a producer of which nothing but the epoch is known.
func newProducer(epoch int16) *producer {
	return &producer{epoch: epoch, coordinator: -1, txnFirst: -1, marked: -1}
}

func newProducers() producers { return producers{byID: make(map[int64]*producer)} }

func (p *producer) last() *producerBatch {
	return &p.window[(int(p.oldest)+int(p.count)-1)%windowBatches]
}

func (p *producer) nth(i int) *producerBatch { return &p.window[(int(p.oldest)+i)%windowBatches] }

func (p *producer) push(b producerBatch) {
	if p.count < windowBatches {
		p.window[(int(p.oldest)+int(p.count))%windowBatches] = b
		p.count++
		return
	}
	p.window[p.oldest] = b
	p.oldest = (p.oldest + 1) % windowBatches
}

// check judges a batch before it is appended. A non-nil batch is the earlier append of which this one is a retry.
func (ps *producers) check(id int64, epoch int16, firstSeq, lastSeq int32) (*producerBatch, kproto.ErrorCode) {
	p := ps.byID[id]
	if p == nil {
		return nil, kproto.None // new, expired or deleted with the data: any start is accepted
	}
	switch {
	case epoch < p.epoch:
		return nil, kproto.InvalidProducerEpoch
	case firstSeq < 0:
		return nil, kproto.None // the broker's own batch
	case epoch > p.epoch:
		if firstSeq != 0 {
			return nil, kproto.OutOfOrderSequenceNumber
		}
		return nil, kproto.None
	}
	for i := 0; i < int(p.count); i++ {
		if b := p.nth(i); b.firstSeq == firstSeq && b.lastSeq == lastSeq {
			return b, kproto.None
		}
	}
	want := int32(0) // a marker brought the epoch
	if p.count > 0 {
		want = nextSequence(p.last().lastSeq)
	}
	if firstSeq != want {
		return nil, kproto.OutOfOrderSequenceNumber
	}
	return nil, kproto.None
}

// ask notes a batch that has to wait for the coordinator.
func (ps *producers) ask(id int64, epoch int16, firstSeq int32, now int64) {
	if firstSeq < 0 {
		return // the broker's own
	}
	a, ok := ps.asked[id]
	switch {
	case !ok || epoch > a.epoch:
		a = asked{epoch: epoch, lowest: firstSeq}
	case epoch == a.epoch:
		a.lowest = min(a.lowest, firstSeq)
	}
	a.touched = now
	if ps.asked == nil {
		ps.asked = make(map[int64]asked)
	}
	ps.asked[id] = a
}

// checkFirst judges a batch that opens a transaction by what the producer has offered before.
func (ps *producers) checkFirst(id int64, epoch int16, firstSeq int32, added bool) kproto.ErrorCode {
	a, ok := ps.asked[id]
	switch {
	case ok && a.epoch == epoch && firstSeq > a.lowest, // its predecessor was refused, and will come again
		added && firstSeq > 0 && ps.byID[id] == nil: // a new epoch begins with 0
		return kproto.OutOfOrderSequenceNumber
	}
	return kproto.None
}

// at returns the producer with the given epoch, made if need be. A new epoch forgets the batches of the old one; an open transaction stays.
func (ps *producers) at(id int64, epoch int16) *producer {
	p := ps.byID[id]
	if p == nil {
		p = newProducer(epoch)
		ps.byID[id] = p
	}
	if p.epoch != epoch {
		p.epoch, p.count, p.oldest = epoch, 0, 0
	}
	return p
}

// record notes an appended batch. One without sequence, which the broker made, is not remembered: the result is nobody's then.
func (ps *producers) record(id int64, epoch int16, firstSeq, lastSeq int32, firstOffset, lastOffset, now int64) *producerBatch {
	p := ps.at(id, epoch)
	p.touched = now
	if firstSeq < 0 {
		return new(producerBatch)
	}
	p.push(producerBatch{firstSeq: firstSeq, lastSeq: lastSeq, firstOffset: firstOffset, lastOffset: lastOffset, timestamp: -1})
	return p.last()
}

// expire forgets producers that have not appended since the given time and have no open transaction.
func (ps *producers) expire(before int64) {
	for id, p := range ps.byID {
		if p.touched < before && p.txnFirst < 0 {
			delete(ps.byID, id)
		}
	}
	for id, a := range ps.asked {
		if a.touched < before {
			delete(ps.asked, id)
		}
	}
}

// nextSequence is the sequence after s; sequences wrap from 2147483647 to 0.
func nextSequence(s int32) int32 {
	if s == math.MaxInt32 {
		return 0
	}
	return s + 1
}
