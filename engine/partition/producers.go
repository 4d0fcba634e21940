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
}

// producer is what is known of one producer id on this partition.
type producer struct {
	epoch   int16
	count   uint8 // of batches in the window
	oldest  uint8 // index of the oldest batch in the window
	touched int64 // ms, when it last appended
	window  [windowBatches]producerBatch
}

// producerBatch is one appended batch: its sequence range and where it went.
type producerBatch struct {
	firstSeq, lastSeq       int32
	firstOffset, lastOffset int64
	timestamp               int64 // the response's log append time, -1 with CreateTime
}

func newProducers() producers { return producers{byID: make(map[int64]*producer)} }

func (p *producer) last() *producerBatch {
	return &p.window[(int(p.oldest)+int(p.count)-1)%windowBatches]
}

func (p *producer) at(i int) *producerBatch { return &p.window[(int(p.oldest)+i)%windowBatches] }

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
	case epoch > p.epoch:
		if firstSeq != 0 {
			return nil, kproto.OutOfOrderSequenceNumber
		}
		return nil, kproto.None
	}
	for i := 0; i < int(p.count); i++ {
		if b := p.at(i); b.firstSeq == firstSeq && b.lastSeq == lastSeq {
			return b, kproto.None
		}
	}
	if p.count > 0 && firstSeq != nextSequence(p.last().lastSeq) {
		return nil, kproto.OutOfOrderSequenceNumber
	}
	return nil, kproto.None
}

// record notes an appended batch.
func (ps *producers) record(id int64, epoch int16, firstSeq, lastSeq int32, firstOffset, lastOffset, now int64) *producerBatch {
	p := ps.byID[id]
	if p == nil {
		p = &producer{epoch: epoch}
		ps.byID[id] = p
	}
	if p.epoch != epoch {
		*p = producer{epoch: epoch}
	}
	p.touched = now
	p.push(producerBatch{firstSeq: firstSeq, lastSeq: lastSeq, firstOffset: firstOffset, lastOffset: lastOffset, timestamp: -1})
	return p.last()
}

// expire forgets producers that have not appended since the given time.
func (ps *producers) expire(before int64) {
	for id, p := range ps.byID {
		if p.touched < before {
			delete(ps.byID, id)
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
