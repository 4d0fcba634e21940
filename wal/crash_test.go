package wal_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

var (
	crashSeed   = flag.Uint64("crash.seed", 0, "run TestCrashModel with this seed only")
	crashRounds = flag.Int("crash.seeds", 40, "how many seeds TestCrashModel runs")
)

var _ wal.Device = (*waltest.Disk)(nil)

// rec is a record of the model.
type rec struct {
	pos  wal.Position
	data []byte
}

// run is one life of a log on a disk, and what the model knows about it.
type run struct {
	disk *waltest.Disk

	mu      sync.Mutex
	lineage []rec          // recovered, then appended, in log order
	known   int            // lineage[:known] was recovered: it must survive once Recover has flushed
	sure    int            // lineage[:sure] had been acknowledged in an earlier life: it must survive anyway
	trims   []wal.Position // in the order of their marks
	floor   wal.Position   // trimmed in earlier lives: what lies below may be gone, or come back
	acks    int
	cond    *sync.Cond
	failed  error
}

// ack is the completion of one append; its mark in the history is the record's index in lineage.
type ack struct {
	r *run
	i int
}

func (a ack) Durable(pos wal.Position, err error) {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	switch {
	case err != nil:
		a.r.failed = err
	case a.r.acks+a.r.known != a.i:
		a.r.failed = fmt.Errorf("record %d acknowledged after %d others", a.i, a.r.acks)
	default:
		a.r.disk.Mark(a.i)
	}
	a.r.acks++
	a.r.cond.Broadcast()
}

func diskOptions(d *waltest.Disk, t testing.TB) wal.Options {
	o := wal.Options{
		Device: d, ClusterID: "c", NodeID: 1, NodeEpoch: 1, MemoryBytes: 4 << 20, QueueDepth: 4, GatherBytes: 1, BlockBytes: 16 << 10,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if d.Sparse {
		wal.SetPreparation(&o, 16<<10, 64<<10)
	}
	return o
}

// recoverDisk opens a log and returns what it holds.
func recoverDisk(t testing.TB, d *waltest.Disk) (*wal.Log, []rec, error) {
	return recoverDiskBy(t, d, wal.SyncAuto)
}

func recoverDiskBy(t testing.TB, d *waltest.Disk, how wal.SyncMethod) (*wal.Log, []rec, error) {
	o := diskOptions(d, t)
	o.Sync = how
	l, err := wal.Open(o)
	if err != nil {
		return nil, nil, err
	}
	var found []rec
	err = l.Recover(context.Background(), func(e wal.Entry) error {
		found = append(found, rec{e.Pos, bytes.Clone(e.Data)})
		if e.Mem != nil {
			e.Mem.Unref()
		}
		return nil
	})
	if err != nil {
		return nil, nil, errors.Join(err, l.Close(false))
	}
	return l, found, nil
}

// live runs a log on d: appends records of random sizes, trims now and then, and closes. With large, the records are large enough to
// fill the ring several times, and space is reused at once.
func live(t testing.TB, d *waltest.Disk, rng *rand.Rand, records int, large bool) (*run, error) {
	l, found, err := recoverDiskBy(t, d, syncMethods[rng.IntN(len(syncMethods))])
	if err != nil {
		return nil, err
	}
	r := &run{disk: d, lineage: found, known: len(found)}
	r.cond = sync.NewCond(&r.mu)
	for range records {
		size := rng.IntN(200)
		switch rng.IntN(12) {
		case 0:
			size = rng.IntN(20 << 10) // now and then a block of its own
		case 1:
			size = rng.IntN(60 << 10)
		case 2:
			size = 0
		}
		if large {
			size = 30<<10 + rng.IntN(100<<10)
		}
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		// The model's record is there before the append, since the completion may come first.
		r.mu.Lock()
		i := len(r.lineage)
		r.lineage = append(r.lineage, rec{data: data})
		r.mu.Unlock()
		e, err := l.Append(ack{r, i}, data[:size/2], data[size/2:])
		if err != nil {
			r.mu.Lock()
			r.lineage = r.lineage[:i]
			for !large && r.acks+r.known < len(r.lineage) {
				r.cond.Wait()
			}
			r.mu.Unlock()
			if !errors.Is(err, wal.ErrFull) && !errors.Is(err, wal.ErrNoMemory) {
				return nil, err
			}
			r.trim(l, rng)
			runtime.Gosched()
			continue
		}
		r.mu.Lock()
		r.lineage[i].pos = e.Pos
		r.mu.Unlock()
		e.Mem.Unref()
		turn := rng.IntN(10)
		if large {
			turn = 9
		}
		switch turn {
		case 0:
			r.trim(l, rng)
		case 1, 2, 3, 4: // wait for what is there, so that blocks stay small
			r.mu.Lock()
			for r.acks+r.known < len(r.lineage) {
				r.cond.Wait()
			}
			r.mu.Unlock()
		}
	}
	if err := l.Close(rng.IntN(2) == 0); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil && !errors.Is(r.failed, wal.ErrClosed) {
		return nil, r.failed
	}
	return r, nil
}

// trim drops some of the oldest records; their number is marked in the history before the call.
func (r *run) trim(l *wal.Log, rng *rand.Rand) {
	r.mu.Lock()
	p := l.Next()
	if n := len(r.lineage); n > 0 {
		if i := rng.IntN(n + 1); i < n && r.lineage[i].pos > 0 {
			p = r.lineage[i].pos
		}
	}
	r.trims = append(r.trims, p)
	r.disk.Mark(-len(r.trims))
	r.mu.Unlock()
	if err := l.Trim(p); err != nil {
		panic(err)
	}
}

// verify judges what a recovery found after a crash before event at. It returns how many of the found records must survive from now on.
func (r *run) verify(found []rec, at int) (sure int, err error) {
	must := r.sure // records below it were acknowledged or recovered
	trim := r.floor
	for _, e := range r.disk.History()[:at] {
		switch {
		case e.Kind == waltest.Flush:
			must = max(must, r.known)
		case e.Kind == waltest.Mark && e.ID < 0:
			trim = max(trim, r.trims[-e.ID-1])
		case e.Kind == waltest.Mark:
			must = max(must, e.ID+1)
		}
	}
	first := 0
	for first < must && r.lineage[first].pos < trim {
		first++
	}
	if len(found) == 0 {
		if first < must {
			return 0, fmt.Errorf("nothing recovered, want records %d to %d", first, must-1)
		}
		return 0, nil
	}
	start := -1
	for i := range r.lineage {
		if r.lineage[i].pos == found[0].pos {
			start = i
			break
		}
	}
	if start < 0 || start+len(found) > len(r.lineage) {
		return 0, fmt.Errorf("recovered %d records from position %d, which were never appended", len(found), found[0].pos)
	}
	for i, f := range found {
		w := r.lineage[start+i]
		if f.pos != w.pos || !bytes.Equal(f.data, w.data) {
			return 0, fmt.Errorf("record %d: recovered %d bytes at %d, want %d bytes at %d", start+i, len(f.data), f.pos, len(w.data), w.pos)
		}
	}
	if first < must && (start > first || start+len(found) < must) {
		return 0, fmt.Errorf("recovered records %d to %d, want at least %d to %d", start, start+len(found)-1, first, must-1)
	}
	return max(0, must-start), nil
}

// TestCrashEveryPoint crashes one small history before each of its events, with every combination of whole and missing writes, and then
// with torn ones.
func TestCrashEveryPoint(t *testing.T) {
	t.Parallel()
	points := 0
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 2))
		d := waltest.New(1 << 20).Shuffle(seed)
		r, err := live(t, d, rng, 24+int(seed)*30, seed == 2)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		formatted := formatEnd(d)
		for at := formatted; at <= len(d.History()); at++ {
			try := func(crashed *waltest.Disk) {
				points++
				l, found, err := recoverDisk(t, crashed)
				if err == nil {
					_, err = r.verify(found, at)
					err = errors.Join(err, l.Close(false))
				}
				if err != nil {
					t.Fatalf("seed %d, crash before event %d of %d: %v", seed, at, len(d.History()), err)
				}
			}
			waltest.Subsets(d.OpenAt(at), 5, func(fate func(int) waltest.Survival) {
				try(d.PowerFailure(at, fate, rng))
			})
			for range 2 {
				try(d.PowerFailure(at, waltest.RandomFate(rng.Uint64()), rng))
			}
		}
	}
	t.Logf("%d crashes", points)
}

func flushed(history []waltest.Event) bool {
	for _, e := range history {
		if e.Kind == waltest.Flush {
			return true
		}
	}
	return false
}

// formatEnd returns the event after which the disk carries a superblock for the first time: before it, a crash leaves a disk that may have
// to be formatted by hand.
func formatEnd(d *waltest.Disk) int {
	ends := 0
	for i, e := range d.History() {
		if e.Kind == waltest.End {
			if ends++; ends == 2 { // the zeroes, then the first slot
				return i + 1
			}
		}
	}
	return len(d.History())
}

// TestCrashModel lives through many lives of one disk, each ended by a kill or a power failure at a random event.
func TestCrashModel(t *testing.T) {
	t.Parallel()
	if *crashSeed != 0 {
		crashModel(t, *crashSeed)
		return
	}
	for seed := range uint64(*crashRounds) {
		crashModel(t, seed+1)
	}
}

func crashModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	fail := func(life int, format string, a ...any) {
		t.Fatalf("seed %d, life %d: %s\nreplay (timing differs): go test ./wal -run TestCrashModel -crash.seed=%d", seed, life, fmt.Sprintf(format, a...), seed)
	}
	d := waltest.New(1<<20 + int64(rng.IntN(4))<<17).Shuffle(seed)
	sure := 0
	var earlier *run // the last life that wrote, and the event before which it ended
	var earlierAt int
	for life := range 8 {
		r, err := live(t, d, rng, 5+rng.IntN(60), life%3 == 2)
		if err != nil {
			fail(life, "%v", err)
		}
		r.sure = sure
		from := 0
		if life == 0 {
			from = formatEnd(d)
		}
		at := from + rng.IntN(len(d.History())-from+1)
		var crashed *waltest.Disk
		if fate := waltest.RandomFate(rng.Uint64()); rng.IntN(2) == 0 {
			crashed = d.PowerFailure(at, fate, rng)
		} else {
			crashed = d.Kill(at, fate, waltest.RandomFate(rng.Uint64()), rng)
		}
		// Look at a copy first; the next life recovers it again and goes on from there.
		probe := waltest.FromImage(bytes.Clone(crashed.Bytes()))
		l, found, err := recoverDisk(t, probe)
		if earlier == nil || flushed(d.History()[:at]) {
			earlier, earlierAt = r, at
		} // else this life wrote nothing: what is found is what the life before it may have left
		if err == nil {
			sure, err = earlier.verify(found, earlierAt)
			err = errors.Join(err, l.Close(false))
		}
		if err != nil {
			fail(life, "crash before event %d of %d: %v", at, len(d.History()), err)
		}
		d = crashed.Shuffle(rng.Uint64())
	}
}
