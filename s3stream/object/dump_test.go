package object

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files of the format: only together with a new version")

// golden is a small object whose bytes are kept for ever as the example of format version 1.
func golden(t *testing.T) []byte {
	b := objstore.NewMemory("test")
	res := writeObject(t, b, "k", Options{BlockBytes: 64}, []Record{
		{Stream: 3, First: 100, Next: 103, MaxTimestamp: 1_700_000_000_000, Payload: []byte("three records")},
		{Stream: 3, First: 103, Next: 104, MaxTimestamp: 1_700_000_000_500, Payload: []byte("one")},
		{Stream: 3, First: 110, Next: 111, MaxTimestamp: -1, Payload: []byte("after a hole, in a block of its own")},
		{Stream: 8, First: 0, Next: 1, MaxTimestamp: 1_700_000_000_400, Payload: []byte("another stream")},
	}, checkpoint{3, 111, []byte("state of 3")})
	p := make([]byte, res.Size)
	if err := b.GetRange(ctx, "k", 0, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func dumpOf(t *testing.T, p []byte) (string, error) {
	t.Helper()
	b := objstore.NewMemory("test")
	if err := b.Put(ctx, "k", p); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := Dump(ctx, &out, b, "k", DumpOptions{Records: true})
	return out.String(), err
}

func wantFile(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("%s differs:\n%s\nwant\n%s", path, got, want)
	}
}

// TestGolden: this program writes the bytes of version 1 and reads them.
func TestGolden(t *testing.T) {
	p := golden(t)
	wantFile(t, "testdata/v1.hex", hex.Dump(p))
	text, err := dumpOf(t, p)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, "testdata/v1.dump", text)
	format, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(format), hex.Dump(p)) {
		t.Fatal("the example in FORMAT.md is not the object of testdata/v1.hex")
	}
}

// TestDumpDamage: each kind of damage is reported, and all that is whole is still printed.
func TestDumpDamage(t *testing.T) {
	p := golden(t)
	whole, err := dumpOf(t, p)
	if err != nil {
		t.Fatal(err)
	}
	lines := func(s, prefix string) (out []string) {
		for _, l := range strings.Split(s, "\n") {
			if strings.HasPrefix(l, prefix) {
				out = append(out, l)
			}
		}
		return out
	}
	for _, c := range []struct {
		name                string
		damage              func([]byte) []byte
		blocks, checkpoints int
	}{
		{"payload of the first block", func(p []byte) []byte { p[3]++; return p }, 2, 1},
		{"state", func(p []byte) []byte { p[bytes.Index(p, []byte("state of 3"))]++; return p }, 3, 0},
		{"footer", func(p []byte) []byte { p[len(p)-1]++; return p }, 3, 1},
		{"index", func(p []byte) []byte { p[len(p)-footerSize-1]++; return p }, 3, 1},
		{"index and a block", func(p []byte) []byte { p[3]++; p[len(p)-footerSize-1]++; return p }, 2, 1},
		{"lost end", func(p []byte) []byte { return p[:len(p)-footerSize-60] }, 3, 1},
		{"lost start", func(p []byte) []byte { return p[1:] }, 2, 1},
		{"empty", func(p []byte) []byte { return nil }, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := dumpOf(t, c.damage(bytes.Clone(p)))
			if !errors.Is(err, ErrCorrupt) || len(lines(text, "DAMAGED")) == 0 {
				t.Fatalf("error %v, want ErrCorrupt and a word in the dump:\n%s", err, text)
			}
			if b, cp := len(lines(text, "block")), len(lines(text, "checkpoint")); b != c.blocks || cp != c.checkpoints {
				t.Fatalf("%d blocks and %d checkpoints, want %d and %d:\n%s", b, cp, c.blocks, c.checkpoints, text)
			}
		})
	}
	if n := len(lines(whole, "block")); n != 3 {
		t.Fatalf("%d blocks in the whole object", n)
	}
	if err := Dump(ctx, &strings.Builder{}, objstore.NewMemory("test"), "none", DumpOptions{}); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("dump of nothing: %v", err)
	}
}

// FuzzDump: the search through damaged bytes ends and does not fail in any other way.
func FuzzDump(f *testing.F) {
	p := smallObject(f)
	f.Add(p)
	f.Add(p[:len(p)-1])
	f.Fuzz(func(t *testing.T, p []byte) {
		b := objstore.NewMemory("test")
		if err := b.Put(ctx, "k", p); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := Dump(ctx, &out, b, "k", DumpOptions{Records: true}); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooNew) {
			t.Fatal(err)
		}
	})
}
