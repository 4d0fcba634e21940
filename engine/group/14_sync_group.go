package group

import (
	"bytes"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SyncGroup 0-5. v3: static members. v5: protocol type and name, checked and returned.

// Sync answers a SyncGroup request with the member's assignment, once the leader's assignments are durable. Strings in req
// are kept (decode with ReadFrom); byte slices are borrowed until Sync returns.
func (c *Coordinator) Sync(_ Client, req *kmsg.SyncGroupRequest, reply func(kmsg.Response)) {
	if req.Group == "" {
		reply(syncError(req.Version, codeInvalidGroupID))
		return
	}
	code := c.serve(req.Group, func(t *turn) { t.sync(req, reply) })
	if code == codeCoordinatorLoading {
		// The rebalance that the member is in was lost: it has to join again, and needs not look for the coordinator.
		// Also, old clients do not expect the other code here.
		code = codeRebalanceInProgress
	}
	if code != codeNone {
		reply(syncError(req.Version, code))
	}
}

func (t *turn) sync(req *kmsg.SyncGroupRequest, reply func(kmsg.Response)) {
	g := t.s.groups[req.Group]
	if g != nil && g.modern != nil {
		t.syncModern(g, req, reply)
		return
	}
	m, code := g.lookup(req.MemberID, req.InstanceID)
	switch {
	case code != codeNone:
	case req.Generation != g.generation:
		code = codeIllegalGeneration
	case req.ProtocolType != nil && *req.ProtocolType != g.protocolType,
		req.Protocol != nil && (g.protocol == nil || *req.Protocol != *g.protocol):
		code = codeInconsistentProtocol
	case g.state == preparingRebalance:
		code = codeRebalanceInProgress
	case g.state == stable:
		g.setUnsynced(t, m, false)
		g.keepAlive(t, m)
		resp := g.syncResponse(req.Version, m, codeNone)
		t.reply(func() { reply(resp) })
		return
	default:
		g.holdSync(t, m, &heldSync{req.Version, reply})
		if m.id == g.leader && g.storing == nil {
			g.storeAssignment(t, req.GroupAssignment)
		}
		return
	}
	t.reply(func() { reply(syncError(req.Version, code)) })
}

// storeAssignment makes the leader's assignment durable, and then the group Stable.
func (g *group) storeAssignment(t *turn, req []kmsg.SyncGroupRequestGroupAssignment) {
	assigned := make(map[string][]byte, len(req))
	for _, a := range req {
		if g.members[a.MemberID] != nil {
			assigned[a.MemberID] = bytes.Clone(a.MemberAssignment)
		}
	}
	for _, m := range g.order {
		if assigned[m.id] == nil {
			assigned[m.id] = []byte{}
		}
	}
	self := new(struct{ _ byte }) // an address of its own
	g.storing = self
	g.store(t, func(m *member) []byte { return assigned[m.id] }, func(t *turn, err error) {
		if t.s.state != shardActive || g.storing != self {
			return // the rebalance that began meanwhile has answered all
		}
		g.storing = nil
		if err != nil {
			t.logf(slog.LevelError, "group: assignment not recorded", "group", g.id, "generation", g.generation, "members", len(g.members), "err", err)
			for _, m := range g.order {
				g.answerSync(t, m, appendCode(err, codeUnknownServerError))
			}
			g.maybeRebalance(t, "assignment not recorded")
			return
		}
		g.setState(t, stable)
		for _, m := range g.order {
			m.assignment = assigned[m.id]
			g.answerSync(t, m, codeNone)
		}
		t.logf(slog.LevelInfo, "group: stable", "group", g.id, "generation", g.generation, "members", len(g.members),
			"protocol", *g.protocol, "leader", g.leader)
	})
}

func (g *group) syncResponse(version int16, m *member, code int16) *kmsg.SyncGroupResponse {
	resp := syncError(version, code)
	if code == codeNone {
		protocolType := g.protocolType
		resp.ProtocolType, resp.Protocol, resp.MemberAssignment = &protocolType, g.protocol, m.assignment
	}
	return resp
}

func syncError(version, code int16) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.Version, resp.ErrorCode = version, code
	return resp
}
