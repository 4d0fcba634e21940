package sharestate

import (
	"slices"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/share"
)

// What Kafka answers in words.
const (
	negativePartition  = "The partition id cannot be a negative number."
	writeUninitialized = "Write operation on uninitialized share partition not allowed."
	readUninitialized  = "Read operation on uninitialized share partition not allowed."
	// NoEpoch is an epoch that is not checked.
	NoEpoch int32 = -1
	// NoStart is the start offset of a partition that nobody has read yet, and of a write that leaves it as it is.
	NoStart int64 = notWritten
	// NotCounted is a number of offsets that are done when it is not known.
	NotCounted int32 = notWritten
)

// Written is a state as it is read.
type Written struct {
	StateEpoch int32
	Start      int64 // NoStart: nobody has read yet
	Batches    []share.Batch
}

// Summary is a state in short.
type Summary struct {
	StateEpoch, LeaderEpoch int32
	Start                   int64
	Complete                int32 // offsets from Start on that are done; NotCounted: not known
}

// Write is what changes in a state.
type Write struct {
	StateEpoch, LeaderEpoch int32
	Start                   int64
	Complete                int32
	Batches                 []share.Batch
}

// shardOf finds the shard of a state, or says why there is none.
func (c *Coordinator) shardOf(k Key) (*shard, *Error) {
	s := c.shards.At(c.PartitionOf(k))
	switch {
	case s == nil:
		return nil, refuse(kproto.NotCoordinator, "")
	case k.Partition < 0:
		return nil, refuse(kproto.InvalidRequest, negativePartition)
	}
	return s, nil
}

func (s *shard) known(k Key) *Error {
	if !s.opts.TopicExists(k.Topic, k.Partition) {
		return refuse(kproto.UnknownTopicOrPartition, "")
	}
	return nil
}

// Initialize makes a state, or makes one anew, with nothing but a start offset.
func (c *Coordinator) Initialize(k Key, stateEpoch int32, start int64) *Error {
	s, err := c.shardOf(k)
	if err != nil {
		return err
	}
	return s.update(k, func(at *state, _ int) (*record, *Error) {
		if at != nil && stateEpoch != NoEpoch && at.stateEpoch > stateEpoch {
			return nil, refuse(kproto.FencedStateEpoch, "")
		}
		if err := s.known(k); err != nil {
			return nil, err
		}
		now := s.opts.Now().UnixMilli()
		next := &state{stateEpoch: stateEpoch, start: start, createMillis: now, writeMillis: now}
		if start == NoStart {
			next.complete = NotCounted
		}
		if at != nil {
			next.snapshotEpoch = at.snapshotEpoch + 1
		}
		return &record{kindSnapshot, next}, nil
	})
}

// Read returns a state, and notes the leader epoch of who reads, unless that is NoEpoch: older leaders cannot write from then on.
func (c *Coordinator) Read(k Key, leaderEpoch int32) (w Written, _ *Error) {
	s, err := c.shardOf(k)
	if err != nil {
		return w, err
	}
	err = s.update(k, func(at *state, updates int) (*record, *Error) {
		switch {
		case at == nil:
			return nil, refuse(kproto.InvalidRequest, readUninitialized)
		case leaderEpoch != NoEpoch && at.leaderEpoch > leaderEpoch:
			return nil, refuse(kproto.FencedLeaderEpoch, "")
		}
		if err := s.known(k); err != nil {
			return nil, err
		}
		w = Written{at.stateEpoch, at.start, slices.Clone(at.batches)}
		if leaderEpoch == NoEpoch || at.leaderEpoch == leaderEpoch {
			return nil, nil
		}
		return s.next(at, updates, &state{leaderEpoch: leaderEpoch, start: at.start, complete: at.complete}), nil
	})
	return w, err
}

// Write changes a state.
func (c *Coordinator) Write(k Key, w Write) *Error {
	s, err := c.shardOf(k)
	if err != nil {
		return err
	}
	return s.update(k, func(at *state, updates int) (*record, *Error) {
		switch {
		case at == nil:
			return nil, refuse(kproto.InvalidRequest, writeUninitialized)
		case w.LeaderEpoch != NoEpoch && at.leaderEpoch > w.LeaderEpoch:
			return nil, refuse(kproto.FencedLeaderEpoch, "")
		case w.StateEpoch != NoEpoch && at.stateEpoch > w.StateEpoch:
			return nil, refuse(kproto.FencedStateEpoch, "")
		}
		if err := s.known(k); err != nil {
			return nil, err
		}
		return s.next(at, updates, &state{leaderEpoch: at.leaderEpoch, start: w.Start, complete: w.Complete, batches: share.Combine(nil, w.Batches, w.Start)}), nil
	})
}

// next is the record of a change: an update, or a snapshot when there were many updates.
func (s *shard) next(at *state, updates int, change *state) *record {
	change.snapshotEpoch = at.snapshotEpoch
	if updates < s.opts.UpdatesPerSnapshot {
		return &record{kindUpdate, change}
	}
	all := at.merged(change)
	all.snapshotEpoch++
	all.createMillis = s.opts.Now().UnixMilli()
	all.writeMillis = all.createMillis
	return &record{kindSnapshot, &all}
}

// Delete removes a state. One that does not exist is removed already.
func (c *Coordinator) Delete(k Key) *Error {
	s, err := c.shardOf(k)
	if err != nil {
		return err
	}
	return s.update(k, func(at *state, _ int) (*record, *Error) {
		if err := s.known(k); err != nil {
			return nil, err
		}
		if at == nil {
			return nil, nil
		}
		return &record{kind: kindSnapshot}, nil
	})
}

// Summary returns a state in short; one that does not exist has no start.
func (c *Coordinator) Summary(k Key) (sum Summary, _ *Error) {
	s, err := c.shardOf(k)
	if err != nil {
		return sum, err
	}
	if err := s.known(k); err != nil {
		return sum, err
	}
	err = s.view(k, func(at *state) {
		if at == nil {
			sum = Summary{Start: NoStart, Complete: NotCounted}
			return
		}
		sum = Summary{at.stateEpoch, at.leaderEpoch, at.start, at.complete}
	})
	return sum, err
}
