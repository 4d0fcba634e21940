package group

import "github.com/twmb/franz-go/pkg/kmsg"

// ConsumerGroupDescribe 0-1. v1: member type. Groups of the classic protocol are GROUP_ID_NOT_FOUND: administrators ask DescribeGroups then.
// Authorized operations are the caller's to fill in.

// ConsumerGroupDescribe answers a ConsumerGroupDescribe request, when what is shown is durable.
func (c *Coordinator) ConsumerGroupDescribe(_ Client, req *kmsg.ConsumerGroupDescribeRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	resp.Version = req.Version
	resp.Groups = make([]kmsg.ConsumerGroupDescribeResponseGroup, len(req.Groups))
	c.describeNewer(req.Groups, func() { reply(resp) }, func(i int) describedGroup {
		at := &resp.Groups[i]
		at.Default()
		at.Group = req.Groups[i]
		return describedGroup{
			kind: typeConsumer,
			describe: func(t *turn, g *group) {
				env := t.env(req.Groups[i])
				g.modern.Describe(&env, at)
			},
			fail: func(code int16, message *string) {
				at.Default()
				at.Group, at.Members, at.ErrorCode, at.ErrorMessage = req.Groups[i], nil, code, message
			},
		}
	})
}
