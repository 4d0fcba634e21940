package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

// TestLyingHistories: a device that reports success for writes which it loses, forgets when power fails, misdirects or changes. Nobody can keep
// acknowledged records then, but nothing false is ever returned: recovery finds a gap-free run of what was appended, byte by byte; when
// acknowledged records are missing from it, either it says so (ErrCorrupt, or ErrForeign when both superblocks are gone), or nothing on the
// device proves that they were ever there (FORMAT.md, "What cannot be told from a torn tail").
func TestLyingHistories(t *testing.T) {
	tellAll(t, "TestLyingHistories", (*story).tellLying)
}

func (s *story) tellLying() error {
	d := blank().Snapshot()
	for life := range 2 + s.rng.IntN(2) {
		steps := 4 + s.rng.IntN(60)
		if life > 0 || s.rng.IntN(2) == 0 {
			s.corrupt(d, steps)
		}
		image := d.Snapshot()
		r, err := s.live(d, steps, func(found []rec, end wal.Position) (int, error) {
			if s.earlier == nil {
				return 0, nil
			}
			return 0, s.judge(found, end, image, s.earlier, s.earlierAt)
		})
		if done, err := s.detected(err); done || err != nil {
			return err
		}
		n := len(d.History())
		for range 2 {
			at := s.rng.IntN(n + 1)
			w, wat := s.witnessOf(r, at)
			if err := s.probeLying(s.crash(d, at), w, wat); err != nil {
				return fmt.Errorf("life %d, crash before event %d of %d: %w", life, at, n, err)
			}
		}
		at := n - s.rng.IntN(min(n, 12)+1)
		s.end(r, at)
		d = s.crash(d, at)
	}
	return s.probeLying(d, s.earlier, s.earlierAt)
}

// corrupt makes a disk lie about some writes, one here and there or some in a row, of blocks and superblocks.
func (s *story) corrupt(d *waltest.Disk, steps int) {
	kinds := []string{"lost", "stale", "misdirected", "flipped"}
	which := map[int]string{}
	for range 1 + s.rng.IntN(2) {
		kind, at := kinds[s.rng.IntN(len(kinds))], s.rng.IntN(3+steps/3)
		row := 1
		if s.rng.IntN(3) == 0 {
			row += s.rng.IntN(8)
		}
		for i := range row {
			which[at+i] = kind
		}
	}
	if s.rng.IntN(4) == 0 { // flushes that do nothing, but for the one of the opening: the model tells by it whether a life has begun
		from, row := 1+s.rng.IntN(2+steps/6), 1+s.rng.IntN(8)
		d.OnFlush = func(n int) waltest.Fate {
			lost := n >= from && n < from+row
			if lost {
				s.tally["lost flushes"]++
			}
			return waltest.Fate{Lost: lost}
		}
	}
	d.OnWrite = func(n int, p []byte, _ int64) waltest.Fate {
		kind := which[n]
		if kind != "" {
			s.tally[kind]++
		}
		switch kind {
		case "lost":
			return waltest.Fate{Lost: true}
		case "stale":
			return waltest.Fate{Stale: true}
		case "misdirected":
			by := (s.rng.Int64N(400) - 200) * waltest.Sector
			if s.rng.IntN(2) == 0 {
				by = (s.rng.Int64N(50) - 25) * pageBytes
			}
			return waltest.Fate{Shift: by}
		case "flipped":
			return waltest.Fate{Flip: 1 + s.rng.IntN(8*len(p))}
		}
		return waltest.Fate{}
	}
}

// detected says whether a recovery has detected that the device lied, which is the end of a history.
func (s *story) detected(err error) (bool, error) {
	switch {
	case errors.Is(err, wal.ErrCorrupt):
		s.tally["reported: corrupt"]++
		return true, nil
	case errors.Is(err, wal.ErrForeign):
		s.tally["reported: no superblock"]++
		return true, nil
	}
	return false, err
}

func (s *story) probeLying(d *waltest.Disk, w *run, at int) error {
	s.tally["recoveries"]++
	image := d.Snapshot()
	l, _, found, err := s.recoverStepped(d, storyOptions())
	if err != nil {
		if werr := s.knows(found); werr != nil {
			return werr
		}
		_, err = s.detected(err)
		return err
	}
	defer l.Close(false)
	return s.judge(found, l.Next(), image, w, at)
}

// judge says whether what was found on an image, without an error, may be all.
func (s *story) judge(found []rec, end wal.Position, image *waltest.Disk, w *run, at int) error {
	if err := w.prefix(found); err != nil {
		return err
	}
	_, lost := w.verify(found, at)
	if lost == nil {
		s.tally["nothing lost"]++
		return nil
	}
	if proof := proofAgainst(image.Bytes(), end); proof != "" {
		return fmt.Errorf("%w; recovery ended at %d without an error, but %s", lost, end, proof)
	}
	s.tally["lost without proof"]++
	return nil
}

// knows checks records that were handed out before an error, which nobody may use: all the same each was once appended where it was found.
func (s *story) knows(found []rec) error {
next:
	for _, f := range found {
		for _, data := range s.appended[f.pos] {
			if bytes.Equal(data, f.data) {
				continue next
			}
		}
		return fmt.Errorf("%d bytes at %d were never appended there", len(f.data), f.pos)
	}
	return nil
}

// prefix checks that what was found is a gap-free run of what was appended, nothing else.
func (r *run) prefix(found []rec) error {
	if len(found) == 0 {
		return nil
	}
	i := 0
	for i < len(r.lineage) && r.lineage[i].pos != found[0].pos {
		i++
	}
	for k, f := range found {
		if i+k >= len(r.lineage) || r.lineage[i+k].pos != f.pos || !bytes.Equal(r.lineage[i+k].data, f.data) {
			return fmt.Errorf("record %d of %d, %d bytes at %d, was never appended there", k, len(found), len(f.data), f.pos)
		}
	}
	return nil
}
