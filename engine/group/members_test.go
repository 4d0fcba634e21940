package group

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestSyncValidation(t *testing.T) { // 131, 154
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 2)
	wrong, consumer, rng := "wrong", "consumer", "range"
	cases := []struct {
		name   string
		change func(r *kmsg.SyncGroupRequest)
		want   int16
	}{
		{"fine", func(r *kmsg.SyncGroupRequest) { r.ProtocolType, r.Protocol = &consumer, &rng }, 0},
		{"no group id", func(r *kmsg.SyncGroupRequest) { r.Group = "" }, codeInvalidGroupID},
		{"unknown group", func(r *kmsg.SyncGroupRequest) { r.Group = "nope" }, codeUnknownMemberID},
		{"unknown member", func(r *kmsg.SyncGroupRequest) { r.MemberID = "nope" }, codeUnknownMemberID},
		{"unknown instance", func(r *kmsg.SyncGroupRequest) { r.InstanceID = &wrong }, codeUnknownMemberID},
		{"generation", func(r *kmsg.SyncGroupRequest) { r.Generation++ }, codeIllegalGeneration},
		{"protocol type", func(r *kmsg.SyncGroupRequest) { r.ProtocolType = &wrong }, codeInconsistentProtocol},
		{"protocol", func(r *kmsg.SyncGroupRequest) { r.Protocol = &wrong }, codeInconsistentProtocol},
	}
	for _, c := range cases {
		r := syncReq("g", gen, ids[1])
		c.change(r)
		wantCode(t, c.name, h.send(r).code(t), c.want)
	}
	h.send(joinReq("g", ids[0]))
	wantCode(t, "PreparingRebalance", h.send(syncReq("g", gen, ids[1])).code(t), codeRebalanceInProgress)
	h.send(joinReq("g", ids[1]))
	// Members that the leader leaves out get nothing.
	f := h.send(syncReq("g", gen+1, ids[1]))
	h.send(syncReq("g", gen+1, ids[0], ids[0], "all"))
	if r := f.sync(t); r.ErrorCode != 0 || r.MemberAssignment == nil || len(r.MemberAssignment) != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestSyncThatIsReplaced(t *testing.T) {
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 2)
	h.send(joinReq("g", ids[0]))
	h.send(joinReq("g", ids[1]))
	first := h.send(syncReq("g", gen+1, ids[1]))
	second := h.send(syncReq("g", gen+1, ids[1]))
	wantCode(t, "first", first.code(t), codeRebalanceInProgress)
	h.log.held = true
	leader := h.send(syncReq("g", gen+1, ids[0], ids[1], "one"))
	leader2 := h.send(syncReq("g", gen+1, ids[0], ids[1], "two")) // too late: "one" is on its way
	h.log.release()
	wantCode(t, "leader's first", leader.code(t), codeRebalanceInProgress)
	wantCode(t, "leader's second", leader2.code(t), 0)
	if r := second.sync(t); string(r.MemberAssignment) != "one" {
		t.Fatalf("%+v", r)
	}
}

func TestMembersThatDoNotSyncAreRemoved(t *testing.T) { // 155
	h := newHarness(t, nil)
	rebalance := timeouts(30*time.Second, 20*time.Second)
	ids, gen := h.stableGroup("g", 3, rebalance)
	h.send(joinReq("g", ids[0], rebalance))
	h.send(joinReq("g", ids[1], rebalance))
	h.send(joinReq("g", ids[2], rebalance))
	gen++
	leader := h.send(syncReq("g", gen, ids[0]))
	h.send(syncReq("g", gen, ids[1]))
	wantCode(t, "leader", leader.code(t), 0)
	for range 2 {
		h.clock.advance(9 * time.Second)
		for _, id := range ids {
			wantCode(t, "heartbeat", h.heartbeat("g", gen, id), 0)
		}
	}
	h.clock.advance(2 * time.Second)
	wantCode(t, "the one without sync", h.heartbeat("g", gen, ids[2]), codeUnknownMemberID)
	wantCode(t, "the others", h.heartbeat("g", gen, ids[1]), codeRebalanceInProgress)

	// The leader does not sync: its followers' syncs end.
	j0, j1 := h.send(joinReq("g", ids[0], rebalance)), h.send(joinReq("g", ids[1], rebalance))
	j0.join(t)
	gen = j1.join(t).Generation
	sync := h.send(syncReq("g", gen, ids[1]))
	h.clock.advance(20 * time.Second)
	wantCode(t, "follower", sync.code(t), codeRebalanceInProgress)
	wantCode(t, "leader", h.heartbeat("g", gen, ids[0]), codeUnknownMemberID)
	if r := h.send(joinReq("g", ids[1], rebalance)).join(t); r.LeaderID != ids[1] || len(r.Members) != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestHeartbeatValidation(t *testing.T) { // 131, 156
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 1)
	pending := h.newID("g")
	wantCode(t, "no group id", h.heartbeat("", 1, "m"), codeInvalidGroupID)
	wantCode(t, "unknown group", h.heartbeat("nope", 1, "m"), codeUnknownMemberID)
	wantCode(t, "unknown member", h.heartbeat("g", gen, "m"), codeUnknownMemberID)
	wantCode(t, "pending member", h.heartbeat("g", gen, pending), codeUnknownMemberID)
	wantCode(t, "generation", h.heartbeat("g", gen-1, ids[0]), codeIllegalGeneration)
	wantCode(t, "unknown instance", h.heartbeat("g", gen, ids[0], "i"), codeUnknownMemberID)
	wantCode(t, "fine", h.heartbeat("g", gen, ids[0]), 0)
	h.leave("g", ids[0])
	h.leave("g", pending)
	h.wantState("g", "Empty")
	wantCode(t, "Empty", h.heartbeat("g", gen+1, ids[0]), codeUnknownMemberID)
}

func TestSessionExpires(t *testing.T) { // 157
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 3)
	keep := func() {
		h.clock.advance(7 * time.Second)
		wantCode(t, "heartbeat", h.heartbeat("g", gen, ids[0]), 0)
		// A commit and a sync count as signs of life.
		wantCode(t, "commit", h.send(commitReq("g", gen, ids[1], map[string]int64{"t0": 1})).code(t), 0)
	}
	keep()
	wantCode(t, "sync", h.send(syncReq("g", gen, ids[2])).code(t), 0)
	keep()
	h.wantState("g", "Stable")
	h.clock.advance(3 * time.Second) // ids[2]
	h.wantState("g", "PreparingRebalance")
	wantCode(t, "expired member", h.heartbeat("g", gen, ids[2]), codeUnknownMemberID)
	h.clock.advance(20 * time.Second)
	h.wantState("g", "Empty")
	if st := h.c.Stats(); st.Members != 0 || len(h.clock.timers) != 0 {
		t.Fatalf("%+v, %d timers", st, len(h.clock.timers))
	}
}

func TestLeave(t *testing.T) { // 131, 158
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 3)
	wantCode(t, "no group id", h.leave("", "m"), codeInvalidGroupID)
	wantCode(t, "unknown group", h.leave("nope", "m"), codeUnknownMemberID)
	wantCode(t, "unknown member", h.leave("g", "m"), codeUnknownMemberID)
	wantCode(t, "unknown instance", h.leave("g", "", "i"), codeUnknownMemberID)
	wantCode(t, "member", h.leave("g", ids[1]), 0)
	wantCode(t, "the others", h.heartbeat("g", gen, ids[2]), codeRebalanceInProgress)
	j := h.send(joinReq("g", ids[2]))
	wantCode(t, "leader", h.leave("g", ids[0]), 0)
	if r := j.join(t); r.LeaderID != ids[2] || r.Generation != gen+1 { // 153
		t.Fatalf("%+v", r)
	}
	// A member that leaves while its join is held has that answered.
	ids, _ = h.stableGroup("h", 2)
	j = h.send(joinReq("h", ids[0]))
	wantCode(t, "leave", h.leave("h", ids[0]), 0)
	wantCode(t, "held join", j.code(t), codeUnknownMemberID)

	// Versions up to 2 name one member, and have its code for the whole.
	old := kmsg.NewPtrLeaveGroupRequest()
	old.Version, old.Group, old.MemberID = 2, "h", "m"
	if r := h.send(old).resp.(*kmsg.LeaveGroupResponse); r.ErrorCode != codeUnknownMemberID {
		t.Fatalf("%+v", r)
	}
	old.MemberID = ids[1]
	if r := h.send(old).resp.(*kmsg.LeaveGroupResponse); r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	h.wantState("h", "Empty")

	// Several at once, with an answer for each.
	ids, _ = h.stableGroup("i", 2)
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = 5, "i"
	r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: ids[0]}, {MemberID: "m"}, {MemberID: ids[1]}}
	resp := h.send(r).resp.(*kmsg.LeaveGroupResponse)
	if resp.ErrorCode != 0 || resp.Members[0].ErrorCode != 0 || resp.Members[1].ErrorCode != codeUnknownMemberID || resp.Members[2].ErrorCode != 0 {
		t.Fatalf("%+v", resp)
	}
	h.wantState("i", "Empty")
}

// staticGroup makes a Stable group of the static members "i0", "i1" ...
func (h *harness) staticGroup(group string, n int, change ...func(r *kmsg.JoinGroupRequest)) (ids []string, generation int32) {
	h.t.Helper()
	var joins []*call
	for i := range n {
		joins = append(joins, h.send(joinReq(group, "", append(change, instance("i"+string(rune('0'+i))))...)))
	}
	h.clock.advance(2 * h.c.opts.InitialRebalanceDelay)
	for _, j := range joins {
		r := j.join(h.t)
		if r.ErrorCode != 0 {
			h.t.Fatalf("%+v", r)
		}
		ids, generation = append(ids, r.MemberID), r.Generation
	}
	h.syncAll(group, generation, ids)
	return ids, generation
}

func withDelay(o *Options) { o.InitialRebalanceDelay = time.Second }

func TestStaticMemberRestarts(t *testing.T) { // 145, 158, 159
	h := newHarness(t, withDelay)
	ids, gen := h.staticGroup("g", 2)
	if !strings.HasPrefix(ids[1], "i1-") {
		t.Fatalf("member id %q", ids[1])
	}
	records := len(h.log.records)

	// A follower: same generation, new id, no rebalance, durable.
	h.log.held = true
	j := h.send(joinReq("g", "", instance("i1")))
	if !j.held() {
		t.Fatal("answered before the new id is durable")
	}
	h.log.release()
	h.log.held = false
	r := j.join(t)
	if r.ErrorCode != 0 || r.Generation != gen || r.MemberID == ids[1] || r.LeaderID != ids[0] || r.SkipAssignment || len(r.Members) != 0 {
		t.Fatalf("%+v", r)
	}
	if len(h.log.records) != records+1 {
		t.Fatalf("%d records, had %d", len(h.log.records), records)
	}
	h.wantState("g", "Stable")
	if s := h.send(syncReq("g", gen, r.MemberID)).sync(t); string(s.MemberAssignment) != "a"+ids[1] {
		t.Fatalf("%+v", s)
	}
	wantCode(t, "old incarnation, heartbeat", h.heartbeat("g", gen, ids[1], "i1"), codeFencedInstanceID)
	wantCode(t, "old incarnation, leave", h.leave("g", ids[1], "i1"), codeFencedInstanceID)
	oldSync, i1 := syncReq("g", gen, ids[1]), "i1"
	oldSync.InstanceID = &i1
	wantCode(t, "old incarnation, sync", h.send(oldSync).code(t), codeFencedInstanceID)
	oldCommit := commitReq("g", gen, ids[1], map[string]int64{"t0": 1})
	oldCommit.InstanceID = &i1
	wantCode(t, "old incarnation, commit", h.send(oldCommit).code(t), codeFencedInstanceID)
	wantCode(t, "old incarnation, join", h.send(joinReq("g", ids[1], instance("i1"))).code(t), codeFencedInstanceID)

	// The leader: v9 is told to skip the assignment, older versions are told that somebody else leads.
	r = h.send(joinReq("g", "", instance("i0"))).join(t)
	if r.ErrorCode != 0 || !r.SkipAssignment || r.LeaderID != r.MemberID || len(r.Members) != 2 {
		t.Fatalf("%+v", r)
	}
	r8 := h.send(joinReq("g", "", instance("i0"), version(8))).join(t)
	if r8.ErrorCode != 0 || r8.SkipAssignment || r8.LeaderID != r.MemberID || len(r8.Members) != 0 {
		t.Fatalf("%+v", r8)
	}
	h.failover()
	wantCode(t, "newest incarnation after failover", h.heartbeat("g", gen, r8.MemberID, "i0"), 0)
	wantCode(t, "older one", h.heartbeat("g", gen, r.MemberID, "i0"), codeFencedInstanceID)

	// An administrator removes it by its instance.
	wantCode(t, "remove", h.leave("g", "", "i0"), 0)
	wantCode(t, "remove again", h.leave("g", "", "i0"), codeUnknownMemberID)
}

func TestStaticMemberRestartsWithAnotherProtocol(t *testing.T) { // 159
	h := newHarness(t, withDelay)
	ids, gen := h.staticGroup("g", 1, protocols("range", "", "sticky", ""))
	r := h.send(joinReq("g", "", instance("i0"), protocols("sticky", "", "range", "")))
	if j := r.join(t); j.Generation != gen+1 || *j.Protocol != "sticky" || j.MemberID == ids[0] {
		t.Fatalf("%+v", j)
	}
}

func TestStaticMemberRestartsDuringRebalance(t *testing.T) { // 159
	h := newHarness(t, withDelay)
	ids, gen := h.staticGroup("g", 2)
	held := h.send(joinReq("g", ids[0], instance("i0"))) // the leader: PreparingRebalance
	again := h.send(joinReq("g", "", instance("i0")))
	wantCode(t, "join of the old incarnation", held.code(t), codeFencedInstanceID)
	f := h.send(joinReq("g", ids[1], instance("i1")))
	r := again.join(t)
	if r.Generation != gen+1 || r.LeaderID != r.MemberID || len(r.Members) != 2 {
		t.Fatalf("%+v", r)
	}
	f.join(t)
	// CompletingRebalance: a new rebalance.
	sync := h.send(syncReq("g", gen+1, ids[1]))
	again = h.send(joinReq("g", "", instance("i1")))
	wantCode(t, "sync of the old incarnation", sync.code(t), codeFencedInstanceID)
	if !again.held() {
		t.Fatal("not held")
	}
	h.send(joinReq("g", r.MemberID, instance("i0")))
	if r := again.join(t); r.Generation != gen+2 {
		t.Fatalf("%+v", r)
	}
}

func TestStaticMembersAreKept(t *testing.T) { // 151
	h := newHarness(t, withDelay)
	long := timeouts(10*time.Minute, time.Minute)
	ids, gen := h.staticGroup("g", 2, long)
	j := h.send(joinReq("g", ids[0], instance("i0"), long))
	h.clock.advance(time.Minute)
	r := j.join(t)
	if r.Generation != gen+1 || len(r.Members) != 2 {
		t.Fatalf("%+v", r)
	}
	wantCode(t, "leader", h.send(syncReq("g", gen+1, ids[0])).code(t), 0)
	// The restart finds the group as it is; it has the rebalance timeout to sync, as everybody (155).
	r = h.send(joinReq("g", "", instance("i1"), long)).join(t)
	if r.ErrorCode != 0 || r.Generation != gen+1 {
		t.Fatalf("%+v", r)
	}
	wantCode(t, "sync", h.send(syncReq("g", gen+1, r.MemberID)).code(t), 0)
	h.clock.advance(2 * time.Minute)
	h.wantState("g", "Stable")
	// In a rebalance to which nobody comes, a group of static members waits on.
	h.send(commitReq("g", gen+1, r.MemberID, nil))
	wantCode(t, "leave", h.leave("g", "", "i0"), 0)
	h.clock.advance(5 * time.Minute)
	h.wantState("g", "PreparingRebalance")
	if d := h.describe("g"); len(d.Members) != 1 {
		t.Fatalf("%+v", d)
	}
}

func TestStaticReplacementFails(t *testing.T) {
	h := newHarness(t, withDelay)
	ids, gen := h.staticGroup("g", 1)
	h.log.fail = errDisk
	r := h.send(joinReq("g", "", instance("i0"))).join(t)
	wantCode(t, "join", r.ErrorCode, codeCoordinatorNotAvailable)
	wantCode(t, "old id is back", h.heartbeat("g", gen, ids[0], "i0"), 0)
	h.log.fail = nil
	h.log.held = true
	first := h.send(joinReq("g", "", instance("i0")))
	second := h.send(joinReq("g", "", instance("i0")))
	h.log.release()
	wantCode(t, "first of two", first.code(t), codeFencedInstanceID)
	r = second.join(t)
	wantCode(t, "second of two", r.ErrorCode, 0)
	wantCode(t, "heartbeat", h.heartbeat("g", gen, r.MemberID, "i0"), 0)
}

func TestCooperativeRebalances(t *testing.T) { // 160, 161
	h := newHarness(t, nil)
	opaque := func(s string) func(r *kmsg.JoinGroupRequest) {
		return protocols("cooperative-sticky", "\x00\x01"+s+"\xff\xfe")
	}
	ids, gen := h.stableGroup("g", 2, opaque("owned:0,1"))
	for round := range 3 { // revoke, assign, settle
		s := string(rune('a' + round))
		l := h.send(joinReq("g", ids[0], opaque("L"+s)))
		f := h.send(joinReq("g", ids[1], opaque("F"+s)))
		r := l.join(t)
		gen++
		if r.Generation != gen || string(r.Members[0].ProtocolMetadata) != "\x00\x01L"+s+"\xff\xfe" ||
			string(r.Members[1].ProtocolMetadata) != "\x00\x01F"+s+"\xff\xfe" {
			t.Fatalf("%+v", r)
		}
		f.join(t)
		h.syncAll("g", gen, ids)
	}
	if d := h.describe("g"); d.Protocol != "cooperative-sticky" || string(d.Members[1].MemberAssignment) != "a"+ids[1] {
		t.Fatalf("%+v", d)
	}
}
