package group

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeGroups 0-6. v3: authorized operations, which the caller fills in. v4: static members. v6: GROUP_ID_NOT_FOUND and
// error messages instead of state Dead alone.

// DescribeGroups answers a DescribeGroups request at once.
func (c *Coordinator) DescribeGroups(_ Client, req *kmsg.DescribeGroupsRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Version = req.Version
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(req.Groups))
	for i, id := range req.Groups {
		at := &resp.Groups[i]
		at.Default()
		at.Group = id
		other := false // a group of a newer protocol is not shown by this API
		at.ErrorCode = c.serve(id, func(t *turn) { other = t.describe(at) })
		if at.State == stateDead && req.Version >= 6 {
			message := fmt.Sprintf("Group %s not found.", id)
			if other {
				message = fmt.Sprintf("Group %s is not a classic group.", id)
			}
			at.ErrorCode, at.ErrorMessage = codeGroupIDNotFound, &message
		}
	}
	reply(resp)
}

func (t *turn) describe(at *kmsg.DescribeGroupsResponseGroup) (other bool) {
	g := t.s.groups[at.Group]
	if g == nil || g.newer != nil {
		at.State = stateDead
		return g != nil || t.s.shares[at.Group] != nil
	}
	at.State, at.ProtocolType = g.state.String(), g.protocolType
	if g.state == stable {
		at.Protocol = *g.protocol
	}
	at.Members = make([]kmsg.DescribeGroupsResponseGroupMember, len(g.order))
	for i, m := range g.order {
		am := &at.Members[i]
		am.MemberID, am.InstanceID, am.ClientID, am.ClientHost = m.id, m.instance, m.clientID, m.clientHost
		if g.state == stable {
			am.ProtocolMetadata, am.MemberAssignment = m.metadata(g.protocol), m.assignment
		}
	}
	return false
}
