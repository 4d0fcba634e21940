package sharestate

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/shards"
)

var (
	// ErrNotCoordinator: the partition of __share_group_state is not led by this node, or not any more.
	ErrNotCoordinator = errors.New("sharestate: not the coordinator")
	// ErrClosed: the coordinator is closed.
	ErrClosed = shards.ErrClosed
)

// Log is one partition of __share_group_state.
type Log interface {
	// Append appends a record and returns without waiting, with the offset that the record gets. done is called exactly once, on any goroutine, also from
	// inside Append; a nil error means that the record is durable. A nil value is a tombstone. Errors are matched with errors.Is against ErrNotCoordinator;
	// every other one counts as a passing failure. Key and value are borrowed until Append returns.
	Append(key, value []byte, millis int64, done func(err error)) (offset int64)
}

// Replay hands every record of a partition to yield, in offset order, and stops with yield's first error. Key and value are borrowed.
type Replay func(yield func(offset int64, key, value []byte) error) error

// Options configures a Coordinator. TopicExists is required.
type Options struct {
	// NumPartitions is the number of partitions of __share_group_state. Default 50.
	NumPartitions int32
	// UpdatesPerSnapshot is after how many updates of a state a snapshot is written. Negative: every write is one. Default 500.
	UpdatesPerSnapshot int
	// ColdAfter is how long a state is not written until it gets another snapshot. Default 5 min.
	ColdAfter time.Duration
	// TopicExists reports whether a partition exists. It must not block.
	TopicExists func(topic [16]byte, partition int32) bool
	// Now is the wall clock. Default time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.NumPartitions == 0 {
		o.NumPartitions = 50
	}
	if o.UpdatesPerSnapshot == 0 {
		o.UpdatesPerSnapshot = 500
	}
	if o.ColdAfter == 0 {
		o.ColdAfter = 5 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Error is a refusal. Message may be empty: the code says it all.
type Error struct {
	Code    kproto.ErrorCode
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("sharestate: %s: %s", e.Code, e.Message) }

func refuse(code kproto.ErrorCode, message string) *Error { return &Error{code, message} }

// Coordinator is the share coordinator of one broker.
type Coordinator struct {
	opts   Options
	shards *shards.Table[shard]
}

// New returns a coordinator that leads no partition yet. Close it after use.
func New(opts Options) *Coordinator {
	opts = opts.withDefaults()
	return &Coordinator{opts: opts, shards: shards.New(opts.NumPartitions, func(s *shard) int32 { return s.epoch }, (*shard).close)}
}

// PartitionOf is the partition of __share_group_state that has a state: Kafka's choice, by the hash of the key's text.
func (c *Coordinator) PartitionOf(k Key) int32 {
	return group.PartitionFor(k.String(), c.opts.NumPartitions)
}

// Load makes this broker the coordinator of a partition after its election with leaderEpoch, and replays it. Until it returns nil requests are answered
// COORDINATOR_LOAD_IN_PROGRESS.
func (c *Coordinator) Load(partition, leaderEpoch int32, log Log, replay Replay) error {
	s := newShard(&c.opts, partition, leaderEpoch, log)
	if err := c.shards.Load(partition, s, func() error { return s.load(replay) }); err != nil {
		return fmt.Errorf("sharestate: %w", err)
	}
	return nil
}

// Unload ends what Load began.
func (c *Coordinator) Unload(partition int32) { c.shards.Unload(partition) }

// Close unloads every partition. The coordinator loads none after that.
func (c *Coordinator) Close() { c.shards.Close() }

// States is how many states this broker has.
func (c *Coordinator) States() (n int) {
	c.shards.Each(func(s *shard) {
		s.mu.Lock()
		n += len(s.slots)
		s.mu.Unlock()
	})
	return n
}
