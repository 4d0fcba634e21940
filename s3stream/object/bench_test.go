package object

import (
	"context"
	"fmt"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// discard takes everything and keeps nothing: what remains is the Writer's own work.
type discard struct{ objstore.Bucket }

func (discard) Put(context.Context, string, ...[]byte) error                          { return nil }
func (discard) CreateUpload(context.Context, string) (string, error)                  { return "id", nil }
func (discard) AbortUpload(context.Context, string, string) error                     { return nil }
func (discard) CompleteUpload(context.Context, string, string, []objstore.Part) error { return nil }
func (discard) UploadPart(_ context.Context, _, _ string, number int, data ...[]byte) (objstore.Part, error) {
	return objstore.Part{Number: number, Size: objstore.Size(data)}, nil
}

func writeBench(b *testing.B, bucket objstore.Bucket, recordBytes, objectBytes int) {
	payload := s3test.Random(1, recordBytes)
	n := objectBytes / recordBytes
	b.SetBytes(int64(n * recordBytes))
	b.ReportAllocs()
	for b.Loop() {
		w, err := NewWriter(ctx, bucket, "bench", Options{})
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			if err := w.Append(Record{Stream: int64(i * 16 / n), First: int64(i), Next: int64(i) + 1, Payload: payload}); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriter is the cost of the format: hashing, record tables, lists of slices. No byte is stored.
func BenchmarkWriter(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("record=%dKiB", size>>10), func(b *testing.B) { writeBench(b, discard{}, size, 64<<20) })
	}
}

// BenchmarkWriteStore writes whole objects of 64 MiB to real stores.
func BenchmarkWriteStore(b *testing.B) {
	b.Run("dir", func(b *testing.B) {
		d, err := objstore.NewDir(b.TempDir() + "/bucket")
		if err != nil {
			b.Fatal(err)
		}
		writeBench(b, d, 16<<10, 64<<20)
	})
	b.Run("minio", func(b *testing.B) { writeBench(b, s3test.StartMinIO(b).NewBucket(b, "bench"), 16<<10, 64<<20) })
}

func readBench(b *testing.B, bucket objstore.Bucket, blocksPerRead int) {
	payload := s3test.Random(1, 16<<10)
	var records []Record
	for i := range int64(2048) {
		records = append(records, Record{Stream: 1, First: i, Next: i + 1, Payload: payload})
	}
	writeObject(b, bucket, "bench", Options{}, records)
	r := openObject(b, bucket, "bench")
	blocks := r.Index().Blocks
	buf := make([]byte, BlocksSize(blocks[:blocksPerRead]))
	out := make([]Block, 0, blocksPerRead)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i+blocksPerRead > len(blocks) {
			i = 0
		}
		got, err := r.ReadBlocks(ctx, out, blocks[i:i+blocksPerRead], buf[:BlocksSize(blocks[i:i+blocksPerRead])])
		if err != nil {
			b.Fatal(err)
		}
		if data, _, _ := got[0].Cut(0, maxInt64, 1<<30, false); len(data) == 0 {
			b.Fatal("empty block")
		}
		i += blocksPerRead
	}
}

// BenchmarkRead reads and verifies blocks of 512 KiB, one or eight per request.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("memory/blocks=%d", n), func(b *testing.B) { readBench(b, objstore.NewMemory("bench"), n) })
	}
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("dir/blocks=%d", n), func(b *testing.B) {
			d, err := objstore.NewDir(b.TempDir() + "/bucket")
			if err != nil {
				b.Fatal(err)
			}
			readBench(b, d, n)
		})
	}
	b.Run("minio", func(b *testing.B) {
		bucket := s3test.StartMinIO(b).NewBucket(b, "bench")
		for _, n := range []int{1, 8} {
			b.Run(fmt.Sprintf("blocks=%d", n), func(b *testing.B) { readBench(b, bucket, n) })
		}
	})
}

// BenchmarkOpen opens an object with 1000 streams.
func BenchmarkOpen(b *testing.B) {
	mem := objstore.NewMemory("bench")
	var records []Record
	for i := range int64(1000) {
		records = append(records, Record{Stream: i, First: 1, Next: 2, Payload: []byte("x")})
	}
	res := writeObject(b, mem, "bench", Options{}, records)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(ctx, mem, "bench", res.Size); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFind looks up an offset among 10,000 blocks.
func BenchmarkFind(b *testing.B) {
	x := &Index{}
	for i := range int64(10_000) {
		x.Blocks = append(x.Blocks, BlockEntry{Stream: i / 100, First: i * 10, Next: i*10 + 10})
	}
	i := int64(0)
	for b.Loop() {
		if _, ok := x.Find(i/100, i*10+5); !ok {
			b.Fatal("not found")
		}
		i = (i + 7919) % 10_000
	}
}

// BenchmarkMerge merges eight objects of 8 MiB by copies within MinIO.
func BenchmarkMerge(b *testing.B) {
	bucket := s3test.StartMinIO(b).NewBucket(b, "bench")
	payload := s3test.Random(1, 64<<10)
	var sources []*Reader
	for i := range int64(8) {
		var records []Record
		for j := range int64(128) {
			records = append(records, Record{Stream: 1, First: i*1000 + j, Next: i*1000 + j + 1, Payload: payload})
		}
		key := fmt.Sprint("source", i)
		writeObject(b, bucket, key, Options{}, records)
		sources = append(sources, openObject(b, bucket, key))
	}
	b.SetBytes(8 * 128 * 64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		res, err := Merge(ctx, bucket, "merged", Options{}, 1, 0, sources)
		if err != nil {
			b.Fatal(err)
		}
		if res.Copied == 0 {
			b.Fatal("nothing was copied")
		}
	}
}
