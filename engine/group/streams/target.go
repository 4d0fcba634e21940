package streams

import (
	"github.com/ringmq/ringmq/engine/group/streams/sticky"
)

// due reports whether a target assignment may be computed.
func (g *Group) due(env *Env) bool {
	return g.assignedMillis == 0 || env.AssignmentInterval == 0 || env.Now >= g.assignedMillis+env.AssignmentInterval
}

// assign computes the target assignment for the group epoch. REQUIRES: there is a layout.
func (g *Group) assign(env *Env) {
	targets := g.targets()
	for id := range g.members {
		next := targets[id]
		old, had := g.target[id]
		if had && old.equal(next) {
			continue
		}
		g.target[id] = next
		g.mark(KindTarget, id)
	}
	g.AssignmentEpoch, g.assignedMillis = g.Epoch, env.Now
	g.mark(KindTargets, "")
}

// targets are the tasks that each member is to have: none while the topology is not complete.
func (g *Group) targets() map[string]*Tasks {
	out := make(map[string]*Tasks, len(g.members))
	if !g.layout.ready() {
		for id := range g.members {
			out[id] = new(Tasks)
		}
		return out
	}
	spec := &sticky.Group{Standbys: max(g.standbys, 0)}
	for i := range g.topology.Subtopologies {
		s := &g.topology.Subtopologies[i]
		spec.Subtopologies = append(spec.Subtopologies, sticky.Subtopology{ID: s.ID, Tasks: g.layout.tasks[s.ID], Stateful: len(s.Changelogs) > 0})
	}
	for _, m := range g.members {
		sm := sticky.Member{ID: m.ID, Process: m.Process}
		if had := g.target[m.ID]; had != nil {
			sm.Active, sm.Standby = had[Active].sorted(), had[Standby].sorted()
		}
		spec.Members = append(spec.Members, sm)
	}
	for id, a := range sticky.Assign(spec) {
		t := new(Tasks)
		for role, list := range [][]TaskID{a.Active, a.Standby} {
			for _, task := range list {
				t.add(Role(role), task, 0)
			}
		}
		out[id] = t
	}
	return out
}

// EndDelay ends the time that the first target waits for more members.
func (g *Group) EndDelay(env *Env) {
	g.delaying = false
	if len(g.members) > 0 && g.topology != nil && g.layout != nil && g.Epoch > g.AssignmentEpoch && g.due(env) {
		g.assign(env)
	}
}

// targetOf is the target of a member, and its epoch. While the first target waits for more members it is no tasks, in an epoch that is not
// that of joining: the member has joined.
func (g *Group) targetOf(m *Member) (int32, *Tasks) {
	if g.delaying {
		return max(g.AssignmentEpoch, 1), new(Tasks)
	}
	if t := g.target[m.ID]; t != nil {
		return g.AssignmentEpoch, t
	}
	return g.AssignmentEpoch, new(Tasks)
}
