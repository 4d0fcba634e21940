package kraft

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// producerIDBlock is how many producer ids a broker gets at a time, as in Kafka.
const producerIDBlock = 1000

// maxEndpoints bounds the listeners of one registration.
const maxEndpoints = 64

// registerBroker begins a new epoch of a broker. Unlike Kafka's controller, ours does not refuse a new incarnation while the session of the old one lasts
// (DUPLICATE_BROKER_REGISTRATION): a broker that was killed may come back at once. If the old one does live, its next heartbeat tells it that
// it has been replaced, and its epoch fences its commits from now on.
func (t *tx) registerBroker(r *kmsg.BrokerRegistrationRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.BrokerRegistrationResponse)
	resp.BrokerEpoch = -1
	switch {
	case r.ClusterID != t.c.opts.ClusterID:
		resp.ErrorCode = kafkaInconsistentClusterID
		return resp
	case r.BrokerID < 0 || len(r.Listeners) == 0 || len(r.Listeners) > maxEndpoints:
		resp.ErrorCode = kafkaInvalidRegistration
		return resp
	}
	old := t.img().Broker(r.BrokerID)
	if old != nil && old.Incarnation == r.IncarnationID {
		resp.BrokerEpoch = old.Epoch // the answer to the first request was lost
		return resp
	}
	if old != nil && old.Rescue && t.inSession(old.ID) {
		t.c.logger.Warn("kraft: broker refused: its write-ahead log is being rescued", "broker", old.ID, "rescue_epoch", old.Epoch)
		resp.ErrorCode = kafkaDuplicateRegistration
		return resp
	}
	reg := &record.BrokerRegistered{ID: r.BrokerID, Epoch: t.img().NextBrokerEpoch(), Incarnation: r.IncarnationID}
	if r.Rack != nil {
		reg.Rack = *r.Rack
	}
	for _, l := range r.Listeners {
		reg.Endpoints = append(reg.Endpoints, BrokerEndpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
	}
	t.add(reg)
	t.c.mu.sessions[reg.ID] = t.now
	delete(t.c.mu.leaving, reg.ID)
	resp.BrokerEpoch = reg.Epoch
	t.c.logger.Info("kraft: broker registers", "broker", r.BrokerID, "epoch", reg.Epoch)
	return resp
}

// registered returns the broker that calls, or the error for one that is not there or has an older registration.
func (t *tx) registered(id int32, epoch int64) (*Broker, int16) {
	switch b := t.img().Broker(id); {
	case b == nil:
		return nil, kafkaBrokerNotRegistered
	case b.Epoch != epoch:
		return nil, kafkaStaleBrokerEpoch
	default:
		return b, 0
	}
}

func (t *tx) heartbeat(r *kmsg.BrokerHeartbeatRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
	resp.IsFenced = true
	b, refusal := t.registered(r.BrokerID, r.BrokerEpoch)
	if refusal != 0 {
		resp.ErrorCode = refusal
		return resp
	}
	if b.Failure != "" { // a heartbeat that was on its way when the broker told that it ends itself
		return resp
	}
	t.c.mu.sessions[r.BrokerID] = t.now
	// Everything that is committed has reached the broker's registration at least when its image shows the registration.
	resp.IsCaughtUp = r.CurrentMetadataOffset >= 0
	fence := r.WantFence
	switch {
	case fence && !b.Fenced:
		t.add(&record.BrokerFenced{ID: b.ID, Epoch: b.Epoch})
		t.c.logger.Info("kraft: broker fenced at its own wish", "broker", b.ID, "epoch", b.Epoch)
	case !fence && b.Fenced:
		t.add(&record.BrokerUnfenced{ID: b.ID, Epoch: b.Epoch})
		t.c.logger.Info("kraft: broker unfenced", "broker", b.ID, "epoch", b.Epoch)
	}
	resp.IsFenced = fence
	if r.WantShutdown {
		t.c.mu.leaving[b.ID] = true
		resp.ShouldShutdown = fence || t.drain(b.ID)
	}
	return resp
}

// maxCause bounds the text of a BrokerFailedRequest.
const maxCause = 1000

// brokerFailed fences a broker that ends itself. Nothing is heard of it any more: its partitions of which nothing is in its log move with the next housekeeping,
// and its log may be rescued at once.
func (t *tx) brokerFailed(r *BrokerFailedRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	if r.Cause == "" || len(r.Cause) > maxCause {
		return refuse(CodeInvalid, "a cause of %d bytes, want 1 to %d", len(r.Cause), maxCause)
	}
	b := t.img().Broker(r.Node)
	if b.Failure != "" {
		return nil // again
	}
	t.add(&record.BrokerFailed{ID: b.ID, Epoch: b.Epoch, Cause: r.Cause})
	t.c.logger.Warn("kraft: broker fenced: it has told that it ends itself", "broker", b.ID, "epoch", b.Epoch, "cause", r.Cause,
		"partitions", t.img().PartitionsLed(b.ID), "log", b.LogName())
	return nil
}

func (t *tx) unregisterBroker(r *kmsg.UnregisterBrokerRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	b := t.img().Broker(r.BrokerID)
	if b == nil {
		resp.ErrorCode = kafkaBrokerNotRegistered
		text := fmt.Sprintf("Broker ID %d is not currently registered", r.BrokerID)
		resp.ErrorMessage = &text
		return resp
	}
	t.endMovesTo(b.ID)
	t.add(&record.BrokerUnregistered{ID: b.ID, Epoch: b.Epoch})
	delete(t.c.mu.sessions, b.ID)
	return resp
}

func (t *tx) allocateProducerIDs(r *kmsg.AllocateProducerIDsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	b, refusal := t.registered(r.BrokerID, r.BrokerEpoch)
	if refusal != 0 {
		resp.ErrorCode = refusal
		return resp
	}
	first := t.img().NextProducerID()
	if first > 1<<63-1-producerIDBlock {
		resp.ErrorCode = kafkaUnknownServerError
		return resp
	}
	t.add(&record.ProducerIDs{Broker: b.ID, BrokerEpoch: b.Epoch, Next: first + producerIDBlock})
	resp.ProducerIDStart, resp.ProducerIDLen = first, producerIDBlock
	return resp
}

// fenceSilent fences brokers that have not been heard of for too long. A broker's time begins when this controller first looks at it.
func (t *tx) fenceSilent() {
	var silent []*Broker
	t.img().Brokers(func(b *Broker) bool {
		last, ok := t.c.mu.sessions[b.ID]
		switch {
		case !ok:
			t.c.mu.sessions[b.ID] = t.now
		case b.Fenced:
		case t.now.Sub(last) > t.c.opts.BrokerSession:
			silent = append(silent, b)
		}
		return true
	})
	for _, b := range silent {
		t.add(&record.BrokerFenced{ID: b.ID, Epoch: b.Epoch})
		t.c.logger.Warn("kraft: broker fenced: no heartbeat", "broker", b.ID, "epoch", b.Epoch, "timeout", t.c.opts.BrokerSession,
			"partitions", t.img().PartitionsLed(b.ID), "log", b.LogName())
	}
}

// inSession says that a broker was heard of within the session's time, and not that it ends itself.
func (t *tx) inSession(id int32) bool {
	if b := t.img().Broker(id); b != nil && b.Failure != "" {
		return false
	}
	last, ok := t.c.mu.sessions[id]
	return ok && t.now.Sub(last) <= t.c.opts.BrokerSession
}
