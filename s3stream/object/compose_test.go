package object

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestCompose merges random objects of random sizes around the limits of parts and compares with the records that went in.
func TestCompose(t *testing.T) {
	for seed := range uint64(16) {
		rng := rand.New(rand.NewPCG(seed, 7))
		b := s3test.NewFaults(objstore.NewMemory("test"), seed)
		opt := Options{BlockBytes: 64 << 10, PartBytes: 5<<20 + rng.IntN(4<<20), Parallel: 1 + rng.IntN(4)}
		offsets := map[int64]int64{}
		var sources []*Reader
		var records [][]Record // of each source
		var states []checkpoint
		for i := range 1 + rng.IntN(6) {
			var rs []Record
			var cs []checkpoint
			for stream := range int64(1 + rng.IntN(3)) {
				size := []int{1, 100 << 10, 4 << 20, 5 << 20, 6 << 20, 11 << 20}[rng.IntN(6)]
				recordBytes := []int{300, 10 << 10, 90 << 10}[rng.IntN(3)]
				for size > 0 {
					n := min(size, 1+rng.IntN(2*recordBytes))
					rs = append(rs, Record{Stream: stream, First: offsets[stream], Next: offsets[stream] + 3, MaxTimestamp: rng.Int64N(1000), Payload: randomPayload[:n]})
					offsets[stream] += 3
					size -= n
				}
				if rng.IntN(3) > 0 {
					cs = append(cs, checkpoint{stream, offsets[stream], fmt.Appendf(nil, "stream %d source %d", stream, i)})
				}
			}
			key := fmt.Sprint("source", i)
			writeObject(t, b, key, opt, rs, cs...)
			sources, records, states = append(sources, openObject(t, b, key)), append(records, rs), append(states, cs...)
		}
		var pieces []Piece
		var want []Record
		var wantCheckpoints []checkpoint
		for stream := range int64(3) {
			start := int64(0)
			if rng.IntN(2) == 0 {
				start = rng.Int64N(offsets[stream]/2 + 1)
			}
			newest := -1
			for i, s := range sources {
				pieces = append(pieces, Piece{Source: s, Stream: stream, Start: start, End: math.MaxInt64})
				for _, r := range records[i] {
					j, ok := s.Index().Find(stream, r.First)
					if r.Stream == stream && ok && s.Index().Blocks[j].Next > start {
						want = append(want, r)
					}
				}
			}
			for i, c := range states {
				if c.stream == stream && (newest < 0 || c.offset >= states[newest].offset) {
					newest = i
				}
			}
			if newest >= 0 {
				wantCheckpoints = append(wantCheckpoints, states[newest])
			}
		}
		b.ResetCounts()
		res, err := Compose(ctx, b, "composed", opt, pieces)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		fetched := b.Counts().Fetched
		r := openObject(t, b, "composed")
		got, gotStates, err := readAll(r)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wantRecords(t, got, want)
		wantStates(t, gotStates, wantCheckpoints)
		if res.Read != fetched || res.Copied+res.Written != res.Size || res.Size != r.Size() {
			t.Fatalf("seed %d: %d read, %d copied, %d written of %d; fetched %d", seed, res.Read, res.Copied, res.Written, res.Size, fetched)
		}
		noUploads(t, b)
	}
}

var randomPayload = s3test.Random(11, 200<<10)

// TestMergeCopies: large stream objects are merged without their data passing through here.
func TestMergeCopies(t *testing.T) {
	b := s3test.NewFaults(objstore.NewMemory("test"), 1)
	var sources []*Reader
	var offset int64
	var total int64
	for i := range 4 {
		var rs []Record
		for range 80 {
			rs = append(rs, Record{Stream: 7, First: offset, Next: offset + 10, MaxTimestamp: offset, Payload: randomPayload[:100<<10]})
			offset += 10
			total += 100 << 10
		}
		key := fmt.Sprint("source", i)
		writeObject(t, b, key, Options{}, rs, checkpoint{7, offset, []byte(key)})
		sources = append(sources, openObject(t, b, key))
	}
	b.ResetCounts()
	res, err := Merge(ctx, b, "merged", Options{}, 7, 0, sources)
	if err != nil {
		t.Fatal(err)
	}
	c := b.Counts()
	if c.Fetched > 1000 || c.Sent > 10_000 || c.Calls[s3test.OpCopyPart] != 4 || res.Copied < total {
		t.Fatalf("%d bytes fetched, %d sent, %d copies, %d bytes copied of %d", c.Fetched, c.Sent, c.Calls[s3test.OpCopyPart], res.Copied, total)
	}
	r := openObject(t, b, "merged")
	if rg := r.Index().Ranges(); len(rg) != 1 || rg[0] != (StreamRange{Stream: 7, Start: 0, End: offset, Bytes: total, Records: 320, MaxTimestamp: offset - 10}) {
		t.Fatalf("ranges %+v", rg)
	}
	_, states, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	wantStates(t, states, []checkpoint{{7, offset, []byte("source3")}})

	// Trimmed: the first source is left out, and most of the second.
	start := offset/2 - 20
	res, err = Merge(ctx, b, "trimmed", Options{}, 7, start, sources)
	if err != nil {
		t.Fatal(err)
	}
	if first := res.Ranges[0].Start; first > start || first < start-60 {
		t.Fatalf("begins at %d, trimmed to %d", first, start)
	}
}

// TestComposeRules: pieces out of order or overlapping are refused before anything is sent.
func TestComposeRules(t *testing.T) {
	b := s3test.NewFaults(objstore.NewMemory("test"), 1)
	mk := func(key string, stream, first int64) *Reader {
		writeObject(t, b, key, Options{}, []Record{{Stream: stream, First: first, Next: first + 10, Payload: []byte("x")}})
		return openObject(t, b, key)
	}
	a, c, d := mk("a", 1, 0), mk("c", 1, 5), mk("d", 2, 0)
	b.ResetCounts()
	whole := func(r *Reader, stream int64) Piece { return Piece{r, stream, 0, math.MaxInt64} }
	for _, pieces := range [][]Piece{{whole(d, 2), whole(a, 1)}, {whole(a, 1), whole(c, 1)}, {whole(c, 1), whole(a, 1)}} {
		if _, err := Compose(ctx, b, "k", Options{}, pieces); !errors.Is(err, ErrInvalid) {
			t.Fatalf("%v, want ErrInvalid", err)
		}
	}
	if c := b.Counts(); len(c.Calls) != 0 {
		t.Fatalf("calls %v", c.Calls)
	}
	// Nothing left of a stream: an object without blocks is still one.
	if _, err := Compose(ctx, b, "empty", Options{}, []Piece{{a, 1, 10, 20}}); err != nil {
		t.Fatal(err)
	}
	if x := openObject(t, b, "empty").Index(); len(x.Blocks) != 0 || len(x.Checkpoints) != 0 {
		t.Fatalf("%+v", x)
	}
}
