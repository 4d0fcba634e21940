package sharegroup

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/assignor"
	"github.com/ringmq/ringmq/engine/group/changes"
)

// TestShareRecordBytes holds the code to FORMAT.md.
func TestShareRecordBytes(t *testing.T) {
	g := New("g")
	g.Epoch, g.hash = 7, 1
	if got := hex.EncodeToString(appendKey(nil, "g", changes.Key{Kind: KindGroup, ID: ""})); got != "000b000167" {
		t.Errorf("key %s", got)
	}
	if got := hex.EncodeToString(g.value(changes.Key{Kind: KindGroup, ID: ""})); got != "000000000007000000000000000100" {
		t.Errorf("value %s", got)
	}
}

// topics is a cluster's, by name; the id is the first letter of the name.
type topics map[string]int32

func topicID(name string) (id TopicID) {
	id[0] = name[0]
	return id
}

func (t topics) Version() int64         { return int64(len(t)) }
func (t topics) Each(func(string) bool) {}
func (t topics) ByName(name string) (TopicID, int32, bool) {
	n, ok := t[name]
	return topicID(name), n, ok
}
func (t topics) ByID(id TopicID) (string, int32, bool) {
	for name, n := range t {
		if topicID(name) == id {
			return name, n, true
		}
	}
	return "", 0, false
}

func beat(t *testing.T, g *Group, env *Env, member string, epoch int32, names ...string) Outcome {
	t.Helper()
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.MemberEpoch, req.SubscribedTopicNames = g.ID, member, epoch, names
	out, err := g.Heartbeat(env, "client", "/host", req)
	if err != nil {
		t.Fatalf("heartbeat of %s: %v", member, err)
	}
	return out
}

// replayed is what a log with the records of a group comes to.
func replayed(t *testing.T, g *Group, records map[string][]byte) *Group {
	t.Helper()
	taken, _ := g.TakeRecords()
	for _, r := range taken {
		records[string(r.Key)] = r.Value
	}
	r := NewReplay(g.ID)
	for key, value := range records {
		_, k, known, err := DecodeKey([]byte(key))
		if err != nil || !known {
			t.Fatalf("key %x: %v", key, err)
		}
		if err := r.Apply(k, value); err != nil {
			t.Fatal(err)
		}
	}
	return r.Group()
}

// A group is the same after a replay of its records.
func TestReplay(t *testing.T) {
	env := &Env{Topics: topics{"a": 3, "b": 1}, MaxSize: 10, InitializeRetry: 1000}
	g, records := New("g"), map[string][]byte{}
	out := beat(t, g, env, "one", 0, "a", "b")
	if len(out.Initialize) != 4 || out.Member.Epoch != 2 || len(out.Member.Assigned) != 0 {
		t.Fatalf("%+v", out)
	}
	g.Initialized(out.Initialize, true, 0)
	env.Now++
	beat(t, g, env, "one", 2)
	beat(t, g, env, "two", 0, "a")
	same := func() {
		t.Helper()
		again := replayed(t, g, records)
		if !reflect.DeepEqual(again.members, g.members) || !reflect.DeepEqual(again.target, g.target) || !reflect.DeepEqual(again.Ready(), g.Ready()) || again.Epoch != g.Epoch ||
			again.AssignmentEpoch != g.AssignmentEpoch || !reflect.DeepEqual(again.names, g.names) || again.Dirty() {
			t.Fatalf("replayed %+v\nfrom %+v", again, g)
		}
	}
	same()
	g.Remove(env, g.Member("one"))
	g.Delete(topicID("b"), "b", 1)
	same()
}

// Every partition has a member, members have about the same number, and who has something keeps it.
func TestAssign(t *testing.T) {
	for members := 1; members <= 7; members++ {
		for partitions := int32(1); partitions <= 7; partitions++ {
			env := &Env{Topics: topics{"a": partitions}, MaxSize: 10, InitializeRetry: 1000}
			g := New("g")
			var out Outcome
			for i := range members {
				out = beat(t, g, env, string(rune('a'+i)), 0, "a")
				g.Initialized(out.Initialize, true, 0)
				beat(t, g, env, string(rune('a'+i)), 0, "a")
			}
			shared := make(map[int32]int)
			least, most := 100, 0
			for _, target := range g.target {
				n := target.Count()
				least, most = min(least, n), max(most, n)
				for _, p := range target[topicID("a")] {
					shared[p]++
				}
			}
			if len(shared) != int(partitions) || least < 1 || most-least > 1 {
				t.Errorf("%d members, %d partitions: %v", members, partitions, g.target)
			}
			before := g.assign(env)
			if !reflect.DeepEqual(before, map[string]assignor.Assignment(g.target)) {
				t.Errorf("%d members, %d partitions: %v becomes %v for no reason", members, partitions, g.target, before)
			}
		}
	}
}

func FuzzRecords(f *testing.F) {
	g := New("g")
	g.members["m"] = &Member{ID: "m", ClientID: "c", Topics: []string{"t"}}
	for _, kind := range []changes.Kind{KindMember, KindGroup, KindTargets, KindTarget, KindCurrent, KindStates} {
		f.Add(appendKey(nil, "g", changes.Key{Kind: kind, ID: "m"}), g.value(changes.Key{Kind: kind, ID: "m"}))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		id, k, known, err := DecodeKey(key)
		if err != nil || !known {
			return
		}
		r := NewReplay(id)
		if r.Apply(k, value) != nil {
			return
		}
		again := NewReplay(id)
		if encoded := r.g.value(k); encoded != nil && k.Kind != KindTarget && k.Kind != KindCurrent { // those belong to a member
			if err := again.Apply(k, encoded); err != nil {
				t.Fatalf("what was decoded from %x encodes to %x: %v", value, encoded, err)
			}
		}
	})
}
