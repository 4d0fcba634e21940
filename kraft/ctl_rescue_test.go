package kraft

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/record"
)

var logA, logB = [16]byte{0xa}, [16]byte{0xb}

// pass lets time go by in which only the brokers given are heard of, and has the controller look after its timers.
func (h *harness) pass(d time.Duration, alive map[int32]int64) {
	h.t.Helper()
	for end := h.now.Add(d); h.now.Before(end); {
		h.now = h.now.Add(time.Second)
		for id, epoch := range alive {
			h.heartbeat(id, epoch, false)
		}
		h.ctl.housekeeping()
	}
}

func (h *harness) open(p Partition, node int32, epoch int64) error {
	return h.stream(&OpenStreamRequest{Stream: p.StreamID, Epoch: int64(p.LeaderEpoch), Node: node, NodeEpoch: epoch})
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// restored is the image that a snapshot of the present one gives.
func (h *harness) restored() *Image {
	h.t.Helper()
	b := image.New().Edit()
	h.must(h.image().Records(func(r record.Record) error { return b.Apply(r) }))
	img, _ := b.Build(h.image().Offset(), h.image().Term())
	return img
}

// reasons says of each offline partition why.
func (h *harness) reasons() map[int32]string {
	out := map[int32]string{}
	h.image().Offline(func(o Offline) bool {
		out[o.Partition] = o.String()
		return true
	})
	return out
}

// TestDeadBroker: what can be in a dead broker's log stays with it, with the reason; the rest goes to live brokers; others are untouched.
func TestDeadBroker(t *testing.T) {
	h := newHarness(t, nil)
	one, two := h.broker(1), h.broker(2)
	h.must(h.stream(&BrokerWALRequest{Node: 1, NodeEpoch: one, WAL: logA}))
	h.must(h.stream(&BrokerWALRequest{Node: 2, NodeEpoch: two, WAL: logB}))
	topic := h.topic("t", 1, 1, 1, 2)
	p := topic.Partitions
	h.must(h.open(p[0], 1, one))
	h.must(h.open(p[2], 1, one))
	h.must(h.stream(&CloseStreamRequest{Stream: p[2].StreamID, Epoch: int64(p[2].LeaderEpoch), Node: 1, NodeEpoch: one}))
	h.must(h.open(p[3], 2, two))
	if got := h.reasons(); len(got) != 0 {
		t.Fatalf("offline while all is well: %v", got)
	}
	h.pass(10*time.Second, map[int32]int64{2: two})

	after := h.image().Topic("t").Partitions
	for i, want := range []int32{1, 2, 2, 2} {
		if after[i].Leader != want {
			t.Errorf("partition %d is led by %d, want %d", i, after[i].Leader, want)
		}
	}
	if after[3].LeaderEpoch != p[3].LeaderEpoch {
		t.Error("a partition of the live broker has another epoch")
	}
	if got, want := h.reasons(), map[int32]string{0: "tail on broker 1's write-ahead log 0a000000000000000000000000000000"}; !maps.Equal(got, want) {
		t.Errorf("offline: %v, want %v", got, want)
	}
	if got := h.image().CountOffline(); len(got) != 1 || got[Tally{Broker: 1, Reason: TailOnWAL}] != 1 {
		t.Errorf("counted %v", got)
	}
	// It was only paused. What it lost meanwhile it cannot open, and the other one can.
	if err := h.open(p[1], 1, one); !errors.Is(err, ErrFenced) {
		t.Errorf("a paused broker opens what has moved: %v", err)
	}
	h.must(h.open(after[1], 2, two))
	if err := h.open(after[0], 2, two); !errors.Is(err, ErrFenced) {
		t.Errorf("another broker opens what is on the log: %v", err)
	}
	// It wakes up with the same epoch, and serves what it still has.
	h.heartbeat(1, one, false)
	if got := h.reasons(); len(got) != 0 {
		t.Errorf("offline after it woke up: %v", got)
	}
	h.must(h.open(p[0], 1, one))
}

// TestNobodyLive: partitions of which nothing is in a log wait for a live broker, with that reason.
func TestNobodyLive(t *testing.T) {
	h := newHarness(t, nil)
	h.broker(1)
	h.topic("t", 1)
	h.pass(10*time.Second, nil)
	if got := h.reasons()[0]; !strings.Contains(got, "broker 1 is fenced; nothing of the partition") {
		t.Fatalf("reason %q", got)
	}
	two := h.broker(2)
	h.pass(time.Second, map[int32]int64{2: two})
	if p := h.image().Topic("t").Partitions[0]; p.Leader != 2 {
		t.Fatalf("led by %d", p.Leader)
	}
}

// TestStoppedBroker: a broker that stopped with everything uploaded says so; when it stays away its streams are closed and its partitions move.
func TestStoppedBroker(t *testing.T) {
	h := newHarness(t, nil)
	one, two := h.broker(1), h.broker(2)
	h.must(h.stream(&BrokerWALRequest{Node: 1, NodeEpoch: one, WAL: logA}))
	p := h.topic("t", 1, 1).Partitions
	h.must(h.open(p[0], 1, one))
	h.must(h.stream(&BrokerWALRequest{Node: 1, NodeEpoch: one}))
	hb := kmsg.NewPtrBrokerHeartbeatRequest()
	hb.BrokerID, hb.BrokerEpoch, hb.WantFence, hb.WantShutdown = 1, one, true, true
	h.do(hb)
	alive := map[int32]int64{2: two}
	h.pass(8*time.Second, alive)
	if h.image().Topic("t").Partitions[0].Leader != 1 {
		t.Fatal("moved within the session's time: it may be a restart")
	}
	h.pass(3*time.Second, alive)
	for i, p := range h.image().Topic("t").Partitions {
		if p.Leader != 2 {
			t.Errorf("partition %d is led by %d", i, p.Leader)
		}
		h.must(h.open(p, 2, two))
	}
}

// TestFailedBroker: a broker that tells that it ends itself is fenced at once, with the cause for everybody to see; what is not in its log moves, and its log can be
// rescued, without a wait for its session. A heartbeat that was on its way changes nothing; its next registration is as any other.
func TestFailedBroker(t *testing.T) {
	h := newHarness(t, nil)
	one, two := h.broker(1), h.broker(2)
	h.must(h.stream(&BrokerWALRequest{Node: 1, NodeEpoch: one, WAL: logA}))
	p := h.topic("t", 1, 1).Partitions
	h.must(h.open(p[0], 1, one))
	for _, r := range []*BrokerFailedRequest{
		{Node: 1, NodeEpoch: one}, {Node: 1, NodeEpoch: one, Cause: strings.Repeat("x", maxCause+1)},
	} {
		if err := h.stream(r); !errors.Is(err, ErrInvalid) {
			t.Errorf("a cause of %d bytes: %v", len(r.Cause), err)
		}
	}
	if err := h.stream(&BrokerFailedRequest{Node: 2, NodeEpoch: one, Cause: "not mine"}); !errors.Is(err, ErrFenced) {
		t.Errorf("for another registration: %v", err)
	}
	if b := h.image().Broker(1); b.Fenced || b.Failure != "" {
		t.Fatalf("refused, and done: %+v", b)
	}
	for range 2 { // the second because the answer to the first was lost
		h.must(h.stream(&BrokerFailedRequest{Node: 1, NodeEpoch: one, Cause: "the device is gone"}))
	}
	late := kmsg.NewPtrBrokerHeartbeatRequest()
	late.BrokerID, late.BrokerEpoch = 1, one
	if r := h.do(late).(*kmsg.BrokerHeartbeatResponse); !r.IsFenced || r.ErrorCode != 0 {
		t.Errorf("a late heartbeat is answered with %+v", r)
	}
	h.ctl.housekeeping()
	if l := h.image().Topic("t").Partitions[1].Leader; l != 2 {
		t.Errorf("the partition of which nothing is in the log is led by %d", l)
	}
	want := map[int32]string{0: "tail on broker 1's write-ahead log 0a000000000000000000000000000000; the broker has ended itself: the device is gone"}
	if got := h.reasons(); !maps.Equal(got, want) {
		t.Errorf("offline: %v, want %v", got, want)
	}
	copied := h.restored()
	if b := copied.Broker(1); !b.Fenced || b.Failure != "the device is gone" || !bytes.Equal(encodeImage(t, copied), encodeImage(t, h.image())) {
		t.Errorf("from a snapshot: %+v", b)
	}
	if again := h.broker(1); again == one || h.image().Broker(1).Failure != "" || len(h.reasons()) != 0 {
		t.Errorf("after its return: %+v, offline %v", h.image().Broker(1), h.reasons())
	} else {
		h.must(h.stream(&BrokerFailedRequest{Node: 1, NodeEpoch: again, Cause: "once more"}))
	}
	if _, err := h.begin(BeginRescueRequest{Node: 1, Incarnation: [16]byte{9}, WAL: logA}); err != nil {
		t.Errorf("a rescue has to wait: %v", err)
	}
	if got, want := h.reasons()[0], "tail on broker 1's write-ahead log 0a000000000000000000000000000000, which is being rescued"; got != want {
		t.Errorf("offline: %q, want %q", got, want)
	}
	h.heartbeat(2, two, false)
}

// TestStreamClosedTooLate: a partition was moved to a broker that died before it opened it. When the old one hands it over, it moves on.
func TestStreamClosedTooLate(t *testing.T) {
	h := newHarness(t, nil)
	one, _, three := h.broker(1), h.broker(2), h.broker(3)
	topic := h.topic("t", 1)
	p := topic.Partitions[0]
	h.must(h.open(p, 1, one))
	h.move(topic.ID, 0, 2)
	alive := map[int32]int64{1: one, 3: three}
	h.pass(10*time.Second, alive)
	if l := h.image().Topic("t").Partitions[0].Leader; l != 2 {
		t.Fatalf("led by %d while its stream is open at broker 1", l)
	}
	h.must(h.stream(&CloseStreamRequest{Stream: p.StreamID, Epoch: int64(p.LeaderEpoch), Node: 1, NodeEpoch: one}))
	h.pass(time.Second, alive)
	if l := h.image().Topic("t").Partitions[0].Leader; l == 2 {
		t.Fatal("still led by the dead broker")
	}
}

func (h *harness) begin(r BeginRescueRequest) (int64, error) {
	h.t.Helper()
	resp := h.do(&r).(*StreamResponse)
	return resp.Epoch, resp.Err()
}

// TestRescue: the whole of it, with everybody who may get in the way.
func TestRescue(t *testing.T) {
	h := newHarness(t, nil)
	one, two := h.broker(1), h.broker(2)
	alive := map[int32]int64{2: two}
	h.must(h.stream(&BrokerWALRequest{Node: 1, NodeEpoch: one, WAL: logA}))
	p := h.topic("t", 1, 1).Partitions
	h.must(h.open(p[0], 1, one))
	first := h.prepare(1, one, 2)
	extend := func(id ObjectID, epoch, start, end int64) error {
		return h.stream(&CommitObjectsRequest{Node: 1, NodeEpoch: epoch, Extends: true, New: []NewObject{{ID: id, Kind: StreamObject, Size: 10,
			Ranges: []Range{{Stream: p[0].StreamID, Epoch: int64(p[0].LeaderEpoch), Start: start, End: end, Bytes: 10}}}}})
	}
	h.must(extend(first, one, 0, 5))

	for name, c := range map[string]struct {
		r    BeginRescueRequest
		want error
		text string
	}{
		"alive":     {BeginRescueRequest{Node: 1, Incarnation: [16]byte{1}, WAL: logA}, ErrConflict, "is alive"},
		"wrong log": {BeginRescueRequest{Node: 1, Incarnation: [16]byte{1}, WAL: logB}, ErrInvalid, "has used the write-ahead log 0a"},
		"forced":    {BeginRescueRequest{Node: 1, Incarnation: [16]byte{1}, WAL: logB, Force: true}, ErrInvalid, "has used"},
		"no log":    {BeginRescueRequest{Node: 2, Incarnation: [16]byte{1}, WAL: logB}, ErrInvalid, "nothing to rescue"},
		"unknown":   {BeginRescueRequest{Node: 3, Incarnation: [16]byte{1}, WAL: logB}, ErrNotFound, "not registered"},
	} {
		if _, err := h.begin(c.r); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.pass(10*time.Second, alive)
	ask := BeginRescueRequest{Node: 1, Incarnation: [16]byte{1}, WAL: logA}
	epoch, err := h.begin(ask)
	h.must(err)
	if again, err := h.begin(ask); err != nil || again != epoch {
		t.Fatalf("asked again: epoch %d, %v, want %d", again, err, epoch)
	}
	if got := h.reasons()[0]; !strings.HasSuffix(got, "which is being rescued") {
		t.Errorf("reason %q", got)
	}
	// The old process wakes up: it can neither commit nor go on living.
	if err := extend(first+1, one, 5, 9); !errors.Is(err, ErrFenced) {
		t.Errorf("a commit of the dead broker: %v", err)
	}
	if r := h.heartbeat(1, one, false); r.ErrorCode != kafkaStaleBrokerEpoch {
		t.Errorf("a heartbeat of the dead broker: code %d", r.ErrorCode)
	}
	// A new process, and another rescue, are told to wait.
	reg := kmsg.NewPtrBrokerRegistrationRequest()
	reg.BrokerID, reg.ClusterID, reg.IncarnationID = 1, testCluster, randomID()
	reg.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: "host", Port: 9092}}
	if r := h.do(reg).(*kmsg.BrokerRegistrationResponse); r.ErrorCode != kafkaDuplicateRegistration {
		t.Errorf("registration during a rescue: code %d", r.ErrorCode)
	}
	if _, err := h.begin(BeginRescueRequest{Node: 1, Incarnation: [16]byte{2}, WAL: logA}); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "is being rescued") {
		t.Errorf("a second rescue: %v", err)
	}
	// It dies on the way, and another one goes on.
	h.pass(10*time.Second, alive)
	epoch, err = h.begin(BeginRescueRequest{Node: 1, Incarnation: [16]byte{2}, WAL: logA})
	h.must(err)
	second := h.prepare(1, epoch, 1)
	h.must(extend(second, epoch, 5, 9))
	finish := &FinishRescueRequest{Node: 1, NodeEpoch: epoch, WAL: logA}
	r := h.do(finish).(*StreamResponse)
	h.must(r.Err())
	if r.Closed != 1 || r.Left != 0 || r.Moved != 1 {
		t.Errorf("finished with %+v", r)
	}
	h.must(h.stream(finish)) // the answer was lost
	// All of it again, at once: there is nothing left to do.
	epoch, err = h.begin(BeginRescueRequest{Node: 1, Incarnation: [16]byte{3}, WAL: logA})
	h.must(err)
	if r := h.do(&FinishRescueRequest{Node: 1, NodeEpoch: epoch, WAL: logA}).(*StreamResponse); r.Err() != nil || r.Closed+r.Moved+r.Left != 0 {
		t.Errorf("again: %+v", r)
	}
	for i, p := range h.image().Topic("t").Partitions {
		if p.Leader != 2 {
			t.Errorf("partition %d is led by %d", i, p.Leader)
		}
		h.must(h.open(p, 2, two))
	}
	if got := h.reasons(); len(got) != 0 {
		t.Errorf("offline after the rescue: %v", got)
	}
	// The broker comes back, and a snapshot remembers that its log was rescued, and when.
	h.broker(1)
	b := h.image().Broker(1)
	if b.Rescue || b.WAL != ([16]byte{}) || b.RescuedWAL != logA || b.RescuedEpoch != epoch || b.Epoch <= epoch {
		t.Errorf("broker %+v", b)
	}
	if got := h.restored().Broker(1); got.RescuedWAL != logA || got.RescuedEpoch != epoch || got.Epoch != b.Epoch || len(got.Endpoints) != 1 {
		t.Errorf("from a snapshot: %+v, want %+v", got, b)
	}
}
