package group

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/streams"
)

// StreamsGroupHeartbeat 0.

// acceptableLag is the lag of a warm-up task that counts as caught up, and offsetIntervalMillis how often clients would say how far their
// tasks are: Kafka 4.3 leaves both 0, for it assigns no warm-up tasks.
const (
	acceptableLag        = 0
	offsetIntervalMillis = 0
)

// StreamsGroupHeartbeat answers a StreamsGroupHeartbeat request, when what the answer says is durable. missing are the internal topics that
// the group needs and that do not exist; it is the caller who creates them. Strings in req are kept.
func (c *Coordinator) StreamsGroupHeartbeat(client Client, req *kmsg.StreamsGroupHeartbeatRequest, reply func(resp *kmsg.StreamsGroupHeartbeatResponse, missing []streams.NewTopic)) {
	h := streamsHeartbeat{client: client, req: req}
	h.beat = beat{version: req.Version, refused: func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		return resp
	}, reply: func(r kmsg.Response) {
		resp, missing := r.(*kmsg.StreamsGroupHeartbeatResponse), h.missing
		if resp.ErrorCode != codeNone {
			missing = nil
		}
		reply(resp, missing)
	}}
	h.start(c, req.Group, streams.ValidateHeartbeat(req), []string{client.ID}, h.run)
}

// streamsHeartbeat is a request on its way through its group.
type streamsHeartbeat struct {
	beat
	client  Client
	req     *kmsg.StreamsGroupHeartbeatRequest
	missing []streams.NewTopic // goes with the answer, unless it is a refusal
}

func (h *streamsHeartbeat) run(t *turn) {
	g, id := t.s.groups[h.req.Group], h.req.Group
	joins := h.req.MemberEpoch == consumer.EpochJoin
	switch {
	case t.s.shares[id] != nil:
		h.fail(t, notFound("Group %s is not a streams group.", id))
		return
	case g != nil && g.deleting:
		h.fail(t, &streams.Error{Code: codeCoordinatorLoading})
		return
	case g == nil && h.req.MemberEpoch < 0:
		h.fail(t, notFound("Group %s not found.", id))
		return
	case g == nil && !joins:
		h.fail(t, notFound("Streams group %s not found.", id))
		return
	case g != nil && g.streams == nil && (!joins || g.newer != nil || g.state != empty):
		h.fail(t, notFound("Group %s is not a streams group.", id))
		return
	case h.req.MemberEpoch < 0:
		h.leave(t, g)
		return
	}
	env := t.streamsEnv(id)
	s := streams.New(id)
	if g != nil && g.streams != nil {
		s = g.streams.Group
	}
	out, err := s.Heartbeat(&env, h.client.ID, h.client.Host, h.req)
	if err != nil {
		h.fail(t, err)
		return
	}
	if g == nil {
		g = t.newGroup(id)
	}
	if g.streams == nil {
		t.logf(slog.LevelInfo, "group: of Kafka Streams from now on", "group", id)
		g.becomeStreams(t, s)
	}
	g.followStreams(t, out)
	h.missing = out.Missing
	g.save(t, h.answer(h.response(t, out)))
}

func (h *streamsHeartbeat) response(t *turn, out streams.Outcome) *kmsg.StreamsGroupHeartbeatResponse {
	resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = out.Member.ID, out.Member.Epoch
	resp.HeartbeatIntervalMillis = int32(t.s.opts.Streams.Config(h.req.Group).HeartbeatInterval.Milliseconds())
	resp.AcceptableRecoveryLagLegacy, resp.TaskOffsetIntervalMillis = acceptableLag, offsetIntervalMillis
	resp.Status = []kmsg.StreamsGroupHeartbeatResponseStatus{}
	for _, st := range out.Statuses {
		s := kmsg.NewStreamsGroupHeartbeatResponseStatus()
		s.StatusCode, s.StatusDetail = int8(st.Code), st.Detail
		resp.Status = append(resp.Status, s)
	}
	if out.Told {
		has := &out.Member.Assigned
		resp.ActiveTasks, resp.StandbyTasks, resp.WarmupTasks = has[streams.Active].Wire(), has[streams.Standby].Wire(), has[streams.Warmup].Wire()
	}
	resp.EndpointInformationEpoch = out.EndpointsEpoch
	if out.TellEndpoints {
		resp.PartitionsByUserEndpoint = []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint{}
		for _, e := range out.Endpoints {
			resp.PartitionsByUserEndpoint = append(resp.PartitionsByUserEndpoint, endpointOf(e))
		}
	}
	return resp
}

func endpointOf(e streams.EndpointTasks) kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint {
	at := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpoint()
	at.UserEndpoint.Host, at.UserEndpoint.Port = e.Endpoint.Host, e.Endpoint.Port
	for _, tp := range e.Active {
		p := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpointActivePartition()
		p.Topic, p.Partitions = tp.Topic, tp.Partitions
		at.ActivePartitions = append(at.ActivePartitions, p)
	}
	for _, tp := range e.Standby {
		p := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpointStandbyPartition()
		p.Topic, p.Partitions = tp.Topic, tp.Partitions
		at.StandbyPartitions = append(at.StandbyPartitions, p)
	}
	return at
}

func (h *streamsHeartbeat) leave(t *turn, g *group) {
	m, err := g.streams.Leave(h.req)
	if err != nil {
		h.fail(t, err)
		return
	}
	resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch, resp.Status = h.req.MemberID, h.req.MemberEpoch, []kmsg.StreamsGroupHeartbeatResponseStatus{}
	t.logf(slog.LevelInfo, "group: member left", "group", g.id, "member", m.ID)
	g.fenceStreams(t, m, h.answer(resp))
}
