package object

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

var ctx = context.Background()

// shape says what random objects look like.
type shape struct {
	streams, records, maxPayload int
	holes                        bool // offsets with gaps, as log compaction leaves them
}

// randomRecords returns records in the order that a Writer wants.
func randomRecords(rng *rand.Rand, s shape) []Record {
	var out []Record
	stream := int64(rng.IntN(10))
	for range s.streams {
		offset := rng.Int64N(1 << 40)
		ts := int64(1_700_000_000_000)
		for range 1 + rng.IntN(s.records) {
			if s.holes && rng.IntN(4) == 0 {
				offset += rng.Int64N(1 << 33) // more than the record table can hold
			}
			r := Record{Stream: stream, First: offset, Next: offset + 1 + rng.Int64N(100), MaxTimestamp: ts + rng.Int64N(1000) - 500}
			if rng.IntN(20) == 0 {
				r.MaxTimestamp = -1
			}
			r.Payload = make([]byte, rng.IntN(s.maxPayload+1))
			for i := range r.Payload {
				r.Payload[i] = byte(rng.Uint32())
			}
			ts += rng.Int64N(100)
			out, offset = append(out, r), r.Next
		}
		stream += 1 + rng.Int64N(1000)
	}
	return out
}

// counted is a Releaser that must be released once.
type counted struct{ n *atomic.Int64 }

func (c counted) Unref() { c.n.Add(1) }

func writeObject(t testing.TB, b objstore.Bucket, key string, o Options, records []Record, states ...checkpoint) Result {
	t.Helper()
	w, err := NewWriter(ctx, b, key, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	var released atomic.Int64
	for _, r := range records {
		r.Mem = counted{&released}
		if err := w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range states {
		if err := w.Checkpoint(c.stream, c.offset, c.state); err != nil {
			t.Fatal(err)
		}
	}
	res, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if n := released.Load(); n != int64(len(records)) {
		t.Fatalf("%d references released, want %d", n, len(records))
	}
	return res
}

func openObject(t testing.TB, b objstore.Bucket, key string) *Reader {
	t.Helper()
	r, err := Open(ctx, b, key, -1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// readAll returns all records and checkpoints, by the path that readers take.
func readAll(r *Reader) (records []Record, states []checkpoint, err error) {
	for _, e := range r.Index().Blocks {
		b, err := r.ReadBlock(ctx, e, nil)
		if err != nil {
			return nil, nil, err
		}
		b.Records(func(c Cursor) bool {
			records = append(records, Record{Stream: e.Stream, First: c.First, Next: c.Next, MaxTimestamp: c.MaxTimestamp, Payload: b.Payload[c.Start:c.End]})
			return true
		})
	}
	for _, e := range r.Index().Checkpoints {
		s, err := r.ReadCheckpoint(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		states = append(states, checkpoint{e.Stream, e.Offset, s})
	}
	return records, states, nil
}

func sameRecord(a, b Record) bool {
	return a.Stream == b.Stream && a.First == b.First && a.Next == b.Next && a.MaxTimestamp == b.MaxTimestamp && bytes.Equal(a.Payload, b.Payload)
}

func wantRecords(t testing.TB, got, want []Record) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !sameRecord(got[i], want[i]) {
			t.Fatalf("record %d is %s, want %s", i, describe(got[i]), describe(want[i]))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
}

func wantStates(t testing.TB, got, want []checkpoint) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d checkpoints, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].stream != want[i].stream || got[i].offset != want[i].offset || !bytes.Equal(got[i].state, want[i].state) {
			t.Fatalf("checkpoint %d is of stream %d at %d, want stream %d at %d", i, got[i].stream, got[i].offset, want[i].stream, want[i].offset)
		}
	}
}

func describe(r Record) string {
	return fmt.Sprintf("{stream %d, offsets %d to %d, timestamp %d, %d bytes}", r.Stream, r.First, r.Next, r.MaxTimestamp, len(r.Payload))
}

func noUploads(t testing.TB, b objstore.Bucket) {
	t.Helper()
	err := b.ListUploads(ctx, "", func(u objstore.Upload) error { return fmt.Errorf("upload %s of %s is left", u.ID, u.Key) })
	if err != nil {
		t.Fatal(err)
	}
}
