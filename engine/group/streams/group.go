package streams

import (
	"maps"
	"slices"
	"strings"

	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/consumer"
)

// Env is what the coordinator gives to a call.
type Env struct {
	Now                int64 // milliseconds since the epoch
	Topics             consumer.Topics
	MaxSize            int   // most members of a group
	MaxBytes           int   // most memory of a group's members and topology
	AssignmentInterval int64 // milliseconds between two target assignments of a group, at least
	InitialDelay       int64 // milliseconds that the first target of an empty group waits for more members
	Standbys           int   // num.standby.replicas
}

// Group is a streams group. See the package comment.
type Group struct {
	ID string

	Epoch           int32
	AssignmentEpoch int32
	assignedMillis  int64 // when the target was computed; 0: never, or long ago
	validated       int32 // epoch of the topology that was complete when the group epoch was made; -1: none was
	standbys        int   // num.standby.replicas of the group epoch; -1: not known

	hash        int64 // of the topics, as the group epoch knows them
	hashVersion int64 // of the topics when hash was computed, or found to be the same

	topology *Topology // nil: nobody has joined yet
	layout   *layout   // of topology with the topics that there are; nil: to be computed
	delaying bool      // the first target waits for more members

	members map[string]*Member
	target  map[string]*Tasks

	active map[TaskID]*Member                    // who has a task, or has to give it up
	copies [roles]map[TaskID]map[string]struct{} // processes that have it in another role than active

	shutdown       *string // member that asked for the end of the whole application
	endpointsEpoch int32   // grows whenever a member with an endpoint gets or loses tasks

	bytes   int // of the members
	changes changes.Set
}

// New returns a group without members.
func New(id string) *Group {
	g := &Group{
		ID: id, Epoch: 1, hashVersion: -1, standbys: -1, validated: -1,
		members: make(map[string]*Member), target: make(map[string]*Tasks), active: make(map[TaskID]*Member),
	}
	for role := range g.copies {
		g.copies[role] = make(map[TaskID]map[string]struct{})
	}
	return g
}

// Size is the number of members.
func (g *Group) Size() int { return len(g.members) }

// Member returns a member, or nil.
func (g *Group) Member(id string) *Member { return g.members[id] }

// Members are all members, by id.
func (g *Group) Members() []*Member {
	return slices.SortedFunc(maps.Values(g.members), func(a, b *Member) int { return strings.Compare(a.ID, b.ID) })
}

// Subscribed reports whether a topic is read by the program of the members.
func (g *Group) Subscribed(topic string) bool {
	if len(g.members) == 0 || g.topology == nil {
		return false
	}
	_, reads := g.topology.source[topic]
	return reads
}

// Name is what the group's state is called.
func (g *Group) Name() string {
	switch {
	case len(g.members) == 0:
		return "Empty"
	case g.topology == nil || g.topology.Epoch != g.validated:
		return "NotReady"
	case g.Epoch > g.AssignmentEpoch:
		return "Assigning"
	}
	for _, m := range g.members {
		if !m.Reconciled(g.AssignmentEpoch) {
			return "Reconciling"
		}
	}
	return "Stable"
}

// insert makes m a member; what it has becomes its own.
func (g *Group) insert(m *Member) {
	g.members[m.ID] = m
	m.bytes = m.size()
	g.bytes += m.bytes
	g.acquire(m)
}

// Remove ends memberships, of members who left or were silent for too long, and begins a new group epoch.
func (g *Group) Remove(members ...*Member) {
	for _, m := range members {
		g.release(m)
		g.bytes -= m.bytes
		delete(g.members, m.ID)
		delete(g.target, m.ID)
		g.mark(KindMember, m.ID)
		g.mark(KindTarget, m.ID)
		g.mark(KindCurrent, m.ID)
	}
	g.Epoch++
	g.mark(KindGroup, "")
	if len(g.members) == 0 {
		g.shutdown = nil
	}
}

// acquire puts what a member has into the indexes, release takes it out.
func (g *Group) acquire(m *Member) {
	for _, tasks := range []*Tasks{&m.Assigned, &m.Revoking} {
		for id := range tasks[Active] {
			// Two owners can only come out of a log that lost a part of a change; then the one of the higher epoch was told last.
			if owner := g.active[id]; owner == nil || owner.Epoch <= m.Epoch {
				g.active[id] = m
			}
		}
		for _, role := range []Role{Standby, Warmup} {
			for id := range tasks[role] {
				if g.copies[role][id] == nil {
					g.copies[role][id] = make(map[string]struct{})
				}
				g.copies[role][id][m.Process] = struct{}{}
			}
		}
	}
}

func (g *Group) release(m *Member) {
	for _, tasks := range []*Tasks{&m.Assigned, &m.Revoking} {
		for id := range tasks[Active] {
			if g.active[id] == m {
				delete(g.active, id)
			}
		}
		for _, role := range []Role{Standby, Warmup} {
			for id := range tasks[role] {
				if processes := g.copies[role][id]; processes != nil {
					if delete(processes, m.Process); len(processes) == 0 {
						delete(g.copies[role], id)
					}
				}
			}
		}
	}
}

func (g *Group) mark(kind changes.Kind, id string) { g.changes.Mark(kind, id) }

// Dirty reports whether records are to be written.
func (g *Group) Dirty() bool { return g.changes.Dirty() }

// Unsaved notes that records could not be written.
func (g *Group) Unsaved(keys []changes.Key) { g.changes.Unsaved(keys) }
