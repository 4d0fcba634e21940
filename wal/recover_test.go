package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/wal/waltest"
)

// history builds a log of n blocks of one record each, every one acknowledged before the next, and returns the image.
func history(t *testing.T, n int, clean bool) (image []byte, o Options, records []got, blocks []header) {
	t.Helper()
	d := waltest.New(1 << 20)
	o = testOptions(t)
	o.Path, o.Device, o.Logger = "", d, nil
	l, _ := recovered(t, o)
	w := newWaiter()
	for i := range n {
		data := record(i, 300+i*900)
		e, err := l.Append(w, nil, data)
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
		w.wait(i + 1)
		records = append(records, got{e.Pos, data})
		h, err := decodeHeader(d.Bytes()[l.super.physical(e.Block):])
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, h)
	}
	if err := l.Close(clean); err != nil {
		t.Fatal(err)
	}
	return d.Bytes(), o, records, blocks
}

// TestDamage is the table of what can be wrong with an acknowledged block, for each block of a log:
//
//	closed cleanly   any block                 corrupt: the superblock knows the end
//	not cleanly      followed by another one   corrupt: that one was written when this one was known to be durable
//	not cleanly      the last one              cut: nothing tells it from a write that never ended
//	either           below the generation      corrupt: the superblock knows where it began
func TestDamage(t *testing.T) {
	damages := map[string]func(b []byte, all []byte){
		"header bit":   func(b, _ []byte) { b[17] ^= 4 },
		"payload bit":  func(b, _ []byte) { b[blockHeader+9] ^= 1 },
		"padding bit":  func(b, _ []byte) { b[len(b)-1] ^= 0x80 },
		"lost":         func(b, _ []byte) { clear(b) },
		"first sector": func(b, _ []byte) { clear(b[:512]) },
		"last sector":  func(b, _ []byte) { clear(b[len(b)-512:]); b[len(b)-1] = 9 },
		"another block in its place": func(b, all []byte) {
			if bytes.Equal(b[:pageBytes], all[:pageBytes]) {
				clear(b)
			} else {
				copy(b, all[:pageBytes])
			}
		},
	}
	const n = 8
	for _, clean := range []bool{false, true} {
		image, o, records, blocks := history(t, n, clean)
		for name, damage := range damages {
			for i, h := range blocks {
				damaged := bytes.Clone(image)
				at := ringStart + int64(h.Offset)
				damage(damaged[at:at+int64(h.Length)], damaged[ringStart:])
				o.Device = waltest.FromImage(damaged)
				l := mustOpen(t, o)
				var all []got
				err := l.Recover(t.Context(), func(e Entry) error {
					all = append(all, got{e.Pos, bytes.Clone(e.Data)})
					return nil
				})
				l.Close(false)
				check(t, all, records[:i])
				where := fmt.Sprintf("clean %v, block %d of %d, %s", clean, i, n, name)
				if i < n-1 || clean {
					var c *CorruptError
					if !errors.As(err, &c) || c.Pos != h.Offset {
						t.Errorf("%s: %v", where, err)
					}
				} else if err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
		}
		// The same blocks, below a new generation.
		d := waltest.FromImage(bytes.Clone(image))
		o.Device = d
		l, _ := recovered(t, o)
		l.Close(false)
		d.Bytes()[ringStart+int64(blocks[n-1].Offset)+70] ^= 1
		d.Reopen()
		l = mustOpen(t, o)
		if err := l.Recover(t.Context(), func(Entry) error { return nil }); !errors.Is(err, ErrCorrupt) {
			t.Errorf("clean %v: last block of the earlier generation: %v", clean, err)
		}
		l.Close(false)
	}
}

// TestRandomFlips flips random bits all over a log: what is recovered is always a prefix of what was written.
func TestRandomFlips(t *testing.T) {
	image, o, records, blocks := history(t, 12, false)
	rng := rand.New(rand.NewPCG(9, 9))
	end := blocks[11].Offset + Position(blocks[11].Length)
	for range 300 {
		damaged := bytes.Clone(image)
		at := ringStart + rng.Int64N(int64(end))
		damaged[at] ^= 1 << rng.IntN(8)
		o.Device = waltest.FromImage(damaged)
		l := mustOpen(t, o)
		i := 0
		err := l.Recover(t.Context(), func(e Entry) error {
			if e.Pos != records[i].pos || !bytes.Equal(e.Data, records[i].data) {
				return fmt.Errorf("record %d differs", i)
			}
			i++
			return nil
		})
		if err == nil && i != 11 || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: %d records, %v", at, i, err)
		}
		l.Close(false)
	}
}

// FuzzRecover changes a log as the input says, three bytes of place and one to be xored in each time: what is recovered is a prefix of what was
// written, or the damage is reported.
func FuzzRecover(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 1})
	f.Add([]byte{0, 0, 2, 255, 64, 16, 2, 7})
	var images [2][]byte
	var records []got // the same in both
	var o Options
	f.Fuzz(func(t *testing.T, edits []byte) {
		if images[0] == nil {
			images[0], _, _, _ = history(t, 10, false)
			images[1], o, records, _ = history(t, 10, true)
		}
		damaged := bytes.Clone(images[len(edits)%2])
		for ; len(edits) >= 4; edits = edits[4:] {
			damaged[int(edits[0])|int(edits[1])<<8|int(edits[2]&0x7)<<16] ^= edits[3]
		}
		o.Device, o.Logger = waltest.FromImage(damaged), nil
		l, err := Open(o)
		if err != nil {
			if !errors.Is(err, ErrForeign) {
				t.Fatal(err)
			}
			return
		}
		defer l.Close(false)
		i := 0
		err = l.Recover(t.Context(), func(e Entry) error {
			if i == len(records) || e.Pos != records[i].pos || !bytes.Equal(e.Data, records[i].data) {
				return fmt.Errorf("record %d differs", i)
			}
			i++
			return nil
		})
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d records, %v", i, err)
		}
	})
}

// TestLyingDisk acknowledges writes that it loses, misplaces or changes.
func TestLyingDisk(t *testing.T) {
	for name, fate := range map[string]waltest.Fate{
		"lost":      {Lost: true},
		"misplaced": {Shift: 64 << 10},
		"flipped":   {Flip: 8 * 100},
	} {
		d := waltest.New(1 << 20)
		d.OnWrite = func(n int, _ []byte, _ int64) waltest.Fate {
			if n == superWrites+3 {
				return fate
			}
			return waltest.Fate{}
		}
		o := testOptions(t)
		o.Path, o.Device, o.Logger = "", d, nil
		l, _ := recovered(t, o)
		w := newWaiter()
		for i := range 6 {
			e, err := l.Append(w, nil, make([]byte, 100))
			if err != nil {
				t.Fatal(err)
			}
			e.Mem.Unref()
			w.wait(i + 1)
		}
		l.Close(false)
		d.Reopen()
		l = mustOpen(t, o)
		n := 0
		err := l.Recover(t.Context(), func(Entry) error { n++; return nil })
		if !errors.Is(err, ErrCorrupt) || n != 3 {
			t.Errorf("%s: %d records, %v", name, n, err)
		}
		l.Close(false)
	}
}

// TestStaleTail leaves blocks of a dead generation behind the end, and writes new ones up to exactly where they start.
func TestStaleTail(t *testing.T) {
	d := waltest.New(1 << 20)
	o := testOptions(t)
	o.Path, o.Device, o.Logger, o.QueueDepth, o.BlockBytes, o.GatherBytes = "", d, nil, 8, pageBytes, 1
	l, _ := recovered(t, o)
	w := newWaiter()
	const n = 8
	for i := range n {
		e, err := l.Append(w, nil, fmt.Appendf(nil, "dead %d %s", i, make([]byte, 2500)))
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
	}
	w.wait(n)
	l.Close(false)
	// The crash: block 2 was still on its way and never arrived, 3 to 7 did. None of them had been acknowledged, so their headers know
	// of nothing durable.
	var chain uint32
	for i := range n {
		b := d.Bytes()[ringStart+i*pageBytes:][:pageBytes]
		h, err := decodeHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		h.Durable, h.Prev = 0, chain
		h.encode(b)
		chain = h.Chain
		if i == 2 {
			clear(b)
		}
	}
	for life := range n {
		d.Reopen()
		l, all := recovered(t, o)
		if len(all) != 2+life {
			t.Fatalf("life %d: %d records, want %d", life, len(all), 2+life)
		}
		for i, g := range all[min(2, len(all)):] {
			if !bytes.HasPrefix(g.data, fmt.Appendf(nil, "alive %d", i)) {
				t.Fatalf("life %d: record %d is %.10q", life, i, g.data)
			}
		}
		w := newWaiter()
		e, err := l.Append(w, nil, fmt.Appendf(nil, "alive %d %s", life, make([]byte, 2500)))
		if err != nil {
			t.Fatal(err)
		}
		e.Mem.Unref()
		w.wait(1)
		l.Close(life%2 == 0)
	}
}

func TestRecoverStops(t *testing.T) {
	image, o, records, _ := history(t, 5, false)
	o.Device = waltest.FromImage(bytes.Clone(image))
	l := mustOpen(t, o)
	stop := errors.New("stop")
	n := 0
	err := l.Recover(t.Context(), func(Entry) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if err != stop || n != 3 {
		t.Errorf("%d records, %v", n, err)
	}
	l.Close(true)
	o.Device = waltest.FromImage(bytes.Clone(image))
	l = mustOpen(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Recover(ctx, noEntries); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.Close(true)
	// Neither changed anything.
	o.Device = waltest.FromImage(image)
	l, all := recovered(t, o)
	check(t, all, records)
	if err := l.Recover(t.Context(), noEntries); err == nil {
		t.Error("a second Recover")
	}
	l.Close(true)
	if err := l.Recover(t.Context(), noEntries); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestInspectAndDump(t *testing.T) {
	image, _, records, blocks := history(t, 4, false)
	path := t.TempDir() + "/wal"
	write := func(image []byte) {
		t.Helper()
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(image)
	info, err := Inspect(t.Context(), path)
	end := blocks[3].Offset + Position(blocks[3].Length)
	if err != nil || info.Blocks != 4 || info.Records != 4 || info.End != end || info.Corrupt != nil || info.Slots[info.Newest].ClusterID != "test-cluster" {
		t.Fatalf("%+v, %v", info, err)
	}
	dump := func() string {
		t.Helper()
		var out strings.Builder
		if err := Dump(t.Context(), &out, path, DumpOptions{Records: true, All: true}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	expect := func(text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in\n%s", w, text)
			}
		}
	}
	expect(dump(), `cluster "test-cluster" node 7`, "chain from 0", fmt.Sprintf("record %d length %d %x", records[2].pos, len(records[2].data), records[2].data[:32]), "4 blocks, 4 records")

	damaged := bytes.Clone(image)
	damaged[ringStart+int64(blocks[1].Offset)+80] ^= 1
	write(damaged)
	if info, err = Inspect(t.Context(), path); err != nil || !errors.Is(info.Corrupt, ErrCorrupt) || info.Blocks != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	expect(dump(), "payload checksum mismatch", "wal: corrupt: position 4096", fmt.Sprintf("block %d length", blocks[3].Offset), "behind the end")

	clear(damaged[:ringStart])
	write(damaged)
	expect(dump(), "unknown data")
	write(make([]byte, 1<<20))
	expect(dump(), "nothing but zeroes")
	write(make([]byte, 5000))
	expect(dump(), "only 4096 bytes")
}

// TestChains has each rule that ties a block to its place broken alone.
func TestChains(t *testing.T) {
	s := superblock{UUID: [16]byte{9}, Capacity: 1 << 20, Trim: 64 << 10, GenStart: 128 << 10, Generation: 5}
	prev := header{Offset: 136 << 10, Length: 8 << 10, Generation: 5, Chain: 77}
	good := header{LogID: s.logID(), Offset: 144 << 10, Length: 4096, Generation: 5, Prev: 77}
	older := header{Offset: 92 << 10, Length: 4096, Generation: 3, Chain: 78}
	for want, c := range map[string]struct {
		prev   header
		change func(h *header)
	}{
		"":                            {prev, func(*header) {}},
		"block of log":                {prev, func(h *header) { h.LogID++ }},
		"block of offset":             {prev, func(h *header) { h.Offset -= 896 << 10 }},
		"block follows":               {prev, func(h *header) { h.Prev++ }},
		"generation 4, want 5":        {prev, func(h *header) { h.Generation-- }},
		"generation 6, want 5":        {prev, func(h *header) { h.Generation++ }},
		"block skips 2 pages":         {prev, func(h *header) { h.Skipped = 2 }},
		"are left in the ring":        {prev, func(h *header) { h.Length = 800 << 10 }},
		"runs into":                   {prev, func(h *header) { h.Offset, h.Length = (64+892)<<10, 8<<10 }},
		"generation 5, want less":     {older, func(h *header) { h.Offset, h.Prev = 96<<10, 78 }},
		"generation 2 after one of 3": {older, func(h *header) { h.Offset, h.Prev, h.Generation = 96<<10, 78, 2 }},
	} {
		h := good
		c.change(&h)
		pos := h.Offset
		if want == "block of offset" {
			pos = good.Offset
		}
		err := (&scanner{s: &s, prev: c.prev}).chains(&h, pos, 0)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
