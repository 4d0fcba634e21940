package engine

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/acl"
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/kraft/record"
	"github.com/ringmq/ringmq/netpoll"
)

// Who may do what, when authorizer.class.name says so (package acl decides). Each API has a guard (guards, guards_*.go) that runs before its handler:
// it takes out of the request what the client may not do, and has the answer say so. Produce and Fetch ask for themselves.
// Without an authorizer nothing of this runs.

// Short names of the operations.
const (
	opRead            = kmsg.ACLOperationRead
	opWrite           = kmsg.ACLOperationWrite
	opCreate          = kmsg.ACLOperationCreate
	opDelete          = kmsg.ACLOperationDelete
	opAlter           = kmsg.ACLOperationAlter
	opDescribe        = kmsg.ACLOperationDescribe
	opClusterAction   = kmsg.ACLOperationClusterAction
	opDescribeConfigs = kmsg.ACLOperationDescribeConfigs
	opAlterConfigs    = kmsg.ACLOperationAlterConfigs
	opIdempotentWrite = kmsg.ACLOperationIdempotentWrite
)

// newAuthorizer returns nil when everything is allowed.
func newAuthorizer(c config.Authorizer) *acl.Authorizer {
	if !c.On {
		return nil
	}
	return acl.New(c.SuperUsers, c.AllowIfNone)
}

// followACLs has the authorizer take changed entries.
func (b *Broker) followACLs(next *kraft.Image, delta *kraft.Delta) {
	if b.authorizer == nil || !delta.Full && !slices.ContainsFunc(delta.Configs, func(r record.ConfigResource) bool { return r.Type == record.ACLConfig }) {
		return
	}
	b.authorizer.Update(next)
}

// asker is who sent a request, and what decides about it.
type asker struct {
	by  *acl.Authorizer
	who acl.Subject
}

func (st *connState) asker(b *Broker) asker {
	return asker{b.authorizer, acl.Subject{Principal: st.principal, Host: st.host}}
}

func (a asker) topic(op kmsg.ACLOperation, name string) bool {
	return a.by.Allowed(a.who, op, kmsg.ACLResourceTypeTopic, name)
}

// hidden reports whether the client may not see one of the topics.
func (a asker) hidden(topics []string) bool {
	return slices.ContainsFunc(topics, func(topic string) bool { return !a.topic(opDescribe, topic) })
}

// hiddenTopics is what is said in the place of a group that has such a topic, in Kafka's words.
const hiddenTopics = "The group has described topic(s) that the client is not authorized to describe."

func (a asker) group(op kmsg.ACLOperation, name string) bool {
	return a.by.Allowed(a.who, op, kmsg.ACLResourceTypeGroup, name)
}

func (a asker) txn(op kmsg.ACLOperation, id string) bool {
	return a.by.Allowed(a.who, op, kmsg.ACLResourceTypeTransactionalId, id)
}

func (a asker) cluster(op kmsg.ACLOperation) bool {
	return a.by.Allowed(a.who, op, kmsg.ACLResourceTypeCluster, kraft.ClusterResource)
}

// narrow takes the operations that are not allowed out of an authorized operations field. One that the client did not ask for stays.
func (a asker) narrow(field int32, kind kmsg.ACLResourceType, name string) int32 {
	if field == operationsUnknown {
		return field
	}
	for op := opRead; op <= opIdempotentWrite; op++ {
		if field&(1<<op) != 0 && !a.by.Allowed(a.who, op, kind, name) {
			field &^= 1 << op
		}
	}
	return field
}

// guard looks at a request before its handler. It returns the answer if nothing is left to be done. It may take things out of the request and set
// request.amend, which completes the handler's answer.
type guard func(*request, asker) kmsg.Response

// authorize runs the guard of a request's API. It returns false when the request has been answered.
func (b *Broker) authorize(r *request) bool {
	if b.authorizer == nil {
		return true
	}
	g := guards[r.header.Key]
	if g == nil {
		panic("BUG: engine: no guard for " + kmsg.NameForKey(r.header.Key))
	}
	refusal := g(r, r.conn.asker(b))
	if refusal == nil {
		return true
	}
	r.amend = nil
	r.reply(refusal)
	return false
}

// open is the guard of what everybody may do.
func open(*request, asker) kmsg.Response { return nil }

// part divides a list into what is allowed, which stays in its order, and the answers for the rest. A nil list stays nil.
func part[Ask, Answer any](list []Ask, allowed func(*Ask) bool, refuse func(*Ask) Answer) (left []Ask, denied []Answer) {
	left = list[:0]
	for i := range list {
		if allowed(&list[i]) {
			left = append(left, list[i])
		} else {
			denied = append(denied, refuse(&list[i]))
		}
	}
	return left, denied
}

// complete has add put the answers for what was denied into the response: the handler's if anything is left of the request, one of its own otherwise.
func complete[R kmsg.Response](r *request, left, denied int, add func(R)) kmsg.Response {
	switch {
	case denied == 0:
		return nil
	case left > 0:
		r.amend = func(resp kmsg.Response) { add(resp.(R)) }
		return nil
	}
	resp := r.body.ResponseKind()
	add(resp.(R))
	return resp
}

// forCluster is the guard of an API that takes one right on the cluster; refuse says so in its answer.
func forCluster[R kmsg.Response](op kmsg.ACLOperation, refuse func(r *request, resp R)) guard {
	return func(r *request, a asker) kmsg.Response {
		if a.cluster(op) {
			return nil
		}
		resp := r.body.ResponseKind()
		refuse(r, resp.(R))
		return resp
	}
}

// lacks says that a connection has no right to an operation on the cluster, as requests take that are not Kafka's: CLUSTER_ACTION for those that brokers send
// each other, ALTER for those of tools.
func (b *Broker) lacks(st *connState, op kmsg.ACLOperation) bool {
	return b.authorizer != nil && !st.asker(b).cluster(op)
}

// refusePrivate closes a connection that lacks the right to what it sent.
func (b *Broker) refusePrivate(st *connState, op kmsg.ACLOperation) netpoll.Verdict {
	return b.reject(st.conn, "not allowed", fmt.Errorf("this takes %v on the cluster: allow it to the principal, or name that in super.users", op))
}

// nameOfTopic is the broker's copy of a topic's name, by id if byID; false: there is no topic with the id. No allocation for a topic that exists.
func (b *Broker) nameOfTopic(name []byte, id kraft.TopicID, byID bool) (string, bool) {
	if !byID {
		return b.topicString(name), true
	}
	b.topics.mu.RLock()
	defer b.topics.mu.RUnlock()
	if t := b.topics.byID[id]; t != nil {
		return t.name, true
	}
	return "", false
}

// mayProduce says whether a produce may write to a topic. One that does not exist by its id may be asked for: ids are no secret.
func (op *produceOp) mayProduce(t *kproto.ProduceTopic) bool {
	name, known := op.broker.nameOfTopic(t.Name, t.ID, op.header.Version >= 13)
	return !known || op.conn.asker(op.broker).topic(opWrite, name)
}

// mayFetch says whether a fetch may read a partition.
func (op *fetchOp) mayFetch(f *fetchPart) bool {
	name := f.topic
	if op.header.Version >= 13 {
		var known bool
		if name, known = op.broker.nameOfTopic(nil, f.topicID, true); !known {
			return true
		}
	}
	return op.conn.asker(op.broker).topic(opRead, name)
}

// refused is why the whole of a produce is refused; None: it is not.
func (op *produceOp) refused() kproto.ErrorCode {
	if id := op.request.TransactionalID; id != nil && op.broker.authorizer != nil && !op.conn.asker(op.broker).txn(opWrite, string(id)) {
		return kproto.TransactionalIDAuthorizationFailed
	}
	return kproto.None
}
