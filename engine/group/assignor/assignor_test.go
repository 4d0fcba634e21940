package assignor

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func topic(n byte) TopicID { return TopicID{n} }

// show writes an assignment as t1:0,1 t2:3.
func show(a Assignment) string {
	s := ""
	for _, id := range slices.SortedFunc(maps.Keys(a), compareTopics) {
		if s != "" {
			s += " "
		}
		s += fmt.Sprintf("t%d:", id[0])
		for i, p := range a[id] {
			if i > 0 {
				s += ","
			}
			s += fmt.Sprint(p)
		}
	}
	return s
}

func group(partitions map[TopicID]int32, members ...Member) *Group {
	g := &Group{Members: members, Partitions: partitions, Same: true}
	for _, m := range members {
		g.Same = g.Same && slices.Equal(m.Topics, members[0].Topics)
	}
	return g
}

func TestTables(t *testing.T) {
	one, two := "i1", "i2"
	t1, t2, t3 := topic(1), topic(2), topic(3)
	for _, c := range []struct {
		name   string
		assign Assign
		g      *Group
		want   map[string]string
	}{
		{"nobody", Uniform, group(nil), map[string]string{}},
		{"one member gets all", Uniform, group(map[TopicID]int32{t1: 2, t2: 1}, Member{ID: "a", Topics: []TopicID{t1, t2}}), map[string]string{"a": "t1:0,1 t2:0"}},
		{"one more for the first", Uniform, group(map[TopicID]int32{t1: 3}, Member{ID: "b", Topics: []TopicID{t1}}, Member{ID: "a", Topics: []TopicID{t1}}),
			map[string]string{"a": "t1:0,1", "b": "t1:2"}},
		{"who has more keeps it", Uniform, group(map[TopicID]int32{t1: 3}, Member{ID: "a", Topics: []TopicID{t1}, Assigned: Assignment{t1: {0}}},
			Member{ID: "b", Topics: []TopicID{t1}, Assigned: Assignment{t1: {1, 2}}}), map[string]string{"a": "t1:0", "b": "t1:1,2"}},
		{"a newcomer takes the least", Uniform, group(map[TopicID]int32{t1: 6}, Member{ID: "a", Topics: []TopicID{t1}, Assigned: Assignment{t1: {0, 1, 2}}},
			Member{ID: "b", Topics: []TopicID{t1}, Assigned: Assignment{t1: {3, 4, 5}}}, Member{ID: "c", Topics: []TopicID{t1}}),
			map[string]string{"a": "t1:0,1", "b": "t1:3,4", "c": "t1:2,5"}},
		{"what is gone is dropped", Uniform, group(map[TopicID]int32{t1: 1}, Member{ID: "a", Topics: []TopicID{t1}, Assigned: Assignment{t1: {0, 7}, t2: {0}}}), map[string]string{"a": "t1:0"}},
		{"nothing subscribed", Uniform, group(map[TopicID]int32{}, Member{ID: "a"}), map[string]string{"a": ""}},
		{"mixed subscriptions", Uniform, group(map[TopicID]int32{t1: 2, t2: 2, t3: 2}, Member{ID: "a", Topics: []TopicID{t1, t2, t3}}, Member{ID: "b", Topics: []TopicID{t2}},
			Member{ID: "c", Topics: []TopicID{t3}}), map[string]string{"a": "t1:0,1", "b": "t2:0,1", "c": "t3:0,1"}},
		{"mixed keeps", Uniform, group(map[TopicID]int32{t1: 2, t2: 2}, Member{ID: "a", Topics: []TopicID{t1, t2}, Assigned: Assignment{t1: {0, 1}, t2: {0, 1}}}, Member{ID: "b", Topics: []TopicID{t2}}),
			map[string]string{"a": "t1:0,1", "b": "t2:0,1"}},
		{"range is per topic", Range, group(map[TopicID]int32{t1: 3, t2: 3}, Member{ID: "b", Topics: []TopicID{t1, t2}}, Member{ID: "a", Topics: []TopicID{t1, t2}}),
			map[string]string{"a": "t1:0,1 t2:0,1", "b": "t1:2 t2:2"}},
		{"range puts instances first", Range, group(map[TopicID]int32{t1: 3}, Member{ID: "a", Topics: []TopicID{t1}}, Member{ID: "z", Instance: &two, Topics: []TopicID{t1}},
			Member{ID: "y", Instance: &one, Topics: []TopicID{t1}}), map[string]string{"y": "t1:0", "z": "t1:1", "a": "t1:2"}},
		{"range, more members than partitions", Range, group(map[TopicID]int32{t1: 1}, Member{ID: "a", Topics: []TopicID{t1}}, Member{ID: "b", Topics: []TopicID{t1}}),
			map[string]string{"a": "t1:0", "b": ""}},
		{"range, mixed subscriptions", Range, group(map[TopicID]int32{t1: 2, t2: 4}, Member{ID: "a", Topics: []TopicID{t1, t2}}, Member{ID: "b", Topics: []TopicID{t2}}),
			map[string]string{"a": "t1:0,1 t2:0,1", "b": "t2:2,3"}},
	} {
		got := map[string]string{}
		for id, a := range c.assign(c.g) {
			got[id] = show(a)
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRandom lets groups live through joins, departures, changed subscriptions and new partitions. After each change: every partition that
// somebody subscribes to has exactly one owner, who subscribes to it; nobody could be better off by one partition of another; and uniform
// takes away no more than it must.
func TestRandom(t *testing.T) {
	for seed := uint64(1); seed <= 300; seed++ {
		rng := rand.New(rand.NewPCG(seed, 2))
		partitions := map[TopicID]int32{}
		for i := range 1 + rng.IntN(5) {
			partitions[topic(byte(i))] = int32(rng.IntN(12))
		}
		assign, name := Assign(Uniform), "uniform"
		if seed%3 == 0 {
			assign, name = Range, "range"
		}
		same := rng.IntN(2) == 0
		assigned := map[string]Assignment{}
		topics := map[string][]TopicID{}
		all := slices.SortedFunc(maps.Keys(partitions), compareTopics)
		for step := range 30 {
			switch n := rng.IntN(10); {
			case n < 5 || len(topics) == 0:
				id := fmt.Sprintf("m%d", rng.IntN(20))
				topics[id] = all
				if !same {
					topics[id] = slices.DeleteFunc(slices.Clone(all), func(TopicID) bool { return rng.IntN(3) == 0 })
				}
			case n < 8:
				for id := range topics {
					delete(topics, id)
					delete(assigned, id)
					break
				}
			default:
				partitions[all[rng.IntN(len(all))]]++
			}
			g := &Group{Same: same, Partitions: map[TopicID]int32{}}
			for id, subscribed := range topics {
				g.Members = append(g.Members, Member{ID: id, Topics: subscribed, Assigned: assigned[id]})
				for _, s := range subscribed {
					g.Partitions[s] = partitions[s]
				}
			}
			before := assigned
			assigned = assign(g)
			if err := check(g, assigned); err != nil {
				t.Fatalf("seed %d step %d, %s: %v", seed, step, name, err)
			}
			if name == "range" {
				continue
			}
			if err := checkEven(g, assigned); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if same {
				if err := checkSticky(g, before, assigned); err != nil {
					t.Fatalf("seed %d step %d: %v", seed, step, err)
				}
			}
			again := assign(&Group{Same: same, Partitions: g.Partitions, Members: withAssigned(g.Members, assigned)})
			for id := range assigned {
				if !again[id].Equal(assigned[id]) {
					t.Fatalf("seed %d step %d: %s has %s, and when nothing has changed %s", seed, step, id, show(assigned[id]), show(again[id]))
				}
			}
		}
	}
}

func withAssigned(members []Member, assigned map[string]Assignment) []Member {
	members = slices.Clone(members)
	for i := range members {
		members[i].Assigned = assigned[members[i].ID]
	}
	return members
}

func check(g *Group, assigned map[string]Assignment) error {
	if len(assigned) != len(g.Members) {
		return fmt.Errorf("%d assignments for %d members", len(assigned), len(g.Members))
	}
	taken := newPartitionSet(g)
	for i := range g.Members {
		m := &g.Members[i]
		for id, ps := range assigned[m.ID] {
			if len(ps) == 0 || !slices.IsSorted(ps) {
				return fmt.Errorf("%s: partitions %v", m.ID, ps)
			}
			for _, p := range ps {
				if !m.subscribes(id) || !taken.add(id, p) {
					return fmt.Errorf("%s has t%d-%d, not subscribed or taken", m.ID, id[0], p)
				}
			}
		}
	}
	if rest := taken.rest(g.topics()); len(rest) > 0 && len(g.Members) > 0 {
		return fmt.Errorf("without owner: %v", rest)
	}
	return nil
}

// checkEven: no partition could go to a member that has two less than its owner.
func checkEven(g *Group, assigned map[string]Assignment) error {
	for i := range g.Members {
		for id := range assigned[g.Members[i].ID] {
			for k := range g.Members {
				if m := &g.Members[k]; m.subscribes(id) && assigned[m.ID].Count() < assigned[g.Members[i].ID].Count()-1 {
					return fmt.Errorf("%s has %d partitions, also of t%d, and %s has %d", g.Members[i].ID, assigned[g.Members[i].ID].Count(), id[0], m.ID, assigned[m.ID].Count())
				}
			}
		}
	}
	return nil
}

// checkSticky: whoever ends below the larger quota has lost nothing that exists.
func checkSticky(g *Group, before, after map[string]Assignment) error {
	total := 0
	for _, n := range g.Partitions {
		total += int(n)
	}
	for i := range g.Members {
		id := g.Members[i].ID
		lost := false
		for topic, ps := range before[id] {
			for _, p := range ps {
				if _, ok := slices.BinarySearch(after[id][topic], p); !ok && p < g.Partitions[topic] {
					lost = true
				}
			}
		}
		if lost && after[id].Count() < total/len(g.Members) {
			return fmt.Errorf("%s had %s and has %s", id, show(before[id]), show(after[id]))
		}
	}
	return nil
}

func benchmark(b *testing.B, same bool) {
	const members, topics, each = 1000, 100, 100
	g := &Group{Same: same, Partitions: map[TopicID]int32{}}
	var all []TopicID
	for i := range topics {
		all = append(all, topic(byte(i)))
		g.Partitions[topic(byte(i))] = each
	}
	for i := range members {
		m := Member{ID: fmt.Sprintf("m%04d", i), Topics: all}
		if !same {
			m.Topics = all[i%50:]
		}
		g.Members = append(g.Members, m)
	}
	g.Members = withAssigned(g.Members, Uniform(g))
	for id := range g.Partitions {
		g.Partitions[id]++
		break
	}
	b.ReportAllocs()
	for b.Loop() {
		Uniform(g)
	}
}

func BenchmarkUniform1000Members10000Partitions(b *testing.B)      { benchmark(b, true) }
func BenchmarkUniformMixed1000Members10000Partitions(b *testing.B) { benchmark(b, false) }
