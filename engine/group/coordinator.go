package group

import (
	"fmt"
	"sync"

	"github.com/ringmq/ringmq/engine/shards"
)

// Coordinator is the group coordinator of one broker. All methods may be called from any goroutine. Only Load blocks.
type Coordinator struct {
	opts   Options
	shards *shards.Table[shard]

	mu     sync.Mutex // guards the fields below
	closed bool
	check  Timer // the next retention check
}

// New returns a coordinator that leads no partition yet. Close it after use.
func New(opts Options) (*Coordinator, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{opts: opts, shards: shards.New(opts.NumPartitions, func(s *shard) int32 { return s.epoch }, (*shard).close)}
	c.scheduleCheck()
	return c, nil
}

// PartitionOf returns the partition of __consumer_offsets that coordinates a group.
func (c *Coordinator) PartitionOf(group string) int32 {
	return PartitionFor(group, c.opts.NumPartitions)
}

// Replay hands every record of a partition of __consumer_offsets to yield, in offset order, and stops with yield's first
// error. Key and value are borrowed: yield copies what it keeps. A nil value is a tombstone. Control batches are left out. The records of a
// transaction come when its commit marker does, and those of aborted and of open ones not at all.
// REQUIRES: it sees every record that was appended to the partition before, also by an earlier leader, and is durable.
type Replay func(yield func(key, value []byte, timestamp int64) error) error

// Load makes this broker the coordinator of a partition after its election with leaderEpoch. It replays the records on the
// caller's goroutine, and requests are answered COORDINATOR_LOAD_IN_PROGRESS (or as 2.9 says) until it returns nil; then
// the groups are served, and their records appended to log. A load that is under way when Unload, Close or a Load with a
// higher epoch comes stops with ErrNotCoordinator. Load with an epoch that is not higher than the loaded one changes
// nothing and returns ErrStaleEpoch. After an error from replay the partition is as if it had been unloaded. open, which may be nil, is called after
// replay and lists the offsets of transactions that are still open.
func (c *Coordinator) Load(partition, leaderEpoch int32, log Log, replay Replay, open func() []OpenRecord) error {
	s := newShard(&c.opts, partition, leaderEpoch, log)
	if err := c.shards.Load(partition, s, func() error { return s.load(replay, open) }); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	return nil
}

// Unload ends what Load began: held joins and syncs are answered NOT_COORDINATOR, and so are later requests. Requests whose
// records are being appended are answered by the outcome.
func (c *Coordinator) Unload(partition int32) { c.shards.Unload(partition) }

// Close unloads every partition. The coordinator loads none after that.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.closed = true
	if c.check != nil {
		c.check.Stop()
	}
	c.mu.Unlock()
	c.shards.Close()
}

// scheduleCheck lets the next retention check come.
func (c *Coordinator) scheduleCheck() {
	if c.opts.RetentionCheckInterval < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.check = c.opts.Clock.AfterFunc(c.opts.RetentionCheckInterval, func() {
			c.ExpireOffsets(c.opts.Clock.Now())
			c.scheduleCheck()
		})
	}
}

// Stats counts what a coordinator holds.
type Stats struct {
	Loading, Active          int // partitions of __consumer_offsets
	Groups, Members, Offsets int // offsets: partitions with a committed offset, of all groups
	ShareGroups              int // of Groups
}

// Stats adds up all partitions, one after the other.
func (c *Coordinator) Stats() Stats {
	var st Stats
	c.shards.Each(func(s *shard) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch s.state {
		case shardLoading:
			st.Loading++
		case shardActive:
			st.Active++
			st.Groups += len(s.groups) + len(s.shares)
			st.ShareGroups += len(s.shares)
			st.Members += s.memberCount
			st.Offsets += s.offsetsCount
		}
	})
	return st
}

// serve runs fn in a turn of the shard that has the group, or answers why it does not.
func (c *Coordinator) serve(group string, fn func(t *turn)) (code int16) {
	if len(group) > maxString {
		return codeInvalidGroupID
	}
	s := c.shards.At(c.PartitionOf(group))
	if s == nil {
		return codeNotCoordinator
	}
	return s.serve(fn)
}
