package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// modernBeat is a heartbeat of version 1; with epoch 0 a full one, subscribed to topics.
func modernBeat(id string, epoch int32, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.MemberEpoch = 1, "g", id, epoch
	if epoch == consumer.EpochJoin {
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = 60_000, topics, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	return r
}

func (h *harness) modern(r *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	h.t.Helper()
	k := h.send(r)
	if k.held() {
		h.t.Fatal("the heartbeat is not answered")
	}
	return k.resp.(*kmsg.ConsumerGroupHeartbeatResponse)
}

func (h *harness) describeModern() kmsg.ConsumerGroupDescribeResponseGroup {
	h.t.Helper()
	r := kmsg.NewPtrConsumerGroupDescribeRequest()
	r.Version, r.Groups = 1, []string{"g"}
	return h.send(r).resp.(*kmsg.ConsumerGroupDescribeResponse).Groups[0]
}

// TestModernTimers: a silent member is removed after its session, one that does not give up partitions after its rebalance timeout.
func TestModernTimers(t *testing.T) {
	h := newHarness(t, nil)
	h.setTopic("t0", 2)
	h.modern(modernBeat("a", 0, "t0"))
	h.clock.advance(2 * time.Second) // targets are a second apart
	h.modern(modernBeat("b", 0, "t0"))
	for range 11 { // a goes on, and does not say that it gave up its second partition; b is silent
		h.clock.advance(4 * time.Second)
		if resp := h.modern(modernBeat("a", 2)); resp.ErrorCode != 0 {
			t.Fatalf("%+v", resp)
		}
	}
	h.clock.advance(2 * time.Second)
	if d := h.describeModern(); len(d.Members) != 1 || d.Members[0].MemberID != "a" {
		t.Fatalf("after b's session: %+v", d)
	}
	for range 5 {
		h.clock.advance(4 * time.Second)
		h.send(modernBeat("a", 2))
	}
	if resp := h.modern(modernBeat("a", 2)); resp.ErrorCode != consumer.CodeUnknownMemberID {
		t.Fatalf("after a's rebalance timeout: %+v", resp)
	}
	if st := h.c.Stats(); st.Members != 0 || st.Groups != 1 {
		t.Errorf("%+v", st)
	}
	h.c.ExpireOffsets(h.clock.Now())
	if st := h.c.Stats(); st.Groups != 0 || len(h.log.latest()) != 0 {
		t.Errorf("an empty group stays: %+v, %d records", st, len(h.log.latest()))
	}
}

// TestModernWrites: answers wait for the log, what comes up meanwhile shares the next write, and a failed write is made up for.
func TestModernWrites(t *testing.T) {
	h := newHarness(t, nil)
	h.setTopic("t0", 4)
	h.log.held = true
	a := h.send(modernBeat("a", 0, "t0"))
	b, c := h.send(modernBeat("b", 0, "t0")), h.send(modernBeat("c", 0, "t0"))
	if !a.held() || !b.held() || !c.held() {
		t.Fatal("answered before it was durable")
	}
	h.log.held = false
	h.log.release()
	if a.held() || b.held() || c.held() || len(h.log.batches) != 2 {
		t.Fatalf("held: %v %v %v after %d batches, want 2", a.held(), b.held(), c.held(), len(h.log.batches))
	}
	h.log.fail = errDisk
	if resp := h.modern(modernBeat("d", 0, "t0")); resp.ErrorCode != codeCoordinatorNotAvailable {
		t.Fatalf("%+v", resp)
	}
	h.log.fail = nil
	if resp := h.modern(modernBeat("a", 2)); resp.ErrorCode != 0 { // any answer of the group makes up for it
		t.Fatalf("%+v", resp)
	}
	before := h.describeModern()
	h.failover()
	if after := h.describeModern(); len(before.Members) != 4 || !bytesEqual(before, after) {
		t.Fatalf("%s\nafter a change of the coordinator:\n%s", shown(&before), shown(&after))
	}
	// Nothing new: nothing is written.
	batches := len(h.log.batches)
	for range 10 {
		h.modern(modernBeat("a", 2))
	}
	if len(h.log.batches) != batches {
		t.Errorf("%d batches for heartbeats that change nothing", len(h.log.batches)-batches)
	}
}

func bytesEqual(a, b kmsg.ConsumerGroupDescribeResponseGroup) bool {
	return string(encoded(&a)) == string(encoded(&b))
}

// TestModernLimits: a group takes no more members than it may, and no more memory.
func TestModernLimits(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Consumer.MaxSize, o.MaxGroupBytes = 2, 8000 })
	h.setTopic("t0", 1)
	h.modern(modernBeat("a", 0, "t0"))
	r := modernBeat("b", 0)
	for i := range 1000 {
		r.SubscribedTopicNames = append(r.SubscribedTopicNames, fmt.Sprintf("topic-%d", i))
	}
	if resp := h.modern(r); resp.ErrorCode != codeGroupMaxSizeReached {
		t.Errorf("too many bytes: %+v", resp)
	}
	h.modern(modernBeat("b", 0, "t0"))
	if resp := h.modern(modernBeat("c", 0, "t0")); resp.ErrorCode != codeGroupMaxSizeReached {
		t.Errorf("too many members: %+v", resp)
	}
	if d := h.describeModern(); len(d.Members) != 2 {
		t.Errorf("%s", shown(&d))
	}
}

// TestModernReplacedMember: Kafka keeps the partitions of a static member that comes back under another id, also when the coordinator changes in between.
func TestModernReplacedMember(t *testing.T) {
	h := newHarness(t, nil)
	h.setTopic("t0", 3)
	instance := "i"
	join := modernBeat("a", 0, "t0")
	join.InstanceID = &instance
	h.modern(join)
	leave := modernBeat("a", consumer.EpochLeaveStatic)
	leave.InstanceID = &instance
	h.modern(leave)
	h.failover()
	join = modernBeat("b", 0, "t0")
	join.InstanceID = &instance
	if resp := h.modern(join); resp.ErrorCode != 0 || resp.MemberEpoch != 2 || len(resp.Assignment.Topics) != 1 || len(resp.Assignment.Topics[0].Partitions) != 3 {
		t.Fatalf("%+v", resp)
	}
	if d := h.describeModern(); len(d.Members) != 1 || d.Epoch != 2 {
		t.Errorf("%s", shown(&d))
	}
}

// TestModernVisibleTopics: an expression comes to what its member may see, and to new topics after a while.
func TestModernVisibleTopics(t *testing.T) {
	h := newHarness(t, nil)
	h.setTopic("open", 1)
	h.setTopic("secret", 1)
	pattern := ".*"
	beat := func(epoch int32) *kmsg.ConsumerGroupHeartbeatResponse {
		r := modernBeat("a", epoch)
		if epoch == 0 {
			r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, &pattern
		}
		var got *kmsg.ConsumerGroupHeartbeatResponse
		h.c.ConsumerGroupHeartbeat(Client{MayDescribe: func(topic string) bool { return topic != "secret" }}, r, func(resp kmsg.Response) {
			got = resp.(*kmsg.ConsumerGroupHeartbeatResponse)
		})
		h.clock.advance(time.Second) // what is resolved outside comes back
		return got
	}
	if resp := beat(0); resp.MemberEpoch != 1 || len(resp.Assignment.Topics) != 0 {
		t.Fatalf("before it is resolved: %+v", resp)
	}
	if resp := beat(1); resp.MemberEpoch != 2 || len(resp.Assignment.Topics) != 1 || resp.Assignment.Topics[0].TopicID != topicID("open") {
		t.Fatalf("resolved: %+v %+v", resp, resp.Assignment)
	}
	h.setTopic("opened", 1)
	if beat(2); len(h.describeModern().Members[0].Assignment.TopicPartitions) != 1 {
		t.Error("looked for topics again at once")
	}
	h.clock.advance(11 * time.Second)
	beat(2)
	if resp := beat(2); resp.MemberEpoch != 3 || len(resp.Assignment.Topics) != 2 {
		t.Errorf("a new topic: %+v", resp)
	}
}

// BenchmarkModernHeartbeat: what a heartbeat costs that changes nothing, in groups of different sizes.
func BenchmarkModernHeartbeat(b *testing.B) {
	for _, members := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			h := newHarness(b, func(o *Options) {
				o.Consumer.Config = func(string) ConsumerConfig { return ConsumerConfig{SessionTimeout: time.Hour} }
			})
			h.setTopic("t0", int32(members))
			for i := range members {
				h.modern(modernBeat(fmt.Sprintf("m%d", i), 0, "t0"))
			}
			var epoch int32
			settle := func(id string, owned []kmsg.ConsumerGroupHeartbeatRequestTopic) *kmsg.ConsumerGroupHeartbeatResponse {
				r := modernBeat(id, 0, "t0")
				r.Topics = owned
				return h.modern(r)
			}
			for range 3 {
				for i := range members {
					epoch = settle(fmt.Sprintf("m%d", i), []kmsg.ConsumerGroupHeartbeatRequestTopic{}).MemberEpoch
				}
			}
			h.calls = nil
			r := modernBeat("m0", epoch)
			answered := func(resp kmsg.Response) {
				if code := resp.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode; code != 0 {
					b.Fatalf("error %d", code)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				h.c.ConsumerGroupHeartbeat(Client{ID: "client", Host: "/10.0.0.1"}, r, answered)
			}
		})
	}
}

// leftBehind is a group with a member of the consumer protocol, which has left, and a classic one, which has a part of the partitions.
func leftBehind(t *testing.T, change func(o *Options)) (h *harness, id string, generation int32) {
	h = newHarness(t, change)
	h.setTopic("t0", 4)
	if r := h.modern(modernBeat("a", 0, "t0")); r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	h.clock.advance(2 * time.Second) // so that the next assignment may be computed
	id = h.newID("g")
	joined := h.send(joinReq("g", id)).join(t)
	if joined.ErrorCode != 0 {
		t.Fatalf("%+v", joined)
	}
	if r := h.send(syncReq("g", joined.Generation, id)).sync(t); r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	if r := h.modern(modernBeat("a", consumer.EpochLeave)); r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	h.clock.advance(2 * time.Second)
	return h, id, joined.Generation
}

// TestClassicMemberLeftBehind: a classic member that is the last of a consumer group, which has to stay one, is told to join again, and gets everything.
func TestClassicMemberLeftBehind(t *testing.T) {
	h, id, generation := leftBehind(t, func(o *Options) { o.Consumer.MayDowngrade = false })
	if code := h.heartbeat("g", generation, id); code != codeRebalanceInProgress {
		t.Fatalf("heartbeat: %d", code)
	}
	joined := h.send(joinReq("g", id)).join(t)
	if joined.ErrorCode != 0 || joined.Generation <= generation {
		t.Fatalf("%+v", joined)
	}
	synced := h.send(syncReq("g", joined.Generation, id)).sync(t)
	var got kmsg.ConsumerMemberAssignment
	if err := got.ReadFrom(synced.MemberAssignment); err != nil || len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	if code := h.heartbeat("g", joined.Generation, id); code != 0 {
		t.Fatalf("heartbeat after the join: %d", code)
	}
}

// TestDowngradeThenCrash: a group that has become a classic one rebalances also when its coordinator fails before the first member has joined again.
func TestDowngradeThenCrash(t *testing.T) {
	h, id, generation := leftBehind(t, nil)
	h.wantState("g", "PreparingRebalance")
	h.failover()
	h.wantState("g", "PreparingRebalance")
	if code := h.heartbeat("g", generation, id); code != codeRebalanceInProgress {
		t.Fatalf("heartbeat: %d", code)
	}
	joined := h.send(joinReq("g", id)).join(t)
	if joined.ErrorCode != 0 || joined.LeaderID != id {
		t.Fatalf("%+v", joined)
	}
	if r := h.send(syncReq("g", joined.Generation, id, id, "all")).sync(t); r.ErrorCode != 0 || string(r.MemberAssignment) != "all" {
		t.Fatalf("%+v", r)
	}
	h.failover()
	h.wantState("g", "Stable")
}
