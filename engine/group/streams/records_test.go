package streams

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/consumer"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encoded is the value of a record again.
func encoded(kind changes.Kind, v values) []byte {
	switch kind {
	case KindGroup:
		return appendGroup(nil, v.epochs)
	case KindTargets:
		return appendTargets(nil, v.epochs.epoch, v.epochs.hash)
	case KindTarget:
		return appendTarget(nil, v.tasks)
	case KindMember:
		return appendMember(nil, v.member)
	case KindCurrent:
		return appendCurrent(nil, v.member)
	default:
		return appendTopology(nil, v.topology)
	}
}

// TestStreamsRecordBytes holds the code to ../FORMAT.md.
func TestStreamsRecordBytes(t *testing.T) {
	rack := "r"
	task := func(p int32) TaskID { return TaskID{Subtopology: "0", Partition: p} }
	m := &Member{ClientID: "c", ClientHost: "/h", Rack: &rack, RebalanceMillis: 60000, TopologyEpoch: 1, Process: "p", Endpoint: &Endpoint{"e", 0x9000}, Tags: []Pair{{"k", "v"}}}
	plain := &Member{ClientID: "c", ClientHost: "/h", RebalanceMillis: 1}
	current := &Member{Epoch: 7, Previous: 6, State: consumer.Unrevoked, Assigned: Tasks{{task(0): 5, task(1): 7}, {task(2): 0}}, Revoking: Tasks{{task(3): 4}}}
	topology := &Topology{Epoch: 2, Subtopologies: []Subtopology{{
		ID: "0", Sources: []string{"a"}, RepartitionSinks: []string{"s"}, Changelogs: []InternalTopic{{"l", 0, 3, []Pair{{"k", "v"}}}},
		RepartitionSources: []InternalTopic{{"r", 4, 0, nil}}, Copartitions: []Copartition{{[]int16{0}, nil, []int16{0}}},
	}}}
	if err := topology.finish(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		kind changes.Kind
		got  []byte
		want string
	}{
		{"group", KindGroup, appendGroup(nil, epochs{7, 1, 2, 1}), "0000 00000007 0000000000000001 02 00 04 00000002 01 19 02 15 6e756d2e7374616e6462792e7265706c69636173 02 31 00"},
		{"group that is not ready", KindGroup, appendGroup(nil, epochs{7, 1, -1, -1}), "0000 00000007 0000000000000001 00"},
		{"targets", KindTargets, appendTargets(nil, 7, 1), "0000 00000007 01 00 08 0000000000000001"},
		{"target", KindTarget, appendTarget(nil, &Tasks{{task(0): 0, task(2): 0}, nil, {task(1): 0}}), "0000 02 02 30 03 00000000 00000002 00 01 02 02 30 02 00000001 00 00"},
		{"member", KindMember, appendMember(nil, m), "0000 00 02 72 02 63 03 2f68 0000ea60 00000001 02 70 01 02 65 9000 00 02 02 6b 02 76 00 00"},
		{"plain member", KindMember, appendMember(nil, plain), "0000 00 00 02 63 03 2f68 00000001 00000000 01 ff 01 00"},
		{"current", KindCurrent, appendCurrent(nil, current), "0000 00000007 00000006 01 02 02 30 03 00000000 00000001 01 00 09 03 00000005 00000007 02 02 30 02 00000002 00 01" +
			" 02 02 30 02 00000003 01 00 05 02 00000004 01 01 00"},
		{"topology", KindTopology, appendTopology(nil, topology), "0000 00000002 02 02 30 02 02 61 01 02 02 6c 00000000 0003 02 02 6b 02 76 00 00 02 02 73 02 02 72 00000004 0000 01 00" +
			" 02 02 0000 01 02 0000 00 00 00"},
	} {
		if want := unhex(t, c.want); !bytes.Equal(c.got, want) {
			t.Errorf("%s: %x, want %x", c.name, c.got, want)
		}
		v, err := decodeValue(c.kind, c.got)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if again := encoded(c.kind, v); !bytes.Equal(again, c.got) {
			t.Errorf("%s: %x after a round trip, was %x", c.name, again, c.got)
		}
		for n := range len(c.got) {
			if v, err := decodeValue(c.kind, c.got[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes decode to %+v", c.name, n, len(c.got), v)
			}
		}
	}
	for _, k := range []changes.Key{{Kind: KindGroup}, {Kind: KindMember, ID: "m"}, {Kind: KindTargets}, {Kind: KindTarget, ID: "m"}, {Kind: KindCurrent, ID: "m"}, {Kind: KindTopology}} {
		group, got, known, err := DecodeKey(appendKey(nil, "g", k))
		if group != "g" || got != k || !known || err != nil {
			t.Errorf("%v: %q %v %v %v", k, group, got, known, err)
		}
	}
}

// FuzzStreamsRecords: what decodes encodes to something that decodes to the same.
func FuzzStreamsRecords(f *testing.F) {
	for kind := KindGroup; kind <= KindTopology; kind++ {
		f.Add(int16(kind), appendGroup(nil, epochs{7, 1, 2, 1}))
		f.Add(int16(kind), appendCurrent(nil, &Member{Epoch: 7, Assigned: Tasks{{TaskID{Subtopology: "0", Partition: 1}: 5}}}))
		f.Add(int16(kind), appendTopology(nil, &Topology{Subtopologies: []Subtopology{{ID: "0", Sources: []string{"a"}}}}))
		f.Add(int16(kind), appendMember(nil, &Member{Endpoint: &Endpoint{"e", 1}, Tags: []Pair{{"k", "v"}}}))
	}
	f.Fuzz(func(t *testing.T, kind int16, b []byte) {
		k := changes.Kind(kind)
		if _, _, known, err := DecodeKey(b); known && err == nil {
			group, key, _, _ := DecodeKey(b)
			if again := appendKey(nil, group, key); key.Kind != KindTopics && !bytes.HasPrefix(b, again) {
				t.Fatalf("key %x encodes to %x", b, again)
			}
		}
		if k < KindGroup || k > KindTopology || k == KindTopics {
			return
		}
		v, err := decodeValue(k, b)
		if err != nil {
			return
		}
		once := encoded(k, v)
		w, err := decodeValue(k, once)
		if err != nil {
			t.Fatalf("kind %d: %x decodes, %x does not: %v", k, b, once, err)
		}
		if again := encoded(k, w); !bytes.Equal(once, again) {
			t.Fatalf("kind %d: %x encodes to %x and then to %x", k, b, once, again)
		}
	})
}

// TestReplayOrder: whatever order compaction leaves records in, the group is the same.
func TestReplayOrder(t *testing.T) {
	g := New("g")
	topics := fakeTopics{"in": 2, "g-rep": 2, "g-log": 2}
	env := &Env{Now: 1, Topics: topics, MaxSize: 10, MaxBytes: 1 << 20}
	for _, id := range []string{"a", "b", "a"} {
		if _, err := g.Heartbeat(env, "c", "/h", join(id, "p-"+id)); err != nil {
			t.Fatal(err)
		}
	}
	records, _ := g.TakeRecords()
	replay := func(order func(i int) int) *Group {
		r := NewReplay("g")
		for i := range records {
			rec := records[order(i)]
			_, k, _, err := DecodeKey(rec.Key)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Apply(k, rec.Value); err != nil {
				t.Fatal(err)
			}
		}
		return r.Group()
	}
	first, last := replay(func(i int) int { return i }), replay(func(i int) int { return len(records) - 1 - i })
	for _, h := range []*Group{first, last} {
		if h.Epoch != g.Epoch || h.AssignmentEpoch != g.AssignmentEpoch || h.hash != g.hash || h.validated != g.validated || h.standbys != g.standbys || h.Name() != g.Name() ||
			!h.topology.equal(g.topology) || len(h.active) != len(g.active) || h.Dirty() {
			t.Errorf("replayed %+v, was %+v", h, g)
		}
		for id, m := range g.members {
			if hm := h.members[id]; !hm.sameMetadata(m) || !hm.Assigned.equal(&m.Assigned) || hm.Epoch != m.Epoch || hm.State != m.State || !h.target[id].equal(g.target[id]) {
				t.Errorf("member %+v, was %+v", hm, m)
			}
		}
	}
	// Its tombstones leave nothing.
	r := NewReplay("g")
	for _, rec := range append(records, g.Tombstones()...) {
		_, k, _, _ := DecodeKey(rec.Key)
		if err := r.Apply(k, rec.Value); err != nil {
			t.Fatal(err)
		}
	}
	if !r.Empty() {
		t.Error("something is left after the tombstones")
	}
}
