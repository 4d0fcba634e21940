package wal_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

var (
	historySeed = flag.Uint64("history.seed", 0, "tell the history of this seed only")
	historyBase = flag.Uint64("history.base", 0, "tell the histories from this seed on")
	histories   = flag.Int("histories", 600, "how many random histories each of the history tests tells")
)

// story is one seeded history of a disk: lives of a log, each with a fault or none, each ended by a crash or a close. Everything happens on
// one goroutine (wal.OpenStepped), so a seed tells the same story every time.
type story struct {
	seed  uint64
	rng   *rand.Rand
	tally map[string]int // what happened, for the log of the test
	fired bool           // a fault has been injected in this life
	lazy  float64        // how often the device lets its writes be for a while
	fault wal.FlushFault // of the log, when the test is about the tests

	earlier   *run // the last life that got as far as its flush, and the event before which it ended
	earlierAt int
	trimmed   wal.Position              // the highest trim that was asked for before the crashes so far
	appended  map[wal.Position][][]byte // by any life
}

func newStory(seed uint64) *story {
	return &story{seed: seed, rng: rand.New(rand.NewPCG(seed, 4)), tally: map[string]int{}, appended: map[wal.Position][][]byte{}}
}

// noise is where records take their bytes from.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
})

// blank is a formatted disk of the smallest size. Formatting it once spares every history the writing of its zeroes.
var blank = sync.OnceValue(func() *waltest.Disk {
	d := waltest.New(1 << 20)
	o := storyOptions()
	o.Device = d
	if err := wal.Format(o, true); err != nil {
		panic(err)
	}
	return d
})

var syncMethods = []wal.SyncMethod{wal.SyncDSync, wal.SyncRWF, wal.SyncFdatasync}

func storyOptions() wal.Options {
	return wal.Options{ClusterID: "c", NodeID: 1, NodeEpoch: 1, MemoryBytes: 4 << 20, QueueDepth: 4, GatherBytes: 1, BlockBytes: 16 << 10}
}

// pick ends writes in any order, and sometimes none for a while.
func (s *story) pick(n int) int {
	if s.rng.Float64() < s.lazy {
		return -1
	}
	return s.rng.IntN(n)
}

// errStart: the log did not come up because of the fault that was injected.
var errStart = errors.New("no start")

// recoverStepped opens a log and returns what it holds. found is what was handed out, also with an error.
func (s *story) recoverStepped(d *waltest.Disk, o wal.Options) (l *wal.Log, st wal.Stepper, found []rec, err error) {
	l, st, err = wal.OpenFaulty(o, d, s.pick, s.fault)
	if err != nil {
		return nil, st, nil, err
	}
	err = l.Recover(context.Background(), func(e wal.Entry) error {
		found = append(found, rec{e.Pos, bytes.Clone(e.Data)})
		if e.Mem != nil {
			e.Mem.Unref()
		}
		return nil
	})
	if err != nil {
		_ = l.Close(false)
		return nil, st, found, err
	}
	return l, st, found, nil
}

// live is one life of a log on d: it recovers, which judge judges, appends, trims and closes. The error is a violation, or errStart.
func (s *story) live(d *waltest.Disk, steps int, judge func(found []rec, end wal.Position) (sure int, err error)) (*run, error) {
	r := &run{disk: d}
	r.cond = sync.NewCond(&r.mu)
	o := storyOptions()
	o.QueueDepth = 1 + s.rng.IntN(5)
	o.Sync = syncMethods[s.rng.IntN(len(syncMethods))]
	if s.fault != wal.NoFault {
		o.Sync = wal.SyncFdatasync
	}
	s.tally["lives with "+string(o.Sync)]++
	o.GatherBytes = 1 + s.rng.IntN(2)*s.rng.IntN(o.BlockBytes)
	s.lazy = []float64{0.2, 0.6, 0.9}[s.rng.IntN(3)]
	large := s.rng.IntN(5) == 0
	failedAt, flushes := -1, 0 // writes and flushes begun when the device's failure was noticed
	o.OnFailure = func(error) { failedAt, flushes = d.Writes(), d.Flushes() }
	l, st, found, err := s.recoverStepped(d, o)
	r.lineage, r.known = found, len(found)
	if err != nil {
		s.precede(r, s.trimmed)
		if s.fired && !errors.Is(err, wal.ErrCorrupt) {
			return r, errStart
		}
		return r, fmt.Errorf("recovery: %w", err)
	}
	if r.sure, err = judge(found, l.Next()); err != nil {
		return r, err
	}
	s.precede(r, l.Next())
	for range steps {
		switch k := s.rng.IntN(10); {
		case k < 5:
			err = s.append(l, st, r, large)
		case k == 5:
			r.trim(l, s.rng)
		default:
			st.Step()
		}
		if err != nil && !(s.fired && errors.Is(err, wal.ErrFailed)) {
			return r, fmt.Errorf("append: %w", err)
		}
		if failedAt >= 0 {
			break
		}
	}
	if failedAt >= 0 { // the log has stopped: nothing is accepted, and nothing submitted
		if err := s.append(l, st, r, false); !errors.Is(err, wal.ErrFailed) {
			return r, fmt.Errorf("append after the failure: %v", err)
		}
		st.Step()
	}
	err = l.Close(s.rng.IntN(2) == 0)
	switch {
	case failedAt >= 0 && !errors.Is(err, wal.ErrFailed):
		return r, fmt.Errorf("close after the failure: %v", err)
	case failedAt >= 0 && d.Writes() != failedAt:
		return r, fmt.Errorf("%d writes after the failure", d.Writes()-failedAt)
	case failedAt >= 0 && d.Flushes() != flushes:
		return r, fmt.Errorf("%d flushes after the failure", d.Flushes()-flushes)
	case failedAt < 0 && err != nil:
		return r, fmt.Errorf("close: %w", err)
	case r.acks+r.known != len(r.lineage):
		return r, fmt.Errorf("%d of %d appends were told their fate", r.acks, len(r.lineage)-r.known)
	case r.failed != nil && !errors.Is(r.failed, wal.ErrClosed) && !(failedAt >= 0 && errors.Is(r.failed, wal.ErrFailed)):
		return r, r.failed
	}
	return r, nil
}

// precede puts what earlier lives knew of before the records that r has found: they were trimmed, but may come back when one superblock cannot be
// read, or a lying device shows an older one again. end is where r's own records begin.
func (s *story) precede(r *run, end wal.Position) {
	r.floor = min(s.trimmed, end)
	if s.earlier == nil {
		return
	}
	if len(r.lineage) > 0 {
		end = r.lineage[0].pos
	}
	n := 0
	for n < len(s.earlier.lineage) && s.earlier.lineage[n].pos < end {
		n++
	}
	r.lineage = append(s.earlier.lineage[:n:n], r.lineage...)
	r.known += n
	r.sure += n
}

// end ends a life: the story goes on with what a crash before event at left.
func (s *story) end(r *run, at int) {
	for _, e := range r.disk.History()[:at] {
		if e.Kind == waltest.Mark && e.ID < 0 {
			s.trimmed = max(s.trimmed, r.trims[-e.ID-1])
		}
	}
	s.earlier, s.earlierAt = s.witnessOf(r, at)
}

// append appends a record of a random size. A full log is trimmed instead.
func (s *story) append(l *wal.Log, st wal.Stepper, r *run, large bool) error {
	size := s.rng.IntN(200)
	switch s.rng.IntN(12) {
	case 0:
		size = s.rng.IntN(20 << 10)
	case 1:
		size = s.rng.IntN(60 << 10)
	case 2:
		size = 0
	}
	if large {
		size = 30<<10 + s.rng.IntN(200<<10)
	}
	at := s.rng.IntN(len(noise()) - size)
	data := noise()[at : at+size]
	i := len(r.lineage)
	r.lineage = append(r.lineage, rec{data: data})
	e, err := l.Append(ack{r, i}, data[:size/2], data[size/2:])
	if err == nil {
		r.lineage[i].pos = e.Pos
		s.appended[e.Pos] = append(s.appended[e.Pos], data)
		e.Mem.Unref()
		return nil
	}
	r.lineage = r.lineage[:i]
	if errors.Is(err, wal.ErrFull) || errors.Is(err, wal.ErrNoMemory) {
		s.tally["full"]++
		if err := l.Trim(l.Next()); err != nil {
			return err
		}
		r.trims = append(r.trims, l.Next())
		r.disk.Mark(-len(r.trims))
		for range 8 {
			st.Step()
		}
		return nil
	}
	return err
}

// crash ends a life before event at, by a power failure or by a kill.
func (s *story) crash(d *waltest.Disk, at int) *waltest.Disk {
	fate := waltest.RandomFate(s.rng.Uint64())
	if s.rng.IntN(2) == 0 {
		s.tally["power failures"]++
		return d.PowerFailure(at, fate, s.rng)
	}
	s.tally["kills"]++
	return d.Kill(at, fate, waltest.RandomFate(s.rng.Uint64()), s.rng)
}

// witnessOf returns the life that says what a crash of r before event at must have left: r, or when r had not even flushed, the life before.
func (s *story) witnessOf(r *run, at int) (*run, int) {
	if s.earlier == nil || flushed(r.disk.History()[:at]) {
		return r, at
	}
	return s.earlier, s.earlierAt
}

// tellAll tells the histories of the flags, on two goroutines, and reports the first violation with its replay.
func tellAll(t *testing.T, name string, tell func(s *story) error) {
	t.Parallel()
	began := time.Now()
	var (
		next  atomic.Uint64
		total = map[string]int{}
		mu    sync.Mutex
		wg    sync.WaitGroup
	)
	n := uint64(*histories)
	next.Store(*historyBase)
	end := *historyBase + n
	if *historySeed != 0 {
		next.Store(*historySeed - 1)
		end = *historySeed
	}
	for range 2 {
		wg.Go(func() {
			for !t.Failed() {
				seed := next.Add(1)
				if seed > end {
					return
				}
				s := newStory(seed)
				err := tell(s)
				mu.Lock()
				for k, v := range s.tally {
					total[k] += v
				}
				mu.Unlock()
				if err != nil {
					t.Errorf("seed %d: %v\nreplay: go test -ldflags=-checklinkname=0 -tags=invariants ./wal -run '^%s$' -history.seed=%d", seed, err, name, seed)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	t.Logf("%d histories, seeds %d to %d, in %v, %.0f per second: %v", end-*historyBase, *historyBase+1, end, took.Round(time.Millisecond), float64(n)/took.Seconds(), total)
}
