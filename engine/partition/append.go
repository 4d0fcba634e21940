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
	// Unverified says that the batch would open a transaction: nothing was changed. When the coordinator has confirmed that the partition
	// is part of the producer's transaction, or has added it, offer the same batch again, with Verified as Append's verified.
	Unverified bool
	Verified   Verified
}

// Verified says what the coordinator of a batch's transaction was asked, with success, before the batch was offered.
type Verified struct {
	At    int64 // where the log ended before the question, negative: it was not asked
	Added bool  // it has added the partition to the transaction, which is of the kind whose epoch no other transaction has (KIP-890 part 2)
}

// NotVerified is Append's verified for a batch of which the coordinator was not asked.
var NotVerified = Verified{At: -1}

func refused(code kproto.ErrorCode, message string) Appended {
	return Appended{Code: code, Message: message, BaseOffset: -1, LogAppendTime: -1, LogStart: -1}
}

// Append checks one partition's records of a Produce request and appends them. records may be modified (base offset, leader
// epoch, time stamps) and is not kept. It does not block; done is told when the batch is durable (see Appended.Pending). verified is
// NotVerified, or what Appended.Verified was before the transaction's coordinator was asked.
func (p *Partition) Append(records []byte, version int16, verified Verified, done s3stream.Done) Appended {
	if p.closed.Load() {
		return refused(kproto.NotLeaderOrFollower, "")
	}
	cfg := p.Config()
	now := p.opts.Now()
	logAppendTime := cfg.TimestampType == config.LogAppendTime
	batch, bad := kproto.CheckProduce(records, version, kproto.Rules{
		MaxMessageBytes: cfg.MaxMessageBytes,
		Compacted:       cfg.CleanupPolicy.Compact,
		Topic:           p.Topic,
		Partition:       p.Index,
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
	if int64(len(batch)) > cfg.SegmentBytes {
		return refused(kproto.RecordListTooLarge, fmt.Sprintf("batch of %d bytes, segment.bytes is %d", len(batch), cfg.SegmentBytes))
	}
	return p.appendChecked(batch, logAppendTime, now, verified, done)
}

// AppendInternal appends a batch that the broker itself made (consumer offsets, also those of a transaction). It is not checked, but for the
// producer's epoch and the transaction that it is part of (see Append).
func (p *Partition) AppendInternal(batch []byte, verified Verified, done s3stream.Done) Appended {
	if p.closed.Load() {
		return refused(kproto.NotLeaderOrFollower, "")
	}
	return p.appendChecked(kproto.Batch(batch), false, p.opts.Now(), verified, done)
}

func (p *Partition) appendChecked(batch kproto.Batch, logAppendTime bool, now int64, verified Verified, done s3stream.Done) Appended {
	stamp := int64(-1)
	if logAppendTime {
		batch.SetLogAppendTime(now)
		stamp = now
	}
	id, idempotent := batch.ProducerID(), batch.ProducerID() >= 0
	count := int64(batch.LastOffsetDelta()) + 1

	p.mu.Lock()
	defer p.mu.Unlock()
	if idempotent {
		earlier, code := p.mu.producers.check(id, batch.ProducerEpoch(), batch.BaseSequence(), batch.LastSequence())
		if code == kproto.None && earlier == nil {
			var unverified bool
			if code, unverified = p.admitTxnLocked(batch, verified); unverified {
				p.mu.producers.ask(id, batch.ProducerEpoch(), batch.BaseSequence(), now)
				batch.Restore()
				return Appended{Unverified: true, Verified: Verified{At: p.mu.next}, BaseOffset: -1, LogAppendTime: -1, LogStart: -1}
			}
		}
		if code != kproto.None {
			r := refused(code, "")
			r.LogStart = p.stream.Start()
			return r
		}
		if earlier != nil {
			return p.repeatLocked(earlier)
		}
	}
	transactional := idempotent && batch.IsTransactional()
	if transactional {
		p.holdLocked(p.mu.next)
	}
	out := p.appendLocked(batch, count, done)
	out.LogAppendTime = stamp
	if transactional && !out.Pending {
		p.publishLocked()
	}
	if idempotent && out.Pending {
		b := p.noteLocked(batch, out.BaseOffset, out.BaseOffset+count-1, now)
		b.timestamp = stamp
	}
	return out
}

// appendLocked gives the batch its offset and hands it to the stream.
func (p *Partition) appendLocked(batch kproto.Batch, count int64, done s3stream.Done) Appended {
	first := p.mu.next
	batch.SetBaseOffset(first)
	batch.SetLeaderEpoch(p.LeaderEpoch)
	if err := p.stream.Append(s3stream.Record{First: first, Next: first + count, MaxTimestamp: batch.MaxTimestamp(), Payload: batch}, done); err != nil {
		batch.Restore() // as it came, so that the same bytes can be offered again
		return appendError(err)
	}
	p.mu.next = first + count
	p.mu.bytesIn += int64(len(batch))
	p.mu.produced++
	return Appended{BaseOffset: first, LogAppendTime: -1, LogStart: p.stream.Start(), Pending: true}
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
