package partition

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// Options says what partition to open and with which rules.
type Options struct {
	Topic       string
	TopicID     [16]byte
	Index       int32
	LeaderEpoch int32
	StreamID    s3stream.StreamID
	Config      config.TopicConfig
	// ProducerExpiration drops the state of producers that have not written for so long. Default 24 h.
	ProducerExpiration time.Duration
	Logger             *slog.Logger
	// Now is the wall clock, in milliseconds since the epoch. Default time.Now.
	Now func() int64
}

func (o Options) withDefaults() Options {
	if o.ProducerExpiration == 0 {
		o.ProducerExpiration = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = func() int64 { return time.Now().UnixMilli() }
	}
	return o
}

// Partition is one open partition of which this broker is the leader. All methods may be called from any goroutine.
type Partition struct {
	Topic       string
	TopicID     [16]byte
	Index       int32
	LeaderEpoch int32 // of this leadership; a new one opens a new Partition

	opts   Options
	stream *s3stream.Stream
	config atomic.Pointer[config.TopicConfig]
	closed atomic.Bool // no longer leader: appends and reads answer NOT_LEADER_OR_FOLLOWER

	mu struct {
		sync.Mutex
		next      int64 // log end offset: the next offset to give
		producers producers
		epochs    epochCache
	}
	waiters waiters
}

// Open opens the partition's stream with the leader epoch and rebuilds the state: newest checkpoint, then the batches behind it.
func Open(ctx context.Context, storage *s3stream.Storage, opts Options) (*Partition, error) {
	opts = opts.withDefaults()
	p := &Partition{Topic: opts.Topic, TopicID: opts.TopicID, Index: opts.Index, LeaderEpoch: opts.LeaderEpoch, opts: opts}
	cfg := opts.Config
	p.config.Store(&cfg)
	p.mu.producers = newProducers()

	restored := false
	restore := func(opened s3stream.Opened) error {
		restored = true
		if opened.Checkpoint == nil {
			return nil
		}
		state, err := decodeCheckpoint(opened.Checkpoint)
		if err != nil {
			return fmt.Errorf("partition: %s-%d: checkpoint at offset %d: %w", p.Topic, p.Index, opened.CheckpointOffset, err)
		}
		p.mu.producers, p.mu.epochs = state.producers, state.epochs
		return nil
	}
	stream, opened, err := storage.OpenStream(ctx, opts.StreamID, int64(opts.LeaderEpoch), p, s3stream.Replay{
		Opened: restore,
		Record: p.replay,
	})
	if err != nil {
		return nil, fmt.Errorf("partition: open %s-%d at leader epoch %d: %w", p.Topic, p.Index, p.LeaderEpoch, err)
	}
	if !restored {
		return nil, fmt.Errorf("BUG: partition: %s-%d opened without its checkpoint", p.Topic, p.Index)
	}
	p.mu.Lock()
	p.stream = stream
	p.mu.next = opened.Next
	p.mu.epochs.truncateFrom(opened.Next)
	p.mu.epochs.assign(p.LeaderEpoch, opened.Next)
	p.mu.Unlock()
	return p, nil
}

// replay applies one batch that lies behind the checkpoint to the state.
func (p *Partition) replay(r s3stream.Record) error {
	b := kproto.Batch(r.Payload)
	if len(b) < kproto.BatchHeaderBytes {
		return fmt.Errorf("partition: %s-%d: record at offset %d has %d bytes, a batch has at least %d", p.Topic, p.Index, r.First, len(b), kproto.BatchHeaderBytes)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.epochs.assign(b.PartitionLeaderEpoch(), r.First)
	if id := b.ProducerID(); id >= 0 && !b.IsControl() {
		known := p.mu.producers.record(id, b.ProducerEpoch(), b.BaseSequence(), b.LastSequence(), r.First, r.Next-1, p.opts.Now())
		if config.TimestampType(b.TimestampType()) == config.LogAppendTime {
			known.timestamp = b.MaxTimestamp()
		}
	}
	p.mu.next = r.Next
	return nil
}

// Config returns the topic's effective configuration.
func (p *Partition) Config() *config.TopicConfig { return p.config.Load() }

// SetConfig replaces the configuration; it applies from the next request on.
func (p *Partition) SetConfig(c config.TopicConfig) { p.config.Store(&c) }

// HighWatermark is the offset below which everything is durable and may be served.
func (p *Partition) HighWatermark() int64 { return p.stream.Confirmed() }

// LastStable is the last stable offset: the high watermark while no transaction is open.
func (p *Partition) LastStable() int64 { return p.stream.Confirmed() }

// LogStart is the first offset that may be read.
func (p *Partition) LogStart() int64 { return p.stream.Start() }

// LogEnd is the next offset to be given, durable or not.
func (p *Partition) LogEnd() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.next
}

// SizeBytes is what the partition's live batches take, wherever they lie.
func (p *Partition) SizeBytes() int64 { return p.stream.Sizes() }

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest known epoch not above the one asked, and where the next one starts.
// (-1, -1) when the epoch is above the current one.
func (p *Partition) EndOffsetForEpoch(epoch int32) (int32, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.epochs.endOffset(epoch, p.LeaderEpoch, p.mu.next)
}

// EpochOf returns the leader epoch that wrote the offset, -1 if unknown.
func (p *Partition) EpochOf(offset int64) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.epochs.epochOf(offset)
}

// DeleteTo moves the log start offset, for DeleteRecords and retention. Smaller than the current start: nothing happens.
func (p *Partition) DeleteTo(ctx context.Context, offset int64) error {
	if offset <= p.stream.Start() {
		return nil
	}
	if err := p.stream.Trim(ctx, offset); err != nil {
		return fmt.Errorf("partition: %s-%d: move the log start to %d: %w", p.Topic, p.Index, offset, err)
	}
	p.waiters.wake()
	return nil
}

// ApplyRetention deletes what the topic's retention.ms and retention.bytes no longer keep.
func (p *Partition) ApplyRetention(ctx context.Context) (deletedTo int64, err error) {
	cfg := p.Config()
	if !cfg.CleanupPolicy.Delete {
		return p.stream.Start(), nil
	}
	start := p.stream.Retain(p.opts.Now(), cfg.RetentionMillis, cfg.RetentionBytes)
	return start, p.DeleteTo(ctx, start)
}

// Wake has every waiter look again.
func (p *Partition) Wake() { p.waiters.wake() }

// Resign ends the leadership: from now on every call answers NOT_LEADER_OR_FOLLOWER, and waiting fetches are woken to say so.
func (p *Partition) Resign() {
	p.closed.Store(true)
	p.waiters.wake()
}

// Resigned says that the leadership has ended.
func (p *Partition) Resigned() bool { return p.closed.Load() }

// Close resigns, uploads what is not uploaded yet and gives the stream back to the metadata.
func (p *Partition) Close(ctx context.Context) error {
	p.Resign()
	return p.stream.Close(ctx)
}

// Checkpoint implements s3stream.Owner.
func (p *Partition) Checkpoint() (int64, []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.producers.expire(p.opts.Now() - p.opts.ProducerExpiration.Milliseconds())
	return p.mu.next, appendCheckpoint(nil, &p.mu.producers, &p.mu.epochs)
}

// Confirmed implements s3stream.Owner: the high watermark has moved.
func (p *Partition) Confirmed(int64) { p.waiters.wake() }
