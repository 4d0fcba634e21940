package engine

import (
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// The broker acknowledges only while the controller takes it for alive (kraft: lease.go says how it knows). When a group commit finds that it does not know,
// because the process was stopped, the machine slept or the network is cut, what is durable is not told to anybody: high watermarks stay, produces and offset
// commits wait, nothing new is uploaded. The next confirmed heartbeat lets all of it go, without an error to anybody. If instead the heartbeat is refused, because
// the broker's write-ahead log was rescued elsewhere or another process has its place, the process ends with that cause, and clients ask the cluster anew.
//
// Reads go on below the high watermark: what lies there is durable, and no later leader can have anything else at its offsets. That there is nothing beyond
// is for the leader to say, and somebody else may be it by now: a fetch that finds nothing, and a question for the latest offset, are answered
// NOT_LEADER_OR_FOLLOWER, upon which the client looks elsewhere.

// lease is what the broker knows of being alive beside the metadata node.
type lease struct {
	held  atomic.Bool  // acknowledgements are held back
	times atomic.Int64 // how often that began
	since atomic.Int64 // Unix nanoseconds of the last beginning, for the log
}

// holdAcks is wal.Options.Hold: once per group commit.
func (b *Broker) holdAcks() bool {
	confirmed := b.node.Confirmed()
	if confirmed == !b.lease.held.Load() {
		return !confirmed
	}
	if !confirmed {
		b.lease.times.Add(1)
		b.lease.since.Store(time.Now().UnixNano())
		b.lease.held.Store(true)
		b.log.Warn("acknowledgements are held back: the controller has not confirmed for too long that this broker is alive", "broker", b.cfg.NodeID,
			"epoch", b.brokerEpoch, "session_timeout", b.cfg.Quorum.BrokerSessionTimeout)
		return true
	}
	b.lease.held.Store(false)
	b.log.Info("acknowledgements go on: the controller has confirmed that this broker is alive", "broker", b.cfg.NodeID, "epoch", b.brokerEpoch,
		"held_for", time.Duration(time.Now().UnixNano()-b.lease.since.Load()).Round(time.Millisecond))
	return false
}

// onConfirmed is told of confirmed heartbeats.
func (b *Broker) onConfirmed() {
	if w := b.walOpen.Load(); w != nil && b.lease.held.Load() {
		w.Release()
	}
}

// disclaim has a fetch that found nothing say that this broker may not be the leader any more, when it may not.
func (op *fetchOp) disclaim() {
	if op.bytes > 0 || op.broker.node.Confirmed() {
		return
	}
	for i := range op.parts {
		if f := &op.parts[i]; f.code == kproto.None && f.diverged.epoch < 0 && f.offset >= f.position.HighWatermark {
			f.code = kproto.NotLeaderOrFollower
			f.position.HighWatermark, f.position.LastStable, f.position.LogStart = -1, -1, -1
		}
	}
}
