package group

import (
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// ConsumerGroupHeartbeat 0-1. v1: subscription by expression; the client makes the member id.

// ConsumerGroupHeartbeat answers a ConsumerGroupHeartbeat request, when what the answer says is durable. Strings in req are kept.
func (c *Coordinator) ConsumerGroupHeartbeat(client Client, req *kmsg.ConsumerGroupHeartbeatRequest, reply func(kmsg.Response)) {
	h := modernHeartbeat{client: client, req: req, beat: beat{version: req.Version, reply: reply, refused: func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		return resp
	}}}
	err := consumer.ValidateHeartbeat(req, c.opts.Consumer.Assignors)
	if req.MemberID == "" {
		req.MemberID = c.opts.NewUUID()
	}
	h.start(c, req.Group, err, []string{req.MemberID, client.ID}, h.run)
}

// modernHeartbeat is a request on its way through its group.
type modernHeartbeat struct {
	beat
	client Client
	req    *kmsg.ConsumerGroupHeartbeatRequest
}

func (h *modernHeartbeat) run(t *turn) {
	g, id := t.s.groups[h.req.Group], h.req.Group
	joins := h.req.MemberEpoch == consumer.EpochJoin
	switch {
	case t.s.shares[id] != nil:
		h.fail(t, notFound("Group %s is not a consumer group.", id))
		return
	case g != nil && g.deleting:
		h.fail(t, &consumer.Error{Code: codeCoordinatorLoading})
		return
	case g == nil && h.req.MemberEpoch < 0:
		h.fail(t, notFound("Group %s not found.", id))
		return
	case g == nil && !joins:
		h.fail(t, notFound("Consumer group %s not found.", id))
		return
	case g != nil && g.modern == nil && (!joins || g.newer != nil):
		h.fail(t, notFound("Group %s is not a consumer group.", id))
		return
	case h.req.MemberEpoch < 0:
		h.leave(t, g)
		return
	}
	env := t.env(id)
	var c *consumer.Group
	var err *consumer.Error
	switch {
	case g != nil && g.modern != nil:
		c = g.modern.Group
	case g == nil || g.state == empty:
		c = consumer.New(id)
	default:
		c, err = g.upgraded(&env)
	}
	var out consumer.Outcome
	if err == nil {
		out, err = c.Heartbeat(&env, h.client.ID, h.client.Host, h.req)
	}
	if err != nil {
		h.fail(t, err)
		return
	}
	if g == nil {
		g = t.newGroup(id)
	}
	if g.modern == nil {
		t.logf(slog.LevelInfo, "group: of the consumer protocol from now on", "group", id, "members", c.Size())
		g.become(t, c)
	}
	g.follow(t, out)
	g.background(t, h.client)
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &out.Member.ID, out.Member.Epoch
	resp.HeartbeatIntervalMillis = int32(t.s.opts.Consumer.Config(id).HeartbeatInterval.Milliseconds())
	if out.Told {
		resp.Assignment = out.Member.Assignment()
	}
	g.save(t, h.answer(resp))
}

// leave ends a membership, or suspends that of a static member.
func (h *modernHeartbeat) leave(t *turn, g *group) {
	m, err := g.modern.Lookup(h.req.MemberID, h.req.InstanceID)
	if err != nil {
		h.fail(t, err)
		return
	}
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &h.req.MemberID, h.req.MemberEpoch
	if h.req.MemberEpoch == consumer.EpochLeaveStatic {
		g.modern.LeaveForAWhile(m)
		g.save(t, h.answer(resp))
		return
	}
	t.logf(slog.LevelInfo, "group: member left", "group", g.id, "member", m.ID)
	g.fence(t, h.answer(resp), m)
}

func notFound(format, group string) *consumer.Error {
	return &consumer.Error{Code: codeGroupIDNotFound, Message: fmt.Sprintf(format, group)}
}
