package group

import (
	"time"
)

// Coordinator is the group coordinator of one broker.
type Coordinator struct{ opts Options }

// New returns a coordinator that leads no partition yet.
func New(opts Options) (*Coordinator, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	return &Coordinator{opts: opts}, nil
}

// PartitionOf returns the partition of __consumer_offsets that coordinates a group.
func (c *Coordinator) PartitionOf(group string) int32 {
	return PartitionFor(group, c.opts.NumPartitions)
}

// Replay hands every record of a partition of __consumer_offsets to yield, in offset order, and stops with yield's first
// error. Key and value are borrowed: yield copies what it keeps. A nil value is a tombstone. Control batches are left out.
type Replay func(yield func(key, value []byte, timestamp int64) error) error

// Load makes this broker the coordinator of a partition: it replays the records (blocking the caller), then serves.
func (c *Coordinator) Load(partition, leaderEpoch int32, log Log, replay Replay) error {
	return ErrClosed
}

// Unload ends it: pending joins and syncs are answered NOT_COORDINATOR, and so are later requests.
func (c *Coordinator) Unload(partition int32) {}

// Close unloads every partition and stops the timers.
func (c *Coordinator) Close() {}

// OnTopicsDeleted removes the offsets of deleted topics.
func (c *Coordinator) OnTopicsDeleted(names []string) {}

// ExpireOffsets removes offsets whose retention has passed.
func (c *Coordinator) ExpireOffsets(now time.Time) {}
