package s3stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ringmq/ringmq/s3stream"
)

// fate is what an editor makes of a record: a pure function of its offset and of a salt, so that the model knows it too.
func fate(salt uint32, r record) (s3stream.Verdict, []byte) {
	if salt%6 == 0 {
		return s3stream.Drop, nil // nothing is to be left
	}
	switch h := crc32.ChecksumIEEE(fmt.Appendf(nil, "%d/%d", salt, r.first)); {
	case h%5 < 2:
		return s3stream.Drop, nil
	case h%5 == 2 && len(r.payload) > 1:
		return s3stream.Replace, r.payload[:len(r.payload)/2]
	}
	return s3stream.Keep, r.payload
}

// fateEditor applies fate, and checks how it is asked.
type fateEditor struct {
	salt       uint32
	next, mark int64 // asked up to here
	must       int   // records that could not be dropped
}

func (e *fateEditor) Mark()   { e.mark = e.next }
func (e *fateEditor) Rewind() { e.next = e.mark }

func (e *fateEditor) Edit(r *s3stream.Record, must bool) (s3stream.Verdict, error) {
	if r.First < e.next {
		return 0, fmt.Errorf("asked about offset %d after %d", r.First, e.next)
	}
	e.next = r.Next
	verdict, payload := fate(e.salt, record{r.First, r.Next, r.MaxTimestamp, r.Payload})
	switch {
	case verdict == s3stream.Drop && must:
		e.must++
		return s3stream.Keep, nil
	case verdict == s3stream.Replace:
		r.Payload = bytes.Clone(payload)
	}
	return verdict, nil
}

// edited is what may have become of the records of a stream: for each first offset the payloads that are possible, nil for dropped.
type edited map[int64][][]byte

func (d edited) of(r record) [][]byte {
	if p, ok := d[r.first]; ok {
		return p
	}
	return [][]byte{r.payload}
}

// apply adds what an editor made of the records below to; or may have made, when it failed. must: some that it wanted to drop had to stay.
func (d edited) apply(records []record, to int64, salt uint32, failed, must bool) {
	for _, r := range records {
		if r.first >= to {
			return
		}
		var after [][]byte
		for _, p := range d.of(r) {
			if p == nil {
				after = append(after, nil)
				continue
			}
			verdict, q := fate(salt, record{r.first, r.next, r.ts, p})
			after = append(after, q)
			if failed || must && verdict == s3stream.Drop {
				after = append(after, p)
			}
		}
		d[r.first] = after
	}
}

// check reads the stream and compares it with what is possible.
func (d edited) check(m *stream) error {
	var got []record
	for from, end := m.s.Start(), m.s.Confirmed(); from < end; {
		slices, err := m.s.ReadCold(ctxFor(m.w.t), from, end, 1, true) // one record at a time
		if err != nil {
			return fmt.Errorf("read at %d: %w", from, err)
		}
		if len(slices) == 0 {
			break
		}
		for _, s := range slices {
			if s.Next <= from {
				return fmt.Errorf("read at %d: [%d, %d)", from, s.First, s.Next)
			}
			got = append(got, record{s.First, s.Next, 0, bytes.Clone(s.Data)})
			from = s.Next
		}
		release(slices)
	}
	for _, r := range m.records {
		if r.next <= m.s.Start() {
			continue
		}
		var p []byte
		if len(got) > 0 && got[0].first == r.first {
			p, got = got[0].payload, got[1:]
		}
		ok := false
		for _, want := range d.of(r) {
			ok = ok || (p == nil) == (want == nil) && bytes.Equal(p, want)
		}
		if !ok {
			return fmt.Errorf("stream %d: record [%d, %d) has %d bytes, possible are %d", m.id, r.first, r.next, len(p), len(d.of(r)))
		}
	}
	if len(got) > 0 {
		return fmt.Errorf("stream %d: unknown record at %d", m.id, got[0].first)
	}
	return nil
}

// TestRewriteModel rewrites streams in a random history of appends, uploads, compactions, trims, crashes and failing commits.
func TestRewriteModel(t *testing.T) {
	var fixed histories
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { fixed.add(rewriteHistory(t, seed)) })
	}
	if fixed.rewrites == 0 || fixed.failures == 0 || fixed.replaced == 0 || fixed.kept == 0 {
		t.Errorf("%+v: these histories show nothing", fixed)
	}
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { rewriteHistory(t, seed) })
	}
}

// histories counts what happened in some.
type histories struct {
	rewrites, failures int
	replaced           int // objects
	kept               int // records that had to stay as the last of their object
}

func (h *histories) add(o histories) {
	h.rewrites, h.failures, h.replaced, h.kept = h.rewrites+o.rewrites, h.failures+o.failures, h.replaced+o.replaced, h.kept+o.kept
}

func rewriteHistory(t *testing.T, seed uint64) (h histories) {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := newWorld(t, 4<<20)
	w.options = func(o *s3stream.Options) {
		o.BlockBytes, o.StreamSplitBytes = 1<<10, 8<<10
	}
	w.mustStart()
	streams := make([]*stream, 3)
	states := make([]edited, len(streams))
	for i := range streams {
		streams[i], states[i] = w.newStream().mustOpen(), edited{}
	}
	for step := range 120 {
		i := rng.IntN(len(streams))
		m, d := streams[i], states[i]
		switch n := rng.IntN(20); {
		case n < 8:
			for range rng.IntN(30) {
				m.mustAppend(1+rng.IntN(400), 1+rng.Int64N(3), int64(step))
			}
			m.settle()
		case n < 11:
			if err := w.storage.Flush(ctxFor(t)); err != nil {
				t.Fatal(err)
			}
		case n == 11:
			if err := w.storage.Compact(ctxFor(t)); err != nil {
				t.Fatal(err)
			}
		case n == 12:
			start := m.s.Start() + rng.Int64N(m.s.Confirmed()-m.s.Start()+1)/3
			if err := m.s.Trim(ctxFor(t), start); err != nil {
				t.Fatal(err)
			}
		case n == 13:
			w.crash(rng.Uint64())
			if err := w.start(); err != nil {
				t.Fatal(err)
			}
			for _, m := range streams {
				m.mustOpen()
			}
		default:
			st, err := m.s.Stored()
			if err != nil {
				t.Fatal(err)
			}
			_, checkpoint, err := m.s.StoredCheckpoint(ctxFor(t))
			if err != nil {
				t.Fatal(err)
			}
			to := min(st.End, checkpoint)
			if rng.IntN(3) == 0 && to > 0 {
				to = rng.Int64N(to)
			}
			salt := rng.Uint32()
			before, after := rng.IntN(8) == 0, rng.IntN(8) == 0
			w.cluster.SetFault(func(op string, applied bool) error {
				if op == "RewriteStream" && (applied && after || !applied && before) {
					return errors.New("injected")
				}
				return nil
			})
			e := &fateEditor{salt: salt}
			r, err := m.s.Rewrite(ctxFor(t), s3stream.Rewrite{To: to, Editor: e})
			w.cluster.SetFault(nil)
			d.apply(m.records, to, salt, err != nil, e.must > 0)
			h.add(histories{rewrites: 1, replaced: r.Replaced, kept: e.must})
			if err != nil {
				h.failures++
			} else if now, _ := m.s.Stored(); now.Cleaned < to {
				t.Fatalf("cleaned to %d, want %d", now.Cleaned, to)
			} else if r.After > r.Before {
				t.Fatalf("%+v", r)
			}
			if err != nil && !before && !after {
				t.Fatal(err)
			}
		}
		for i, m := range streams {
			if err := states[i].check(m); err != nil {
				t.Fatalf("step %d: %v\nreplay with seed %d", step, err, seed)
			}
		}
	}
	w.stop()
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	for i, m := range streams {
		if err := states[i].check(m.mustOpen()); err != nil {
			t.Fatalf("in the end: %v\nreplay with seed %d", err, seed)
		}
	}
	t.Logf("%+v", h)
	return h
}

// TestRewriteFenced: a stream that another node has opened is not rewritten by its old owner, however late it notices.
func TestRewriteFenced(t *testing.T) {
	w := newWorld(t, 4<<20).mustStart()
	m := w.newStream().mustOpen()
	for range 20 {
		m.mustAppend(100, 1, 1)
	}
	m.settle()
	if err := w.storage.Flush(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	other := w.cluster.Node(2, 1)
	if _, err := other.OpenStream(ctxFor(t), m.id, m.epoch+1); err != nil {
		t.Fatal(err)
	}
	live, _, _ := w.cluster.Objects()
	_, err := m.s.Rewrite(ctxFor(t), s3stream.Rewrite{To: 20, Editor: &fateEditor{salt: 1}})
	if !errors.Is(err, s3stream.ErrFenced) {
		t.Fatalf("rewrite by the old owner: %v", err)
	}
	if now, _, _ := w.cluster.Objects(); len(now) != len(live) || now[0].ID != live[0].ID {
		t.Fatalf("objects were %v, are %v", live, now)
	}
}

// TestRewriteLeavesOthersAlone: of a shared object only the one stream is taken, and the shared object goes on serving the others.
func TestRewriteLeavesOthersAlone(t *testing.T) {
	w := newWorld(t, 4<<20).mustStart()
	a, b := w.newStream().mustOpen(), w.newStream().mustOpen()
	for range 50 {
		a.mustAppend(100, 1, 1)
		b.mustAppend(100, 1, 1)
	}
	a.settle()
	b.settle()
	w.stop()
	if err := w.start(); err != nil { // so that nothing is in memory
		t.Fatal(err)
	}
	a.mustOpen()
	b.mustOpen()
	var paced struct {
		sync.Mutex
		bytes int64
	}
	r, err := a.s.Rewrite(ctxFor(t), s3stream.Rewrite{To: 50, Editor: &fateEditor{salt: 3}, Pace: func(_ context.Context, n int64) error {
		paced.Lock()
		paced.bytes += n
		paced.Unlock()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if paced.bytes < r.Read {
		t.Fatalf("read %d bytes, paced %d", r.Read, paced.bytes)
	}
	live, _, destroyed := w.cluster.Objects()
	if len(live) != 2 || destroyed != 0 || len(live[0].Ranges) != 1 || live[0].Ranges[0].Stream != b.id {
		t.Fatalf("objects %+v, %d destroyed", live, destroyed)
	}
	b.mustReadAll()
	d := edited{}
	d.apply(a.records, 50, 3, false, false)
	if err := d.check(a); err != nil {
		t.Fatal(err)
	}
	if err := w.storage.Compact(ctxFor(t)); err != nil { // takes the shared object apart
		t.Fatal(err)
	}
	b.mustReadAll()
	if err := d.check(a); err != nil {
		t.Fatal(err)
	}
}
