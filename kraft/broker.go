package kraft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerSide is what a node with the broker role keeps about its registration.
type brokerSide struct {
	mu        sync.Mutex
	endpoints []BrokerEndpoint
	epoch     int64 // -1 before RegisterBroker
	wantFence bool
	beat      chan struct{} // asks for a heartbeat now; capacity 1
	sending   chan struct{} // holds an item while a heartbeat is under way; capacity 1
}

// SetEndpoints replaces Options.Endpoints; to be called before RegisterBroker (when listeners bind to free ports).
func (n *Node) SetEndpoints(e []BrokerEndpoint) {
	n.broker.mu.Lock()
	n.broker.endpoints = slices.Clone(e)
	n.broker.mu.Unlock()
}

// RegisterBroker registers this node as a broker, which raises the leader epoch of every partition that it leads, and starts its
// heartbeats. Unless Options.StartFenced, it returns when the broker is unfenced. The broker epoch is the node epoch of the WAL.
// It is called once; called again, it goes on waiting.
func (n *Node) RegisterBroker(ctx context.Context) (brokerEpoch int64, err error) {
	b := &n.broker
	if !n.opts.Roles.Broker {
		return -1, fmt.Errorf("%w: node %d has not the broker role", ErrInvalid, n.opts.NodeID)
	}
	b.mu.Lock()
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.BrokerID, req.ClusterID, req.IncarnationID = n.opts.NodeID, n.opts.ClusterID, n.opts.Incarnation
	for _, e := range b.endpoints {
		req.Listeners = append(req.Listeners, kmsg.BrokerRegistrationRequestListener{Name: e.Name, Host: e.Host, Port: e.Port, SecurityProtocol: e.SecurityProtocol})
	}
	b.mu.Unlock()
	if n.opts.Rack != "" {
		req.Rack = &n.opts.Rack
	}
	resp, err := n.Controller().Do(ctx, req)
	if err != nil {
		return -1, fmt.Errorf("kraft: register broker %d: %w", n.opts.NodeID, err)
	}
	r := resp.(*kmsg.BrokerRegistrationResponse)
	if r.ErrorCode != 0 {
		return -1, fmt.Errorf("kraft: register broker %d: the controller answers with Kafka error code %d", n.opts.NodeID, r.ErrorCode)
	}
	b.mu.Lock()
	b.epoch, b.wantFence = r.BrokerEpoch, n.opts.StartFenced
	b.mu.Unlock()
	n.beat()
	if n.opts.StartFenced {
		return r.BrokerEpoch, nil
	}
	return r.BrokerEpoch, n.Unfence(ctx)
}

// Unfence lets the broker lead new partitions, and returns when its image shows that; needed with Options.StartFenced only.
func (n *Node) Unfence(ctx context.Context) error {
	b := &n.broker
	b.mu.Lock()
	epoch := b.epoch
	b.wantFence = false
	b.mu.Unlock()
	if epoch < 0 {
		return ErrNotRegistered
	}
	n.beat()
	return n.applier.wait(ctx, n.stopping, func(img *Image) bool {
		me := img.Broker(n.opts.NodeID)
		return me != nil && me.Epoch == epoch && !me.Fenced
	})
}

// BrokerEpoch is the result of RegisterBroker, -1 before.
func (n *Node) BrokerEpoch() int64 {
	n.broker.mu.Lock()
	defer n.broker.mu.Unlock()
	return n.broker.epoch
}

// beat has a heartbeat sent at once.
func (n *Node) beat() {
	select {
	case n.broker.beat <- struct{}{}:
	default:
	}
}

// heartbeats tells the controller regularly that this broker lives, from its registration on.
func (n *Node) heartbeats() {
	ticker := time.NewTicker(n.opts.BrokerHeartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-n.broker.beat:
		case <-n.stopping:
			return
		}
		if n.BrokerEpoch() < 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(n.ctx, n.opts.BrokerSession)
		err := n.heartbeat(ctx, false)
		cancel()
		if err != nil && n.ctx.Err() == nil {
			if isFinal(err) {
				n.fail(err)
				return
			}
			n.logger.Warn("kraft: heartbeat failed", "error", err)
		}
	}
}

// heartbeat sends one heartbeat; one at a time, so that an earlier one cannot take back what the last one says.
func (n *Node) heartbeat(ctx context.Context, shutdown bool) error {
	select {
	case n.broker.sending <- struct{}{}:
		defer func() { <-n.broker.sending }()
	case <-ctx.Done():
		return timeoutOf(ctx)
	}
	n.broker.mu.Lock()
	n.broker.wantFence = n.broker.wantFence || shutdown
	epoch, fence := n.broker.epoch, n.broker.wantFence
	n.broker.mu.Unlock()
	if epoch < 0 {
		return ErrNotRegistered
	}
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.BrokerID, req.BrokerEpoch, req.WantFence, req.WantShutdown = n.opts.NodeID, epoch, fence, shutdown
	img := n.Image()
	req.CurrentMetadataOffset = img.Offset()
	if me := img.Broker(n.opts.NodeID); me == nil || me.Epoch != epoch {
		req.CurrentMetadataOffset = -1
	}
	resp, err := n.Controller().Do(ctx, req)
	if err != nil {
		return err
	}
	switch r := resp.(*kmsg.BrokerHeartbeatResponse); r.ErrorCode {
	case 0:
		return nil
	case kafkaStaleBrokerEpoch:
		return finalError{fmt.Errorf("%w: another process has registered as broker %d after this one", ErrFenced, n.opts.NodeID)}
	case kafkaBrokerNotRegistered:
		return finalError{fmt.Errorf("%w: broker %d has been unregistered", ErrFenced, n.opts.NodeID)}
	default:
		return fmt.Errorf("kraft: heartbeat of broker %d: Kafka error code %d", n.opts.NodeID, r.ErrorCode)
	}
}

// leave tells the controller that this broker goes, so that nobody waits for its session to end.
func (n *Node) leave(ctx context.Context) {
	if n.BrokerEpoch() < 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.BrokerHeartbeat)
	defer cancel()
	if err := n.heartbeat(ctx, true); err != nil && !errors.Is(err, ErrNotRegistered) {
		n.logger.Warn("kraft: the controller was not told that this broker stops", "error", err)
	}
}
