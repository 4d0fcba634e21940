package kraft

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// A broker dies. What it has acknowledged and not uploaded is in its write-ahead log, and as long as a stream is open there, nobody else may open it: its
// partition is offline until the broker comes back, or until the log is rescued (engine.Rescue). Partitions of which nothing can be in the log, because
// their stream is closed or because the broker has told that it stopped with everything uploaded, go to live brokers at once.

// settleLimit bounds the streams and partitions that one transaction changes.
const settleLimit = 5000

func (t *tx) brokerWAL(r *BrokerWALRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	if b := t.img().Broker(r.Node); b.WAL != r.WAL {
		t.add(&record.BrokerWAL{ID: r.Node, Epoch: r.NodeEpoch, WAL: r.WAL})
	}
	return nil
}

// beginRescue registers a rescue. From then on the broker's earlier process is fenced, should it still be there somewhere.
func (t *tx) beginRescue(r *BeginRescueRequest) kmsg.Response {
	resp := &StreamResponse{key: r.Key()}
	fail := func(code Code, format string, args ...any) kmsg.Response {
		return streamResult(r.Key(), refuse(code, format, args...))
	}
	b := t.img().Broker(r.Node)
	switch {
	case r.WAL == [16]byte{}:
		return fail(CodeInvalid, "no write-ahead log is named")
	case b == nil:
		return fail(CodeNotFound, "broker %d is not registered", r.Node)
	case b.Incarnation == r.Incarnation && b.Rescue:
		resp.Epoch = b.Epoch // the answer to the first request was lost
		return resp
	case r.WAL != b.WAL && r.WAL != b.RescuedWAL && b.WAL == [16]byte{}:
		return fail(CodeInvalid, "nothing of broker %d is in any write-ahead log: there is nothing to rescue", r.Node)
	case r.WAL != b.WAL && r.WAL != b.RescuedWAL:
		return fail(CodeInvalid, "broker %d has used the write-ahead log %x since: this is %x", r.Node, b.WAL, r.WAL)
	}
	over := b.RescuedEpoch == b.Epoch && !b.Rescue // the last sign of life was of a rescue that is done
	if last, ok := t.c.mu.sessions[r.Node]; ok && t.inSession(r.Node) && !r.Force && !over {
		what := "broker %d is alive: it was heard of %v ago, and counts as dead after %v without a sign of life"
		if b.Rescue {
			what = "broker %d is being rescued by another process: that was heard of %v ago, and counts as dead after %v without a sign of life"
		}
		return fail(CodeConflict, what, r.Node, t.now.Sub(last).Round(time.Millisecond), t.c.opts.BrokerSession)
	}
	reg := &record.BrokerRegistered{ID: r.Node, Epoch: t.img().NextBrokerEpoch(), Incarnation: r.Incarnation, Rack: b.Rack, Endpoints: b.Endpoints}
	t.add(reg)
	t.add(&record.BrokerRescue{ID: r.Node, Epoch: reg.Epoch, WAL: r.WAL})
	t.c.mu.sessions[r.Node] = t.now
	t.c.logger.Warn("kraft: the write-ahead log of a broker is being rescued", "broker", r.Node, "epoch", reg.Epoch, "log", fmt.Sprintf("%x", r.WAL), "forced", r.Force)
	resp.Epoch = reg.Epoch
	return resp
}

func (t *tx) finishRescue(r *FinishRescueRequest) kmsg.Response {
	resp := &StreamResponse{key: r.Key()}
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return streamResult(r.Key(), err)
	}
	b := t.img().Broker(r.Node)
	switch {
	case !b.Rescue && b.RescuedWAL == r.WAL && b.RescuedEpoch == r.NodeEpoch:
		return resp // again
	case !b.Rescue:
		return streamResult(r.Key(), refuse(CodeInvalid, "epoch %d of broker %d is not a rescue", r.NodeEpoch, r.Node))
	}
	closed, moved, left := t.settle(b)
	if left == 0 {
		t.add(&record.BrokerRescue{ID: r.Node, Epoch: r.NodeEpoch, WAL: r.WAL, Done: true})
		t.c.logger.Info("kraft: the write-ahead log of a broker is rescued", "broker", r.Node, "epoch", r.NodeEpoch, "log", fmt.Sprintf("%x", r.WAL))
	}
	resp.Closed, resp.Moved, resp.Left = int64(closed), int64(moved), int64(left)
	return resp
}

// settle closes streams of a broker of which nothing is in a log, at most settleLimit, and gives partitions that it leads and whose stream is closed to live
// brokers, at most as many. left is what remains to be closed.
func (t *tx) settle(b *Broker) (closed, moved, left int) {
	var open []Stream
	t.img().Streams(func(s Stream) bool {
		if s.Node == b.ID && !s.Closed {
			if len(open) < settleLimit {
				open = append(open, s)
			} else {
				left++
			}
		}
		return true
	})
	for _, s := range open {
		t.add(&record.StreamClosed{ID: s.ID, Epoch: s.Epoch})
	}
	return len(open), t.rehome(b.ID), left
}

// rehome gives partitions of a dead broker whose stream is closed, at most settleLimit, to live ones, and returns how many.
func (t *tx) rehome(dead int32) int {
	if t.img().PartitionsLed(dead) == 0 {
		return 0
	}
	var idle []PartitionRef
	t.img().Topics(func(topic *Topic) bool {
		for i := range topic.Partitions {
			p := &topic.Partitions[i]
			if s, ok := t.img().Stream(p.StreamID); p.Leader == dead && ok && s.Closed && len(idle) < settleLimit {
				idle = append(idle, PartitionRef{Topic: topic.ID, Partition: int32(i)})
			}
		}
		return len(idle) < settleLimit
	})
	if len(idle) == 0 {
		return 0
	}
	leaders, e := t.spread(len(idle))
	if e.code != 0 {
		return 0 // nobody is there to take them: when somebody comes, see settleDead
	}
	for i, ref := range idle {
		t.moveLeader(ref.Topic, ref.Partition, leaders[i])
	}
	return len(idle)
}

// settleDead looks after brokers that are fenced and have not been heard of for the session's time, when anything about them has changed.
func (t *tx) settleDead() {
	var dead []*Broker
	state := ""
	live := false
	t.img().Brokers(func(b *Broker) bool {
		if b.Fenced && !t.inSession(b.ID) && !b.Rescue {
			dead = append(dead, b)
			state += fmt.Sprintf("%d@%d leads %d; ", b.ID, b.Epoch, t.img().PartitionsLed(b.ID))
		} else if !b.Fenced {
			live = true
		}
		return true
	})
	if len(dead) == 0 || !live || state == t.c.mu.settled {
		return // to settle is to look at every partition
	}
	done := true
	for _, b := range dead {
		closed, moved, left := 0, 0, 0
		if b.WAL == [16]byte{} { // it stopped with everything uploaded
			closed, moved, left = t.settle(b)
		} else {
			moved = t.rehome(b.ID)
		}
		done = done && left == 0 && moved < settleLimit
		if closed+moved > 0 {
			t.c.logger.Info("kraft: partitions of a dead broker, of which nothing is in its write-ahead log, go to live brokers", "broker", b.ID, "epoch", b.Epoch,
				"moved", moved, "streams_closed", closed)
		}
		if left := t.img().PartitionsLed(b.ID); left > 0 {
			t.c.logger.Warn("kraft: partitions are offline: their tail is on a dead broker's write-ahead log", "broker", b.ID, "epoch", b.Epoch, "partitions", left,
				"log", b.LogName(), "remedy", "start the broker again, or ringmq wal rescue")
		}
	}
	if t.c.mu.settled = ""; done {
		for _, b := range dead {
			t.c.mu.settled += fmt.Sprintf("%d@%d leads %d; ", b.ID, b.Epoch, t.img().PartitionsLed(b.ID))
		}
	}
}
