package kraft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerSide is what a node with the broker role keeps about its registration.
type brokerSide struct {
	mu        sync.Mutex
	endpoints []BrokerEndpoint
	epoch     int64 // -1 before RegisterBroker
	wantFence bool
	leaving   bool          // its partitions are to be led by others
	drained   atomic.Bool   // the controller has answered that none is left, or nobody to take them
	beat      chan struct{} // asks for a heartbeat now; capacity 1
	sending   chan struct{} // holds an item while a heartbeat is under way; capacity 1
	confirmed atomic.Int64  // when the last confirmed heartbeat was sent, by Options.Elapsed; see lease.go

	onConfirmed atomic.Pointer[func()]
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
	sent := n.opts.Elapsed()
	resp, err := n.Controller().Do(ctx, req)
	if err != nil {
		return -1, fmt.Errorf("kraft: register broker %d: %w", n.opts.NodeID, err)
	}
	r := resp.(*kmsg.BrokerRegistrationResponse)
	switch r.ErrorCode {
	case 0:
	case kafkaDuplicateRegistration:
		return -1, fmt.Errorf("%w: broker %d: its write-ahead log is being rescued by another process (ringmq wal rescue); start it again when that has ended", ErrConflict, n.opts.NodeID)
	default:
		return -1, fmt.Errorf("kraft: register broker %d: the controller answers with Kafka error code %d", n.opts.NodeID, r.ErrorCode)
	}
	b.mu.Lock()
	b.epoch, b.wantFence = r.BrokerEpoch, n.opts.StartFenced
	b.mu.Unlock()
	n.confirm(sent)
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
		// A controller whose host is gone answers nothing; there has to be time for another.
		ctx, cancel := context.WithTimeout(n.ctx, max(n.opts.BrokerHeartbeat, n.opts.BrokerSession/3))
		err := n.heartbeat(ctx, false)
		cancel()
		if err != nil && n.ctx.Err() == nil {
			if isFinal(err) {
				n.fail(err)
				return
			}
			n.logger.Warn("kraft: heartbeat failed", "cause", err)
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
	shutdown = shutdown || n.broker.leaving
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
	sent := n.opts.Elapsed()
	resp, err := n.Controller().Do(ctx, req)
	if err != nil {
		return err
	}
	switch r := resp.(*kmsg.BrokerHeartbeatResponse); r.ErrorCode {
	case 0:
		n.confirm(sent)
		n.broker.drained.Store(r.ShouldShutdown)
		return nil
	case kafkaStaleBrokerEpoch:
		n.broker.confirmed.Store(int64(never))
		return finalError{fmt.Errorf("%w: another process has registered as broker %d after this one", ErrFenced, n.opts.NodeID)}
	case kafkaBrokerNotRegistered:
		n.broker.confirmed.Store(int64(never))
		return finalError{fmt.Errorf("%w: broker %d has been unregistered", ErrFenced, n.opts.NodeID)}
	default:
		return fmt.Errorf("kraft: heartbeat of broker %d: Kafka error code %d", n.opts.NodeID, r.ErrorCode)
	}
}

// drainPause is how often the controller is asked whether a broker that leaves may stop.
const drainPause = 100 * time.Millisecond

// Drain has the controller move the partitions that this broker leads to others, and returns when none is left or there is nobody to take them. The broker has to
// serve on, because it hands them over. It gets no new partitions until it registers again.
func (n *Node) Drain(ctx context.Context) error {
	n.broker.mu.Lock()
	n.broker.leaving = true
	n.broker.mu.Unlock()
	for {
		if err := n.heartbeat(ctx, false); err != nil {
			return fmt.Errorf("kraft: drain broker %d: %w", n.opts.NodeID, err)
		}
		if n.broker.drained.Load() {
			return nil
		}
		soon, cancel := context.WithTimeout(ctx, drainPause)
		err := n.WaitImage(soon, func(img *Image) bool { return img.PartitionsLed(n.opts.NodeID) == 0 })
		cancel()
		if err != nil && (ctx.Err() != nil || errors.Is(err, ErrClosed)) {
			return fmt.Errorf("kraft: drain broker %d: %d partitions are left: %w", n.opts.NodeID, n.Image().PartitionsLed(n.opts.NodeID), err)
		}
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
		n.logger.Warn("kraft: the controller was not told that this broker stops", "cause", err)
	}
}
