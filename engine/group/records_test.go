package group

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func ptr[T any](v T) *T { return &v }

// The bytes are those of FORMAT.md.
func TestRecordBytes(t *testing.T) { // 129
	h := newHarness(t, nil)
	g := h.c.shards.At(0).makeGroup("g", 1_700_000_000_000)
	g.protocolType, g.generation, g.protocol = "consumer", 3, ptr("range")
	g.add(&member{
		id: "m-1", instance: ptr("i"), clientID: "c", clientHost: "/10.0.0.1", sessionTimeout: 45 * time.Second,
		rebalanceTimeout: 5 * time.Minute, protocols: []protocol{{"range", []byte{1, 2}}}, assignment: []byte{3},
	})
	o := offset{offset: 42, leaderEpoch: 7, metadata: "hi", commitMillis: 1_700_000_000_000, expireMillis: -1}
	expiring := o
	expiring.expireMillis = 1_700_000_001_000
	for _, c := range []struct {
		what string
		got  []byte
		want string
	}{
		{"offset key", appendOffsetKey(nil, "g", "t", 1), "0001 000167 000174 00000001"},
		{"offset value", appendOffsetValue(nil, o), "0003 000000000000002a 00000007 00026869 0000018bcfe56800"},
		{"offset value with expiry", appendOffsetValue(nil, expiring), "0001 000000000000002a 00026869 0000018bcfe56800 0000018bcfe56be8"},
		{"group key", appendGroupKey(nil, "g"), "0002 000167"},
		{"group value", appendGroupValue(nil, g, (*member).currentAssignment), `0003 0008636f6e73756d6572 00000003 000572616e6765 00036d2d31 0000018bcfe56800
			00000001 00036d2d31 000169 000163 00092f31302e302e302e31 000493e0 0000afc8 00000002 0102 00000001 03`},
	} {
		want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.got, want) {
			t.Errorf("%s: %x, want %x", c.what, c.got, want)
		}
	}
}

func TestDecodersReadAllVersions(t *testing.T) {
	for v := int16(0); v <= 4; v++ {
		kv := kmsg.OffsetCommitValue{Version: v, Offset: 5, LeaderEpoch: 6, Metadata: "m", CommitTimestamp: 7, ExpireTimestamp: 8, TopicID: [16]byte{1}}
		want := offset{offset: 5, leaderEpoch: -1, metadata: "m", commitMillis: 7, expireMillis: -1}
		if v >= 3 {
			want.leaderEpoch = 6
		}
		if v == 1 {
			want.expireMillis = 8
		}
		if got, err := decodeOffsetValue(kv.AppendTo(nil)); err != nil || got != want {
			t.Errorf("offset value version %d: %+v, %v", v, got, err)
		}

		gv := kmsg.GroupMetadataValue{Version: v, ProtocolType: "consumer", Generation: 3, Protocol: ptr("range"), Leader: ptr("m"), CurrentStateTimestamp: 9}
		gv.Members = []kmsg.GroupMetadataValueMember{{
			MemberID: "m", InstanceID: ptr("i"), ClientID: "c", ClientHost: "/h", RebalanceTimeoutMillis: 10, SessionTimeoutMillis: 11,
			Subscription: []byte{1}, Assignment: []byte{2, 3},
		}}
		wantGroup := &groupValue{protocolType: "consumer", generation: 3, protocol: ptr("range"), leader: ptr("m"), stateMillis: -1, members: []groupValueMember{{
			id: "m", clientID: "c", clientHost: "/h", rebalanceMillis: -1, sessionMillis: 11, subscription: []byte{1}, assignment: []byte{2, 3},
		}}}
		if v >= 1 {
			wantGroup.members[0].rebalanceMillis = 10
		}
		if v >= 2 {
			wantGroup.stateMillis = 9
		}
		if v >= 3 {
			wantGroup.members[0].instance = ptr("i")
		}
		b := gv.AppendTo(nil)
		got, err := decodeGroupValue(b)
		if err != nil || !reflect.DeepEqual(got, wantGroup) {
			t.Errorf("group value version %d: %+v, %v", v, got, err)
		}
		for n := range b {
			if _, err := decodeGroupValue(b[:n]); !errors.Is(err, errRecord) {
				t.Fatalf("group value version %d cut to %d of %d bytes: %v", v, n, len(b), err)
			}
		}
	}
	for _, v := range []int16{-1, 5, 99} {
		if _, err := decodeOffsetValue([]byte{byte(v >> 8), byte(v), 0, 0}); !errors.Is(err, errRecord) {
			t.Errorf("offset value version %d: %v", v, err)
		}
		if _, err := decodeGroupValue([]byte{byte(v >> 8), byte(v), 0, 0}); !errors.Is(err, errRecord) {
			t.Errorf("group value version %d: %v", v, err)
		}
	}
}

// Records of other types of groups and records that cannot be read do not keep a partition from being loaded, and do not
// lose the others.
func TestReplayLeavesOutWhatItCannotRead(t *testing.T) {
	h := newHarness(t, nil)
	h.commit("g", "t0", 1)
	ids, gen := h.stableGroup("m", 1)
	add := func(key, value []byte) { h.log.records = append(h.log.records, Record{Key: key, Value: value}) }
	for v := byte(3); v < 24; v++ {
		add([]byte{0, v, 1, 2, 3}, []byte{1})
	}
	add(nil, nil)
	add([]byte{0}, nil)
	add([]byte{0xff, 0xff}, nil)
	add([]byte{0, 1, 0, 9, 'g'}, []byte{0, 3})
	add(appendOffsetKey(nil, "g", "t0", 0), []byte{0, 3, 1})
	add(appendGroupKey(nil, "m"), []byte{0, 9})
	add(appendGroupKey(nil, "never there"), nil)
	add(appendOffsetKey(nil, "never there", "t0", 0), nil)
	old := kmsg.OffsetCommitKey{Version: 0, Group: "old", Topic: "t0"}
	add(old.AppendTo(nil), appendOffsetValue(nil, offset{offset: 3, leaderEpoch: -1, expireMillis: -1}))
	h.failover()
	if h.fetch("g", "t0") != 1 || h.fetch("old", "t0") != 3 {
		t.Fatal("offsets are lost")
	}
	wantCode(t, "heartbeat", h.heartbeat("m", gen, ids[0]), 0)
	if st := h.c.Stats(); st.Groups != 3 {
		t.Fatalf("%+v", st)
	}
	// Tombstones remove, in any order.
	add(appendGroupKey(nil, "m"), nil)
	add(appendOffsetKey(nil, "g", "t0", 0), nil)
	h.failover()
	h.wantState("m", "Dead")
	h.wantState("g", "Dead")
	if st := h.c.Stats(); st.Groups != 1 || st.Members != 0 || st.Offsets != 1 {
		t.Fatalf("%+v", st)
	}
}

func FuzzKey(f *testing.F) {
	f.Add(appendOffsetKey(nil, "group", "topic", 5))
	f.Add(appendGroupKey(nil, "group"))
	f.Add([]byte{0, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKey(b)
		if err != nil || k.version > keyGroup {
			return
		}
		var again []byte
		if k.version == keyGroup {
			again = appendGroupKey(nil, string(k.group))
		} else {
			again = appendOffsetKey(nil, string(k.group), string(k.topic), k.partition)
			again[1] = byte(k.version)
		}
		if len(again) > len(b) || !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("re-encoding differs: %x, was %x", again, b)
		}
	})
}

func FuzzOffsetValue(f *testing.F) {
	for v := int16(0); v <= 4; v++ {
		kv := kmsg.OffsetCommitValue{Version: v, Offset: 5, LeaderEpoch: 6, Metadata: "m", CommitTimestamp: 7, ExpireTimestamp: 8}
		f.Add(kv.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := decodeOffsetValue(b)
		if err != nil {
			return
		}
		if len(o.metadata) > len(b) {
			t.Fatal("more metadata than bytes")
		}
		// What is read, is written and read again, is the same: as versions 1 and 3 hold it.
		if len(o.metadata) > maxString || o.expireMillis < -1 {
			return
		}
		again, err := decodeOffsetValue(appendOffsetValue(nil, o))
		if o.expireMillis >= 0 {
			again.leaderEpoch = o.leaderEpoch // version 1 has none
		}
		if err != nil || again != o {
			t.Fatalf("%+v became %+v, %v", o, again, err)
		}
		var kv kmsg.OffsetCommitValue
		if b[1] < 4 && (kv.ReadFrom(b) != nil || kv.Offset != o.offset || kv.Metadata != o.metadata || kv.CommitTimestamp != o.commitMillis) {
			t.Fatalf("%+v, kmsg reads %+v", o, kv)
		}
	})
}

func FuzzGroupValue(f *testing.F) {
	for v := int16(0); v <= 4; v++ {
		gv := kmsg.GroupMetadataValue{Version: v, ProtocolType: "consumer", Generation: 3, Protocol: ptr("range"), Leader: ptr("m")}
		gv.Members = []kmsg.GroupMetadataValueMember{{MemberID: "m", InstanceID: ptr("i"), Subscription: []byte{1}, Assignment: []byte{2, 3}}, {MemberID: "n"}}
		f.Add(gv.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeGroupValue(b)
		if err != nil {
			return
		}
		if len(v.members) > len(b)/minValueMember {
			t.Fatalf("%d members in %d bytes", len(v.members), len(b))
		}
		var kv kmsg.GroupMetadataValue
		if b[1] < 4 {
			if err := kv.ReadFrom(b); err != nil || kv.Generation != v.generation || kv.ProtocolType != v.protocolType || len(kv.Members) != len(v.members) {
				t.Fatalf("%+v, kmsg reads %+v, %v", v, kv, err)
			}
			for i, m := range v.members {
				if km := kv.Members[i]; km.MemberID != m.id || !bytes.Equal(km.Assignment, m.assignment) || !bytes.Equal(km.Subscription, m.subscription) {
					t.Fatalf("member %d: %+v, kmsg reads %+v", i, m, km)
				}
			}
		}
		// A group can always be made of it, and says the same of itself.
		s := newShard(&Options{Clock: newManualClock()}, 0, 1, nil)
		g := s.makeGroup("g", -1)
		g.restore(v)
		if len(g.members) != len(g.order) || s.memberCount != len(g.order) {
			t.Fatalf("%d members, %d in order, %d counted", len(g.members), len(g.order), s.memberCount)
		}
		g.unset()
		if s.memberCount != 0 {
			t.Fatalf("%d members left", s.memberCount)
		}
	})
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscription("t0", "t1"))
	f.Add([]byte{0, 1, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		used := map[string]bool{"t0": false, "": false}
		ok := markSubscribed(used, b)
		if len(used) != 2 {
			t.Fatalf("topics were added: %v", used)
		}
		if ok && b[0] < 0x80 {
			m := kmsg.NewConsumerMemberMetadata()
			m.ReadFrom(append([]byte{0, 0}, b[2:]...)) // as version 0, of which no byte behind the topics is needed here
			found := false
			for _, topic := range m.Topics {
				found = found || topic == "t0"
			}
			if found && !used["t0"] {
				t.Fatal("t0 was missed")
			}
		}
	})
}
