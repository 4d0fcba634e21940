package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// guardStreamsGroupHeartbeat: a topic of the topology that the client may not see refuses the request as a whole, unless no program may have
// one of them, which is what it is told then. Whether it may create topics is looked at when there are some to create.
func guardStreamsGroupHeartbeat(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.StreamsGroupHeartbeatRequest)
	resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	switch {
	case !a.group(opRead, req.Group):
		resp.ErrorCode = groupRefused
	case prohibitedTopics(req) == "" && a.hidden(streamsTopics(req.Topology)):
		resp.ErrorCode = topicRefused
	default:
		return nil
	}
	return resp
}

// guardStreamsGroupDescribe: a group with a topic that the client may not see is not shown.
func guardStreamsGroupDescribe(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.StreamsGroupDescribeRequest)
	var denied []kmsg.StreamsGroupDescribeResponseGroup
	req.Groups, denied = part(req.Groups, func(g *string) bool { return a.group(opDescribe, *g) }, func(g *string) kmsg.StreamsGroupDescribeResponseGroup {
		out := kmsg.NewStreamsGroupDescribeResponseGroup()
		out.Group, out.ErrorCode = *g, groupRefused
		return out
	})
	if len(req.Groups) == 0 {
		return complete(r, 0, len(denied), func(p *kmsg.StreamsGroupDescribeResponse) { p.Groups = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.StreamsGroupDescribeResponse)
		for i := range p.Groups {
			g := &p.Groups[i]
			if g.Topology != nil && a.hidden(describedTopics(g.Topology)) {
				message := "The described group uses topics that the client is not authorized to describe."
				hidden := kmsg.NewStreamsGroupDescribeResponseGroup()
				hidden.Group, hidden.ErrorCode, hidden.ErrorMessage = g.Group, topicRefused, &message
				*g = hidden
			}
			g.AuthorizedOperations = a.narrow(g.AuthorizedOperations, kmsg.ACLResourceTypeGroup, g.Group)
		}
		p.Groups = append(p.Groups, denied...)
	}
	return nil
}

// describedTopics are the topics of a topology that is shown.
func describedTopics(t *kmsg.StreamsGroupDescribeResponseGroupTopology) []string {
	var names []string
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		names = appendTopics(names, s.SourceTopics, s.RepartitionSinkTopics, s.RepartitionSourceTopics, s.StateChangelogTopics)
	}
	return names
}
