package group

import "github.com/twmb/franz-go/pkg/kmsg"

// LeaveGroup 0-5. v3: several members, static ones too. v5: reason.

// Leave answers a LeaveGroup request.
func (c *Coordinator) Leave(_ Client, req *kmsg.LeaveGroupRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.Version = req.Version
	leaving := req.Members
	if req.Version < 3 {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = req.MemberID
		leaving = []kmsg.LeaveGroupRequestMember{m}
	}
	answer := func() {
		if req.Version < 3 && resp.ErrorCode == codeNone {
			resp.ErrorCode = resp.Members[0].ErrorCode
		}
		reply(resp)
	}
	if req.Group == "" {
		resp.ErrorCode = codeInvalidGroupID
		answer()
		return
	}
	waits := false
	code := c.serve(req.Group, func(t *turn) {
		g := t.s.groups[req.Group]
		for _, l := range leaving {
			m := kmsg.NewLeaveGroupResponseMember()
			m.MemberID, m.InstanceID = l.MemberID, l.InstanceID
			resp.Members = append(resp.Members, m)
		}
		if g != nil && g.modern != nil {
			waits = true
			t.leaveModernGroup(g, leaving, resp.Members, func(t *turn, err error) {
				resp.ErrorCode = appendCode(err, codeUnknownServerError)
				t.reply(answer)
			})
			return
		}
		for i, l := range leaving {
			resp.Members[i].ErrorCode = g.leave(t, l)
		}
		if g != nil {
			g.forgetIfUnused(t)
		}
	})
	if !waits {
		resp.ErrorCode = code
		answer()
	}
}

func (g *group) leave(t *turn, l kmsg.LeaveGroupRequestMember) int16 {
	if g == nil {
		return codeUnknownMemberID
	}
	id := l.MemberID
	if id == "" && l.InstanceID != nil { // an administrator removes whoever has the instance
		if m := g.static[*l.InstanceID]; m != nil {
			id = m.id
		}
	}
	if g.pending[id] != nil && l.InstanceID == nil {
		g.forgetPending(t, id)
		g.maybeEndJoinPhase(t)
		return codeNone
	}
	m, code := g.lookup(id, l.InstanceID)
	if code != codeNone {
		return code
	}
	reason := "member left"
	if l.Reason != nil {
		reason = *l.Reason
	}
	g.remove(t, m, codeUnknownMemberID)
	g.maybeRebalance(t, reason)
	return codeNone
}
