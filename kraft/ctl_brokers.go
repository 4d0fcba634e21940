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
	if old := t.img().Broker(r.BrokerID); old != nil && old.Incarnation == r.IncarnationID {
		resp.BrokerEpoch = old.Epoch // the answer to the first request was lost
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
	resp.BrokerEpoch = reg.Epoch
	t.c.logger.Info("kraft: broker registers", "broker", r.BrokerID, "epoch", reg.Epoch)
	return resp
}

func (t *tx) heartbeat(r *kmsg.BrokerHeartbeatRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
	resp.IsFenced = true
	b := t.img().Broker(r.BrokerID)
	switch {
	case b == nil:
		resp.ErrorCode = kafkaBrokerNotRegistered
		return resp
	case b.Epoch != r.BrokerEpoch:
		resp.ErrorCode = kafkaStaleBrokerEpoch
		return resp
	}
	t.c.mu.sessions[r.BrokerID] = t.now
	// Everything that is committed has reached the broker's registration at least when its image shows the registration.
	resp.IsCaughtUp = r.CurrentMetadataOffset >= 0
	resp.ShouldShutdown = r.WantShutdown
	fence := r.WantFence || r.WantShutdown
	switch {
	case fence && !b.Fenced:
		t.add(&record.BrokerFenced{ID: b.ID, Epoch: b.Epoch})
		t.c.logger.Info("kraft: broker fenced at its own wish", "broker", b.ID, "epoch", b.Epoch)
	case !fence && b.Fenced:
		t.add(&record.BrokerUnfenced{ID: b.ID, Epoch: b.Epoch})
		t.c.logger.Info("kraft: broker unfenced", "broker", b.ID, "epoch", b.Epoch)
	}
	resp.IsFenced = fence
	return resp
}

func (t *tx) unregisterBroker(r *kmsg.UnregisterBrokerRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	b := t.img().Broker(r.BrokerID)
	if b == nil {
		resp.ErrorCode = kafkaBrokerNotRegistered
		text := fmt.Sprintf("Broker %d is not registered.", r.BrokerID)
		resp.ErrorMessage = &text
		return resp
	}
	t.add(&record.BrokerUnregistered{ID: b.ID, Epoch: b.Epoch})
	delete(t.c.mu.sessions, b.ID)
	return resp
}

func (t *tx) allocateProducerIDs(r *kmsg.AllocateProducerIDsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	b := t.img().Broker(r.BrokerID)
	switch {
	case b == nil:
		resp.ErrorCode = kafkaBrokerNotRegistered
		return resp
	case b.Epoch != r.BrokerEpoch:
		resp.ErrorCode = kafkaStaleBrokerEpoch
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
		case b.Fenced:
		case !ok:
			t.c.mu.sessions[b.ID] = t.now
		case t.now.Sub(last) > t.c.opts.BrokerSession:
			silent = append(silent, b)
		}
		return true
	})
	for _, b := range silent {
		t.add(&record.BrokerFenced{ID: b.ID, Epoch: b.Epoch})
		t.c.logger.Warn("kraft: broker fenced: no heartbeat", "broker", b.ID, "epoch", b.Epoch, "timeout", t.c.opts.BrokerSession)
	}
}
