package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/wire"
	"github.com/ringmq/ringmq/bench/wire/wiretest"
)

func batchOf(values ...string) []byte {
	var b wire.Batch
	b.Reset(time.UnixMilli(1_800_000_000_000))
	for _, v := range values {
		b.Add([]byte(v))
	}
	return bytes.Clone(b.Bytes())
}

// TestBatch: another implementation reads the batch, and its checksum is right.
func TestBatch(t *testing.T) {
	raw := batchOf("one", "", "three")
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	if rb.Magic != 2 || rb.NumRecords != 3 || rb.LastOffsetDelta != 2 || rb.ProducerID != -1 || rb.FirstSequence != -1 || rb.PartitionLeaderEpoch != -1 ||
		rb.FirstTimestamp != 1_800_000_000_000 || rb.MaxTimestamp != rb.FirstTimestamp {
		t.Errorf("%+v", rb)
	}
	if int(rb.Length) != len(raw)-12 {
		t.Errorf("length %d of %d bytes", rb.Length, len(raw))
	}
	if want := crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)); uint32(rb.CRC) != want {
		t.Errorf("checksum %x, want %x", rb.CRC, want)
	}
	var got []string
	next, err := wire.Records(raw, 0, func(off int64, v []byte) { got = append(got, fmt.Sprint(off, string(v))) })
	if err != nil || next != 3 || fmt.Sprint(got) != "[0one 1 2three]" {
		t.Errorf("%q, next %d, %v", got, next, err)
	}
}

func TestRecords(t *testing.T) {
	a, b := batchOf("a", "b"), batchOf("c", "d")
	binary.BigEndian.PutUint64(b, 2)
	both := append(bytes.Clone(a), b...)
	collect := func(raw []byte, from int64) (s string, next int64, err error) {
		next, err = wire.Records(raw, from, func(_ int64, v []byte) { s += string(v) })
		return s, next, err
	}
	if s, next, err := collect(both, 1); s != "bcd" || next != 4 || err != nil {
		t.Errorf("from the middle of a batch: %q %d %v", s, next, err)
	}
	if s, next, err := collect(both, 2); s != "cd" || next != 4 || err != nil {
		t.Errorf("past a batch: %q %d %v", s, next, err)
	}
	if s, next, err := collect(both[:len(both)-1], 0); s != "ab" || next != 2 || err != nil {
		t.Errorf("cut off: %q %d %v", s, next, err)
	}
	for _, damage := range []struct {
		name string
		at   int
		to   byte
	}{{"magic", 16, 1}, {"compression", 22, 2}, {"last offset delta", 23, 0x80}, {"length", 11, 3}, {"record length", 61, 0xff}} {
		bad := bytes.Clone(a)
		bad[damage.at] = damage.to
		if damage.name == "length" {
			bad[8], bad[9], bad[10] = 0, 0, 0
		}
		if _, _, err := collect(bad, 0); !errors.Is(err, wire.ErrBatch) {
			t.Errorf("%s: %v", damage.name, err)
		}
	}
}

// FuzzRecords: whatever the bytes, offsets rise, lie within what is said to be read, and values lie within the input.
func FuzzRecords(f *testing.F) {
	f.Add(batchOf("a", "bb"), int64(0))
	f.Add(append(batchOf("a"), batchOf("b")...), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, from int64) {
		if from < 0 {
			return
		}
		last, total := from-1, 0
		next, err := wire.Records(b, from, func(off int64, v []byte) {
			if off < from {
				t.Fatalf("offset %d before %d", off, from)
			}
			last, total = off, total+len(v)
		})
		if total > len(b) {
			t.Fatalf("%d bytes of values in %d bytes", total, len(b))
		}
		if err == nil && next < from {
			t.Fatalf("next %d after starting at %d (last %d)", next, from, last)
		}
	})
}

// TestProduceFrame: another implementation reads the request as what was meant.
func TestProduceFrame(t *testing.T) {
	raw := batchOf("x")
	frame := wire.ProduceFrame([]byte("before"), "me", "topic", 7, -1, raw)[len("before"):]
	wire.SetCorrelation(frame, 0x01020304)
	if size := binary.BigEndian.Uint32(frame); int(size) != len(frame)-4 {
		t.Errorf("size %d of %d", size, len(frame)-4)
	}
	if !bytes.Equal(frame[4:16], []byte{0, 0, 0, 9, 1, 2, 3, 4, 0, 2, 'm', 'e'}) {
		t.Errorf("header % x", frame[4:16])
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version = 9
	if err := req.ReadFrom(frame[17:]); err != nil {
		t.Fatal(err)
	}
	p := req.Topics[0].Partitions[0]
	if req.Acks != -1 || req.TransactionID != nil || req.Topics[0].Topic != "topic" || p.Partition != 7 || !bytes.Equal(p.Records, raw) {
		t.Errorf("%+v", req)
	}
}

// TestRoundTrip: what is produced is fetched, and an error code arrives as that error.
func TestRoundTrip(t *testing.T) {
	b := wiretest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := wire.CreateTopic(ctx, b.Addr(), "t", 2, nil); err != nil {
		t.Fatal(err)
	}
	c, err := wire.Dial(ctx, b.Addr(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	frame := wire.ProduceFrame(nil, "test", "t", 1, -1, batchOf("a", "b"))
	for id := range int32(3) { // the same bytes again and again
		wire.SetCorrelation(frame, id)
		if err := errors.Join(c.Send(frame), c.ReceiveProduced(id)); err != nil {
			t.Fatal(err)
		}
	}
	f := wire.NewFetcher(c, "t", map[int32]int64{0: 0, 1: 1}, wire.FetchOptions{MaxWaitMillis: 1000, MinBytes: 1, MaxBytes: 1 << 20, PartitionBytes: 1 << 20})
	var got string
	if err := f.Poll(func(p int32, off int64, v []byte) { got += fmt.Sprint(p, off, string(v), " ") }); err != nil || got != "1 1b 1 2a 1 3b 1 4a 1 5b " {
		t.Errorf("fetched %q, %v", got, err)
	}
	b.ErrorCode.Store(int32(kerr.KafkaStorageError.Code))
	if err := errors.Join(c.Send(frame), c.ReceiveProduced(2)); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("got %v", err)
	}
	b.ErrorCode.Store(0)
	if err := errors.Join(c.Send(frame), c.ReceiveProduced(99)); err == nil {
		t.Error("an answer to another request was taken")
	}
	if err := wire.DeleteTopic(ctx, b.Addr(), "t"); err != nil {
		t.Error(err)
	}
}

// TestAllPartitions: one request with a batch for each partition, and an answer that says when one of them failed.
func TestAllPartitions(t *testing.T) {
	b := wiretest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := wire.CreateTopics(ctx, b.Addr(), []string{"t", "u"}, 200, nil); err != nil {
		t.Fatal(err)
	}
	c, err := wire.Dial(ctx, b.Addr(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	frame := wire.ProduceFrameAll(nil, "test", "t", 200, -1, batchOf("a"))
	if err := errors.Join(c.Send(frame), c.ReceiveProducedAll(0, 200)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Send(frame), c.ReceiveProducedAll(0, 199)); err == nil {
		t.Error("an answer about too many partitions was taken")
	}
	f := wire.NewFetcher(c, "t", map[int32]int64{199: 0}, wire.FetchOptions{MaxWaitMillis: 1000, MinBytes: 1, MaxBytes: 1 << 20, PartitionBytes: 1 << 20})
	n := 0
	if err := f.Poll(func(int32, int64, []byte) { n++ }); err != nil || n != 2 {
		t.Errorf("%d records, %v", n, err)
	}
	b.ErrorCode.Store(int32(kerr.KafkaStorageError.Code))
	if err := errors.Join(c.Send(frame), c.ReceiveProducedAll(0, 200)); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("got %v", err)
	}
}
