package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll"
	"github.com/ringmq/ringmq/s3stream"
)

// A partition moves while its leader serves. The target, told by the image, asks the leader for the partition; the leader uploads first if there is much, then
// resigns, waits for what is in flight and hands over the rest. The target makes that durable in its own WAL, and the controller makes it the leader.
//
//	client      ──── produce ────► leader          held until its image shows the new leader, then NOT_LEADER_OR_FOLLOWER with its address
//	                                  ▲ │
//	target: HandoverRequest ──────────┘ └── tail, state ──► WAL ──► controller ──► open, what waits here is served
//
// Between the leader's resignation and the new leadership nobody acknowledges. Should the target not come, the leader asks for a new epoch
// and serves again.

const (
	// takeoversMax is how many partitions are taken over at a time. More would make each of them take longer, with nobody serving meanwhile.
	takeoversMax = 4
	// handoverBytes is how much of a partition's tail may be handed over; more is uploaded first, while the leader serves.
	handoverBytes = 8 << 20
	// handoverFlushes bounds those uploads, for a partition that is written faster than they come to an end.
	handoverFlushes = 3
	// handoverPage is the least after which an answer ends.
	handoverPage    = 4 << 20
	handoverTimeout = 30 * time.Second
	// reclaimAfter is how long a leader that has resigned waits for the new one.
	reclaimAfter = time.Second
	// holdTime is how long requests for a partition that is on its way are held. It covers reclaimAfter and what follows.
	holdTime = 2 * time.Second
)

// hold has requests for the partition wait: it is about to be served here, or elsewhere.
func (b *Broker) hold(s *slot) {
	if !b.ready.Load() {
		return // everything waits until then
	}
	token := b.holds.Add(1)
	if s.held.Swap(token) == 0 {
		b.holding.Add(1)
	}
	time.AfterFunc(holdTime, func() {
		if s.held.CompareAndSwap(token, 0) {
			b.unheld()
		}
	})
}

// unhold lets requests for the partition go on.
func (b *Broker) unhold(s *slot) {
	if s.held.Load() != 0 && s.held.Swap(0) != 0 {
		b.unheld()
	}
}

func (b *Broker) unheld() {
	b.holding.Add(-1)
	b.held.wake()
	b.parked.wake()
}

// isHeld says whether requests for the partition should wait.
func (b *Broker) isHeld(topic []byte, id kraft.TopicID, byID bool, index int32) bool {
	if b.holding.Load() == 0 {
		return false
	}
	b.topics.mu.RLock()
	defer b.topics.mu.RUnlock()
	t, _ := b.topics.find(topic, id, byID)
	return t != nil && index >= 0 && int(index) < len(t.slots) && t.slots[index].held.Load() != 0
}

// holdFetch holds a fetch that names a partition for which requests wait. Frames that are held are delivered again.
func (b *Broker) holdFetch(c *netpoll.Conn, header kproto.RequestHeader, body []byte) bool {
	var req kproto.FetchRequest
	if req.Decode(header.Version, body) != nil {
		return false // refused where all are
	}
	waits := func() bool {
		for ti := range req.Topics {
			t := &req.Topics[ti]
			for i := t.First; i < t.First+t.Count; i++ {
				if b.isHeld(t.Name, t.ID, header.Version >= 13, req.Partitions[i].Index) {
					return true
				}
			}
		}
		return false
	}
	if !waits() {
		b.held.remove(c)
		return false
	}
	// Who is let go between the look and the note is woken by nobody: look again.
	b.held.add(c, time.Time{})
	if waits() {
		return true
	}
	b.held.remove(c)
	return false
}

// isPeer says that a frame whose key is not one of Kafka's is a request of another broker.
func (b *Broker) isPeer(st *connState, frame []byte, err error) bool {
	if !errors.Is(err, kproto.ErrUnknownKey) || st.listener != b.cfg.InterBrokerListenerName {
		return false
	}
	_, _, ok := kraft.SplitPeerFrame(frame, kraft.KeyHandover)
	return ok
}

// servePeer serves a request of another broker.
func (b *Broker) servePeer(st *connState, frame []byte) netpoll.Verdict {
	correlation, body, _ := kraft.SplitPeerFrame(frame, kraft.KeyHandover)
	req := new(kraft.HandoverRequest)
	if err := req.ReadFrom(slices.Clone(body)); err != nil {
		return b.reject(st.conn, "malformed handover request", err)
	}
	resp := st.conn.Begin()
	st.begin()
	b.workers.Go(func() {
		ctx, cancel := context.WithTimeout(b.serving, handoverTimeout)
		defer cancel()
		out, err := b.handOver(ctx, req)
		if err != nil {
			b.log.Info("partition not handed over", "to", req.Node, "topic_id", fmt.Sprintf("%x", req.Topic), "partition", req.Partition, "cause", err)
			out = &kraft.HandoverResponse{}
			out.Fail(err)
		}
		resp.SetBuf(out.AppendTo(kraft.AppendPeerResponse(resp.Buf(), correlation)))
		resp.Send()
		st.end()
	})
	return netpoll.Next
}

// handOver serves a handover request.
func (b *Broker) handOver(ctx context.Context, req *kraft.HandoverRequest) (*kraft.HandoverResponse, error) {
	refuse := func(code kraft.Code, format string, args ...any) error {
		return &kraft.CodeError{Code: code, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case req.ClusterID != b.cfg.ClusterID:
		return nil, refuse(kraft.CodeWrongCluster, "this is broker %d of cluster %q, the request is of cluster %q", b.cfg.NodeID, b.cfg.ClusterID, req.ClusterID)
	case req.Owner != b.cfg.NodeID || req.OwnerEpoch != b.brokerEpoch:
		return nil, refuse(kraft.CodeFenced, "this is broker %d at epoch %d, asked was broker %d at epoch %d", b.cfg.NodeID, b.brokerEpoch, req.Owner, req.OwnerEpoch)
	}
	if err := b.node.WaitApplied(ctx, req.ImageOffset); err != nil {
		return nil, err
	}
	// The image decides, not the request: it has to show this very move.
	check := func() error {
		img := b.node.Image()
		to, t := img.Broker(req.Node), img.TopicByID(req.Topic)
		if to == nil || to.Epoch != req.NodeEpoch {
			return refuse(kraft.CodeFenced, "broker %d is not registered with epoch %d", req.Node, req.NodeEpoch)
		}
		if t == nil || req.Partition < 0 || int(req.Partition) >= len(t.Partitions) || t.Partitions[req.Partition].StreamID != req.Stream {
			return refuse(kraft.CodeNotFound, "partition %d of topic %x, with stream %d", req.Partition, req.Topic, req.Stream)
		}
		p := &t.Partitions[req.Partition]
		moves := p.Leader == b.cfg.NodeID && p.Target == req.Node && p.LeaderEpoch+1 == req.LeaderEpoch
		if !moves && (p.Leader != req.Node || p.LeaderEpoch != req.LeaderEpoch) {
			return refuse(kraft.CodeConflict, "%s-%d is led by %d at epoch %d and moves to %d, the request is of broker %d for epoch %d",
				t.Name, req.Partition, p.Leader, p.LeaderEpoch, p.Target, req.Node, req.LeaderEpoch)
		}
		if st, _ := img.Stream(req.Stream); st.Node != b.cfg.NodeID || st.Epoch != req.StreamEpoch || st.Closed {
			return refuse(kraft.CodeConflict, "stream %d belongs to node %d at epoch %d (closed: %t), the request is for epoch %d of node %d",
				req.Stream, st.Node, st.Epoch, st.Closed, req.StreamEpoch, b.cfg.NodeID)
		}
		return nil
	}
	if err := check(); err != nil {
		return nil, err
	}
	id := s3stream.StreamID(req.Stream)
	for n := 0; req.Offset < 0 && n < handoverFlushes && b.storage.PendingBytes(id) > handoverBytes; n++ {
		if err := b.storage.Flush(ctx); err != nil {
			return nil, err
		}
	}
	h, err := b.resign(ctx, req, check)
	if err != nil {
		return nil, err
	}
	out := &kraft.HandoverResponse{From: h.From, Next: h.Next}
	at := req.Offset
	if at < 0 {
		at = h.From
		out.HasCheckpoint, out.Checkpoint = h.Checkpoint != nil, h.Checkpoint
	}
	if at < h.Next {
		rs, err := b.storage.HandedOver(ctx, id, at, h.Next, handoverPage)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			out.Records = append(out.Records, kraft.HandoverRecord(r))
		}
	}
	return out, nil
}

// resign ends this broker's leadership for a move that check has seen in the image, unless it has ended already.
func (b *Broker) resign(ctx context.Context, req *kraft.HandoverRequest, check func() error) (s3stream.Handover, error) {
	name := ""
	if t := b.node.Image().TopicByID(req.Topic); t != nil {
		name = t.Name
	}
	s := b.topics.slotFor(name, req.Topic, req.Partition)
	s.step.Lock()
	defer s.step.Unlock()
	if err := check(); err != nil {
		return s3stream.Handover{}, err // it has moved on while we waited
	}
	p := s.open.Load()
	s.mu.Lock()
	opens := p == nil && s.want.mine && s.handed != req.LeaderEpoch
	s.mu.Unlock()
	if opens {
		return s3stream.Handover{}, fmt.Errorf("engine: %s-%d: %w", name, req.Partition, s3stream.ErrOpening)
	}
	if p != nil {
		b.beforeClose(p)
		// From here on requests are held; those that have passed that point find the partition paused, and are held then.
		b.hold(s)
		p.Pause()
		s.handed, s.attached = req.LeaderEpoch, false
		s.paused.Store(p)
		s.open.Store(nil)
		time.AfterFunc(reclaimAfter, func() { b.reclaim(s, p) })
	}
	return b.storage.HandOver(ctx, s3stream.StreamID(req.Stream))
}

// reclaim has this broker serve a partition again that it has resigned from, if the new leader has not come.
func (b *Broker) reclaim(s *slot, p *partition.Partition) {
	if s.paused.Load() != p || b.ctx.Err() != nil {
		return
	}
	b.workers.Go(func() {
		ctx, cancel := context.WithTimeout(b.ctx, handoverTimeout)
		defer cancel()
		b.log.Warn("partition was handed over, but the new leader did not come: taking it back", "topic", p.Topic, "partition", p.Index, "epoch", p.LeaderEpoch)
		if err := b.node.Reclaim(ctx, p.TopicID, p.Index, p.LeaderEpoch); err != nil {
			b.log.Error("partition not taken back, trying again", "topic", p.Topic, "partition", p.Index, "cause", err)
			time.AfterFunc(reclaimAfter, func() { b.reclaim(s, p) })
		}
	})
}

// leave ends what is left of a leadership that was handed over: the image shows what came after it. It does not block.
func (b *Broker) leave(s *slot) {
	if p := s.paused.Swap(nil); p != nil {
		p.Resign()
		b.unhold(s)
	}
}

// source is where the stream of a partition has to be taken over from, nil when this broker just opens it.
func (b *Broker) source(s *slot, want assignment) (s3stream.Source, error) {
	img := b.node.Image()
	st, ok := img.Stream(want.stream)
	if !ok {
		return nil, s3stream.ErrNotFound
	}
	if want.mine && (st.Closed || st.Node < 0) || st.Node == b.cfg.NodeID {
		return nil, nil
	}
	src := &handoverSource{b: b, stream: st, req: kraft.HandoverRequest{
		Owner: st.Node, Topic: s.topic.id, Partition: s.index, LeaderEpoch: want.epoch, Stream: want.stream, StreamEpoch: st.Epoch,
	}}
	if st.Closed {
		return src, nil
	}
	switch from := img.Broker(st.Node); {
	case from == nil:
		return nil, fmt.Errorf("engine: the tail is on the write-ahead log of broker %d, which is not registered", st.Node)
	case from.Fenced:
		return nil, fmt.Errorf("engine: the tail is on the write-ahead log of broker %d, which is fenced", st.Node)
	}
	return src, nil
}

// handoverSource is s3stream.Source over requests to the owner.
type handoverSource struct {
	b      *Broker
	stream kraft.Stream // as this broker knows it
	req    kraft.HandoverRequest
	first  []kraft.HandoverRecord // records of the first answer
}

// notFrom is the epoch of a handover of a stream that its owner has closed: granted only while it is.
const notFrom = -2

// HandOver implements s3stream.Source.
func (h *handoverSource) HandOver(ctx context.Context) (s3stream.Handover, error) {
	if h.stream.Closed {
		return s3stream.Handover{Node: h.stream.Node, Epoch: notFrom, From: h.stream.End, Next: h.stream.End}, nil
	}
	req := h.req
	req.Offset = -1
	resp, err := h.b.node.AskHandover(ctx, h.b.cfg.InterBrokerListenerName, &req)
	if err != nil {
		return s3stream.Handover{}, err
	}
	h.first = resp.Records
	out := s3stream.Handover{Node: h.stream.Node, Epoch: h.stream.Epoch, From: resp.From, Next: resp.Next}
	if resp.HasCheckpoint {
		out.Checkpoint = append([]byte{}, resp.Checkpoint...)
	}
	return out, nil
}

// Records implements s3stream.Source.
func (h *handoverSource) Records(ctx context.Context, from int64) ([]s3stream.Record, error) {
	rs := h.first
	h.first = nil
	if len(rs) == 0 {
		req := h.req
		req.Offset = from
		resp, err := h.b.node.AskHandover(ctx, h.b.cfg.InterBrokerListenerName, &req)
		if err != nil {
			return nil, err
		}
		rs = resp.Records
	}
	out := make([]s3stream.Record, len(rs))
	for i, r := range rs {
		out[i] = s3stream.Record(r)
	}
	return out, nil
}
