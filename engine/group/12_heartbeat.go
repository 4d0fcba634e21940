package group

import "github.com/twmb/franz-go/pkg/kmsg"

// Heartbeat 0-4. v3: static members.

// Heartbeat answers a Heartbeat request.
func (c *Coordinator) Heartbeat(_ Client, req *kmsg.HeartbeatRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version = req.Version
	if req.Group == "" {
		resp.ErrorCode = codeInvalidGroupID
		reply(resp)
		return
	}
	code := c.serve(req.Group, func(t *turn) { resp.ErrorCode = t.heartbeat(req) })
	if code != codeNone && code != codeCoordinatorLoading { // while loading all members are taken to be alive
		resp.ErrorCode = code
	}
	reply(resp)
}

func (t *turn) heartbeat(req *kmsg.HeartbeatRequest) int16 {
	g := t.s.groups[req.Group]
	if g != nil && g.modern != nil {
		return t.heartbeatModern(g, req)
	}
	m, code := g.lookup(req.MemberID, req.InstanceID)
	switch {
	case code != codeNone:
		return code
	case req.Generation != g.generation:
		return codeIllegalGeneration
	}
	if m.join == nil && m.sync == nil { // else no session is running
		g.keepAlive(t, m)
	}
	if g.state == preparingRebalance {
		return codeRebalanceInProgress
	}
	return codeNone
}
