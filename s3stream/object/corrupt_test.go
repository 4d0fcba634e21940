package object

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// smallObject returns the bytes of an object that has everything: streams, blocks, holes, checkpoints.
func smallObject(t testing.TB) []byte {
	b := objstore.NewMemory("test")
	records := randomRecords(rand.New(rand.NewPCG(3, 3)), shape{streams: 3, records: 8, maxPayload: 40, holes: true})
	writeObject(t, b, "k", Options{BlockBytes: 200}, records,
		checkpoint{records[0].Stream, records[0].Next, []byte("the state of a stream")}, checkpoint{1 << 40, 0, nil})
	info, err := b.Head(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, info.Size)
	if err := b.GetRange(ctx, "k", 0, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func readBytes(p []byte) error {
	b := objstore.NewMemory("test")
	if err := b.Put(ctx, "k", p); err != nil {
		return err
	}
	r, err := Open(ctx, b, "k", -1)
	if err != nil {
		return err
	}
	_, _, err = readAll(r)
	return err
}

// TestEveryByte: a change of any byte of an object is found, and so is every truncation and anything added at either end.
func TestEveryByte(t *testing.T) {
	p := smallObject(t)
	if err := readBytes(p); err != nil {
		t.Fatal(err)
	}
	for i := range p {
		for _, mask := range []byte{0x01, 0x80, 0xff} {
			p[i] ^= mask
			if err := readBytes(p); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d of %d changed by %#x: error %v, want ErrCorrupt", i, len(p), mask, err)
			}
			p[i] ^= mask
		}
	}
	for n := range p {
		if err := readBytes(p[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d of %d bytes: error %v, want ErrCorrupt", n, len(p), err)
		}
		if err := readBytes(p[n+1:]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("without the first %d of %d bytes: error %v, want ErrCorrupt", n+1, len(p), err)
		}
	}
	if err := readBytes(append(p[:len(p):len(p)], 0)); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("with a byte added: %v, want ErrCorrupt", err)
	}
	if err := readBytes(append(p[:len(p):len(p)], p...)); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("written twice: %v, want ErrCorrupt", err)
	}
}

// TestMisplaced: whole structures in the wrong place are found although their checksums hold.
func TestMisplaced(t *testing.T) {
	b := objstore.NewMemory("test")
	mk := func(key string, stream, first int64) []byte {
		var rs []Record
		for i := range int64(4) {
			rs = append(rs, Record{Stream: stream, First: first + i, Next: first + i + 1, Payload: []byte("12345678")})
		}
		res := writeObject(t, b, key, Options{BlockBytes: 28}, rs, checkpoint{stream, first, []byte("st")})
		p := make([]byte, res.Size)
		if err := b.GetRange(ctx, key, 0, p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	p, other, later := mk("a", 1, 100), mk("b", 2, 100), mk("c", 1, 200)
	r := openObject(t, b, "a")
	size := int(r.Index().Blocks[0].Size)
	if len(r.Index().Blocks) != 4 {
		t.Fatalf("%d blocks, want 4", len(r.Index().Blocks))
	}
	check := func(what string, damaged []byte) {
		t.Helper()
		if err := readBytes(damaged); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%s: %v, want ErrCorrupt", what, err)
		}
	}
	damaged := append([]byte(nil), p...)
	copy(damaged, p[size:2*size])
	check("another block of the same object", damaged)
	copy(damaged, other[:size])
	check("a block of another stream", damaged)
	copy(damaged, later[:size])
	check("a block of other offsets", damaged)
	copy(damaged, p[:size])
	e := r.Index().Checkpoints[0]
	copy(damaged[e.Position:], other[e.Position:e.Position+int64(e.Size)])
	check("a checkpoint of another stream", damaged)
}

// TestTooNew: a newer version is told apart from damage.
func TestTooNew(t *testing.T) {
	p := smallObject(t)
	f := p[len(p)-footerSize:]
	le.PutUint32(f[32:], Version+1)
	if err := readBytes(p); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("version without its checksum: %v, want ErrCorrupt", err)
	}
	sum := footerSum(f)
	le.PutUint32(f[36:], sum)
	if err := readBytes(p); !errors.Is(err, ErrTooNew) {
		t.Fatalf("next version: %v, want ErrTooNew", err)
	}
}
