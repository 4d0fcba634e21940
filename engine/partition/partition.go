package partition

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/s3stream"
)

// Options says what partition to open and with which rules.
type Options struct {
	Topic       string
	TopicID     [16]byte
	Index       int32
	LeaderEpoch int32
	StreamID    s3stream.StreamID
	// Source hands the stream over; nil when nobody else has it.
	Source s3stream.Source
	Config config.TopicConfig
	// ProducerExpiration drops the state of producers that have not written for so long. It is asked each time, since it may change. Default 24 h.
	ProducerExpiration func() time.Duration
	Logger             *slog.Logger
	// Now is the wall clock, in milliseconds since the epoch. Default time.Now.
	Now func() int64
}

func (o Options) withDefaults() Options {
	if o.ProducerExpiration == nil {
		o.ProducerExpiration = func() time.Duration { return 24 * time.Hour }
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
		next int64 // log end offset: the next offset to give
		checkpointState
		// What came in since TakeLoad looked last.
		bytesIn, produced int64
	}
	lso     lso
	dirt    dirt
	served  served
	waiters waiters
}

// served is what went out since TakeLoad looked last.
type served struct{ bytes, fetches atomic.Int64 }

// Load is what a partition did in some time.
type Load struct {
	BytesIn, BytesOut int64
	Requests          int64 // batches appended, and fetch responses with records of it
}

// Served counts a fetch response that carries records of the partition.
func (p *Partition) Served(bytes int) {
	p.served.bytes.Add(int64(bytes))
	p.served.fetches.Add(1)
}

// TakeLoad returns what the partition did since the last call.
func (p *Partition) TakeLoad() Load {
	out := Load{BytesOut: p.served.bytes.Swap(0), Requests: p.served.fetches.Swap(0)}
	p.mu.Lock()
	out.BytesIn, out.Requests = p.mu.bytesIn, out.Requests+p.mu.produced
	p.mu.bytesIn, p.mu.produced = 0, 0
	p.mu.Unlock()
	return out
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
		p.mu.checkpointState = state
		return nil
	}
	var stream *s3stream.Stream
	var opened s3stream.Opened
	var err error
	replay := s3stream.Replay{Opened: restore, Record: p.replay, Digest: p.replayDigest}
	if opts.Source != nil {
		stream, opened, err = storage.TakeOverStream(ctx, opts.StreamID, int64(opts.LeaderEpoch), p, replay, opts.Source)
	} else {
		stream, opened, err = storage.OpenStream(ctx, opts.StreamID, int64(opts.LeaderEpoch), p, replay)
	}
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
	p.publishLocked()
	p.mu.Unlock()
	return p, nil
}

// replay applies one batch that lies behind the checkpoint to the state.
func (p *Partition) replay(r s3stream.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.mu.apply(r, p.opts.Now()); err != nil {
		return fmt.Errorf("partition: %s-%d: %w", p.Topic, p.Index, err)
	}
	p.mu.next = r.Next
	return nil
}

// replayDigest is replay for all batches of a recovered tail from an offset on.
func (p *Partition) replayDigest(d s3stream.Digest, from int64) {
	p.mu.Lock()
	d.(*Digest).addTo(&p.mu.checkpointState, from)
	p.mu.Unlock()
}

// Config returns the topic's effective configuration.
func (p *Partition) Config() *config.TopicConfig { return p.config.Load() }

// SetConfig replaces the configuration; it applies from the next request on.
func (p *Partition) SetConfig(c config.TopicConfig) { p.config.Store(&c) }

// HighWatermark is the offset below which everything is durable and may be served.
func (p *Partition) HighWatermark() int64 { return p.stream.Confirmed() }

// LogStart is the first offset that may be read.
func (p *Partition) LogStart() int64 { return p.stream.Start() }

// LogEnd is the next offset to be given, durable or not.
func (p *Partition) LogEnd() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.next
}

// Stream names the stream of the partition.
func (p *Partition) Stream() s3stream.StreamID { return p.stream.ID() }

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

// Pause ends the leadership as Resign does, but leaves waiting fetches alone: there is nobody yet to send them to.
func (p *Partition) Pause() { p.closed.Store(true) }

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
	p.mu.producers.expire(p.opts.Now() - p.opts.ProducerExpiration().Milliseconds())
	if p.stream != nil { // else it is being opened
		p.mu.txns.trim(p.stream.Start())
	}
	return p.mu.next, appendCheckpoint(nil, &p.mu.producers, &p.mu.epochs, p.mu.txns.aborted)
}

// Confirmed implements s3stream.Owner: the high watermark has moved.
func (p *Partition) Confirmed(int64) { p.waiters.wake() }
