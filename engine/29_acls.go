package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// DescribeAcls (key 29), CreateAcls (key 30), DeleteAcls (key 31), versions 1 to 3: the entries are in the metadata, the controller changes them.
// Without an authorizer all three answer SECURITY_DISABLED, as in Kafka.

const noAuthorizer = "No Authorizer is configured on the broker"

func describeACLs(r *request) {
	req, b := r.body.(*kmsg.DescribeACLsRequest), r.broker
	resp := kmsg.NewPtrDescribeACLsResponse()
	fail := func(code kproto.ErrorCode, message string) {
		resp.ErrorCode, resp.ErrorMessage = int16(code), &message
		r.reply(resp)
	}
	if b.authorizer == nil {
		fail(kproto.SecurityDisabled, noAuthorizer)
		return
	}
	f := kraft.ACLFilter{
		Resource: req.ResourceType, Pattern: req.ResourcePatternType, Name: req.ResourceName, Principal: req.Principal, Host: req.Host,
		Operation: req.Operation, Permission: req.PermissionType,
	}
	if err := f.Check(); err != nil {
		fail(kproto.InvalidRequest, err.Error())
		return
	}
	kraft.EveryACL(b.node.Image(), func(e kraft.ACL) bool {
		if !f.Matches(e) {
			return true
		}
		n := len(resp.Resources)
		if n == 0 || resp.Resources[n-1].ResourceName != e.Name || resp.Resources[n-1].ResourceType != e.Resource || resp.Resources[n-1].ResourcePatternType != e.Pattern {
			res := kmsg.NewDescribeACLsResponseResource()
			res.ResourceType, res.ResourcePatternType, res.ResourceName = e.Resource, e.Pattern, e.Name
			resp.Resources = append(resp.Resources, res)
		}
		entry := kmsg.NewDescribeACLsResponseResourceACL()
		entry.Principal, entry.Host, entry.Operation, entry.PermissionType = e.Principal, e.Host, e.Operation, e.Permission
		last := &resp.Resources[len(resp.Resources)-1]
		last.ACLs = append(last.ACLs, entry)
		return true
	})
	r.reply(resp)
}

func createACLs(r *request) {
	changeACLs(r, "created", failACLCreations)
}

func deleteACLs(r *request) {
	changeACLs(r, "deleted", failACLDeletions)
}

// changeACLs hands a change to the controller; fail answers each entry of the request with an error.
func changeACLs[R kmsg.Response](r *request, what string, fail func(*request, R, kproto.ErrorCode, string)) {
	b := r.broker
	failed := func(code kproto.ErrorCode, message string) {
		resp := r.body.ResponseKind()
		fail(r, resp.(R), code, message)
		r.reply(resp)
	}
	if b.authorizer == nil {
		failed(kproto.SecurityDisabled, noAuthorizer)
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.cfg.Quorum.RequestTimeout)
	defer cancel()
	resp, code, message := b.forward(ctx, r.body)
	if code != kproto.None {
		failed(code, message)
		return
	}
	if changed := changedACLs(r.body, resp); len(changed) > 0 {
		b.log.Info("access control entries "+what, "principal", r.conn.principal, "count", len(changed), "entries", strings.Join(changed[:min(len(changed), loggedACLs)], "; "))
	}
	r.reply(resp)
}

// loggedACLs is how many of the entries that one request changes are named in the log.
const loggedACLs = 20

// changedACLs names the entries that a request has created or deleted, as its answer tells.
func changedACLs(req kmsg.Request, resp kmsg.Response) (out []string) {
	name := func(principal, host string, permission kmsg.ACLPermissionType, op kmsg.ACLOperation, resource kmsg.ACLResourceType, pattern kmsg.ACLResourcePatternType, on string) {
		out = append(out, fmt.Sprintf("%s %s %s from %s on %s %s (%s)", permission, principal, op, host, resource, on, pattern))
	}
	switch resp := resp.(type) {
	case *kmsg.CreateACLsResponse:
		for i, c := range req.(*kmsg.CreateACLsRequest).Creations {
			if i < len(resp.Results) && resp.Results[i].ErrorCode == 0 {
				name(c.Principal, c.Host, c.PermissionType, c.Operation, c.ResourceType, c.ResourcePatternType, c.ResourceName)
			}
		}
	case *kmsg.DeleteACLsResponse:
		for _, r := range resp.Results {
			for _, m := range r.MatchingACLs {
				if m.ErrorCode == 0 {
					name(m.Principal, m.Host, m.PermissionType, m.Operation, m.ResourceType, m.ResourcePatternType, m.ResourceName)
				}
			}
		}
	}
	return out
}

func failACLCreations(r *request, resp *kmsg.CreateACLsResponse, code kproto.ErrorCode, message string) {
	for range r.body.(*kmsg.CreateACLsRequest).Creations {
		out := kmsg.NewCreateACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = int16(code), &message
		resp.Results = append(resp.Results, out)
	}
}

func failACLDeletions(r *request, resp *kmsg.DeleteACLsResponse, code kproto.ErrorCode, message string) {
	for range r.body.(*kmsg.DeleteACLsRequest).Filters {
		out := kmsg.NewDeleteACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = int16(code), &message
		resp.Results = append(resp.Results, out)
	}
}
