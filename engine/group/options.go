package group

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/ringmq/ringmq/engine/group/assignor"
	"github.com/ringmq/ringmq/engine/group/consumer"
)

// Log is one partition of __consumer_offsets.
type Log interface {
	// Append appends one encoded v2 record batch (base offset 0; the log assigns offsets) and returns without waiting.
	// done is called exactly once, on any goroutine, also from inside Append; a nil error means that the batch is durable.
	// The batch is owned by the log from the call on. Errors are matched with errors.Is against ErrNotCoordinator
	// (this node does not lead the partition any more) and ErrTooLarge (refused for its size); every other error counts
	// as a passing failure, which clients retry.
	Append(batch []byte, done func(err error))
	// AppendTxn is Append of a batch that is part of a transaction: ErrFenced when a newer instance of the producer has written, ErrNotInTxn when
	// the transaction has ended since the log ended at verified. added: the coordinator has added the partition to it, see TxnOffsetCommit 5.
	AppendTxn(batch []byte, verified int64, added bool, done func(err error))
}

// Record is one record of __consumer_offsets.
type Record struct {
	Key       []byte
	Value     []byte // nil is a tombstone
	Timestamp int64  // milliseconds since the epoch
}

// Clock is the time of a Coordinator.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, on any goroutine but not inside AfterFunc, after d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a call that Clock.AfterFunc has scheduled.
type Timer interface {
	// Stop cancels the call if it has not begun. The coordinator copes with a call that comes all the same.
	Stop() bool
}

// Client is who sent a request.
type Client struct {
	ID   string // client id of the request header; "" when null
	Host string // remote address in Kafka's form, "/10.0.0.1"
	// MayDescribe reports whether a topic may be shown to the sender; nil: all may. Called on any goroutine, without locks, also after the
	// request was answered.
	MayDescribe func(topic string) bool
}

// ConsumerOptions configures groups of the consumer protocol.
type ConsumerOptions struct {
	// Topics returns what is known of the cluster's topics now. It must not block. Default: there are none.
	Topics func() consumer.Topics
	// Config returns what can be set for each group. It must not block. Default: 45 s, 5 s and 1 s.
	Config func(group string) ConsumerConfig
	// MaxSize is the largest number of members of a group. Zero or less: no limit but MaxGroupBytes.
	MaxSize int
	// Assignors are the server side assignors that members may ask for, the default first. Default: uniform, range.
	Assignors []string
	// RegexRefreshInterval is how long what an expression comes to is believed although no topic has changed: rights may have. Default 10 min.
	RegexRefreshInterval time.Duration
	// InlineAssignment is the number of members and partitions up to which a target assignment is computed with the shard locked; larger
	// ones are computed outside. Default 10000.
	InlineAssignment int
	// MayUpgrade and MayDowngrade: a classic group becomes one of the consumer protocol when a member of that joins, and the other way round
	// when the last one of them leaves. With either, members of both protocols may be in one group.
	MayUpgrade, MayDowngrade bool
}

// ConsumerConfig is what can be set for each group of the consumer protocol.
type ConsumerConfig struct {
	SessionTimeout     time.Duration
	HeartbeatInterval  time.Duration
	AssignmentInterval time.Duration // between two target assignments, at least
}

func (o ConsumerOptions) withDefaults() ConsumerOptions {
	if o.Topics == nil {
		o.Topics = func() consumer.Topics { return noTopics{} }
	}
	if o.Config == nil {
		o.Config = func(string) ConsumerConfig { return ConsumerConfig{45 * time.Second, 5 * time.Second, time.Second} }
	}
	if o.MaxSize <= 0 {
		o.MaxSize = math.MaxInt
	}
	if len(o.Assignors) == 0 {
		o.Assignors = []string{"uniform", "range"}
	}
	def(&o.RegexRefreshInterval, 10*time.Minute)
	def(&o.InlineAssignment, 10_000)
	return o
}

// StreamsOptions configures streams groups. What the cluster's topics are, ConsumerOptions.Topics says.
type StreamsOptions struct {
	// Config returns what can be set for each group. It must not block. Default: 45 s, 5 s, 1 s, 3 s and no standby tasks.
	Config func(group string) StreamsConfig
	// MaxSize is the largest number of members of a group. Zero or less: no limit but MaxGroupBytes.
	MaxSize int
}

// StreamsConfig is what can be set for each streams group.
type StreamsConfig struct {
	SessionTimeout        time.Duration
	HeartbeatInterval     time.Duration
	AssignmentInterval    time.Duration // between two target assignments, at least
	InitialRebalanceDelay time.Duration // the first target assignment of an empty group waits for more members
	Standbys              int           // standby tasks of each task with state
}

func (o StreamsOptions) withDefaults() StreamsOptions {
	if o.Config == nil {
		o.Config = func(string) StreamsConfig {
			return StreamsConfig{45 * time.Second, 5 * time.Second, time.Second, 3 * time.Second, 0}
		}
	}
	if o.MaxSize <= 0 {
		o.MaxSize = math.MaxInt
	}
	return o
}

// Options configures a Coordinator. EncodeBatch and TopicExists are required.
type Options struct {
	// NumPartitions is the number of partitions of __consumer_offsets. Default 50.
	NumPartitions int32

	// MinSessionTimeout and MaxSessionTimeout bound the session timeout of members. Defaults 6 s and 30 min.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// InitialRebalanceDelay is how long the first rebalance of an empty group waits for more members. Zero: it does not.
	InitialRebalanceDelay time.Duration
	// MaxSize is the largest number of members of a group. Zero or less: no limit but MaxGroupBytes.
	MaxSize int
	// MaxGroupBytes bounds the memory of one group's members: their protocol metadata, ids and a fixed part for each.
	// Kafka has no such limit; a group over it answers GROUP_MAX_SIZE_REACHED. Default 64 MiB.
	MaxGroupBytes int
	// MaxPendingMembers bounds, per group, the member ids that were handed out (MEMBER_ID_REQUIRED) and did not join yet.
	// Further newcomers get COORDINATOR_NOT_AVAILABLE, which they retry. Default 10000.
	MaxPendingMembers int

	// OffsetMetadataMaxBytes is the largest metadata string of a committed offset. Default 4096.
	OffsetMetadataMaxBytes int
	// MaxOffsetsPerGroup bounds the partitions with a committed offset in one group; more answer
	// INVALID_COMMIT_OFFSET_SIZE. Default 1000000.
	MaxOffsetsPerGroup int
	// OffsetsRetention is how long offsets outlive their use. Default 7 days.
	OffsetsRetention time.Duration
	// RetentionCheckInterval is how often expired offsets are looked for. Default 10 min. Negative: only ExpireOffsets does.
	RetentionCheckInterval time.Duration

	// Consumer configures groups of the consumer protocol.
	Consumer ConsumerOptions
	// Streams configures streams groups.
	Streams StreamsOptions

	// Share configures share groups.
	Share ShareOptions

	// MaxBatchBytes is the size at which the records of one change are split into several batches, a little under
	// max.message.bytes of __consumer_offsets. Default 1000000.
	MaxBatchBytes int

	// EncodeBatch makes one uncompressed v2 record batch with base offset 0 out of at least one record. It must not keep
	// the records. Called on any goroutine, without locks.
	EncodeBatch func(records []Record) []byte
	// EncodeTxnBatch is EncodeBatch for a batch that is part of a producer's transaction. Needed for TxnOffsetCommit only.
	EncodeTxnBatch func(records []Record, producerID int64, epoch int16) []byte
	// TopicExists reports whether a partition exists. It must not block. Called on any goroutine, without locks.
	TopicExists func(topic string, partition int32) bool
	// TopicName and TopicID translate between topic names and ids (OffsetCommit and OffsetFetch from version 10). They must
	// not block. Default: nothing is known. Called on any goroutine, without locks.
	TopicName func(id [16]byte) (name string, ok bool)
	TopicID   func(name string) (id [16]byte, ok bool)

	// NewUUID makes the unique part of member ids. Default: random UUIDs (version 4).
	NewUUID func() string
	// Clock defaults to the system's clock.
	Clock Clock
	// Logger defaults to slog.Default.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	def(&o.NumPartitions, 50)
	def(&o.MinSessionTimeout, 6*time.Second)
	def(&o.MaxSessionTimeout, 30*time.Minute)
	def(&o.MaxGroupBytes, 64<<20)
	def(&o.MaxPendingMembers, 10_000)
	def(&o.OffsetMetadataMaxBytes, 4096)
	def(&o.MaxOffsetsPerGroup, 1_000_000)
	def(&o.OffsetsRetention, 7*24*time.Hour)
	def(&o.RetentionCheckInterval, 10*time.Minute)
	def(&o.MaxBatchBytes, 1_000_000)
	o.Consumer = o.Consumer.withDefaults()
	o.Streams = o.Streams.withDefaults()
	o.Share = o.Share.withDefaults()
	if o.MaxSize <= 0 {
		o.MaxSize = math.MaxInt
	}
	if o.TopicName == nil {
		o.TopicName = func([16]byte) (string, bool) { return "", false }
	}
	if o.TopicID == nil {
		o.TopicID = func(string) ([16]byte, bool) { return [16]byte{}, false }
	}
	if o.NewUUID == nil {
		o.NewUUID = newUUID
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.EncodeBatch == nil:
		return errors.New("group: Options.EncodeBatch is nil")
	case o.TopicExists == nil:
		return errors.New("group: Options.TopicExists is nil")
	case o.NumPartitions < 0:
		return fmt.Errorf("group: Options.NumPartitions is %d, want at least 1", o.NumPartitions)
	case o.MinSessionTimeout < 0 || o.MaxSessionTimeout < o.MinSessionTimeout:
		return fmt.Errorf("group: session timeouts from %v to %v: want 0 <= min <= max", o.MinSessionTimeout, o.MaxSessionTimeout)
	case o.InitialRebalanceDelay < 0:
		return fmt.Errorf("group: Options.InitialRebalanceDelay is %v, want at least 0", o.InitialRebalanceDelay)
	case o.OffsetsRetention < 0:
		return fmt.Errorf("group: Options.OffsetsRetention is %v, want more than 0", o.OffsetsRetention)
	}
	for _, name := range o.Consumer.Assignors {
		if assignor.ByName(name) == nil {
			return fmt.Errorf("group: Options.Consumer.Assignors names %q; there are uniform and range", name)
		}
	}
	for _, limit := range []struct {
		name  string
		value int
	}{
		{"MaxGroupBytes", o.MaxGroupBytes},
		{"MaxPendingMembers", o.MaxPendingMembers},
		{"OffsetMetadataMaxBytes", o.OffsetMetadataMaxBytes},
		{"MaxOffsetsPerGroup", o.MaxOffsetsPerGroup},
		{"MaxBatchBytes", o.MaxBatchBytes},
	} {
		if limit.value < 0 {
			return fmt.Errorf("group: Options.%s is %d, want more than 0", limit.name, limit.value)
		}
	}
	return nil
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// noTopics is a cluster without topics.
type noTopics struct{}

func (noTopics) Version() int64                        { return 0 }
func (noTopics) ByName(string) ([16]byte, int32, bool) { return [16]byte{}, 0, false }
func (noTopics) ByID([16]byte) (string, int32, bool)   { return "", 0, false }
func (noTopics) Each(func(name string) bool)           {}

type systemClock struct{}

func (systemClock) Now() time.Time                            { return time.Now() }
func (systemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
