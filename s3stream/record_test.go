package s3stream

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
)

func encode(h header, payload []byte) []byte {
	var b [headerSize]byte
	h.put(&b, payload)
	return append(b[:], payload...)
}

// example is the one of FORMAT.md.
var example = header{kind: kindData, stream: 7, epoch: 3, first: 100, next: 102, maxTimestamp: 1700000000000}

func TestRecordExample(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "payload `hello`:\n")
	if !ok {
		t.Fatal("FORMAT.md has no example")
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(example, []byte("hello")); !bytes.Equal(got, want) {
		t.Fatalf("the example encodes to\n% x, FORMAT.md has\n% x", got, want)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, h := range []header{example, {kind: kindVoid, stream: 1, epoch: 9}, {kind: kindData, next: 1, maxTimestamp: -1}} {
		got, payload, err := decodeRecord(encode(h, []byte("payload")))
		if err != nil || got != h || string(payload) != "payload" {
			t.Fatalf("%+v: got %+v %q %v", h, got, payload, err)
		}
	}
}

// TestRecordDamage flips every bit: none may pass.
func TestRecordDamage(t *testing.T) {
	good := encode(example, []byte("some payload"))
	for i := range len(good) * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if _, _, err := decodeRecord(b); !errors.Is(err, errRecord) {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
	}
	for n := range len(good) {
		if _, _, err := decodeRecord(good[:n]); !errors.Is(err, errRecord) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// FuzzRecord: what decodes encodes to the same bytes.
func FuzzRecord(f *testing.F) {
	f.Add(encode(example, []byte("hello")))
	f.Add(encode(header{kind: kindVoid, stream: 2, epoch: 1}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := decodeHeader(b)
		if err != nil {
			return
		}
		got := encode(h, payload)
		copy(b[offCRC:offStream], got[offCRC:offStream])
		if !bytes.Equal(got, b) {
			t.Fatalf("re-encoding differs: %x, want %x", got, b)
		}
		if _, _, err := decodeRecord(b); err != nil {
			t.Fatalf("with its checksum set: %v", err)
		}
	})
}
