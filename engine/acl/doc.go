// Package acl decides who may do what, by Kafka's rules (KIP-11, prefixes: KIP-290): the entries are in the metadata, and every broker asks its
// own image. A nil *Authorizer allows everything, as Kafka does without authorizer.class.name.
//
//	acl.go    Authorizer, the decision
//	rules.go  the entries, by resource
package acl
