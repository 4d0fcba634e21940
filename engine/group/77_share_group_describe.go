package group

import "github.com/twmb/franz-go/pkg/kmsg"

// ShareGroupDescribe 1. Authorized operations are the caller's to fill in.

// ShareGroupDescribe answers a ShareGroupDescribe request, when what is shown is durable.
func (c *Coordinator) ShareGroupDescribe(_ Client, req *kmsg.ShareGroupDescribeRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrShareGroupDescribeResponse()
	resp.Version = req.Version
	resp.Groups = make([]kmsg.ShareGroupDescribeResponseGroup, len(req.GroupIDs))
	answered := countdown(len(req.GroupIDs)+1, func() { reply(resp) })
	for i, id := range req.GroupIDs {
		at := &resp.Groups[i]
		at.Default()
		at.GroupID = id
		if id == "" {
			at.ErrorCode = codeInvalidGroupID
			answered()
			continue
		}
		code := c.serve(id, func(t *turn) {
			g, err := t.findShare(id)
			if err != nil {
				at.ErrorCode, at.ErrorMessage = err.Code, &err.Message
				t.reply(answered)
				return
			}
			g.Describe(t.s.opts.Consumer.Topics(), at)
			g.save(t, func(t *turn, err error) {
				if err != nil {
					at.Default()
					at.GroupID, at.Members, at.ErrorCode = id, nil, appendCode(err, codeUnknownServerError)
				}
				t.reply(answered)
			})
		})
		if code != codeNone {
			at.ErrorCode = code
			answered()
		}
	}
	answered()
}
