package sticky

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

var (
	seed  = flag.Uint64("sticky.seed", 0, "only this seed")
	seeds = flag.Uint64("sticky.seeds", 300, "seeds of the property test")
)

func tasks(subtopology string, partitions ...int32) (all []Task) {
	for _, p := range partitions {
		all = append(all, Task{subtopology, p})
	}
	return all
}

// TestAssign: small groups, by hand.
func TestAssign(t *testing.T) {
	stateful := []Subtopology{{"0", 4, true}}
	for _, c := range []struct {
		name string
		g    Group
		want map[string]Assignment
	}{
		{"one member has all", Group{Members: []Member{{ID: "a", Process: "p"}}, Subtopologies: []Subtopology{{"0", 2, false}, {"1", 1, true}}, Standbys: 1},
			map[string]Assignment{"a": {Active: append(tasks("0", 0, 1), tasks("1", 0)...)}}},
		{"two processes, with copies", Group{Members: []Member{{ID: "a", Process: "p"}, {ID: "b", Process: "q"}}, Subtopologies: stateful, Standbys: 1},
			map[string]Assignment{"a": {Active: tasks("0", 0, 2), Standby: tasks("0", 1, 3)}, "b": {Active: tasks("0", 1, 3), Standby: tasks("0", 0, 2)}}},
		{"threads of one process take no copies", Group{Members: []Member{{ID: "a", Process: "p"}, {ID: "b", Process: "p"}}, Subtopologies: stateful, Standbys: 1},
			map[string]Assignment{"a": {Active: tasks("0", 0, 2)}, "b": {Active: tasks("0", 1, 3)}}},
		{"a newcomer takes what is too much", Group{Members: []Member{{ID: "a", Process: "p", Active: tasks("0", 0, 1, 2, 3)}, {ID: "b", Process: "q"}}, Subtopologies: stateful},
			map[string]Assignment{"a": {Active: tasks("0", 0, 1)}, "b": {Active: tasks("0", 2, 3)}}},
		{"a copy becomes active where it is", Group{Members: []Member{{ID: "a", Process: "p", Active: tasks("0", 0, 1), Standby: tasks("0", 3)}, {ID: "b", Process: "q", Standby: tasks("0", 2)}}, Subtopologies: stateful},
			map[string]Assignment{"a": {Active: tasks("0", 0, 1)}, "b": {Active: tasks("0", 2, 3)}}},
		{"a subtopology that is gone", Group{Members: []Member{{ID: "a", Process: "p", Active: tasks("9", 0)}}, Subtopologies: []Subtopology{{"0", 1, false}}},
			map[string]Assignment{"a": {Active: tasks("0", 0)}}},
		{"a copy stays", Group{Members: []Member{{ID: "a", Process: "p", Active: tasks("0", 0)}, {ID: "b", Process: "q"}, {ID: "c", Process: "r", Standby: tasks("0", 0)}},
			Subtopologies: []Subtopology{{"0", 1, true}}, Standbys: 1},
			map[string]Assignment{"a": {Active: tasks("0", 0)}, "b": {}, "c": {Standby: tasks("0", 0)}}},
	} {
		got := map[string]Assignment{}
		for id, a := range Assign(&c.g) {
			slices.SortFunc(a.Active, bySubtopology)
			slices.SortFunc(a.Standby, bySubtopology)
			got[id] = *a
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestProperties: random groups go through random changes. Every task is active once and at a member; no process has a task twice; there are
// as many copies as processes allow; where members have processes of their own, nobody has more active tasks than an equal share, rounded up;
// a member that has no more than an equal share, rounded down, keeps its active tasks; and the order of the members makes no difference.
func TestProperties(t *testing.T) {
	for s := uint64(1); s <= *seeds; s++ {
		if *seed != 0 && s != *seed {
			continue
		}
		if err := runProperties(s); err != nil {
			t.Fatalf("%v\nreplay: go test ./engine/group/streams/sticky -run TestProperties -sticky.seed=%d", err, s)
		}
	}
}

func runProperties(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	g := &Group{Standbys: rng.IntN(3)}
	for i := range 1 + rng.IntN(4) {
		g.Subtopologies = append(g.Subtopologies, Subtopology{fmt.Sprint(i), int32(1 + rng.IntN(8)), rng.IntN(2) == 0})
	}
	for n := range 12 {
		switch kind := rng.IntN(4); {
		case kind == 0 && len(g.Members) > 1:
			i := rng.IntN(len(g.Members))
			g.Members = slices.Delete(g.Members, i, i+1)
		case kind == 1:
			g.Subtopologies[rng.IntN(len(g.Subtopologies))].Tasks++
		case kind == 2:
			g.Standbys = rng.IntN(3)
		default:
			g.Members = append(g.Members, Member{ID: fmt.Sprintf("m%d", n), Process: fmt.Sprintf("p%d", rng.IntN(5))})
		}
		if len(g.Members) == 0 {
			continue
		}
		out := Assign(g)
		if err := check(g, out); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
		total := 0
		for _, s := range g.Subtopologies {
			total += int(s.Tasks)
		}
		for _, m := range g.Members {
			for _, task := range m.Active {
				if len(m.Active) <= total/len(g.Members) && !slices.Contains(out[m.ID].Active, task) {
					return fmt.Errorf("step %d: %s had %d tasks and lost %v", n, m.ID, len(m.Active), task)
				}
			}
		}
		shuffled := *g
		shuffled.Members = slices.Clone(g.Members)
		rng.Shuffle(len(g.Members), func(i, j int) { shuffled.Members[i], shuffled.Members[j] = shuffled.Members[j], shuffled.Members[i] })
		if again := Assign(&shuffled); !reflect.DeepEqual(again, out) {
			return fmt.Errorf("step %d: another order of the members gives another assignment", n)
		}
		for i := range g.Members {
			a := out[g.Members[i].ID]
			g.Members[i].Active, g.Members[i].Standby = a.Active, a.Standby
		}
	}
	return nil
}

func numProcesses(g *Group) int {
	processes := map[string]bool{}
	for _, m := range g.Members {
		processes[m.Process] = true
	}
	return len(processes)
}

func check(g *Group, out map[string]*Assignment) error {
	active, copies := map[Task]string{}, map[Task]int{}
	has := map[string]map[Task]bool{}
	total := 0
	for _, s := range g.Subtopologies {
		total += int(s.Tasks)
	}
	share := (total + len(g.Members) - 1) / len(g.Members)
	for _, m := range g.Members {
		a := out[m.ID]
		if a == nil {
			return fmt.Errorf("%s has no assignment", m.ID)
		}
		if has[m.Process] == nil {
			has[m.Process] = map[Task]bool{}
		}
		for _, task := range append(slices.Clone(a.Active), a.Standby...) {
			if has[m.Process][task] {
				return fmt.Errorf("%s has %v twice", m.Process, task)
			}
			has[m.Process][task] = true
		}
		for _, task := range a.Active {
			if active[task] != "" {
				return fmt.Errorf("%v is active at %s and %s", task, active[task], m.ID)
			}
			active[task] = m.ID
		}
		for _, task := range a.Standby {
			copies[task]++
		}
		if own := numProcesses(g) == len(g.Members); own && len(a.Active) > share {
			return fmt.Errorf("%s has %d active tasks of %d, with %d members", m.ID, len(a.Active), total, len(g.Members))
		}
	}
	if len(active) != total {
		return fmt.Errorf("%d tasks are active, want %d", len(active), total)
	}
	for _, s := range g.Subtopologies {
		want := 0
		if s.Stateful {
			want = min(g.Standbys, numProcesses(g)-1)
		}
		for p := range s.Tasks {
			if task := (Task{s.ID, p}); copies[task] != want {
				return fmt.Errorf("%v has %d copies, want %d", task, copies[task], want)
			}
		}
	}
	return nil
}
