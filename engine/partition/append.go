package partition

import (
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// Appended is the outcome of Append.
type Appended struct {
	Code          kproto.ErrorCode
	Message       string // for clients that want one; empty when Code says it all
	RecordErrors  []kproto.RecordError
	BaseOffset    int64 // of the batch, or of the earlier append that it repeats; -1 on error
	LogAppendTime int64 // -1 unless the topic stamps batches itself
	LogStart      int64 // -1 when not known
	// Pending says that the batch is in the log but not yet durable: the Done given to Append will be called.
	// For a retry whose first attempt is not yet durable WaitFor is the high watermark to wait for, and Done is not called.
	Pending bool
	WaitFor int64
	// Full says that the WAL takes nothing now; nothing was changed, offer the same batch again later.
	Full bool
}

func refused(code kproto.ErrorCode, message string) Appended {
	return Appended{Code: code, Message: message, BaseOffset: -1, LogAppendTime: -1, LogStart: -1}
}

// Append checks one partition's records of a Produce request and appends them. records may be modified (base offset, leader
// epoch, time stamps) and is not kept. It does not block; done is told when the batch is durable (see Appended.Pending).
func (p *Partition) Append(records []byte, version int16, done s3stream.Done) Appended {
	if p.closed.Load() {
		return refused(kproto.NotLeaderOrFollower, "")
	}
	cfg := p.Config()
	now := p.opts.Now()
	logAppendTime := cfg.TimestampType == config.LogAppendTime
	batch, bad := kproto.CheckProduce(records, version, kproto.Rules{
		MaxMessageBytes: cfg.MaxMessageBytes,
		Compacted:       cfg.CleanupPolicy.Compact,
		LogAppendTime:   logAppendTime,
		BeforeMaxMillis: cfg.BeforeMaxMillis,
		AfterMaxMillis:  cfg.AfterMaxMillis,
		NowMillis:       now,
		TargetCodec:     kproto.Codec(cfg.CompressionType),
		Level:           compressionLevel(cfg),
	})
	if bad != nil {
		r := refused(bad.Code, bad.Message)
		r.RecordErrors = bad.RecordErrors
		r.LogStart = p.LogStart()
		return r
	}
	switch {
	case batch.IsTransactional():
		return refused(kproto.InvalidTxnState, "this broker coordinates no transactions")
	case int64(len(batch)) > cfg.SegmentBytes:
		return refused(kproto.RecordListTooLarge, fmt.Sprintf("batch of %d bytes, segment.bytes is %d", len(batch), cfg.SegmentBytes))
	}
	return p.appendChecked(batch, logAppendTime, now, done)
}

// AppendInternal appends a batch that the broker itself made (consumer offsets, control records). It is not checked.
func (p *Partition) AppendInternal(batch []byte, done s3stream.Done) Appended {
	if p.closed.Load() {
		return refused(kproto.NotLeaderOrFollower, "")
	}
	return p.appendChecked(kproto.Batch(batch), false, p.opts.Now(), done)
}

func (p *Partition) appendChecked(batch kproto.Batch, logAppendTime bool, now int64, done s3stream.Done) Appended {
	out := Appended{LogAppendTime: -1, Pending: true}
	if logAppendTime {
		batch.SetLogAppendTime(now)
		out.LogAppendTime = now
	}
	id, idempotent := batch.ProducerID(), batch.ProducerID() >= 0
	count := int64(batch.LastOffsetDelta()) + 1

	p.mu.Lock()
	defer p.mu.Unlock()
	if idempotent {
		earlier, code := p.mu.producers.check(id, batch.ProducerEpoch(), batch.BaseSequence(), batch.LastSequence())
		if code != kproto.None {
			r := refused(code, "")
			r.LogStart = p.stream.Start()
			return r
		}
		if earlier != nil {
			return p.repeatLocked(earlier)
		}
	}
	first := p.mu.next
	batch.SetBaseOffset(first)
	batch.SetLeaderEpoch(p.LeaderEpoch)
	if err := p.stream.Append(s3stream.Record{First: first, Next: first + count, MaxTimestamp: batch.MaxTimestamp(), Payload: batch}, done); err != nil {
		batch.Restore() // as it came, so that the same bytes can be offered again
		return appendError(err)
	}
	p.mu.next = first + count
	if idempotent {
		b := p.mu.producers.record(id, batch.ProducerEpoch(), batch.BaseSequence(), batch.LastSequence(), first, first+count-1, now)
		b.timestamp = out.LogAppendTime
	}
	out.BaseOffset, out.LogStart = first, p.stream.Start()
	return out
}

// repeatLocked answers a retry of a batch that is already in the log: same offsets, nothing appended.
func (p *Partition) repeatLocked(earlier *producerBatch) Appended {
	out := Appended{BaseOffset: earlier.firstOffset, LogAppendTime: earlier.timestamp, LogStart: p.stream.Start()}
	if p.stream.Confirmed() <= earlier.lastOffset {
		out.WaitFor = earlier.lastOffset + 1
	}
	return out
}

// appendError says what a failed append means to a producer.
func appendError(err error) Appended {
	switch {
	case errors.Is(err, s3stream.ErrFull):
		return Appended{Full: true, BaseOffset: -1, LogAppendTime: -1, LogStart: -1}
	case errors.Is(err, s3stream.ErrFenced), errors.Is(err, s3stream.ErrClosed):
		return refused(kproto.NotLeaderOrFollower, "")
	case errors.Is(err, s3stream.ErrTooLarge):
		return refused(kproto.MessageTooLarge, err.Error())
	}
	return refused(kproto.KafkaStorageError, err.Error())
}

// compressionLevel is the level of the codec that the topic asks for; 0 is the codec's default.
func compressionLevel(cfg *config.TopicConfig) int {
	switch cfg.CompressionType {
	case config.CompressionGzip:
		return max(cfg.GzipLevel, 0)
	case config.CompressionLZ4:
		return cfg.LZ4Level
	case config.CompressionZstd:
		return cfg.ZstdLevel
	}
	return 0
}
