package s3stream_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/wal"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "run TestModel with this seed only")
	modelSeeds = flag.Int("model.seeds", 12, "how many seeds TestModel runs")
	modelSteps = flag.Int("model.steps", 400, "steps of one seed")
)

// model drives a world with random steps.
type model struct {
	*world
	rng     *rand.Rand
	streams []*stream
	deleted []s3stream.StreamID
	ts      int64
	errors  bool // faults are on
}

// TestModel does what an owner, a crash, a store and a quorum may do, in random order, and compares every read and every recovered state with a
// naive model.
func TestModel(t *testing.T) {
	seeds := *modelSeeds
	if *modelSeed != 0 {
		seeds = 1
	}
	if testing.Short() {
		seeds = min(seeds, 3)
	}
	for i := range seeds {
		seed := *modelSeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) { runModel(t, seed) })
	}
}

func runModel(t *testing.T, seed uint64) {
	m := &model{world: newWorld(t, 4<<20), rng: rand.New(rand.NewPCG(seed, 0))}
	m.walOptions = func(o *wal.Options) { o.MemoryBytes, o.BlockBytes = 4<<20, 16<<10 }
	m.options = func(o *s3stream.Options) {
		o.UploadBytes = 64<<10 + int64(seed%8)*(64<<10)
		o.StreamSplitBytes = 40 << 10
		o.BlockBytes = 8 << 10
		o.BlockCacheBytes = 256 << 10
		o.IndexCacheBytes = 8 << 10
		o.ReadaheadBytes = 64 << 10
		o.TailGrace = time.Duration(seed%3) * 20 * time.Millisecond
		if o.TailGrace == 0 {
			o.TailGrace = time.Hour
		}
		o.DeleteRetention = time.Nanosecond
	}
	if seed%2 == 0 {
		m.wrapLog = func(l *wal.Log) s3stream.Log {
			return &tightLog{Log: l, budget: 128<<10 + int64(seed%5)*(100<<10), refuse: 0.002, rng: rand.New(rand.NewPCG(seed, 7))}
		}
	}
	defer func() {
		if t.Failed() {
			t.Logf("replay: go test ./s3stream -run TestModel -model.seed=%d -model.steps=%d", seed, *modelSteps)
		}
		if m.storage != nil {
			m.storage.Close(context.Background(), false)
		}
	}()
	m.mustStart()
	for range 2 + m.rng.IntN(6) {
		m.streams = append(m.streams, m.newStream().mustOpen())
	}
	for step := range *modelSteps {
		if err := m.step(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	m.quiet()
	if err := m.storage.Flush(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	for _, s := range m.streams {
		s.settle()
		s.mustReadAll()
	}
	if err := m.storage.Compact(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	for _, s := range m.streams {
		s.mustReadAll()
	}
	m.stop()
	m.mustStart()
	for _, s := range m.streams {
		s.mustOpen()
		s.mustReadAll()
	}
}

func (m *model) pick() *stream { return m.streams[m.rng.IntN(len(m.streams))] }

func (m *model) step() error {
	switch n := m.rng.IntN(100); {
	case n < 45:
		return m.appendSome()
	case n < 60:
		return m.read(false)
	case n < 72:
		return m.read(true)
	case n < 75:
		m.settleAll()
	case n < 79:
		return m.trim()
	case n < 83:
		m.faults()
	case n < 86:
		if !m.errors {
			return m.storage.Flush(ctxFor(m.t))
		}
	case n < 89:
		_ = m.storage.Compact(ctxFor(m.t)) // may fail while faults are on; the commit is checked by the cluster
		if err := m.storage.Sweep(ctxFor(m.t)); err != nil && !m.errors {
			return err
		}
	case n < 90:
		return m.reopen()
	case n < 93:
		return m.lookup()
	case n < 94:
		return m.deleteOne()
	case n < 98:
		return m.crashAll()
	default:
		return m.restart()
	}
	return nil
}

func (m *model) appendSome() error {
	s := m.pick()
	for range 1 + m.rng.IntN(20) {
		n := m.rng.IntN(2000)
		if m.rng.IntN(30) == 0 {
			n = m.rng.IntN(60 << 10)
		}
		m.ts += int64(m.rng.IntN(20)) - 5
		err := s.append(n, 1+int64(m.rng.IntN(5)), max(m.ts, 0))
		if errors.Is(err, s3stream.ErrFull) {
			if m.errors {
				m.quiet() // otherwise it may stay full
			}
			select {
			case <-m.space:
			case <-time.After(testTimeout):
				return errors.New("the WAL was full and OnSpace was not called")
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	return nil
}

func (m *model) read(cold bool) error {
	s := m.pick()
	start, end := s.s.Start(), s.s.Confirmed()
	if start >= end {
		return nil
	}
	from := start + m.rng.Int64N(end-start)
	maxBytes := 1 + m.rng.IntN(32<<10)
	if !cold {
		got, err := s.s.Read(nil, from, end, maxBytes, true)
		if errors.Is(err, s3stream.ErrCold) {
			s.s.Prefetch(from, maxBytes)
			return nil
		}
		if err != nil {
			return fmt.Errorf("hot read: %w", err)
		}
		defer release(got)
		if len(got) == 0 {
			return fmt.Errorf("hot read of stream %d at %d: nothing, confirmed is %d", s.id, from, end)
		}
		return s.check(from, end, maxBytes, got)
	}
	for range 4 {
		if from >= end {
			return nil
		}
		got, err := s.s.ReadCold(ctxFor(m.t), from, end, maxBytes, true)
		if err != nil {
			if m.errors {
				return nil
			}
			return fmt.Errorf("cold read: %w", err)
		}
		err = s.check(from, end, maxBytes, got)
		if err == nil && len(got) == 0 {
			err = fmt.Errorf("cold read of stream %d at %d: nothing, confirmed is %d", s.id, from, end)
		}
		if err == nil {
			from = got[len(got)-1].Next
		}
		release(got)
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *model) settleAll() {
	for _, s := range m.streams {
		s.settle()
	}
}

func (m *model) trim() error {
	s := m.pick()
	start, end := s.s.Start(), s.s.Confirmed()
	if start >= end {
		return nil
	}
	to := start + m.rng.Int64N(end-start+1)
	if m.rng.IntN(3) == 0 {
		to = s.s.Retain(m.ts, int64(m.rng.IntN(200)), int64(m.rng.IntN(200<<10)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	if m.errors {
		ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
	}
	defer cancel()
	err := s.s.Trim(ctx, to)
	if err != nil && !m.errors {
		return fmt.Errorf("trim: %w", err)
	}
	if got := s.s.Start(); got != max(to, start) {
		return fmt.Errorf("trim to %d: start is %d", to, got)
	}
	if err == nil {
		s.mu.Lock()
		s.start = max(s.start, to)
		s.mu.Unlock()
	}
	if to > start {
		if _, err := s.s.Read(nil, to-1, end, 100, true); !errors.Is(err, s3stream.ErrOutOfRange) {
			return fmt.Errorf("read below the start: %v", err)
		}
	}
	return nil
}

// faults changes what goes wrong.
func (m *model) faults() {
	if m.errors = !m.errors; !m.errors {
		m.quiet()
		return
	}
	if m.rng.IntN(2) == 0 {
		m.bucket.SetRates(s3test.Rates{Before: 1}) // the store is away
		return
	}
	m.bucket.SetRates(s3test.Rates{Before: m.rng.Float64() * 0.6, After: m.rng.Float64() * 0.2, Partial: m.rng.Float64() * 0.1})
	rng := rand.New(rand.NewPCG(m.rng.Uint64(), 3))
	rate := m.rng.Float64() * 0.3
	m.cluster.SetFault(func(op string, applied bool) error {
		if rng.Float64() < rate && op != "OpenStream" {
			return fmt.Errorf("%s: injected, applied %v", op, applied)
		}
		return nil
	})
}

func (m *model) quiet() {
	m.errors = false
	m.bucket.SetRates(s3test.Rates{})
	m.cluster.SetFault(nil)
}

// reopen closes a stream cleanly, or lets a newer epoch fence it, and opens it again.
func (m *model) reopen() error {
	if m.errors {
		return nil
	}
	s := m.pick()
	s.settle()
	old := s.s
	if m.rng.IntN(2) == 0 {
		if err := s.s.Close(ctxFor(m.t)); err != nil {
			return err
		}
	}
	if err := s.open(); err != nil {
		return fmt.Errorf("reopen: %w", err)
	}
	if err := old.Append(s3stream.Record{First: s.state.next, Next: s.state.next + 1}, nil); !errors.Is(err, s3stream.ErrFenced) && !errors.Is(err, s3stream.ErrClosed) {
		return fmt.Errorf("append to a stream that was opened again: %v", err)
	}
	return nil
}

// lookup compares the search by time with the model.
func (m *model) lookup() error {
	s := m.pick()
	start, confirmed := s.s.Start(), s.s.Confirmed()
	ts := max(0, m.ts-int64(m.rng.IntN(500)))
	e, ok, err := s.s.FirstAtOrAfter(ctxFor(m.t), ts, 0)
	if err != nil {
		if m.errors {
			return nil
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.next <= start || r.first >= confirmed || r.ts < ts {
			continue
		}
		if !ok || e.First > max(r.first, start) || e.Next < r.next {
			return fmt.Errorf("stream %d: first record at or after %d is [%d, %d) at %d; found %+v, %v", s.id, ts, r.first, r.next, r.ts, e, ok)
		}
		return nil
	}
	if ok && e.First < confirmed {
		return fmt.Errorf("stream %d: no record at or after %d from %d to %d, found %+v", s.id, ts, start, confirmed, e)
	}
	return nil
}

func (m *model) deleteOne() error {
	if len(m.streams) < 3 {
		m.streams = append(m.streams, m.newStream().mustOpen())
		return nil
	}
	i := m.rng.IntN(len(m.streams))
	s := m.streams[i]
	s.settle()
	m.cluster.DeleteStream(s.id)
	m.storage.DropStream(s.id)
	m.streams = append(m.streams[:i], m.streams[i+1:]...)
	if err := s.s.Append(s3stream.Record{First: s.state.next, Next: s.state.next + 1}, nil); !errors.Is(err, s3stream.ErrClosed) {
		return fmt.Errorf("append to a deleted stream: %v", err)
	}
	return nil
}

func (m *model) crashAll() error {
	if m.rng.IntN(2) == 0 {
		m.settleAll()
	}
	for _, s := range m.streams {
		s.freeze()
	}
	m.crash(m.rng.Uint64())
	return m.openAll()
}

func (m *model) restart() error {
	m.quiet()
	m.settleAll()
	if m.rng.IntN(2) == 0 {
		for _, s := range m.streams {
			if err := s.s.Close(ctxFor(m.t)); err != nil {
				return err
			}
		}
	}
	if err := m.storage.Close(ctxFor(m.t), true); err != nil {
		return err
	}
	m.disk = m.disk.Reopen()
	return m.openAll()
}

func (m *model) openAll() error {
	m.quiet()
	if err := m.start(); err != nil {
		return err
	}
	m.rng.Shuffle(len(m.streams), func(i, j int) { m.streams[i], m.streams[j] = m.streams[j], m.streams[i] })
	for _, s := range m.streams {
		if err := s.open(); err != nil {
			return err
		}
		if m.rng.IntN(3) == 0 {
			if err := s.readAll(s.s.Start(), s.s.Confirmed(), 1+m.rng.IntN(64<<10)); err != nil {
				return err
			}
		}
	}
	return nil
}
