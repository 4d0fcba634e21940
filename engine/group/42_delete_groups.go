package group

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteGroups 0-3. v3: error messages.

// DeleteGroups answers a DeleteGroups request when all groups that can be deleted are, with their offsets, from the log.
func (c *Coordinator) DeleteGroups(_ Client, req *kmsg.DeleteGroupsRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Version = req.Version
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(req.Groups))
	answered := countdown(len(req.Groups)+1, func() { reply(resp) })
	for i, id := range req.Groups {
		at := &resp.Groups[i]
		at.Default()
		at.Group = id
		finish := func(code int16) {
			at.ErrorCode = code
			if message := deleteMessage(id, code); message != "" {
				at.ErrorMessage = &message
			}
			answered()
		}
		if code := c.serve(id, func(t *turn) { t.deleteGroup(id, finish) }); code != codeNone {
			finish(code)
		}
	}
	answered()
}

func (t *turn) deleteGroup(id string, finish func(code int16)) {
	if share := t.s.shares[id]; share != nil {
		t.deleteShare(share, finish)
		return
	}
	g := t.s.groups[id]
	code := codeNone
	switch {
	case g == nil:
		code = codeGroupIDNotFound
	case g.deleting:
		code = codeCoordinatorLoading
	case !g.memberless():
		code = codeNonEmptyGroup
	default:
		g.removeAll(t, func(t *turn, err error) {
			if err == nil {
				t.logf(slog.LevelInfo, "group: deleted", "group", id)
			}
			t.reply(func() { finish(appendCode(err, codeUnknownServerError)) })
		})
		return
	}
	t.reply(func() { finish(code) })
}

// deleteMessage says what the code alone does not.
func deleteMessage(id string, code int16) string {
	switch code {
	case codeGroupIDNotFound:
		return fmt.Sprintf("Group %s not found.", id)
	case codeNonEmptyGroup:
		return fmt.Sprintf("Group %s is not empty.", id)
	}
	return ""
}

// countdown returns a function whose n-th call calls done: one for each group of a request, and one for who goes through them.
func countdown(n int, done func()) func() {
	var left atomic.Int64
	left.Store(int64(n))
	return func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
}
