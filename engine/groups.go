package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/s3stream"
)

// The broker's side of classic consumer groups: the coordinator (package group) decides, __consumer_offsets remembers.
//
//	FindCoordinator (10) 0-6   OffsetCommit (8) 2-10   OffsetFetch (9) 1-10   JoinGroup (11) 0-9   Heartbeat (12) 0-4
//	LeaveGroup (13) 0-5   SyncGroup (14) 0-5   DescribeGroups (15) 0-6   ListGroups (16) 0-5   DeleteGroups (42) 0-2   OffsetDelete (47) 0

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
		Logger: b.log,
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
	var unread error
	err := b.groups.Load(p.Index, p.LeaderEpoch, groupLog{p}, func(yield func(key, value []byte, timestamp int64) error) error {
		var refused error
		unread = b.eachRecord(b.ctx, p, func(key, value []byte, timestamp int64) error {
			refused = yield(key, value, timestamp)
			return refused
		})
		if refused != nil {
			unread = nil
			return refused
		}
		return unread
	})
	switch {
	case unread != nil:
		return fmt.Errorf("engine: load groups: %w", unread)
	case err != nil && !errors.Is(err, group.ErrClosed):
		b.log.Error("groups not loaded: the coordinator does not serve them", "topic", p.Topic, "partition", p.Index, "cause", err)
	}
	return nil
}

// eachRecord replays a partition from its start to its high watermark.
func (b *Broker) eachRecord(ctx context.Context, p *partition.Partition, yield func(key, value []byte, timestamp int64) error) error {
	var it kproto.RecordIter
	defer it.Close()
	return p.Scan(ctx, p.LogStart(), p.HighWatermark(), func(batch kproto.Batch) error {
		if batch.IsControl() {
			return nil
		}
		if err := it.Reset(batch); err != nil {
			return fmt.Errorf("batch at offset %d: %w", batch.BaseOffset(), err)
		}
		for it.Next() {
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
	a := l.p.AppendInternal(batch, groupDone(done))
	switch {
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

func (r *request) client() group.Client { return group.Client{ID: r.clientID, Host: r.host()} }

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
	r.broker.groups.DescribeGroups(r.client(), r.body.(*kmsg.DescribeGroupsRequest), r.reply)
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
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, b.coordinatorOf(req.CoordinatorType, key, r.conn.listener))
	}
	r.reply(resp)
}

// coordinatorOf names the broker that leads the group's partition of __consumer_offsets, which is created on first use.
func (b *Broker) coordinatorOf(kind int8, key, listener string) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	fail := func(code kproto.ErrorCode, message string) kmsg.FindCoordinatorResponseCoordinator {
		c.ErrorCode, c.ErrorMessage = int16(code), &message
		return c
	}
	if kind != coordinatorGroup {
		return fail(kproto.InvalidRequest, fmt.Sprintf("this broker coordinates groups (key type 0) only, not key type %d", kind))
	}
	t := b.node.Image().Topic(offsetsTopic)
	if t == nil {
		ctx, cancel := context.WithTimeout(b.ctx, autoCreateTimeout)
		defer cancel()
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = int32(autoCreateTimeout.Milliseconds())
		req.Topics = append(req.Topics, b.newTopicRequest(offsetsTopic))
		b.create(ctx, req, "for the first group")
		if t = b.node.Image().Topic(offsetsTopic); t == nil {
			return fail(kproto.CoordinatorNotAvailable, offsetsTopic+" is being created")
		}
	}
	img := b.node.Image()
	index := b.groups.PartitionOf(key)
	if int(index) >= len(t.Partitions) {
		return fail(kproto.CoordinatorNotAvailable, offsetsTopic+" is being created")
	}
	p := &t.Partitions[index]
	if code := leaderState(img, p, listener); code != kproto.None {
		return fail(kproto.CoordinatorNotAvailable, "the coordinator's broker is not available")
	}
	e, _ := img.Broker(p.Leader).Endpoint(listener)
	empty := ""
	c.NodeID, c.Host, c.Port, c.ErrorMessage = p.Leader, e.Host, int32(e.Port), &empty
	return c
}
