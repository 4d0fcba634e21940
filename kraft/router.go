package kraft

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// router is the Controller of a node: it finds the active controller, here or elsewhere, and repeats what may be repeated.
type router struct{ n *Node }

const (
	routeRetryMin = 5 * time.Millisecond
	routeRetryMax = 250 * time.Millisecond
)

// Do implements Controller.
func (r router) Do(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	n := r.n
	if requestOf(req.Key()) == nil {
		return nil, fmt.Errorf("%w: controllers do not serve requests of key %d", ErrInvalid, req.Key())
	}
	if r, ok := req.(*kmsg.UpdateFeaturesRequest); ok {
		asVersion1(r)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, n.opts.RequestTimeout)
		defer cancel()
	}
	retry := routeRetryMin
	for {
		resp, offset, err := r.once(ctx, req)
		if err == nil {
			// What the caller does next may depend on what it has just changed.
			if err := n.WaitApplied(ctx, offset); err != nil {
				return nil, fmt.Errorf("%w: committed at %d, but not seen here: %w", ErrTimeout, offset, err)
			}
			return resp, nil
		}
		nothingDone := errors.Is(err, ErrNotController) || errors.Is(err, errBusy) || errors.Is(err, errUnsent)
		if failure := n.Err(); failure != nil {
			return nil, fmt.Errorf("%w: %w", err, failure)
		}
		if errors.Is(err, ErrInvalid) || errors.Is(err, ErrWrongCluster) || !nothingDone && !repeatable(req.Key()) {
			return nil, err
		}
		// Wait for a change of the leadership at most so long.
		timer := time.NewTimer(retry/2 + rand.N(retry))
		select {
		case <-timer.C:
		case <-n.leaderChanged():
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			if nothingDone {
				return nil, fmt.Errorf("%w: %w", ErrNotController, err)
			}
			return nil, timeoutOf(ctx)
		case <-n.stopping:
			timer.Stop()
			if failure := n.Err(); failure != nil {
				return nil, fmt.Errorf("%w: %w", ErrClosed, failure)
			}
			return nil, ErrClosed
		}
		retry = min(2*retry, routeRetryMax)
	}
}

// once tries the controller that is believed to be active. Errors other than ErrNotController, errBusy, errUnsent, ErrInvalid and
// ErrWrongCluster leave the outcome unknown.
func (r router) once(ctx context.Context, req kmsg.Request) (kmsg.Response, int64, error) {
	n := r.n
	leader := n.leader()
	if leader == n.opts.NodeID || n.ctl != nil && n.ctl.active() {
		return n.local(ctx, req)
	}
	addr, ok := n.book.addr(leader)
	if !ok {
		if member, _ := n.isMember(); n.core != nil && member {
			return nil, 0, ErrNotController // raft will tell
		}
		if leader, addr = n.book.any(n.opts.NodeID); addr == "" {
			return nil, 0, ErrNotController
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go n.abandon(ctx, cancel, leader, addr)
	deadline, _ := ctx.Deadline()
	m := envelope{
		clusterID: n.opts.ClusterID, node: n.opts.NodeID, asker: askerOf(ctx), timeoutMs: max(1, time.Until(deadline).Milliseconds()),
		key: req.Key(), version: wireVersion(req),
	}
	version := req.GetVersion()
	req.SetVersion(m.version)
	m.body = req.AppendTo(nil)
	req.SetVersion(version)
	b, err := n.client.call(ctx, addr, keyEnvelope, m.append(nil))
	if err != nil {
		n.forgetLeader(leader)
		if errors.Is(err, errUnsent) {
			return nil, 0, err
		}
		return nil, 0, fmt.Errorf("%w: node %d: %w", ErrTimeout, leader, err)
	}
	n.book.silent(addr, false)
	var out reply
	if err := out.read(b); err != nil {
		return nil, 0, fmt.Errorf("%w: answer of node %d: %w", ErrTimeout, leader, err)
	}
	switch out.code {
	case CodeNone:
	case CodeNotController, CodeClosed:
		n.hintLeader(out.leader)
		return nil, 0, fmt.Errorf("%w: node %d", ErrNotController, leader)
	case CodeWrongCluster:
		return nil, 0, &CodeError{Code: out.code, Message: out.message}
	default:
		return nil, 0, &CodeError{Code: out.code, Message: out.message}
	}
	resp := req.ResponseKind()
	resp.SetVersion(m.version)
	if err := resp.ReadFrom(out.body); err != nil {
		return nil, 0, fmt.Errorf("%w: answer of node %d: %w", ErrTimeout, leader, err)
	}
	resp.SetVersion(version)
	n.hintLeader(leader)
	return resp, out.offset, nil
}

// wireVersion is the version in which a request travels between nodes: what the caller says, or the newest. A request made in memory may use
// fields that its own version cannot carry.
func wireVersion(req kmsg.Request) int16 {
	if v := req.GetVersion(); v > 0 {
		return v
	}
	return req.MaxVersion()
}

// local serves a request by the controller of this node.
func (n *Node) local(ctx context.Context, req kmsg.Request) (kmsg.Response, int64, error) {
	if n.ctl == nil {
		return nil, 0, ErrNotController
	}
	var resp kmsg.Response
	var err error
	switch r := req.(type) {
	case *kmsg.DescribeQuorumRequest:
		resp, err = n.describeQuorum(ctx, r)
	case *kmsg.AddRaftVoterRequest:
		resp, err = n.addVoter(ctx, r)
	case *kmsg.RemoveRaftVoterRequest:
		resp, err = n.removeVoter(ctx, r)
	default:
		return n.ctl.do(ctx, req)
	}
	return resp, n.Image().Offset(), err
}

// abandonAfter is how long a node that was asked may still answer when another one is known to lead. One that is there says at once that it does not lead.
const abandonAfter = 300 * time.Millisecond

// abandon ends a call to a node some time after another one is known to lead, or at once if it is known to be silent: the one that was asked may be cut off, and
// its answer never come.
func (n *Node) abandon(ctx context.Context, cancel context.CancelFunc, asked int32, addr string) {
	for {
		moved := n.leaders.heard()
		if now := n.leader(); now != noNode && now != asked {
			break
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
	if n.book.isSilent(addr) {
		cancel()
		return
	}
	timer := time.NewTimer(abandonAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
		cancel()
	case <-ctx.Done():
	}
}

// leader is the node that is believed to be the active controller, noNode if unknown.
func (n *Node) leader() int32 {
	if n.core != nil {
		// Raft does not tell one that has been removed when the leader changes.
		if member, known := n.isMember(); member || !known {
			if st := n.core.status.Load(); st.leader != 0 || member {
				return nodeID(st.leader)
			}
		}
	}
	return n.hint.Load()
}

// hintLeader is told by others who the leader is. Members of the quorum know from raft.
func (n *Node) hintLeader(id int32) {
	if _, ok := n.book.addr(id); ok && n.hint.Swap(id) != id {
		n.leaders.ring()
	}
}

// forgetLeader is told that a call to a node has failed.
func (n *Node) forgetLeader(id int32) { n.hint.CompareAndSwap(id, noNode) }

// leaderChanged returns a channel that is closed when the controller of this node becomes active, or another leader is known; nil (never) without one.
func (n *Node) leaderChanged() <-chan struct{} {
	if n.ctl == nil {
		return nil
	}
	return n.ctl.activated()
}
