package group

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListGroups 0-5. v4: states, to filter by and in the response. v5: types.

// Types of groups.
const (
	typeClassic  = "classic"
	typeConsumer = "consumer"
	typeStreams  = "streams"
	typeShare    = "share"
)

// ListGroups answers a ListGroups request at once, with the groups that this broker coordinates, by name. While a partition
// is being loaded the answer has COORDINATOR_LOAD_IN_PROGRESS beside what there is.
func (c *Coordinator) ListGroups(_ Client, req *kmsg.ListGroupsRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrListGroupsResponse()
	resp.Version = req.Version
	c.shards.Each(func(s *shard) {
		add := func(id, protocol, state, kind string) {
			if passes(req.StatesFilter, state) && passes(req.TypesFilter, kind) {
				at := kmsg.NewListGroupsResponseGroup()
				at.Group, at.ProtocolType, at.GroupState, at.GroupType = id, protocol, state, kind
				resp.Groups = append(resp.Groups, at)
			}
		}
		code := s.serve(func(t *turn) {
			for _, g := range s.shares {
				add(g.ID, typeShare, g.Name(), typeShare)
			}
			for _, g := range s.groups {
				state, kind, protocol := g.state.String(), typeClassic, g.protocolType
				if n := g.newer; n != nil {
					state, kind, protocol = n.members.Name(), n.kind, n.protocolType
				}
				add(g.id, protocol, state, kind)
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
