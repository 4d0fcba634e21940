package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The first byte of the encoding of CHECKPOINT.md: what is written, and what was written before there were transactions.
const (
	checkpointVersion   = 2
	checkpointVersionV1 = 1
)

const (
	checkpointEpochBytes    = 12
	checkpointProducerBytes = 8 + 2 + 8 + 1 // at least, in any version
	checkpointAbortedBytes  = 8 + 8 + 8
	checkpointBatchBytes    = 4 + 4 + 8 + 8 + 8
)

var errCheckpoint = errors.New("malformed")

type checkpointState struct {
	producers producers
	epochs    epochCache
	txns      transactions
}

// appendCheckpoint encodes the state. The encoding is the same for the same state.
func appendCheckpoint(dst []byte, ps *producers, es *epochCache, aborted []abortedTxn) []byte {
	be := binary.BigEndian
	dst = append(dst, checkpointVersion)
	dst = be.AppendUint32(dst, uint32(len(es.entries)))
	for _, e := range es.entries {
		dst = be.AppendUint32(dst, uint32(e.epoch))
		dst = be.AppendUint64(dst, uint64(e.start))
	}
	dst = be.AppendUint32(dst, uint32(len(ps.byID)))
	for _, id := range slices.Sorted(maps.Keys(ps.byID)) {
		p := ps.byID[id]
		dst = be.AppendUint64(dst, uint64(id))
		dst = be.AppendUint16(dst, uint16(p.epoch))
		dst = be.AppendUint64(dst, uint64(p.touched))
		dst = be.AppendUint32(dst, uint32(p.coordinator))
		dst = be.AppendUint64(dst, uint64(p.txnFirst))
		dst = append(dst, p.count)
		for i := range int(p.count) {
			b := p.nth(i)
			dst = be.AppendUint32(dst, uint32(b.firstSeq))
			dst = be.AppendUint32(dst, uint32(b.lastSeq))
			dst = be.AppendUint64(dst, uint64(b.firstOffset))
			dst = be.AppendUint64(dst, uint64(b.lastOffset))
			dst = be.AppendUint64(dst, uint64(b.timestamp))
		}
	}
	dst = be.AppendUint32(dst, uint32(len(aborted)))
	for _, a := range aborted {
		dst = be.AppendUint64(dst, uint64(a.producer))
		dst = be.AppendUint64(dst, uint64(a.first))
		dst = be.AppendUint64(dst, uint64(a.last))
	}
	return dst
}

// decodeCheckpoint reads what appendCheckpoint wrote. Lengths are bounded by the bytes at hand.
func decodeCheckpoint(b []byte) (checkpointState, error) {
	s := checkpointState{producers: newProducers()}
	if len(b) < 1 {
		return s, fmt.Errorf("%w: empty", errCheckpoint)
	}
	version := b[0]
	if version != checkpointVersion && version != checkpointVersionV1 {
		return s, fmt.Errorf("%w: version %d, this program knows %d to %d", errCheckpoint, version, checkpointVersionV1, checkpointVersion)
	}
	d := decoder{b: b[1:]}
	for range d.count(checkpointEpochBytes) {
		e := epochEntry{epoch: int32(d.uint32()), start: int64(d.uint64())}
		if n := len(s.epochs.entries); n > 0 && (s.epochs.entries[n-1].epoch >= e.epoch || s.epochs.entries[n-1].start >= e.start) {
			return s, fmt.Errorf("%w: leader epoch %d at offset %d does not ascend", errCheckpoint, e.epoch, e.start)
		}
		s.epochs.entries = append(s.epochs.entries, e)
	}
	previous := int64(-1)
	for range d.count(checkpointProducerBytes) {
		id := int64(d.uint64())
		if id <= previous {
			return s, fmt.Errorf("%w: producer id %d does not ascend", errCheckpoint, id)
		}
		previous = id
		p := newProducer(int16(d.uint16()))
		p.touched = int64(d.uint64())
		if version >= checkpointVersion {
			p.coordinator, p.txnFirst = int32(d.uint32()), int64(d.uint64())
		}
		n := d.uint8()
		if n > windowBatches {
			return s, fmt.Errorf("%w: producer %d has %d batches, at most %d are kept", errCheckpoint, id, n, windowBatches)
		}
		for range n {
			p.push(producerBatch{int32(d.uint32()), int32(d.uint32()), int64(d.uint64()), int64(d.uint64()), int64(d.uint64())})
		}
		s.producers.byID[id] = p
	}
	if version >= checkpointVersion {
		for range d.count(checkpointAbortedBytes) {
			a := abortedTxn{int64(d.uint64()), int64(d.uint64()), int64(d.uint64())}
			if n := len(s.txns.aborted); a.first > a.last || n > 0 && s.txns.aborted[n-1].last >= a.last {
				return s, fmt.Errorf("%w: aborted transaction from %d to %d does not ascend", errCheckpoint, a.first, a.last)
			}
			s.txns.aborted = append(s.txns.aborted, a)
		}
	}
	if d.short || len(d.b) > 0 {
		return s, fmt.Errorf("%w: truncated=%t, %d bytes left over", errCheckpoint, d.short, len(d.b))
	}
	s.txns.restore(&s.producers)
	return s, nil
}

// decoder reads big-endian fields and remembers when the bytes ran out.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.short, d.b = true, nil
		return make([]byte, 8)
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint8() uint8   { return d.take(1)[0] }
func (d *decoder) uint16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
func (d *decoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

// count reads an element count and refuses one that the remaining bytes cannot hold.
func (d *decoder) count(elementBytes int) int {
	n := int(d.uint32())
	if n*elementBytes > len(d.b) {
		d.short, d.b = true, nil
		return 0
	}
	return n
}
