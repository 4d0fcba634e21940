package acl

import (
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft"
)

// everybody is the principal of entries for all users, wildcard the name of entries for all resources and the host of entries for all hosts.
const (
	everybody = "User:*"
	wildcard  = "*"
)

// Authorizer is Kafka's StandardAuthorizer. Allowed and AllowedSomewhere may be called from any goroutine, also an event loop: they take no lock, allocate
// nothing and look at the entries of the resource only.
type Authorizer struct {
	super       map[string]bool
	allowIfNone bool
	rules       atomic.Pointer[rules]
}

// Subject is who asks.
type Subject struct {
	Principal string // type:name
	Host      string // the address, without a port
}

// New returns an authorizer without entries. superUsers may do everything (super.users); with allowIfNone a resource without any entry is open to all
// (allow.everyone.if.no.acl.found).
func New(superUsers []string, allowIfNone bool) *Authorizer {
	a := &Authorizer{super: make(map[string]bool, len(superUsers)), allowIfNone: allowIfNone}
	for _, u := range superUsers {
		a.super[u] = true
	}
	a.rules.Store(&rules{})
	return a
}

// Update takes the entries of an image. One goroutine at a time.
func (a *Authorizer) Update(img *kraft.Image) {
	next := &rules{}
	kraft.EveryACL(img, func(e kraft.ACL) bool {
		next.add(e)
		return true
	})
	a.rules.Store(next)
}

// Allowed says whether s may do op with the resource. A deny beats every allow.
func (a *Authorizer) Allowed(s Subject, op kmsg.ACLOperation, kind kmsg.ACLResourceType, name string) bool {
	if a == nil || a.super[s.Principal] {
		return true
	}
	k := a.rules.Load().of(kind)
	if k == nil {
		return a.allowIfNone
	}
	v := verdict{s: s, op: op}
	v.look(k.literal[name])
	if name != wildcard {
		v.look(k.literal[wildcard])
	}
	for i := range k.prefixed {
		if strings.HasPrefix(name, k.prefixed[i].name) {
			v.look(k.prefixed[i].entries)
		}
	}
	switch {
	case v.denied:
		return false
	case !v.found:
		return a.allowIfNone
	}
	return v.allowed
}

// AllowedSomewhere says whether there is any resource of the kind with which s may do op (authorizeByResourceType): a producer without a transactional id may
// have a producer id when it may write to some topic.
func (a *Authorizer) AllowedSomewhere(s Subject, op kmsg.ACLOperation, kind kmsg.ACLResourceType) bool {
	if a == nil || a.super[s.Principal] {
		return true
	}
	k := a.rules.Load().of(kind)
	if k == nil {
		return a.allowIfNone
	}
	denies := func(entries []entry) bool {
		v := verdict{s: s, op: op}
		v.look(entries)
		return v.denied
	}
	if denies(k.literal[wildcard]) {
		return false
	}
	if a.allowIfNone {
		return true
	}
	// An allow counts unless a deny covers all that it covers.
	covered := func(name string, literal bool) bool {
		if literal && denies(k.literal[name]) {
			return true
		}
		for i := range k.prefixed {
			if strings.HasPrefix(name, k.prefixed[i].name) && denies(k.prefixed[i].entries) {
				return true
			}
		}
		return false
	}
	allows := func(entries []entry) bool {
		v := verdict{s: s, op: op}
		v.look(entries)
		return v.allowed
	}
	for name, entries := range k.literal {
		if allows(entries) && (name == wildcard || !covered(name, true)) {
			return true
		}
	}
	for i := range k.prefixed {
		if p := &k.prefixed[i]; allows(p.entries) && !covered(p.name, false) {
			return true
		}
	}
	return false
}

// verdict gathers what entries say of one question.
type verdict struct {
	s                      Subject
	op                     kmsg.ACLOperation
	found, allowed, denied bool
}

func (v *verdict) look(entries []entry) {
	v.found = v.found || len(entries) > 0
	for i := range entries {
		e := &entries[i]
		if e.principal != v.s.Principal && e.principal != everybody || e.host != v.s.Host && e.host != wildcard {
			continue
		}
		switch {
		case e.deny:
			v.denied = v.denied || e.op == v.op || e.op == kmsg.ACLOperationAll
		default:
			v.allowed = v.allowed || implies(e.op, v.op)
		}
	}
}

// implies says whether the right to do have contains the right to do want. A deny implies nothing.
func implies(have, want kmsg.ACLOperation) bool {
	if have == want || have == kmsg.ACLOperationAll {
		return true
	}
	switch want {
	case kmsg.ACLOperationDescribe:
		return have == kmsg.ACLOperationRead || have == kmsg.ACLOperationWrite || have == kmsg.ACLOperationDelete || have == kmsg.ACLOperationAlter
	case kmsg.ACLOperationDescribeConfigs:
		return have == kmsg.ACLOperationAlterConfigs
	}
	return false
}
