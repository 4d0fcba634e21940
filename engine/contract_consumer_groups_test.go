package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// modernMember is a member of a consumer group that speaks key 68 by hand.
type modernMember struct {
	x        *target
	group    string
	id       string
	epoch    int32
	instance *string
	owned    map[[16]byte][]int32 // the last assignment that the coordinator told
}

var memberIDs int

func (x *target) member(group string) *modernMember {
	memberIDs++
	return &modernMember{x: x, group: group, id: fmt.Sprintf("%s-member-%d", group, memberIDs)}
}

func (m *modernMember) request() *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = 1, m.group, m.id, m.epoch, m.instance
	return req
}

// joining is a first heartbeat, with a subscription by name.
func (m *modernMember) joining(topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := m.request()
	req.MemberEpoch, req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 0, 60_000, append([]string{}, topics...), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

// send takes what a successful answer says.
func (m *modernMember) send(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	m.x.t.Helper()
	var resp *kmsg.ConsumerGroupHeartbeatResponse
	m.x.eventually("the coordinator", func() bool {
		resp = ask[*kmsg.ConsumerGroupHeartbeatResponse](m.x, req)
		code := kproto.ErrorCode(resp.ErrorCode)
		return code != kproto.NotCoordinator && code != kproto.CoordinatorNotAvailable && code != kproto.CoordinatorLoadInProgress
	})
	if resp.ErrorCode == 0 {
		m.epoch = resp.MemberEpoch
		if resp.Assignment != nil {
			m.owned = map[[16]byte][]int32{}
			for _, rt := range resp.Assignment.Topics {
				m.owned[rt.TopicID] = slices.Sorted(slices.Values(rt.Partitions))
			}
		}
	}
	return resp
}

func (m *modernMember) must(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	m.x.t.Helper()
	resp := m.send(req)
	if resp.ErrorCode != 0 {
		m.x.t.Fatalf("heartbeat: %v %s", kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage))
	}
	return resp
}

// beat is a heartbeat that says what the member owns: what it was told.
func (m *modernMember) beat() *kmsg.ConsumerGroupHeartbeatResponse {
	m.x.t.Helper()
	return m.must(m.owning())
}

func (m *modernMember) owning() *kmsg.ConsumerGroupHeartbeatRequest {
	req := m.request()
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for id, partitions := range m.owned {
		req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: partitions})
	}
	return req
}

func (m *modernMember) count() int {
	n := 0
	for _, partitions := range m.owned {
		n += len(partitions)
	}
	return n
}

func (m *modernMember) wantError(what string, req *kmsg.ConsumerGroupHeartbeatRequest, want kproto.ErrorCode, message string) {
	m.x.t.Helper()
	resp := m.send(req)
	if kproto.ErrorCode(resp.ErrorCode) != want || !strings.Contains(deref(resp.ErrorMessage), message) {
		m.x.t.Errorf("%s: %v %q, want %v %q", what, kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage), want, message)
	}
}

func (x *target) describeConsumerGroup(group string) kmsg.ConsumerGroupDescribeResponseGroup {
	x.t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Version, req.Groups = 1, []string{group}
	return ask[*kmsg.ConsumerGroupDescribeResponse](x, req).Groups[0]
}

// groupName is unique, so that the tests can run again and again on one broker.
func groupName() string { return fmt.Sprintf("cg%d", time.Now().UnixNano()) }

// TestConsumerGroupRequestRules holds statements 166, 167 and 170.
func TestConsumerGroupRequestRules(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	x.coordinator("g")
	m := x.member(groupName())
	empty := ""
	for _, c := range []struct {
		name    string
		change  func(req *kmsg.ConsumerGroupHeartbeatRequest)
		code    kproto.ErrorCode
		message string
	}{
		{"no group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }, kproto.InvalidRequest, "GroupId can't be empty."},
		{"no member id", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }, kproto.InvalidRequest, "MemberId can't be empty."},
		{"empty instance", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = &empty }, kproto.InvalidRequest, "InstanceId can't be empty."},
		{"empty rack", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = &empty }, kproto.InvalidRequest, "RackId can't be empty."},
		{"no timeout", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }, kproto.InvalidRequest, "RebalanceTimeoutMs must be provided in first request."},
		{"null partitions", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil }, kproto.InvalidRequest, "TopicPartitions must be empty when (re-)joining."},
		{"no subscription", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }, kproto.InvalidRequest,
			"Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."},
		{"leaving for a while without instance", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 }, kproto.InvalidRequest, "InstanceId can't be null."},
		{"epoch -3", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }, kproto.InvalidRequest, "MemberEpoch is invalid."},
		{"unknown assignor", func(r *kmsg.ConsumerGroupHeartbeatRequest) { s := "fair"; r.ServerAssignor = &s }, kproto.UnsupportedAssignor,
			"ServerAssignor fair is not supported. Supported assignors: uniform, range."},
		{"bad expression", func(r *kmsg.ConsumerGroupHeartbeatRequest) { s := "a("; r.SubscribedTopicRegex = &s }, kproto.InvalidRegularExpression,
			"SubscribedTopicRegex `a(` is not a valid regular expression: "},
		{"unknown group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 1 }, kproto.GroupIDNotFound, "Consumer group " + m.group + " not found."},
		{"leaving an unknown group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 }, kproto.GroupIDNotFound, "Group " + m.group + " not found."},
	} {
		req := m.joining(topic)
		c.change(req)
		m.wantError(c.name, req, c.code, c.message)
	}
	// Version 0: the coordinator makes the id.
	req := m.joining(topic)
	req.Version, req.MemberID = 0, ""
	if resp := m.must(req); deref(resp.MemberID) == "" || resp.MemberEpoch != 2 {
		t.Errorf("version 0: %+v", resp)
	}
}

// TestConsumerGroupLife: join, assignment, epochs, leaving. Statements 168, 169, 172, 177.
func TestConsumerGroupLife(t *testing.T) {
	x := contract(t)
	topic := x.topic(4)
	id := x.topicID(topic)
	x.coordinator("g")
	group := groupName()
	a := x.member(group)
	resp := a.must(a.joining(topic))
	if resp.MemberEpoch != 2 || deref(resp.MemberID) != a.id || resp.HeartbeatIntervalMillis != 5000 || !slices.Equal(a.owned[id], []int32{0, 1, 2, 3}) {
		t.Fatalf("first join: %+v, %v", resp, a.owned)
	}
	if resp := a.beat(); resp.Assignment != nil || resp.MemberEpoch != 2 {
		t.Errorf("nothing new: %+v", resp)
	}
	full := a.owning()
	full.RebalanceTimeoutMillis, full.SubscribedTopicNames = 60_000, []string{topic}
	if resp := a.must(full); resp.Assignment == nil || resp.MemberEpoch != 2 {
		t.Errorf("a full heartbeat: %+v", resp)
	}
	d := x.describeConsumerGroup(group)
	if d.ErrorCode != 0 || d.State != "Stable" || d.Epoch != 2 || d.AssignmentEpoch != 2 || d.AssignorName != "uniform" || len(d.Members) != 1 {
		t.Fatalf("described: %+v", d)
	}
	dm := d.Members[0]
	if dm.MemberID != a.id || dm.MemberEpoch != 2 || dm.MemberType != 1 || !slices.Equal(dm.SubscribedTopics, []string{topic}) || len(dm.Assignment.TopicPartitions) != 1 ||
		dm.Assignment.TopicPartitions[0].Topic != topic || dm.Assignment.TopicPartitions[0].TopicID != id || len(dm.TargetAssignment.TopicPartitions) != 1 ||
		!strings.HasPrefix(dm.ClientHost, "/") {
		t.Errorf("described member: %+v", dm)
	}
	// Epochs that are not the member's.
	wrong := a.owning()
	wrong.MemberEpoch = 3
	a.wantError("epoch too high", wrong, kproto.FencedMemberEpoch, "The consumer group member has a greater member epoch (3) than the one known by the group coordinator (2). The member must abandon all its partitions and rejoin.")
	stranger := x.member(group)
	stranger.epoch = 1
	stranger.wantError("unknown member", stranger.request(), kproto.UnknownMemberID, "Member "+stranger.id+" is not a member of group "+group+".")

	// A second member: the first has to give up two partitions before the second gets them.
	b := x.member(group)
	resp = b.must(b.joining(topic))
	x.eventually("the new target", func() bool { // it is computed once a second at most
		resp := a.must(a.request())
		return resp.Assignment != nil && a.count() == 2
	})
	if a.epoch != 2 {
		t.Errorf("epoch %d while partitions are to be given up", a.epoch)
	}
	b.beat()
	if b.count() != 0 {
		t.Errorf("the second member has %v, which the first did not give up", b.owned)
	}
	if d := x.describeConsumerGroup(group); d.State != "Reconciling" || d.Epoch != 3 || d.AssignmentEpoch != 3 {
		t.Errorf("described: %+v", d)
	}
	if a.beat(); a.epoch != 3 {
		t.Errorf("epoch %d after the partitions were given up", a.epoch)
	}
	if b.beat(); b.count() != 2 || b.epoch != 3 {
		t.Errorf("second member: epoch %d, %v", b.epoch, b.owned)
	}
	if all := slices.Sorted(slices.Values(append(slices.Clone(a.owned[id]), b.owned[id]...))); !slices.Equal(all, []int32{0, 1, 2, 3}) {
		t.Errorf("owned: %v", all)
	}
	if d := x.describeConsumerGroup(group); d.State != "Stable" {
		t.Errorf("described: %+v", d)
	}
	// The epoch before is taken from a member that owns no more than it may.
	again := a.owning()
	again.MemberEpoch = 2
	if resp := a.must(again); resp.MemberEpoch != 3 {
		t.Errorf("epoch before: %+v", resp)
	}
	again.Topics = nil
	a.wantError("epoch before, unknown partitions", again, kproto.FencedMemberEpoch,
		"The consumer group member has a smaller member epoch (2) than the one known by the group coordinator (3). The member must abandon all its partitions and rejoin.")
	if code := x.deleteGroup(group); code != kproto.NonEmptyGroup {
		t.Errorf("delete a group with members: %v", code)
	}
	leave := b.request()
	leave.MemberEpoch = -1
	if resp := b.must(leave); resp.MemberEpoch != -1 || resp.HeartbeatIntervalMillis != 0 {
		t.Errorf("left: %+v", resp)
	}
	x.eventually("all partitions to come back", func() bool { a.beat(); return a.count() == 4 })
	if a.epoch != 4 {
		t.Errorf("epoch %d", a.epoch)
	}
	leave = a.request()
	leave.MemberEpoch = -1
	a.must(leave)
	if d := x.describeConsumerGroup(group); d.State != "Empty" || d.Epoch != 5 || d.AssignmentEpoch != 4 || len(d.Members) != 0 {
		t.Errorf("described: %+v", d)
	}
	if l := x.listed(group, "Consumer"); l.GroupType != "consumer" || l.GroupState != "Empty" || l.ProtocolType != "consumer" {
		t.Errorf("listed: %+v", l)
	}
	if code := x.deleteGroup(group); code != kproto.None {
		t.Errorf("delete: %v", code)
	}
	if d := x.describeConsumerGroup(group); kproto.ErrorCode(d.ErrorCode) != kproto.GroupIDNotFound || deref(d.ErrorMessage) != "Group "+group+" not found." {
		t.Errorf("described: %+v", d)
	}
}

func (x *target) deleteGroup(group string) kproto.ErrorCode {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Version, req.Groups = 2, []string{group}
	return kproto.ErrorCode(ask[*kmsg.DeleteGroupsResponse](x, req).Groups[0].ErrorCode)
}

// listed is a group in a listing of its type.
func (x *target) listed(group, kind string) kmsg.ListGroupsResponseGroup {
	x.t.Helper()
	req := kmsg.NewPtrListGroupsRequest()
	req.Version, req.TypesFilter = 5, []string{kind}
	for _, g := range ask[*kmsg.ListGroupsResponse](x, req).Groups {
		if g.Group == group {
			return g
		}
	}
	x.t.Fatalf("group %s is not listed", group)
	return kmsg.ListGroupsResponseGroup{}
}

// TestConsumerGroupRegex holds statement 173.
func TestConsumerGroupRegex(t *testing.T) {
	x := contract(t)
	prefix := groupName() // of topics, too
	x.create(prefix+"-a", 1)
	x.create(prefix+"-b", 2)
	x.create(prefix+"b", 1)
	x.coordinator("g")
	m := x.member(prefix)
	expression := prefix + "-."
	req := m.joining()
	req.SubscribedTopicNames, req.SubscribedTopicRegex = nil, &expression
	resp := m.must(req)
	if resp.MemberEpoch != 1 || m.count() != 0 {
		t.Errorf("before it is resolved: %+v", resp)
	}
	x.eventually("the expression to be resolved", func() bool { m.beat(); return m.count() == 3 })
	if m.epoch != 2 {
		t.Errorf("epoch %d", m.epoch)
	}
	d := x.describeConsumerGroup(prefix)
	if d.State != "Stable" || len(d.Members) != 1 || deref(d.Members[0].SubscribedTopicRegex) != expression || len(d.Members[0].SubscribedTopics) != 0 {
		t.Errorf("described: %+v", d)
	}
}

// TestConsumerGroupStatic: static members. Statement 170.
func TestConsumerGroupStatic(t *testing.T) {
	x := contract(t)
	topic := x.topic(2)
	x.coordinator("g")
	group, instance := groupName(), "i1"
	a := x.member(group)
	a.instance = &instance
	a.must(a.joining(topic))
	if a.count() != 2 {
		t.Fatalf("owned: %v", a.owned)
	}
	b := x.member(group)
	b.instance = &instance
	b.wantError("the instance is not free", b.joining(topic), kproto.UnreleasedInstanceID, "Static member "+b.id+" with instance id i1 cannot join the group because the instance id is owned by "+a.id+" member.")
	suspend := a.request()
	suspend.MemberEpoch = -2
	if resp := a.must(suspend); resp.MemberEpoch != -2 || deref(resp.MemberID) != a.id {
		t.Fatalf("left for a while: %+v", resp)
	}
	if d := x.describeConsumerGroup(group); len(d.Members) != 1 || d.Members[0].MemberEpoch != -2 || d.Epoch != 2 {
		t.Errorf("described: %+v", d)
	}
	if resp := b.must(b.joining(topic)); resp.MemberEpoch != 2 || b.count() != 2 {
		t.Errorf("came back: %+v", resp)
	}
	a.epoch = 2
	a.wantError("the old incarnation", a.request(), kproto.FencedInstanceID, "Static member "+a.id+" with instance id i1 was fenced by member "+b.id+".")
	other := "i2"
	c := x.member(group)
	c.instance, c.epoch = &other, 2
	c.wantError("an unknown instance", c.request(), kproto.UnknownMemberID, "Instance id i2 is unknown.")
	leave := b.request()
	leave.MemberEpoch = -1
	b.must(leave)
	if d := x.describeConsumerGroup(group); d.State != "Empty" || d.Epoch != 3 {
		t.Errorf("described: %+v", d)
	}
}

// memberCommit is an OffsetCommit of a member.
func (m *modernMember) commit(version int16, epoch int32, topic string, offset int64) kproto.ErrorCode {
	req := commit(m.group, topic, 0, offset, "")
	req.Version, req.MemberID, req.Generation = version, m.id, epoch
	if version >= 10 {
		req.Topics[0].TopicID = m.x.topicID(topic)
	}
	return kproto.ErrorCode(ask[*kmsg.OffsetCommitResponse](m.x, req).Topics[0].Partitions[0].ErrorCode)
}

func (m *modernMember) fetchOffset(topic string, epoch int32) (int64, kproto.ErrorCode) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 9
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberID, g.MemberEpoch = m.group, &m.id, epoch
	rt := kmsg.NewOffsetFetchRequestGroupTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	g.Topics = append(g.Topics, rt)
	req.Groups = append(req.Groups, g)
	got := ask[*kmsg.OffsetFetchResponse](m.x, req).Groups[0]
	if got.ErrorCode != 0 {
		return -1, kproto.ErrorCode(got.ErrorCode)
	}
	return got.Topics[0].Partitions[0].Offset, kproto.None
}

// TestConsumerGroupOffsets holds statements 137 and 175.
func TestConsumerGroupOffsets(t *testing.T) {
	x := contract(t)
	topic, second := x.topic(1), x.topic(1)
	x.coordinator("g")
	m := x.member(groupName())
	if offset, code := m.fetchOffset(topic, 1); offset != -1 || code != kproto.None {
		t.Errorf("fetch of a member of no group: %d %v", offset, code)
	}
	m.must(m.joining(topic))
	wantCode(t, "commit", int16(m.commit(9, 2, topic, 5)), kproto.None)
	wantCode(t, "commit by id", int16(m.commit(10, 2, topic, 6)), kproto.None)
	wantCode(t, "commit with version 8", int16(m.commit(8, 2, topic, 7)), kproto.UnsupportedVersion)
	wantCode(t, "commit of a newer epoch", int16(m.commit(9, 3, topic, 7)), kproto.StaleMemberEpoch)
	wantCode(t, "commit of an administrator", int16((&modernMember{x: x, group: m.group}).commit(9, -1, topic, 7)), kproto.UnknownMemberID)
	wantCode(t, "commit of a stranger", int16(x.member(m.group).commit(9, 2, topic, 7)), kproto.UnknownMemberID)
	if offset, code := m.fetchOffset(topic, 2); offset != 6 || code != kproto.None {
		t.Errorf("fetched %d, %v", offset, code)
	}
	if _, code := m.fetchOffset(topic, 1); code != kproto.StaleMemberEpoch {
		t.Errorf("fetch of another epoch: %v", code)
	}
	// In a later epoch the partition is still the member's since the earlier one: its commit of then is taken, of another partition it is not.
	again := m.owning()
	again.SubscribedTopicNames = []string{topic, second}
	m.must(again)
	x.eventually("the next epoch", func() bool { m.beat(); return m.epoch == 3 && m.count() == 2 })
	wantCode(t, "late commit", int16(m.commit(9, 2, topic, 8)), kproto.None)
	wantCode(t, "late commit of what came later", int16(m.commit(9, 2, second, 8)), kproto.StaleMemberEpoch)
	if got := x.committed(m.group, topic); got.Offset != 8 {
		t.Errorf("committed: %+v", got)
	}
	// Offsets of subscribed topics stay.
	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group = m.group
	dt := kmsg.NewOffsetDeleteRequestTopic()
	dt.Topic = topic
	dt.Partitions = append(dt.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
	del.Topics = append(del.Topics, dt)
	if resp := ask[*kmsg.OffsetDeleteResponse](x, del); resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != int16(kproto.GroupSubscribedToTopic) {
		t.Errorf("delete an offset: %+v", resp)
	}
	// The other APIs about groups.
	dg := kmsg.NewPtrDescribeGroupsRequest()
	dg.Version, dg.Groups = 6, []string{m.group}
	if g := ask[*kmsg.DescribeGroupsResponse](x, dg).Groups[0]; g.ErrorCode != int16(kproto.GroupIDNotFound) || g.State != "Dead" || deref(g.ErrorMessage) != "Group "+m.group+" is not a classic group." {
		t.Errorf("described as a classic group: %+v %q", g, deref(g.ErrorMessage))
	}
	simple := groupName()
	wantCode(t, "commit without group", ask[*kmsg.OffsetCommitResponse](x, commit(simple, topic, 0, 1, "")).Topics[0].Partitions[0].ErrorCode, kproto.None)
	if d := x.describeConsumerGroup(simple); d.ErrorCode != int16(kproto.GroupIDNotFound) || deref(d.ErrorMessage) != "Group "+simple+" is not a consumer group." {
		t.Errorf("classic group described: %+v %q", d, deref(d.ErrorMessage))
	}
	// A group that has only offsets becomes a consumer group, and keeps them.
	s := x.member(simple)
	s.must(s.joining(topic))
	if got := x.committed(simple, topic); got.Offset != 1 {
		t.Errorf("committed before: %+v", got)
	}
}

// TestGroupConfigs holds statement 178.
func TestGroupConfigs(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	x.coordinator("g")
	group := groupName()
	set := func(key, value string) (kproto.ErrorCode, string) {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Version = 1
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = key, &value
		res.Configs = append(res.Configs, c)
		req.Resources = append(req.Resources, res)
		out := ask[*kmsg.IncrementalAlterConfigsResponse](x, req).Resources[0]
		return kproto.ErrorCode(out.ErrorCode), deref(out.ErrorMessage)
	}
	for _, c := range []struct {
		key, value string
		code       kproto.ErrorCode
		message    string
	}{
		{"consumer.heartbeat.interval.ms", "7000", kproto.None, ""},
		{"consumer.session.timeout.ms", "50000", kproto.None, ""},
		{"consumer.session.timeout.ms", "1000", kproto.InvalidConfig, "must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{"consumer.heartbeat.interval.ms", "60000", kproto.InvalidConfig, "must be less than or equal to group.consumer.max.heartbeat.interval.ms"},
		{"consumer.nonsense", "1", kproto.InvalidConfig, "consumer.nonsense"},
	} {
		if code, message := set(c.key, c.value); code != c.code || !strings.Contains(message, c.message) {
			t.Errorf("%s=%s: %v %q, want %v %q", c.key, c.value, code, message, c.code, c.message)
		}
	}
	x.eventually("the group's keys", func() bool {
		got := map[string]string{}
		for _, c := range x.configs(kmsg.ConfigResourceTypeGroupConfig, group).Configs {
			got[c.Name] = fmt.Sprintf("%s %d", deref(c.Value), c.Source)
		}
		return got["consumer.heartbeat.interval.ms"] == "7000 8" && got["consumer.session.timeout.ms"] == "50000 8" && got["consumer.assignment.interval.ms"] == "1000 5"
	})
	m := x.member(group)
	x.eventually("the heartbeat interval", func() bool { return m.must(m.joining(topic)).HeartbeatIntervalMillis == 7000 })
}

// TestGroupVersionFeature: how clients know that there are groups of the consumer protocol.
func TestGroupVersionFeature(t *testing.T) {
	x := contract(t)
	for version := int16(3); version <= 4; version++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "test", "1"
		resp := ask[*kmsg.ApiVersionsResponse](x, req)
		// A range that begins with 0 is not shown to clients that would not understand it.
		if version >= 4 != slices.ContainsFunc(resp.SupportedFeatures, func(f kmsg.ApiVersionsResponseSupportedFeature) bool {
			return f.Name == "group.version" && f.MinVersion == 0 && f.MaxVersion == 1
		}) {
			t.Errorf("version %d: supported features %+v", version, resp.SupportedFeatures)
		}
		if !slices.ContainsFunc(resp.FinalizedFeatures, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool {
			return f.Name == "group.version" && f.MinVersionLevel == 1 && f.MaxVersionLevel == 1
		}) {
			t.Errorf("version %d: finalized features %+v", version, resp.FinalizedFeatures)
		}
	}
}

// classicMember is a member that speaks the classic protocol, with the embedded protocol of consumers.
type classicMember struct {
	x          *target
	group, id  string
	generation int32
	owned      []int32 // of topic
	topic      string
}

func (m *classicMember) join() *kmsg.JoinGroupResponse {
	m.x.t.Helper()
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Version, metadata.Topics, metadata.Generation = 3, []string{m.topic}, m.generation
	if len(m.owned) > 0 {
		metadata.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: m.topic, Partitions: m.owned}}
	}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 9, m.group, m.id, "consumer", 30_000, 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata.AppendTo(nil)}}
	resp := ask[*kmsg.JoinGroupResponse](m.x, req)
	if kproto.ErrorCode(resp.ErrorCode) == kproto.MemberIDRequired {
		m.id, req.MemberID = resp.MemberID, resp.MemberID
		resp = ask[*kmsg.JoinGroupResponse](m.x, req)
	}
	if resp.ErrorCode == 0 {
		m.id, m.generation = resp.MemberID, resp.Generation
	}
	return resp
}

// sync leads, if it must: the member gets everything.
func (m *classicMember) sync(leads bool, partitions ...int32) kproto.ErrorCode {
	m.x.t.Helper()
	req := kmsg.NewPtrSyncGroupRequest()
	protocolType, protocol := "consumer", "range"
	req.Version, req.Group, req.MemberID, req.Generation, req.ProtocolType, req.Protocol = 5, m.group, m.id, m.generation, &protocolType, &protocol
	if leads {
		a := kmsg.NewConsumerMemberAssignment()
		a.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: m.topic, Partitions: partitions}}
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: m.id, MemberAssignment: a.AppendTo(nil)}}
	}
	resp := ask[*kmsg.SyncGroupResponse](m.x, req)
	if resp.ErrorCode == 0 {
		var a kmsg.ConsumerMemberAssignment
		if err := a.ReadFrom(resp.MemberAssignment); err != nil {
			m.x.t.Fatal(err)
		}
		m.owned = nil
		for _, at := range a.Topics {
			m.owned = append(m.owned, at.Partitions...)
		}
	}
	return kproto.ErrorCode(resp.ErrorCode)
}

func (m *classicMember) heartbeat() kproto.ErrorCode {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 4, m.group, m.id, m.generation
	return kproto.ErrorCode(ask[*kmsg.HeartbeatResponse](m.x, req).ErrorCode)
}

// TestConsumerGroupMigration holds statement 176: a classic group with a member becomes a consumer group, its member goes on, and when the other has left
// the group is a classic one again.
func TestConsumerGroupMigration(t *testing.T) {
	x := contract(t)
	topic := x.topic(4)
	x.coordinator("g")
	group := groupName()
	old := &classicMember{x: x, group: group, topic: topic}
	x.eventually("the classic group", func() bool { return old.join().ErrorCode == 0 })
	wantCode(t, "sync", int16(old.sync(true, 0, 1, 2, 3)), kproto.None)
	if len(old.owned) != 4 {
		t.Fatalf("owned: %v", old.owned)
	}
	m := x.member(group)
	m.must(m.joining(topic))
	if d := x.describeConsumerGroup(group); d.ErrorCode != 0 || len(d.Members) != 2 {
		t.Fatalf("described: %+v", d)
	} else {
		for _, dm := range d.Members {
			if want := map[bool]int8{true: 0, false: 1}[dm.MemberID == old.id]; dm.MemberType != want {
				t.Errorf("member %s has type %d", dm.MemberID, dm.MemberType)
			}
		}
	}
	// The heartbeat sends the classic member to join, which takes away what it is to give up; the next one says that it did.
	x.eventually("the classic member to be told", func() bool { m.beat(); return old.heartbeat() == kproto.RebalanceInProgress })
	if resp := old.join(); resp.ErrorCode != 0 || resp.LeaderID != "" || len(resp.Members) != 0 {
		t.Fatalf("join: %+v", resp)
	}
	wantCode(t, "sync", int16(old.sync(false)), kproto.None)
	if len(old.owned) != 2 {
		t.Fatalf("owned: %v", old.owned)
	}
	wantCode(t, "heartbeat while the coordinator does not know", int16(old.heartbeat()), kproto.RebalanceInProgress)
	if resp := old.join(); resp.ErrorCode != 0 {
		t.Fatalf("join: %+v", resp)
	}
	wantCode(t, "sync", int16(old.sync(false)), kproto.None)
	wantCode(t, "heartbeat", int16(old.heartbeat()), kproto.None)
	x.eventually("the other half", func() bool { m.beat(); return m.count() == 2 })
	if d := x.describeConsumerGroup(group); d.State != "Stable" {
		t.Errorf("described: %+v", d)
	}
	// Back: who is left has to join the classic group.
	leave := m.request()
	leave.MemberEpoch = -1
	m.must(leave)
	if d := x.describeConsumerGroup(group); d.ErrorCode != int16(kproto.GroupIDNotFound) {
		t.Errorf("described: %+v", d)
	}
	wantCode(t, "heartbeat in the classic group", int16(old.heartbeat()), kproto.RebalanceInProgress)
	if resp := old.join(); resp.ErrorCode != 0 || resp.LeaderID != old.id || len(resp.Members) != 1 {
		t.Fatalf("join: %+v", resp)
	}
	wantCode(t, "sync", int16(old.sync(true, 0, 1, 2, 3)), kproto.None)
	wantCode(t, "heartbeat", int16(old.heartbeat()), kproto.None)
}
