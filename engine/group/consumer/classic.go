package consumer

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/assignor"
)

// ProtocolType is the protocol type of classic groups whose members can be those of a consumer group.
const ProtocolType = "consumer"

// Join is what a JoinGroup request of the classic protocol says.
type Join struct {
	MemberID        string
	New             bool // the id was made for the request
	Instance        *string
	ClientID, Host  string
	SessionMillis   int32
	RebalanceMillis int32
	Protocols       []Protocol
}

// SupportsClassic reports whether a classic member with these protocols fits in.
func (g *Group) SupportsClassic(protocolType string, protocols []Protocol) bool {
	if protocolType != ProtocolType {
		return false
	}
	if len(g.members) == 0 {
		return len(protocols) > 0
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return g.votes[p.Name] == g.classic })
}

// JoinClassic makes the sender of a classic join a member, or brings it nearer to the target assignment: its generation is its epoch. After
// an error nothing has changed. REQUIRES: SupportsClassic.
func (g *Group) JoinClassic(env *Env, j *Join) (Outcome, *Error) {
	var subscription kmsg.ConsumerMemberMetadata
	if err := subscription.ReadFrom(j.Protocols[0].Metadata); err != nil {
		return Outcome{}, refuse(CodeInconsistentProtocol, "Malformed embedded consumer protocol in subscription deserialization.")
	}
	old, replaces, err := g.classicSender(env, j)
	if err != nil {
		return Outcome{}, err
	}
	next := &Member{ID: j.MemberID}
	if old != nil {
		*next = *old
		next.ID = j.MemberID
	}
	if replaces {
		next.Epoch, next.Previous = 0, 0
	}
	next.ClientID, next.ClientHost, next.RebalanceMillis, next.Regex = j.ClientID, j.Host, j.RebalanceMillis, new(string)
	next.Topics = sorted(subscription.Topics)
	next.Classic = &Classic{SessionMillis: j.SessionMillis, Protocols: j.Protocols}
	setIfSent(&next.Instance, j.Instance)
	setIfSent(&next.Rack, subscription.Rack)
	if err := g.admit(env, old, next); err != nil {
		return Outcome{}, err
	}
	m, namesChanged, regexChanged, _ := g.take(old, next)
	out := Outcome{Member: m}
	if replaces {
		out.Replaced = old.ID
	}
	g.updateEpoch(env, namesChanged || regexChanged)
	g.updateTarget(env)
	out.Moved = g.reconcile(env, m, reportOfClassic(env.Topics, &subscription), namesChanged || regexChanged)
	return out, nil
}

// classicSender is sender for a classic join.
func (g *Group) classicSender(env *Env, j *Join) (m *Member, replaces bool, err *Error) {
	if j.Instance == nil {
		m = g.members[j.MemberID]
	} else if m = g.static[*j.Instance]; !j.New {
		m, err = g.Lookup(j.MemberID, j.Instance)
		return m, false, err
	} else {
		replaces = m != nil
	}
	if m == nil && len(g.members) >= env.MaxSize {
		return nil, false, refuse(CodeGroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", env.MaxSize)
	}
	return m, replaces, nil
}

func reportOfClassic(topics Topics, s *kmsg.ConsumerMemberMetadata) ownedReport {
	r := ownedReport{said: true}
	for _, o := range s.OwnedPartitions {
		if id, _, ok := topics.ByName(o.Topic); ok {
			r.topics = append(r.topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: o.Partitions})
		}
	}
	return r
}

// ClassicMember finds the classic member that a request of the classic protocol speaks for.
func (g *Group) ClassicMember(id string, instance *string, generation int32) (*Member, *Error) {
	m, err := g.Lookup(id, instance)
	switch {
	case err != nil:
		return nil, err
	case m.Classic == nil:
		return nil, refuse(CodeUnknownMemberID, "Member %s does not use the classic protocol.", id)
	case m.Epoch != generation:
		return nil, refuse(CodeIllegalGeneration, "The request generation id %d is not equal to the member epoch %d of member %s.", generation, m.Epoch, id)
	}
	return m, nil
}

// MustRejoin reports whether a classic member has to join again, to get or to give up something; or to have the target assignment computed: when all
// others have left, nobody else does.
func (g *Group) MustRejoin(env *Env, m *Member) bool {
	return m.Epoch < g.AssignmentEpoch || g.computing == nil && g.due(env) || m.State == Unrevoked || m.State == Unreleased && !g.waits(m)
}

// waits reports whether something that the member is to get is not free yet.
func (g *Group) waits(m *Member) bool {
	for topic, partitions := range g.target[m.ID] {
		for _, p := range partitions {
			if _, ok := m.Assigned.find(topic, p); !ok && !g.free(topic, p) {
				return true
			}
		}
	}
	return false
}

// ClassicAssignment is what a member has, as the consumers' own protocol says it, in the version that its subscription has.
func (m *Member) ClassicAssignment(topics Topics) []byte {
	version := kmsg.ConsumerMemberMetadata{}
	if m.Classic != nil {
		_ = version.ReadFrom(m.Classic.Protocols[0].Metadata) // checked when it joined; the version comes first
	}
	out := kmsg.NewConsumerMemberAssignment()
	out.Version = max(version.Version, 0)
	for _, id := range sortedTopics(m.Assigned) {
		name, _, ok := topics.ByID(id)
		if !ok {
			continue
		}
		t := kmsg.NewConsumerMemberAssignmentTopic()
		t.Topic = name
		for _, p := range m.Assigned[id] {
			t.Partitions = append(t.Partitions, p.Partition)
		}
		out.Topics = append(out.Topics, t)
	}
	return out.AppendTo(nil)
}

// OldMember is a member of a classic group that becomes a consumer group.
type OldMember struct {
	Join
	Subscription []byte // of the protocol that the group had selected
	Assignment   []byte
}

// FromClassic makes a consumer group of a classic one: the generation becomes the epoch of all, and everybody keeps what it has.
func FromClassic(env *Env, id string, generation int32, members []OldMember) (*Group, *Error) {
	g := New(id)
	g.Epoch, g.AssignmentEpoch = generation, generation
	for i := range members {
		o := &members[i]
		var subscription kmsg.ConsumerMemberMetadata
		var assignment kmsg.ConsumerMemberAssignment
		err := subscription.ReadFrom(o.Subscription)
		if err == nil && len(o.Assignment) > 0 {
			err = assignment.ReadFrom(o.Assignment)
		}
		if err != nil || len(o.Protocols) == 0 {
			return nil, refuse(CodeGroupIDNotFound, "Cannot upgrade classic group %s to consumer group because the embedded consumer protocol is malformed.", id)
		}
		if len(assignment.UserData) > 0 {
			return nil, refuse(CodeGroupIDNotFound, "Cannot upgrade classic group %s to consumer group because an unsupported custom assignor is in use. "+
				"Please refer to the documentation or switch to a default assignor before re-attempting the upgrade.", id)
		}
		m := &Member{
			ID: o.MemberID, Instance: o.Instance, Rack: subscription.Rack, ClientID: o.ClientID, ClientHost: o.Host, RebalanceMillis: o.RebalanceMillis,
			Topics: sorted(subscription.Topics), Regex: new(string), Classic: &Classic{SessionMillis: o.SessionMillis, Protocols: o.Protocols},
			Epoch: generation, Previous: generation, Assigned: make(Owned), Revoking: Owned{}, reached: true,
		}
		target := make(assignor.Assignment)
		for _, t := range assignment.Topics {
			topic, _, ok := env.Topics.ByName(t.Topic)
			if !ok {
				continue
			}
			for _, p := range slices.Compact(slices.Sorted(slices.Values(t.Partitions))) {
				if p < 0 || p >= maxPartition || !g.free(topic, p) {
					continue // the members' own assignor gave it to another, too
				}
				target[topic] = append(target[topic], p)
				m.Assigned[topic] = append(m.Assigned[topic], Part{p, generation})
			}
		}
		g.insert(m)
		g.target[m.ID] = target
		for _, kind := range []Kind{KindMember, KindTarget, KindCurrent} {
			g.mark(kind, m.ID)
		}
	}
	g.hash, g.hashVersion, g.stale = HashOf(env.Topics, g.topicNames()), env.Topics.Version(), false
	g.mark(KindGroup, "")
	g.mark(KindTargets, "")
	return g, nil
}
