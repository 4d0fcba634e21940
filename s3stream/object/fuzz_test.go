package object

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// FuzzIndex: what decodes keeps the rules and encodes to the same bytes.
func FuzzIndex(f *testing.F) {
	p := smallObject(f)
	ft, err := decodeFooter(p[len(p)-footerSize:], int64(len(p)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p[ft.indexPosition:len(p)-footerSize], ft.indexPosition, true)
	f.Add(appendIndex(nil, &Index{}), int64(0), false)
	f.Fuzz(func(t *testing.T, b []byte, pos int64, fix bool) {
		if fix && len(b) >= checksumSize { // a right checksum lets the fuzzer reach what lies behind
			le.PutUint32(b[len(b)-checksumSize:], sumOf(b[:len(b)-checksumSize]))
		}
		x, err := decodeIndex(b, pos)
		if err != nil {
			return
		}
		if err := x.check(); err != nil {
			t.Fatal(err)
		}
		if got := appendIndex(nil, x); !bytes.Equal(got, b) {
			t.Fatalf("re-encoding differs:\n%s\nwant\n%s", hex.Dump(got), hex.Dump(b))
		}
		for i, e := range x.Blocks {
			if got, ok := x.Find(e.Stream, e.First); !ok || got != i {
				t.Fatalf("block %d (%+v) is found as %d", i, e, got)
			}
			if got, ok := x.Find(e.Stream, e.Next-1); !ok || got != i {
				t.Fatalf("block %d (%+v) is found as %d by its last offset", i, e, got)
			}
			if blocks, at := x.Stream(e.Stream); i < at || i >= at+len(blocks) {
				t.Fatalf("block %d is not among the blocks of its stream", i)
			}
		}
	})
}

// FuzzFooter: what decodes encodes to the same bytes and stays inside the object.
func FuzzFooter(f *testing.F) {
	p := smallObject(f)
	f.Add(p[len(p)-footerSize:], int64(len(p)), true)
	f.Fuzz(func(t *testing.T, b []byte, size int64, fix bool) {
		if fix && len(b) == footerSize {
			le.PutUint32(b[36:], footerSum(b))
		}
		ft, err := decodeFooter(b, size)
		if err != nil {
			return
		}
		if ft.indexPosition < 0 || ft.indexPosition+int64(ft.indexSize)+footerSize != size {
			t.Fatalf("%+v in an object of %d bytes", ft, size)
		}
		if got := appendFooter(nil, ft); !bytes.Equal(got, b) {
			t.Fatalf("re-encoding differs:\n%s\nwant\n%s", hex.Dump(got), hex.Dump(b))
		}
	})
}

// FuzzBlock: the records of what decodes lie inside it, ascend, and make the same block again.
func FuzzBlock(f *testing.F) {
	p := smallObject(f)
	f.Add([]byte{}, false)
	r := Reader{}
	ft, err := decodeFooter(p[len(p)-footerSize:], int64(len(p)))
	if err != nil {
		f.Fatal(err)
	}
	if r.index, err = decodeIndex(p[ft.indexPosition:len(p)-footerSize], ft.indexPosition); err != nil {
		f.Fatal(err)
	}
	for _, e := range r.index.Blocks {
		f.Add(p[e.Position:e.Position+int64(e.Size)], true)
	}
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if fix && len(b) >= checksumSize {
			le.PutUint32(b[len(b)-checksumSize:], sumOf(b[:len(b)-checksumSize]))
		}
		block, err := decodeBlockAlone(b)
		if err != nil {
			return
		}
		var again blockBuilder
		next, end := block.Entry.First, 0
		block.Records(func(c Cursor) bool {
			if c.First < next || c.Next <= c.First || c.Start != end || c.End < c.Start || c.End > len(block.Payload) {
				t.Fatalf("record %+v after offset %d and byte %d of %d", c, next, end, len(block.Payload))
			}
			next, end = c.Next, c.End
			again.add(&Record{Stream: block.Entry.Stream, First: c.First, Next: c.Next, MaxTimestamp: c.MaxTimestamp, Payload: block.Payload[c.Start:c.End]})
			if found, ok := block.Find(c.Next - 1); !ok || found != c {
				t.Fatalf("record %+v is found as %+v", c, found)
			}
			return true
		})
		if next != block.Entry.Next || end != len(block.Payload) {
			t.Fatalf("records end at offset %d and byte %d, want %d and %d", next, end, block.Entry.Next, len(block.Payload))
		}
		e, tail := again.finish()
		if e != block.Entry || !bytes.Equal(append(bytes.Clone(block.Payload), tail...), b) {
			t.Fatalf("re-encoding differs: %+v, want %+v", e, block.Entry)
		}
	})
}

// FuzzCheckpoint: what decodes encodes to the same bytes.
func FuzzCheckpoint(f *testing.F) {
	f.Add(appendCheckpoint(nil, 1, 2, []byte("state")), true)
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if fix && len(b) >= checksumSize {
			le.PutUint32(b[len(b)-checksumSize:], sumOf(b[:len(b)-checksumSize]))
		}
		stream, offset, state, err := decodeCheckpoint(b)
		if err != nil {
			return
		}
		if got := appendCheckpoint(nil, stream, offset, state); !bytes.Equal(got, b) {
			t.Fatalf("re-encoding differs:\n%s\nwant\n%s", hex.Dump(got), hex.Dump(b))
		}
	})
}

// FuzzKey: what parses is what Key makes.
func FuzzKey(f *testing.F) {
	f.Add("c1", "43210000/c1/4660")
	f.Fuzz(func(t *testing.T, cluster, key string) {
		if id, ok := ParseKey(cluster, key); ok && Key(cluster, id) != key {
			t.Fatalf("%q parses to %d, which makes %q", key, id, Key(cluster, id))
		}
	})
}
