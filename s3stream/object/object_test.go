package object

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestRoundTrip writes random objects and reads every record back, by offset, by time and as a whole.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		records := randomRecords(rng, shape{streams: 1 + rng.IntN(20), records: 1 + rng.IntN(40), maxPayload: 1 << rng.IntN(12), holes: seed%2 == 0})
		states := []checkpoint{{records[0].Stream, records[0].Next, []byte("state")}, {1 << 50, 7, nil}}
		b := objstore.NewMemory("test")
		res := writeObject(t, b, "k", Options{BlockBytes: 1 + rng.IntN(4000)}, records, states[1], states[0])
		r := openObject(t, b, "k")
		got, gotStates, err := readAll(r)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wantRecords(t, got, records)
		wantStates(t, gotStates, states)
		if res.Size != r.Size() || res.Parts != 1 || res.Written != res.Size {
			t.Fatalf("seed %d: result %+v, object has %d bytes", seed, res, r.Size())
		}
		checkLookups(t, rng, r, records)
	}
}

// checkLookups compares lookups in the index and in blocks with a search through all records.
func checkLookups(t *testing.T, rng *rand.Rand, r *Reader, records []Record) {
	t.Helper()
	for range 200 {
		probe := records[rng.IntN(len(records))]
		stream, offset, ts := probe.Stream+int64(rng.IntN(5)/4), probe.First+rng.Int64N(200)-50, probe.MaxTimestamp+rng.Int64N(3)-1
		var wantOffset, wantTime *Record
		for i := range records {
			if rec := &records[i]; rec.Stream == stream {
				if wantOffset == nil && rec.Next > offset {
					wantOffset = rec
				}
				if wantTime == nil && rec.MaxTimestamp >= ts {
					wantTime = rec
				}
			}
		}
		i, ok := r.Index().Find(stream, offset)
		check := func(what string, want *Record, i int, ok bool, find func(b *Block) (Cursor, bool)) {
			t.Helper()
			if ok != (want != nil) {
				t.Fatalf("%s: found %t in stream %d, want %v", what, ok, stream, want)
			}
			if !ok {
				return
			}
			b, err := r.ReadBlock(ctx, r.Index().Blocks[i], nil)
			if err != nil {
				t.Fatal(err)
			}
			c, ok := find(&b)
			if !ok || c.First != want.First || c.Next != want.Next || !bytes.Equal(b.Payload[c.Start:c.End], want.Payload) {
				t.Fatalf("%s: found %+v, want %s", what, c, describe(*want))
			}
		}
		check("offset", wantOffset, i, ok, func(b *Block) (Cursor, bool) { return b.Find(offset) })
		i, ok = r.Index().FindTime(stream, ts)
		check("time", wantTime, i, ok, func(b *Block) (Cursor, bool) { return b.FindTime(ts) })
	}
	total := 0
	for _, rg := range r.Index().Ranges() {
		want := StreamRange{Stream: rg.Stream, MaxTimestamp: -1 << 62}
		for _, rec := range records {
			if rec.Stream == rg.Stream {
				if want.Records == 0 {
					want.Start = rec.First
				}
				want.End = rec.Next
				want.Records++
				want.Bytes += int64(len(rec.Payload))
				want.MaxTimestamp = max(want.MaxTimestamp, rec.MaxTimestamp)
				total++
			}
		}
		if rg != want {
			t.Fatalf("range %+v, want %+v", rg, want)
		}
	}
	if total != len(records) {
		t.Fatalf("ranges cover %d records, want %d", total, len(records))
	}
}

// TestCut compares Block.Cut with a loop over the records.
func TestCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	records := randomRecords(rng, shape{streams: 1, records: 60, maxPayload: 50, holes: false})
	b := objstore.NewMemory("test")
	writeObject(t, b, "k", Options{BlockBytes: 1 << 20}, records)
	r := openObject(t, b, "k")
	blk, err := r.ReadBlock(ctx, r.Index().Blocks[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	end := records[len(records)-1].Next
	for range 5000 {
		from, limit := records[0].First-3+rng.Int64N(end-records[0].First+6), records[0].First+rng.Int64N(end-records[0].First+6)
		maxBytes, atLeastOne := rng.IntN(500), rng.IntN(2) == 0
		var want []byte
		var first, next int64
		n := 0
		for _, rec := range records {
			if rec.Next <= from {
				continue
			}
			if rec.First >= limit || len(want)+len(rec.Payload) > maxBytes && !(n == 0 && atLeastOne) {
				break
			}
			if n == 0 {
				first = rec.First
			}
			want, next, n = append(want, rec.Payload...), rec.Next, n+1
		}
		data, f, nx := blk.Cut(from, limit, maxBytes, atLeastOne)
		if !bytes.Equal(data, want) || f != first || nx != next {
			t.Fatalf("Cut(%d, %d, %d, %t) = %d bytes, %d to %d; want %d bytes, %d to %d", from, limit, maxBytes, atLeastOne, len(data), f, nx, len(want), first, next)
		}
	}
	if n := testing.AllocsPerRun(100, func() { blk.Cut(records[3].First, end, 1<<20, true) }); n != 0 {
		t.Fatalf("Cut allocates %v times", n)
	}
}

// TestMultipart writes an object of several parts and counts requests.
func TestMultipart(t *testing.T) {
	f := s3test.NewFaults(objstore.NewMemory("test"), 1)
	payload := s3test.Random(9, 100_000)
	var records []Record
	for i := range int64(240) { // 24 MB
		records = append(records, Record{Stream: i / 100, First: i, Next: i + 1, MaxTimestamp: i, Payload: payload[:99_000+i]})
	}
	res := writeObject(t, f, "k", Options{PartBytes: 6 << 20, Parallel: 2}, records, checkpoint{0, 100, payload})
	c := f.Counts()
	if res.Parts != 4 || c.Calls[s3test.OpUploadPart] != 4 || c.Calls[s3test.OpPut] != 0 || c.Sent != res.Size {
		t.Fatalf("%d parts, %d calls, %d bytes sent of an object of %d", res.Parts, c.Calls[s3test.OpUploadPart], c.Sent, res.Size)
	}
	r := openObject(t, f, "k")
	got, states, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, got, records)
	wantStates(t, states, []checkpoint{{0, 100, payload}})
	noUploads(t, f)

	// Several blocks by one request, into memory that is there.
	f.ResetCounts()
	blocks, _ := r.Index().Stream(1)
	buf := make([]byte, BlocksSize(blocks))
	out, err := r.ReadBlocks(ctx, nil, blocks, buf)
	if err != nil || len(out) != len(blocks) || &out[0].Payload[0] != &buf[0] {
		t.Fatalf("%d blocks, %v", len(out), err)
	}
	if n := f.Counts().Calls[s3test.OpGetRange]; n != 1 {
		t.Fatalf("%d requests for neighbouring blocks, want 1", n)
	}
	if _, err := r.ReadBlocks(ctx, nil, []BlockEntry{blocks[0], blocks[2]}, nil); !errors.Is(err, ErrInvalid) {
		t.Fatalf("blocks with a gap: %v, want ErrInvalid", err)
	}
}

// TestOpenRequests: an index within the guess costs one request, a larger one two.
func TestOpenRequests(t *testing.T) {
	for _, n := range []int64{1, 200, 2000} {
		f := s3test.NewFaults(objstore.NewMemory("test"), 1)
		var records []Record
		for i := range n {
			records = append(records, Record{Stream: i, First: 1, Next: 2, Payload: []byte("x")})
		}
		res := writeObject(t, f, "k", Options{}, records)
		f.ResetCounts()
		r, err := Open(ctx, f, "k", res.Size)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Index().Blocks) != int(n) {
			t.Fatalf("%d blocks, want %d", len(r.Index().Blocks), n)
		}
		want := 1
		if n == 2000 {
			want = 2
		}
		if c := f.Counts(); c.Calls[s3test.OpGetRange] != want || c.Calls[s3test.OpHead] != 0 {
			t.Fatalf("%d blocks: %v calls, want %d", n, c.Calls, want)
		}
	}
}

// TestWriterRules: a call that breaks a rule is refused, releases its memory and leaves the writer usable.
func TestWriterRules(t *testing.T) {
	b := objstore.NewMemory("test")
	w, err := NewWriter(ctx, b, "k", Options{})
	if err != nil {
		t.Fatal(err)
	}
	ok := Record{Stream: 5, First: 10, Next: 20, Payload: []byte("ok")}
	if err := w.Append(ok); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Record{
		{Stream: 4, First: 30, Next: 31}, {Stream: 5, First: 19, Next: 25}, {Stream: 5, First: 30, Next: 30}, {Stream: 5, First: 30, Next: 29},
		{Stream: 6, First: -1, Next: 3}, {Stream: 6, First: 0, Next: 1 << 33},
	} {
		if err := w.Append(r); !errors.Is(err, ErrInvalid) {
			t.Fatalf("append of %s: %v, want ErrInvalid", describe(r), err)
		}
	}
	if err := w.Checkpoint(1, -1, nil); !errors.Is(err, ErrInvalid) {
		t.Fatalf("checkpoint at -1: %v", err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(ok); !errors.Is(err, ErrClosed) {
		t.Fatalf("append after finish: %v", err)
	}
	if _, err := w.Finish(); !errors.Is(err, ErrClosed) {
		t.Fatalf("finish after finish: %v", err)
	}
	w.Abort()
	got, _, err := readAll(openObject(t, b, "k"))
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, got, []Record{ok})

	for _, o := range []Options{{BlockBytes: -1}, {PartBytes: 1000}, {Parallel: -1}, {PartBytes: 4 << 30}} {
		if _, err := NewWriter(ctx, b, "k", o); !errors.Is(err, ErrInvalid) {
			t.Fatalf("%+v: %v, want ErrInvalid", o, err)
		}
	}
	w, err = NewWriter(ctx, b, "twice", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Checkpoint(1, 1, nil), w.Checkpoint(1, 2, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); !errors.Is(err, ErrInvalid) {
		t.Fatalf("two checkpoints of a stream: %v, want ErrInvalid", err)
	}
}

func TestKey(t *testing.T) {
	for _, c := range []struct {
		id   int64
		want string
	}{{0, "00000000/c1/0"}, {0x1234, "43210000/c1/4660"}, {1<<40 + 0xabcdef01, "10fedcba/c1/1102394027777"}} {
		if got := Key("c1", c.id); got != c.want {
			t.Fatalf("key of %d is %s, want %s", c.id, got, c.want)
		}
		if id, ok := ParseKey("c1", c.want); !ok || id != c.id {
			t.Fatalf("%s parses to %d, %t", c.want, id, ok)
		}
		if _, ok := ParseKey("c2", c.want); ok {
			t.Fatal("a key of another cluster parses")
		}
	}
	for _, k := range []string{"", "x", "_ringmq/cluster.json", "43210000/c1/4661", "43210000/c1/04660", "43210000/c1/-4660", "43210000/c1/4660/", "43210000/4660"} {
		if id, ok := ParseKey("c1", k); ok {
			t.Fatalf("%q parses to %d", k, id)
		}
	}
}
