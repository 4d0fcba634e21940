package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/tools/waittest"
)

// joinFlow joins a streams group whose program reads "secret" and keeps state, with the configuration given for its changelog.
func joinFlow(t *testing.T, cl *kgo.Client, configs ...kmsg.TopicInfoConfig) *kmsg.StreamsGroupHeartbeatResponse {
	t.Helper()
	process := "p"
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis, req.ProcessID = "flow", "m", 60_000, &process
	req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	req.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
		{SubtopologyID: "0", SourceTopics: []string{"secret"}, StateChangelogTopics: []kmsg.TopicInfo{{Topic: "flow-changelog", Configs: configs}}},
	}}
	resp, err := cl.SeedBrokers()[0].Request(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.StreamsGroupHeartbeatResponse)
}

// missingDetail is what an answer says of missing internal topics; "" when it says nothing.
func missingDetail(resp *kmsg.StreamsGroupHeartbeatResponse) string {
	for _, s := range resp.Status {
		if s.StatusCode == 3 {
			return s.StatusDetail
		}
	}
	return ""
}

// TestInternalTopicsRights: a member of a streams group has the group's topics created only if it may create them; else the status says so.
func TestInternalTopicsRights(t *testing.T) {
	n := startGuarded(t)
	admin := n.client(t, n.third, "admin")
	createAs(t, admin, "secret")
	n.allow(t, admin, "u", right{onGroup, "flow", kmsg.ACLOperationRead}, topicRight(kmsg.ACLOperationDescribe), right{onTopic, "flow-changelog", kmsg.ACLOperationDescribe})
	user := n.client(t, n.third, "u")
	find := kmsg.NewPtrFindCoordinatorRequest() // makes __consumer_offsets
	find.CoordinatorKeys = []string{"flow"}
	if _, err := admin.SeedBrokers()[0].Request(testContext(t), find); err != nil {
		t.Fatal(err)
	}
	var resp *kmsg.StreamsGroupHeartbeatResponse
	waittest.UntilNil(t, 30*time.Second, "the coordinator", func() error {
		if resp = joinFlow(t, user); resp.ErrorCode != 0 {
			return fmt.Errorf("%v", kproto.ErrorCode(resp.ErrorCode))
		}
		return nil
	})
	if detail := missingDetail(resp); detail != "Internal topics are missing: flow-changelog; Unauthorized to CREATE on topics flow-changelog." {
		t.Errorf("without the right: %q", detail)
	}
	n.allow(t, admin, "u", right{onTopic, "flow-changelog", kmsg.ACLOperationCreate})
	waittest.Until(t, 30*time.Second, "the topic is created", func() bool {
		resp = joinFlow(t, user)
		return resp.ErrorCode == 0 && missingDetail(resp) == ""
	})
}

// TestInternalTopicsFailure: the status says why an internal topic cannot be created.
func TestInternalTopicsFailure(t *testing.T) {
	x := contract(t)
	x.create("secret", 1)
	x.coordinator("flow")
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	bad := kmsg.TopicInfoConfig{Key: "retention.ms", Value: "soon"}
	waittest.UntilNil(t, 30*time.Second, "the reason", func() error {
		resp := joinFlow(t, cl, bad)
		if detail := missingDetail(resp); !strings.HasPrefix(detail, "Internal topics are missing: flow-changelog; Creation failed: flow-changelog (") || !strings.Contains(detail, "retention.ms") {
			return fmt.Errorf("%v %q", kproto.ErrorCode(resp.ErrorCode), detail)
		}
		return nil
	})
}

// TestStreamsGroupCrash: members go on where they were when the broker is back.
func TestStreamsGroupCrash(t *testing.T) {
	x := contract(t)
	group, source := x.quickGroup("streams.num.standby.replicas=1"), x.topic(2)
	a, b := x.streamsMember(group, "p1"), x.streamsMember(group, "p2")
	for _, m := range []*streamsMember{a, b} {
		m.must(m.joining(wordCount(source, group)))
	}
	settled := func() bool {
		a.must(a.owning())
		b.must(b.owning())
		return len(a.owned[0]) == 2 && len(b.owned[0]) == 2 && len(a.owned[1])+len(b.owned[1]) == 2 && x.describeStreamsGroup(group).State == "Stable"
	}
	x.eventually("all tasks are where they should be", settled)
	before := x.describeStreamsGroup(group)
	x.crash()
	a.x, b.x = x, x
	had, epoch := a.owned, a.epoch
	if resp := a.must(a.owning()); resp.ActiveTasks != nil || a.epoch != epoch {
		t.Errorf("after the crash: %+v, had %v in epoch %d", resp, had, epoch)
	}
	x.eventually("all is as before", settled)
	if after := x.describeStreamsGroup(group); after.Epoch != before.Epoch || after.AssignmentEpoch != before.AssignmentEpoch || len(after.Members) != 2 ||
		fmt.Sprint(after.Members) != fmt.Sprint(before.Members) {
		t.Errorf("after: %+v\nbefore: %+v", after, before)
	}
}
