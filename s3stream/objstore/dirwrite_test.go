package objstore

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
)

// counter is a Pacer that only counts.
type counter int

func (c *counter) Pace(_ context.Context, n int) error { *c += counter(n); return nil }

// TestDirWritesWhole: what large files hold is exactly what was given, however it is cut into slices and wherever it ends, and every byte is paced.
func TestDirWritesWhole(t *testing.T) {
	d, err := NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{directFrom - 1, directFrom, directFrom + 1, directBytes - 1, directBytes, directBytes + 1, 3*directBytes + 4097} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		var slices [][]byte
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(9000))
			slices, rest = append(slices, rest[:n:n]), rest[n:]
		}
		var paced counter
		if err := d.Put(WithPacer(t.Context(), &paced), "k", slices...); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		info, err := d.Head(t.Context(), "k")
		if err == nil {
			err = d.GetRange(t.Context(), "k", 0, got)
		}
		if err != nil || info.Size != int64(size) || !bytes.Equal(got, want) || int(paced) != size {
			t.Fatalf("%d bytes: stored %d, same %v, paced %d, %v", size, info.Size, bytes.Equal(got, want), paced, err)
		}
	}
}
