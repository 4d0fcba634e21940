package consumer

import (
	"github.com/ringmq/ringmq/engine/group/assignor"
)

// Replay builds a group out of its records, in any order that a compacted log may have them.
type Replay struct {
	g       *Group
	current map[string]*Member
	regexes map[string]*regex
	epoch   bool
}

// NewReplay begins with a group of which nothing is known.
func NewReplay(id string) *Replay {
	return &Replay{g: New(id), current: make(map[string]*Member), regexes: make(map[string]*regex)}
}

// Apply takes a record; a nil value removes. The bytes are not kept.
func (r *Replay) Apply(k Key, value []byte) error {
	g := r.g
	if value == nil {
		switch k.Kind {
		case KindGroup:
			g.Epoch, g.hash, r.epoch = 1, 0, false
		case KindTargets:
			g.AssignmentEpoch, g.assignedMillis = 0, 0
		case KindMember:
			delete(g.members, k.ID)
		case KindTarget:
			delete(g.target, k.ID)
		case KindCurrent:
			delete(r.current, k.ID)
		case KindRegex:
			delete(r.regexes, k.ID)
		}
		return nil
	}
	if k.Kind == KindTopics {
		return nil // of an older version; the topics are looked at anew
	}
	v, err := decodeValue(k.Kind, value)
	if err != nil {
		return err
	}
	switch k.Kind {
	case KindGroup:
		g.Epoch, g.hash, r.epoch = v.epoch, v.number, true
	case KindTargets:
		g.AssignmentEpoch, g.assignedMillis = v.epoch, v.number
	case KindMember:
		v.member.ID = k.ID
		g.members[k.ID] = v.member
	case KindTarget:
		g.target[k.ID] = v.target
	case KindCurrent:
		r.current[k.ID] = v.member
	case KindRegex:
		r.regexes[k.ID] = v.regex
	}
	return nil
}

// Empty reports whether nothing is left of the group.
func (r *Replay) Empty() bool {
	return !r.epoch && len(r.g.members) == 0 && len(r.current) == 0 && len(r.g.target) == 0 && len(r.regexes) == 0
}

// Group ends the replay. The topics are to be compared with what the group's epoch was made of.
func (r *Replay) Group() *Group {
	g := r.g
	for _, m := range g.Members() {
		if c := r.current[m.ID]; c != nil {
			m.Epoch, m.Previous, m.State, m.Assigned, m.Revoking, m.reached = c.Epoch, c.Previous, c.State, c.Assigned, c.Revoking, true
		}
		if other := g.static[deref(m.Instance)]; m.Instance != nil && other != nil {
			// A log that lost a part of a change. Who came last has an epoch that is not greater: it is the one that has to be kept
			// from getting partitions twice, and its client will be told that it is fenced.
			m.Instance = nil
		}
		g.insert(m)
	}
	var orphans []Key // what is left of a change of which only a part reached the log
	for id := range g.target {
		if g.members[id] == nil {
			delete(g.target, id)
			orphans = append(orphans, Key{Kind: KindTarget, ID: id})
		}
	}
	for id := range r.current {
		if g.members[id] == nil {
			orphans = append(orphans, Key{Kind: KindCurrent, ID: id})
		}
	}
	for id := range g.members {
		if g.target[id] == nil {
			g.target[id] = assignor.Assignment{}
		}
	}
	for expression, x := range r.regexes {
		if known := g.regexes[expression]; known != nil {
			x.members = known.members
			g.regexes[expression] = x
			g.refreshedMillis = max(g.refreshedMillis, x.millis)
		} else {
			orphans = append(orphans, Key{Kind: KindRegex, ID: expression})
		}
	}
	g.changes.Clear()
	g.Unsaved(orphans)
	return g
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
