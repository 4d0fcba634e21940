package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func listReq(states, types []string) *kmsg.ListGroupsRequest {
	r := kmsg.NewPtrListGroupsRequest()
	r.Version, r.StatesFilter, r.TypesFilter = 5, states, types
	return r
}

func TestCommitValidation(t *testing.T) { // 132, 133, 134
	h := newHarness(t, func(o *Options) { o.OffsetMetadataMaxBytes = 10; o.MaxOffsetsPerGroup = 3 })
	ids, gen := h.stableGroup("g", 2)
	instance := "i"
	cases := []struct {
		name   string
		change func(r *kmsg.OffsetCommitRequest)
		want   int16
	}{
		{"member", func(r *kmsg.OffsetCommitRequest) {}, 0},
		{"unknown topic", func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "nosuch" }, codeUnknownTopicOrPartition},
		{"unknown partition", func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 1000 }, codeUnknownTopicOrPartition},
		{"metadata", func(r *kmsg.OffsetCommitRequest) { s := "12345678901"; r.Topics[0].Partitions[0].Metadata = &s }, codeOffsetMetadataTooLarge},
		{"no member id", func(r *kmsg.OffsetCommitRequest) { r.Generation, r.MemberID = -1, "" }, codeUnknownMemberID},
		{"unknown member", func(r *kmsg.OffsetCommitRequest) { r.MemberID = "m" }, codeUnknownMemberID},
		{"unknown instance", func(r *kmsg.OffsetCommitRequest) { r.InstanceID = &instance }, codeUnknownMemberID},
		{"generation", func(r *kmsg.OffsetCommitRequest) { r.Generation-- }, codeIllegalGeneration},
		{"unknown group v9", func(r *kmsg.OffsetCommitRequest) { r.Group = "nope" }, codeGroupIDNotFound},
		{"unknown group v8", func(r *kmsg.OffsetCommitRequest) { r.Group, r.Version = "nope", 8 }, codeIllegalGeneration},
		{"giant group id", func(r *kmsg.OffsetCommitRequest) { r.Group = strings.Repeat("x", 1<<15) }, codeInvalidGroupID},
	}
	for _, c := range cases {
		r := commitReq("g", gen, ids[0], map[string]int64{"t0": 1})
		c.change(r)
		wantCode(t, c.name, h.send(r).code(t), c.want)
	}
	// v10: by topic id.
	r := commitReq("g", gen, ids[0], map[string]int64{"": 77})
	r.Version, r.Topics[0].TopicID = 10, [16]byte{'t', '0'}
	wantCode(t, "topic id", h.send(r).code(t), 0)
	r.Topics[0].TopicID = [16]byte{}
	wantCode(t, "unknown topic id", h.send(r).code(t), codeUnknownTopicID)
	if o := h.fetch("g", "t0"); o != 77 {
		t.Fatalf("offset %d", o)
	}
	// One bad partition does not keep the others.
	r = commitReq("g", gen, ids[0], map[string]int64{"nosuch": 1})
	r.Topics = append(r.Topics, commitReq("", 0, "", map[string]int64{"t1": 5}).Topics...)
	k := h.send(r)
	wantCode(t, "bad one", k.code(t), codeUnknownTopicOrPartition)
	if h.fetch("g", "t1") != 5 {
		t.Fatal("the good one is not committed")
	}
	wantCode(t, "third", h.send(commitReq("g", gen, ids[0], map[string]int64{"t2": 1})).code(t), 0)
	wantCode(t, "one partition too many", h.send(commitReq("g", gen, ids[0], map[string]int64{"t3": 1})).code(t), codeInvalidCommitOffsetSize)
	wantCode(t, "one of those that are there", h.send(commitReq("g", gen, ids[0], map[string]int64{"t2": 2})).code(t), 0)

	h.send(joinReq("g", ids[0]))
	wantCode(t, "PreparingRebalance", h.send(commitReq("g", gen, ids[1], map[string]int64{"t0": 2})).code(t), 0)
	h.send(joinReq("g", ids[1]))
	wantCode(t, "CompletingRebalance", h.send(commitReq("g", gen+1, ids[1], map[string]int64{"t0": 3})).code(t), codeRebalanceInProgress)
}

func TestSimpleGroups(t *testing.T) { // 131, 133
	h := newHarness(t, nil)
	for _, g := range []string{"", "simple"} {
		h.commit(g, "t0", 3)
		if o := h.fetch(g, "t0"); o != 3 {
			t.Fatalf("offset %d", o)
		}
		if d := h.describe(g); d.State != "Empty" || d.ProtocolType != "" {
			t.Fatalf("%+v", d)
		}
	}
	h.failover()
	r := h.send(listReq(nil, nil)).resp.(*kmsg.ListGroupsResponse)
	if len(r.Groups) != 2 || r.Groups[1].Group != "simple" || r.Groups[1].ProtocolType != "" || r.Groups[1].GroupState != "Empty" || r.Groups[1].GroupType != "classic" {
		t.Fatalf("%+v", r)
	}
	wantCode(t, "delete", h.send(deleteReq("")).code(t), 0)
	// A commit in which nothing is right makes no group.
	h.send(commitReq("none", -1, "", map[string]int64{"nosuch": 1}))
	h.wantState("none", "Dead")
}

func TestFetch(t *testing.T) { // 136, 137
	h := newHarness(t, nil)
	metadata := "m"
	r := commitReq("g", -1, "", nil)
	for _, topic := range []string{"t0", "t1"} {
		rt := kmsg.OffsetCommitRequestTopic{Topic: topic}
		for p := range int32(2) {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetCommitRequestTopicPartition{Partition: p, Offset: 100 + int64(p), LeaderEpoch: 4, Metadata: &metadata})
		}
		r.Topics = append(r.Topics, rt)
	}
	h.send(r)
	for v := int16(1); v <= 10; v++ {
		for _, all := range []bool{false, true} {
			if all && v < 2 {
				continue
			}
			f := kmsg.NewPtrOffsetFetchRequest()
			f.Version, f.Group, f.RequireStable = v, "g", true
			member := "m"
			g := kmsg.OffsetFetchRequestGroup{Group: "g", MemberID: &member, MemberEpoch: 3}
			if !all {
				f.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t1", Partitions: []int32{1, 7}}}
				g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t1", TopicID: [16]byte{'t', '1'}, Partitions: []int32{1, 7}}}
				if v >= 10 {
					g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Partitions: []int32{0}})
				}
			}
			f.Groups = []kmsg.OffsetFetchRequestGroup{g, {Group: "nope", MemberEpoch: -1}}
			resp := h.send(f).resp.(*kmsg.OffsetFetchResponse)
			var lines []string
			line := func(topic string, id [16]byte, p kmsg.OffsetFetchResponseGroupTopicPartition) {
				if v >= 10 {
					topic = strings.TrimRight(string(id[:]), "\x00")
				}
				lines = append(lines, fmt.Sprintf("%s/%d offset %d epoch %d %q error %d", topic, p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata, p.ErrorCode))
			}
			for _, rt := range resp.Topics {
				for _, p := range rt.Partitions {
					line(rt.Topic, [16]byte{}, kmsg.OffsetFetchResponseGroupTopicPartition(p))
				}
			}
			for i, rg := range resp.Groups {
				if rg.ErrorCode != 0 || i == 1 && len(rg.Topics) != 0 {
					t.Fatalf("%+v", rg)
				}
				for _, rt := range rg.Topics {
					for _, p := range rt.Partitions {
						line(rt.Topic, rt.TopicID, p)
					}
				}
			}
			epoch := 4
			if v < 5 {
				epoch = -1 // the default of the decoder
			}
			var want []string
			if all {
				for _, topic := range []string{"t0", "t1"} {
					for p := range 2 {
						want = append(want, fmt.Sprintf("%s/%d offset %d epoch %d %q error 0", topic, p, 100+p, epoch, "m"))
					}
				}
				slices.Sort(lines)
			} else {
				want = []string{fmt.Sprintf("t1/1 offset 101 epoch %d %q error 0", epoch, "m"), `t1/7 offset -1 epoch -1 "" error 0`}
				if v >= 10 {
					want = append(want, `/0 offset -1 epoch -1 "" error 100`)
				}
			}
			if !slices.Equal(lines, want) {
				t.Fatalf("version %d, all %v:\n%s\nwant\n%s", v, all, strings.Join(lines, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

func TestCommitIsVisibleWhenDurable(t *testing.T) { // 138
	h := newHarness(t, nil)
	h.commit("g", "t0", 1)
	h.log.held = true
	k := h.send(commitReq("g", -1, "", map[string]int64{"t0": 2}))
	if !k.held() || h.fetch("g", "t0") != 1 {
		t.Fatal("visible before it is durable")
	}
	h.log.release()
	if k.code(t) != 0 || h.fetch("g", "t0") != 2 {
		t.Fatal("not visible once it is")
	}
	h.failover()
	if h.fetch("g", "t0") != 2 {
		t.Fatal("lost by failover")
	}
}

func TestOffsetDelete(t *testing.T) { // 131, 139
	h := newHarness(t, nil)
	wantCode(t, "no group id", h.send(offsetDeleteReq("", "t0")).code(t), codeInvalidGroupID)
	wantCode(t, "unknown group", h.send(offsetDeleteReq("g", "t0")).code(t), codeGroupIDNotFound)
	ids, gen := h.stableGroup("g", 1) // subscribed to t0
	for _, topic := range []string{"t0", "t1"} {
		wantCode(t, "commit", h.send(commitReq("g", gen, ids[0], map[string]int64{topic: 9})).code(t), 0)
	}
	wantCode(t, "subscribed", h.send(offsetDeleteReq("g", "t0")).code(t), codeGroupSubscribedToTopic)
	wantCode(t, "unknown topic", h.send(offsetDeleteReq("g", "nosuch")).code(t), codeUnknownTopicOrPartition)
	wantCode(t, "not subscribed", h.send(offsetDeleteReq("g", "t1")).code(t), 0)
	wantCode(t, "no offset", h.send(offsetDeleteReq("g", "t1")).code(t), 0)
	if h.fetch("g", "t0") != 9 || h.fetch("g", "t1") != -1 {
		t.Fatal("wrong offset deleted")
	}
	h.leave("g", ids[0])
	wantCode(t, "Empty", h.send(offsetDeleteReq("g", "t0")).code(t), 0)
	h.failover()
	if h.fetch("g", "t0") != -1 || h.fetch("g", "t1") != -1 {
		t.Fatal("deleted offset is back")
	}
	connect := func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }
	h.stableGroup("c", 1, connect)
	wantCode(t, "other type with members", h.send(offsetDeleteReq("c", "t0")).code(t), codeNonEmptyGroup)
	// 161: metadata that cannot be read counts as subscribed to everything.
	ids, gen = h.stableGroup("bad", 1, protocols("range", "\x00\x01\x00\x00\xff\xff"))
	wantCode(t, "commit", h.send(commitReq("bad", gen, ids[0], map[string]int64{"t0": 1})).code(t), 0)
	wantCode(t, "unreadable", h.send(offsetDeleteReq("bad", "t0")).code(t), codeGroupSubscribedToTopic)
}

func TestDeleteGroups(t *testing.T) { // 140
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("busy", 1)
	ids2, _ := h.stableGroup("empty", 1)
	h.leave("empty", ids2[0])
	h.commit("empty", "t0", 1)
	h.commit("simple", "t0", 1)
	resp := h.send(deleteReq("busy", "nope", "empty", "simple", "empty")).resp.(*kmsg.DeleteGroupsResponse)
	for i, want := range []int16{codeNonEmptyGroup, codeGroupIDNotFound, 0, 0, codeGroupIDNotFound} {
		if g := resp.Groups[i]; g.ErrorCode != want || (want != 0) != (g.ErrorMessage != nil) {
			t.Errorf("group %d: %+v, want error %d", i, g, want)
		}
	}
	h.failover()
	h.wantState("empty", "Dead")
	h.wantState("simple", "Dead")
	wantCode(t, "busy", h.heartbeat("busy", gen, ids[0]), 0)
	if n := len(h.log.latest()); n != 1 {
		t.Fatalf("%d records would survive compaction, want the one of the group with members", n)
	}
	// While the tombstones are being appended nobody gets in.
	h.commit("g", "t0", 1)
	h.log.held = true
	inflight := h.send(commitReq("g", -1, "", map[string]int64{"t1": 1}))
	del := h.send(deleteReq("g"))
	wantCode(t, "join", h.send(joinReq("g", "")).code(t), codeCoordinatorLoading)
	wantCode(t, "commit", h.send(commitReq("g", -1, "", map[string]int64{"t0": 1})).code(t), codeCoordinatorLoading)
	wantCode(t, "delete again", h.send(deleteReq("g")).code(t), codeCoordinatorLoading)
	wantCode(t, "offset delete", h.send(offsetDeleteReq("g", "t0")).code(t), codeCoordinatorLoading)
	h.log.release()
	h.log.held = false
	if inflight.code(t) != 0 || del.code(t) != 0 {
		t.Fatal("failed")
	}
	h.failover()
	h.wantState("g", "Dead")
	if st := h.c.Stats(); st.Offsets != 0 || st.Groups != 1 {
		t.Fatalf("%+v", st)
	}
}

func TestDescribeAndList(t *testing.T) { // 162, 163
	h := newHarness(t, nil)
	ids, _ := h.stableGroup("b", 2)
	h.commit("a", "t0", 1)
	d := h.describe("b")
	if d.ErrorCode != 0 || d.State != "Stable" || d.ProtocolType != "consumer" || d.Protocol != "range" || len(d.Members) != 2 {
		t.Fatalf("%+v", d)
	}
	if m := d.Members[0]; m.MemberID != ids[0] || m.ClientID != "client" || m.ClientHost != "/10.0.0.1" || string(m.MemberAssignment) != "a"+ids[0] || len(m.ProtocolMetadata) == 0 {
		t.Fatalf("%+v", m)
	}
	h.send(joinReq("b", ids[0]))
	d = h.describe("b")
	if d.State != "PreparingRebalance" || d.Protocol != "" || len(d.Members) != 2 || len(d.Members[0].ProtocolMetadata)+len(d.Members[0].MemberAssignment) != 0 {
		t.Fatalf("%+v", d)
	}
	for v := int16(0); v <= 6; v++ {
		r := kmsg.NewPtrDescribeGroupsRequest()
		r.Version, r.Groups = v, []string{"nope", "a"}
		resp := h.send(r).resp.(*kmsg.DescribeGroupsResponse)
		g := resp.Groups[0]
		if v < 6 && (g.ErrorCode != 0 || g.State != "Dead") || v >= 6 && (g.ErrorCode != codeGroupIDNotFound || *g.ErrorMessage == "") {
			t.Fatalf("version %d: %+v", v, g)
		}
		if resp.Groups[1].State != "Empty" || resp.Groups[1].AuthorizedOperations != -1<<31 {
			t.Fatalf("version %d: %+v", v, resp.Groups[1])
		}
	}
	for _, c := range []struct {
		states, types []string
		want          string
	}{
		{nil, nil, "a b"},
		{[]string{"empty"}, nil, "a"},
		{[]string{"PREPARINGREBALANCE", "Empty"}, nil, "a b"},
		{[]string{"Bogus"}, nil, ""},
		{nil, []string{"Classic"}, "a b"},
		{nil, []string{"consumer"}, ""},
		{[]string{"empty"}, []string{"classic"}, "a"},
	} {
		r := h.send(listReq(c.states, c.types)).resp.(*kmsg.ListGroupsResponse)
		var got []string
		for _, g := range r.Groups {
			got = append(got, g.Group)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v %v: %v, want %q", c.states, c.types, got, c.want)
		}
	}
}

func TestExpiry(t *testing.T) { // 135, 141
	day := 24 * time.Hour
	h := newHarness(t, func(o *Options) { o.OffsetsRetention = 7 * day; o.RetentionCheckInterval = time.Hour })
	has := func(group, topic string, want bool) {
		t.Helper()
		h.c.ExpireOffsets(h.clock.Now())
		if got := h.fetch(group, topic) >= 0; got != want {
			t.Fatalf("%s of %s: offset is there %v, want %v", topic, group, got, want)
		}
	}
	long := timeouts(30*time.Minute, time.Minute)
	ids, gen := h.stableGroup("live", 1, long)
	idsC, genC := h.stableGroup("connect", 1, long, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
	idsE, genE := h.stableGroup("empty", 1, long)
	alive := func(d time.Duration) {
		for ; d > 0; d -= 20 * time.Minute {
			h.clock.advance(20 * time.Minute)
			for _, m := range []struct {
				group string
				gen   int32
				id    string
			}{{"live", gen, ids[0]}, {"connect", genC, idsC[0]}, {"empty", genE, idsE[0]}} {
				h.heartbeat(m.group, m.gen, m.id)
			}
		}
	}
	for _, topic := range []string{"t0", "t1"} {
		h.send(commitReq("live", gen, ids[0], map[string]int64{topic: 1}))
		h.send(commitReq("connect", genC, idsC[0], map[string]int64{topic: 1}))
		h.send(commitReq("empty", genE, idsE[0], map[string]int64{topic: 1}))
		h.commit("simple", topic, 1)
	}
	old := commitReq("own", -1, "", map[string]int64{"t0": 1})
	old.Version, old.RetentionTimeMillis = 4, (2 * day).Milliseconds()
	h.send(old)

	alive(2*day - time.Hour)
	has("own", "t0", true)
	h.failover()
	alive(time.Hour)
	has("own", "t0", false)
	h.wantState("own", "Dead")
	alive(2 * day)
	h.leave("empty", idsE[0])
	h.commit("simple", "t1", 2)
	alive(3*day - time.Hour)
	has("simple", "t0", true)
	has("live", "t1", true)
	alive(time.Hour)
	has("simple", "t0", false)
	has("simple", "t1", true)  // from its own commit
	has("live", "t0", true)    // subscribed
	has("live", "t1", false)   // not subscribed
	has("connect", "t1", true) // who knows what it uses
	has("empty", "t0", true)   // from when it became empty
	h.failover()
	alive(4*day - time.Hour)
	has("empty", "t0", true)
	alive(time.Hour) // the coordinator's own check is due
	h.wantState("empty", "Dead")
	h.wantState("simple", "Dead")
	has("live", "t0", true)
	has("connect", "t0", true)
	h.failover()
	h.wantState("empty", "Dead")
}

func TestExpiryLeavesCommitsInFlight(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.OffsetsRetention = time.Hour })
	h.commit("g", "t0", 1)
	h.clock.advance(2 * time.Hour)
	h.log.held = true
	k := h.send(commitReq("g", -1, "", map[string]int64{"t0": 2}))
	h.c.ExpireOffsets(h.clock.Now())
	h.log.release()
	if k.code(t) != 0 || h.fetch("g", "t0") != 2 {
		t.Fatal("a commit was expired on its way")
	}
}

func TestTopicDeletion(t *testing.T) { // 142
	h := newHarness(t, nil)
	h.commit("g", "t0", 1)
	h.commit("g", "t1", 1)
	h.commit("h", "t0", 1)
	h.log.held = true
	k := h.send(commitReq("g", -1, "", map[string]int64{"t2": 1}))
	h.gone["t0"], h.gone["t2"] = true, true
	h.c.OnTopicsDeleted([]string{"t0", "t2", "t9"})
	h.log.release()
	h.log.held = false
	wantCode(t, "commit that was on its way", k.code(t), 0)
	for range 2 {
		if h.fetch("g", "t0") != -1 || h.fetch("h", "t0") != -1 || h.fetch("g", "t1") != 1 || h.fetch("g", "t2") != -1 {
			t.Fatal("wrong offsets are left")
		}
		h.failover()
	}
	h.wantState("h", "Dead") // it had nothing else

	// Deleted while the partition was being loaded.
	h.c.Unload(0)
	h.epoch++
	err := h.c.Load(0, h.epoch, h.log, func(yield func(key, value []byte, timestamp int64) error) error {
		h.c.OnTopicsDeleted([]string{"t1"})
		return h.log.replay(yield)
	}, nil)
	if err != nil || h.fetch("g", "t1") != -1 {
		t.Fatal(err)
	}
}
