package group

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/sharegroup"
)

// ShareGroupHeartbeat 1.

// ShareGroupHeartbeat answers a ShareGroupHeartbeat request, when what the answer says is durable. Strings in req are kept.
func (c *Coordinator) ShareGroupHeartbeat(client Client, req *kmsg.ShareGroupHeartbeatRequest, reply func(kmsg.Response)) {
	h := shareHeartbeat{client: client, req: req, beat: beat{version: req.Version, reply: reply, refused: func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrShareGroupHeartbeatResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		return resp
	}}}
	h.start(c, req.GroupID, sharegroup.ValidateHeartbeat(req), []string{req.MemberID, client.ID}, h.run)
}

// shareHeartbeat is a request on its way through its group.
type shareHeartbeat struct {
	beat
	client Client
	req    *kmsg.ShareGroupHeartbeatRequest
}

func (h *shareHeartbeat) run(t *turn) {
	id := h.req.GroupID
	g, err := t.findShare(id)
	switch {
	case err != nil && (h.req.MemberEpoch != sharegroup.EpochJoin || t.s.groups[id] != nil):
		if t.s.groups[id] == nil && h.req.MemberEpoch > 0 {
			err = notFound("Share group %s not found.", id)
		}
		h.fail(t, err)
		return
	case g != nil && g.deleting:
		h.fail(t, &consumer.Error{Code: codeCoordinatorLoading})
		return
	case h.req.MemberEpoch == sharegroup.EpochLeave:
		h.leave(t, g)
		return
	}
	made := g == nil
	if made {
		g = t.s.makeShareGroup(sharegroup.New(id))
	}
	env := t.shareEnv(id)
	out, err := g.Heartbeat(&env, h.client.ID, h.client.Host, h.req)
	if err != nil {
		h.fail(t, err)
		return
	}
	if made {
		t.s.shares[id] = g
		t.logf(slog.LevelInfo, "group: share group made", "group", id)
	}
	g.alive(t, out.Member.ID)
	resp := kmsg.NewPtrShareGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &out.Member.ID, out.Member.Epoch
	resp.HeartbeatIntervalMillis = int32(t.s.opts.Share.Config(id).HeartbeatInterval.Milliseconds())
	if out.Told {
		resp.Assignment = out.Member.Assignment()
	}
	answer := h.answer(resp)
	g.save(t, func(t *turn, err error) {
		if err == nil && t.s.shares[id] == g {
			g.initialize(t, out.Initialize, nil)
		}
		answer(t, err)
	})
}

// leave ends a membership.
func (h *shareHeartbeat) leave(t *turn, g *shareGroup) {
	m, err := g.Lookup(h.req.MemberID)
	if err != nil {
		h.fail(t, err)
		return
	}
	resp := kmsg.NewPtrShareGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &h.req.MemberID, h.req.MemberEpoch
	t.logf(slog.LevelInfo, "group: member left", "group", g.ID, "member", m.ID)
	g.fence(t, m, h.answer(resp))
}
