package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/sharestate"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/s3stream"
)

// The broker's side of the share coordinator (package sharestate): __share_group_state remembers what share groups have done with their records.

func (b *Broker) newShareState() *sharestate.Coordinator {
	s := b.cfg.Share
	partitions := s.StatePartitions
	if t := b.node.Image().Topic(shareStateTopic); t != nil && int(partitions) != len(t.Partitions) {
		b.log.Warn("share.coordinator.state.topic.num.partitions has no effect on the existing topic", "topic", shareStateTopic, "configured", partitions, "partitions", len(t.Partitions))
		partitions = int32(len(t.Partitions))
	}
	updates := s.UpdatesPerSnapshot
	if updates == 0 {
		updates = -1
	}
	return sharestate.New(sharestate.Options{
		NumPartitions: partitions, UpdatesPerSnapshot: updates, ColdAfter: s.ColdInterval, Logger: b.log,
		TopicExists: func(id [16]byte, index int32) bool {
			t := b.node.Image().TopicByID(id)
			return t != nil && index >= 0 && int(index) < len(t.Partitions)
		},
	})
}

// loadShareState makes the share coordinator serve the states of a partition of __share_group_state that has just been opened.
func (b *Broker) loadShareState(p *partition.Partition) error {
	var unread error
	err := b.shareState.Load(p.Index, p.LeaderEpoch, shareLog{p}, func(yield func(offset int64, key, value []byte) error) error {
		var refused error
		var it kproto.RecordIter
		defer it.Close()
		unread = p.Scan(b.ctx, p.LogStart(), p.HighWatermark(), func(batch kproto.Batch) error {
			if batch.IsControl() {
				return nil
			}
			if err := it.Reset(batch); err != nil {
				return fmt.Errorf("batch at offset %d: %w", batch.BaseOffset(), err)
			}
			for it.Next() {
				if refused = yield(it.Record().Offset, it.Record().Key, it.Record().Value); refused != nil {
					return refused
				}
			}
			return it.Err()
		})
		if refused != nil {
			unread = nil
			return refused
		}
		return unread
	})
	switch {
	case unread != nil:
		return fmt.Errorf("engine: load the state of share groups: %w", unread)
	case err != nil && !errors.Is(err, sharestate.ErrClosed):
		b.log.Error("state of share groups not loaded: the coordinator does not serve it", "topic", p.Topic, "partition", p.Index, "cause", err)
	}
	return nil
}

// shareLog appends the share coordinator's records to a partition.
type shareLog struct{ p *partition.Partition }

// Append implements sharestate.Log.
func (l shareLog) Append(key, value []byte, millis int64, done func(error)) int64 {
	var builder kproto.BatchBuilder
	builder.Add(millis, key, value, nil)
	a := l.p.AppendInternal(builder.Bytes(), partition.NotVerified, doneFunc(func(err error) {
		if errors.Is(err, s3stream.ErrFenced) || errors.Is(err, s3stream.ErrClosed) {
			err = fmt.Errorf("%w: %w", sharestate.ErrNotCoordinator, err)
		}
		done(err)
	}))
	switch {
	case a.Full:
		done(errLogFull)
	case a.Code == kproto.NotLeaderOrFollower:
		done(sharestate.ErrNotCoordinator)
	case a.Code != kproto.None:
		done(fmt.Errorf("engine: append to %s-%d: %s %s", l.p.Topic, l.p.Index, a.Code, a.Message))
	}
	return a.BaseOffset
}

// pruneShareState writes states again that hold on to old parts of the log, and deletes what no longer counts.
func (b *Broker) pruneShareState() {
	b.shareState.RefreshCold()
	b.eachOpen(func(p *partition.Partition) {
		if p.Topic != shareStateTopic || b.ctx.Err() != nil {
			return
		}
		offset, ok := b.shareState.Redundant(p.Index, p.HighWatermark())
		if !ok || offset <= p.LogStart() {
			return
		}
		ctx, cancel := context.WithTimeout(b.ctx, retentionTimeout)
		defer cancel()
		if err := p.DeleteTo(ctx, offset); err != nil && b.ctx.Err() == nil {
			b.log.Warn("old state of share groups not deleted", "topic", p.Topic, "partition", p.Index, "cause", err)
		}
	})
}

// forgetShares has the coordinators forget what share groups have done with topics that are gone.
func (b *Broker) forgetShares() {
	gone := func(id [16]byte) bool { return b.node.Image().TopicByID(kraft.TopicID(id)) == nil }
	b.workers.Go(func() {
		b.groups.ShareTopicsDeleted(gone)
		b.shareState.TopicsDeleted(gone)
	})
}
