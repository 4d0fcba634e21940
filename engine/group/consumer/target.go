package consumer

import (
	"slices"

	"github.com/ringmq/ringmq/engine/group/assignor"
)

// computation is a target assignment that is being computed outside of the group.
type computation struct {
	epoch int32
	void  bool // its result cannot be used
}

// Due reports whether a target assignment is to be computed, and is too large to be computed within a call: see Begin.
func (g *Group) Due(env *Env) bool {
	return g.computing == nil && g.due(env) && !g.small(env)
}

func (g *Group) due(env *Env) bool {
	return g.AssignmentEpoch < g.Epoch && (g.assignedMillis == 0 || env.AssignmentInterval == 0 || env.Now >= g.assignedMillis+env.AssignmentInterval)
}

// small reports whether a target is computed quickly. The first one of a group has to be: without it its member would have no epoch but
// that of joining.
func (g *Group) small(env *Env) bool {
	if g.AssignmentEpoch == 0 {
		return true
	}
	n := len(g.members)
	for name := range g.names {
		_, partitions, _ := env.Topics.ByName(name)
		if n += int(partitions); n > env.InlineAssignment {
			return false
		}
	}
	for _, r := range g.regexes {
		for _, name := range r.topics {
			_, partitions, _ := env.Topics.ByName(name)
			if n += int(partitions); n > env.InlineAssignment {
				return false
			}
		}
	}
	return n <= env.InlineAssignment
}

// updateTarget computes the target assignment if it is due and small.
func (g *Group) updateTarget(env *Env) {
	if g.computing != nil || !g.due(env) || !g.small(env) {
		return
	}
	work, finish := g.Begin(env)
	finish(env, work())
}

// Begin starts the computation of a target assignment. work may run anywhere, at the same time as the methods of the group: it shares
// nothing with it that changes. finish belongs to the group again, and takes the result.
func (g *Group) Begin(env *Env) (work func() map[string]assignor.Assignment, finish func(*Env, map[string]assignor.Assignment)) {
	c := &computation{epoch: g.Epoch}
	g.computing = c
	spec := g.spec(env)
	assign := assignor.ByName(g.Assignor(env))
	work = func() map[string]assignor.Assignment { return assign(spec) }
	finish = func(env *Env, targets map[string]assignor.Assignment) {
		g.computing = nil
		if !c.void && c.epoch > g.AssignmentEpoch {
			g.setTargets(c.epoch, env.Now, targets)
		}
	}
	return work, finish
}

// Assignor is the name of the assignor that most members would like; the first of those that are configured where nobody says.
func (g *Group) Assignor(env *Env) string {
	best, most := env.Assignors[0], 0
	for _, name := range env.Assignors {
		if g.assignors[name] > most {
			best, most = name, g.assignors[name]
		}
	}
	return best
}

// spec is the input of the assignors.
func (g *Group) spec(env *Env) *assignor.Group {
	spec := &assignor.Group{Same: g.same(), Partitions: make(map[TopicID]int32), Members: make([]assignor.Member, 0, len(g.members))}
	ids := make(map[string]TopicID)
	for name := range g.topicNames() {
		if id, partitions, ok := env.Topics.ByName(name); ok {
			ids[name] = id
			spec.Partitions[id] = partitions
		}
	}
	var shared []TopicID // of all members, if they are subscribed to the same
	for _, m := range g.members {
		am := assignor.Member{ID: m.ID, Instance: m.Instance, Assigned: g.target[m.ID], Topics: shared}
		if am.Topics == nil {
			g.subscribedTo(m, func(name string) {
				if id, ok := ids[name]; ok {
					am.Topics = append(am.Topics, id)
				}
			})
			slices.SortFunc(am.Topics, func(a, b TopicID) int { return slices.Compare(a[:], b[:]) })
			am.Topics = slices.Compact(am.Topics)
			if spec.Same {
				shared = am.Topics
			}
		}
		spec.Members = append(spec.Members, am)
	}
	return spec
}

// same reports whether all members are subscribed to the same topics. When in doubt they are not.
func (g *Group) same() bool {
	switch len(g.regexes) {
	case 0:
		for _, n := range g.names {
			if n != len(g.members) {
				return false
			}
		}
		return true
	case 1:
		for _, r := range g.regexes {
			return r.members == len(g.members) && len(g.names) == 0
		}
	}
	return false
}

// setTargets takes a target assignment. Members that have come since it was begun have none in it; those that have left are not put
// back.
func (g *Group) setTargets(epoch int32, millis int64, targets map[string]assignor.Assignment) {
	for id := range g.members {
		target := targets[id]
		old, had := g.target[id]
		if had && old.Equal(target) {
			continue
		}
		if target == nil {
			target = assignor.Assignment{}
		}
		g.target[id] = target
		g.mark(KindTarget, id)
	}
	g.AssignmentEpoch, g.assignedMillis = epoch, millis
	g.mark(KindTargets, "")
}
