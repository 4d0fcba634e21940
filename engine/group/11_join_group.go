package group

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup 0-9. v1: rebalance timeout. v4: dynamic members join in two steps (MEMBER_ID_REQUIRED). v5: static members.
// v7: protocol type in the response. v8: reason. v9: SkipAssignment.

// maxIDPrefix bounds what a generated member id takes over from the client id or instance id, which may be as long as a
// Kafka string can be; the id has to fit one too.
const maxIDPrefix = 1024

// Join answers a JoinGroup request, when the join phase it takes part in has ended. Strings in req are kept (decode with
// ReadFrom); byte slices are borrowed until Join returns.
func (c *Coordinator) Join(client Client, req *kmsg.JoinGroupRequest, reply func(kmsg.Response)) {
	if req.Group == "" {
		reply(joinError(req.Version, req.MemberID, codeInvalidGroupID))
		return
	}
	session := time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	j := join{client: client, req: req, session: session, rebalance: session, reply: reply}
	if req.Version >= 1 {
		j.rebalance = max(time.Duration(req.RebalanceTimeoutMillis)*time.Millisecond, 0)
	}
	j.protocols = takeProtocols(req.Protocols)
	if code := c.serve(req.Group, j.run); code != codeNone {
		reply(joinError(req.Version, req.MemberID, code))
	}
}

// join is a JoinGroup request on its way through its group.
type join struct {
	client    Client
	req       *kmsg.JoinGroupRequest
	session   time.Duration
	rebalance time.Duration
	protocols []protocol
	reply     func(kmsg.Response)
}

func (j *join) fail(t *turn, memberID string, code int16) {
	resp := joinError(j.req.Version, memberID, code)
	t.reply(func() { j.reply(resp) })
}

func (j *join) held() *heldJoin { return &heldJoin{j.req.Version, j.reply} }

func (j *join) run(t *turn) {
	g := t.s.groups[j.req.Group]
	id := j.req.MemberID
	switch {
	case j.session < t.s.opts.MinSessionTimeout || j.session > t.s.opts.MaxSessionTimeout:
		j.fail(t, id, codeInvalidSessionTimeout)
		return
	case j.tooLong():
		j.fail(t, "", codeInvalidRequest)
		return
	case t.s.shares[j.req.Group] != nil:
		j.fail(t, id, codeInconsistentProtocol)
		return
	case g == nil && id != "":
		j.fail(t, id, codeUnknownMemberID)
		return
	case g == nil:
		g = t.newGroup(j.req.Group)
		defer g.forgetIfUnused(t)
	case g.deleting:
		j.fail(t, id, codeCoordinatorLoading)
		return
	case g.modern != nil && g.modern.Size() > 0:
		j.runModern(t, g)
		return
	case g.newer != nil && !g.memberless():
		j.fail(t, id, codeInconsistentProtocol)
		return
	case g.newer != nil:
		g.becomeClassic(t)
	}
	existing := id
	if j.req.InstanceID != nil && id == "" {
		if m := g.static[*j.req.InstanceID]; m != nil {
			existing = m.id // a restarted instance needs no more room
		}
	}
	switch {
	case !g.hasRoom(existing):
		g.forgetPending(t, id)
		if m := g.members[id]; m != nil {
			g.remove(t, m, codeGroupMaxSizeReached)
			g.maybeRebalance(t, "group is too large")
		}
		g.maybeEndJoinPhase(t)
		j.fail(t, id, codeGroupMaxSizeReached)
	case !g.supports(j.req.ProtocolType, j.protocols):
		j.fail(t, id, codeInconsistentProtocol)
	case id == "" && j.req.InstanceID != nil:
		if m := g.static[*j.req.InstanceID]; m != nil {
			j.replaceStatic(t, g, m)
		} else {
			j.addMember(t, g, j.newID(g, *j.req.InstanceID))
		}
	case id == "" && j.req.Version >= 4:
		j.requireID(t, g)
	case id == "":
		j.addMember(t, g, j.newID(g, j.client.ID))
	case g.pending[id] != nil && j.req.InstanceID == nil:
		j.addMember(t, g, id)
	default:
		j.rejoin(t, g)
	}
}

// tooLong reports whether something does not fit the strings of the metadata record; flexible requests have longer ones.
func (j *join) tooLong() bool {
	long := len(j.req.ProtocolType) > maxString || j.req.InstanceID != nil && len(*j.req.InstanceID) > maxString ||
		len(j.client.ID) > maxString || len(j.client.Host) > maxString
	for _, p := range j.protocols {
		long = long || len(p.name) > maxString
	}
	return long
}

// hasRoom applies MaxSize to a newcomer, and in a join phase to those that were members before, too: who comes first stays.
func (g *group) hasRoom(id string) bool {
	m := g.members[id]
	switch g.state {
	case empty:
		return true
	case preparingRebalance:
		return m != nil && m.join != nil || g.awaitingJoin < g.s.opts.MaxSize
	default:
		return m != nil || len(g.members) < g.s.opts.MaxSize
	}
}

// newID makes a member id that is not in use.
func (j *join) newID(g *group, prefix string) string {
	if len(prefix) > maxIDPrefix {
		prefix = prefix[:maxIDPrefix]
	}
	for {
		id := prefix + "-" + g.s.opts.NewUUID()
		if g.members[id] == nil && g.pending[id] == nil {
			return id
		}
	}
}

// requireID hands out a member id to join with. It is good for a session timeout, and the join phase waits for it.
func (j *join) requireID(t *turn, g *group) {
	if len(g.pending) >= g.s.opts.MaxPendingMembers {
		j.fail(t, "", codeCoordinatorNotAvailable)
		return
	}
	id := j.newID(g, j.client.ID)
	tm := &timer{fire: func(t *turn) {
		g.forgetPending(t, id)
		g.maybeEndJoinPhase(t)
		g.forgetIfUnused(t)
	}}
	if g.pending == nil {
		g.pending = make(map[string]*timer)
	}
	g.pending[id] = tm
	t.setTimer(tm, j.session)
	j.fail(t, id, codeMemberIDRequired)
}

func (g *group) forgetPending(t *turn, id string) {
	if tm := g.pending[id]; tm != nil {
		t.stopTimer(tm)
		delete(g.pending, id)
	}
}

// addMember makes the sender a member, and holds its join until the join phase that this starts has ended.
func (j *join) addMember(t *turn, g *group, id string) {
	if g.bytes+memberBytes(id, j.client.ID, j.protocols) > g.s.opts.MaxGroupBytes {
		g.forgetPending(t, id)
		j.fail(t, id, codeGroupMaxSizeReached)
		g.maybeEndJoinPhase(t)
		return
	}
	m := &member{
		id: id, instance: j.req.InstanceID, clientID: j.client.ID, clientHost: j.client.Host,
		sessionTimeout: j.session, rebalanceTimeout: j.rebalance, protocols: j.protocols, isNew: true,
	}
	if len(g.members) == 0 {
		g.protocolType = j.req.ProtocolType
	}
	g.add(m)
	g.forgetPending(t, id)
	g.holdJoin(t, m, j.held())
	g.newcomers = true
	reason := "member joined"
	if j.req.Reason != nil {
		reason = *j.req.Reason
	}
	g.maybeRebalance(t, reason)
}

// rejoin is the join of somebody who says to be a member already.
func (j *join) rejoin(t *turn, g *group) {
	m, code := g.lookup(j.req.MemberID, j.req.InstanceID)
	switch {
	case code != codeNone:
		j.fail(t, j.req.MemberID, code)
	case g.state == completingRebalance && m.matches(j.protocols),
		g.state == stable && m.matches(j.protocols) && m.id != g.leader:
		// The response to the last join was lost, or the member just makes sure: it gets the generation as it is.
		resp := g.joinResponse(j.req.Version, m)
		g.keepAlive(t, m)
		t.reply(func() { j.reply(resp) })
	default:
		// In Stable a leader that comes again wants a new assignment, a follower has new metadata.
		if !j.fits(g, m) {
			j.fail(t, j.req.MemberID, codeGroupMaxSizeReached)
			return
		}
		g.update(m, j.protocols, j.session, j.rebalance)
		g.holdJoin(t, m, j.held())
		g.maybeRebalance(t, "member joined again")
	}
}

func (j *join) fits(g *group, m *member) bool {
	return g.bytes-m.bytes+memberBytes(m.id, m.clientID, j.protocols) <= g.s.opts.MaxGroupBytes
}

// replaceStatic gives the membership of an instance that restarted to its new incarnation. The old id is fenced.
func (j *join) replaceStatic(t *turn, g *group, m *member) {
	if !j.fits(g, m) {
		j.fail(t, "", codeGroupMaxSizeReached)
		return
	}
	oldLeader := g.leader
	before := *m
	g.rename(t, m, j.newID(g, *j.req.InstanceID), codeFencedInstanceID)
	m.clientID, m.clientHost = j.client.ID, j.client.Host
	g.update(m, j.protocols, j.session, j.rebalance)
	t.logf(slog.LevelInfo, "group: static member replaced", "group", g.id, "instance", *m.instance, "member", m.id,
		"old member", before.id, "state", g.state.String())
	if g.state != stable || g.selectProtocol() != *g.protocol {
		g.holdJoin(t, m, j.held())
		g.maybeRebalance(t, "static member replaced")
		return
	}
	g.keepAlive(t, m)
	newID, generation := m.id, g.generation
	g.store(t, (*member).currentAssignment, func(t *turn, err error) {
		if err != nil {
			if t.s.state == shardActive && g.members[newID] == m && g.state == stable && g.generation == generation {
				g.rename(t, m, before.id, codeUnknownMemberID)
				m.clientID, m.clientHost = before.clientID, before.clientHost
				g.update(m, before.protocols, before.sessionTimeout, before.rebalanceTimeout)
			}
			j.fail(t, "", appendCode(err, codeUnknownServerError))
			return
		}
		if t.s.state != shardActive {
			j.fail(t, newID, codeNotCoordinator)
			return
		}
		if _, code := g.lookup(newID, j.req.InstanceID); code != codeNone { // removed or replaced meanwhile
			j.fail(t, newID, code)
			return
		}
		resp := g.joinResponse(j.req.Version, m)
		if j.req.Version >= 9 {
			resp.SkipAssignment = g.leader == m.id
		} else {
			// Older clients cannot be told to skip the assignment: they must not think that they lead.
			resp.Members = nil
			if oldLeader == before.id {
				resp.LeaderID = oldLeader
			}
		}
		t.reply(func() { j.reply(resp) })
	})
}

// rename gives a member another id; requests held under the old one are answered with code.
func (g *group) rename(t *turn, m *member, id string, code int16) {
	g.answerJoin(t, m, code)
	g.answerSync(t, m, code)
	delete(g.members, m.id)
	if g.leader == m.id {
		g.leader = id
	}
	m.id = id
	g.members[id] = m
}

// joinResponse tells m about the current generation, and the leader about the members. REQUIRES: a protocol is selected.
func (g *group) joinResponse(version int16, m *member) *kmsg.JoinGroupResponse {
	resp := joinError(version, m.id, codeNone)
	protocolType := g.protocolType
	resp.Generation = g.generation
	resp.ProtocolType = &protocolType
	resp.Protocol = g.protocol
	resp.LeaderID = g.leader
	if m.id == g.leader {
		resp.Members = make([]kmsg.JoinGroupResponseMember, 0, len(g.order))
		for _, o := range g.order {
			member := kmsg.NewJoinGroupResponseMember()
			member.MemberID, member.InstanceID, member.ProtocolMetadata = o.id, o.instance, o.metadata(g.protocol)
			resp.Members = append(resp.Members, member)
		}
	}
	return resp
}

func joinError(version int16, memberID string, code int16) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Version, resp.MemberID, resp.ErrorCode, resp.Generation = version, memberID, code, -1
	return resp
}
