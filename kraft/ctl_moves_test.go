package kraft

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type assign struct {
	partition int32
	replicas  []int32 // nil: cancel
}

// reassign asks for moves within one topic, and returns the code of each.
func (h *harness) reassign(topic string, factorMayChange bool, parts ...assign) []int16 {
	h.t.Helper()
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.AllowReplicationFactorChange = factorMayChange
	rt := kmsg.AlterPartitionAssignmentsRequestTopic{Topic: topic}
	for _, p := range parts {
		rt.Partitions = append(rt.Partitions, kmsg.AlterPartitionAssignmentsRequestTopicPartition{Partition: p.partition, Replicas: p.replicas})
	}
	req.Topics = append(req.Topics, rt)
	resp := h.do(req).(*kmsg.AlterPartitionAssignmentsResponse)
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 || resp.Topics[0].Topic != topic || len(resp.Topics[0].Partitions) != len(parts) {
		h.t.Fatalf("answer %+v", resp)
	}
	var codes []int16
	for i, p := range resp.Topics[0].Partitions {
		if p.Partition != parts[i].partition || (p.ErrorCode == 0) != (p.ErrorMessage == nil) {
			h.t.Errorf("answer %+v", p)
		}
		codes = append(codes, p.ErrorCode)
	}
	return codes
}

func (h *harness) reassignments(topics []kmsg.ListPartitionReassignmentsRequestTopic) []kmsg.ListPartitionReassignmentsResponseTopic {
	h.t.Helper()
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.Topics = topics
	return h.do(req).(*kmsg.ListPartitionReassignmentsResponse).Topics
}

func TestReassignment(t *testing.T) {
	h := newHarness(t, nil)
	epochs := map[int32]int64{}
	for id := int32(1); id <= 3; id++ {
		epochs[id] = h.broker(id)
	}
	h.heartbeat(3, epochs[3], true)
	h.topic("t", 1, 1, 1)
	for i, c := range []struct {
		topic  string
		factor bool
		parts  []assign
		codes  []int16
	}{
		{"unknown", true, []assign{{0, []int32{2}}}, []int16{3}},
		{"t", true, []assign{{3, []int32{2}}, {-1, []int32{2}}}, []int16{3, 3}},
		{"t", true, []assign{{0, []int32{}}}, []int16{39}},
		{"t", true, []assign{{0, []int32{9}}, {1, []int32{-1}}}, []int16{39, 39}},
		{"t", true, []assign{{0, []int32{2, 2}}, {1, []int32{2, 1}}}, []int16{39, 39}},
		{"t", false, []assign{{0, []int32{2, 1}}}, []int16{38}},
		{"t", true, []assign{{0, []int32{3}}}, []int16{39}}, // fenced
		{"t", true, []assign{{0, nil}}, []int16{85}},
		{"t", true, []assign{{0, []int32{1}}}, []int16{0}}, // is there
	} {
		before := h.image()
		if got := h.reassign(c.topic, c.factor, c.parts...); !slices.Equal(got, c.codes) {
			t.Errorf("%d: %v, want %v", i, got, c.codes)
		}
		if h.image() != before {
			t.Errorf("%d: changed something", i)
		}
	}

	// Partition 0 has never been opened; 1 is open at broker 1.
	opened := h.image().Topic("t").Partitions[1]
	if err := h.stream(&OpenStreamRequest{Stream: opened.StreamID, Epoch: 0, Node: 1, NodeEpoch: epochs[1]}); err != nil {
		t.Fatal(err)
	}
	if got := h.reassign("t", false, assign{0, []int32{2}}, assign{1, []int32{2}}, assign{7, []int32{2}}); !slices.Equal(got, []int16{0, 0, 3}) {
		t.Fatal(got)
	}
	// What nobody has open changes its leader at once, the other partition when it has been handed over.
	h.want("t", 0, Partition{Leader: 2, LeaderEpoch: 1, PartitionEpoch: 1, Target: -1})
	h.want("t", 1, Partition{Leader: 1, LeaderEpoch: 0, PartitionEpoch: 1, Target: 2})
	h.want("t", 2, Partition{Leader: 1, LeaderEpoch: 0, PartitionEpoch: 0, Target: -1})
	moving := h.reassignments(nil)
	if len(moving) != 1 || moving[0].Topic != "t" || len(moving[0].Partitions) != 1 {
		t.Fatalf("%+v", moving)
	}
	if p := moving[0].Partitions[0]; p.Partition != 1 || !slices.Equal(p.Replicas, []int32{2, 1}) || !slices.Equal(p.AddingReplicas, []int32{2}) || !slices.Equal(p.RemovingReplicas, []int32{1}) {
		t.Errorf("%+v", p)
	}
	some := []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: "t", Partitions: []int32{0, 2}}, {Topic: "unknown", Partitions: []int32{1}}}
	if got := h.reassignments(some); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	some[0].Partitions = []int32{1}
	if got := h.reassignments(some); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	// Cancelled. The leader may have resigned already, so it begins a new epoch.
	if got := h.reassign("t", true, assign{0, nil}, assign{1, nil}, assign{1, nil}); !slices.Equal(got, []int16{85, 0, 85}) {
		t.Fatal(got)
	}
	h.want("t", 1, Partition{Leader: 1, LeaderEpoch: 1, PartitionEpoch: 2, Target: -1})
	take := func(node int32, epoch int64, from int32, fromEpoch int64) error {
		return h.stream(&OpenStreamRequest{Stream: opened.StreamID, Epoch: epoch, Node: node, NodeEpoch: epochs[node], HandedOver: true, From: from, FromEpoch: fromEpoch})
	}
	for _, epoch := range []int64{1, 2} {
		if err := take(2, epoch, 1, 0); !errors.Is(err, ErrFenced) {
			t.Errorf("the broker that should have had it opens at epoch %d: %v", epoch, err)
		}
	}
	// Once more, and this time it is handed over.
	h.reassign("t", true, assign{1, []int32{2}})
	h.want("t", 1, Partition{Leader: 1, LeaderEpoch: 1, PartitionEpoch: 3, Target: 2})
	for _, c := range []struct {
		epoch     int64
		from      int32
		fromEpoch int64
		want      error
	}{{1, 1, 0, ErrFenced}, {3, 1, 0, ErrInvalid}, {2, 1, 1, ErrNotClosed}, {2, 2, 0, ErrNotClosed}, {2, 1, 0, nil}, {2, 1, 0, nil}} {
		if err := take(2, c.epoch, c.from, c.fromEpoch); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	h.want("t", 1, Partition{Leader: 2, LeaderEpoch: 2, PartitionEpoch: 4, Target: -1})
	if s, _ := h.image().Stream(opened.StreamID); s.Node != 2 || s.Epoch != 2 || s.Closed {
		t.Errorf("%+v", s)
	}
	if err := take(1, 2, 2, 2); !errors.Is(err, ErrFenced) {
		t.Errorf("the old leader: %v", err)
	}
	// Closed by its owner: nothing remains to be handed over.
	if err := h.stream(&CloseStreamRequest{Stream: opened.StreamID, Epoch: 2, Node: 2, NodeEpoch: epochs[2]}); err != nil {
		t.Fatal(err)
	}
	h.reassign("t", true, assign{1, []int32{1}})
	h.want("t", 1, Partition{Leader: 1, LeaderEpoch: 3, PartitionEpoch: 5, Target: -1})
	if got := h.reassignments(nil); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if err := h.image().Check(); err != nil {
		t.Error(err)
	}
}

// want compares a partition's leader, epochs and target.
func (h *harness) want(topic string, partition int, want Partition) {
	h.t.Helper()
	p := h.image().Topic(topic).Partitions[partition]
	if p.Leader != want.Leader || p.LeaderEpoch != want.LeaderEpoch || p.PartitionEpoch != want.PartitionEpoch || p.Target != want.Target ||
		!slices.Equal(p.Replicas, []int32{want.Leader}) {
		h.t.Errorf("%s-%d is %+v, want %+v", topic, partition, p, want)
	}
}

// A move that is under way is ended by another target, by the end of the target, and by its leader's wish; each time an open on its way is refused.
func TestMovesThatEnd(t *testing.T) {
	h := newHarness(t, nil)
	epochs := map[int32]int64{}
	for id := int32(1); id <= 3; id++ {
		epochs[id] = h.broker(id)
	}
	topic := h.topic("t", 1)
	id := topic.Partitions[0].StreamID
	open := func(node int32, epoch, fromEpoch int64) error {
		return h.stream(&OpenStreamRequest{Stream: id, Epoch: epoch, Node: node, NodeEpoch: epochs[node], HandedOver: true, From: 1, FromEpoch: fromEpoch})
	}
	if err := h.stream(&OpenStreamRequest{Stream: id, Epoch: 0, Node: 1, NodeEpoch: epochs[1]}); err != nil {
		t.Fatal(err)
	}
	h.reassign("t", true, assign{0, []int32{2}})
	h.reassign("t", true, assign{0, []int32{2}}) // again: nothing new
	h.want("t", 0, Partition{Leader: 1, LeaderEpoch: 0, PartitionEpoch: 1, Target: 2})
	h.reassign("t", true, assign{0, []int32{3}})
	h.want("t", 0, Partition{Leader: 1, LeaderEpoch: 1, PartitionEpoch: 3, Target: 3})
	h.reassign("t", true, assign{0, []int32{2}})
	h.want("t", 0, Partition{Leader: 1, LeaderEpoch: 2, PartitionEpoch: 5, Target: 2})
	if err := open(2, 1, 0); !errors.Is(err, ErrFenced) {
		t.Errorf("what broker 2 was handed over for the first move: %v", err)
	}
	// The leader has resigned and nobody came.
	for range 2 { // the second is about an epoch that is over
		if err := h.stream(&ReclaimRequest{Topic: topic.ID, Partition: 0, LeaderEpoch: 2, Node: 1, NodeEpoch: epochs[1]}); err != nil {
			t.Fatal(err)
		}
		h.want("t", 0, Partition{Leader: 1, LeaderEpoch: 3, PartitionEpoch: 7, Target: 2})
	}
	if err := open(2, 3, 0); !errors.Is(err, ErrFenced) {
		t.Errorf("what broker 2 was handed over before: %v", err)
	}
	// The leader restarts: the move goes on, at another epoch.
	epochs[1] = h.broker(1)
	h.want("t", 0, Partition{Leader: 1, LeaderEpoch: 4, PartitionEpoch: 8, Target: 2})
	if err := open(2, 4, 0); !errors.Is(err, ErrFenced) {
		t.Errorf("what broker 2 was handed over before the restart: %v", err)
	}
	if err := h.stream(&OpenStreamRequest{Stream: id, Epoch: 4, Node: 1, NodeEpoch: epochs[1]}); err != nil {
		t.Fatal(err)
	}
	if err := open(2, 5, 0); !errors.Is(err, ErrNotClosed) {
		t.Errorf("handed over at an epoch of the stream that is over: %v", err)
	}
	un := kmsg.NewPtrUnregisterBrokerRequest()
	un.BrokerID = 2
	if r := h.do(un).(*kmsg.UnregisterBrokerResponse); r.ErrorCode != 0 {
		t.Fatal(r)
	}
	h.want("t", 0, Partition{Leader: 1, LeaderEpoch: 5, PartitionEpoch: 9, Target: -1})
	// Nobody can hand over what belongs to a broker that is not registered any more.
	un.BrokerID = 1
	h.do(un)
	h.reassign("t", true, assign{0, []int32{3}})
	h.want("t", 0, Partition{Leader: 3, LeaderEpoch: 6, PartitionEpoch: 10, Target: -1})
	if err := h.stream(&OpenStreamRequest{Stream: id, Epoch: 6, Node: 3, NodeEpoch: epochs[3]}); !errors.Is(err, ErrNotClosed) {
		t.Error(err)
	}
	if err := h.image().Check(); err != nil {
		t.Error(err)
	}
}

func TestElectLeaders(t *testing.T) {
	h := newHarness(t, nil)
	h.broker(1)
	epoch := h.broker(2)
	h.topic("t", 1, 2)
	h.heartbeat(2, epoch, true)
	elect := func(kind int8, topics []kmsg.ElectLeadersRequestTopic) (codes []int16) {
		t.Helper()
		req := kmsg.NewPtrElectLeadersRequest()
		req.ElectionType, req.Topics = kind, topics
		for _, rt := range h.do(req).(*kmsg.ElectLeadersResponse).Topics {
			for _, p := range rt.Partitions {
				codes = append(codes, p.ErrorCode)
				if p.ErrorMessage == nil {
					t.Errorf("%+v has no message", p)
				}
			}
		}
		return codes
	}
	named := []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{0, 1, 2}}, {Topic: "unknown", Partitions: []int32{0}}}
	for _, c := range []struct {
		kind   int8
		topics []kmsg.ElectLeadersRequestTopic
		codes  []int16
	}{
		{0, named, []int16{84, 80, 3, 3}},
		{1, named, []int16{84, 83, 3, 3}},
		{2, named[:1], []int16{42, 42, 42}},
		{0, nil, []int16{80}},
		{1, nil, []int16{83}},
	} {
		if got := elect(c.kind, c.topics); !slices.Equal(got, c.codes) {
			t.Errorf("type %d of %v: %v, want %v", c.kind, c.topics, got, c.codes)
		}
	}
}

// A broker that shuts down gives its partitions to the others, and may stop when the last has been handed over.
func TestDrain(t *testing.T) {
	h := newHarness(t, nil)
	epochs := map[int32]int64{}
	for id := int32(1); id <= 3; id++ {
		epochs[id] = h.broker(id)
	}
	topic := h.topic("t", 1, 1, 1, 2)
	open := &OpenStreamRequest{Stream: topic.Partitions[0].StreamID, Epoch: 0, Node: 1, NodeEpoch: epochs[1]}
	if err := h.stream(open); err != nil {
		t.Fatal(err)
	}
	h.stream(&OpenStreamRequest{Stream: topic.Partitions[3].StreamID, Epoch: 0, Node: 2, NodeEpoch: epochs[2]})
	h.reassign("t", true, assign{3, []int32{1}}) // is on its way to the one that leaves
	beat := func(id int32) *kmsg.BrokerHeartbeatResponse {
		hb := kmsg.NewPtrBrokerHeartbeatRequest()
		hb.BrokerID, hb.BrokerEpoch, hb.WantShutdown = id, epochs[id], true
		return h.do(hb).(*kmsg.BrokerHeartbeatResponse)
	}
	if r := beat(1); r.ShouldShutdown || r.IsFenced {
		t.Fatalf("%+v", r)
	}
	img := h.image()
	p := img.Topic("t").Partitions
	if img.PartitionsLed(1) != 1 || p[0].Leader != 1 || p[0].Target < 2 || p[1].Leader == 1 || p[2].Leader == 1 || p[3].Leader != 2 || p[3].Target != -1 {
		t.Fatalf("%+v", p)
	}
	// It is given nothing any more.
	if got := h.reassign("t", true, assign{3, []int32{1}}); got[0] != 39 {
		t.Errorf("a move to it: code %d", got[0])
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "new", 6, 1
	req.Topics = append(req.Topics, rt)
	h.do(req)
	if n := h.image().PartitionsLed(1); n != 1 {
		t.Errorf("it leads %d partitions", n)
	}
	before := h.image()
	if r := beat(1); r.ShouldShutdown || h.image() != before {
		t.Errorf("%+v", r)
	}
	to := p[0].Target
	take := &OpenStreamRequest{Stream: p[0].StreamID, Epoch: 1, Node: to, NodeEpoch: epochs[to], HandedOver: true, From: 1}
	if err := h.stream(take); err != nil {
		t.Fatal(err)
	}
	if r := beat(1); !r.ShouldShutdown {
		t.Errorf("%+v", r)
	}
	// The last two leave at once: nobody is left to take anything.
	h.heartbeat(1, epochs[1], true)
	beat(2)
	if r := beat(3); !r.ShouldShutdown {
		t.Errorf("%+v", r)
	}
	// Back again.
	epochs[1] = h.broker(1)
	if got := h.reassign("t", true, assign{1, []int32{1}}); got[0] != 0 {
		t.Errorf("a move to it after its return: code %d", got[0])
	}
}
