package partition

import (
	"fmt"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// apply adds one batch. now is when, in milliseconds.
func (s *checkpointState) apply(r s3stream.Record, now int64) error {
	b := kproto.Batch(r.Payload)
	if len(b) < kproto.BatchHeaderBytes {
		return fmt.Errorf("record at offset %d has %d bytes, a batch has at least %d", r.First, len(b), kproto.BatchHeaderBytes)
	}
	s.epochs.assign(b.PartitionLeaderEpoch(), r.First)
	switch {
	case b.IsControl():
		m, ok, err := parseMarker(b)
		if err != nil {
			return fmt.Errorf("batch at offset %d: %w", r.First, err)
		}
		if ok {
			s.mark(m, r.First, now)
		}
	case b.ProducerID() >= 0:
		known := s.note(b, r.First, r.Next-1, now)
		if config.TimestampType(b.TimestampType()) == config.LogAppendTime {
			known.timestamp = b.MaxTimestamp()
		}
	}
	return nil
}

// Digest is the state that the batches of a recovered tail amount to. It implements s3stream.Digest.
type Digest struct {
	checkpointState
	now    int64 // ms; all of it passes by in a moment
	events []txnEvent
}

// txnEvent is the first batch of a transaction, or its end. What is open before the digest begins is not known to it, so that these are kept as they came.
type txnEvent struct {
	offset int64
	end    bool
	marker Marker // of a beginning only the producer
}

// NewDigest is empty.
func NewDigest() *Digest {
	return &Digest{checkpointState: checkpointState{producers: newProducers()}, now: time.Now().UnixMilli()}
}

// Record implements s3stream.Digest.
func (d *Digest) Record(r s3stream.Record) error {
	if err := d.apply(r, d.now); err != nil {
		return err
	}
	b := kproto.Batch(r.Payload)
	switch {
	case b.IsControl():
		if m, ok := ParseMarker(b); ok {
			d.events = append(d.events, txnEvent{r.First, true, m})
		}
	case b.IsTransactional() && d.producers.byID[b.ProducerID()].txnFirst == r.First:
		d.events = append(d.events, txnEvent{r.First, false, Marker{ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch()}})
	}
	return nil
}

// addTo adds what the digest has of offsets from on to a state that has everything below. It does what applying the batches one by one would: a producer is
// known by its last batches, and of those the digest has as many as are remembered; an epoch that is known already is not news.
func (d *Digest) addTo(s *checkpointState, from int64) {
	for _, e := range d.epochs.entries {
		s.epochs.assign(e.epoch, max(e.start, from))
	}
	for _, e := range d.events {
		switch {
		case e.offset < from:
		case e.end:
			s.mark(e.marker, e.offset, d.now)
		default:
			s.begin(e.marker.ProducerID, e.marker.ProducerEpoch, e.offset)
		}
	}
	for id, p := range d.producers.byID {
		for i := range int(p.count) {
			if b := p.nth(i); b.firstOffset >= from {
				known := s.producers.record(id, p.epoch, b.firstSeq, b.lastSeq, b.firstOffset, b.lastOffset, p.touched)
				known.timestamp = b.timestamp
			}
		}
	}
}
