package consumer

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/group/assignor"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestModernRecordBytes holds the code to ../FORMAT.md.
func TestModernRecordBytes(t *testing.T) {
	instance, rack, name := "i", "r", "range"
	topic := TopicID{15: 9}
	id := strings.Repeat("00", 15) + "09"
	m := &Member{ID: "m", ClientID: "c", ClientHost: "/h", Instance: &instance, Rack: &rack, RebalanceMillis: 60000, Topics: []string{"t"}, Regex: new(string), Assignor: &name}
	classic := &Member{ID: "m", ClientID: "c", ClientHost: "/h", RebalanceMillis: 1, Regex: new(string), Classic: &Classic{SessionMillis: 2, Protocols: []Protocol{{"range", []byte{7}}}}}
	current := &Member{Epoch: 7, Previous: 6, State: Unrevoked, Assigned: Owned{topic: {{0, 5}, {1, 7}}}, Revoking: Owned{topic: {{2, 4}}}}
	for _, c := range []struct {
		name      string
		got       []byte
		want      string
		roundTrip func(v values) []byte
		kind      Kind
	}{
		{"group", appendGroup(nil, 7, 1), "0000 00000007 01 00 08 0000000000000001", func(v values) []byte { return appendGroup(nil, v.epoch, v.number) }, KindGroup},
		{"group without hash", appendGroup(nil, 7, 0), "0000 00000007 00", func(v values) []byte { return appendGroup(nil, v.epoch, v.number) }, KindGroup},
		{"targets", AppendTargets(nil, 7, 1), "0000 00000007 01 00 08 0000000000000001", func(v values) []byte { return AppendTargets(nil, v.epoch, v.number) }, KindTargets},
		{"target", appendTarget(nil, assignor.Assignment{topic: {0, 2}}), "0000 02 " + id + " 03 00000000 00000002 00 00", func(v values) []byte { return appendTarget(nil, v.target) }, KindTarget},
		{"member", appendMember(nil, m), "0000 02 69 02 72 02 63 03 2f68 02 02 74 01 0000ea60 06 72616e6765 00", func(v values) []byte { return appendMember(nil, v.member) }, KindMember},
		{"classic member", appendMember(nil, classic), "0000 00 00 02 63 03 2f68 01 01 00000001 00 01 00 10 01 00000002 02 06 72616e6765 02 07 00 00",
			func(v values) []byte { return appendMember(nil, v.member) }, KindMember},
		{"current", appendCurrent(nil, current), "0000 00000007 00000006 01 02 " + id + " 03 00000000 00000001 01 00 09 03 00000005 00000007 02 " + id +
			" 02 00000002 01 00 05 02 00000004 00", func(v values) []byte { return appendCurrent(nil, v.member) }, KindCurrent},
		{"expression", appendRegex(nil, &regex{topics: []string{"a"}, version: 3, millis: 4}), "0000 02 02 61 0000000000000003 0000000000000004 00",
			func(v values) []byte { return appendRegex(nil, v.regex) }, KindRegex},
	} {
		if want := unhex(t, c.want); !bytes.Equal(c.got, want) {
			t.Errorf("%s: %x, want %x", c.name, c.got, want)
		}
		v, err := decodeValue(c.kind, c.got)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if again := c.roundTrip(v); !bytes.Equal(again, c.got) {
			t.Errorf("%s: %x after a round trip, was %x", c.name, again, c.got)
		}
		for n := range len(c.got) {
			if v, err := decodeValue(c.kind, c.got[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes decode to %+v", c.name, n, len(c.got), v)
			}
		}
	}
	for _, k := range []Key{{Kind: KindGroup, ID: ""}, {Kind: KindMember, ID: "m"}, {Kind: KindTargets, ID: ""}, {Kind: KindTarget, ID: "m"}, {Kind: KindCurrent, ID: "m"}, {Kind: KindRegex, ID: "a.*"}} {
		group, got, known, err := DecodeKey(appendKey(nil, "g", k))
		if group != "g" || got != k || !known || err != nil {
			t.Errorf("%v: %q %v %v %v", k, group, got, known, err)
		}
	}
}

// TestDecodeOlder: records of versions before 4.3 have no epochs of partitions; a state of a newer version is unknown.
func TestDecodeOlder(t *testing.T) {
	id := strings.Repeat("00", 15) + "09"
	v, err := decodeValue(KindCurrent, unhex(t, "0000 00000007 00000006 05 02 "+id+" 03 00000001 00000000 00 01 00"))
	want := &Member{Epoch: 7, Previous: 6, State: unknown, Assigned: Owned{TopicID{15: 9}: {{0, 7}, {1, 7}}}, Revoking: Owned{}}
	if err != nil || !reflect.DeepEqual(v.member, want) {
		t.Errorf("%+v, %v", v.member, err)
	}
	if _, err := decodeValue(KindGroup, unhex(t, "0001 00000007 00")); err == nil {
		t.Error("a value of version 1 was taken")
	}
}

func FuzzDecode(f *testing.F) {
	topic := TopicID{15: 9}
	f.Add(int16(KindGroup), appendGroup(nil, 7, 1))
	f.Add(int16(KindTargets), AppendTargets(nil, 7, 1))
	f.Add(int16(KindTarget), appendTarget(nil, assignor.Assignment{topic: {0, 2}}))
	f.Add(int16(KindMember), appendMember(nil, &Member{Topics: []string{"t"}, Classic: &Classic{Protocols: []Protocol{{"range", []byte{7}}}}}))
	f.Add(int16(KindCurrent), appendCurrent(nil, &Member{Assigned: Owned{topic: {{0, 5}}}, Revoking: Owned{}}))
	f.Add(int16(KindRegex), appendRegex(nil, &regex{topics: []string{"a"}}))
	f.Add(int16(0), appendKey(nil, "g", Key{Kind: KindCurrent, ID: "m"}))
	f.Fuzz(func(t *testing.T, kind int16, b []byte) {
		if group, k, known, err := DecodeKey(b); err == nil && known {
			if again := appendKey(nil, group, k); k.Kind != KindTopics && !bytes.Equal(again, b[:len(again)]) {
				t.Fatalf("key re-encoded: %x, was %x", again, b)
			}
		}
		// What is written again is read as the same; the first reading put it in order, and left out what is not known.
		encode := map[Kind]func(v values) []byte{
			KindGroup: func(v values) []byte { return appendGroup(nil, v.epoch, v.number) }, KindTargets: func(v values) []byte { return AppendTargets(nil, v.epoch, v.number) },
			KindTarget: func(v values) []byte { return appendTarget(nil, v.target) }, KindMember: func(v values) []byte { return appendMember(nil, v.member) },
			KindCurrent: func(v values) []byte { return appendCurrent(nil, v.member) }, KindRegex: func(v values) []byte { return appendRegex(nil, v.regex) },
		}[Kind(kind)]
		if encode == nil {
			return
		}
		v, err := decodeValue(Kind(kind), b)
		if err != nil {
			return
		}
		once := encode(v)
		w, err := decodeValue(Kind(kind), once)
		if err != nil {
			t.Fatalf("%x: what was written is not read: %v", once, err)
		}
		if twice := encode(w); !bytes.Equal(once, twice) {
			t.Fatalf("%x, then %x", once, twice)
		}
	})
}

// TestReplayInPieces: whatever part of a log is there, a group comes out of it that has no partition twice.
func TestReplayInPieces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		r := NewReplay("g")
		for range rng.IntN(30) {
			k := Key{Kind: []Kind{KindGroup, KindMember, KindTargets, KindTarget, KindCurrent}[rng.IntN(5)], ID: string(rune('a' + rng.IntN(4)))}
			instance := "i"
			m := &Member{ClientID: "c", Instance: &instance, Epoch: int32(rng.IntN(5)), State: State(rng.IntN(3)), Regex: new(string), Topics: []string{"t"}, Assigned: Owned{}, Revoking: Owned{}}
			if rng.IntN(2) == 0 {
				m.Instance = nil
			}
			for p := range int32(4) {
				switch rng.IntN(4) {
				case 0:
					m.Assigned[TopicID{}] = append(m.Assigned[TopicID{}], Part{p, 1})
				case 1:
					m.Revoking[TopicID{}] = append(m.Revoking[TopicID{}], Part{p, 1})
				}
			}
			value := map[Kind][]byte{KindGroup: appendGroup(nil, 3, 1), KindTargets: AppendTargets(nil, 3, 1), KindMember: appendMember(nil, m), KindCurrent: appendCurrent(nil, m),
				KindTarget: appendTarget(nil, assignor.Assignment{TopicID{}: {0, 1}})}[k.Kind]
			if rng.IntN(4) == 0 {
				value = nil
			}
			if err := r.Apply(k, value); err != nil {
				t.Fatal(err)
			}
		}
		g := r.Group()
		for topic, owners := range g.owners {
			for p, owner := range owners {
				if owner != nil && (g.members[owner.ID] != owner || !owner.owns(topic, int32(p))) {
					t.Fatalf("%x-%d belongs to %+v", topic, p, owner)
				}
			}
		}
		for id := range g.members {
			if g.target[id] == nil {
				t.Fatalf("%s has no target", id)
			}
		}
	}
}
