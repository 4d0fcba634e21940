package kraft

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/ringmq/ringmq/kraft/image"
)

// harness is a controller on a log that commits at once, without raft: requests in, entries and images out.
type harness struct {
	t       testing.TB
	ctl     *controller
	applier *applier
	entries []entry
	base    int64 // offset before the first of entries
	now     time.Time
	stop    chan struct{}
	unknown error // what submit returns after it has appended
	deposed bool  // nobody confirms that this node leads
}

func newHarness(t testing.TB, change func(*Options)) *harness {
	h := &harness{t: t, now: time.UnixMilli(1_700_000_000_000), stop: make(chan struct{})}
	o := Options{
		NodeID: 1, ClusterID: testCluster, Logger: testLogger(t), Now: func() time.Time { return h.now },
	}
	if change != nil {
		change(&o)
	}
	h.ctl = newController(o.withDefaults(), h)
	h.applier = newApplier(h.ctl, image.New())
	t.Cleanup(h.applier.subs.close)
	h.append(nil) // what raft appends at the beginning of a term
	h.ctl.activate(1, h.image())
	return h
}

func (h *harness) append(data []byte) {
	h.entries = append(h.entries, entry{index: h.base + int64(len(h.entries)) + 1, term: 1, data: data})
	done, err := h.applier.apply(h.entries[len(h.entries)-1:])
	if err != nil {
		h.t.Fatal(err)
	}
	finishAll(done)
}

// submit implements proposer.
func (h *harness) submit(term int64, data []byte, _ *pb.ConfChangeV2) error {
	h.append(data)
	return h.unknown
}

// confirm implements proposer.
func (h *harness) confirm(context.Context, int64) error {
	if h.deposed {
		return errNotLeader
	}
	return nil
}

// stopped implements proposer.
func (h *harness) stopped() <-chan struct{} { return h.stop }

func (h *harness) image() *Image { return h.applier.image.Load() }

// do has a request served.
func (h *harness) do(req kmsg.Request) kmsg.Response {
	h.t.Helper()
	resp, _, err := h.ctl.do(context.Background(), req)
	if err != nil {
		h.t.Fatalf("%T: %v", req, err)
	}
	return resp
}

// stream has a stream request served, and returns its refusal.
func (h *harness) stream(req kmsg.Request) error {
	h.t.Helper()
	return h.do(req).(*StreamResponse).Err()
}

// broker registers a broker anew and unfences it; the result is its epoch.
func (h *harness) broker(id int32) int64 {
	h.t.Helper()
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.BrokerID, req.ClusterID, req.IncarnationID = id, testCluster, randomID()
	req.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: "host", Port: 9092}}
	resp := h.do(req).(*kmsg.BrokerRegistrationResponse)
	if resp.ErrorCode != 0 {
		h.t.Fatalf("register broker %d: code %d", id, resp.ErrorCode)
	}
	h.heartbeat(id, resp.BrokerEpoch, false)
	return resp.BrokerEpoch
}

func (h *harness) heartbeat(id int32, epoch int64, fence bool) *kmsg.BrokerHeartbeatResponse {
	h.t.Helper()
	hb := kmsg.NewPtrBrokerHeartbeatRequest()
	hb.BrokerID, hb.BrokerEpoch, hb.WantFence = id, epoch, fence
	return h.do(hb).(*kmsg.BrokerHeartbeatResponse)
}

// topic creates a topic with the leaders given.
func (h *harness) topic(name string, leaders ...int32) *Topic {
	h.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, -1, -1
	for i, l := range leaders {
		rt.ReplicaAssignment = append(rt.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: []int32{l}})
	}
	req.Topics = append(req.Topics, rt)
	if r := h.do(req).(*kmsg.CreateTopicsResponse).Topics[0]; r.ErrorCode != 0 {
		h.t.Fatalf("create topic %s: code %d: %s", name, r.ErrorCode, *r.ErrorMessage)
	}
	return h.image().Topic(name)
}

func (h *harness) deleteTopic(name string) {
	h.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.SetVersion(6)
	req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
	if r := h.do(req).(*kmsg.DeleteTopicsResponse).Topics[0]; r.ErrorCode != 0 {
		h.t.Fatalf("delete topic %s: code %d", name, r.ErrorCode)
	}
}

func (h *harness) prepare(node int32, epoch int64, n int) ObjectID {
	h.t.Helper()
	r := h.do(&PrepareObjectsRequest{Node: node, NodeEpoch: epoch, Count: int32(n)}).(*StreamResponse)
	if r.Err() != nil {
		h.t.Fatal(r.Err())
	}
	return r.First
}

// move makes another broker the leader of a partition, whoever has its stream open.
func (h *harness) move(id TopicID, partition, leader int32) {
	h.t.Helper()
	h.ctl.mu.Lock()
	defer h.ctl.mu.Unlock()
	tx := h.ctl.begin()
	tx.setLeader(id, partition, leader)
	if _, err := h.ctl.propose(tx); err != nil {
		h.t.Fatal(err)
	}
}
