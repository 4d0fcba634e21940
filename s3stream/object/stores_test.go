package object

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestStores takes objects through their life on every kind of store: written in parts, split, merged by copies, merged by reading, dumped, damaged.
func TestStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testStore(t, objstore.NewMemory("test")) })
	t.Run("dir", func(t *testing.T) {
		d, err := objstore.NewDir(filepath.Join(t.TempDir(), "bucket"))
		if err != nil {
			t.Fatal(err)
		}
		testStore(t, d)
	})
	t.Run("minio", func(t *testing.T) { testStore(t, s3test.StartMinIO(t).NewBucket(t, "bucket")) })
}

func testStore(t *testing.T, b objstore.Bucket) {
	opt := Options{PartBytes: 5 << 20, Parallel: 3}
	// Three uploads of a broker: stream 1 is large, 2 and 3 are small.
	records := map[int64][]Record{}
	var sets []*Reader
	for upload := range int64(3) {
		var all []Record
		var states []checkpoint
		for stream, n := range []int{1: 90, 2: 3, 3: 5} {
			for range n {
				s := int64(stream)
				first := int64(len(records[s]))
				r := Record{Stream: s, First: first, Next: first + 1, MaxTimestamp: first * 10, Payload: randomPayload[first : 100_000+first]}
				records[s], all = append(records[s], r), append(all, r)
			}
			if n > 0 {
				states = append(states, checkpoint{int64(stream), int64(len(records[int64(stream)])), fmt.Appendf(nil, "after upload %d", upload)})
			}
		}
		key := Key("c", upload)
		res := writeObject(t, b, key, opt, all, states...)
		if res.Parts < 2 {
			t.Fatalf("%d parts", res.Parts)
		}
		sets = append(sets, openObject(t, b, key))
	}
	// Each set is split into stream objects, the small streams are merged from the sets directly.
	var ones []*Reader
	for upload, set := range sets {
		key := Key("c", int64(100+upload))
		for stream, key := range map[int64]string{1: key, 3: Key("c", int64(200+upload))} {
			if _, err := Merge(ctx, b, key, opt, stream, 0, []*Reader{set}); err != nil {
				t.Fatal(err)
			}
		}
		ones = append(ones, openObject(t, b, key))
	}
	res, err := Merge(ctx, b, Key("c", 300), opt, 1, 0, ones)
	if err != nil {
		t.Fatal(err)
	}
	if res.Copied < 20<<20 {
		t.Fatalf("%d bytes were copied within the store", res.Copied)
	}
	wantWhole := func(key string, streams ...int64) {
		t.Helper()
		var want []Record
		var wantCheckpoints []checkpoint
		for _, s := range streams {
			want = append(want, records[s]...)
			wantCheckpoints = append(wantCheckpoints, checkpoint{s, int64(len(records[s])), []byte("after upload 2")})
		}
		got, states, err := readAll(openObject(t, b, key))
		if err != nil {
			t.Fatal(err)
		}
		wantRecords(t, got, want)
		wantStates(t, states, wantCheckpoints)
	}
	wantWhole(Key("c", 300), 1)
	var pieces []Piece
	for _, stream := range []int64{1, 2, 3} {
		for _, s := range sets {
			pieces = append(pieces, Piece{s, stream, 0, math.MaxInt64})
		}
	}
	if _, err := Compose(ctx, b, Key("c", 301), opt, pieces); err != nil {
		t.Fatal(err)
	}
	wantWhole(Key("c", 301), 1, 2, 3)
	noUploads(t, b)

	if err := Dump(ctx, t.Output(), b, Key("c", 301), DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	r := openObject(t, b, Key("c", 301))
	if err := b.Delete(ctx, r.Key()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadBlock(ctx, r.Index().Blocks[0], nil); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("block of a deleted object: %v, want ErrNotFound", err)
	}
	if _, err := Open(ctx, b, r.Key(), r.Size()); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("open of a deleted object: %v, want ErrNotFound", err)
	}
	n := 0
	if err := b.List(ctx, "", func(i objstore.Info) error {
		if _, ok := ParseKey("c", i.Key); ok {
			n++
		}
		return nil
	}); err != nil || n != 10 {
		t.Fatalf("%d objects listed, want 10 (%v)", n, err)
	}
}
