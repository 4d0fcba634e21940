package cleaner

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ringmq/ringmq/engine/kproto"
)

// FuzzFilter judges batches of any bytes. Nothing may panic; what comes out has a right checksum, the ends of what went in, exactly the records that had to
// stay, byte for byte, and stays as it is when it is judged again.
func FuzzFilter(f *testing.F) {
	for codec := kproto.CodecNone; codec <= kproto.CodecZstd; codec++ {
		k := &book{begun: make(map[int64]int64)}
		for _, line := range [][]string{
			{"batch", "codec=" + codec.String(), "a=1", "b=2{h:x}", "a", "=4", "c=5"},
			{"batch", "codec=" + codec.String(), "producer=3", "seq=1", "txn", "b=2", "c"},
			{"abort", "producer=3"},
		} {
			if err := k.line(line); err != nil {
				f.Fatal(err)
			}
		}
		for _, b := range k.batches {
			f.Add([]byte(b), int64(5), true)
			f.Add([]byte(b), int64(5), false)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, now int64, must bool) {
		b, err := kproto.FirstBatch(raw)
		if err != nil || b.LastOffsetDelta() < 0 || b.BaseOffset() < 0 || b.LastOffset() < 0 || now < 0 || now > 1<<60 || b.Codec() > kproto.CodecZstd {
			return
		}
		m, err := NewOffsetMap(1<<12, 1<<10, 0.9)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if more, err := NewBuilder(m, 0, nil).Add(b); err != nil || !more {
			return
		}
		o := Options{Map: m, NowMillis: now, DeleteRetentionMillis: 10, MarkerRetentionMillis: 10, LogEnd: -1}
		verdict, thin, err := NewFilter(o).Batch(b, must)
		if err != nil {
			return
		}
		if must && verdict == Drop {
			t.Fatal("what must stay was dropped")
		}
		if verdict != Replace {
			return
		}
		if err := thin.Verify(); err != nil {
			t.Fatal(err)
		}
		if thin.Length() != len(thin) || thin.BaseOffset() != b.BaseOffset() || thin.LastOffset() != b.LastOffset() || thin.ProducerID() != b.ProducerID() ||
			thin.ProducerEpoch() != b.ProducerEpoch() || thin.BaseSequence() != b.BaseSequence() || thin.IsControl() != b.IsControl() || thin.IsTransactional() != b.IsTransactional() {
			t.Fatalf("%x became %x", b[:kproto.BatchHeaderBytes], thin[:kproto.BatchHeaderBytes])
		}
		before, after := records(t, b), records(t, thin)
		for len(after) > 0 {
			if len(before) == 0 {
				t.Fatalf("%q was not there before", after[0])
			}
			if bytes.Equal(before[0], after[0]) {
				after = after[1:]
			}
			before = before[1:]
		}
		if again, _, err := NewFilter(o).Batch(thin, must); err != nil || again != Keep {
			t.Fatalf("judged again: %d, %v", again, err)
		}
	})
}

// records lists what readers see of a batch.
func records(t *testing.T, b kproto.Batch) (out [][]byte) {
	var it kproto.RecordIter
	defer it.Close()
	if err := it.Reset(b); err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		r := it.Record()
		out = append(out, fmt.Appendf(nil, "%d %d %q %t %q %t %q", r.Offset, r.Timestamp, r.Key, r.Key == nil, r.Value, r.Value == nil, r.AppendHeaders(nil)))
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOffsetMap compares the map with a naive one, until it is full.
func TestOffsetMap(t *testing.T) {
	m, err := NewOffsetMap(24*1000, 1<<40, 0.9)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	naive := make(map[string]int64)
	offset := int64(0)
	for {
		key := fmt.Sprint(offset * 7919 % 2003)
		if !m.put([]byte(key), offset) {
			break
		}
		naive[key] = offset
		offset++
	}
	if m.Len() != 900 || len(naive) != 900 || m.Full() != 1 {
		t.Fatalf("%d keys, want 900 of 1000 slots; %d in the naive one", m.Len(), len(naive))
	}
	for key, last := range naive {
		if !m.put([]byte(key), last) || m.superseded([]byte(key), last) || !m.superseded([]byte(key), last-1) {
			t.Fatalf("key %s, last at %d", key, last)
		}
	}
	if m.superseded([]byte("unknown"), 0) {
		t.Fatal("an unknown key is superseded")
	}
}
