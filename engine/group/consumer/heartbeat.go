package consumer

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/assignor"
)

// ownedReport is what a member says that it has.
type ownedReport struct {
	said   bool
	topics []kmsg.ConsumerGroupHeartbeatRequestTopic
}

func reportOf(req *kmsg.ConsumerGroupHeartbeatRequest) ownedReport {
	return ownedReport{req.Topics != nil, req.Topics}
}

// hasAny reports whether the member has one of the partitions, as far as is known: when it does not say, it has.
func (r ownedReport) hasAny(parts Owned) bool {
	if !r.said {
		return true
	}
	for _, t := range r.topics {
		for _, p := range t.Partitions {
			if _, ok := parts.find(t.TopicID, p); ok {
				return true
			}
		}
	}
	return false
}

// within reports whether the member has nothing but these partitions. When it does not say, that is not known.
func (r ownedReport) within(parts Owned) bool {
	if !r.said {
		return false
	}
	for _, t := range r.topics {
		for _, p := range t.Partitions {
			if _, ok := parts.find(t.TopicID, p); !ok {
				return false
			}
		}
	}
	return true
}

// ValidateHeartbeat judges a request by itself.
func ValidateHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest, assignors []string) *Error {
	empty := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	switch {
	case (req.Version >= 1 || req.MemberEpoch > 0 || req.MemberEpoch == EpochLeave) && empty(&req.MemberID):
		return refuse(CodeInvalidRequest, "MemberId can't be empty.")
	case empty(&req.Group):
		return refuse(CodeInvalidRequest, "GroupId can't be empty.")
	case empty(req.InstanceID):
		return refuse(CodeInvalidRequest, "InstanceId can't be empty.")
	case empty(req.RackID):
		return refuse(CodeInvalidRequest, "RackId can't be empty.")
	case req.MemberEpoch == EpochJoin && req.RebalanceTimeoutMillis == -1:
		return refuse(CodeInvalidRequest, "RebalanceTimeoutMs must be provided in first request.")
	case req.MemberEpoch == EpochJoin && (req.Topics == nil || len(req.Topics) > 0):
		return refuse(CodeInvalidRequest, "TopicPartitions must be empty when (re-)joining.")
	case req.MemberEpoch == EpochJoin && req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
		return refuse(CodeInvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	case req.MemberEpoch == EpochLeaveStatic && req.InstanceID == nil:
		return refuse(CodeInvalidRequest, "InstanceId can't be null.")
	case req.MemberEpoch < EpochLeaveStatic:
		return refuse(CodeInvalidRequest, "MemberEpoch is invalid.")
	case req.ServerAssignor != nil && !slices.Contains(assignors, *req.ServerAssignor):
		return refuse(CodeUnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.", *req.ServerAssignor, strings.Join(assignors, ", "))
	}
	return nil
}

// Outcome is what a heartbeat or a join did.
type Outcome struct {
	Member   *Member
	Replaced string // id of the static member whose place it took; "" for none
	// Moved: the current assignment is another; the deadline for giving up partitions starts anew, or ends.
	Moved bool
	// Told: the answer shows the assignment.
	Told bool
}

// Heartbeat serves a valid request of a member that does not leave. After an error nothing has changed.
func (g *Group) Heartbeat(env *Env, clientID, host string, req *kmsg.ConsumerGroupHeartbeatRequest) (Outcome, *Error) {
	old, replaces, err := g.sender(env, req)
	if err != nil {
		return Outcome{}, err
	}
	next := &Member{ID: req.MemberID, Regex: new(string)}
	if old != nil {
		*next = *old
		next.ID = req.MemberID
	}
	if replaces {
		next.Epoch, next.Previous = 0, 0
	}
	next.ClientID, next.ClientHost, next.Classic = clientID, host, nil
	setIfSent(&next.Instance, req.InstanceID)
	setIfSent(&next.Rack, req.RackID)
	setIfSent(&next.Assignor, req.ServerAssignor)
	if req.RebalanceTimeoutMillis != -1 {
		next.RebalanceMillis = req.RebalanceTimeoutMillis
	}
	if req.SubscribedTopicNames != nil {
		next.Topics = sorted(req.SubscribedTopicNames)
	}
	setIfSent(&next.Regex, req.SubscribedTopicRegex)
	if err := g.admit(env, old, next); err != nil {
		return Outcome{}, err
	}
	var before Owned
	if old != nil {
		before = old.Assigned
	}
	m, namesChanged, regexChanged, resolved := g.take(old, next)
	out := Outcome{Member: m}
	if replaces {
		out.Replaced = old.ID
	}
	g.updateEpoch(env, namesChanged || regexChanged && resolved)
	g.updateTarget(env)
	out.Moved = g.reconcile(env, m, reportOf(req), namesChanged || regexChanged)
	full := req.RebalanceTimeoutMillis != -1 && (req.SubscribedTopicNames != nil || req.SubscribedTopicRegex != nil) && req.Topics != nil
	out.Told = req.MemberEpoch == EpochJoin || full || out.Moved && !m.Assigned.samePartitions(before)
	return out, nil
}

func setIfSent(field **string, sent *string) {
	if sent != nil {
		*field = sent
	}
}

// sender finds the member that a heartbeat is from: nil, without error, for one that is to be made. With replaces set it is a static
// member whose place the sender takes.
func (g *Group) sender(env *Env, req *kmsg.ConsumerGroupHeartbeatRequest) (m *Member, replaces bool, err *Error) {
	joins := req.MemberEpoch == EpochJoin
	if req.InstanceID == nil || g.static[*req.InstanceID] == nil {
		if len(g.members) >= env.MaxSize && g.members[req.MemberID] == nil {
			return nil, false, refuse(CodeGroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", env.MaxSize)
		}
	}
	if req.InstanceID == nil {
		m = g.members[req.MemberID]
		if m == nil && !joins {
			return nil, false, refuse(CodeUnknownMemberID, "Member %s is not a member of group %s.", req.MemberID, g.ID)
		}
	} else if m = g.static[*req.InstanceID]; joins {
		switch {
		case m == nil:
			m = g.members[req.MemberID]
		case m.Classic == nil && m.Epoch != EpochLeaveStatic:
			return nil, false, refuse(CodeUnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.",
				req.MemberID, *req.InstanceID, m.ID)
		default:
			replaces = true
		}
	} else if m, err = g.Lookup(req.MemberID, req.InstanceID); err != nil {
		return nil, false, err
	}
	if m == nil || joins {
		return m, replaces, nil
	}
	return m, false, g.checkEpoch(m, req)
}

// checkEpoch judges the epoch that a member has sent.
func (g *Group) checkEpoch(m *Member, req *kmsg.ConsumerGroupHeartbeatRequest) *Error {
	got := req.MemberEpoch
	switch {
	case got > m.Epoch:
		return refuse(CodeFencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by the group coordinator (%d). "+
			"The member must abandon all its partitions and rejoin.", got, m.Epoch)
	case got < m.Epoch && (got != m.Previous || !reportOf(req).within(m.Assigned)):
		return refuse(CodeFencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). "+
			"The member must abandon all its partitions and rejoin.", got, m.Epoch)
	case m.State == unknown && (req.Topics == nil || len(req.Topics) > 0):
		return refuse(CodeFencedMemberEpoch, "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.")
	}
	return nil
}

// admit judges what a member would become.
func (g *Group) admit(env *Env, old, next *Member) *Error {
	if expression := next.regex(); expression != "" && g.regexes[expression] == nil {
		if err := validateRegex(expression); err != nil {
			return err
		}
	}
	bytes := g.bytes + next.size()
	if old != nil {
		bytes -= old.bytes
	}
	if bytes > env.MaxBytes {
		return refuse(CodeGroupMaxSizeReached, "The members of the consumer group take more than %d bytes.", env.MaxBytes)
	}
	for _, s := range []*string{next.Instance, next.Rack, next.Assignor, next.Regex, &next.ID} {
		if s != nil && len(*s) > maxString {
			return refuse(CodeInvalidRequest, "A string of the request is longer than %d bytes.", maxString)
		}
	}
	return nil
}

// take makes next the member that old was, and reports whether its subscription by name or by expression has changed, and, for the latter,
// whether it is known what that comes to.
func (g *Group) take(old, next *Member) (m *Member, namesChanged, regexChanged, resolved bool) {
	var topics []string
	expression := ""
	if old != nil {
		topics, expression = old.Topics, old.regex()
	}
	namesChanged = !slices.Equal(topics, next.Topics)
	regexChanged = expression != next.regex()
	known := g.regexes[next.regex()]
	resolved = next.regex() == "" || known != nil && known.resolved
	switch {
	case old == nil:
		g.insert(next)
		g.mark(KindMember, next.ID)
		return next, namesChanged, regexChanged, resolved
	case old.ID != next.ID:
		target := g.target[old.ID]
		g.drop(old)
		g.insert(next)
		if target == nil {
			target = assignor.Assignment{}
		}
		g.target[next.ID] = target
		next.reached = true
		g.mark(KindMember, next.ID)
		g.mark(KindTarget, next.ID)
		g.mark(KindCurrent, next.ID)
		if g.computing != nil {
			g.computing.void = true // it knows the old id
		}
		return next, namesChanged, regexChanged, resolved
	}
	if old.Epoch != next.Epoch || old.Previous != next.Previous { // it took its own place
		old.reached = true
		g.mark(KindCurrent, old.ID)
	}
	reached := old.reached
	if !old.sameMetadata(next) {
		g.mark(KindMember, old.ID)
	}
	g.count(next, 1) // before the other is taken away: what both are subscribed to stays
	g.count(old, -1)
	*old = *next
	old.reached = reached
	if old.Instance != nil {
		g.static[*old.Instance] = old
	}
	return old, namesChanged, regexChanged, resolved
}

// Remove ends memberships: who had them has left, or was silent for too long. Unless the group ends with that, Removed is to be called.
func (g *Group) Remove(members ...*Member) {
	for _, m := range members {
		g.drop(m)
	}
}

// Removed begins a new group epoch, for those that are left.
func (g *Group) Removed(env *Env) { g.updateEpoch(env, true) }

// LeaveForAWhile is the leave of a static member that will be back: its partitions stay its own until its session ends.
func (g *Group) LeaveForAWhile(m *Member) {
	g.release(m)
	assigned := make(Owned, len(m.Assigned))
	for topic, parts := range m.Assigned {
		parts = slices.Clone(parts)
		for i := range parts {
			parts[i].Epoch = 0
		}
		assigned[topic] = parts
	}
	m.Epoch, m.Assigned, m.Revoking = EpochLeaveStatic, assigned, Owned{}
	g.acquire(m)
	m.reached = true
	g.mark(KindCurrent, m.ID)
}

// Committer is the check of the sender of a commit: it may commit when partition is nil, or when partition says so of each.
type Committer struct {
	partition func(topic TopicID, partition int32) bool
	code      int16
}

// Refused is the code for a partition that the sender may not commit, or 0.
func (c Committer) Refused(topic TopicID, partition int32) int16 {
	if c.partition == nil || c.partition(topic, partition) {
		return 0
	}
	return c.code
}

// CheckCommit judges a commit's sender. version is that of OffsetCommit.
func (g *Group) CheckCommit(memberID string, instance *string, epoch int32, transactional bool, version int16) (*Member, Committer, *Error) {
	if epoch < 0 && len(g.members) == 0 || transactional && epoch == -1 && memberID == "" && instance == nil {
		return nil, Committer{}, nil
	}
	m := g.members[memberID]
	if m == nil {
		return nil, Committer{}, refuse(CodeUnknownMemberID, "Member %s is not a member of group %s.", memberID, g.ID)
	}
	stale := CodeStaleMemberEpoch
	if m.Classic != nil {
		stale = CodeIllegalGeneration
	} else if !transactional && version < 9 {
		return nil, Committer{}, refuse(CodeUnsupportedVersion, "OffsetCommit version 9 or above must be used by members using the consumer group protocol")
	}
	switch {
	case epoch == m.Epoch:
		return m, Committer{}, nil
	case epoch > m.Epoch:
		return nil, Committer{}, refuse(stale, "Received member epoch %d is newer than current member epoch %d.", epoch, m.Epoch)
	}
	// Older epochs may commit what the member has had since then.
	return m, Committer{code: stale, partition: func(topic TopicID, partition int32) bool {
		since, ok := m.Assigned.find(topic, partition)
		if !ok {
			since, ok = m.Revoking.find(topic, partition)
		}
		return ok && epoch >= since
	}}, nil
}

// CheckFetch judges the sender of an OffsetFetch.
func (g *Group) CheckFetch(memberID *string, epoch int32) *Error {
	if memberID == nil && epoch < 0 {
		return nil
	}
	id := ""
	if memberID != nil {
		id = *memberID
	}
	m := g.members[id]
	switch {
	case m == nil:
		return refuse(CodeUnknownMemberID, "Member %s is not a member of group %s.", id, g.ID)
	case epoch != m.Epoch && m.Classic != nil:
		return refuse(CodeIllegalGeneration, "The received generation id %d does not match the expected member epoch %d.", epoch, m.Epoch)
	case epoch != m.Epoch:
		return refuse(CodeStaleMemberEpoch, "The received member epoch %d does not match the expected member epoch %d.", epoch, m.Epoch)
	}
	return nil
}
