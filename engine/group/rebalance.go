package group

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maybeRebalance starts a rebalance unless its join phase is under way.
func (g *group) maybeRebalance(t *turn, reason string) {
	if g.state == preparingRebalance {
		g.maybeEndJoinPhase(t)
		return
	}
	t.logf(slog.LevelDebug, "group: rebalance", "group", g.id, "generation", g.generation, "state", g.state.String(), "reason", reason)
	from := g.state
	g.setState(t, preparingRebalance)
	g.storing = nil
	for _, m := range g.order {
		if from == completingRebalance {
			m.assignment = nil
			g.answerSync(t, m, codeRebalanceInProgress)
		}
		g.setUnsynced(t, m, false)
	}
	if from == empty && g.s.opts.InitialRebalanceDelay > 0 {
		delay := g.s.opts.InitialRebalanceDelay
		g.gathering, g.newcomers = true, false
		g.gatherLeft = max(g.rebalanceTimeout()-delay, 0)
		t.setTimer(&g.timer, delay)
		return
	}
	t.setTimer(&g.timer, g.rebalanceTimeout())
	g.maybeEndJoinPhase(t)
}

// phaseEnds is the group's timer.
func (g *group) phaseEnds(t *turn) {
	switch {
	case g.state == preparingRebalance && g.gathering && g.newcomers && g.gatherLeft > 0:
		g.newcomers = false
		delay := min(g.s.opts.InitialRebalanceDelay, g.gatherLeft)
		g.gatherLeft -= delay
		t.setTimer(&g.timer, delay)
	case g.state == preparingRebalance:
		g.endJoinPhase(t)
	case g.unsynced > 0: // CompletingRebalance or Stable
		for _, m := range g.membersWhere(func(m *member) bool { return m.unsynced }) {
			t.logf(slog.LevelInfo, "group: member removed, no sync within the rebalance timeout", "group", g.id, "member", m.id, "generation", g.generation)
			g.remove(t, m, codeUnknownMemberID)
		}
		g.maybeRebalance(t, "members did not sync in time")
	}
}

// membersWhere returns the members that fulfil a condition; the caller may remove them.
func (g *group) membersWhere(is func(m *member) bool) []*member {
	var found []*member
	for _, m := range g.order {
		if is(m) {
			found = append(found, m)
		}
	}
	return found
}

// maybeEndJoinPhase ends the join phase when nobody is missing.
func (g *group) maybeEndJoinPhase(t *turn) {
	if g.state == preparingRebalance && !g.gathering && g.awaitingJoin == len(g.members) && len(g.pending) == 0 {
		g.endJoinPhase(t)
	}
}

// endJoinPhase makes the next generation out of the members that joined.
func (g *group) endJoinPhase(t *turn) {
	g.gathering = false
	t.stopTimer(&g.timer)
	for _, m := range g.membersWhere(func(m *member) bool { return m.join == nil && m.instance == nil }) {
		t.logf(slog.LevelInfo, "group: member removed, no join within the rebalance timeout", "group", g.id, "member", m.id, "generation", g.generation)
		g.remove(t, m, codeUnknownMemberID)
	}
	if len(g.members) > 0 && !g.electLeader() {
		t.setTimer(&g.timer, g.rebalanceTimeout()) // static members only, and none is back: wait on
		return
	}
	g.generation++
	if len(g.members) == 0 {
		g.protocol = nil
		g.setState(t, empty)
		g.storeEmpty(t)
		t.logf(slog.LevelInfo, "group: empty", "group", g.id, "generation", g.generation)
		return
	}
	selected := g.selectProtocol()
	g.protocol = &selected
	g.setState(t, completingRebalance)
	t.setTimer(&g.timer, g.rebalanceTimeout())
	for _, m := range g.order {
		m.isNew = false
		g.setUnsynced(t, m, true)
		g.answerJoin(t, m, codeNone)
	}
}

// electLeader makes sure that the leader is a member that joined. It reports whether there is one.
func (g *group) electLeader() bool {
	if m := g.members[g.leader]; m != nil && m.join != nil {
		return true
	}
	for _, m := range g.order {
		if m.join != nil {
			g.leader = m.id
			return true
		}
	}
	return false
}

// holdJoin lets a join wait for the end of the join phase. A join that waited already was given up by its sender.
func (g *group) holdJoin(t *turn, m *member, h *heldJoin) {
	g.answerJoin(t, m, codeRebalanceInProgress)
	m.join = h
	g.awaitingJoin++
	if m.isNew {
		t.setTimer(&m.session, newMemberJoinTimeout)
	} else {
		t.stopTimer(&m.session) // whoever waits for us is alive
	}
}

// answerJoin answers the held join of m, if there is one, with an error or with the generation that begins.
func (g *group) answerJoin(t *turn, m *member, code int16) {
	h := m.join
	if h == nil {
		return
	}
	m.join = nil
	g.awaitingJoin--
	g.keepAlive(t, m)
	var resp *kmsg.JoinGroupResponse
	if code == codeNone {
		resp = g.joinResponse(h.version, m)
	} else {
		resp = joinError(h.version, m.id, code)
	}
	t.reply(func() { h.reply(resp) })
}

// holdSync lets a sync wait for the assignment.
func (g *group) holdSync(t *turn, m *member, h *heldSync) {
	g.answerSync(t, m, codeRebalanceInProgress)
	m.sync = h
	g.setUnsynced(t, m, false)
	t.stopTimer(&m.session)
}

// answerSync answers the held sync of m, if there is one, with an error or with its assignment.
func (g *group) answerSync(t *turn, m *member, code int16) {
	h := m.sync
	if h == nil {
		return
	}
	m.sync = nil
	g.keepAlive(t, m)
	resp := g.syncResponse(h.version, m, code)
	t.reply(func() { h.reply(resp) })
}

// sessionExpires removes a member that was silent for its session timeout.
func (g *group) sessionExpires(t *turn, m *member) {
	if g.members[m.id] != m {
		return
	}
	t.logf(slog.LevelInfo, "group: member removed, session expired", "group", g.id, "member", m.id, "client", m.clientID,
		"host", m.clientHost, "generation", g.generation)
	g.remove(t, m, codeUnknownMemberID)
	g.maybeRebalance(t, "session expired")
}
