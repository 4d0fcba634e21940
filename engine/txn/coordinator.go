package txn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/shards"
)

var (
	// ErrNotCoordinator: the partition of __transaction_state is not led by this node, or not any more.
	ErrNotCoordinator = errors.New("txn: not the coordinator")
	// ErrStaleEpoch: Load was called with a leader epoch that is not newer than the one already loaded.
	ErrStaleEpoch = shards.ErrStaleEpoch
	// ErrClosed: the coordinator is closed.
	ErrClosed = shards.ErrClosed
)

// Log is one partition of __transaction_state.
type Log interface {
	// Append appends one record batch and returns without waiting. done is called exactly once, on any goroutine, also from inside Append; nil
	// means that the batch is durable. The batch is the log's from the call on. ErrNotCoordinator: this node does not lead the partition any
	// more; every other error is a passing failure, of which nobody knows whether the batch will be found in the log.
	Append(batch []byte, done func(err error))
}

// Markers is a decided transaction whose partitions are to be told.
type Markers struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	Commit           bool
	Version          Version          // of the transaction
	Partitions       []TopicPartition // not to be changed
}

// Options configures a Coordinator. WriteMarkers and NewID are required.
type Options struct {
	NumPartitions int32         // of __transaction_state; default 50
	MaxTimeout    time.Duration // transaction.max.timeout.ms; default 15 min
	Expiration    time.Duration // transactional.id.expiration.ms; default 7 days
	// WriteMarkers writes the markers into all partitions that still exist, and returns when they are durable. It tries until it has succeeded, ctx
	// ends, or a partition has seen a newer coordinator, and returns an error in the latter cases. Called on a goroutine of its own.
	WriteMarkers func(ctx context.Context, m Markers) error
	// NewID takes a cluster-unique producer id. It may block, and is called without locks.
	NewID func(ctx context.Context) (int64, kproto.ErrorCode)
	// Version is the level of transaction.version that the cluster has now: of the transactions that the coordinator aborts itself, and of the records
	// that it writes. Default: the newest.
	Version func() Version
	Now     func() time.Time // default time.Now
	Logger  *slog.Logger     // default slog.Default
}

// Coordinator is the transaction coordinator of one broker. All methods may be called from any goroutine.
type Coordinator struct {
	opts    Options
	shards  *shards.Table[shard]
	running sync.WaitGroup // goroutines that write markers
}

// New returns a coordinator that leads no partition yet. Close it after use.
func New(o Options) *Coordinator {
	if o.NumPartitions == 0 {
		o.NumPartitions = 50
	}
	if o.MaxTimeout == 0 {
		o.MaxTimeout = 15 * time.Minute
	}
	if o.Expiration == 0 {
		o.Expiration = 7 * 24 * time.Hour
	}
	if o.Version == nil {
		o.Version = func() Version { return Version2 }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Coordinator{opts: o, shards: shards.New(o.NumPartitions, func(s *shard) int32 { return s.epoch }, (*shard).close)}
}

// NumPartitions is how many partitions __transaction_state has.
func (c *Coordinator) NumPartitions() int32 { return c.opts.NumPartitions }

// Replay hands every record of a partition to yield, in order, and stops with yield's first error. A nil value is a tombstone.
// REQUIRES: it sees every record that was appended before, also by an earlier leader, and is durable.
type Replay func(yield func(key, value []byte, timestamp int64) error) error

// Load makes this broker the coordinator of a partition after its election with leaderEpoch: it replays the records on the caller's goroutine, then
// serves, and writes the markers of transactions that were decided and not completed. Until then requests are answered COORDINATOR_LOAD_IN_PROGRESS.
func (c *Coordinator) Load(partition, leaderEpoch int32, log Log, replay Replay) error {
	s := newShard(c, partition, leaderEpoch, log)
	if err := c.shards.Load(partition, s, func() error { return s.load(replay) }); err != nil {
		return fmt.Errorf("txn: %w", err)
	}
	return nil
}

// Unload ends what Load began: later requests are answered NOT_COORDINATOR. Those whose record is being appended are answered by the outcome.
func (c *Coordinator) Unload(partition int32) { c.shards.Unload(partition) }

// Close unloads every partition and waits for the goroutines that write markers. The coordinator loads none after that.
func (c *Coordinator) Close() {
	c.shards.Close()
	c.running.Wait()
}

// shardOf returns the shard that has an id, or why there is none.
func (c *Coordinator) shardOf(id string) (*shard, kproto.ErrorCode) {
	if id == "" {
		return nil, kproto.InvalidRequest
	}
	if s := c.shards.At(group.PartitionFor(id, c.opts.NumPartitions)); s != nil {
		return s, kproto.None
	}
	return nil, kproto.NotCoordinator
}
