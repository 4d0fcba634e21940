package group

import (
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// Members of the classic protocol in a group of the consumer protocol: a join brings a member nearer to its target assignment and is
// answered at once, its generation is its epoch, a sync gets what the member has, and a heartbeat tells it to join again.

// runModern is a join's way through a consumer group with members.
func (j *join) runModern(t *turn, g *group) {
	m, o := g.modern, &t.s.opts.Consumer
	protocols := make([]consumer.Protocol, 0, len(j.protocols))
	for _, p := range j.protocols {
		protocols = append(protocols, consumer.Protocol{Name: p.name, Metadata: p.metadata})
	}
	id := j.req.MemberID
	switch {
	case !o.MayUpgrade && !o.MayDowngrade:
		j.fail(t, id, codeInconsistentProtocol)
		return
	case m.Size() >= o.MaxSize && m.Member(id) == nil && (j.req.InstanceID == nil || !m.HasInstance(*j.req.InstanceID)):
		j.fail(t, id, codeGroupMaxSizeReached)
		return
	case !m.SupportsClassic(j.req.ProtocolType, protocols):
		j.fail(t, id, codeInconsistentProtocol)
		return
	case id == "" && j.req.InstanceID == nil && j.req.Version >= 4:
		j.fail(t, t.s.opts.NewUUID(), codeMemberIDRequired)
		return
	}
	cj := consumer.Join{
		MemberID: id, New: id == "", Instance: j.req.InstanceID, ClientID: j.client.ID, Host: j.client.Host,
		SessionMillis: int32(j.session.Milliseconds()), RebalanceMillis: int32(j.rebalance.Milliseconds()), Protocols: protocols,
	}
	if cj.New {
		cj.MemberID = t.s.opts.NewUUID()
	}
	env := t.env(g.id)
	out, err := m.JoinClassic(&env, &cj)
	if err != nil {
		j.fail(t, id, err.Code)
		return
	}
	g.follow(t, out)
	g.background(t, j.client)
	if out.Replaced != "" && g.mayDowngrade() {
		// The last member of the other protocol was restarted as a classic one: its join goes on in the classic group.
		g.downgrade(t, g.warnNotRecorded)
		if cm := g.members[out.Member.ID]; cm != nil {
			g.holdJoin(t, cm, j.held())
			g.maybeEndJoinPhase(t)
		}
		return
	}
	resp := joinError(j.req.Version, out.Member.ID, codeNone)
	protocolType := consumer.ProtocolType
	resp.Generation, resp.ProtocolType, resp.Protocol = out.Member.Epoch, &protocolType, &out.Member.Classic.Protocols[0].Name
	g.save(t, func(t *turn, err error) {
		if err != nil {
			j.fail(t, id, appendCode(err, codeUnknownServerError))
			return
		}
		if cm := out.Member; t.s.state == shardActive && g.modern == m && m.Member(cm.ID) == cm {
			t.setTimer(&g.timersOf(cm.ID).rejoin, time.Duration(cm.RebalanceMillis)*time.Millisecond) // for the sync
		}
		t.reply(func() { j.reply(resp) })
	})
}

// syncModern answers a sync with what the member has.
func (t *turn) syncModern(g *group, req *kmsg.SyncGroupRequest, reply func(kmsg.Response)) {
	m := g.modern
	cm, err := m.ClassicMember(req.MemberID, req.InstanceID, req.Generation)
	code := codeNone
	switch {
	case err != nil:
		code = err.Code
	case req.ProtocolType != nil && *req.ProtocolType != consumer.ProtocolType, req.Protocol != nil && *req.Protocol != cm.Classic.Protocols[0].Name:
		code = codeInconsistentProtocol
	case m.AssignmentEpoch > cm.Epoch && cm.State != consumer.Unrevoked:
		g.expectRejoin(t, cm)
		code = codeRebalanceInProgress
	}
	if code != codeNone {
		t.reply(func() { reply(syncError(req.Version, code)) })
		return
	}
	resp := syncError(req.Version, codeNone)
	resp.ProtocolType, resp.Protocol, resp.MemberAssignment = req.ProtocolType, req.Protocol, cm.ClassicAssignment(t.s.opts.Consumer.Topics())
	t.stopTimer(&g.timersOf(cm.ID).rejoin)
	g.alive(t, cm)
	g.save(t, func(t *turn, err error) {
		if err != nil {
			resp = syncError(req.Version, appendCode(err, codeUnknownServerError))
		}
		t.reply(func() { reply(resp) })
	})
}

// expectRejoin gives a classic member until its rebalance timeout to join again.
func (g *group) expectRejoin(t *turn, cm *consumer.Member) {
	if tm := &g.timersOf(cm.ID).rejoin; !tm.armed() {
		t.setTimer(tm, time.Duration(cm.RebalanceMillis)*time.Millisecond)
	}
}

// heartbeatModern is a classic member's heartbeat.
func (t *turn) heartbeatModern(g *group, req *kmsg.HeartbeatRequest) int16 {
	cm, err := g.modern.ClassicMember(req.MemberID, req.InstanceID, req.Generation)
	if err != nil {
		return err.Code
	}
	g.alive(t, cm)
	if env := t.env(g.id); g.modern.MustRejoin(&env, cm) {
		g.expectRejoin(t, cm)
		return codeRebalanceInProgress
	}
	return codeNone
}

// leaveModernGroup removes members of either protocol, as they or an administrator want, and answers when that is durable.
func (t *turn) leaveModernGroup(g *group, leaving []kmsg.LeaveGroupRequestMember, answers []kmsg.LeaveGroupResponseMember, done func(t *turn, err error)) {
	var gone []*consumer.Member
	for i, l := range leaving {
		id := l.MemberID
		if id == "" && l.InstanceID != nil { // an administrator removes whoever has the instance
			id = g.modern.InstanceMember(*l.InstanceID)
		}
		cm, err := g.modern.Lookup(id, l.InstanceID)
		switch {
		case err != nil:
			answers[i].ErrorCode = err.Code
		case !slices.Contains(gone, cm):
			t.logf(slog.LevelInfo, "group: member left", "group", g.id, "member", cm.ID)
			gone = append(gone, cm)
		}
	}
	if len(gone) == 0 {
		g.save(t, done)
		return
	}
	g.fence(t, done, gone...)
}
