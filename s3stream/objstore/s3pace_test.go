package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// gate is a Pacer that counts, and from some bytes on refuses.
type gate struct {
	refuseAt int

	mu      sync.Mutex
	moved   int
	largest int
}

var errShut = errors.New("the gate is shut")

func (g *gate) Pace(_ context.Context, n int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved+n > g.refuseAt {
		return errShut
	}
	g.moved, g.largest = g.moved+n, max(g.largest, n)
	return nil
}

// TestS3Paced: every byte of a Put and of a part, and nothing else, is asked for before it is sent, in pieces that are small beside a part; what the
// pacer does not let through does not reach the store, and nothing is asked for without a pacer.
func TestS3Paced(t *testing.T) {
	var mu sync.Mutex
	var received []byte
	b := fakeStore(t, func(c *objstore.Config) { c.Retries = 1 }, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		received = append(received, body...)
		mu.Unlock()
		w.Header().Set("ETag", `"e"`)
	})
	data := make([]byte, 5<<20+1234)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	slices := [][]byte{data[:100], data[100 : 3<<20], data[3<<20:]}
	calls := map[string]func(ctx context.Context) error{
		"Put": func(ctx context.Context) error { return b.Put(ctx, "k", slices...) },
		"UploadPart": func(ctx context.Context) error {
			_, err := b.UploadPart(ctx, "k", "upload", 1, slices...)
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			take := func() []byte {
				mu.Lock()
				defer mu.Unlock()
				got := received
				received = nil
				return got
			}
			open := &gate{refuseAt: 1 << 30}
			if err := call(objstore.WithPacer(t.Context(), open)); err != nil {
				t.Fatal(err)
			}
			if got := take(); open.moved != len(data) || !bytes.Equal(got, data) {
				t.Errorf("paced %d of %d bytes, %d were stored, the same: %v", open.moved, len(data), len(got), bytes.Equal(got, data))
			}
			if open.largest > 64<<10 {
				t.Errorf("a piece of %d bytes", open.largest)
			}
			shut := &gate{refuseAt: 2 << 20}
			if err := call(objstore.WithPacer(t.Context(), shut)); !errors.Is(err, errShut) {
				t.Errorf("with a pacer that refuses: %v", err)
			}
			if got := take(); len(got) > shut.moved {
				t.Errorf("%d bytes were let through, %d were sent", shut.moved, len(got))
			}
			if err := call(t.Context()); err != nil || len(take()) != len(data) {
				t.Errorf("without a pacer: %v", err)
			}
		})
	}
}
