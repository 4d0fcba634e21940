package acl

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft"
)

// rules are all entries, by what they are about. Immutable once it is in use.
type rules struct {
	kinds [kmsg.ACLResourceTypeUser + 1]*kindRules
}

// kindRules are the entries about one type of resource.
type kindRules struct {
	literal  map[string][]entry
	prefixed []prefixRules
}

// prefixRules are the entries about resources whose names begin with name.
type prefixRules struct {
	name    string
	entries []entry
}

type entry struct {
	principal, host string
	op              kmsg.ACLOperation
	deny            bool
}

// of returns nil when there is no entry about the type.
func (r *rules) of(kind kmsg.ACLResourceType) *kindRules {
	if kind < 0 || int(kind) >= len(r.kinds) {
		return nil
	}
	return r.kinds[kind]
}

// add takes an entry. Entries of one resource must come one after the other.
func (r *rules) add(a kraft.ACL) {
	if a.Resource < 0 || int(a.Resource) >= len(r.kinds) {
		return // of a newer program; the controller checks what it takes
	}
	k := r.kinds[a.Resource]
	if k == nil {
		k = &kindRules{literal: make(map[string][]entry)}
		r.kinds[a.Resource] = k
	}
	e := entry{principal: a.Principal, host: a.Host, op: a.Operation, deny: a.Permission == kmsg.ACLPermissionTypeDeny}
	if a.Pattern != kmsg.ACLResourcePatternTypePrefixed {
		k.literal[a.Name] = append(k.literal[a.Name], e)
		return
	}
	if n := len(k.prefixed); n > 0 && k.prefixed[n-1].name == a.Name {
		k.prefixed[n-1].entries = append(k.prefixed[n-1].entries, e)
		return
	}
	k.prefixed = append(k.prefixed, prefixRules{a.Name, []entry{e}})
}
