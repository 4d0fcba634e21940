package partition

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// headerOnly is a batch without its records: what the state is made of.
func headerOnly(r *s3stream.Record, leaderEpoch int32, producer int64, epoch int16, firstSeq int32, logAppend bool) {
	b := make([]byte, kproto.BatchHeaderBytes)
	be := binary.BigEndian
	be.PutUint64(b[0:], uint64(r.First))
	be.PutUint32(b[12:], uint32(leaderEpoch))
	b[16] = 2
	if logAppend {
		be.PutUint16(b[21:], 1<<3)
	}
	be.PutUint32(b[23:], uint32(r.Next-r.First-1))
	be.PutUint64(b[35:], uint64(r.First+1000))
	be.PutUint64(b[43:], uint64(producer))
	be.PutUint16(b[51:], uint16(epoch))
	be.PutUint32(b[53:], uint32(firstSeq))
	r.Payload = b
}

// TestDigest: a checkpoint at any offset and the digest of a tail that begins at any other amount to the same as all batches one by one.
func TestDigest(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		type producerState struct {
			epoch int16
			next  int32
			open  bool // a transaction is
		}
		known := make([]producerState, 1+rng.IntN(6))
		var records []s3stream.Record
		leaderEpoch, next := int32(0), int64(0)
		for range 1 + rng.IntN(60) {
			if rng.IntN(8) == 0 {
				leaderEpoch += int32(1 + rng.IntN(3))
			}
			r := s3stream.Record{First: next, Next: next + int64(1+rng.IntN(5))}
			id := rng.IntN(len(known)+1) - 1 // -1: not idempotent
			if id < 0 {
				headerOnly(&r, leaderEpoch, -1, -1, -1, false)
			} else {
				p := &known[id]
				if p.open && rng.IntN(3) == 0 || rng.IntN(20) == 0 { // a marker, of a newer epoch when the producer was fenced
					if rng.IntN(4) == 0 {
						p.epoch, p.next = p.epoch+1, 0
					}
					r.Next = r.First + 1
					b := Marker{ProducerID: int64(id), ProducerEpoch: p.epoch, CoordinatorEpoch: int32(rng.IntN(3)), Commit: rng.IntN(2) == 0}.batch(5)
					b.SetLeaderEpoch(leaderEpoch)
					r.Payload, p.open = b, false
					records, next = append(records, r), r.Next
					continue
				}
				if rng.IntN(10) == 0 {
					p.epoch, p.next = p.epoch+1, 0
				}
				headerOnly(&r, leaderEpoch, int64(id), p.epoch, p.next, rng.IntN(2) == 0)
				p.next += int32(r.Next - r.First)
				if p.open || rng.IntN(4) == 0 {
					p.open = true
					r.Payload[22] |= 1 << 4 // transactional
				}
			}
			records, next = append(records, r), r.Next
		}
		fold := func(s *checkpointState, rs []s3stream.Record) {
			for _, r := range rs {
				if err := s.apply(r, 7); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := checkpointState{producers: newProducers()}
		fold(&want, records)

		// The checkpoint covers c records, the tail begins with record f; those in between are replayed one by one.
		c, f := rng.IntN(len(records)+1), rng.IntN(len(records))
		digest := NewDigest()
		digest.now = 7
		for _, r := range records[f:] {
			if err := digest.Record(r); err != nil {
				t.Fatal(err)
			}
		}
		got := checkpointState{producers: newProducers()}
		fold(&got, records[:max(c, f)])
		from := next
		if at := max(c, f); at < len(records) {
			from = records[at].First
		}
		digest.addTo(&got, from)
		if !slices.Equal(got.txns.open, want.txns.open) {
			t.Fatalf("seed %d: open transactions %v, want %v", seed, got.txns.open, want.txns.open)
		}
		a, b := appendCheckpoint(nil, &got.producers, &got.epochs, got.txns.aborted), appendCheckpoint(nil, &want.producers, &want.epochs, want.txns.aborted)
		if !bytes.Equal(a, b) {
			t.Fatalf("seed %d: %d records, checkpoint at %d, tail from %d:\n%x, want\n%x", seed, len(records), c, f, a, b)
		}
	}
}

// TestDigestRefuses: what is no batch ends the digest, so that the replay finds it and says so.
func TestDigestRefuses(t *testing.T) {
	if err := NewDigest().Record(s3stream.Record{First: 1, Next: 2, Payload: []byte("short")}); err == nil {
		t.Fatal("accepted")
	}
}
