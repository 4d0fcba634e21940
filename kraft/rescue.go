package kraft

import (
	"context"
	"fmt"
	"strings"
)

// ReportWAL says where the records are that this broker acknowledges and has not uploaded: in the write-ahead log of that uuid. It has to be said before the
// first record is appended. The zero uuid says that there are none: everything is uploaded, and nothing is appended any more. Without a need nothing is
// written.
func (n *Node) ReportWAL(ctx context.Context, log [16]byte) error {
	epoch, err := n.registered()
	if err != nil {
		return err
	}
	if b := n.Image().Broker(n.opts.NodeID); b != nil && b.Epoch == epoch && b.WAL == log {
		return nil
	}
	_, err = n.stream(ctx, &BrokerWALRequest{Node: n.opts.NodeID, NodeEpoch: epoch, WAL: log})
	return err
}

// ReportFailure tells the controller that this broker ends itself, and why: it is fenced at once, not only when its session ends, and whoever looks for the
// partitions that are offline sees the cause. Nothing is to be acknowledged any more.
func (n *Node) ReportFailure(ctx context.Context, cause error) error {
	epoch, err := n.registered()
	if err != nil {
		return err
	}
	n.broker.mu.Lock()
	n.broker.wantFence = true
	n.broker.mu.Unlock()
	text := strings.ToValidUTF8(strings.ReplaceAll(cause.Error(), "\n", "; "), "?")
	if len(text) > maxCause {
		text = strings.ToValidUTF8(text[:maxCause], "")
	}
	_, err = n.stream(ctx, &BrokerFailedRequest{Node: n.opts.NodeID, NodeEpoch: epoch, Cause: text})
	return err
}

// BeginRescue registers this node in the place of the dead broker of its id, whose write-ahead log it has, and begins its heartbeats; it stays fenced. The
// result is the broker epoch. Instead of RegisterBroker, with Options.StandIn. Errors: ErrConflict while the broker counts as alive (not with force) or another
// rescue is at work, ErrInvalid when it is not the log that the broker used last, ErrNotFound when there is no such broker.
func (n *Node) BeginRescue(ctx context.Context, log [16]byte, force bool) (epoch int64, err error) {
	if !n.opts.StandIn {
		return -1, fmt.Errorf("%w: node %d does not stand in for another", ErrInvalid, n.opts.NodeID)
	}
	sent := n.opts.Elapsed()
	r, err := n.stream(ctx, &BeginRescueRequest{Node: n.opts.NodeID, Incarnation: n.opts.Incarnation, WAL: log, Force: force})
	if err != nil {
		return -1, err
	}
	b := &n.broker
	b.mu.Lock()
	b.epoch, b.wantFence = r.Epoch, true
	b.mu.Unlock()
	n.confirm(sent)
	n.beat()
	return r.Epoch, nil
}

// Rescued is what a rescue did to the metadata.
type Rescued struct {
	Streams    int // that were open at the dead broker, and are closed
	Partitions int // that it led, and live brokers lead now
}

// FinishRescue says that everything in the log is in objects: the dead broker's streams are closed, and its partitions go to live brokers. step is told after
// each of a bounded number of them what was done so far. It may be repeated.
func (n *Node) FinishRescue(ctx context.Context, log [16]byte, step func(Rescued)) (done Rescued, err error) {
	epoch, err := n.registered()
	if err != nil {
		return done, err
	}
	for {
		r, err := n.stream(ctx, &FinishRescueRequest{Node: n.opts.NodeID, NodeEpoch: epoch, WAL: log})
		if err != nil {
			return done, err
		}
		done.Streams += int(r.Closed)
		done.Partitions += int(r.Moved)
		if r.Left == 0 {
			return done, nil
		}
		step(done)
	}
}
