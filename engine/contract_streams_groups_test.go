package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// streamsMember is a member of a streams group that speaks key 88 by hand.
type streamsMember struct {
	x         *target
	group, id string
	process   string
	epoch     int32
	endpoints int32       // epoch of the endpoints that it knows
	owned     [3][]string // tasks by role, as "subtopology-partition"
}

func (x *target) streamsMember(group, process string) *streamsMember {
	memberIDs++
	return &streamsMember{x: x, group: group, id: fmt.Sprintf("%s-member-%d", group, memberIDs), process: process}
}

func (m *streamsMember) request() *kmsg.StreamsGroupHeartbeatRequest {
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.EndpointInformationEpoch = m.group, m.id, m.epoch, m.endpoints
	return req
}

// wordCount is a topology that reads a topic, writes a repartition topic, and keeps counts.
func wordCount(source, app string) *kmsg.StreamsGroupHeartbeatRequestTopology {
	info := func(name string, configs ...string) []kmsg.TopicInfo {
		t := kmsg.NewTopicInfo()
		t.Topic = app + "-" + name
		for i := 0; i < len(configs); i += 2 {
			c := kmsg.NewTopicInfoConfig()
			c.Key, c.Value = configs[i], configs[i+1]
			t.Configs = append(t.Configs, c)
		}
		return []kmsg.TopicInfo{t}
	}
	t := kmsg.NewStreamsGroupHeartbeatRequestTopology()
	a, b := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology(), kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
	a.SubtopologyID, a.SourceTopics, a.RepartitionSinkTopics = "0", []string{source}, []string{app + "-words-repartition"}
	b.SubtopologyID = "1"
	b.RepartitionSourceTopics = info("words-repartition", "cleanup.policy", "delete", "retention.ms", "-1")
	b.StateChangelogTopics = info("counts-changelog", "cleanup.policy", "compact")
	t.Subtopologies = []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{a, b}
	return &t
}

// joining is a first heartbeat.
func (m *streamsMember) joining(t *kmsg.StreamsGroupHeartbeatRequestTopology) *kmsg.StreamsGroupHeartbeatRequest {
	req := m.request()
	req.MemberEpoch, req.RebalanceTimeoutMillis, req.Topology, req.ProcessID = 0, 60_000, t, &m.process
	req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	return req
}

// owning says what the member has: what it was told.
func (m *streamsMember) owning() *kmsg.StreamsGroupHeartbeatRequest {
	req := m.request()
	for role, into := range []*[]kmsg.TaskIDs{&req.ActiveTasks, &req.StandbyTasks, &req.WarmupTasks} {
		by := map[string][]int32{}
		for _, name := range m.owned[role] {
			id, p, _ := strings.Cut(name, "-")
			by[id] = append(by[id], int32(p[0]-'0'))
		}
		*into = []kmsg.TaskIDs{}
		for _, id := range slices.Sorted(maps.Keys(by)) {
			*into = append(*into, kmsg.TaskIDs{SubtopologyID: id, Partitions: by[id]})
		}
	}
	return req
}

// send takes what a successful answer says.
func (m *streamsMember) send(req *kmsg.StreamsGroupHeartbeatRequest) *kmsg.StreamsGroupHeartbeatResponse {
	m.x.t.Helper()
	var resp *kmsg.StreamsGroupHeartbeatResponse
	m.x.eventually("the coordinator", func() bool {
		resp = ask[*kmsg.StreamsGroupHeartbeatResponse](m.x, req)
		code := kproto.ErrorCode(resp.ErrorCode)
		return code != kproto.NotCoordinator && code != kproto.CoordinatorNotAvailable && code != kproto.CoordinatorLoadInProgress
	})
	if resp.ErrorCode == 0 {
		m.epoch, m.endpoints = resp.MemberEpoch, resp.EndpointInformationEpoch
		if resp.ActiveTasks != nil {
			for role, list := range [][]kmsg.TaskIDs{resp.ActiveTasks, resp.StandbyTasks, resp.WarmupTasks} {
				m.owned[role] = nil
				for _, t := range list {
					for _, p := range t.Partitions {
						m.owned[role] = append(m.owned[role], fmt.Sprintf("%s-%d", t.SubtopologyID, p))
					}
				}
				slices.Sort(m.owned[role])
			}
		}
	}
	return resp
}

func (m *streamsMember) must(req *kmsg.StreamsGroupHeartbeatRequest) *kmsg.StreamsGroupHeartbeatResponse {
	m.x.t.Helper()
	resp := m.send(req)
	if resp.ErrorCode != 0 {
		m.x.t.Fatalf("heartbeat: %v %s", kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage))
	}
	return resp
}

func (m *streamsMember) wantError(what string, req *kmsg.StreamsGroupHeartbeatRequest, want kproto.ErrorCode, message string) {
	m.x.t.Helper()
	resp := m.send(req)
	if kproto.ErrorCode(resp.ErrorCode) != want || !strings.Contains(deref(resp.ErrorMessage), message) {
		m.x.t.Errorf("%s: %v %q, want %v %q", what, kproto.ErrorCode(resp.ErrorCode), deref(resp.ErrorMessage), want, message)
	}
}

// statuses are those of an answer, as code:detail.
func statuses(resp *kmsg.StreamsGroupHeartbeatResponse) (all []string) {
	for _, s := range resp.Status {
		all = append(all, fmt.Sprintf("%d:%s", s.StatusCode, s.StatusDetail))
	}
	return all
}

func (m *streamsMember) wantStatuses(what string, resp *kmsg.StreamsGroupHeartbeatResponse, want ...string) {
	m.x.t.Helper()
	if got := statuses(resp); !slices.Equal(got, want) {
		m.x.t.Errorf("%s: statuses %q, want %q", what, got, want)
	}
}

func (x *target) describeStreamsGroup(group string) kmsg.StreamsGroupDescribeResponseGroup {
	x.t.Helper()
	req := kmsg.NewPtrStreamsGroupDescribeRequest()
	req.Groups = []string{group}
	return ask[*kmsg.StreamsGroupDescribeResponse](x, req).Groups[0]
}

// quickGroup is a group whose assignments wait for nothing.
func (x *target) quickGroup(pairs ...string) string {
	x.t.Helper()
	x.coordinator("g")
	group := groupName()
	pairs = append(pairs, "streams.initial.rebalance.delay.ms=0", "streams.assignment.interval.ms=0")
	resp := ask[*kmsg.IncrementalAlterConfigsResponse](x, alterRequest(kmsg.ConfigResourceTypeGroupConfig, group, kmsg.IncrementalAlterConfigOpSet, pairs...))
	if code := kproto.ErrorCode(resp.Resources[0].ErrorCode); code != kproto.None {
		x.t.Fatalf("configure the group: %v %s", code, deref(resp.Resources[0].ErrorMessage))
	}
	x.eventually("the group's keys", func() bool {
		for _, c := range x.configs(kmsg.ConfigResourceTypeGroupConfig, group).Configs {
			if c.Name == "streams.initial.rebalance.delay.ms" {
				return deref(c.Value) == "0"
			}
		}
		return false
	})
	return group
}

// TestStreamsGroupRequestRules holds statement 185: what is refused, and in which words.
func TestStreamsGroupRequestRules(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	x.coordinator("g")
	m := x.streamsMember(groupName(), "p")
	empty, some := "", "i"
	type request = kmsg.StreamsGroupHeartbeatRequest
	tasks := []kmsg.TaskIDs{{SubtopologyID: "0", Partitions: []int32{0}}}
	for _, c := range []struct {
		name    string
		change  func(r *request)
		code    kproto.ErrorCode
		message string
	}{
		{"no group", func(r *request) { r.Group = "" }, kproto.InvalidRequest, "GroupId can't be empty."},
		{"no member id", func(r *request) { r.MemberID = "" }, kproto.InvalidRequest, "MemberId can't be empty."},
		{"empty rack", func(r *request) { r.RackID = &empty }, kproto.InvalidRequest, "RackId can't be empty."},
		{"no timeout", func(r *request) { r.RebalanceTimeoutMillis = -1 }, kproto.InvalidRequest, "RebalanceTimeoutMs must be provided in first request."},
		{"active tasks", func(r *request) { r.ActiveTasks = tasks }, kproto.InvalidRequest, "ActiveTasks must be empty when (re-)joining."},
		{"standby tasks", func(r *request) { r.StandbyTasks = tasks }, kproto.InvalidRequest, "StandbyTasks must be empty when (re-)joining."},
		{"warm-up tasks", func(r *request) { r.WarmupTasks = tasks }, kproto.InvalidRequest, "WarmupTasks are not supported yet."},
		{"no topology", func(r *request) { r.Topology = nil }, kproto.InvalidRequest, "Topology must be non-null when (re-)joining."},
		{"static member", func(r *request) { r.InstanceID = &some }, kproto.InvalidRequest, "Static membership is not yet supported."},
		{"task offsets", func(r *request) { r.TaskOffsets = []kmsg.TaskOffset{} }, kproto.InvalidRequest, "TaskOffsets are not supported yet."},
		{"task end offsets", func(r *request) { r.TaskEndOffsets = []kmsg.TaskOffset{} }, kproto.InvalidRequest, "TaskEndOffsets are not supported yet."},
		{"expression", func(r *request) { r.Topology.Subtopologies[0].SourceTopicRegex = []string{"a.*"} }, kproto.InvalidRequest, "Regular expressions for source topics are not supported yet."},
		{"epoch -2", func(r *request) { r.MemberEpoch, r.Topology = -2, nil }, kproto.InvalidRequest, "InstanceId can't be null."},
		{"epoch -3", func(r *request) { r.MemberEpoch, r.Topology = -3, nil }, kproto.InvalidRequest, "MemberEpoch is -3, but must be greater than or equal to -2."},
		{"one kind of tasks", func(r *request) { r.MemberEpoch, r.Topology, r.WarmupTasks = 1, nil, nil }, kproto.InvalidRequest, "If one task-type is non-null, all must be non-null."},
		{"topology later", func(r *request) { r.MemberEpoch = 1 }, kproto.InvalidRequest, "Topology can only be provided when (re-)joining."},
		{"unknown group", func(r *request) { r.MemberEpoch, r.Topology = 1, nil }, kproto.GroupIDNotFound, "Streams group " + m.group + " not found."},
		{"leaving an unknown group", func(r *request) { r.MemberEpoch, r.Topology = -1, nil }, kproto.GroupIDNotFound, "Group " + m.group + " not found."},
		{"changelog with a number", func(r *request) { r.Topology.Subtopologies[1].StateChangelogTopics[0].NumPartitions = 3 }, kproto.StreamsInvalidTopology,
			"Changelog topic a-counts-changelog must have an undefined partition count, but it is set to 3."},
		{"internal topic", func(r *request) { r.Topology.Subtopologies[0].SourceTopics = []string{"__consumer_offsets"} }, kproto.StreamsInvalidTopology,
			"Use of Kafka internal topics __consumer_offsets in a Kafka Streams topology is prohibited."},
		{"bad name", func(r *request) { r.Topology.Subtopologies[0].SourceTopics = []string{"a b"} }, kproto.StreamsInvalidTopology, "Topic names a b are not valid topic names."},
		{"no sink", func(r *request) { r.Topology.Subtopologies[0].RepartitionSinkTopics = nil }, kproto.StreamsInvalidTopology,
			"Failed to compute number of partitions for all repartition topics, because a repartition source topic is never used as a sink topic."},
		{"loop", func(r *request) { r.Topology.Subtopologies[0].SourceTopics = nil }, kproto.StreamsInvalidTopology,
			"Failed to compute number of partitions for all repartition topics. There may be loops in the topology that cannot be resolved."},
		{"no sources", func(r *request) {
			r.Topology.Subtopologies = []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SubtopologyID: "x"}}
		}, kproto.StreamsInvalidTopology,
			"No source topics found for subtopology x"},
	} {
		req := m.joining(wordCount(topic, "a"))
		c.change(req)
		m.wantError(c.name, req, c.code, c.message)
	}
	if d := x.describeStreamsGroup(m.group); kproto.ErrorCode(d.ErrorCode) != kproto.GroupIDNotFound || deref(d.ErrorMessage) != "Group "+m.group+" not found." {
		t.Errorf("none of them has made a group: %+v", d)
	}
}

// TestStreamsGroupLife: topics that are missing and are created, assignment, a second member, epochs, offsets, leaving.
func TestStreamsGroupLife(t *testing.T) {
	x := contract(t)
	group := x.quickGroup()
	source := x.name()
	a := x.streamsMember(group, "p1")
	resp := a.must(a.joining(wordCount(source, group)))
	if resp.MemberID != a.id || resp.MemberEpoch != 2 || resp.HeartbeatIntervalMillis != 5000 || resp.ActiveTasks == nil || a.owned[0] != nil || resp.PartitionsByUserEndpoint != nil {
		t.Errorf("first join: %+v", resp)
	}
	a.wantStatuses("no source", resp, "1:Source topics "+source+" are missing.")
	if d := x.describeStreamsGroup(group); d.State != "NotReady" || d.Epoch != 2 || d.AssignmentEpoch != 2 || d.Topology == nil || len(d.Topology.Subtopologies) != 2 ||
		d.Topology.Subtopologies[1].StateChangelogTopics[0].NumPartitions != 0 {
		t.Errorf("without source: %+v", d)
	}
	x.create(source, 3)
	x.eventually("internal topics are missing", func() bool { resp = a.must(a.owning()); return len(resp.Status) > 0 && resp.Status[0].StatusCode == 3 })
	if got := statuses(resp); len(got) != 1 || !strings.HasPrefix(got[0], "3:Internal topics are missing: ") || !strings.Contains(got[0], group+"-counts-changelog") ||
		!strings.Contains(got[0], group+"-words-repartition") { // Kafka has them in no order
		t.Errorf("internal topics: statuses %q", got)
	}
	x.eventually("tasks", func() bool { resp = a.must(a.owning()); return len(a.owned[0]) > 0 })
	if want := []string{"0-0", "0-1", "0-2", "1-0", "1-1", "1-2"}; !slices.Equal(a.owned[0], want) || a.owned[1] != nil || len(resp.Status) > 0 {
		t.Fatalf("tasks %v, want %v; %+v", a.owned, want, resp)
	}
	for name, want := range map[string]string{"words-repartition": "delete", "counts-changelog": "compact"} {
		if got := x.metadata(group + "-" + name); len(got.Partitions) != 3 {
			t.Errorf("%s: %d partitions", name, len(got.Partitions))
		}
		if c := x.configs(kmsg.ConfigResourceTypeTopic, group+"-"+name, "cleanup.policy").Configs[0]; deref(c.Value) != want {
			t.Errorf("%s: cleanup.policy is %s", name, deref(c.Value))
		}
	}
	if resp := a.must(a.request()); resp.ActiveTasks != nil || resp.StandbyTasks != nil || len(resp.Status) > 0 {
		t.Errorf("nothing new: %+v", resp)
	}
	d := x.describeStreamsGroup(group)
	if d.ErrorCode != 0 || d.State != "Stable" || d.Epoch != a.epoch || d.AssignmentEpoch != a.epoch || len(d.Members) != 1 || d.Topology.Subtopologies[1].StateChangelogTopics[0].NumPartitions != 3 ||
		d.Topology.Subtopologies[1].RepartitionSourceTopics[0].NumPartitions != 3 {
		t.Fatalf("described: %+v", d)
	}
	if dm := d.Members[0]; dm.MemberID != a.id || dm.MemberEpoch != a.epoch || dm.ProcessID != "p1" || dm.TopologyEpoch != 0 || len(dm.Assignment.ActiveTasks) != 2 || len(dm.TargetAssignment.ActiveTasks) != 2 ||
		!slices.Equal(dm.Assignment.ActiveTasks[1].Partitions, []int32{0, 1, 2}) || !strings.HasPrefix(dm.ClientHost, "/") || dm.UserEndpoint != nil {
		t.Errorf("described member: %+v", dm)
	}
	if l := x.listed(group, "Streams"); l.GroupType != "streams" || l.ProtocolType != "streams" || l.GroupState != "Stable" {
		t.Errorf("listed: %+v", l)
	}
	if got := x.describeConsumerGroup(group); kproto.ErrorCode(got.ErrorCode) != kproto.GroupIDNotFound || deref(got.ErrorMessage) != "Group "+group+" is not a consumer group." {
		t.Errorf("as a consumer group: %+v", got)
	}
	x.streamsEpochs(a, group, source)
	x.streamsSecond(a, group, source)
}

// streamsEpochs: epochs, tasks and topologies that are not the member's, and offsets.
func (x *target) streamsEpochs(a *streamsMember, group, source string) {
	x.t.Helper()
	wrong := a.owning()
	wrong.MemberEpoch = a.epoch + 1
	a.wantError("epoch too high", wrong, kproto.FencedMemberEpoch, fmt.Sprintf("The streams group member has a greater member epoch (%d) than the one known by the group coordinator (%d).", a.epoch+1, a.epoch))
	wrong.MemberEpoch = 1
	a.wantError("epoch too low", wrong, kproto.FencedMemberEpoch, fmt.Sprintf("The streams group member has a smaller member epoch (1) than the one known by the group coordinator (%d).", a.epoch))
	stranger := x.streamsMember(group, "p9")
	stranger.epoch = 1
	stranger.wantError("unknown member", stranger.request(), kproto.UnknownMemberID, "Member "+stranger.id+" is not a member of group "+group+".")
	wrong = a.owning()
	wrong.ActiveTasks = []kmsg.TaskIDs{{SubtopologyID: "1", Partitions: []int32{3}}}
	a.wantError("no such task", wrong, kproto.InvalidRequest, "Task 3 for subtopology 1 is invalid. Number of tasks for this subtopology: 3")
	wrong.ActiveTasks[0].SubtopologyID = "7"
	a.wantError("no such subtopology", wrong, kproto.InvalidRequest, "Subtopology 7 does not exist in the topology.")
	other := stranger.joining(wordCount(source, group))
	other.Topology.Epoch = 1
	stranger.wantError("another topology", other, kproto.InvalidRequest, "Topology updates are not supported yet.")
	modern := x.member(group)
	modern.wantError("a consumer", modern.joining(source), kproto.GroupIDNotFound, "Group "+group+" is not a consumer group.")
	if code := x.deleteGroup(group); code != kproto.NonEmptyGroup {
		x.t.Errorf("delete: %v", code)
	}
	as := &modernMember{x: x, group: group, id: a.id}
	for _, c := range []struct {
		version int16
		epoch   int32
		want    kproto.ErrorCode
	}{{9, a.epoch, kproto.None}, {9, a.epoch - 1, kproto.StaleMemberEpoch}, {9, a.epoch + 1, kproto.StaleMemberEpoch}, {8, a.epoch, kproto.UnsupportedVersion}, {9, -1, kproto.UnknownMemberID}} {
		sender := as
		if c.epoch == -1 {
			sender = &modernMember{x: x, group: group}
		}
		if code := sender.commit(c.version, c.epoch, source, 5); code != c.want {
			x.t.Errorf("commit version %d with epoch %d: %v, want %v", c.version, c.epoch, code, c.want)
		}
	}
	if offset, code := as.fetchOffset(source, a.epoch); offset != 5 || code != kproto.None {
		x.t.Errorf("fetch: %d %v", offset, code)
	}
	if _, code := as.fetchOffset(source, a.epoch+1); code != kproto.StaleMemberEpoch {
		x.t.Errorf("fetch with another epoch: %v", code)
	}
}

// streamsSecond: the first member gives tasks up before a second one gets them, and gets them back when that has left.
func (x *target) streamsSecond(a *streamsMember, group, source string) {
	x.t.Helper()
	b := x.streamsMember(group, "p2")
	host := "b.example"
	joins := b.joining(wordCount(source, group))
	joins.UserEndpoint = &kmsg.StreamsGroupHeartbeatRequestUserEndpoint{Host: host, Port: 8080}
	b.must(joins)
	if len(b.owned[0]) != 0 {
		x.t.Fatalf("b has %v, which a has", b.owned)
	}
	before := slices.Clone(a.owned[0])
	x.eventually("a is told to give up tasks", func() bool { a.must(a.request()); return len(a.owned[0]) == 3 })
	if d := x.describeStreamsGroup(group); d.State != "Reconciling" {
		x.t.Errorf("state %s", d.State)
	}
	if b.must(b.owning()); len(b.owned[0]) != 0 {
		x.t.Fatalf("b has %v, which a did not give up", b.owned)
	}
	a.must(a.owning())
	resp := b.must(b.owning())
	if all := slices.Sorted(slices.Values(append(slices.Clone(a.owned[0]), b.owned[0]...))); !slices.Equal(all, before) || a.epoch != b.epoch {
		x.t.Fatalf("a has %v in epoch %d, b has %v in epoch %d", a.owned, a.epoch, b.owned, b.epoch)
	}
	if len(resp.PartitionsByUserEndpoint) != 1 || resp.PartitionsByUserEndpoint[0].UserEndpoint.Host != host || resp.PartitionsByUserEndpoint[0].UserEndpoint.Port != 8080 {
		x.t.Errorf("endpoints: %+v", resp.PartitionsByUserEndpoint)
	} else {
		n := 0
		for _, p := range resp.PartitionsByUserEndpoint[0].ActivePartitions {
			n += len(p.Partitions)
		}
		if n != 3 {
			x.t.Errorf("partitions at the endpoint: %+v", resp.PartitionsByUserEndpoint[0])
		}
	}
	if resp := b.must(b.owning()); resp.PartitionsByUserEndpoint != nil || resp.EndpointInformationEpoch != b.endpoints {
		x.t.Errorf("endpoints that b knows: %+v", resp)
	}
	stop := a.request()
	stop.ShutdownApplication = true
	want := "4:Streams group member " + a.id + " encountered a fatal error and requested a shutdown for the entire application."
	a.wantStatuses("asks for the end", a.must(stop), want)
	b.wantStatuses("is told", b.must(b.request()), want)
	leave := b.request()
	leave.MemberEpoch = -1
	if resp := b.must(leave); resp.MemberEpoch != -1 || resp.MemberID != b.id {
		x.t.Errorf("leave: %+v", resp)
	}
	x.eventually("a gets the tasks back", func() bool { a.must(a.owning()); return slices.Equal(a.owned[0], before) })
	leave = a.request()
	leave.MemberEpoch = -1
	a.must(leave)
	if d := x.describeStreamsGroup(group); d.State != "Empty" || len(d.Members) != 0 || d.Topology == nil {
		x.t.Errorf("empty: %+v", d)
	}
	if code := x.deleteGroup(group); code != kproto.None {
		x.t.Errorf("delete: %v", code)
	}
}

// TestStreamsGroupStandby: a copy of each task with state at the other process; the number is a key of the group.
func TestStreamsGroupStandby(t *testing.T) {
	x := contract(t)
	group := x.quickGroup("streams.num.standby.replicas=1")
	source := x.topic(2)
	a, b := x.streamsMember(group, "p1"), x.streamsMember(group, "p2")
	a.must(a.joining(wordCount(source, group)))
	b.must(b.joining(wordCount(source, group)))
	x.eventually("all tasks are where they should be", func() bool {
		a.must(a.owning())
		b.must(b.owning())
		return len(a.owned[0]) == 2 && len(b.owned[0]) == 2 && len(a.owned[1])+len(b.owned[1]) == 2
	})
	for _, pair := range [][2]*streamsMember{{a, b}, {b, a}} {
		for _, standby := range pair[0].owned[1] {
			if !strings.HasPrefix(standby, "1-") || !slices.Contains(pair[1].owned[0], standby) {
				t.Errorf("%s stands by at %s; active: %v and %v", standby, pair[0].id, a.owned[0], b.owned[0])
			}
		}
	}
	for _, c := range [][2]string{{"streams.num.standby.replicas=3", "must be less than or equal to group.streams.max.standby.replicas"},
		{"streams.session.timeout.ms=1000", "must be greater than or equal to group.streams.min.session.timeout.ms"}} {
		resp := ask[*kmsg.IncrementalAlterConfigsResponse](x, alterRequest(kmsg.ConfigResourceTypeGroupConfig, group, kmsg.IncrementalAlterConfigOpSet, c[0]))
		if r := resp.Resources[0]; kproto.ErrorCode(r.ErrorCode) != kproto.InvalidConfig || !strings.Contains(deref(r.ErrorMessage), c[1]) {
			t.Errorf("%s: %v %s", c[0], kproto.ErrorCode(r.ErrorCode), deref(r.ErrorMessage))
		}
	}
}

// TestStreamsGroupTopics: topics that do not fit, and the rebalance delay of a new group.
func TestStreamsGroupTopics(t *testing.T) {
	x := contract(t)
	two, three := x.topic(2), x.topic(3)
	group := x.quickGroup()
	m := x.streamsMember(group, "p")
	topology := kmsg.NewStreamsGroupHeartbeatRequestTopology()
	s := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
	s.SubtopologyID, s.SourceTopics = "0", []string{two, three}
	s.CopartitionGroups = []kmsg.StreamsGroupHeartbeatRequestTopologySubtopologyCopartitionGroup{{SourceTopics: []int16{0, 1}}}
	topology.Subtopologies = []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{s}
	numbers := []string{two + "=2", three + "=3"}
	slices.Sort(numbers)
	m.wantStatuses("copartition", m.must(m.joining(&topology)), "2:Following topics do not have the same number of partitions: [{"+strings.Join(numbers, ", ")+"}]")

	group = x.quickGroup()
	m = x.streamsMember(group, "p")
	x.create(group+"-counts-changelog", 1)
	m.wantStatuses("existing changelog", m.must(m.joining(wordCount(two, group))),
		fmt.Sprintf("2:Existing topic %s-counts-changelog has different number of partitions: expected 2, found 1", group))

	group = groupName()
	m = x.streamsMember(group, "p")
	resp := m.must(m.joining(wordCount(two, group)))
	if resp.MemberEpoch != 1 || resp.ActiveTasks == nil || len(m.owned[0]) > 0 {
		t.Errorf("a new group: %+v", resp)
	}
	if got := statuses(resp); len(got) != 2 || got[0] != "5:Assignment delayed due to the configured initial rebalance delay." || !strings.HasPrefix(got[1], "3:") {
		t.Errorf("a new group: statuses %q", got)
	}
	x.eventually("tasks", func() bool { m.must(m.owning()); return len(m.owned[0]) == 4 })
}

// TestStreamsVersionFeature: how clients know that there are streams groups.
func TestStreamsVersionFeature(t *testing.T) {
	x := contract(t)
	resp := ask[*kmsg.ApiVersionsResponse](x, apiVersionsRequest(4))
	if !slices.ContainsFunc(resp.SupportedFeatures, func(f kmsg.ApiVersionsResponseSupportedFeature) bool {
		return f.Name == "streams.version" && f.MinVersion == 0 && f.MaxVersion == 1
	}) || !slices.ContainsFunc(resp.FinalizedFeatures, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool {
		return f.Name == "streams.version" && f.MinVersionLevel == 1 && f.MaxVersionLevel == 1
	}) {
		t.Errorf("features %+v, finalized %+v", resp.SupportedFeatures, resp.FinalizedFeatures)
	}
}
