package wal_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

// TestHonestHistories: a device that keeps its promise may tear, reorder and cut short what is under way, fail, fill up or vanish. Whatever it
// does, every acknowledged record survives, in order and byte by byte, and nothing else is invented.
func TestHonestHistories(t *testing.T) {
	tellAll(t, "TestHonestHistories", (*story).tellHonest)
}

func (s *story) tellHonest() error {
	d := blank().Snapshot()
	for life := range 1 + s.rng.IntN(3) {
		steps := 4 + s.rng.IntN(60)
		s.breakDisk(d, steps)
		r, err := s.live(d, steps, func(found []rec, _ wal.Position) (int, error) {
			if s.earlier == nil {
				return 0, nil
			}
			return s.earlier.verify(found, s.earlierAt)
		})
		if err != nil && err != errStart {
			return fmt.Errorf("life %d: %w", life, err)
		}
		if err == errStart {
			s.tally["failed starts"]++
		}
		n := len(d.History())
		for range 2 { // look at two crashes more than the one that the story goes on with
			at := s.rng.IntN(n + 1)
			w, wat := s.witnessOf(r, at)
			if err := s.probe(s.crash(d, at), w, wat); err != nil {
				return fmt.Errorf("life %d, crash before event %d of %d: %w", life, at, n, err)
			}
		}
		at := n
		if s.rng.IntN(4) > 0 {
			at = s.rng.IntN(n + 1)
		}
		s.end(r, at)
		d = s.crash(d, at)
	}
	return s.probe(d, s.earlier, s.earlierAt)
}

// probe recovers d and compares what it holds with what w says.
func (s *story) probe(d *waltest.Disk, w *run, at int) error {
	s.tally["recoveries"]++
	l, _, found, err := s.recoverStepped(d, storyOptions())
	if err != nil {
		return err
	}
	_, err = w.verify(found, at)
	return errors.Join(err, l.Close(false))
}

// breakDisk chooses what happens to a device that does not lie.
func (s *story) breakDisk(d *waltest.Disk, steps int) {
	s.fired = false
	which := s.rng.IntN(2 + steps/3)
	at := func(fate func(p []byte) waltest.Fate) {
		d.OnWrite = func(n int, p []byte, _ int64) waltest.Fate {
			if n != which {
				return waltest.Fate{}
			}
			s.fired = true
			return fate(p)
		}
	}
	part := func(p []byte) int { return s.rng.IntN(len(p)/waltest.Sector+1) * waltest.Sector }
	kind := []string{"", "", "", "EIO", "ENOSPC", "short", "vanish", "read error", "failing flush"}[s.rng.IntN(9)]
	s.tally["lives with "+cmp.Or(kind, "no fault")]++
	switch kind {
	case "EIO":
		at(func(p []byte) waltest.Fate { return waltest.Fate{Err: syscall.EIO, Keep: part(p)} })
	case "ENOSPC":
		at(func(p []byte) waltest.Fate { return waltest.Fate{Err: syscall.ENOSPC, Keep: part(p)} })
	case "short":
		at(func(p []byte) waltest.Fate {
			return waltest.Fate{Short: true, Keep: min(part(p), len(p)-waltest.Sector)}
		})
	case "vanish":
		gone := []error{syscall.EIO, syscall.ENODEV}[s.rng.IntN(2)]
		at(func(p []byte) waltest.Fate { return waltest.Fate{Err: gone, Keep: part(p), Gone: true} })
	case "failing flush": // once: were it tried again, it would succeed, and mean nothing
		d.OnFlush = func(n int) waltest.Fate {
			if n != which {
				return waltest.Fate{}
			}
			s.fired = true
			return waltest.Fate{Err: syscall.EIO}
		}
	case "read error":
		reads := s.rng.IntN(6)
		d.OnRead = func(int64, int) error {
			if reads--; reads == 0 {
				s.fired = true
				return syscall.EIO
			}
			return nil
		}
	}
}

// TestFaultyFlushes: the histories catch a log that takes its completed writes for durable, or flushes too early, or its superblocks too lightly.
func TestFaultyFlushes(t *testing.T) {
	t.Parallel()
	for fault, name := range map[wal.FlushFault]string{wal.NoFlush: "no flush", wal.EarlyFlush: "early flush", wal.LazySuper: "volatile superblocks"} {
		caught := 0
		var first error
		for seed := range uint64(100) {
			s := newStory(seed)
			s.fault = fault
			if err := s.tellHonest(); err != nil {
				if caught++; first == nil {
					first = fmt.Errorf("seed %d: %w", seed, err)
				}
			}
		}
		if caught == 0 {
			t.Errorf("%s: none of 100 histories shows it", name)
		}
		t.Logf("%s: %d of 100 histories show it, first %v", name, caught, first)
	}
}

// TestHistoriesRepeat: a seed tells the same story twice, event by event.
func TestHistoriesRepeat(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		var first []waltest.Event
		for round := range 2 {
			s := newStory(seed)
			d := blank().Snapshot()
			s.breakDisk(d, 40)
			d.OnRead = nil
			if _, err := s.live(d, 40, func([]rec, wal.Position) (int, error) { return 0, nil }); err != nil && err != errStart {
				t.Fatal(err)
			}
			if round == 0 {
				first = d.History()
			} else if !slices.EqualFunc(first, d.History(), func(a, b waltest.Event) bool {
				return a.Kind == b.Kind && a.ID == b.ID && a.Off == b.Off && string(a.Data) == string(b.Data)
			}) {
				t.Errorf("seed %d: %d events, then %d others", seed, len(first), len(d.History()))
			}
		}
	}
}
