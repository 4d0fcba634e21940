package group

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListGroups 0-5. v4: states, to filter by and in the response. v5: types.

const typeClassic = "classic"

// ListGroups answers a ListGroups request at once, with the groups that this broker coordinates, by name. While a partition
// is being loaded the answer has COORDINATOR_LOAD_IN_PROGRESS beside what there is.
func (c *Coordinator) ListGroups(_ Client, req *kmsg.ListGroupsRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrListGroupsResponse()
	resp.Version = req.Version
	c.eachShard(func(s *shard) {
		code := s.serve(func(t *turn) {
			for _, g := range s.groups {
				if passes(req.StatesFilter, g.state.String()) && passes(req.TypesFilter, typeClassic) {
					at := kmsg.NewListGroupsResponseGroup()
					at.Group, at.ProtocolType, at.GroupState, at.GroupType = g.id, g.protocolType, g.state.String(), typeClassic
					resp.Groups = append(resp.Groups, at)
				}
			}
		})
		if code == codeCoordinatorLoading {
			resp.ErrorCode = code
		}
	})
	slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	reply(resp)
}

// passes reports whether a filter (which, when empty, lets everything pass) names a value.
func passes(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
