package acl

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft"
)

const (
	literal  = kmsg.ACLResourcePatternTypeLiteral
	prefixed = kmsg.ACLResourcePatternTypePrefixed
	allow    = kmsg.ACLPermissionTypeAllow
	deny     = kmsg.ACLPermissionTypeDeny
	topic    = kmsg.ACLResourceTypeTopic
	group    = kmsg.ACLResourceTypeGroup
	read     = kmsg.ACLOperationRead
	write    = kmsg.ACLOperationWrite
	describe = kmsg.ACLOperationDescribe
)

func topicRule(p kmsg.ACLResourcePatternType, name, principal, host string, op kmsg.ACLOperation, perm kmsg.ACLPermissionType) kraft.ACL {
	return kraft.ACL{Resource: topic, Pattern: p, Name: name, Principal: principal, Host: host, Operation: op, Permission: perm}
}

func with(allowIfNone bool, entries ...kraft.ACL) *Authorizer {
	a := New([]string{"User:admin"}, allowIfNone)
	r := &rules{}
	for _, e := range entries {
		r.add(e)
	}
	a.rules.Store(r)
	return a
}

func TestAllowed(t *testing.T) {
	const host = "10.0.0.1"
	standard := []kraft.ACL{
		topicRule(literal, "orders", "User:ann", "*", read, allow),
		topicRule(literal, "orders", "User:ann", host, write, allow),
		topicRule(literal, "orders", "User:ben", "*", kmsg.ACLOperationAll, allow),
		topicRule(literal, "orders", "User:ben", "*", write, deny),
		topicRule(literal, "*", "User:*", "*", kmsg.ACLOperationAlterConfigs, allow),
		topicRule(prefixed, "pay", "User:ann", "*", write, allow),
		topicRule(prefixed, "payroll", "User:*", "*", kmsg.ACLOperationAll, deny),
	}
	for _, c := range []struct {
		who, host string
		op        kmsg.ACLOperation
		name      string
		want      bool
	}{
		{"User:ann", host, read, "orders", true},
		{"User:ann", host, describe, "orders", true}, // implied by READ
		{"User:ann", host, write, "orders", true},
		{"User:ann", "10.0.0.2", write, "orders", false}, // from elsewhere
		{"User:ann", host, kmsg.ACLOperationDelete, "orders", false},
		{"User:ann", host, read, "order", false},
		{"User:ben", host, read, "orders", true},
		{"User:ben", host, write, "orders", false},   // a deny beats ALL
		{"User:ben", host, describe, "orders", true}, // a deny of WRITE denies nothing else
		{"User:cat", host, read, "orders", false},
		{"User:cat", host, kmsg.ACLOperationAlterConfigs, "orders", true},
		{"User:cat", host, kmsg.ACLOperationDescribeConfigs, "anything", true},
		{"User:ann", host, write, "payments", true},
		{"User:ann", host, write, "pay", true},
		{"User:ann", host, write, "pa", false},
		{"User:ann", host, write, "payroll-2026", false}, // the longer prefix denies; a shorter one would as well
		{"User:admin", host, write, "payroll-2026", true},
	} {
		if have := with(false, standard...).Allowed(Subject{c.who, c.host}, c.op, topic, c.name); have != c.want {
			t.Errorf("%s from %s, %v of %s: %t, want %t", c.who, c.host, c.op, c.name, have, c.want)
		}
	}
	ann := Subject{"User:ann", host}
	for _, c := range []struct {
		what        string
		allowIfNone bool
		kind        kmsg.ACLResourceType
		name        string
		want        bool
	}{
		{"no entry about the type", false, group, "g", false},
		{"no entry about the type, open", true, group, "g", true},
		{"entries about everything of the type, open", true, topic, "elsewhere", false},
	} {
		if have := with(c.allowIfNone, standard...).Allowed(ann, read, c.kind, c.name); have != c.want {
			t.Errorf("%s: %t, want %t", c.what, have, c.want)
		}
	}
	open := with(true, topicRule(literal, "orders", "User:ben", "*", read, allow))
	if open.Allowed(ann, read, topic, "orders") || !open.Allowed(ann, read, topic, "others") {
		t.Error("open to all: exactly what has no entry")
	}
	var off *Authorizer
	if !off.Allowed(ann, write, topic, "x") || !off.AllowedSomewhere(ann, write, topic) {
		t.Error("without an authorizer everything is allowed")
	}
}

func TestAllowedSomewhere(t *testing.T) {
	ann := Subject{"User:ann", "10.0.0.1"}
	for _, c := range []struct {
		what    string
		entries []kraft.ACL
		want    bool
	}{
		{"nothing", nil, false},
		{"another operation", []kraft.ACL{topicRule(literal, "a", "User:ann", "*", read, allow)}, false},
		{"a topic", []kraft.ACL{topicRule(literal, "a", "User:ann", "*", write, allow)}, true},
		{"a topic, denied", []kraft.ACL{topicRule(literal, "a", "User:ann", "*", write, allow), topicRule(literal, "a", "User:*", "*", write, deny)}, false},
		{"a topic, its prefix denied", []kraft.ACL{topicRule(literal, "abc", "User:ann", "*", write, allow), topicRule(prefixed, "ab", "User:ann", "*", kmsg.ACLOperationAll, deny)}, false},
		{"a prefix, a longer one denied", []kraft.ACL{topicRule(prefixed, "a", "User:ann", "*", write, allow), topicRule(prefixed, "ab", "User:ann", "*", write, deny)}, true},
		{"a prefix, a shorter one denied", []kraft.ACL{topicRule(prefixed, "ab", "User:ann", "*", write, allow), topicRule(prefixed, "a", "User:ann", "*", write, deny)}, false},
		{"all, one denied", []kraft.ACL{topicRule(literal, "*", "User:ann", "*", write, allow), topicRule(literal, "a", "User:ann", "*", write, deny)}, true},
		{"one, all denied", []kraft.ACL{topicRule(literal, "a", "User:ann", "*", write, allow), topicRule(literal, "*", "User:ann", "*", write, deny)}, false},
	} {
		if have := with(false, c.entries...).AllowedSomewhere(ann, write, topic); have != c.want {
			t.Errorf("%s: %t, want %t", c.what, have, c.want)
		}
	}
}

// TestAllowedCost: the hot path may ask.
func TestAllowedCost(t *testing.T) {
	a := with(false, topicRule(literal, "orders", "User:ann", "*", read, allow), topicRule(prefixed, "pay", "User:ann", "*", write, allow))
	name := []byte("orders")
	if n := testing.AllocsPerRun(100, func() { a.Allowed(Subject{"User:ann", "h"}, read, topic, string(name)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
