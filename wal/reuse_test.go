package wal

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/ringmq/ringmq/wal/waltest"
)

// TestReuseWaitsForTrim goes through the writes of a log that runs several rounds of its ring and checks that none of them overwrites what
// recovery would need: it starts at the trim position of whichever superblock survives.
func TestReuseWaitsForTrim(t *testing.T) {
	d := waltest.New(1 << 20).Shuffle(7)
	o := testOptions(t)
	o.Path, o.Device, o.QueueDepth, o.GatherBytes = "", d, 4, 1
	space := make(chan struct{}, 1)
	o.OnSpace = func() {
		select {
		case space <- struct{}{}:
		default:
		}
	}
	l := mustOpen(t, o)
	if err := l.Recover(context.Background(), func(Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var kept []Position
	rounds := 0
	for l.Next() < Position(6<<20) {
		e, err := l.Append(newWaiter(), nil, make([]byte, rng.IntN(100<<10)))
		if err == nil {
			e.Mem.Unref()
			kept = append(kept, e.Pos)
			continue
		}
		if err != ErrFull && err != ErrNoMemory {
			t.Fatal(err)
		}
		rounds++
		// Trim a part, and go on appending at once: whatever is accepted now must not land too early.
		if len(kept) > 0 {
			n := 1 + rng.IntN(len(kept))
			p := l.Next()
			if n < len(kept) {
				p = kept[n]
			}
			kept = kept[n:]
			if err := l.Trim(p); err != nil {
				t.Fatal(err)
			}
			for range rng.IntN(50) {
				runtime.Gosched()
			}
			continue
		}
		<-space
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}

	var trims [2]Position
	started := map[int]waltest.Event{}
	blocks := 0
	for i, e := range d.History() {
		switch {
		case e.Kind == waltest.Start && e.Off < ringStart:
			started[e.ID] = e
		case e.Kind == waltest.End && len(started[e.ID].Data) == pageBytes:
			slot := started[e.ID].Off / slotStride
			s, err := decodeSuperblock(started[e.ID].Data, uint32(slot), 0)
			if err != nil {
				t.Fatalf("event %d: slot %d: %v", i, slot, err)
			}
			trims[slot] = s.Trim
		case e.Kind == waltest.Start:
			h, err := decodeHeader(e.Data)
			if err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
			blocks++
			if end, limit := h.Offset+Position(h.Length), min(trims[0], trims[1])+Position(l.ring); end > limit {
				t.Fatalf("event %d: block [%d, %d) was written when the superblocks' trims %v allowed no more than %d", i, h.Offset, end, trims, limit)
			}
		}
	}
	t.Logf("%d blocks, full %d times", blocks, rounds)
}
