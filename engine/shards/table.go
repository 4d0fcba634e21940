package shards

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

var (
	// ErrStaleEpoch: Load was called with a leader epoch that is not newer than the one already loaded.
	ErrStaleEpoch = errors.New("shards: stale leader epoch")
	// ErrClosed: the table is closed.
	ErrClosed = errors.New("shards: coordinator closed")
)

// Table has the shards of a topic by partition.
type Table[S any] struct {
	at    []atomic.Pointer[S] // by partition; nil where this broker does not lead
	epoch func(*S) int32      // the leader epoch of a shard
	end   func(*S)            // ends a shard that is not in the table any more

	mu     sync.Mutex // guards changes of at, and closed
	closed bool
}

// New returns a table without shards for a topic of so many partitions. epoch tells the leader epoch that a shard was made for; end is called once
// for every shard that leaves the table, without a lock.
func New[S any](partitions int32, epoch func(*S) int32, end func(*S)) *Table[S] {
	return &Table[S]{at: make([]atomic.Pointer[S], partitions), epoch: epoch, end: end}
}

// At returns the shard of a partition, nil if this broker does not lead it or there is no such partition.
func (t *Table[S]) At(partition int32) *S {
	if partition < 0 || int(partition) >= len(t.at) {
		return nil
	}
	return t.at[partition].Load()
}

// Each calls fn for every shard.
func (t *Table[S]) Each(fn func(s *S)) {
	for p := range t.at {
		if s := t.at[p].Load(); s != nil {
			fn(s)
		}
	}
}

// Load puts a shard into the table, ends the one before it, and then replays: the shard is found while that lasts, and knows itself what to answer.
// After an error of replay the partition is as if it had been unloaded. A shard whose epoch is not higher than that of the one in the table is
// refused with ErrStaleEpoch, and with ErrClosed any after Close: it is then the caller's to drop, end is not called.
func (t *Table[S]) Load(partition int32, s *S, replay func() error) error {
	epoch := t.epoch(s)
	if partition < 0 || int(partition) >= len(t.at) {
		return fmt.Errorf("load partition %d: there are %d", partition, len(t.at))
	}
	old, err := t.replace(partition, epoch, s)
	if err != nil {
		return fmt.Errorf("load partition %d with epoch %d: %w", partition, epoch, err)
	}
	if old != nil {
		t.end(old)
	}
	if err := replay(); err != nil {
		if t.at[partition].CompareAndSwap(s, nil) {
			t.end(s)
		}
		return fmt.Errorf("load partition %d with epoch %d: %w", partition, epoch, err)
	}
	return nil
}

func (t *Table[S]) replace(partition, epoch int32, s *S) (old *S, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	old = t.at[partition].Load()
	if old != nil && t.epoch(old) >= epoch {
		return nil, fmt.Errorf("%w: it has %d", ErrStaleEpoch, t.epoch(old))
	}
	t.at[partition].Store(s)
	return old, nil
}

// Unload takes the shard of a partition out of the table, and ends it.
func (t *Table[S]) Unload(partition int32) {
	if partition < 0 || int(partition) >= len(t.at) {
		return
	}
	t.mu.Lock()
	s := t.at[partition].Swap(nil)
	t.mu.Unlock()
	if s != nil {
		t.end(s)
	}
}

// Close unloads every partition. The table takes no shard after that.
func (t *Table[S]) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	for p := range t.at {
		t.Unload(int32(p))
	}
}
