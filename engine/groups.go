package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/sharestate"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/s3stream"
)

// The broker's side of consumer groups: the coordinator (package group) decides, __consumer_offsets remembers.
//
//	FindCoordinator (10) 0-6   OffsetCommit (8) 2-10   OffsetFetch (9) 1-10   JoinGroup (11) 0-9   Heartbeat (12) 0-4
//	LeaveGroup (13) 0-5   SyncGroup (14) 0-5   DescribeGroups (15) 0-6   ListGroups (16) 0-5   DeleteGroups (42) 0-2   OffsetDelete (47) 0
//	ConsumerGroupHeartbeat (68) 0-1   ConsumerGroupDescribe (69) 0-1   StreamsGroupHeartbeat (88) 0   StreamsGroupDescribe (89) 0

// newCoordinator makes the coordinator; partitions of __consumer_offsets are loaded as this broker opens them.
// Which partition a group belongs to follows from their number: an existing topic decides it, not the configuration.
func (b *Broker) newCoordinator() (*group.Coordinator, error) {
	g, o := b.cfg.Group, b.cfg.Offsets
	partitions := o.TopicPartitions
	if t := b.node.Image().Topic(offsetsTopic); t != nil && int(partitions) != len(t.Partitions) {
		b.log.Warn("offsets.topic.num.partitions has no effect on the existing topic", "topic", offsetsTopic, "configured", partitions, "partitions", len(t.Partitions))
		partitions = int32(len(t.Partitions))
	}
	return group.New(group.Options{
		NumPartitions:          partitions,
		MinSessionTimeout:      g.MinSessionTimeout,
		MaxSessionTimeout:      g.MaxSessionTimeout,
		InitialRebalanceDelay:  g.InitialRebalanceDelay,
		MaxSize:                g.MaxSize,
		OffsetMetadataMaxBytes: o.MetadataMaxBytes,
		OffsetsRetention:       o.Retention,
		RetentionCheckInterval: o.RetentionCheckInterval,
		EncodeBatch:            encodeGroupBatch,
		EncodeTxnBatch:         encodeTxnOffsets,
		TopicExists: func(name string, index int32) bool {
			t := b.node.Image().Topic(name)
			return t != nil && index >= 0 && int(index) < len(t.Partitions)
		},
		TopicName: func(id [16]byte) (string, bool) {
			if t := b.node.Image().TopicByID(id); t != nil {
				return t.Name, true
			}
			return "", false
		},
		TopicID: func(name string) ([16]byte, bool) {
			if t := b.node.Image().Topic(name); t != nil {
				return t.ID, true
			}
			return [16]byte{}, false
		},
		Consumer: b.consumerOptions(),
		Streams:  b.streamsOptions(),
		Share:    b.shareOptions(),
		Logger:   b.log,
	})
}

func encodeGroupBatch(records []group.Record) []byte {
	var builder kproto.BatchBuilder
	for i := range records {
		builder.Add(records[i].Timestamp, records[i].Key, records[i].Value, nil)
	}
	return builder.Bytes()
}

// loadGroups makes the coordinator serve the groups of a partition of __consumer_offsets that has just been opened. An error of reading
// the partition is returned, to be tried again.
func (b *Broker) loadGroups(p *partition.Partition) error {
	var open func() []group.OpenRecord
	unread, err := b.replayInto(p, func(replay func(yield yieldRecord) error) error {
		return b.groups.Load(p.Index, p.LeaderEpoch, groupLog{p}, func(yield func(key, value []byte, timestamp int64) error) error {
			return replay(yield)
		}, func() []group.OpenRecord { return open() })
	}, &open)
	switch {
	case unread != nil:
		return fmt.Errorf("engine: load groups: %w", unread)
	case err != nil && !errors.Is(err, group.ErrClosed):
		b.log.Error("groups not loaded: the coordinator does not serve them", "topic", p.Topic, "partition", p.Index, "cause", err)
	}
	return nil
}

type yieldRecord = func(key, value []byte, timestamp int64) error

// replayInto has load, a coordinator's Load, read a partition. unread is an error of reading it, to be tried again; err is load's own.
func (b *Broker) replayInto(p *partition.Partition, load func(replay func(yield yieldRecord) error) error, open *func() []group.OpenRecord) (unread, err error) {
	err = load(func(yield yieldRecord) error {
		var refused error
		var held heldRecords
		unread = b.eachRecord(b.ctx, p, &held, func(key, value []byte, timestamp int64) error {
			refused = yield(key, value, timestamp)
			return refused
		})
		if open != nil {
			*open = held.open
		}
		if refused != nil {
			unread = nil
			return refused
		}
		return unread
	})
	return unread, err
}

// eachRecord replays a partition from its start to its high watermark. The records of a transaction come when its marker says commit; those of
// transactions that are open in the end stay in held.
func (b *Broker) eachRecord(ctx context.Context, p *partition.Partition, held *heldRecords, yield yieldRecord) error {
	var it kproto.RecordIter
	defer it.Close()
	return p.Scan(ctx, p.LogStart(), p.HighWatermark(), func(batch kproto.Batch) error {
		if batch.IsControl() {
			return held.end(batch, yield)
		}
		if err := it.Reset(batch); err != nil {
			return fmt.Errorf("batch at offset %d: %w", batch.BaseOffset(), err)
		}
		for it.Next() {
			if batch.IsTransactional() {
				held.add(batch.ProducerID(), it.Record())
				continue
			}
			if err := yield(it.Record().Key, it.Record().Value, it.Record().Timestamp); err != nil {
				return err
			}
		}
		return it.Err()
	})
}

// groupLog appends the coordinator's records to a partition.
type groupLog struct{ p *partition.Partition }

var errLogFull = errors.New("engine: the write-ahead log is full")

// Append implements group.Log.
func (l groupLog) Append(batch []byte, done func(error)) {
	l.append(batch, partition.NotVerified, done)
}

// AppendTxn implements group.Log.
func (l groupLog) AppendTxn(batch []byte, verified int64, added bool, done func(error)) {
	l.append(batch, partition.Verified{At: verified, Added: added}, done)
}

func (l groupLog) append(batch []byte, verified partition.Verified, done func(error)) {
	a := l.p.AppendInternal(batch, verified, groupDone(done))
	switch {
	case a.Unverified, a.Code == kproto.InvalidTxnState:
		done(group.ErrNotInTxn)
	case a.Code == kproto.InvalidProducerEpoch:
		done(group.ErrFenced)
	case a.Full:
		done(errLogFull)
	case a.Code == kproto.NotLeaderOrFollower:
		done(group.ErrNotCoordinator)
	case a.Code == kproto.MessageTooLarge:
		done(fmt.Errorf("%w: %s", group.ErrTooLarge, a.Message))
	case a.Code != kproto.None:
		done(fmt.Errorf("engine: append to %s-%d: %s %s", l.p.Topic, l.p.Index, a.Code, a.Message))
	}
}

// groupDone adapts a function to s3stream.Done.
type groupDone func(error)

func (f groupDone) Appended(err error) {
	if errors.Is(err, s3stream.ErrFenced) || errors.Is(err, s3stream.ErrClosed) {
		err = fmt.Errorf("%w: %w", group.ErrNotCoordinator, err)
	}
	f(err)
}

func (r *request) client() group.Client {
	c := group.Client{ID: r.clientID, Host: r.host()}
	if b := r.broker; b.authorizer != nil {
		a := r.conn.asker(b)
		c.MayDescribe = func(topic string) bool { return a.topic(opDescribe, topic) }
	}
	return c
}

func joinGroup(r *request) {
	r.broker.groups.Join(r.client(), r.body.(*kmsg.JoinGroupRequest), r.reply)
}

func syncGroup(r *request) {
	r.broker.groups.Sync(r.client(), r.body.(*kmsg.SyncGroupRequest), r.reply)
}

func heartbeat(r *request) {
	r.broker.groups.Heartbeat(r.client(), r.body.(*kmsg.HeartbeatRequest), r.reply)
}

func leaveGroup(r *request) {
	r.broker.groups.Leave(r.client(), r.body.(*kmsg.LeaveGroupRequest), r.reply)
}

func offsetCommit(r *request) {
	r.broker.groups.OffsetCommit(r.client(), r.body.(*kmsg.OffsetCommitRequest), r.reply)
}

func offsetFetch(r *request) {
	r.broker.groups.OffsetFetch(r.client(), r.body.(*kmsg.OffsetFetchRequest), r.reply)
}

func offsetDelete(r *request) {
	r.broker.groups.OffsetDelete(r.client(), r.body.(*kmsg.OffsetDeleteRequest), r.reply)
}

func describeGroups(r *request) {
	req := r.body.(*kmsg.DescribeGroupsRequest)
	r.broker.groups.DescribeGroups(r.client(), req, func(resp kmsg.Response) {
		if req.IncludeAuthorizedOperations {
			groups := resp.(*kmsg.DescribeGroupsResponse).Groups
			for i := range groups {
				groups[i].AuthorizedOperations = groupOperations
			}
		}
		r.reply(resp)
	})
}

func listGroups(r *request) {
	r.broker.groups.ListGroups(r.client(), r.body.(*kmsg.ListGroupsRequest), r.reply)
}

func deleteGroups(r *request) {
	r.broker.groups.DeleteGroups(r.client(), r.body.(*kmsg.DeleteGroupsRequest), r.reply)
}

// Coordinator types of FindCoordinator.
const (
	coordinatorGroup       = 0
	coordinatorTransaction = 1
	coordinatorShare       = 2
)

func findCoordinator(r *request) {
	req, b := r.body.(*kmsg.FindCoordinatorRequest), r.broker
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		c := b.coordinatorOf(req.CoordinatorType, req.CoordinatorKey, r.conn.listener)
		resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port = c.ErrorCode, c.ErrorMessage, c.NodeID, c.Host, c.Port
		r.reply(resp)
		return
	}
	resp.Coordinators = []kmsg.FindCoordinatorResponseCoordinator{}
	if req.CoordinatorType == coordinatorShare && req.Version < 6 {
		req.CoordinatorType = -1 // older versions do not know it
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, b.coordinatorOf(req.CoordinatorType, key, r.conn.listener))
	}
	r.reply(resp)
}

// internalTopic returns a topic that coordinators keep their records in. It is created on first use.
func (b *Broker) internalTopic(name string) (*kraft.Topic, kproto.ErrorCode) {
	if t := b.node.Image().Topic(name); t != nil {
		return t, kproto.None
	}
	ctx, cancel := context.WithTimeout(b.ctx, autoCreateTimeout)
	defer cancel()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(autoCreateTimeout.Milliseconds())
	req.Topics = append(req.Topics, b.newTopicRequest(name))
	b.create(ctx, req, "on first use")
	if t := b.node.Image().Topic(name); t != nil {
		return t, kproto.None
	}
	return nil, kproto.CoordinatorNotAvailable
}

// coordinatorOf names the broker that leads the partition of the internal topic that a group, a transactional id or a state of a share group belongs to.
func (b *Broker) coordinatorOf(kind int8, key, listener string) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	fail := func(code kproto.ErrorCode, message string) kmsg.FindCoordinatorResponseCoordinator {
		c.ErrorCode, c.ErrorMessage = int16(code), &message
		return c
	}
	var topic string
	var index int32
	switch kind {
	case coordinatorGroup:
		topic, index = offsetsTopic, b.groups.PartitionOf(key)
	case coordinatorTransaction:
		topic, index = transactionsTopic, group.PartitionFor(key, b.txns.NumPartitions())
	case coordinatorShare:
		k, err := sharestate.ParseKey(key)
		if err != nil {
			return fail(kproto.InvalidRequest, err.Error())
		}
		topic, index = shareStateTopic, b.shareState.PartitionOf(k)
	default:
		return fail(kproto.InvalidRequest, fmt.Sprintf("this broker coordinates groups (key type 0), transactions (1) and the state of share groups (2), not key type %d", kind))
	}
	t, code := b.internalTopic(topic)
	if code != kproto.None || int(index) >= len(t.Partitions) {
		return fail(kproto.CoordinatorNotAvailable, topic+" is being created")
	}
	img := b.node.Image()
	p := &t.Partitions[index]
	if code := leaderState(img, p, listener); code != kproto.None {
		return fail(kproto.CoordinatorNotAvailable, "the coordinator's broker is not available")
	}
	e, _ := img.Broker(p.Leader).Endpoint(listener)
	empty := ""
	c.NodeID, c.Host, c.Port, c.ErrorMessage = p.Leader, e.Host, int32(e.Port), &empty
	return c
}
