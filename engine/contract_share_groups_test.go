package engine_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// shareMember is a member of a share group that speaks keys 76, 78 and 79 by hand, on one connection.
type shareMember struct {
	x       *target
	w       *wire
	group   string
	id      string
	epoch   int32 // of the member
	session int32 // of its share session
	owned   map[[16]byte][]int32
}

func (x *target) shareMember(group string) *shareMember {
	memberIDs++
	return &shareMember{x: x, w: x.dial(), group: group, id: fmt.Sprintf("member-%d", memberIDs)}
}

// shareHeartbeat asks until there is a coordinator.
func (x *target) shareHeartbeat(req *kmsg.ShareGroupHeartbeatRequest) (resp *kmsg.ShareGroupHeartbeatResponse) {
	x.t.Helper()
	x.eventually("the coordinator", func() bool {
		resp = ask[*kmsg.ShareGroupHeartbeatResponse](x, req)
		code := kproto.ErrorCode(resp.ErrorCode)
		return code != kproto.NotCoordinator && code != kproto.CoordinatorNotAvailable && code != kproto.CoordinatorLoadInProgress
	})
	return resp
}

func (m *shareMember) beat(topics ...string) *kmsg.ShareGroupHeartbeatResponse {
	m.x.t.Helper()
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.Version, req.GroupID, req.MemberID, req.MemberEpoch = 1, m.group, m.id, m.epoch
	if len(topics) > 0 {
		req.SubscribedTopicNames = topics
	}
	resp := m.x.shareHeartbeat(req)
	if resp.ErrorCode == 0 {
		m.epoch = resp.MemberEpoch
		if resp.Assignment != nil {
			m.owned = map[[16]byte][]int32{}
			for _, tp := range resp.Assignment.TopicPartitions {
				m.owned[tp.TopicID] = slices.Sorted(slices.Values(tp.Partitions))
			}
		}
	}
	return resp
}

// join has the member get the partitions of a topic.
func (m *shareMember) join(topic string) [16]byte {
	m.x.t.Helper()
	id := m.x.topicID(topic)
	if resp := m.beat(topic); resp.ErrorCode != 0 {
		m.x.t.Fatalf("join: %v %s", kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage))
	}
	m.x.eventually("an assignment", func() bool { m.beat(); return len(m.owned[id]) > 0 })
	return id
}

func (m *shareMember) leave() {
	m.x.t.Helper()
	m.epoch = -1
	if resp := m.beat(); resp.ErrorCode != 0 {
		m.x.t.Errorf("leave: %v %s", kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage))
	}
}

func (m *shareMember) fetchRequest(id [16]byte) *kmsg.ShareFetchRequest {
	req := kmsg.NewPtrShareFetchRequest()
	req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch = 2, &m.group, &m.id, m.session
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.MaxRecords, req.BatchSize = 500, 1, 1<<20, 500, 500
	if m.session == 0 {
		req.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: id, Partitions: []kmsg.ShareFetchRequestTopicPartition{{}}}}
	}
	return req
}

func (m *shareMember) send(req *kmsg.ShareFetchRequest) *kmsg.ShareFetchResponse {
	m.x.t.Helper()
	resp := askOn[*kmsg.ShareFetchResponse](m.w, req)
	if resp.ErrorCode == 0 {
		m.session++
	}
	return resp
}

// fetch gets records of partition 0, until there are some.
func (m *shareMember) fetch(id [16]byte) (got []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord, records []byte) {
	m.x.t.Helper()
	m.x.eventually("records", func() bool {
		resp := m.send(m.fetchRequest(id))
		if resp.ErrorCode != 0 {
			m.x.t.Fatalf("share fetch: %v %s", kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage))
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				got, records = p.AcquiredRecords, p.Records
			}
		}
		return len(got) > 0
	})
	return got, records
}

// nothing says that a fetch gets no records.
func (m *shareMember) nothing(id [16]byte, why string) {
	m.x.t.Helper()
	resp := m.send(m.fetchRequest(id))
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if len(p.AcquiredRecords) > 0 {
				m.x.t.Errorf("%s: %v is acquired", why, p.AcquiredRecords)
			}
		}
	}
}

// acknowledge says something of offsets of partition 0: each type of the list of one, the first of the offsets being first.
func (m *shareMember) acknowledge(id [16]byte, first, last int64, types ...int8) kmsg.ShareAcknowledgeResponseTopicPartition {
	m.x.t.Helper()
	req := kmsg.NewPtrShareAcknowledgeRequest()
	req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch = 2, &m.group, &m.id, m.session
	req.IsRenewAck = slices.Contains(types, 4)
	req.Topics = []kmsg.ShareAcknowledgeRequestTopic{{TopicID: id, Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{{
		AcknowledgementBatches: []kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch{{FirstOffset: first, LastOffset: last, AcknowledgeTypes: types}},
	}}}}
	resp := askOn[*kmsg.ShareAcknowledgeResponse](m.w, req)
	if resp.ErrorCode != 0 {
		m.x.t.Fatalf("acknowledge: %v %s", kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage))
	}
	m.session++
	return resp.Topics[0].Partitions[0]
}

func (m *shareMember) mustAcknowledge(id [16]byte, first, last int64, types ...int8) {
	m.x.t.Helper()
	if p := m.acknowledge(id, first, last, types...); p.ErrorCode != 0 {
		m.x.t.Fatalf("acknowledge %d to %d as %v: %v %s", first, last, types, kproto.ErrorCode(p.ErrorCode), deref(p.ErrorMessage))
	}
}

func acquired(first, last int64, deliveries int16) kmsg.ShareFetchResponseTopicPartitionAcquiredRecord {
	a := kmsg.NewShareFetchResponseTopicPartitionAcquiredRecord()
	a.FirstOffset, a.LastOffset, a.DeliveryCount = first, last, deliveries
	return a
}

func (x *target) wantAcquired(what string, got []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord, want ...kmsg.ShareFetchResponseTopicPartitionAcquiredRecord) {
	x.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		x.t.Fatalf("%s: acquired %v, want %v", what, got, want)
	}
}

// shareOffsets is where a group is in partition 0 of a topic.
func (x *target) shareOffsets(group, topic string) kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition {
	x.t.Helper()
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	req.Version, req.Groups = 1, []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: group, Topics: []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}}}}
	g := ask[*kmsg.DescribeShareGroupOffsetsResponse](x, req).Groups[0]
	if g.ErrorCode != 0 {
		x.t.Fatalf("offsets of %s: %v", group, kproto.ErrorCode(g.ErrorCode))
	}
	return g.Topics[0].Partitions[0]
}

func (x *target) shareGroup() string {
	group := groupName()
	x.coordinator(group)
	x.alter(kmsg.ConfigResourceTypeGroupConfig, group, "share.auto.offset.reset=earliest")
	return group
}

// TestShareGroupRequestRules holds statement 179.
func TestShareGroupRequestRules(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	group := x.shareGroup()
	empty := ""
	for _, c := range []struct {
		name    string
		change  func(req *kmsg.ShareGroupHeartbeatRequest)
		code    kproto.ErrorCode
		message string
	}{
		{"no group", func(r *kmsg.ShareGroupHeartbeatRequest) { r.GroupID = "" }, kproto.InvalidRequest, "GroupId can't be empty."},
		{"no member id", func(r *kmsg.ShareGroupHeartbeatRequest) { r.MemberID = "" }, kproto.InvalidRequest, ""},
		{"empty rack", func(r *kmsg.ShareGroupHeartbeatRequest) { r.RackID = &empty }, kproto.InvalidRequest, "RackId can't be empty."},
		{"no subscription", func(r *kmsg.ShareGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }, kproto.InvalidRequest, "SubscribedTopicNames must be set in first request."},
		{"epoch -2", func(r *kmsg.ShareGroupHeartbeatRequest) { r.MemberEpoch = -2 }, kproto.InvalidRequest, "MemberEpoch is invalid."},
		{"a group that is not there", func(r *kmsg.ShareGroupHeartbeatRequest) { r.MemberEpoch = 1 }, kproto.GroupIDNotFound, "not found"},
	} {
		req := kmsg.NewPtrShareGroupHeartbeatRequest()
		req.Version, req.GroupID, req.MemberID, req.SubscribedTopicNames = 1, group, "m", []string{topic}
		c.change(req)
		resp := x.shareHeartbeat(req)
		if kproto.ErrorCode(resp.ErrorCode) != c.code || !strings.Contains(deref(resp.ErrorMessage), c.message) {
			t.Errorf("%s: %v %q, want %v %q", c.name, kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage), c.code, c.message)
		}
	}
	one, two := x.shareMember(group), x.shareMember(group)
	one.join(topic)
	if len(one.owned[x.topicID(topic)]) != 1 {
		t.Errorf("a member has %v", one.owned)
	}
	two.join(topic) // the same partition
	x.check("a group of another type", kproto.ErrorCode(x.member(group).send(x.member(group).joining(topic)).ErrorCode), kproto.GroupIDNotFound)
	if l := x.listed(group, "Share"); l.GroupType != "share" || l.ProtocolType != "share" || l.GroupState != "Stable" {
		t.Errorf("the group is listed as %+v", l)
	}
	one.epoch += 7
	x.check("an epoch from the future", kproto.ErrorCode(one.beat().ErrorCode), kproto.FencedMemberEpoch)
	one.id, two.epoch = "nobody", 0
	x.check("a member that is not there", kproto.ErrorCode(one.beat().ErrorCode), kproto.UnknownMemberID)
	if resp := two.beat(topic); resp.ErrorCode != 0 { // joins again
		t.Errorf("to join again: %v", kproto.ErrorCode(resp.ErrorCode))
	}
	req := kmsg.NewPtrShareGroupDescribeRequest()
	req.Version, req.GroupIDs = 1, []string{group, "absent"}
	described := ask[*kmsg.ShareGroupDescribeResponse](x, req).Groups
	slices.SortFunc(described, func(a, b kmsg.ShareGroupDescribeResponseGroup) int { return strings.Compare(b.GroupID, a.GroupID) })
	if g := described[0]; g.GroupState != "Stable" || g.Assignor != "simple" || len(g.Members) != 2 || len(g.Members[0].Assignment.TopicPartitions) != 1 {
		t.Errorf("described as %+v", g)
	}
	x.check("describe a group that is not there", kproto.ErrorCode(described[1].ErrorCode), kproto.GroupIDNotFound)
	x.check("delete a group with members", x.deleteGroup(group), kproto.NonEmptyGroup)
}

// TestShareDelivery holds statements 181, 182 and 184: what is accepted is gone, what is released comes again, what is rejected does not.
func TestShareDelivery(t *testing.T) {
	x := contract(t)
	topic, group := x.topic(1), x.shareGroup()
	x.mustSend(topic, batchOf(numbered(10)...))
	one, two := x.shareMember(group), x.shareMember(group)
	id := one.join(topic)
	two.join(topic)
	got, records := one.fetch(id)
	x.wantAcquired("at first", got, acquired(0, 9, 1))
	if batch, err := kproto.FirstBatch(records); err != nil || batch.BaseOffset() != 0 || batch.LastOffset() != 9 {
		t.Errorf("records: %v", err)
	}
	two.nothing(id, "what is with another member")
	x.mustSend(topic, batchOf(numbered(5)...))
	got, _ = two.fetch(id)
	x.wantAcquired("two members of one partition", got, acquired(10, 14, 1))

	one.mustAcknowledge(id, 0, 4, 1)
	one.mustAcknowledge(id, 5, 9, 2, 2, 3, 1, 2)
	x.check("twice", kproto.ErrorCode(one.acknowledge(id, 0, 9, 1).ErrorCode), kproto.InvalidRecordState)
	x.check("of another member", kproto.ErrorCode(one.acknowledge(id, 10, 14, 1).ErrorCode), kproto.InvalidRecordState)
	x.check("beyond the end", kproto.ErrorCode(two.acknowledge(id, 10, 20, 1).ErrorCode), kproto.InvalidRequest)
	x.check("the wrong number of types", kproto.ErrorCode(two.acknowledge(id, 10, 14, 1, 1).ErrorCode), kproto.InvalidRequest)
	x.check("a type that is not there", kproto.ErrorCode(two.acknowledge(id, 10, 14, 9).ErrorCode), kproto.InvalidRequest)
	two.mustAcknowledge(id, 10, 14, 4)
	if o := x.shareOffsets(group, topic); o.StartOffset != 5 || o.Lag != 8 {
		t.Errorf("the group is at %d, %d behind, want 5 and 8", o.StartOffset, o.Lag)
	}
	got, _ = two.fetch(id)
	x.wantAcquired("what was released", got, acquired(5, 6, 2), acquired(9, 9, 2))
	two.mustAcknowledge(id, 5, 6, 1)
	two.mustAcknowledge(id, 9, 14, 1)
	// The start is written with the next change; what is done beyond it is counted.
	if o := x.shareOffsets(group, topic); o.StartOffset != 9 || o.Lag != 0 {
		t.Errorf("the group is at %d, %d behind, want 9 and 0", o.StartOffset, o.Lag)
	}
	one.nothing(id, "when all is done")

	// A session that ends gives back what it has.
	x.mustSend(topic, batchOf(numbered(3)...))
	got, _ = one.fetch(id)
	x.wantAcquired("more", got, acquired(15, 17, 1))
	one.w.Close()
	got, _ = two.fetch(id)
	x.wantAcquired("what a closed connection had", got, acquired(15, 17, 2))
	end := two.fetchRequest(id)
	end.ShareSessionEpoch = -1
	if resp := two.send(end); resp.ErrorCode != 0 {
		t.Errorf("the end of a session: %v", kproto.ErrorCode(resp.ErrorCode))
	}
	two.session = 0
	got, _ = two.fetch(id)
	x.wantAcquired("what an ended session had", got, acquired(15, 17, 3))
}

// TestShareSessions holds statement 180.
func TestShareSessions(t *testing.T) {
	x := contract(t)
	topic, group := x.topic(1), x.shareGroup()
	m := x.shareMember(group)
	id := m.join(topic)
	code := func(change func(req *kmsg.ShareFetchRequest)) kproto.ErrorCode {
		t.Helper()
		req := m.fetchRequest(id)
		req.MaxWaitMillis = 1
		change(req)
		return kproto.ErrorCode(askOn[*kmsg.ShareFetchResponse](m.w, req).ErrorCode)
	}
	withAck := func(req *kmsg.ShareFetchRequest) {
		req.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: id, Partitions: []kmsg.ShareFetchRequestTopicPartition{{
			AcknowledgementBatches: []kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch{{FirstOffset: 0, LastOffset: 0, AcknowledgeTypes: []int8{1}}},
		}}}}
	}
	x.check("no session yet", code(func(r *kmsg.ShareFetchRequest) { r.ShareSessionEpoch = 1 }), kproto.ShareSessionNotFound)
	x.check("the end of none", code(func(r *kmsg.ShareFetchRequest) { r.ShareSessionEpoch = -1 }), kproto.ShareSessionNotFound)
	x.check("no group", code(func(r *kmsg.ShareFetchRequest) { r.GroupID = nil }), kproto.InvalidRequest)
	x.check("no member", code(func(r *kmsg.ShareFetchRequest) { r.MemberID = nil }), kproto.InvalidRequest)
	x.check("acknowledgements at the beginning", code(withAck), kproto.InvalidRequest)
	x.check("a beginning", code(func(*kmsg.ShareFetchRequest) {}), kproto.None)
	x.check("an epoch that is not next", code(func(r *kmsg.ShareFetchRequest) { r.ShareSessionEpoch = 5 }), kproto.InvalidShareSessionEpoch)
	x.check("the next", code(func(r *kmsg.ShareFetchRequest) { r.ShareSessionEpoch = 1 }), kproto.None)
	x.check("renewals with records", code(func(r *kmsg.ShareFetchRequest) { r.ShareSessionEpoch, r.IsRenewAck = 2, true }), kproto.InvalidRequest)
	req := kmsg.NewPtrShareAcknowledgeRequest()
	req.Version, req.GroupID, req.MemberID = 2, &m.group, &m.id
	x.check("to acknowledge at the beginning", kproto.ErrorCode(askOn[*kmsg.ShareAcknowledgeResponse](m.w, req).ErrorCode), kproto.InvalidShareSessionEpoch)
	if x.node == nil {
		return // Apache Kafka 4.3.1 fails over a topic id that it does not know
	}
	unknown := m.fetchRequest([16]byte{1, 2, 3})
	unknown.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: [16]byte{1, 2, 3}, Partitions: []kmsg.ShareFetchRequestTopicPartition{{}}}}
	unknown.ShareSessionEpoch, unknown.MaxWaitMillis = 2, 1
	found := kproto.None
	for _, rt := range askOn[*kmsg.ShareFetchResponse](m.w, unknown).Topics {
		if rt.TopicID == [16]byte{1, 2, 3} {
			found = kproto.ErrorCode(rt.Partitions[0].ErrorCode)
		}
	}
	x.check("a topic that is not there", found, kproto.UnknownTopicID)
}

// TestShareState holds statement 184: what brokers ask the share coordinator.
func TestShareState(t *testing.T) {
	x := contract(t)
	topic, group := x.topic(1), groupName()
	id := x.topicID(topic)
	x.shareCoordinator(group, id)
	initialize := func(epoch int32, start int64) kproto.ErrorCode {
		t.Helper()
		req := kmsg.NewPtrInitializeShareGroupStateRequest()
		req.GroupID, req.Topics = group, []kmsg.InitializeShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.InitializeShareGroupStateRequestTopicPartition{{StateEpoch: epoch, StartOffset: start}}}}
		return kproto.ErrorCode(ask[*kmsg.InitializeShareGroupStateResponse](x, req).Topics[0].Partitions[0].ErrorCode)
	}
	read := func(leader int32) kmsg.ReadShareGroupStateResponseTopicPartition {
		t.Helper()
		req := kmsg.NewPtrReadShareGroupStateRequest()
		req.GroupID, req.Topics = group, []kmsg.ReadShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.ReadShareGroupStateRequestTopicPartition{{LeaderEpoch: leader}}}}
		return ask[*kmsg.ReadShareGroupStateResponse](x, req).Topics[0].Partitions[0]
	}
	write := func(state, leader int32, start int64, batches ...kmsg.WriteShareGroupStateRequestTopicPartitionStateBatch) kproto.ErrorCode {
		t.Helper()
		p := kmsg.NewWriteShareGroupStateRequestTopicPartition()
		p.StateEpoch, p.LeaderEpoch, p.StartOffset, p.DeliveryCompleteCount, p.StateBatches = state, leader, start, 2, batches
		req := kmsg.NewPtrWriteShareGroupStateRequest()
		req.Version, req.GroupID, req.Topics = 1, group, []kmsg.WriteShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.WriteShareGroupStateRequestTopicPartition{p}}}
		return kproto.ErrorCode(ask[*kmsg.WriteShareGroupStateResponse](x, req).Topics[0].Partitions[0].ErrorCode)
	}
	batch := func(first, last int64, state int8, count int16) kmsg.WriteShareGroupStateRequestTopicPartitionStateBatch {
		return kmsg.WriteShareGroupStateRequestTopicPartitionStateBatch{FirstOffset: first, LastOffset: last, DeliveryState: state, DeliveryCount: count}
	}
	x.check("write what is not initialized", write(0, 0, 0), kproto.InvalidRequest)
	x.check("read what is not initialized", kproto.ErrorCode(read(0).ErrorCode), kproto.InvalidRequest)
	x.check("initialize", initialize(3, 5), kproto.None)
	x.check("initialize with an older epoch", initialize(2, 5), kproto.FencedStateEpoch)
	if p := read(7); p.ErrorCode != 0 || p.StateEpoch != 3 || p.StartOffset != 5 || len(p.StateBatches) != 0 {
		t.Errorf("read: %+v", p)
	}
	x.check("read as an older leader", kproto.ErrorCode(read(6).ErrorCode), kproto.FencedLeaderEpoch)
	x.check("write as an older leader", write(3, 6, 5), kproto.FencedLeaderEpoch)
	x.check("write with an older epoch", write(2, 7, 5), kproto.FencedStateEpoch)
	x.check("write", write(3, 7, 5, batch(5, 9, 0, 1), batch(10, 14, 2, 1)), kproto.None)
	x.check("write over it", write(3, 7, 7, batch(8, 11, 4, 2)), kproto.None)
	want := []kmsg.ReadShareGroupStateResponseTopicPartitionStateBatch{
		{FirstOffset: 7, LastOffset: 7, DeliveryState: 0, DeliveryCount: 1}, {FirstOffset: 8, LastOffset: 11, DeliveryState: 4, DeliveryCount: 2},
		{FirstOffset: 12, LastOffset: 14, DeliveryState: 2, DeliveryCount: 1},
	}
	checkRead := func(when string) {
		t.Helper()
		if p := read(7); p.ErrorCode != 0 || p.StartOffset != 7 || fmt.Sprint(p.StateBatches) != fmt.Sprint(want) {
			t.Errorf("%s: %+v, want %v", when, p, want)
		}
		req := kmsg.NewPtrReadShareGroupStateSummaryRequest()
		req.Version, req.GroupID, req.Topics = 1, group, []kmsg.ReadShareGroupStateSummaryRequestTopic{{TopicID: id, Partitions: []kmsg.ReadShareGroupStateSummaryRequestTopicPartition{{LeaderEpoch: -1}}}}
		if p := ask[*kmsg.ReadShareGroupStateSummaryResponse](x, req).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.StartOffset != 7 || p.DeliveryCompleteCount != 2 || p.LeaderEpoch != 7 || p.StateEpoch != 3 {
			t.Errorf("%s, in short: %+v", when, p)
		}
	}
	checkRead("read")
	if x.node != nil {
		x.crash()
		x.shareCoordinator(group, id)
		checkRead("after a crash")
	}
	del := func() kproto.ErrorCode {
		t.Helper()
		req := kmsg.NewPtrDeleteShareGroupStateRequest()
		req.GroupID, req.Topics = group, []kmsg.DeleteShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.DeleteShareGroupStateRequestTopicPartition{{}}}}
		return kproto.ErrorCode(ask[*kmsg.DeleteShareGroupStateResponse](x, req).Topics[0].Partitions[0].ErrorCode)
	}
	x.check("delete", del(), kproto.None)
	x.check("delete again", del(), kproto.None)
	x.check("read what is deleted", kproto.ErrorCode(read(7).ErrorCode), kproto.InvalidRequest)
	x.check("initialize again", initialize(0, -1), kproto.None)
}

// shareCoordinator waits until somebody coordinates a state.
func (x *target) shareCoordinator(group string, id [16]byte) {
	x.t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorType, req.CoordinatorKeys = 6, 2, []string{group + ":" + base64.RawURLEncoding.EncodeToString(id[:]) + ":0"}
	x.eventually("the share coordinator", func() bool {
		if ask[*kmsg.FindCoordinatorResponse](x, req).Coordinators[0].ErrorCode != 0 {
			return false
		}
		sum := kmsg.NewPtrReadShareGroupStateSummaryRequest()
		sum.GroupID, sum.Topics = group, []kmsg.ReadShareGroupStateSummaryRequestTopic{{TopicID: id, Partitions: []kmsg.ReadShareGroupStateSummaryRequestTopicPartition{{}}}}
		return ask[*kmsg.ReadShareGroupStateSummaryResponse](x, sum).Topics[0].Partitions[0].ErrorCode == 0
	})
	req.CoordinatorKeys = []string{"nonsense"}
	x.check("a key that is none", kproto.ErrorCode(ask[*kmsg.FindCoordinatorResponse](x, req).Coordinators[0].ErrorCode), kproto.InvalidRequest)
}

// TestShareGroupOffsets: a group without members is reset, its offsets are deleted, and it is.
func TestShareGroupOffsets(t *testing.T) {
	x := contract(t)
	topic, group := x.topic(1), x.shareGroup()
	x.mustSend(topic, batchOf(numbered(10)...))
	m := x.shareMember(group)
	id := m.join(topic)
	got, _ := m.fetch(id)
	x.wantAcquired("at first", got, acquired(0, 9, 1))
	m.mustAcknowledge(id, 0, 9, 1)
	alter := func(start int64) *kmsg.AlterShareGroupOffsetsResponse {
		t.Helper()
		req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
		req.GroupID, req.Topics = group, []kmsg.AlterShareGroupOffsetsRequestTopic{
			{Topic: topic, Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{StartOffset: start}}},
			{Topic: "absent", Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{StartOffset: start}}},
		}
		return ask[*kmsg.AlterShareGroupOffsetsResponse](x, req)
	}
	del := func() *kmsg.DeleteShareGroupOffsetsResponse {
		t.Helper()
		req := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
		req.GroupID, req.Topics = group, []kmsg.DeleteShareGroupOffsetsRequestTopic{{Topic: topic}}
		return ask[*kmsg.DeleteShareGroupOffsetsResponse](x, req)
	}
	x.check("reset a group with members", kproto.ErrorCode(alter(3).ErrorCode), kproto.NonEmptyGroup)
	x.check("delete offsets of a group with members", kproto.ErrorCode(del().ErrorCode), kproto.NonEmptyGroup)
	m.leave()
	m.w.Close()
	resp := alter(3)
	x.check("reset", kproto.ErrorCode(resp.ErrorCode), kproto.None)
	for _, rt := range resp.Topics {
		want := kproto.None
		if rt.Topic == "absent" {
			want = kproto.UnknownTopicOrPartition
		}
		x.check("reset "+rt.Topic, kproto.ErrorCode(rt.Partitions[0].ErrorCode), want)
	}
	x.eventually("the new start", func() bool { o := x.shareOffsets(group, topic); return o.StartOffset == 3 && o.Lag == 7 })
	again := x.shareMember(group)
	again.join(topic)
	got, _ = again.fetch(id)
	x.wantAcquired("after the reset", got, acquired(3, 9, 1))
	again.leave()
	again.w.Close()
	x.check("delete offsets", kproto.ErrorCode(del().Topics[0].ErrorCode), kproto.None)
	if o := x.shareOffsets(group, topic); o.StartOffset != -1 {
		t.Errorf("a deleted offset is %d", o.StartOffset)
	}
	x.check("delete offsets again", kproto.ErrorCode(del().Topics[0].ErrorCode), kproto.UnknownTopicOrPartition)
	x.check("delete", x.deleteGroup(group), kproto.None)
	x.check("delete again", x.deleteGroup(group), kproto.GroupIDNotFound)
}

// shareVersions are the APIs of share groups, for TestEveryVersion.
func (x *target) shareVersions(topic string, id [16]byte, group string) map[int16]func(version int16) (kmsg.Request, func(kmsg.Response) error) {
	x.shareCoordinator(group, id)
	member := "member"
	return map[int16]func(version int16) (kmsg.Request, func(kmsg.Response) error){
		76: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrShareGroupHeartbeatRequest()
			req.Version, req.GroupID, req.MemberID, req.SubscribedTopicNames = v, group, member, []string{topic}
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.ShareGroupHeartbeatResponse).ErrorCode) }
		},
		77: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.ShareGroupDescribeRequest{Version: v, GroupIDs: []string{group}}, func(r kmsg.Response) error {
				return codes(r.(*kmsg.ShareGroupDescribeResponse).Groups[0].ErrorCode)
			}
		},
		78: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrShareFetchRequest()
			req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch = v, &group, &member, 3
			return req, func(r kmsg.Response) error {
				return wants(r.(*kmsg.ShareFetchResponse).ErrorCode, kproto.ShareSessionNotFound)
			}
		},
		79: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrShareAcknowledgeRequest()
			req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch = v, &group, &member, 3
			return req, func(r kmsg.Response) error {
				return wants(r.(*kmsg.ShareAcknowledgeResponse).ErrorCode, kproto.ShareSessionNotFound)
			}
		},
		83: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.InitializeShareGroupStateRequest{Version: v, GroupID: group + "-state", Topics: []kmsg.InitializeShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.InitializeShareGroupStateRequestTopicPartition{{StartOffset: 1}}}}}
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.InitializeShareGroupStateResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		84: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.ReadShareGroupStateRequest{Version: v, GroupID: group + "-state", Topics: []kmsg.ReadShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.ReadShareGroupStateRequestTopicPartition{{}}}}}
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.ReadShareGroupStateResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		85: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.WriteShareGroupStateRequest{Version: v, GroupID: group + "-state", Topics: []kmsg.WriteShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.WriteShareGroupStateRequestTopicPartition{{StartOffset: 2}}}}}
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.WriteShareGroupStateResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		86: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.DeleteShareGroupStateRequest{Version: v, GroupID: group + "-state", Topics: []kmsg.DeleteShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.DeleteShareGroupStateRequestTopicPartition{{}}}}}
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.DeleteShareGroupStateResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		87: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.ReadShareGroupStateSummaryRequest{Version: v, GroupID: group + "-state", Topics: []kmsg.ReadShareGroupStateSummaryRequestTopic{{TopicID: id, Partitions: []kmsg.ReadShareGroupStateSummaryRequestTopicPartition{{}}}}}
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.ReadShareGroupStateSummaryResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		90: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.DescribeShareGroupOffsetsRequest{Version: v, Groups: []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: group}}}, func(r kmsg.Response) error {
				return codes(r.(*kmsg.DescribeShareGroupOffsetsResponse).Groups[0].ErrorCode)
			}
		},
		91: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.AlterShareGroupOffsetsRequest{Version: v, GroupID: group}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.AlterShareGroupOffsetsResponse).ErrorCode, kproto.NonEmptyGroup)
			}
		},
		92: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.DeleteShareGroupOffsetsRequest{Version: v, GroupID: group + "-absent"}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.DeleteShareGroupOffsetsResponse).ErrorCode, kproto.GroupIDNotFound)
			}
		},
	}
}
