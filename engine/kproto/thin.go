package kproto

import (
	"encoding/binary"
)

const attrDeleteHorizon = 1 << 6

// DeleteHorizon is when the batch's tombstones may go, in milliseconds, if log compaction has set it (KIP-534). The base timestamp stands for it then.
func (b Batch) DeleteHorizon() (millis int64, ok bool) {
	if b[offAttributes+1]&attrDeleteHorizon == 0 {
		return 0, false
	}
	return b.BaseTimestamp(), true
}

// Emptied returns the header of b alone, as log compaction keeps it for the sake of its offsets and its producer's sequence. New memory.
func (b Batch) Emptied() Batch {
	out := Batch(append(make([]byte, 0, BatchHeaderBytes), b[:BatchHeaderBytes]...))
	out[offAttributes+1] &^= attrDeleteHorizon
	binary.BigEndian.PutUint64(out[offBaseTimestamp:], ^uint64(0)) // -1: there is no record
	binary.BigEndian.PutUint32(out[offCount:], 0)
	out.finish(CodecNone, b.MaxTimestamp())
	return out
}

// Thinner takes records out of batches. The zero value is ready; it keeps memory from batch to batch. Use: Read, then Build if that is wanted.
type Thinner struct {
	it     RecordIter
	batch  Batch
	plain  []byte // the kept records, as they were
	spans  []thinSpan
	out    []byte
	maxTs  int64
	thrown int
}

// thinSpan is a kept record in Thinner.plain.
type thinSpan struct {
	start, end      int   // of the record, its length included
	attr            int   // where its attributes begin
	deltaEnd        int   // where its timestamp delta ends
	timestampMillis int64 // base + delta
}

// Read passes over the records of b and takes those that keep accepts. b stays valid until Build. Errors match ErrCorruptBatch or ErrTooLarge.
func (t *Thinner) Read(b Batch, keep func(*Record) (bool, error)) error {
	t.batch, t.plain, t.spans, t.maxTs, t.thrown = b, t.plain[:0], t.spans[:0], noTimestamp, 0
	if err := t.it.Reset(b); err != nil {
		return err
	}
	defer t.it.Close()
	for {
		before := t.it.rest
		if !t.it.Next() {
			return t.it.Err()
		}
		r := t.it.Record()
		ok, err := keep(r)
		if err != nil {
			return err
		}
		if !ok {
			t.thrown++
			continue
		}
		whole := before[:len(before)-len(t.it.rest)]
		at, attr := len(t.plain), len(whole)-len(r.body)
		t.plain = append(t.plain, whole...)
		stamp := b.BaseTimestamp() + r.timestampDelta
		t.spans = append(t.spans, thinSpan{at, at + len(whole), at + attr, at + attr + r.deltaAt, stamp})
		t.maxTs = max(t.maxTs, stamp)
	}
}

// Kept and Thrown are how many records keep accepted and refused.
func (t *Thinner) Kept() int   { return len(t.spans) }
func (t *Thinner) Thrown() int { return t.thrown }

// Build returns a batch with the kept records: the same base offset, last offset, producer, leader epoch and codec. horizon, if it is not
// negative, becomes the batch's delete horizon; a horizon that it has stays. New memory. REQUIRES: Kept() > 0.
func (t *Thinner) Build(horizon int64) Batch {
	b := t.batch
	records := t.plain
	if horizon >= 0 {
		records = t.restamped(horizon)
	}
	out := append(make([]byte, 0, BatchHeaderBytes+len(records)/2), b[:BatchHeaderBytes]...)
	out = compress(out, b.Codec(), 0, records)
	n := Batch(out[:len(out):len(out)])
	binary.BigEndian.PutUint32(n[offCount:], uint32(len(t.spans)))
	if horizon >= 0 {
		n[offAttributes+1] |= attrDeleteHorizon
		binary.BigEndian.PutUint64(n[offBaseTimestamp:], uint64(horizon))
	}
	maxTimestamp := t.maxTs
	if b.TimestampType() == 1 {
		maxTimestamp = b.MaxTimestamp()
	}
	n.finish(b.Codec(), maxTimestamp)
	return n
}

// restamped returns the kept records with timestamps that count from base. Valid until the next call.
func (t *Thinner) restamped(base int64) []byte {
	t.out = t.out[:0]
	for _, s := range t.spans {
		delta := s.timestampMillis - base
		length := 1 + varintLen(delta) + (s.end - s.deltaEnd)
		t.out = appendVarint(t.out, int64(length))
		t.out = append(t.out, t.plain[s.attr])
		t.out = appendVarint(t.out, delta)
		t.out = append(t.out, t.plain[s.deltaEnd:s.end]...)
	}
	return t.out
}
