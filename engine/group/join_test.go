package group

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The numbers in names of tests are those of the broker contract's statements on groups.

func TestTwoMembersGetTheirAssignments(t *testing.T) { // 143, 151, 152, 154, 156
	h := newHarness(t, func(o *Options) { o.InitialRebalanceDelay = 3 * time.Second })
	h.wantState("g", "Dead")
	a, b := h.newID("g"), h.newID("g")
	h.wantState("g", "Empty")
	ja, jb := h.send(joinReq("g", a)), h.send(joinReq("g", b))
	h.wantState("g", "PreparingRebalance")
	if !ja.held() || !jb.held() {
		t.Fatal("joins are answered before the initial delay has passed")
	}
	h.clock.advance(6 * time.Second)
	h.wantState("g", "CompletingRebalance")
	ra, rb := ja.join(t), jb.join(t)
	for _, r := range []*kmsg.JoinGroupResponse{ra, rb} {
		if r.ErrorCode != 0 || r.Generation != 1 || *r.Protocol != "range" || *r.ProtocolType != "consumer" || r.LeaderID != a || r.SkipAssignment {
			t.Fatalf("join response %+v", r)
		}
	}
	if len(ra.Members) != 2 || len(rb.Members) != 0 {
		t.Fatalf("the leader got %d members, the follower %d", len(ra.Members), len(rb.Members))
	}
	if m := ra.Members[1]; m.MemberID != b || string(m.ProtocolMetadata) != string(subscription("t0")) {
		t.Fatalf("member %+v", m)
	}
	wantCode(t, "heartbeat in CompletingRebalance", h.heartbeat("g", 1, b), 0)
	sb := h.send(syncReq("g", 1, b))
	if !sb.held() {
		t.Fatal("sync is answered before the leader's")
	}
	h.log.held = true
	sa := h.send(syncReq("g", 1, a, a, "A", b, "B", "stranger", "X"))
	if !sa.held() || !sb.held() {
		t.Fatal("sync is answered before the assignment is durable")
	}
	h.log.release()
	if r := sa.sync(t); r.ErrorCode != 0 || string(r.MemberAssignment) != "A" || *r.Protocol != "range" || *r.ProtocolType != "consumer" {
		t.Fatalf("sync response %+v", r)
	}
	if r := sb.sync(t); string(r.MemberAssignment) != "B" {
		t.Fatalf("sync response %+v", r)
	}
	h.wantState("g", "Stable")
	wantCode(t, "heartbeat", h.heartbeat("g", 1, a), 0)
	if r := h.send(syncReq("g", 1, b)).sync(t); string(r.MemberAssignment) != "B" {
		t.Fatalf("sync in Stable: %+v", r)
	}
}

func TestJoinValidation(t *testing.T) { // 131, 144, 145, 146, 147
	h := newHarness(t, nil)
	stranger, long := "who", strings.Repeat("x", 1<<15)
	cases := []struct {
		name   string
		group  string
		change func(r *kmsg.JoinGroupRequest)
		want   int16
	}{
		{"no group id", "", nil, codeInvalidGroupID},
		{"giant group id", long, nil, codeInvalidGroupID},
		{"session too short", "g", timeouts(5999*time.Millisecond, time.Minute), codeInvalidSessionTimeout},
		{"session too long", "g", timeouts(30*time.Minute+time.Millisecond, time.Minute), codeInvalidSessionTimeout},
		{"unknown group, member id", "g", func(r *kmsg.JoinGroupRequest) { r.MemberID = stranger }, codeUnknownMemberID},
		{"no protocols", "g", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }, codeInconsistentProtocol},
		{"no protocol type", "g", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }, codeInconsistentProtocol},
		{"giant protocol name", "g", protocols(long, ""), codeInvalidRequest},
		{"first step", "g2", nil, codeMemberIDRequired},
		{"unknown member", "stable", func(r *kmsg.JoinGroupRequest) { r.MemberID = stranger }, codeUnknownMemberID},
		{"unknown instance with member id", "stable", func(r *kmsg.JoinGroupRequest) { r.MemberID, r.InstanceID = stranger, &stranger }, codeUnknownMemberID},
		{"other protocol type", "stable", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }, codeInconsistentProtocol},
		{"no shared protocol", "stable", protocols("roundrobin", ""), codeInconsistentProtocol},
	}
	h.stableGroup("stable", 1)
	for _, c := range cases {
		var change []func(r *kmsg.JoinGroupRequest)
		if c.change != nil {
			change = append(change, c.change)
		}
		r := h.send(joinReq(c.group, "", change...)).join(t)
		if r.ErrorCode != c.want || r.Generation != -1 {
			t.Errorf("%s: error %d generation %d, want error %d", c.name, r.ErrorCode, r.Generation, c.want)
		}
		if c.want == codeMemberIDRequired && r.MemberID != "client-uuid3" && !strings.HasPrefix(r.MemberID, "client-uuid") {
			t.Errorf("%s: member id %q", c.name, r.MemberID)
		}
	}
	h.wantState("g", "Dead") // refused joins leave no group behind
	if st := h.c.Stats(); st.Groups != 2 || st.Members != 1 {
		t.Fatalf("%+v", st)
	}
}

func TestPendingMemberExpires(t *testing.T) { // 145
	h := newHarness(t, nil)
	id := h.newID("g")
	h.clock.advance(9999 * time.Millisecond)
	h.wantState("g", "Empty")
	h.clock.advance(time.Millisecond)
	h.wantState("g", "Dead")
	wantCode(t, "late join", h.send(joinReq("g", id)).join(t).ErrorCode, codeUnknownMemberID)

	// A rebalance waits for a pending member, but only so long.
	ids, _ := h.stableGroup("h", 1)
	h.newID("h")
	join := h.send(joinReq("h", ids[0]))
	if !join.held() {
		t.Fatal("the join phase does not wait for the pending member")
	}
	h.clock.advance(10 * time.Second)
	if r := join.join(t); r.ErrorCode != 0 || len(r.Members) != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestPendingMembersAreBounded(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.MaxPendingMembers = 3 })
	for range 3 {
		h.newID("g")
	}
	wantCode(t, "fourth", h.send(joinReq("g", "")).code(t), codeCoordinatorNotAvailable)
	h.clock.advance(10 * time.Second)
	h.newID("g")
}

func TestOldClientsJoinInOneStep(t *testing.T) { // 144, 145
	h := newHarness(t, nil)
	r := h.send(joinReq("g", "", version(3))).join(t)
	if r.ErrorCode != 0 || r.MemberID != r.LeaderID || *r.Protocol != "range" {
		t.Fatalf("%+v", r)
	}
	r = h.send(joinReq("v0", "", version(0))).join(t)
	if r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	// v0: the session timeout is the rebalance timeout. The leader does not sync.
	h.clock.advance(9 * time.Second)
	h.heartbeat("v0", 1, r.MemberID)
	h.clock.advance(time.Second)
	h.wantState("v0", "Empty")
}

func TestGroupSizeIsLimited(t *testing.T) { // 149
	h := newHarness(t, func(o *Options) { o.MaxSize = 2 })
	ids, gen := h.stableGroup("g", 2)
	wantCode(t, "third, Stable", h.send(joinReq("g", "")).code(t), codeGroupMaxSizeReached)
	join0 := h.send(joinReq("g", ids[0]))
	wantCode(t, "follower in PreparingRebalance", h.heartbeat("g", gen, ids[1]), codeRebalanceInProgress)
	join1 := h.send(joinReq("g", ids[1]))
	if join0.code(t) != 0 || join1.code(t) != 0 {
		t.Fatal("members cannot rejoin")
	}

	// In the join phase of a new group the first ones stay.
	h2 := newHarness(t, func(o *Options) { o.MaxSize, o.InitialRebalanceDelay = 2, 3*time.Second })
	a, b, c := h2.newID("g"), h2.newID("g"), h2.newID("g")
	ja, jb := h2.send(joinReq("g", a)), h2.send(joinReq("g", b))
	wantCode(t, "third, PreparingRebalance", h2.send(joinReq("g", c)).code(t), codeGroupMaxSizeReached)
	h2.clock.advance(6 * time.Second)
	if ja.code(t) != 0 || jb.code(t) != 0 {
		t.Fatal("the first two do not get in")
	}
}

func TestGroupBytesAreLimited(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.MaxGroupBytes = 10_000 })
	big := protocols("range", strings.Repeat("x", 9_000))
	ids, _ := h.stableGroup("g", 1, big)
	b := h.send(joinReq("g", "", big)).join(t).MemberID
	wantCode(t, "second big member", h.send(joinReq("g", b, big)).code(t), codeGroupMaxSizeReached)
	wantCode(t, "member that grows", h.send(joinReq("g", ids[0], protocols("range", strings.Repeat("x", 10_000)))).code(t), codeGroupMaxSizeReached)
	h.wantState("g", "Stable")
}

func TestProtocolSelection(t *testing.T) { // 147, 148
	h := newHarness(t, func(o *Options) { o.InitialRebalanceDelay = time.Second })
	members := [][]string{
		{"only-a", "", "range", "", "sticky", ""}, // votes for range
		{"sticky", "", "range", ""},
		{"sticky", "", "range", "", "sticky", ""}, // a name that comes twice counts once
	}
	var joins []*call
	for _, m := range members {
		id := h.send(joinReq("g", "", protocols(m...))).join(t).MemberID
		joins = append(joins, h.send(joinReq("g", id, protocols(m...))))
	}
	h.clock.advance(2 * time.Second)
	for _, j := range joins {
		if r := j.join(t); r.ErrorCode != 0 || *r.Protocol != "sticky" {
			t.Fatalf("%+v", r)
		}
	}
	wantCode(t, "only-a is not shared", h.send(joinReq("g", "", protocols("only-a", ""))).code(t), codeInconsistentProtocol)
}

func TestInitialDelayIsExtendedByNewcomers(t *testing.T) { // 150
	h := newHarness(t, func(o *Options) { o.InitialRebalanceDelay = 3 * time.Second })
	short := timeouts(10*time.Second, 8*time.Second)
	var joins []*call
	newcomer := func() {
		id := h.send(joinReq("g", "", short)).join(t).MemberID
		joins = append(joins, h.send(joinReq("g", id, short)))
	}
	newcomer()
	for range 4 { // at 1.5, 3, 4.5 and 6 seconds
		h.clock.advance(1500 * time.Millisecond)
		newcomer()
	}
	h.clock.advance(1999 * time.Millisecond)
	if !joins[0].held() {
		t.Fatal("ended before the rebalance timeout")
	}
	h.clock.advance(time.Millisecond)
	if r := joins[0].join(t); len(r.Members) != 5 {
		t.Fatalf("%d members", len(r.Members))
	}

	// Nobody new in the first 3 seconds: no extension.
	id := h.newID("h")
	join := h.send(joinReq("h", id))
	h.clock.advance(3 * time.Second)
	if join.held() {
		t.Fatal("extended without a newcomer")
	}
}

func TestRebalanceWaitsAndDropsTheMissing(t *testing.T) { // 151, 153, 156
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 3)
	join := h.send(joinReq("g", ids[1], protocols("range", "changed"))) // 153: changed metadata
	if !join.held() {
		t.Fatal("not held")
	}
	wantCode(t, "heartbeat", h.heartbeat("g", gen, ids[2]), codeRebalanceInProgress)
	join2 := h.send(joinReq("g", ids[2]))
	for range 6 { // the leader is alive but does not rejoin
		h.clock.advance(9 * time.Second)
		h.heartbeat("g", gen, ids[0])
	}
	if !join.held() {
		t.Fatal("ended before the rebalance timeout")
	}
	h.clock.advance(6 * time.Second)
	r, r2 := join.join(t), join2.join(t)
	if r.Generation != gen+1 || r.LeaderID != ids[1] || len(r.Members) != 2 || len(r2.Members) != 0 {
		t.Fatalf("%+v", r)
	}
	wantCode(t, "the missing one", h.heartbeat("g", gen, ids[0]), codeUnknownMemberID)
	wantCode(t, "old generation", h.heartbeat("g", gen, ids[1]), codeIllegalGeneration)
}

func TestRejoin(t *testing.T) { // 153
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 2)
	if r := h.send(joinReq("g", ids[1])).join(t); r.ErrorCode != 0 || r.Generation != gen || len(r.Members) != 0 {
		t.Fatalf("unchanged follower: %+v", r)
	}
	h.wantState("g", "Stable")
	join := h.send(joinReq("g", ids[0]))
	if !join.held() {
		t.Fatal("a leader's join does not start a rebalance")
	}
	again := h.send(joinReq("g", ids[0])) // the client gave the first one up
	wantCode(t, "join that was replaced", join.code(t), codeRebalanceInProgress)
	f := h.send(joinReq("g", ids[1]))
	if r := again.join(t); r.Generation != gen+1 || len(r.Members) != 2 {
		t.Fatalf("%+v", r)
	}
	f.join(t)
	// CompletingRebalance: the response was lost, the client asks again.
	if r := h.send(joinReq("g", ids[0])).join(t); r.Generation != gen+1 || len(r.Members) != 2 {
		t.Fatalf("%+v", r)
	}
	h.wantState("g", "CompletingRebalance")
	// With other metadata it is a new rebalance; who waits in sync is sent back.
	sync := h.send(syncReq("g", gen+1, ids[1]))
	join = h.send(joinReq("g", ids[0], protocols("range", "other")))
	if !join.held() {
		t.Fatal("not held")
	}
	wantCode(t, "sync", sync.code(t), codeRebalanceInProgress)
}

func TestNewMemberWhoseConnectionIsGone(t *testing.T) {
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 1, timeouts(10*time.Second, 30*time.Minute))
	id := h.send(joinReq("g", "", timeouts(10*time.Second, 30*time.Minute))).join(t).MemberID
	join := h.send(joinReq("g", id, timeouts(10*time.Second, 30*time.Minute)))
	for range 60 {
		h.clock.advance(5 * time.Second)
		h.heartbeat("g", gen, ids[0])
	}
	wantCode(t, "held for five minutes", join.code(t), codeUnknownMemberID)
}

func TestMemberIDsFitRecords(t *testing.T) {
	h := newHarness(t, nil)
	long := strings.Repeat("i", maxString)
	r := h.send(joinReq("g", "", instance(long))).join(t)
	if r.ErrorCode != 0 || len(r.MemberID) > 2*maxIDPrefix {
		t.Fatalf("error %d, id of %d bytes", r.ErrorCode, len(r.MemberID))
	}
	h.syncAll("g", 1, []string{r.MemberID})
	h.failover()
	wantCode(t, "heartbeat after failover", h.heartbeat("g", 1, r.MemberID, long), 0)
}
