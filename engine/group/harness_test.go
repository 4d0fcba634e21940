package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/streams"
)

// manualClock moves when the test says so, and calls timers on the test's goroutine.
type manualClock struct {
	mu     sync.Mutex
	now    time.Time
	seq    int
	timers []*manualTimer
}

type manualTimer struct {
	c   *manualClock
	at  time.Time
	seq int
	f   func()
}

func newManualClock() *manualClock { return &manualClock{now: time.UnixMilli(1_700_000_000_000)} }

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) AfterFunc(d time.Duration, f func()) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	tm := &manualTimer{c, c.now.Add(d), c.seq, f}
	c.timers = append(c.timers, tm)
	return tm
}

func (tm *manualTimer) Stop() bool {
	tm.c.mu.Lock()
	defer tm.c.mu.Unlock()
	before := len(tm.c.timers)
	tm.c.timers = slices.DeleteFunc(tm.c.timers, func(o *manualTimer) bool { return o == tm })
	return len(tm.c.timers) < before
}

func (c *manualClock) advance(d time.Duration) {
	end := c.Now().Add(d)
	for {
		c.mu.Lock()
		var first *manualTimer
		for _, tm := range c.timers {
			if !tm.at.After(end) && (first == nil || tm.at.Before(first.at) || tm.at.Equal(first.at) && tm.seq < first.seq) {
				first = tm
			}
		}
		if first == nil {
			c.now = end
			c.mu.Unlock()
			return
		}
		c.timers = slices.DeleteFunc(c.timers, func(o *manualTimer) bool { return o == first })
		c.now = first.at
		c.mu.Unlock()
		first.f()
	}
}

// memLog is a partition. By default appends are durable at once; with held set they wait for release, with fail they fail.
type memLog struct {
	mu      sync.Mutex
	records []Record
	batches []int // records in each
	held    bool
	waiting []func()
	fail    error
	tooBig  int // batches of more bytes are refused; 0: none is
}

func (l *memLog) Append(batch []byte, done func(err error)) {
	l.mu.Lock()
	err := l.fail
	if l.tooBig > 0 && len(batch) > l.tooBig {
		err = fmt.Errorf("batch of %d bytes: %w", len(batch), ErrTooLarge)
	}
	finish := func() {
		if err == nil {
			l.mu.Lock()
			records := decodeTestBatch(batch)
			l.records = append(l.records, records...)
			l.batches = append(l.batches, len(records))
			l.mu.Unlock()
		}
		done(err)
	}
	if l.held {
		l.waiting = append(l.waiting, finish)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	finish()
}

func (l *memLog) AppendTxn(batch []byte, _ int64, _ bool, done func(err error)) {
	l.Append(batch, done)
}

// release ends the appends that wait, in order.
func (l *memLog) release() {
	for {
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.mu.Unlock()
			return
		}
		f := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.mu.Unlock()
		f()
	}
}

func (l *memLog) replay(yield func(key, value []byte, timestamp int64) error) error {
	l.mu.Lock()
	records := slices.Clone(l.records)
	l.mu.Unlock()
	for _, r := range records {
		key, value := bytes.Clone(r.Key), bytes.Clone(r.Value)
		if err := yield(key, value, r.Timestamp); err != nil {
			return err
		}
		for _, b := range [][]byte{key, value} { // the bytes are only borrowed
			for i := range b {
				b[i] = 0xCC
			}
		}
	}
	return nil
}

// latest is what compaction would leave.
func (l *memLog) latest() map[string]Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[string]Record)
	for _, r := range l.records {
		if r.Value == nil {
			delete(m, string(r.Key))
		} else {
			m[string(r.Key)] = r
		}
	}
	return m
}

func encodeTestBatch(records []Record) []byte {
	var b []byte
	field := func(f []byte) {
		if f == nil {
			b = binary.BigEndian.AppendUint32(b, 1<<32-1)
			return
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	for _, r := range records {
		b = binary.BigEndian.AppendUint64(b, uint64(r.Timestamp))
		field(r.Key)
		field(r.Value)
	}
	return b
}

func decodeTestBatch(b []byte) []Record {
	var records []Record
	field := func() []byte {
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		if n == 1<<32-1 {
			return nil
		}
		f := append([]byte{}, b[:n]...)
		b = b[n:]
		return f
	}
	for len(b) > 0 {
		r := Record{Timestamp: int64(binary.BigEndian.Uint64(b))}
		b = b[8:]
		r.Key, r.Value = field(), field()
		records = append(records, r)
	}
	return records
}

// harness is a coordinator of one partition with a fake world around it.
type harness struct {
	t     testing.TB
	c     *Coordinator
	clock *manualClock
	log   *memLog
	epoch int32
	uuids int
	gone  map[string]bool // topics that do not exist; "t0".."tN" and all others do, with 1000 partitions
	calls []*call

	missing []streams.NewTopic // internal topics that streams groups want
	topics  map[string]int32   // that members of the consumer protocol can subscribe to: partitions
	version int64              // of topics
}

func newHarness(t testing.TB, change func(o *Options)) *harness {
	h := &harness{t: t, clock: newManualClock(), log: &memLog{}, gone: map[string]bool{"nosuch": true}}
	o := Options{
		NumPartitions:  1,
		EncodeBatch:    encodeTestBatch,
		EncodeTxnBatch: func(records []Record, _ int64, _ int16) []byte { return encodeTestBatch(records) },
		TopicExists: func(topic string, partition int32) bool {
			return topic != "" && !h.gone[topic] && partition >= 0 && partition < 1000
		},
		TopicName: func(id [16]byte) (string, bool) {
			name := string(bytes.TrimRight(id[:], "\x00"))
			return name, name != "" && !h.gone[name]
		},
		TopicID: func(name string) (id [16]byte, ok bool) {
			copy(id[:], name)
			return id, !h.gone[name]
		},
		NewUUID:                func() string { h.uuids++; return fmt.Sprintf("uuid%d", h.uuids) },
		Clock:                  h.clock,
		Consumer:               ConsumerOptions{Topics: func() consumer.Topics { return fakeTopics{h} }, MayUpgrade: true, MayDowngrade: true},
		Logger:                 slog.New(slog.NewTextHandler(io.Discard, nil)),
		RetentionCheckInterval: -1,
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.c = c
	h.load()
	t.Cleanup(func() {
		c.Close()
		h.log.release()
		for _, call := range h.calls {
			if call.n != 1 {
				t.Errorf("%T was answered %d times", call.req, call.n)
			}
		}
	})
	return h
}

// load elects the node for partition 0, with the next epoch.
func (h *harness) load() {
	h.t.Helper()
	h.epoch++
	if err := h.c.Load(0, h.epoch, h.log, h.log.replay, nil); err != nil {
		h.t.Fatal(err)
	}
}

// failover moves the partition away and back.
func (h *harness) failover() {
	h.t.Helper()
	h.c.Unload(0)
	h.load()
}

// call is a request and its answer.
type call struct {
	req   kmsg.Request
	resp  kmsg.Response // nil while held
	n     int
	epoch int32 // of the coordinator when it answered
}

func (h *harness) send(req kmsg.Request) *call {
	h.t.Helper()
	k := &call{req: req}
	h.calls = append(h.calls, k)
	var mu sync.Mutex
	reply := func(resp kmsg.Response) {
		mu.Lock()
		defer mu.Unlock()
		if resp.GetVersion() != req.GetVersion() || resp.Key() != req.Key() {
			h.t.Errorf("%T version %d answered by %T version %d", req, req.GetVersion(), resp, resp.GetVersion())
		}
		// What the client sees is what is encoded at the time of the reply.
		decoded := req.ResponseKind()
		decoded.SetVersion(resp.GetVersion())
		if err := decoded.ReadFrom(resp.AppendTo(nil)); err != nil {
			h.t.Errorf("%T: %v", resp, err)
		}
		k.resp = decoded
		k.n++
		k.epoch = h.epoch
	}
	client := Client{ID: "client", Host: "/10.0.0.1"}
	switch req := req.(type) {
	case *kmsg.JoinGroupRequest:
		h.c.Join(client, req, reply)
	case *kmsg.SyncGroupRequest:
		h.c.Sync(client, req, reply)
	case *kmsg.HeartbeatRequest:
		h.c.Heartbeat(client, req, reply)
	case *kmsg.LeaveGroupRequest:
		h.c.Leave(client, req, reply)
	case *kmsg.OffsetCommitRequest:
		h.c.OffsetCommit(client, req, reply)
	case *kmsg.OffsetFetchRequest:
		h.c.OffsetFetch(client, req, reply)
	case *kmsg.OffsetDeleteRequest:
		h.c.OffsetDelete(client, req, reply)
	case *kmsg.DescribeGroupsRequest:
		h.c.DescribeGroups(client, req, reply)
	case *kmsg.ListGroupsRequest:
		h.c.ListGroups(client, req, reply)
	case *kmsg.DeleteGroupsRequest:
		h.c.DeleteGroups(client, req, reply)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		h.c.ConsumerGroupHeartbeat(client, req, reply)
	case *kmsg.StreamsGroupHeartbeatRequest:
		h.c.StreamsGroupHeartbeat(client, req, func(resp *kmsg.StreamsGroupHeartbeatResponse, missing []streams.NewTopic) {
			h.missing = append(h.missing, missing...)
			reply(resp)
		})
	case *kmsg.StreamsGroupDescribeRequest:
		h.c.StreamsGroupDescribe(client, req, reply)
	case *kmsg.ConsumerGroupDescribeRequest:
		h.c.ConsumerGroupDescribe(client, req, reply)
	default:
		h.t.Fatalf("no handler for %T", req)
	}
	return k
}

func (k *call) held() bool { return k.resp == nil }

func (k *call) join(t testing.TB) *kmsg.JoinGroupResponse {
	t.Helper()
	if k.held() {
		t.Fatal("join is held")
	}
	return k.resp.(*kmsg.JoinGroupResponse)
}

func (k *call) sync(t testing.TB) *kmsg.SyncGroupResponse {
	t.Helper()
	if k.held() {
		t.Fatal("sync is held")
	}
	return k.resp.(*kmsg.SyncGroupResponse)
}

// subscription is consumer metadata (version 1) for topics.
func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 1, topics
	return m.AppendTo(nil)
}

// joinReq is a join as a current client sends it; the change functions make others of it.
func joinReq(group, member string, change ...func(r *kmsg.JoinGroupRequest)) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.ProtocolType = 9, group, member, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 10_000, 60_000
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription("t0")}}
	for _, f := range change {
		f(r)
	}
	return r
}

func version(v int16) func(r *kmsg.JoinGroupRequest) {
	return func(r *kmsg.JoinGroupRequest) { r.Version = v }
}

func instance(id string) func(r *kmsg.JoinGroupRequest) {
	return func(r *kmsg.JoinGroupRequest) { r.InstanceID = &id }
}

// protocols takes name, metadata, name, metadata ...
func protocols(pairs ...string) func(r *kmsg.JoinGroupRequest) {
	return func(r *kmsg.JoinGroupRequest) {
		r.Protocols = nil
		for i := 0; i < len(pairs); i += 2 {
			r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: pairs[i], Metadata: []byte(pairs[i+1])})
		}
	}
}

func timeouts(session, rebalance time.Duration) func(r *kmsg.JoinGroupRequest) {
	return func(r *kmsg.JoinGroupRequest) {
		r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = int32(session.Milliseconds()), int32(rebalance.Milliseconds())
	}
}

// newID gets a member id by the first of the two steps.
func (h *harness) newID(group string) string {
	h.t.Helper()
	resp := h.send(joinReq(group, "")).join(h.t)
	if resp.ErrorCode != codeMemberIDRequired {
		h.t.Fatalf("first join: error %d", resp.ErrorCode)
	}
	return resp.MemberID
}

func syncReq(group string, generation int32, member string, assignments ...string) *kmsg.SyncGroupRequest {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.Generation, r.MemberID = 5, group, generation, member
	for i := 0; i < len(assignments); i += 2 {
		r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: assignments[i], MemberAssignment: []byte(assignments[i+1])})
	}
	return r
}

func (h *harness) heartbeat(group string, generation int32, member string, instance ...string) int16 {
	h.t.Helper()
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.Generation, r.MemberID = 4, group, generation, member
	if len(instance) > 0 {
		r.InstanceID = &instance[0]
	}
	return h.send(r).resp.(*kmsg.HeartbeatResponse).ErrorCode
}

// leave is the leave of one member; it returns the member's code.
func (h *harness) leave(group, member string, instance ...string) int16 {
	h.t.Helper()
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = 5, group
	m := kmsg.LeaveGroupRequestMember{MemberID: member}
	if len(instance) > 0 {
		m.InstanceID = &instance[0]
	}
	r.Members = append(r.Members, m)
	resp := h.send(r).resp.(*kmsg.LeaveGroupResponse)
	if resp.ErrorCode != 0 {
		return resp.ErrorCode
	}
	return resp.Members[0].ErrorCode
}

func (h *harness) describe(group string) kmsg.DescribeGroupsResponseGroup {
	h.t.Helper()
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Version, r.Groups = 5, []string{group}
	return h.send(r).resp.(*kmsg.DescribeGroupsResponse).Groups[0]
}

func (h *harness) wantState(group, state string) {
	h.t.Helper()
	if got := h.describe(group).State; got != state {
		h.t.Fatalf("group %s is %s, want %s", group, got, state)
	}
}

// stableGroup makes a group with n dynamic members m[0] (the leader) .. m[n-1], each assigned "a" + its id.
func (h *harness) stableGroup(group string, n int, change ...func(r *kmsg.JoinGroupRequest)) (ids []string, generation int32) {
	h.t.Helper()
	var joins []*call
	for range n {
		first := h.send(joinReq(group, "", change...)).join(h.t)
		ids = append(ids, first.MemberID)
	}
	for _, id := range ids {
		joins = append(joins, h.send(joinReq(group, id, change...)))
	}
	h.clock.advance(2 * h.c.opts.InitialRebalanceDelay)
	for _, id := range ids { // without an initial delay the first was alone at first
		if joins[0].held() {
			break
		}
		if r := joins[0].join(h.t); len(r.Members) == n {
			break
		}
		joins = append(joins, h.send(joinReq(group, id, change...)))
	}
	generation = h.describeGeneration(group)
	h.syncAll(group, generation, ids)
	h.wantState(group, "Stable")
	return ids, generation
}

func (h *harness) describeGeneration(group string) int32 {
	s := h.c.shards.At(h.c.PartitionOf(group))
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups[group].generation
}

func (h *harness) syncAll(group string, generation int32, ids []string) {
	h.t.Helper()
	var assignments []string
	for _, id := range ids {
		assignments = append(assignments, id, "a"+id)
	}
	var syncs []*call
	for _, id := range ids[1:] {
		syncs = append(syncs, h.send(syncReq(group, generation, id)))
	}
	syncs = append([]*call{h.send(syncReq(group, generation, ids[0], assignments...))}, syncs...)
	for i, k := range syncs {
		if r := k.sync(h.t); r.ErrorCode != 0 || string(r.MemberAssignment) != "a"+ids[i] {
			h.t.Fatalf("sync of %s: error %d, assignment %q", ids[i], r.ErrorCode, r.MemberAssignment)
		}
	}
}

func commitReq(group string, generation int32, member string, offsets map[string]int64) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation, r.MemberID = 9, group, generation, member
	for topic, o := range offsets {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset = o
		r.Topics = append(r.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
	}
	return r
}

// code is the one error code of a response to a commit of one partition.
func (k *call) code(t testing.TB) int16 {
	t.Helper()
	if k.held() {
		t.Fatalf("%T is held", k.req)
	}
	switch r := k.resp.(type) {
	case *kmsg.OffsetCommitResponse:
		return r.Topics[0].Partitions[0].ErrorCode
	case *kmsg.JoinGroupResponse:
		return r.ErrorCode
	case *kmsg.SyncGroupResponse:
		return r.ErrorCode
	case *kmsg.DeleteGroupsResponse:
		return r.Groups[0].ErrorCode
	case *kmsg.OffsetDeleteResponse:
		if r.ErrorCode != 0 {
			return r.ErrorCode
		}
		return r.Topics[0].Partitions[0].ErrorCode
	}
	t.Fatalf("no code in %T", k.resp)
	return 0
}

func (h *harness) commit(group, topic string, offset int64) {
	h.t.Helper()
	if code := h.send(commitReq(group, -1, "", map[string]int64{topic: offset})).code(h.t); code != 0 {
		h.t.Fatalf("commit: error %d", code)
	}
}

// fetch returns the committed offset of partition 0; -1 without one.
func (h *harness) fetch(group, topic string) int64 {
	h.t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version = 8
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}}
	r.Groups = append(r.Groups, g)
	resp := h.send(r).resp.(*kmsg.OffsetFetchResponse).Groups[0]
	if resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		h.t.Fatalf("fetch: error %d", resp.ErrorCode)
	}
	return resp.Topics[0].Partitions[0].Offset
}

func deleteReq(groups ...string) *kmsg.DeleteGroupsRequest {
	r := kmsg.NewPtrDeleteGroupsRequest()
	r.Version, r.Groups = 3, groups
	return r
}

func offsetDeleteReq(group, topic string) *kmsg.OffsetDeleteRequest {
	r := kmsg.NewPtrOffsetDeleteRequest()
	r.Group = group
	r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	return r
}

func wantCode(t testing.TB, what string, got, want int16) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: error %d, want %d", what, got, want)
	}
}

var errDisk = errors.New("disk on fire")
