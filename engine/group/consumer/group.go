package consumer

import (
	"hash/fnv"
	"maps"
	"slices"

	"github.com/ringmq/ringmq/engine/group/assignor"
	"github.com/ringmq/ringmq/engine/group/changes"
)

// Topics is what a group knows of the cluster's topics. The methods must not block.
type Topics interface {
	// Version changes whenever a topic is created, grows or is deleted.
	Version() int64
	ByName(name string) (id TopicID, partitions int32, ok bool)
	ByID(id TopicID) (name string, partitions int32, ok bool)
	// Each calls fn with the name of each topic until it returns false.
	Each(fn func(name string) bool)
}

// Env is what the coordinator gives to a call.
type Env struct {
	Now                int64 // milliseconds since the epoch
	Topics             Topics
	MaxSize            int      // most members of a group
	MaxBytes           int      // most memory of a group's members
	Assignors          []string // the default first
	AssignmentInterval int64    // milliseconds between two target assignments of a group, at least
	InlineAssignment   int      // up to this many members and partitions the target is computed within the call
}

// Group is a consumer group. See the package comment.
type Group struct {
	ID string

	Epoch           int32
	AssignmentEpoch int32
	assignedMillis  int64 // when the target was computed; 0: never, or long ago

	hash        int64 // of the subscribed topics, as the group epoch knows them
	hashVersion int64 // of the topics when hash was computed, or found to be the same
	stale       bool  // hash has to be computed whatever hashVersion says

	members map[string]*Member
	static  map[string]*Member // by instance
	target  map[string]assignor.Assignment
	owners  map[TopicID][]*Member // by partition; nil: free

	names     map[string]int // topic names to the number of members subscribed by name
	regexes   map[string]*regex
	assignors map[string]int // to the number of members that would like them
	classic   int            // members that speak the classic protocol
	votes     map[string]int // classic protocol names to the number of classic members that support them
	bytes     int            // of the members

	refreshedMillis int64 // when the expressions were last resolved
	refreshing      bool  // they are being resolved
	computing       *computation

	changes changes.Set // records that are not what memory says
}

// New returns a group without members.
func New(id string) *Group {
	return &Group{
		ID: id, Epoch: 1, hashVersion: -1, stale: true,
		members: make(map[string]*Member), static: make(map[string]*Member), target: make(map[string]assignor.Assignment),
		owners: make(map[TopicID][]*Member), names: make(map[string]int), regexes: make(map[string]*regex),
		assignors: make(map[string]int), votes: make(map[string]int),
	}
}

// Size is the number of members.
func (g *Group) Size() int { return len(g.members) }

// ClassicSize is the number of members that speak the classic protocol.
func (g *Group) ClassicSize() int { return g.classic }

// Member returns a member, or nil.
func (g *Group) Member(id string) *Member { return g.members[id] }

// Members are all members, by id.
func (g *Group) Members() []*Member {
	all := slices.Collect(maps.Values(g.members))
	slices.SortFunc(all, func(a, b *Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return all
}

// Lookup finds the member that a request speaks for.
func (g *Group) Lookup(id string, instance *string) (*Member, *Error) {
	if instance == nil {
		if m := g.members[id]; m != nil {
			return m, nil
		}
		return nil, refuse(CodeUnknownMemberID, "Member %s is not a member of group %s.", id, g.ID)
	}
	m := g.static[*instance]
	switch {
	case m == nil:
		return nil, refuse(CodeUnknownMemberID, "Instance id %s is unknown.", *instance)
	case m.ID != id:
		return nil, refuse(CodeFencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", id, *instance, m.ID)
	}
	return m, nil
}

// Subscribed reports whether a member is subscribed to a topic.
func (g *Group) Subscribed(topic string) bool {
	if g.names[topic] > 0 {
		return true
	}
	for _, r := range g.regexes {
		if _, ok := slices.BinarySearch(r.topics, topic); ok && r.members > 0 {
			return true
		}
	}
	return false
}

// count adds (or takes away) what a member is in the sums and indexes of the group, but for what it owns.
func (g *Group) count(m *Member, sign int) {
	for _, topic := range m.Topics {
		addTo(g.names, topic, sign)
	}
	if expression := m.regex(); expression != "" {
		r := g.regexes[expression]
		if r == nil {
			r = &regex{}
			g.regexes[expression] = r
		}
		if r.members += sign; r.members == 0 {
			if r.resolved {
				g.mark(KindRegex, expression)
			}
			delete(g.regexes, expression)
		}
	}
	if m.Assignor != nil {
		addTo(g.assignors, *m.Assignor, sign)
	}
	if m.Classic != nil {
		g.classic += sign
		for _, p := range m.Classic.Protocols {
			addTo(g.votes, p.Name, sign)
		}
	}
	if sign > 0 {
		m.bytes = m.size()
	}
	g.bytes += sign * m.bytes
}

func addTo(counts map[string]int, name string, n int) {
	if counts[name] += n; counts[name] == 0 {
		delete(counts, name)
	}
}

// insert makes m a member; what it owns becomes its own.
func (g *Group) insert(m *Member) {
	g.members[m.ID] = m
	if m.Instance != nil {
		g.static[*m.Instance] = m
	}
	g.count(m, 1)
	g.acquire(m)
}

// drop ends a membership.
func (g *Group) drop(m *Member) {
	g.release(m)
	g.count(m, -1)
	delete(g.members, m.ID)
	delete(g.target, m.ID)
	if m.Instance != nil && g.static[*m.Instance] == m {
		delete(g.static, *m.Instance)
	}
	g.mark(KindMember, m.ID)
	g.mark(KindTarget, m.ID)
	g.mark(KindCurrent, m.ID)
}

// release and acquire take what a member owns out of the owners, and into them.
func (g *Group) release(m *Member) {
	g.eachOwned(m, func(owner **Member) {
		if *owner == m {
			*owner = nil
		}
	})
}

func (g *Group) acquire(m *Member) {
	g.eachOwned(m, func(owner **Member) {
		// Two owners can only come out of a log that lost a part of a change; then the one of the higher epoch was told last.
		if *owner == nil || (*owner).Epoch <= m.Epoch {
			*owner = m
		}
	})
}

func (g *Group) eachOwned(m *Member, fn func(owner **Member)) {
	for _, owned := range []Owned{m.Assigned, m.Revoking} {
		for topic, parts := range owned {
			owners := g.owners[topic]
			if n := int(parts[len(parts)-1].Partition) + 1; n > len(owners) {
				owners = append(owners, make([]*Member, n-len(owners))...)
				g.owners[topic] = owners
			}
			for _, p := range parts {
				fn(&owners[p.Partition])
			}
		}
	}
}

// free reports whether a partition has no owner.
func (g *Group) free(topic TopicID, partition int32) bool {
	owners := g.owners[topic]
	return int(partition) >= len(owners) || owners[partition] == nil
}

// subscribedTo calls fn with each topic name that a member is subscribed to, some of them twice.
func (g *Group) subscribedTo(m *Member, fn func(name string)) {
	for _, name := range m.Topics {
		fn(name)
	}
	if r := g.regexes[m.regex()]; r != nil {
		for _, name := range r.topics {
			fn(name)
		}
	}
}

// subscribes reports whether a member is subscribed to a topic that exists.
func (g *Group) subscribes(m *Member, topics Topics, id TopicID) bool {
	name, _, ok := topics.ByID(id)
	if !ok {
		return false
	}
	if _, ok := slices.BinarySearch(m.Topics, name); ok {
		return true
	}
	if r := g.regexes[m.regex()]; r != nil {
		_, ok := slices.BinarySearch(r.topics, name)
		return ok
	}
	return false
}

// topicNames are the names of all topics that anybody is subscribed to.
func (g *Group) topicNames() map[string]struct{} {
	all := make(map[string]struct{}, len(g.names))
	for name := range g.names {
		all[name] = struct{}{}
	}
	for _, r := range g.regexes {
		for _, name := range r.topics {
			all[name] = struct{}{}
		}
	}
	return all
}

// HashOf sums up those of the topics that exist: what makes a difference for the assignment.
func HashOf(topics Topics, names map[string]struct{}) int64 {
	var sum uint64
	for name := range names {
		if id, partitions, ok := topics.ByName(name); ok {
			h := fnv.New64a()
			_, _ = h.Write(id[:])
			_, _ = h.Write([]byte{byte(partitions >> 24), byte(partitions >> 16), byte(partitions >> 8), byte(partitions)})
			sum += mix(h.Sum64()) // whatever the order
		}
	}
	return int64(sum)
}

// mix spreads every bit over all others. The sums of FNV of two numbers of partitions differ by plus or minus its prime: without this two
// topics that grow at the same time cancel each other out half of the time.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// updateEpoch raises the group epoch if bump says so or the subscribed topics are not what they were.
func (g *Group) updateEpoch(env *Env, bump bool) {
	version := env.Topics.Version()
	if !bump && !g.stale && version == g.hashVersion {
		return
	}
	g.stale, g.hashVersion = false, version
	hash := HashOf(env.Topics, g.topicNames())
	if hash == g.hash && !bump {
		return
	}
	g.hash = hash
	g.Epoch++
	g.mark(KindGroup, "")
}

// Name is what a group's state is called.
func (g *Group) Name() string {
	switch {
	case len(g.members) == 0:
		return "Empty"
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

// Key names a record of the group.
type Key = changes.Key

func (g *Group) mark(kind Kind, id string) { g.changes.Mark(kind, id) }

// Dirty reports whether records are to be written.
func (g *Group) Dirty() bool { return g.changes.Dirty() }

// Unsaved notes that records could not be written.
func (g *Group) Unsaved(keys []Key) { g.changes.Unsaved(keys) }

// HasInstance reports whether a static member has the instance.
func (g *Group) HasInstance(instance string) bool { return g.static[instance] != nil }

// InstanceMember is the id of the static member of an instance; "" without.
func (g *Group) InstanceMember(instance string) string {
	if m := g.static[instance]; m != nil {
		return m.ID
	}
	return ""
}
