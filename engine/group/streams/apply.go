package streams

import "github.com/ringmq/ringmq/engine/group/changes"

// Replay builds a group out of its records, in any order that a compacted log may have them.
type Replay struct {
	g       *Group
	current map[string]*Member
	epoch   bool
}

// NewReplay begins with a group of which nothing is known.
func NewReplay(id string) *Replay {
	return &Replay{g: New(id), current: make(map[string]*Member)}
}

// Apply takes a record; a nil value removes. The bytes are not kept.
func (r *Replay) Apply(k changes.Key, value []byte) error {
	g := r.g
	v := values{epochs: epochs{validated: -1, standbys: -1}}
	if value != nil && k.Kind != KindTopics { // whose topics are looked at anew
		var err error
		if v, err = decodeValue(k.Kind, value); err != nil {
			return err
		}
	}
	switch k.Kind {
	case KindGroup:
		if r.epoch = value != nil; !r.epoch {
			v.epochs.epoch = 1
		}
		g.Epoch, g.hash, g.validated, g.standbys = v.epochs.epoch, v.epochs.hash, v.epochs.validated, v.epochs.standbys
	case KindTargets:
		g.AssignmentEpoch, g.assignedMillis = v.epochs.epoch, v.epochs.hash
	case KindTopology:
		g.topology = v.topology
	case KindMember:
		put(g.members, k.ID, v.member)
	case KindTarget:
		put(g.target, k.ID, v.tasks)
	case KindCurrent:
		put(r.current, k.ID, v.member)
	}
	return nil
}

// put sets or, with nil, removes.
func put[V any](m map[string]*V, id string, v *V) {
	if v == nil {
		delete(m, id)
		return
	}
	m[id] = v
}

// Empty reports whether nothing is left of the group.
func (r *Replay) Empty() bool {
	return !r.epoch && r.g.topology == nil && len(r.g.members) == 0 && len(r.current) == 0 && len(r.g.target) == 0
}

// Group ends the replay. The topics are to be compared with what the group's epoch was made of. What is left of changes of which only a part
// reached the log is put right by the next change.
func (r *Replay) Group() *Group {
	g := r.g
	for id, m := range g.members {
		m.ID = id
		if c := r.current[id]; c != nil {
			m.Epoch, m.Previous, m.State, m.Assigned, m.Revoking, m.reached = c.Epoch, c.Previous, c.State, c.Assigned, c.Revoking, true
		}
	}
	for _, m := range g.Members() {
		g.insert(m)
	}
	for id := range g.target {
		if g.members[id] == nil {
			delete(g.target, id)
			g.mark(KindTarget, id)
		}
	}
	for id := range r.current {
		if g.members[id] == nil {
			g.mark(KindCurrent, id)
		}
	}
	if g.topology == nil && len(g.members) > 0 {
		// Without the topology the members cannot go on; they are told that they are unknown, and join again with one.
		g.Remove(g.Members()...)
	}
	return g
}
