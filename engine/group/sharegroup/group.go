package sharegroup

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/assignor"
	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/consumer"
)

// TopicID names a topic.
type TopicID = assignor.TopicID

// Assignor is the name of the one assignor.
const Assignor = "simple"

// Epochs that members send instead of one that they have.
const (
	EpochJoin  int32 = 0
	EpochLeave int32 = -1
)

// Env is what the coordinator gives to a call.
type Env struct {
	Now                int64 // milliseconds since the epoch
	Topics             consumer.Topics
	MaxSize            int   // most members of a group
	AssignmentInterval int64 // milliseconds between two target assignments, at least
	InitializeRetry    int64 // milliseconds after which a partition whose state is not there yet is asked for again
}

// Member of a group. The fields are read by the coordinator between calls.
type Member struct {
	ID                   string
	Rack                 *string
	ClientID, ClientHost string
	Topics               []string // subscribed, ascending
	Epoch, Previous      int32
	Assigned             assignor.Assignment
}

// Group is a share group. See the package comment.
type Group struct {
	ID              string
	Epoch           int32
	AssignmentEpoch int32
	assignedMillis  int64
	hash            int64 // of the subscribed topics, as the group epoch knows them
	hashVersion     int64 // of the topics when hash was computed

	members map[string]*Member
	target  map[string]assignor.Assignment
	names   map[string]int // topic names to the number of members subscribed

	initializing map[TopicID]*pending
	initialized  map[TopicID]*pending
	deleting     map[TopicID]string // whose states are being deleted; name
	recorded     bool               // a record of these may be in the log

	changes changes.Set // records that are not what memory says
}

// New returns a group without members.
func New(id string) *Group {
	return &Group{
		ID: id, Epoch: 1, hashVersion: -1,
		members: make(map[string]*Member), target: make(map[string]assignor.Assignment), names: make(map[string]int),
		initializing: make(map[TopicID]*pending), initialized: make(map[TopicID]*pending), deleting: make(map[TopicID]string),
	}
}

// MarkNew has a group that was made without a member written.
func (g *Group) MarkNew() { g.mark(KindGroup, "") }

// Size is the number of members.
func (g *Group) Size() int { return len(g.members) }

// Member returns a member, or nil.
func (g *Group) Member(id string) *Member { return g.members[id] }

// Members are all members, by id.
func (g *Group) Members() []*Member {
	return slices.SortedFunc(maps.Values(g.members), func(a, b *Member) int { return strings.Compare(a.ID, b.ID) })
}

// Name is what the group's state is called.
func (g *Group) Name() string {
	if len(g.members) == 0 {
		return "Empty"
	}
	return "Stable"
}

func refuse(code int16, format string, args ...any) *consumer.Error {
	return &consumer.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ValidateHeartbeat judges a request by itself.
func ValidateHeartbeat(req *kmsg.ShareGroupHeartbeatRequest) *consumer.Error {
	empty := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	switch {
	case empty(&req.MemberID):
		return refuse(consumer.CodeInvalidRequest, "MemberId can't be empty.")
	case empty(&req.GroupID):
		return refuse(consumer.CodeInvalidRequest, "GroupId can't be empty.")
	case empty(req.RackID):
		return refuse(consumer.CodeInvalidRequest, "RackId can't be empty.")
	case req.MemberEpoch == EpochJoin && len(req.SubscribedTopicNames) == 0:
		return refuse(consumer.CodeInvalidRequest, "SubscribedTopicNames must be set in first request.")
	case req.MemberEpoch < EpochLeave:
		return refuse(consumer.CodeInvalidRequest, "MemberEpoch is invalid.")
	}
	return nil
}

// Outcome is what a heartbeat did.
type Outcome struct {
	Member *Member
	Told   bool // the answer shows the assignment
	// Initialize are partitions that want a state, at the group's epoch; the coordinator sees to it.
	Initialize []Partition
}

// Lookup finds a member.
func (g *Group) Lookup(id string) (*Member, *consumer.Error) {
	if m := g.members[id]; m != nil {
		return m, nil
	}
	return nil, refuse(consumer.CodeUnknownMemberID, "Member %s is not a member of group %s.", id, g.ID)
}

// Heartbeat serves a valid request of a member that does not leave. After an error nothing has changed.
func (g *Group) Heartbeat(env *Env, clientID, host string, req *kmsg.ShareGroupHeartbeatRequest) (Outcome, *consumer.Error) {
	m := g.members[req.MemberID]
	joins := req.MemberEpoch == EpochJoin
	switch {
	case m == nil && len(g.members) >= env.MaxSize:
		return Outcome{}, refuse(consumer.CodeGroupMaxSizeReached, "The share group has reached its maximum capacity of %d members.", env.MaxSize)
	case m == nil && !joins:
		_, err := g.Lookup(req.MemberID)
		return Outcome{}, err
	case m != nil && !joins:
		if err := m.checkEpoch(req.MemberEpoch); err != nil {
			return Outcome{}, err
		}
	}
	if m == nil {
		m = &Member{ID: req.MemberID}
		g.members[m.ID] = m
		g.mark(KindMember, m.ID)
	}
	bump := g.take(m, clientID, host, req)
	if g.AssignmentEpoch >= g.Epoch && len(g.members) > 0 && g.unassigned() {
		bump = true
	}
	g.updateEpoch(env, bump)
	g.updateTarget(env)
	before := m.Assigned
	g.reconcile(env, m, bump)
	return Outcome{
		Member:     m,
		Told:       joins || req.SubscribedTopicNames != nil || !m.Assigned.Equal(before),
		Initialize: g.wanted(env),
	}, nil
}

func (m *Member) checkEpoch(epoch int32) *consumer.Error {
	switch {
	case epoch > m.Epoch:
		return refuse(consumer.CodeFencedMemberEpoch, "The share group member has a greater member epoch (%d) than the one known by the group coordinator (%d). "+
			"The member must abandon all its partitions and rejoin.", epoch, m.Epoch)
	case epoch < m.Epoch && epoch != m.Previous:
		return refuse(consumer.CodeFencedMemberEpoch, "The share group member has a smaller member epoch (%d) than the one known by the group coordinator (%d), "+
			"and it does not match the previous member epoch (%d). The member must abandon all its partitions and rejoin.", epoch, m.Epoch, m.Previous)
	}
	return nil
}

// take notes what a member says of itself, and reports whether its subscription is another.
func (g *Group) take(m *Member, clientID, host string, req *kmsg.ShareGroupHeartbeatRequest) (changed bool) {
	if m.ClientID != clientID || m.ClientHost != host || req.RackID != nil && (m.Rack == nil || *m.Rack != *req.RackID) {
		m.ClientID, m.ClientHost = clientID, host
		if req.RackID != nil {
			m.Rack = req.RackID
		}
		g.mark(KindMember, m.ID)
	}
	if req.SubscribedTopicNames == nil {
		return false
	}
	topics := slices.Compact(slices.Sorted(slices.Values(req.SubscribedTopicNames)))
	if slices.Equal(topics, m.Topics) {
		return false
	}
	g.count(m, -1)
	m.Topics = topics
	g.count(m, 1)
	g.mark(KindMember, m.ID)
	return true
}

func (g *Group) count(m *Member, sign int) {
	for _, topic := range m.Topics {
		if g.names[topic] += sign; g.names[topic] == 0 {
			delete(g.names, topic)
		}
	}
}

// Remove ends a membership.
func (g *Group) Remove(env *Env, m *Member) {
	g.count(m, -1)
	delete(g.members, m.ID)
	delete(g.target, m.ID)
	for _, kind := range []changes.Kind{KindMember, KindTarget, KindCurrent} {
		g.mark(kind, m.ID)
	}
	g.updateEpoch(env, true)
}

// updateEpoch raises the group epoch if bump says so or the subscribed topics are not what they were.
func (g *Group) updateEpoch(env *Env, bump bool) {
	version := env.Topics.Version()
	if !bump && version == g.hashVersion {
		return
	}
	g.hashVersion = version
	hash := g.hashOf(env.Topics)
	if hash == g.hash && !bump {
		return
	}
	g.hash = hash
	g.Epoch++
	g.mark(KindGroup, "")
}

// hashOf sums up the subscribed topics that exist.
func (g *Group) hashOf(topics consumer.Topics) int64 {
	var sum uint64
	for name := range g.names {
		if id, n, ok := topics.ByName(name); ok {
			h := fnv.New64a()
			_, _ = h.Write(id[:])
			_, _ = h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			sum += h.Sum64() // whatever the order
		}
	}
	return int64(sum)
}

// updateTarget computes the target assignment, when there has to be one and it is not too early.
func (g *Group) updateTarget(env *Env) {
	if g.AssignmentEpoch >= g.Epoch || g.assignedMillis != 0 && env.Now-g.assignedMillis < env.AssignmentInterval {
		return
	}
	for id, next := range g.assign(env) {
		if old, ok := g.target[id]; !ok || !old.Equal(next) {
			g.target[id] = next
			g.mark(KindTarget, id)
		}
	}
	g.AssignmentEpoch, g.assignedMillis = g.Epoch, env.Now
	g.mark(KindTargets, "")
}

// reconcile gives a member its target.
func (g *Group) reconcile(env *Env, m *Member, changed bool) {
	if m.Epoch == g.AssignmentEpoch && !changed {
		return
	}
	assigned := make(assignor.Assignment)
	for topic, partitions := range g.target[m.ID] {
		if name, _, ok := env.Topics.ByID(topic); ok && slices.Contains(m.Topics, name) {
			assigned[topic] = partitions
		}
	}
	if m.Epoch == g.AssignmentEpoch && m.Assigned.Equal(assigned) {
		return
	}
	m.Assigned = assigned
	if m.Epoch != g.AssignmentEpoch {
		m.Previous, m.Epoch = m.Epoch, g.AssignmentEpoch
	}
	g.mark(KindCurrent, m.ID)
}

// Assignment is what a heartbeat's answer shows of what a member has.
func (m *Member) Assignment() *kmsg.ShareGroupHeartbeatResponseAssignment {
	out := kmsg.NewShareGroupHeartbeatResponseAssignment()
	out.TopicPartitions = []kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition{}
	for _, id := range sortedTopics(m.Assigned) {
		tp := kmsg.NewShareGroupHeartbeatResponseAssignmentTopicPartition()
		tp.TopicID, tp.Partitions = id, m.Assigned[id]
		out.TopicPartitions = append(out.TopicPartitions, tp)
	}
	return &out
}

// Describe fills in what ShareGroupDescribe shows of the group.
func (g *Group) Describe(topics consumer.Topics, at *kmsg.ShareGroupDescribeResponseGroup) {
	at.GroupState, at.GroupEpoch, at.AssignmentEpoch, at.Assignor = g.Name(), g.Epoch, g.AssignmentEpoch, Assignor
	for _, m := range g.Members() {
		d := kmsg.NewShareGroupDescribeResponseGroupMember()
		d.MemberID, d.RackID, d.MemberEpoch, d.ClientID, d.ClientHost, d.SubscribedTopicNames = m.ID, m.Rack, m.Epoch, m.ClientID, m.ClientHost, m.Topics
		for _, id := range sortedTopics(m.Assigned) {
			if name, _, ok := topics.ByID(id); ok {
				tp := kmsg.NewShareGroupDescribeResponseGroupMemberAssignmentTopicPartition()
				tp.TopicID, tp.Topic, tp.Partitions = id, name, m.Assigned[id]
				d.Assignment.TopicPartitions = append(d.Assignment.TopicPartitions, tp)
			}
		}
		at.Members = append(at.Members, d)
	}
}

func sortedTopics[V any](m map[TopicID]V) []TopicID {
	return slices.SortedFunc(maps.Keys(m), func(a, b TopicID) int { return slices.Compare(a[:], b[:]) })
}
