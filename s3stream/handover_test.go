package s3stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/tools/waittest"
)

// nodes are worlds that share a cluster and a bucket.
func nodes(t testing.TB, n int, diskBytes int64) []*world {
	var out []*world
	for i := range n {
		w := newWorld(t, diskBytes)
		w.node = int32(i + 1)
		if i > 0 {
			w.cluster, w.bucket = out[0].cluster, out[0].bucket
		}
		out = append(out, w.mustStart())
	}
	return out
}

// handing is a Source: the storage of another world, asked page by page.
type handing struct {
	from  *world
	id    s3stream.StreamID
	page  int
	next  int64
	after func(page int) error // called after each answer, the handover being page 0; an error is what the asking side gets instead
	pages int
}

func (h *handing) answered() error {
	h.pages++
	if h.after == nil {
		return nil
	}
	return h.after(h.pages - 1)
}

func (h *handing) HandOver(ctx context.Context) (s3stream.Handover, error) {
	out, err := h.from.storage.HandOver(ctx, h.id)
	h.next = out.Next
	if err == nil {
		err = h.answered()
	}
	return out, err
}

func (h *handing) Records(ctx context.Context, from int64) ([]s3stream.Record, error) {
	rs, err := h.from.storage.HandedOver(ctx, h.id, from, h.next, h.page)
	if err == nil {
		err = h.answered()
	}
	return rs, err
}

// take makes a world the owner of the stream, which another one has. What is appended here before that may lie anywhere.
func (m *stream) take(to *world, after func(page int) error) error {
	m.epoch++
	return m.takeAgain(to, after)
}

// takeAgain is another attempt at the same epoch.
func (m *stream) takeAgain(to *world, after func(page int) error) error {
	from := m.w
	m.w = to
	err := m.openFrom(&handing{from: from, id: m.id, page: 300, after: after})
	if err != nil {
		m.w = from
	}
	return err
}

func TestHandover(t *testing.T) {
	ws := nodes(t, 2, 16<<20)
	a, b := ws[0], ws[1]
	s, other := a.newStream().mustOpen(), a.newStream().mustOpen()
	for i := range 20 {
		s.mustAppend(100, 2, 1)
		other.mustAppend(100, 1, 1)
		if i == 9 {
			s.settle()
			a.flush()
		}
	}
	old := s.s
	must(t, s.take(b, nil)) // waits for what is in flight
	if s.acked != 20 || s.s.Confirmed() != 40 {
		t.Fatalf("%d records acknowledged, confirmed %d", s.acked, s.s.Confirmed())
	}
	if err := old.Append(s3stream.Record{First: 40, Next: 41, Payload: []byte("x")}, nil); !errors.Is(err, s3stream.ErrClosed) {
		t.Fatalf("append to the old owner's stream: %v", err)
	}
	s.mustReadAll()
	for range 10 {
		s.mustAppend(100, 2, 1)
	}
	s.settle()
	a.storage.Disown(s.id)
	if _, err := old.Read(nil, 30, 40, 1<<20, true); !errors.Is(err, s3stream.ErrFenced) {
		t.Fatalf("read of the old owner's stream: %v", err)
	}
	// What the old owner had of it holds up neither its uploads nor its WAL.
	other.mustAppend(100, 1, 1)
	other.settle()
	a.flush()
	waittest.Until(t, testTimeout, "the old owner's WAL is trimmed", func() bool { return a.log.Stats().Used < 64<<10 })
	b.crash(1)
	b.mustStart()
	s.mustOpen().mustReadAll()
	b.flush()
	s.mustReadAll()
	// And back, to where older records of it have been.
	s.mustAppend(100, 1, 1)
	must(t, s.take(a, nil))
	s.mustAppend(100, 1, 1)
	s.settle()
	a.crash(2)
	a.mustStart()
	s.mustOpen().mustReadAll()
	other.mustOpen().mustReadAll()
}

// TestHandoverDuringUpload: the old owner's upload has the stream in it when the new one takes over. The commit is made without it, and the other streams lose nothing.
func TestHandoverDuringUpload(t *testing.T) {
	ws := nodes(t, 2, 16<<20)
	a, b := ws[0], ws[1]
	s, other := a.newStream().mustOpen(), a.newStream().mustOpen()
	for range 10 {
		s.mustAppend(100, 1, 1)
		other.mustAppend(100, 1, 1)
	}
	other.settle()
	s.settle()
	taken := false
	a.cluster.SetFault(func(op string, applied bool) error {
		if op == "CommitObjects" && !taken {
			return errors.New("not yet")
		}
		return nil
	})
	flushed := make(chan error, 1)
	go func() { flushed <- a.storage.Flush(ctxFor(t)) }()
	waittest.Until(t, testTimeout, "a commit was tried", func() bool { return a.cluster.Calls("CommitObjects") > 0 })
	a.cluster.SetFault(nil)
	must(t, s.take(b, nil))
	must(t, <-flushed)
	if info, _ := a.cluster.Node(1, a.epoch).Stream(other.id); info.End != 10 {
		t.Fatalf("the other stream ends at %d in objects", info.End)
	}
	a.storage.Disown(s.id)
	s.mustAppend(100, 1, 1)
	s.settle()
	b.flush()
	s.mustReadAll()
	other.mustReadAll()
	b.crash(1)
	b.mustStart()
	s.mustOpen().mustReadAll()
}

// TestHandoverOutcomeUnknown: the metadata makes the node the owner, but the answer is lost. The tail is kept, and nothing is asked of the old owner again, which
// has dropped it by then.
func TestHandoverOutcomeUnknown(t *testing.T) {
	for _, again := range []string{"take over", "open", "crash"} {
		ws := nodes(t, 2, 16<<20)
		a, b := ws[0], ws[1]
		s := a.newStream().mustOpen()
		for range 10 {
			s.mustAppend(100, 1, 1)
		}
		s.settle()
		lost := errors.New("the answer is lost")
		a.cluster.SetFault(func(op string, applied bool) error {
			if op == "TakeOverStream" && applied {
				return lost
			}
			return nil
		})
		if err := s.take(b, nil); !errors.Is(err, lost) {
			t.Fatalf("%v", err)
		}
		a.cluster.SetFault(nil)
		a.storage.Disown(s.id)
		b.storage.Disown(s.id) // does nothing: it is the owner
		never := func(int) error { return errors.New("asked once more") }
		switch again {
		case "take over":
			must(t, s.takeAgain(b, never))
		case "open":
			s.w = b
			must(t, s.openFrom(nil))
		case "crash":
			s.w = b
			b.crash(1)
			b.mustStart()
			s.mustOpen()
		}
		s.mustReadAll()
		s.mustAppend(100, 1, 1)
		s.settle()
		b.flush()
		s.mustReadAll()
	}
}

// TestHandoverNotDecided: while it is open whether the metadata has made this node the owner, its uploads wait for that.
func TestHandoverNotDecided(t *testing.T) {
	ws := nodes(t, 2, 16<<20)
	a, b := ws[0], ws[1]
	b.stop()
	b.options = func(o *s3stream.Options) { o.TailGrace = 1 } // does not wait for streams to be opened, for that reason
	b.mustStart()
	s, other := a.newStream().mustOpen(), b.newStream().mustOpen()
	s.mustAppend(100, 1, 1)
	s.settle()
	away := errors.New("nobody knows")
	a.cluster.SetFault(func(op string, _ bool) error {
		if op == "TakeOverStream" {
			return away
		}
		return nil
	})
	if err := s.take(b, nil); !errors.Is(err, away) {
		t.Fatal(err)
	}
	other.mustAppend(100, 1, 1)
	other.settle()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.storage.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the upload: %v", err)
	}
	a.cluster.SetFault(nil)
	must(t, s.takeAgain(b, func(int) error { return errors.New("asked once more") }))
	a.storage.Disown(s.id)
	b.flush()
	s.mustReadAll()
	other.mustReadAll()
	// Decided the other way, with the next stream: the old owner goes on, and nothing waits any more.
	s = a.newStream().mustOpen()
	s.mustAppend(100, 1, 1)
	s.settle()
	a.cluster.SetFault(func(op string, _ bool) error {
		if op == "TakeOverStream" {
			return away
		}
		return nil
	})
	if err := s.take(b, nil); !errors.Is(err, away) {
		t.Fatal(err)
	}
	a.cluster.SetFault(nil)
	s.mustOpen()
	b.storage.Disown(s.id)
	b.flush()
	s.mustAppend(100, 1, 1)
	s.settle()
	s.mustReadAll()
}

// TestHandoverTrimmed: DeleteRecords between two records of the tail, a cut inside of one included.
func TestHandoverTrimmed(t *testing.T) {
	ws := nodes(t, 2, 16<<20)
	a, b := ws[0], ws[1]
	s := a.newStream().mustOpen()
	for range 10 {
		s.mustAppend(100, 3, 1)
	}
	s.settle()
	must(t, s.s.Trim(ctxFor(t), 16))
	s.start = 16
	for range 10 {
		s.mustAppend(100, 3, 1)
	}
	must(t, s.take(b, nil))
	s.mustReadAll()
	b.crash(1)
	b.mustStart()
	s.mustOpen().mustReadAll()
}

// TestHandoverFull: a WAL without room refuses the tail; the stream stays with its owner, and the attempt is no harm to what is there.
func TestHandoverFull(t *testing.T) {
	ws := nodes(t, 2, 6<<20)
	a, b := ws[0], ws[1]
	s, full := a.newStream().mustOpen(), b.newStream().mustOpen()
	s.mustAppend(300<<10, 1, 1)
	s.mustAppend(300<<10, 1, 1)
	s.settle()
	b.away()
	for {
		if err := full.append(20<<10, 1, 1); errors.Is(err, s3stream.ErrFull) {
			if st := b.log.Stats(); st.Used > st.Capacity*8/10 {
				break
			}
			<-b.space
		} else if err != nil {
			t.Fatal(err)
		}
	}
	full.settle()
	if err := s.take(b, nil); !errors.Is(err, s3stream.ErrFull) {
		t.Fatalf("%v", err)
	}
	b.back()
	waittest.Until(t, testTimeout, "there is room again", func() bool { return s.takeAgain(b, nil) == nil })
	s.mustReadAll()
	full.mustReadAll()
	b.crash(1)
	b.mustStart()
	s.mustOpen().mustReadAll()
	full.mustOpen().mustReadAll()
}

// TestHandoverRandom moves streams around between nodes that crash, with faults at every step, and compares what is there with the model.
func TestHandoverRandom(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomHandovers(t, seed) })
	}
}

func randomHandovers(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	ws := nodes(t, 3, 32<<20)
	var streams []*stream
	for i := range 6 {
		streams = append(streams, ws[i%3].newStream().mustOpen())
	}
	restart := func(w *world) {
		for _, s := range streams {
			if s.w == w {
				s.freeze()
			}
		}
		w.crash(rng.Uint64())
		w.mustStart()
		for _, s := range streams {
			if s.w == w {
				s.mustOpen().mustReadAll()
			}
		}
	}
	injected := errors.New("injected")
	move := func(s *stream) {
		from, to := s.w, ws[rng.IntN(3)]
		if to == from {
			return
		}
		at := rng.IntN(4)
		var after func(int) error
		switch rng.IntN(8) {
		case 0: // the connection breaks at some page
			after = func(page int) error {
				if page == at {
					return injected
				}
				return nil
			}
		case 1: // the old owner uploads meanwhile
			after = func(page int) error {
				if page == at {
					from.flush()
				}
				return nil
			}
		case 2, 3: // the metadata is away, before or after the change
			lost := rng.IntN(2) == 0
			to.cluster.SetFault(func(op string, applied bool) error {
				if op == "TakeOverStream" && applied == lost {
					return injected
				}
				return nil
			})
		}
		err := s.take(to, after)
		to.cluster.SetFault(nil)
		info, _ := to.cluster.Node(to.node, to.epoch).Stream(s.id)
		switch {
		case err == nil:
			from.storage.Disown(s.id)
		case !errors.Is(err, injected):
			t.Fatal(err)
		case info.Node == to.node: // it succeeded after all
			from.storage.Disown(s.id)
			s.w = to
			switch rng.IntN(3) {
			case 0:
				restart(to)
				return
			case 1:
				s.mustOpen()
			default:
				must(t, s.openFrom(nil))
			}
		default: // the old owner has it still
			switch rng.IntN(4) {
			case 0:
				must(t, s.takeAgain(to, nil))
				from.storage.Disown(s.id)
			case 1:
				restart(to)
				s.mustOpen()
			case 2: // the old owner restarts
				restart(from)
				to.storage.Disown(s.id)
			default: // taken back
				s.mustOpen()
				to.storage.Disown(s.id)
			}
		}
		s.mustReadAll()
	}
	for range 60 {
		s := streams[rng.IntN(len(streams))]
		switch rng.IntN(10) {
		case 0, 1, 2, 3:
			for range rng.IntN(8) + 1 {
				s.mustAppend(rng.IntN(400)+1, int64(rng.IntN(3)+1), 1)
			}
			if rng.IntN(2) == 0 {
				s.settle()
			}
		case 4:
			s.w.flush()
		case 5:
			if rng.IntN(3) == 0 {
				restart(ws[rng.IntN(3)])
			}
		case 6:
			s.settle()
			if c := s.s.Confirmed(); c > s.s.Start() {
				to := s.s.Start() + rng.Int64N(c-s.s.Start())
				must(t, s.s.Trim(ctxFor(t), to))
				s.start = to
			}
		default:
			move(s)
		}
	}
	for _, s := range streams {
		s.settle()
		s.mustReadAll()
	}
	for _, w := range ws {
		w.flush()
	}
	for _, s := range streams {
		s.mustReadAll()
	}
	for _, w := range ws {
		waittest.Until(t, testTimeout, "nothing of others is left in the WAL", func() bool { return w.log.Stats().Used < 256<<10 })
	}
}
