package kraft

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/record"
)

// simBroker is a broker: it registers, says that it lives, opens the streams of the partitions that it leads, extends them by commits, and hands them
// over when another broker leads. What it knows of the cluster is an image that it is told, late.
type simBroker struct {
	s       *simulation
	id      int32
	up      bool
	inc     [16]byte
	epoch   int64 // -1: not registered
	asking  bool  // a registration is under way
	beaten  time.Time
	paused  time.Time // until then it does nothing, as a stopped process
	view    *applier
	ask     int32 // the controller to ask
	streams []*simStream
}

// simStream is a stream that a broker believes it owns.
type simStream struct {
	id     StreamID
	epoch  int64
	end    int64 // what it has committed; -1: its image does not show that it owns it
	busy   bool  // a request about it is under way
	object ObjectID
	upto   int64 // of the commit under way
	gone   bool
}

// simCall is a request on its way to a controller, or being served there.
type simCall struct {
	from, to int32
	life     int // of the node that serves it
	req      kmsg.Request
	done     func(kmsg.Response, error)
	answer   answer
	base     int64 // offset of the state that the answer rests on
	acked    int64 // what was known to be committed when it was looked at
	barrier  *barrier
	newest   int64 // the highest term that anybody had led in when that was asked
}

var errLost = errors.New("the answer is lost")

func (b *simBroker) start() {
	s := b.s
	b.up, b.epoch, b.asking, b.streams = true, -1, false, nil
	for i := range b.inc {
		b.inc[i] = byte(s.rng.UintN(256))
	}
	b.view = &applier{subs: newSubscribers(image.New())}
	b.view.image.Store(image.New())
}

func (b *simBroker) image() *Image { return b.view.image.Load() }

// send asks the controller that is believed to be active. A lost answer is told as errLost, and another controller is asked the next time.
func (b *simBroker) send(req kmsg.Request, done func(kmsg.Response, error)) {
	s, inc := b.s, b.inc
	s.calls = append(s.calls, &simCall{from: b.id, to: b.ask, req: req, done: func(resp kmsg.Response, err error) {
		if !b.up || b.inc != inc {
			return
		}
		if err != nil {
			b.ask = s.nodes[s.rng.IntN(len(s.nodes))].id
		}
		done(resp, err)
	}})
}

// step lets the broker do one thing.
func (b *simBroker) step() {
	s := b.s
	if !b.up {
		if s.calm || s.rng.IntN(3) == 0 {
			b.start()
		}
		return
	}
	if b.paused.After(s.now) && !s.calm {
		return
	}
	if !s.calm {
		switch s.rng.IntN(600) {
		case 0:
			s.counts["broker crash"]++
			b.up = false
			return
		case 1:
			s.counts["broker paused"]++
			b.paused = s.now.Add(time.Duration(s.rng.Int64N(int64(3 * simSession))))
			return
		}
	}
	if piece := s.news(b.id, b.image().Offset()); piece != nil {
		b.follow(piece)
	}
	switch {
	case s.quiet:
	case b.epoch < 0:
		b.register()
	case s.now.Sub(b.beaten) > simBeat:
		b.beat()
	default:
		b.serve()
	}
}

func (b *simBroker) follow(piece *logPiece) {
	s := b.s
	if piece.image != nil {
		b.view.install(piece.image)
	}
	if _, err := b.view.apply(piece.entries); err != nil {
		s.t.Fatalf("broker %d: %v", b.id, err)
	}
	s.same(s.images, b.image().Offset(), digest(s.t, b.image()), "image", b.id)
}

func (b *simBroker) register() {
	if b.asking {
		return
	}
	b.asking = true
	r := kmsg.NewPtrBrokerRegistrationRequest()
	r.BrokerID, r.ClusterID, r.IncarnationID = b.id, testCluster, b.inc
	r.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "P", Host: "h", Port: 1}}
	b.send(r, func(resp kmsg.Response, err error) {
		b.asking = false
		if err == nil && resp.(*kmsg.BrokerRegistrationResponse).ErrorCode == 0 {
			b.epoch = resp.(*kmsg.BrokerRegistrationResponse).BrokerEpoch
			b.s.counts["registered"]++
		}
	})
}

func (b *simBroker) beat() {
	b.beaten = b.s.now
	r := kmsg.NewPtrBrokerHeartbeatRequest()
	r.BrokerID, r.BrokerEpoch = b.id, b.epoch
	b.send(r, func(resp kmsg.Response, err error) {
		if err == nil && resp.(*kmsg.BrokerHeartbeatResponse).ErrorCode == 0 {
			b.s.counts["heartbeat"]++
		}
	})
}

// serve does something about a partition that it leads, or a stream that it has.
func (b *simBroker) serve() {
	s := b.s
	img := b.image()
	var topics []*Topic
	img.Topics(func(t *Topic) bool {
		topics = append(topics, t)
		return true
	})
	if len(topics) < simTopics || s.rng.IntN(100) == 0 {
		b.createTopic()
		return
	}
	topic := topics[s.rng.IntN(len(topics))]
	p := topic.Partitions[0]
	if s.rng.IntN(40) == 0 {
		b.move(topic.Name)
		return
	}
	var own *simStream
	for _, st := range b.streams {
		if st.id == p.StreamID {
			own = st
		}
	}
	mine := p.Leader == b.id
	switch {
	case own == nil && mine:
		b.open(p.StreamID, int64(p.LeaderEpoch))
	case own == nil || own.busy:
	case !mine, int64(p.LeaderEpoch) > own.epoch, s.rng.IntN(30) == 0:
		b.close(own)
	case own.end < 0:
		if stream, ok := img.Stream(own.id); ok && stream.Epoch == own.epoch && stream.Node == b.id {
			own.end = stream.End
		}
	case s.rng.IntN(10) == 0 && own.end > 0:
		b.request(own, &TrimStreamRequest{Stream: own.id, Epoch: own.epoch, Node: b.id, NodeEpoch: b.epoch, Start: s.rng.Int64N(own.end)}, func() {})
	default:
		b.commit(own)
	}
}

// createTopic creates one, led by any broker.
func (b *simBroker) createTopic() {
	s := b.s
	s.names++
	name := fmt.Sprintf("t%d", s.names)
	r := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, -1, -1
	leader := s.brokers[s.rng.IntN(len(s.brokers))].id
	rt.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{leader}}}
	r.Topics = append(r.Topics, rt)
	b.send(r, func(resp kmsg.Response, err error) {
		if err == nil && resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode == 0 {
			s.granted[name] = resp.(*kmsg.CreateTopicsResponse).Topics[0].TopicID
			s.counts["topic"]++
		}
	})
}

// move makes another broker the leader of a partition.
func (b *simBroker) move(topic string) {
	s := b.s
	r := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	to := s.brokers[s.rng.IntN(len(s.brokers))].id
	r.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{
		Topic: topic, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: []int32{to}}},
	}}
	b.send(r, func(resp kmsg.Response, err error) {
		if err == nil && resp.(*kmsg.AlterPartitionAssignmentsResponse).Topics[0].Partitions[0].ErrorCode == 0 {
			s.counts["move"]++
		}
	})
}

func (b *simBroker) open(id StreamID, epoch int64) {
	s := b.s
	st := &simStream{id: id, epoch: epoch, end: -1, gone: true}
	for _, other := range b.streams {
		if other.id == id {
			return
		}
	}
	b.streams = append(b.streams, st)
	b.request(st, &OpenStreamRequest{Stream: id, Epoch: epoch, Node: b.id, NodeEpoch: b.epoch}, func() {
		st.gone = false
		s.counts["open"]++
		key := simEpoch{id, epoch}
		owner := simOwner{b.id, b.epoch}
		if other, ok := s.owners[key]; ok && other != owner {
			s.t.Fatalf("stream %d was granted at epoch %d to %+v and to %+v", id, epoch, other, owner)
		}
		s.owners[key] = owner
	})
	// Not granted yet; if it is not, request forgets it.
}

func (b *simBroker) close(st *simStream) {
	b.request(st, &CloseStreamRequest{Stream: st.id, Epoch: st.epoch, Node: b.id, NodeEpoch: b.epoch}, func() {
		b.s.counts["close"]++
		b.forget(st)
	})
}

func (b *simBroker) forget(st *simStream) {
	st.gone = true
	for i, other := range b.streams {
		if other == st {
			b.streams = append(b.streams[:i:i], b.streams[i+1:]...)
			return
		}
	}
}

// request asks something about a stream, again and again while the outcome is unknown: as Do does, and all of it may be repeated. A refusal ends the
// ownership.
func (b *simBroker) request(st *simStream, req kmsg.Request, granted func()) {
	st.busy = true
	b.send(req, func(resp kmsg.Response, err error) {
		if err != nil {
			if b.s.quiet {
				return
			}
			b.request(st, req, granted)
			return
		}
		st.busy = false
		switch err := resp.(*StreamResponse).Err(); {
		case err == nil:
			granted()
		case errors.Is(err, ErrInvalid) || errors.Is(err, ErrConflict):
			b.s.t.Fatalf("broker %d: %T %+v: %v", b.id, req, req, err)
		case errors.Is(err, ErrFenced):
			b.s.counts["fenced"]++
			b.forget(st)
		default:
			b.forget(st)
		}
	})
}

// commit extends a stream by an object.
func (b *simBroker) commit(st *simStream) {
	s := b.s
	st.busy = true
	b.send(&PrepareObjectsRequest{Node: b.id, NodeEpoch: b.epoch, Count: 1}, func(resp kmsg.Response, err error) {
		st.busy = false
		if err != nil || resp.(*StreamResponse).Err() != nil || st.gone {
			return
		}
		object, upto := resp.(*StreamResponse).First, st.end+1+s.rng.Int64N(10)
		b.request(st, &CommitObjectsRequest{Node: b.id, NodeEpoch: b.epoch, Extends: true, New: []NewObject{{
			ID: object, Kind: StreamObject, Size: 10, Ranges: []Range{{Stream: st.id, Epoch: st.epoch, Start: st.end, End: upto, Bytes: 1, MaxTimestamp: -1}},
		}}}, func() {
			s.counts["commit"]++
			st.end = upto
			s.ends[st.id] = max(s.ends[st.id], upto)
		})
	})
}

// simEpoch is a stream at an epoch; simOwner a registration of a broker.
type (
	simEpoch struct {
		id    StreamID
		epoch int64
	}
	simOwner struct {
		node  int32
		epoch int64
	}
)

// simModel is a naive reading of the committed log, entry by entry, that knows what must never be in it.
type simModel struct {
	s         *simulation
	next      int64
	brokers   map[int32]int64 // epochs
	streams   map[StreamID]simEpoch
	owner     map[simEpoch]int32
	ends      map[StreamID]int64
	committed map[ObjectID]simOwner
	conf      *pb.ConfState // the members of the quorum
	changes   []int64       // the entries that changed them, ascending
}

// change is the newest entry up to an offset that changed the members, 0 if none did.
func (m *simModel) change(offset int64) int64 {
	i, found := slices.BinarySearch(m.changes, offset)
	switch {
	case found:
		return offset
	case i > 0:
		return m.changes[i-1]
	}
	return 0
}

// asker is the broker that a request is of, by its registration; ok is false for requests that do not say.
func asker(req kmsg.Request) (o simOwner, ok bool) {
	switch r := req.(type) {
	case *OpenStreamRequest:
		return simOwner{r.Node, r.NodeEpoch}, true
	case *CloseStreamRequest:
		return simOwner{r.Node, r.NodeEpoch}, true
	case *TrimStreamRequest:
		return simOwner{r.Node, r.NodeEpoch}, true
	case *PrepareObjectsRequest:
		return simOwner{r.Node, r.NodeEpoch}, true
	case *CommitObjectsRequest:
		return simOwner{r.Node, r.NodeEpoch}, true
	}
	return o, false
}

// allowed wants what is granted to be asked for by a registration that was the broker's newest when it was granted, and a commit to be its own.
func (m *simModel) allowed(c *simCall) {
	if by, ok := asker(c.req); ok && c.answer.seen != nil && c.answer.resp.(*StreamResponse).Err() == nil {
		if b := c.answer.seen.image.Broker(by.node); b == nil || b.Epoch != by.epoch {
			m.s.t.Fatalf("broker %d was granted %T as of epoch %d, and is %+v", by.node, c.req, by.epoch, b)
		}
	}
	req, ok := c.req.(*CommitObjectsRequest)
	if !ok || c.answer.resp.(*StreamResponse).Err() != nil {
		return
	}
	for _, o := range req.New {
		if by := m.committed[o.ID]; by != (simOwner{req.Node, req.NodeEpoch}) {
			m.s.t.Fatalf("broker %d of epoch %d was granted the commit of object %d; it was committed by %+v", req.Node, req.NodeEpoch, o.ID, by)
		}
	}
}

func (m *simModel) apply(e entry) {
	if e.index != m.next {
		if e.index > m.next {
			m.s.t.Fatalf("entry %d is applied before %d", e.index, m.next)
		}
		return
	}
	m.next++
	if len(e.data) == 0 {
		return
	}
	batch, err := record.ReadBatch(e.data)
	if err != nil {
		m.s.t.Fatal(err)
	}
	for _, r := range batch.Records {
		switch r := r.(type) {
		case *record.VoterSet:
			if conf := confOfVoters(r.Voters); !sameConf(conf, m.conf) {
				m.conf, m.changes = conf, append(m.changes, e.index)
			}
		case *record.BrokerRegistered:
			if r.Epoch <= m.brokers[r.ID] {
				m.s.t.Fatalf("entry %d: broker %d goes from epoch %d to %d", e.index, r.ID, m.brokers[r.ID], r.Epoch)
			}
			m.brokers[r.ID] = r.Epoch
		case *record.StreamOpened:
			at := simEpoch{r.ID, r.Epoch}
			if now := m.streams[r.ID]; now.epoch > r.Epoch {
				m.s.t.Fatalf("entry %d: stream %d goes from epoch %d to %d", e.index, r.ID, now.epoch, r.Epoch)
			}
			if other, ok := m.owner[at]; ok && other != r.Node {
				m.s.t.Fatalf("entry %d: stream %d at epoch %d belongs to %d and to %d", e.index, r.ID, r.Epoch, other, r.Node)
			}
			m.owner[at], m.streams[r.ID] = r.Node, at
		case *record.ObjectsCommitted:
			if !r.Extends {
				continue
			}
			for _, o := range r.New {
				for _, x := range o.Ranges {
					at := simEpoch{x.Stream, x.Epoch}
					if m.streams[x.Stream] != at || m.owner[at] != r.Node || m.ends[x.Stream] != x.Start {
						m.s.t.Fatalf("entry %d: node %d commits %+v; the stream is at %+v of node %d and ends at %d", e.index, r.Node, x,
							m.streams[x.Stream], m.owner[m.streams[x.Stream]], m.ends[x.Stream])
					}
					m.ends[x.Stream] = x.End
				}
				if _, ok := m.committed[o.ID]; ok {
					m.s.t.Fatalf("entry %d: object %d is committed twice", e.index, o.ID)
				}
				m.committed[o.ID] = simOwner{r.Node, m.brokers[r.Node]}
			}
		}
	}
}
