package engine

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/share"
	"github.com/ringmq/ringmq/engine/sharestate"
)

// Questions to the share coordinator of a state, which may be this broker or another one. Each blocks, and is asked again while nobody coordinates.

const (
	// shareStateTimeout bounds a question with its repetitions.
	shareStateTimeout  = 15 * time.Second
	shareStateRetryMin = 20 * time.Millisecond
	shareStateRetryMax = time.Second
)

// shareQuestion is one question: here asks this broker's coordinator, and there makes the request for another's and reads its answer.
type shareQuestion struct {
	here func() *sharestate.Error
	ask  func() kmsg.Request
	read func(kmsg.Response) (code int16, message *string)
}

// retriable says that another attempt may find a coordinator.
func retriable(code kproto.ErrorCode) bool {
	switch code {
	case kproto.NotCoordinator, kproto.CoordinatorNotAvailable, kproto.CoordinatorLoadInProgress, kproto.NetworkException:
		return true
	}
	return false
}

// askShareState asks until there is an answer, or the time is up.
func (b *Broker) askShareState(ctx context.Context, k sharestate.Key, q shareQuestion) *sharestate.Error {
	ctx, cancel := context.WithTimeout(ctx, shareStateTimeout)
	defer cancel()
	index := b.shareState.PartitionOf(k)
	for delay := shareStateRetryMin; ; delay = min(2*delay, shareStateRetryMax) {
		err := b.askShareStateOnce(ctx, index, q)
		if err == nil || !retriable(err.Code) {
			return err
		}
		select {
		case <-ctx.Done():
			return &sharestate.Error{Code: kproto.CoordinatorNotAvailable, Message: "The share coordinator does not answer: " + err.Error()}
		case <-time.After(delay):
		}
	}
}

func (b *Broker) askShareStateOnce(ctx context.Context, index int32, q shareQuestion) *sharestate.Error {
	t, code := b.internalTopic(shareStateTopic)
	if code != kproto.None || int(index) >= len(t.Partitions) {
		return &sharestate.Error{Code: kproto.CoordinatorNotAvailable, Message: shareStateTopic + " is being created"}
	}
	switch leader := t.Partitions[index].Leader; leader {
	case b.cfg.NodeID:
		return q.here()
	case -1:
		return &sharestate.Error{Code: kproto.CoordinatorNotAvailable, Message: "the partition has no leader"}
	default:
		answer, err := b.askBroker(ctx, leader, q.ask())
		if err != nil {
			return &sharestate.Error{Code: kproto.NetworkException, Message: err.Error()}
		}
		code, message := q.read(answer)
		if code == 0 {
			return nil
		}
		out := &sharestate.Error{Code: kproto.ErrorCode(code)}
		if message != nil {
			out.Message = *message
		}
		return out
	}
}

// badShareAnswer is what an answer without the partition that was asked for is worth.
func badShareAnswer() (int16, *string) {
	message := "The answer does not have the partition."
	return int16(kproto.UnknownServerError), &message
}

func (b *Broker) initializeShare(ctx context.Context, k sharestate.Key, stateEpoch int32, start int64) *sharestate.Error {
	return b.askShareState(ctx, k, shareQuestion{
		here: func() *sharestate.Error { return b.shareState.Initialize(k, stateEpoch, start) },
		ask: func() kmsg.Request {
			req := kmsg.NewPtrInitializeShareGroupStateRequest()
			p := kmsg.NewInitializeShareGroupStateRequestTopicPartition()
			p.Partition, p.StateEpoch, p.StartOffset = k.Partition, stateEpoch, start
			req.GroupID = k.Group
			req.Topics = []kmsg.InitializeShareGroupStateRequestTopic{{TopicID: k.Topic, Partitions: []kmsg.InitializeShareGroupStateRequestTopicPartition{p}}}
			return req
		},
		read: func(resp kmsg.Response) (int16, *string) {
			for _, t := range resp.(*kmsg.InitializeShareGroupStateResponse).Topics {
				for _, p := range t.Partitions {
					return p.ErrorCode, p.ErrorMessage
				}
			}
			return badShareAnswer()
		},
	})
}

func (b *Broker) readShare(ctx context.Context, k sharestate.Key, leaderEpoch int32) (w sharestate.Written, _ *sharestate.Error) {
	err := b.askShareState(ctx, k, shareQuestion{
		here: func() (err *sharestate.Error) {
			w, err = b.shareState.Read(k, leaderEpoch)
			return err
		},
		ask: func() kmsg.Request {
			req := kmsg.NewPtrReadShareGroupStateRequest()
			p := kmsg.NewReadShareGroupStateRequestTopicPartition()
			p.Partition, p.LeaderEpoch = k.Partition, leaderEpoch
			req.GroupID = k.Group
			req.Topics = []kmsg.ReadShareGroupStateRequestTopic{{TopicID: k.Topic, Partitions: []kmsg.ReadShareGroupStateRequestTopicPartition{p}}}
			return req
		},
		read: func(resp kmsg.Response) (int16, *string) {
			for _, t := range resp.(*kmsg.ReadShareGroupStateResponse).Topics {
				for _, p := range t.Partitions {
					w = sharestate.Written{StateEpoch: p.StateEpoch, Start: p.StartOffset}
					for _, s := range p.StateBatches {
						w.Batches = append(w.Batches, share.Batch{First: s.FirstOffset, Last: s.LastOffset, State: share.State(s.DeliveryState), Deliveries: s.DeliveryCount})
					}
					return p.ErrorCode, p.ErrorMessage
				}
			}
			return badShareAnswer()
		},
	})
	return w, err
}

func (b *Broker) writeShare(ctx context.Context, k sharestate.Key, w sharestate.Write) *sharestate.Error {
	return b.askShareState(ctx, k, shareQuestion{
		here: func() *sharestate.Error { return b.shareState.Write(k, w) },
		ask: func() kmsg.Request {
			req := kmsg.NewPtrWriteShareGroupStateRequest()
			req.Version = 1
			p := kmsg.NewWriteShareGroupStateRequestTopicPartition()
			p.Partition, p.StateEpoch, p.LeaderEpoch, p.StartOffset, p.DeliveryCompleteCount = k.Partition, w.StateEpoch, w.LeaderEpoch, w.Start, w.Complete
			for _, x := range w.Batches {
				s := kmsg.NewWriteShareGroupStateRequestTopicPartitionStateBatch()
				s.FirstOffset, s.LastOffset, s.DeliveryState, s.DeliveryCount = x.First, x.Last, int8(x.State), x.Deliveries
				p.StateBatches = append(p.StateBatches, s)
			}
			req.GroupID = k.Group
			req.Topics = []kmsg.WriteShareGroupStateRequestTopic{{TopicID: k.Topic, Partitions: []kmsg.WriteShareGroupStateRequestTopicPartition{p}}}
			return req
		},
		read: func(resp kmsg.Response) (int16, *string) {
			for _, t := range resp.(*kmsg.WriteShareGroupStateResponse).Topics {
				for _, p := range t.Partitions {
					return p.ErrorCode, p.ErrorMessage
				}
			}
			return badShareAnswer()
		},
	})
}

func (b *Broker) deleteShare(ctx context.Context, k sharestate.Key) *sharestate.Error {
	return b.askShareState(ctx, k, shareQuestion{
		here: func() *sharestate.Error { return b.shareState.Delete(k) },
		ask: func() kmsg.Request {
			req := kmsg.NewPtrDeleteShareGroupStateRequest()
			p := kmsg.NewDeleteShareGroupStateRequestTopicPartition()
			p.Partition = k.Partition
			req.GroupID = k.Group
			req.Topics = []kmsg.DeleteShareGroupStateRequestTopic{{TopicID: k.Topic, Partitions: []kmsg.DeleteShareGroupStateRequestTopicPartition{p}}}
			return req
		},
		read: func(resp kmsg.Response) (int16, *string) {
			for _, t := range resp.(*kmsg.DeleteShareGroupStateResponse).Topics {
				for _, p := range t.Partitions {
					return p.ErrorCode, p.ErrorMessage
				}
			}
			return badShareAnswer()
		},
	})
}

func (b *Broker) summarizeShare(ctx context.Context, k sharestate.Key) (sum sharestate.Summary, _ *sharestate.Error) {
	err := b.askShareState(ctx, k, shareQuestion{
		here: func() (err *sharestate.Error) {
			sum, err = b.shareState.Summary(k)
			return err
		},
		ask: func() kmsg.Request {
			req := kmsg.NewPtrReadShareGroupStateSummaryRequest()
			req.Version = 1
			p := kmsg.NewReadShareGroupStateSummaryRequestTopicPartition()
			p.Partition, p.LeaderEpoch = k.Partition, sharestate.NoEpoch
			req.GroupID = k.Group
			req.Topics = []kmsg.ReadShareGroupStateSummaryRequestTopic{{TopicID: k.Topic, Partitions: []kmsg.ReadShareGroupStateSummaryRequestTopicPartition{p}}}
			return req
		},
		read: func(resp kmsg.Response) (int16, *string) {
			for _, t := range resp.(*kmsg.ReadShareGroupStateSummaryResponse).Topics {
				for _, p := range t.Partitions {
					sum = sharestate.Summary{StateEpoch: p.StateEpoch, LeaderEpoch: p.LeaderEpoch, Start: p.StartOffset, Complete: p.DeliveryCompleteCount}
					return p.ErrorCode, p.ErrorMessage
				}
			}
			return badShareAnswer()
		},
	})
	return sum, err
}

// eachShare asks about many partitions of a group at the same time, and gives the codes to done.
func (b *Broker) eachShare(id string, list []group.SharePartition, ask func(k sharestate.Key, p group.SharePartition) *sharestate.Error, done func(codes []int16)) {
	b.workers.Go(func() {
		var ws workers
		ws.limit(shareQuestionsMax)
		codes := make([]int16, len(list))
		for i, p := range list {
			ws.Go(func() {
				if err := ask(sharestate.Key{Group: id, Topic: p.Topic, Partition: p.Partition}, p); err != nil {
					codes[i] = int16(err.Code)
					b.log.Warn("state of a share group not changed", "group", id, "partition", p.Partition, "answer", err.Code.String(), "cause", err.Message)
				}
			})
		}
		ws.wait()
		done(codes)
	})
}

// shareQuestionsMax is how many questions about one group are asked at a time.
const shareQuestionsMax = 16
