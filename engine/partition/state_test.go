package partition

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestProducerWindow states the rules of idempotent producers (KIP-98 and KIP-890): statements 65 to 71 of the protocol.
func TestProducerWindow(t *testing.T) {
	const id = 7
	type batch struct {
		epoch       int16
		first, last int32
	}
	filled := func(n int) producers {
		ps := newProducers()
		for i := range n {
			ps.record(id, 3, int32(10*i), int32(10*i+9), int64(100+10*i), int64(100+10*i+9), 0)
		}
		return ps
	}
	tests := []struct {
		name   string
		state  producers
		batch  batch
		code   kproto.ErrorCode
		repeat int64 // offset of the earlier append, -1: not a retry
	}{
		{"unknown producer may start anywhere", newProducers(), batch{0, 500, 509}, kproto.None, -1},
		{"next in order", filled(2), batch{3, 20, 29}, kproto.None, -1},
		{"gap", filled(2), batch{3, 30, 39}, kproto.OutOfOrderSequenceNumber, -1},
		{"retry of the last", filled(2), batch{3, 10, 19}, kproto.None, 110},
		{"retry of the fifth last", filled(5), batch{3, 0, 9}, kproto.None, 100},
		{"retry of the sixth last", filled(6), batch{3, 0, 9}, kproto.OutOfOrderSequenceNumber, -1},
		{"same start, other end", filled(2), batch{3, 10, 15}, kproto.OutOfOrderSequenceNumber, -1},
		{"old epoch", filled(2), batch{2, 20, 29}, kproto.InvalidProducerEpoch, -1},
		{"new epoch starts at 0", filled(2), batch{4, 0, 4}, kproto.None, -1},
		{"new epoch starts elsewhere", filled(2), batch{4, 20, 29}, kproto.OutOfOrderSequenceNumber, -1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			earlier, code := tc.state.check(id, tc.batch.epoch, tc.batch.first, tc.batch.last)
			if code != tc.code {
				t.Fatalf("code %v, want %v", code, tc.code)
			}
			got := int64(-1)
			if earlier != nil {
				got = earlier.firstOffset
			}
			if got != tc.repeat {
				t.Fatalf("retry of offset %d, want %d", got, tc.repeat)
			}
		})
	}
}

func TestSequenceWraps(t *testing.T) {
	ps := newProducers()
	ps.record(1, 0, math.MaxInt32-1, math.MaxInt32, 0, 1, 0)
	if _, code := ps.check(1, 0, 0, 4); code != kproto.None {
		t.Fatalf("sequence 0 after 2147483647: %v", code)
	}
}

func TestNewEpochForgetsWindow(t *testing.T) {
	ps := newProducers()
	ps.record(1, 0, 0, 9, 0, 9, 0)
	ps.record(1, 1, 0, 9, 10, 19, 0)
	if earlier, code := ps.check(1, 1, 0, 9); code != kproto.None || earlier == nil || earlier.firstOffset != 10 {
		t.Fatalf("retry within the new epoch: %+v, %v; want offset 10", earlier, code)
	}
	if _, code := ps.check(1, 0, 10, 19); code != kproto.InvalidProducerEpoch {
		t.Fatalf("old epoch: %v", code)
	}
}

// TestEndOffsetForEpoch holds the example of KIP-279: epochs 2 from 10, 5 from 30; current 5, log end 50.
func TestEndOffsetForEpoch(t *testing.T) {
	var c epochCache
	c.assign(2, 10)
	c.assign(5, 30)
	tests := []struct {
		asked int32
		epoch int32
		end   int64
	}{{5, 5, 50}, {2, 2, 30}, {3, 2, 30}, {4, 2, 30}, {1, 1, 10}, {0, 0, 10}, {6, -1, -1}, {-1, -1, -1}}
	for _, tc := range tests {
		if epoch, end := c.endOffset(tc.asked, 5, 50); epoch != tc.epoch || end != tc.end {
			t.Errorf("epoch %d: (%d, %d), want (%d, %d)", tc.asked, epoch, end, tc.epoch, tc.end)
		}
	}
	for offset, want := range map[int64]int32{9: -1, 10: 2, 29: 2, 30: 5, 1000: 5} {
		if got := c.epochOf(offset); got != want {
			t.Errorf("epoch of offset %d: %d, want %d", offset, got, want)
		}
	}
}

func TestEpochWithoutRecordsIsReplaced(t *testing.T) {
	var c epochCache
	for _, e := range []epochEntry{{1, 0}, {2, 10}, {3, 10}, {2, 50}, {3, 50}, {7, 20}} {
		c.assign(e.epoch, e.start)
	}
	want := []epochEntry{{1, 0}, {3, 10}, {7, 20}}
	if len(c.entries) != len(want) {
		t.Fatalf("%v, want %v", c.entries, want)
	}
	for i := range want {
		if c.entries[i] != want[i] {
			t.Fatalf("%v, want %v", c.entries, want)
		}
	}
	c.truncateFrom(10)
	if len(c.entries) != 1 {
		t.Fatalf("after truncation: %v", c.entries)
	}
}

// randomState makes a state as appends would.
func randomState(r *rand.Rand) (producers, epochCache) {
	ps, es := newProducers(), epochCache{}
	offset, epoch := int64(0), int32(0)
	for range r.IntN(30) {
		if r.IntN(4) == 0 {
			epoch += 1 + r.Int32N(3)
		}
		es.assign(epoch, offset)
		n := 1 + r.Int64N(20)
		seq := r.Int32N(1000)
		ps.record(r.Int64N(6), int16(r.IntN(3)), seq, seq+int32(n)-1, offset, offset+n-1, r.Int64N(1<<40))
		offset += n
	}
	return ps, es
}

func TestCheckpointRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		ps, es := randomState(rand.New(rand.NewPCG(seed, 1)))
		encoded := appendCheckpoint(nil, &ps, &es, nil)
		s, err := decodeCheckpoint(encoded)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again := appendCheckpoint(nil, &s.producers, &s.epochs, s.txns.aborted); !bytes.Equal(again, encoded) {
			t.Fatalf("seed %d: encoded again it differs", seed)
		}
	}
}

func TestCheckpointRefusesDamage(t *testing.T) {
	ps, es := randomState(rand.New(rand.NewPCG(5, 5)))
	encoded := appendCheckpoint(nil, &ps, &es, nil)
	for n := range len(encoded) {
		if _, err := decodeCheckpoint(encoded[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes decode", n, len(encoded))
		}
	}
	if _, err := decodeCheckpoint(append(bytes.Clone(encoded), 0)); err == nil {
		t.Fatal("a byte too many decodes")
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	for seed := range uint64(4) {
		ps, es := randomState(rand.New(rand.NewPCG(seed, 2)))
		f.Add(appendCheckpoint(nil, &ps, &es, nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeCheckpoint(b)
		if err != nil {
			return
		}
		if got := appendCheckpoint(nil, &s.producers, &s.epochs, s.txns.aborted); !bytes.Equal(got, b) {
			t.Fatalf("re-encoding differs: %x, want %x", got, b)
		}
	})
}
