package group

import "github.com/twmb/franz-go/pkg/kmsg"

// StreamsGroupDescribe 0. Groups of other types are GROUP_ID_NOT_FOUND. Authorized operations are the caller's to fill in.

// StreamsGroupDescribe answers a StreamsGroupDescribe request, when what is shown is durable.
func (c *Coordinator) StreamsGroupDescribe(_ Client, req *kmsg.StreamsGroupDescribeRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrStreamsGroupDescribeResponse()
	resp.Version = req.Version
	resp.Groups = make([]kmsg.StreamsGroupDescribeResponseGroup, len(req.Groups))
	c.describeNewer(req.Groups, func() { reply(resp) }, func(i int) describedGroup {
		at := &resp.Groups[i]
		at.Default()
		at.Group = req.Groups[i]
		return describedGroup{
			kind: typeStreams,
			describe: func(_ *turn, g *group) {
				g.streams.Describe(at)
			},
			fail: func(code int16, message *string) {
				at.Default()
				at.Group, at.Topology, at.Members, at.ErrorCode, at.ErrorMessage = req.Groups[i], nil, nil, code, message
			},
		}
	})
}
