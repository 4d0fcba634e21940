package group

// describedGroup is the place of a group in the answer to a request that describes groups of a newer protocol.
type describedGroup struct {
	kind     string
	describe func(t *turn, g *group)
	fail     func(code int16, message *string)
}

// describeNewer fills in the places of groups, each when what is shown of it is durable, and calls done when all are.
func (c *Coordinator) describeNewer(ids []string, done func(), place func(i int) describedGroup) {
	answered := countdown(len(ids)+1, done)
	for i, id := range ids {
		at := place(i)
		if id == "" {
			at.fail(codeInvalidGroupID, nil)
			answered()
			continue
		}
		code := c.serve(id, func(t *turn) {
			g := t.s.groups[id]
			if g == nil || g.newer == nil || g.newer.kind != at.kind {
				err := notFound("Group %s not found.", id)
				if g != nil || t.s.shares[id] != nil {
					err = notFound("Group %s is not a "+at.kind+" group.", id)
				}
				at.fail(err.Code, &err.Message)
				t.reply(answered)
				return
			}
			at.describe(t, g)
			g.save(t, func(t *turn, err error) {
				if err != nil {
					at.fail(appendCode(err, codeUnknownServerError), nil)
				}
				t.reply(answered)
			})
		})
		if code != codeNone {
			at.fail(code, nil)
			answered()
		}
	}
	answered()
}
