package shards

import (
	"errors"
	"slices"
	"testing"
)

type shard struct {
	epoch int32
	ended int
}

func newTable() *Table[shard] {
	return New(3, func(s *shard) int32 { return s.epoch }, func(s *shard) { s.ended++ })
}

func done() error { return nil }

func TestLoad(t *testing.T) {
	table := newTable()
	first := &shard{epoch: 5}
	if err := table.Load(1, first, func() error {
		if table.At(1) != first {
			t.Error("the shard is not found while it replays")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, epoch := range []int32{4, 5} {
		s := &shard{epoch: epoch}
		if err := table.Load(1, s, done); !errors.Is(err, ErrStaleEpoch) || table.At(1) != first || s.ended != 0 {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
	second := &shard{epoch: 6}
	if err := table.Load(1, second, func() error {
		if first.ended != 1 {
			t.Error("replay begins before the old shard has ended")
		}
		return nil
	}); err != nil || table.At(1) != second {
		t.Errorf("%v", err)
	}
	broken := errors.New("broken")
	third := &shard{epoch: 7}
	if err := table.Load(1, third, func() error { return broken }); !errors.Is(err, broken) || table.At(1) != nil || third.ended != 1 || second.ended != 1 {
		t.Errorf("%v, %+v, %+v", err, second, third)
	}
	for _, p := range []int32{-1, 3} {
		if err := table.Load(p, &shard{}, done); err == nil || table.At(p) != nil {
			t.Errorf("partition %d: %v", p, err)
		}
		table.Unload(p)
	}
}

// TestReplacedWhileLoading: a shard whose replay fails after another has taken its place leaves that one alone, and is ended once.
func TestReplacedWhileLoading(t *testing.T) {
	table := newTable()
	old, next := &shard{epoch: 1}, &shard{epoch: 2}
	err := table.Load(0, old, func() error {
		if err := table.Load(0, next, done); err != nil {
			t.Error(err)
		}
		return errors.New("overtaken")
	})
	if err == nil || table.At(0) != next || old.ended != 1 || next.ended != 0 {
		t.Errorf("%v, %+v, %+v", err, old, next)
	}
}

func TestClose(t *testing.T) {
	table := newTable()
	all := []*shard{{epoch: 1}, {epoch: 2}, {epoch: 3}}
	for p, s := range all {
		if err := table.Load(int32(p), s, done); err != nil {
			t.Fatal(err)
		}
	}
	table.Unload(1)
	var seen []*shard
	table.Each(func(s *shard) { seen = append(seen, s) })
	if !slices.Equal(seen, []*shard{all[0], all[2]}) {
		t.Errorf("%v", seen)
	}
	table.Close()
	for _, s := range all {
		if s.ended != 1 {
			t.Errorf("%+v", s)
		}
	}
	if err := table.Load(1, &shard{epoch: 9}, done); !errors.Is(err, ErrClosed) || table.At(1) != nil {
		t.Errorf("%v", err)
	}
}
