package kraft

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

func (t *tx) createACLs(r *kmsg.CreateACLsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.CreateACLsResponse)
	resp.Results = make([]kmsg.CreateACLsResponseResult, 0, len(r.Creations))
	for _, c := range r.Creations {
		a := ACL{
			Resource: c.ResourceType, Pattern: c.ResourcePatternType, Name: c.ResourceName, Principal: c.Principal, Host: c.Host,
			Operation: c.Operation, Permission: c.PermissionType,
		}
		e := a.check()
		if e.code == 0 {
			if _, exists := t.img().Config(a.resource(), a.key()); !exists {
				t.add(&record.ConfigSet{Resource: a.resource(), Key: a.key()})
			}
		}
		resp.Results = append(resp.Results, kmsg.CreateACLsResponseResult{ErrorCode: e.code, ErrorMessage: e.message()})
	}
	return resp
}

func (t *tx) deleteACLs(r *kmsg.DeleteACLsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.DeleteACLsResponse)
	resp.Results = make([]kmsg.DeleteACLsResponseResult, 0, len(r.Filters))
	gone := make(map[ACL]bool)
	for _, rf := range r.Filters {
		f := ACLFilter{
			Resource: rf.ResourceType, Pattern: rf.ResourcePatternType, Name: rf.ResourceName, Principal: rf.Principal, Host: rf.Host,
			Operation: rf.Operation, Permission: rf.PermissionType,
		}
		out := kmsg.DeleteACLsResponseResult{MatchingACLs: []kmsg.DeleteACLsResponseResultMatchingACL{}}
		if err := f.Check(); err != nil {
			e := kafkaError{kafkaInvalidRequest, err.Error()}
			out.ErrorCode, out.ErrorMessage = e.code, e.message()
			resp.Results = append(resp.Results, out)
			continue
		}
		// Every filter is answered with what it matched before the request, as if it were alone.
		EveryACL(t.c.mu.tail, func(a ACL) bool {
			if f.Matches(a) {
				gone[a] = true
				out.MatchingACLs = append(out.MatchingACLs, kmsg.DeleteACLsResponseResultMatchingACL{
					ResourceType: a.Resource, ResourceName: a.Name, ResourcePatternType: a.Pattern, Principal: a.Principal, Host: a.Host,
					Operation: a.Operation, PermissionType: a.Permission,
				})
			}
			return true
		})
		resp.Results = append(resp.Results, out)
	}
	for a := range gone {
		t.add(&record.ConfigRemoved{Resource: a.resource(), Key: a.key()})
	}
	return resp
}
