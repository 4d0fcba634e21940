package object

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestWriterFaults: whatever fails, either Finish says so or the object is whole; every reference is released once; and nothing but
// uploads whose abort failed too, or whose id was lost, is left.
func TestWriterFaults(t *testing.T) {
	finished := 0
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 2))
		mem := objstore.NewMemory("test")
		b := s3test.NewFaults(mem, seed)
		b.SetRates(s3test.Rates{Before: 0.05, After: 0.05, SlowDown: 0.02})
		b.SetOpRates(s3test.OpAbortUpload, s3test.Rates{})
		b.SetOpRates(s3test.OpCreateUpload, s3test.Rates{Before: 0.1})
		w, err := NewWriter(ctx, b, "k", Options{PartBytes: 5 << 20, Parallel: 1 + rng.IntN(3)})
		if err != nil {
			t.Fatal(err)
		}
		var released atomic.Int64
		var records []Record
		for i := range int64(1 + rng.IntN(300)) {
			r := Record{Stream: 1, First: i, Next: i + 1, Payload: randomPayload[:rng.IntN(150<<10)], Mem: counted{&released}}
			records = append(records, r)
			if err = w.Append(r); err != nil {
				break
			}
		}
		if err == nil && rng.IntN(10) > 0 {
			_, err = w.Finish()
		} else {
			err = errors.Join(err, errors.New("given up"))
		}
		w.Abort()
		if released.Load() != int64(len(records)) {
			t.Fatalf("seed %d: %d references released, want %d (%v)", seed, released.Load(), len(records), err)
		}
		if err == nil {
			finished++
			got, _, err := readAll(openObject(t, mem, "k"))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			wantRecords(t, got, records)
		}
		noUploads(t, mem)
	}
	if finished < 30 || finished > 120 {
		t.Fatalf("%d of 150 writes succeeded: the faults are too many or too few to test anything", finished)
	}
}

// TestWriterCancel: a cancelled context ends a write that waits for the store, releases everything and aborts the upload.
func TestWriterCancel(t *testing.T) {
	mem := objstore.NewMemory("test")
	b := s3test.NewFaults(mem, 1)
	b.Block(s3test.OpUploadPart)
	ctx, cancel := context.WithCancel(context.Background())
	entered := make(chan struct{}, 1)
	w, err := NewWriter(ctx, b, "k", Options{PartBytes: 5 << 20, Parallel: 2})
	if err != nil {
		t.Fatal(err)
	}
	var released, appended atomic.Int64
	done := make(chan error)
	go func() {
		for i := int64(0); ; i++ {
			appended.Add(1)
			if i == 70 { // 14 MB: two parts are in flight, a third waits
				entered <- struct{}{}
			}
			if err := w.Append(Record{Stream: 1, First: i, Next: i + 1, Payload: randomPayload, Mem: counted{&released}}); err != nil {
				done <- err
				return
			}
		}
	}()
	<-entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("append: %v, want context.Canceled", err)
	}
	if _, err := w.Finish(); !errors.Is(err, context.Canceled) {
		t.Fatalf("finish: %v, want context.Canceled", err)
	}
	if released.Load() != appended.Load() {
		t.Fatalf("%d references released, want %d", released.Load(), appended.Load())
	}
	noUploads(t, mem)
}

// TestReadFaults: a read that fails says so; one that does not is right.
func TestReadFaults(t *testing.T) {
	mem := objstore.NewMemory("test")
	records := randomRecords(rand.New(rand.NewPCG(4, 4)), shape{streams: 4, records: 20, maxPayload: 500})
	writeObject(t, mem, "k", Options{BlockBytes: 1000}, records)
	b := s3test.NewFaults(mem, 9)
	b.SetRates(s3test.Rates{Before: 0.02, After: 0.02, SlowDown: 0.02, Partial: 0.05})
	good := 0
	for range 300 {
		r, err := Open(ctx, b, "k", -1)
		var got []Record
		if err == nil {
			got, _, err = readAll(r)
		}
		if err == nil {
			good++
			wantRecords(t, got, records)
		} else if !objstore.Retryable(err) {
			t.Fatalf("%v: want a retryable error", err)
		}
	}
	if good == 0 || good == 300 {
		t.Fatalf("%d of 300 reads succeeded", good)
	}
}

// TestComposeFaults: as for the writer, and the sources stay as they are.
func TestComposeFaults(t *testing.T) {
	mem := objstore.NewMemory("test")
	var sources []*Reader
	var want []Record
	for i := range int64(6) {
		var rs []Record
		for j := range int64(10 + i*30) {
			rs = append(rs, Record{Stream: 1, First: i*1000 + j, Next: i*1000 + j + 1, Payload: randomPayload[:60<<10]})
		}
		key := fmt.Sprint("source", i)
		writeObject(t, mem, key, Options{}, rs, checkpoint{1, (i + 1) * 1000, []byte(key)})
		sources, want = append(sources, openObject(t, mem, key)), append(want, rs...)
	}
	good := 0
	for seed := range uint64(60) {
		b := s3test.NewFaults(mem, seed)
		b.SetRates(s3test.Rates{Before: 0.03, After: 0.03, SlowDown: 0.02, Partial: 0.02})
		b.SetOpRates(s3test.OpAbortUpload, s3test.Rates{})
		b.SetOpRates(s3test.OpCreateUpload, s3test.Rates{Before: 0.1})
		faulty := make([]*Reader, len(sources))
		for i, s := range sources {
			faulty[i] = &Reader{bucket: b, key: s.key, size: s.size, index: s.index}
		}
		_, err := Merge(ctx, b, "merged", Options{PartBytes: 5 << 20, Parallel: 3}, 1, 0, faulty)
		if err == nil {
			good++
			got, states, err := readAll(openObject(t, mem, "merged"))
			if err != nil {
				t.Fatal(err)
			}
			wantRecords(t, got, want)
			wantStates(t, states, []checkpoint{{1, 6000, []byte("source5")}})
			if err := mem.Delete(ctx, "merged"); err != nil {
				t.Fatal(err)
			}
		}
		noUploads(t, mem)
	}
	if good == 0 || good == 60 {
		t.Fatalf("%d of 60 merges succeeded", good)
	}
}

// TestHedge: a part that hangs is sent again and the upload goes on; so is a hanging single Put; and no byte is read after the end.
func TestHedge(t *testing.T) {
	for _, n := range []int64{3, 60} { // a Put, and parts
		mem := objstore.NewMemory("test")
		b := s3test.NewFaults(mem, 1)
		var calls atomic.Int64
		b.SetDelay(func(op s3test.Op) time.Duration {
			if (op == s3test.OpUploadPart || op == s3test.OpPut) && calls.Add(1) == 1 {
				return time.Hour
			}
			return 0
		})
		w, err := NewWriter(ctx, b, "k", Options{PartBytes: 5 << 20, HedgeAfter: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		var released atomic.Int64
		var records []Record
		for i := range n {
			r := Record{Stream: 1, First: i, Next: i + 1, Payload: randomPayload, Mem: counted{&released}}
			records = append(records, r)
			if err := w.Append(r); err != nil {
				t.Fatal(err)
			}
		}
		res, err := w.Finish()
		if err != nil || res.Hedged < 1 || released.Load() != n {
			t.Fatalf("%v, %d hedged, %d references released of %d", err, res.Hedged, released.Load(), n)
		}
		got, _, err := readAll(openObject(t, mem, "k"))
		if err != nil {
			t.Fatal(err)
		}
		wantRecords(t, got, records)
		noUploads(t, mem)
	}
	// Both fail: the upload fails. Without hedging a part is sent once.
	b := s3test.NewFaults(objstore.NewMemory("test"), 1)
	b.SetRates(s3test.Rates{Before: 1})
	for _, hedge := range []time.Duration{time.Nanosecond, -1} {
		w, err := NewWriter(ctx, b, "k", Options{HedgeAfter: hedge})
		if err != nil {
			t.Fatal(err)
		}
		if res, err := w.Finish(); !errors.Is(err, s3test.ErrInjected) || hedge < 0 && res.Hedged > 0 {
			t.Fatalf("%+v, %v, want the injected error", res, err)
		}
	}
}
