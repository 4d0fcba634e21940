package share

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

var limits = Limits{MaxLocks: 100, MaxDeliveries: 5, LockMillis: 1000, Renew: true}

func extents(bounds ...int64) (out []Extent) {
	for i := 0; i < len(bounds); i += 2 {
		out = append(out, Extent{bounds[i], bounds[i+1]})
	}
	return out
}

func fetch(member string, most int64, ext ...Extent) *Acquisition {
	return &Acquisition{Member: member, FetchOffset: ext[0].First, Extents: ext, MaxRecords: most, BatchSize: 500, Limits: limits}
}

func wantDeliveries(t *testing.T, got []Delivery, want ...Delivery) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("acquired %v, want %v", got, want)
	}
}

func mustNew(t *testing.T, start int64, written ...Batch) *Records {
	t.Helper()
	r, err := New(start, written)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustAck(t *testing.T, r *Records, member string, acks ...Ack) {
	t.Helper()
	c, err := r.Acknowledge(member, 0, acks, limits)
	if err != nil {
		t.Fatal(err)
	}
	r.Complete(c.ID, true, 0, limits)
}

// A batch is delivered as a whole, and what nobody processed again as a whole.
func TestAcquireBatches(t *testing.T) {
	r := mustNew(t, 10)
	wantDeliveries(t, r.Acquire(fetch("a", 1, extents(0, 19, 20, 29)...)), Delivery{10, 19, 1})
	if r.Start() != 10 || r.Next() != 20 || r.InFlight() != 10 {
		t.Fatalf("start %d, next %d, %d in flight", r.Start(), r.Next(), r.InFlight())
	}
	wantDeliveries(t, r.Acquire(fetch("b", 100, extents(20, 29)...)), Delivery{20, 29, 1})
	c := r.Release("a", limits)
	if !slices.Equal(c.Batches, []Batch{{10, 19, Available, 1}}) {
		t.Fatalf("to be written: %v", c.Batches)
	}
	if r.Next() != 30 {
		t.Fatalf("records are available before their release is durable: next is %d", r.Next())
	}
	r.Complete(c.ID, true, 0, limits)
	if r.Next() != 10 {
		t.Fatalf("next is %d, want 10", r.Next())
	}
	wantDeliveries(t, r.Acquire(fetch("b", 100, extents(0, 19, 20, 29)...)), Delivery{10, 19, 2})
}

func TestBatchSize(t *testing.T) {
	r := mustNew(t, 0)
	q := fetch("a", 100, extents(0, 9, 10, 19, 20, 29)...)
	q.BatchSize = 15
	wantDeliveries(t, r.Acquire(q), Delivery{0, 19, 1}, Delivery{20, 29, 1})
}

func TestRecordLimit(t *testing.T) {
	r := mustNew(t, 0)
	q := fetch("a", 3, extents(0, 9)...)
	q.RecordLimit = true
	wantDeliveries(t, r.Acquire(q), Delivery{0, 2, 1})
	wantDeliveries(t, r.Acquire(q), Delivery{3, 5, 1})
	if r.Next() != 6 {
		t.Fatalf("next is %d, want 6", r.Next())
	}
}

func TestMaxLocks(t *testing.T) {
	r := mustNew(t, 0)
	q := fetch("a", 1000, extents(0, 59, 60, 119, 120, 179)...)
	wantDeliveries(t, r.Acquire(q), Delivery{0, 119, 1}) // to the end of the batch
	if !r.Full(limits) || r.Acquire(fetch("a", 10, extents(120, 179)...)) != nil {
		t.Fatal("more than the limit was acquired")
	}
	mustAck(t, r, "a", Ack{30, 39, []int8{Release}})
	if r.Full(limits) {
		t.Fatal("full, though something is available again")
	}
	wantDeliveries(t, r.Acquire(fetch("b", 10, extents(0, 59, 60, 119, 120, 179)...)), Delivery{30, 39, 2})
}

// A record that nobody can process takes no others with it: the batch gets smaller from delivery to delivery.
func TestThrottle(t *testing.T) {
	r := mustNew(t, 0)
	var sizes []int64
	now := int64(0)
	for range 8 {
		q := fetch("a", 1000, extents(0, 99)...)
		q.Now = now
		q.MaxLocks = 1000
		n := int64(0)
		for _, d := range r.Acquire(q) {
			n += d.Last - d.First + 1
		}
		sizes = append(sizes, n)
		now += 1000
		r.Expire(now, limits)
	}
	// Three times as a whole, then half of it for the fourth, then one record for the last time.
	if !slices.Equal(sizes[:5], []int64{100, 100, 100, 50, 1}) {
		t.Fatalf("sizes %v", sizes)
	}
	if r.Start() != 1 && sizes[5] != 1 {
		t.Fatalf("start %d after %v", r.Start(), sizes)
	}
}

func TestAcknowledgeRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		member    string
		ack       Ack
		malformed bool
	}{
		"not acquired":    {"a", Ack{20, 29, []int8{Accept}}, false},
		"another member":  {"b", Ack{0, 9, []int8{Accept}}, false},
		"beyond the end":  {"a", Ack{5, 35, []int8{Accept}}, true},
		"far beyond":      {"a", Ack{40, 45, []int8{Accept}}, true},
		"unknown type":    {"a", Ack{0, 9, []int8{5}}, true},
		"types missing":   {"a", Ack{0, 9, []int8{1, 1}}, true},
		"no type":         {"a", Ack{0, 9, nil}, true},
		"the wrong order": {"a", Ack{9, 0, []int8{1}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustNew(t, 0)
			r.Acquire(fetch("a", 100, extents(0, 9, 10, 19, 20, 29)...))
			mustAck(t, r, "a", Ack{20, 29, []int8{Release}})
			before := fmt.Sprint(r.runs)
			_, err := r.Acknowledge(tc.member, 0, []Ack{{10, 12, []int8{Accept}}, tc.ack}, limits)
			if tc.member == "b" {
				_, err = r.Acknowledge(tc.member, 0, []Ack{tc.ack}, limits)
			}
			if err == nil || err.Malformed != tc.malformed {
				t.Fatalf("refusal %v, want one that is malformed: %v", err, tc.malformed)
			}
			if after := fmt.Sprint(r.runs); after != before {
				t.Fatalf("what was refused has changed something:\n%s\n%s", before, after)
			}
		})
	}
}

func TestRenew(t *testing.T) {
	r := mustNew(t, 0)
	r.Acquire(fetch("a", 100, extents(0, 9)...))
	c, err := r.Acknowledge("a", 900, []Ack{{0, 9, []int8{Renew, Renew, Renew, Renew, Renew, Accept, Accept, Accept, Accept, Accept}}}, limits)
	if err != nil || !slices.Equal(c.Batches, []Batch{{5, 9, Acknowledged, 1}}) {
		t.Fatalf("%v, %v", c, err)
	}
	r.Complete(c.ID, true, 900, limits)
	if got := r.Expire(1500, limits); got != nil {
		t.Fatalf("renewed locks are gone: %v", got)
	}
	if got := r.Expire(1900, limits); !slices.Equal(got, []Batch{{0, 4, Available, 1}}) {
		t.Fatalf("expired %v", got)
	}
	off := limits
	off.Renew = false
	r.Acquire(fetch("a", 100, extents(0, 9)...))
	if _, err := r.Acknowledge("a", 0, []Ack{{0, 0, []int8{Renew}}}, off); err == nil || err.Malformed {
		t.Fatalf("a renewal that the group does not allow: %v", err)
	}
}

// What could not be written goes back to its member, or to whoever asks when the time is up meanwhile.
func TestFailedWrite(t *testing.T) {
	r := mustNew(t, 0)
	r.Acquire(fetch("a", 100, extents(0, 9)...))
	c, _ := r.Acknowledge("a", 0, []Ack{{0, 9, []int8{Accept}}}, limits)
	r.Complete(c.ID, false, 500, limits)
	if r.Start() != 0 || r.Next() != 10 {
		t.Fatalf("start %d, next %d", r.Start(), r.Next())
	}
	c, err := r.Acknowledge("a", 0, []Ack{{0, 9, []int8{Accept}}}, limits)
	if err != nil {
		t.Fatal(err)
	}
	r.Complete(c.ID, false, 1000, limits)
	if r.Next() != 0 {
		t.Fatalf("next %d, want 0: the time was up", r.Next())
	}
}

// Records that log compaction has taken do not hold up the rest.
func TestMissingRecords(t *testing.T) {
	r := mustNew(t, 0, Batch{5, 9, Acknowledged, 1})
	wantDeliveries(t, r.Acquire(fetch("a", 100, extents(0, 4)...)), Delivery{0, 4, 1})
	mustAck(t, r, "a", Ack{0, 4, []int8{Release}})
	q := fetch("a", 100, extents(10, 19)...)
	q.FetchOffset = 0
	wantDeliveries(t, r.Acquire(q), Delivery{10, 19, 1})
	if r.Start() != 10 {
		t.Fatalf("start %d, want 10", r.Start())
	}
}

func TestAborted(t *testing.T) {
	r := mustNew(t, 0)
	q := fetch("a", 100, extents(0, 4, 5, 9, 10, 14)...)
	q.Aborted = extents(5, 9)
	wantDeliveries(t, r.Acquire(q), Delivery{0, 4, 1}, Delivery{10, 14, 1})
	mustAck(t, r, "a", Ack{0, 4, []int8{Accept}})
	if r.Start() != 10 {
		t.Fatalf("start %d, want 10", r.Start())
	}
}

func TestMoveStart(t *testing.T) {
	r := mustNew(t, 0)
	r.Acquire(fetch("a", 100, extents(0, 9, 10, 19)...))
	r.MoveStart(15)
	if r.Start() != 15 || r.Next() != 20 {
		t.Fatalf("start %d, next %d", r.Start(), r.Next())
	}
	mustAck(t, r, "a", Ack{0, 9, []int8{Accept}}, Ack{10, 19, []int8{Accept}})
	if r.Start() != 20 {
		t.Fatalf("start %d, want 20", r.Start())
	}
	r.MoveStart(50)
	if r.Start() != 50 || r.Next() != 50 || r.InFlight() != 0 {
		t.Fatalf("start %d, next %d", r.Start(), r.Next())
	}
}

func TestNewRefuses(t *testing.T) {
	for _, bad := range [][]Batch{{{5, 4, Available, 1}}, {{0, 9, Acquired, 1}}, {{0, 9, Available, 1}, {9, 12, Available, 1}}, {{0, 9, 7, 1}}, {{0, 9, Available, -1}}} {
		if _, err := New(0, bad); !errors.Is(err, ErrState) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestCombine(t *testing.T) {
	older := []Batch{{0, 9, Available, 1}, {20, 29, Acknowledged, 1}}
	newer := []Batch{{5, 24, Archived, 2}, {24, 24, Acknowledged, 1}, {30, 31, Acknowledged, 1}}
	want := []Batch{{3, 4, Available, 1}, {5, 23, Archived, 2}, {24, 31, Acknowledged, 1}}
	if got := Combine(older, newer, 3); !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

var seeds = flag.Int("share.seeds", 150, "histories of TestModel")
var seedFlag = flag.Uint64("share.seed", 0, "the one history of TestModel to run")

// TestModel runs random histories beside a model that has a state for each offset, with crashes in which only what was written is left.
func TestModel(t *testing.T) {
	from, to := uint64(1), uint64(*seeds)
	if *seedFlag != 0 {
		from, to = *seedFlag, *seedFlag
	}
	for seed := from; seed <= to; seed++ {
		if err := history(seed); err != nil {
			t.Fatalf("%v\nreplay: go test ./engine/share -run TestModel -share.seed=%d", err, seed)
		}
	}
}

// world is one history: a log of batches, members that get records of it, and what is known about each offset.
type world struct {
	rng     *rand.Rand
	r       *Records
	limits  Limits
	now     int64
	log     []Extent
	written []Batch // by the share coordinator
	start   int64   // written, too

	held     map[int64]string // offset to the member that has it, as far as anybody knows
	until    map[int64]int64
	count    map[int64]int16 // deliveries since the last crash of which nothing is written, at least
	accepted map[int64]bool  // durable
	gone     map[int64]bool  // durable: not to be delivered any more
	pending  []pendingChange
}

type pendingChange struct {
	c     Change
	start int64
	kinds map[int64]int8
}

func history(seed uint64) error {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), held: map[int64]string{}, until: map[int64]int64{}, count: map[int64]int16{}, accepted: map[int64]bool{}, gone: map[int64]bool{}}
	w.limits = Limits{MaxLocks: 20 + w.rng.IntN(60), MaxDeliveries: 2 + w.rng.IntN(5), LockMillis: 100, Renew: true}
	at := int64(0)
	for range 30 {
		n := 1 + w.rng.Int64N(12)
		w.log = append(w.log, Extent{at, at + n - 1})
		at += n
	}
	w.r, _ = New(0, nil)
	for step := range 1500 {
		if err := w.step(); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		if err := w.check(); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return w.finish(at)
}

func (w *world) step() error {
	member := string(rune('a' + w.rng.IntN(3)))
	switch w.rng.IntN(10) {
	case 0, 1, 2:
		return w.acquire(member)
	case 3, 4, 5:
		w.acknowledge(member)
	case 6:
		w.begin(w.r.Release(member, w.limits), nil)
	case 7:
		w.now += w.rng.Int64N(60)
		batches := w.r.Expire(w.now, w.limits)
		if w.rng.IntN(2) == 0 { // else lost
			w.write(batches, w.r.Start())
		}
		w.lapse()
	case 8:
		if len(w.pending) > 0 {
			w.end(w.rng.IntN(4) > 0)
		}
	case 9:
		if w.rng.IntN(12) == 0 {
			return w.crash()
		}
	}
	return nil
}

func (w *world) acquire(member string) error {
	offset := w.r.Next()
	i := slices.IndexFunc(w.log, func(e Extent) bool { return e.Last >= offset })
	if i < 0 || w.r.Full(w.limits) {
		return nil
	}
	j := min(i+1+w.rng.IntN(4), len(w.log))
	q := &Acquisition{Member: member, Now: w.now, FetchOffset: offset, Extents: w.log[i:j], MaxRecords: 1 + w.rng.Int64N(30), BatchSize: 1 + w.rng.Int64N(20),
		RecordLimit: w.rng.IntN(3) == 0, Limits: w.limits}
	n := int64(0)
	for _, d := range w.r.Acquire(q) {
		for o := d.First; o <= d.Last; o++ {
			n++
			switch {
			case w.accepted[o]:
				return fmt.Errorf("offset %d was accepted, and is delivered again", o)
			case w.gone[o]:
				return fmt.Errorf("offset %d is done with, and is delivered again", o)
			case w.held[o] != "":
				return fmt.Errorf("offset %d is with %s, and goes to %s", o, w.held[o], member)
			case int(d.Deliveries) > w.limits.MaxDeliveries || d.Deliveries < w.count[o]+1:
				return fmt.Errorf("offset %d is delivered for the time %d after %d, limit %d", o, d.Deliveries, w.count[o], w.limits.MaxDeliveries)
			}
			w.held[o], w.until[o], w.count[o] = member, w.now+w.limits.LockMillis, d.Deliveries
		}
	}
	if q.RecordLimit && n > q.MaxRecords {
		return fmt.Errorf("%d records acquired, %d allowed", n, q.MaxRecords)
	}
	return nil
}

// acknowledge says something of a range of offsets that a member has, or sometimes of one that it has not.
func (w *world) acknowledge(member string) {
	var mine []int64
	for o, m := range w.held {
		if m == member {
			mine = append(mine, o)
		}
	}
	if len(mine) == 0 {
		return
	}
	slices.Sort(mine)
	first := mine[w.rng.IntN(len(mine))]
	last := first
	for most := w.rng.IntN(20); most > 0 && w.held[last+1] == member; most-- {
		last++
	}
	a := Ack{First: first, Last: last}
	kinds := make(map[int64]int8)
	for o := first; o <= last; o++ {
		kinds[o] = int8(w.rng.IntN(5))
		a.Types = append(a.Types, kinds[o])
	}
	c, err := w.r.Acknowledge(member, w.now, []Ack{a}, w.limits)
	if err != nil {
		panic(fmt.Sprintf("acknowledgement of what %s has: %v", member, err))
	}
	for o, k := range kinds {
		if k == Renew {
			w.until[o] = w.now + w.limits.LockMillis
			delete(kinds, o)
		}
	}
	w.begin(c, kinds)
}

func (w *world) begin(c Change, kinds map[int64]int8) {
	if c.ID == 0 {
		return
	}
	if kinds == nil {
		kinds = make(map[int64]int8)
		for _, b := range c.Batches {
			for o := b.First; o <= b.Last; o++ {
				kinds[o] = Release
			}
		}
	}
	for o := range kinds {
		w.held[o] = "on its way"
	}
	w.pending = append(w.pending, pendingChange{c, w.r.Start(), kinds})
}

// end completes the oldest change: written or not.
func (w *world) end(ok bool) {
	p := w.pending[0]
	w.pending = w.pending[1:]
	if ok {
		w.write(p.c.Batches, p.start)
	}
	w.r.Complete(p.c.ID, ok, w.now, w.limits)
	for o, k := range p.kinds {
		delete(w.held, o)
		switch {
		case !ok: // with its member again, or available; Acknowledge and Acquire tell
			w.recover(o)
		case k == Accept:
			w.accepted[o] = true
		case k != Release || int(w.count[o]) >= w.limits.MaxDeliveries:
			w.gone[o] = true
		}
	}
}

// recover notes who has an offset after a failed write.
func (w *world) recover(o int64) {
	if o < w.r.start { // its time was up, for the last time
		w.gone[o] = true
	}
	for _, x := range w.r.runs {
		if x.first <= o && o <= x.last && x.state == Acquired {
			w.held[o] = x.member
		} else if x.first <= o && o <= x.last && x.state == Archived {
			w.gone[o] = true
		}
	}
}

func (w *world) write(batches []Batch, start int64) {
	w.start = max(w.start, start)
	w.written = Combine(w.written, batches, w.start)
}

// lapse notes that time has taken offsets back.
func (w *world) lapse() {
	for o, m := range w.held {
		if m != "on its way" && w.until[o] <= w.now {
			delete(w.held, o)
			if int(w.count[o]) >= w.limits.MaxDeliveries {
				w.gone[o] = true
			}
		}
	}
}

// crash leaves what is written.
func (w *world) crash() (err error) {
	w.r, err = New(w.start, w.written)
	w.pending = nil
	clear(w.held)
	clear(w.count)
	clear(w.gone) // what was archived and is not written may come again
	for _, b := range w.written {
		for o := b.First; o <= b.Last; o++ {
			w.count[o] = b.Deliveries
			if b.State == Archived {
				w.gone[o] = true
			}
		}
	}
	for o := int64(0); o < w.start; o++ {
		w.gone[o] = true
	}
	return err
}

// check looks at the records themselves.
func (w *world) check() error {
	previous := w.r.start - 1
	for i := range w.r.runs {
		x := &w.r.runs[i]
		if x.first <= previous || x.last < x.first || x.last >= w.r.next {
			return fmt.Errorf("run %d of %+v does not fit, start %d, next %d", i, w.r.runs, w.r.start, w.r.next)
		}
		previous = x.last
	}
	for o := int64(0); o < w.r.start; o++ {
		if !w.accepted[o] && !w.gone[o] {
			return fmt.Errorf("offset %d lies below the start %d, and nobody is done with it", o, w.r.start)
		}
	}
	return nil
}

// finish has everything processed: nothing may be left.
func (w *world) finish(end int64) error {
	for len(w.pending) > 0 {
		w.end(true)
	}
	for range 10_000 {
		if w.r.Start() == end {
			return nil
		}
		w.now += w.limits.LockMillis
		w.write(w.r.Expire(w.now, w.limits), w.r.Start())
		w.lapse()
		if err := w.acquire("z"); err != nil {
			return err
		}
		var acks []Ack
		for o, m := range w.held {
			if m == "z" {
				acks = append(acks, Ack{o, o, []int8{Accept}})
			}
		}
		c, refusal := w.r.Acknowledge("z", w.now, acks, w.limits)
		if refusal != nil {
			return refusal
		}
		kinds := make(map[int64]int8)
		for _, a := range acks {
			kinds[a.First] = Accept
		}
		if c.ID != 0 {
			w.begin(c, kinds)
			w.end(true)
		}
		if err := w.check(); err != nil {
			return err
		}
	}
	return fmt.Errorf("start is %d in the end, want %d: %+v", w.r.Start(), end, w.r.runs)
}
