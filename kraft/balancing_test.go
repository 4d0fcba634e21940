package kraft

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/balancer"
	"github.com/ringmq/ringmq/kraft/record"
)

// fleet are brokers that do what brokers do: they follow the image and report the load of what they lead. Each partition has the load of its number.
type fleet struct {
	*harness
	epochs map[int32]int64
	mute   map[int32]bool
	load   func(topic string, partition int32) int64 // bytes a second
}

func newFleet(t *testing.T, brokers ...int32) *fleet {
	f := &fleet{epochs: map[int32]int64{}, mute: map[int32]bool{}, load: func(string, int32) int64 { return 4 << 20 }}
	f.harness = newHarness(t, func(o *Options) {
		o.Balancer = func(get func(string) (string, bool)) balancer.Settings {
			s := balancer.Defaults()
			if v, ok := get("autobalancer.controller.enable"); ok {
				s.Enabled = v == "true"
			}
			return s
		}
	})
	for _, id := range brokers {
		f.epochs[id] = f.broker(id)
	}
	return f
}

// open has brokers open the streams of which they lead the partition or are to, handed over by the owner, at most n of them.
func (f *fleet) open(n int) {
	f.t.Helper()
	img := f.image()
	img.Topics(func(t *Topic) bool {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			s, _ := img.Stream(p.StreamID)
			if s.Node == p.Leader && s.Epoch == int64(p.LeaderEpoch) && p.Target < 0 || n == 0 {
				continue
			}
			r := &OpenStreamRequest{Stream: s.ID, Epoch: int64(p.LeaderEpoch), Node: p.Leader, NodeEpoch: f.epochs[p.Leader]}
			if p.Target >= 0 {
				r.Epoch, r.Node, r.NodeEpoch = r.Epoch+1, p.Target, f.epochs[p.Target]
				r.HandedOver, r.From, r.FromEpoch = true, s.Node, s.Epoch
			}
			if err := f.stream(r); err != nil {
				f.t.Fatal(err)
			}
			n--
		}
		return true
	})
}

// report has every broker report.
func (f *fleet) report() {
	f.t.Helper()
	for id, epoch := range f.epochs {
		if f.mute[id] {
			continue
		}
		r := &ReportLoadRequest{Node: id, NodeEpoch: epoch, Host: HostLoad{CPUMillis: 500, CPUCapacityMillis: 4000, WALUsed: 1 << 20, WALCapacity: 1 << 30}}
		f.image().Topics(func(t *Topic) bool {
			for i := range t.Partitions {
				if p := &t.Partitions[i]; p.Leader == id {
					n := f.load(t.Name, int32(i))
					r.Partitions = append(r.Partitions, PartitionLoad{Stream: p.StreamID, BytesIn: n, BytesOut: n, MilliRequests: n / 1000})
				}
			}
			return true
		})
		if err := f.do(r).(*BalancerResponse).Err(); err != nil {
			f.t.Fatal(err)
		}
	}
}

// pass lets virtual time pass: reports every 5 s, and the balancer looks every second. Brokers open what they get at once.
func (f *fleet) pass(d time.Duration) {
	f.t.Helper()
	for i := 0; i < int(d/time.Second); i++ {
		f.now = f.now.Add(time.Second)
		if f.now.Unix()%5 == 0 {
			f.report()
		}
		f.ctl.balancing.step(f.now)
		f.open(math.MaxInt)
	}
}

func (f *fleet) leads() map[int32]int {
	m := make(map[int32]int)
	f.image().Brokers(func(b *Broker) bool {
		m[b.ID] = f.image().PartitionsLed(b.ID)
		return true
	})
	return m
}

func (f *fleet) drain(id int32, drain bool) error {
	f.t.Helper()
	return f.do(&DrainBrokerRequest{Broker: id, Drain: drain}).(*BalancerResponse).Err()
}

func (f *fleet) describe(plan bool) BalancerState {
	f.t.Helper()
	s, err := f.do(&DescribeBalancerRequest{Plan: plan}).(*BalancerResponse).BalancerState()
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *fleet) setConfig(key, value string) {
	f.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Value: &value}}}}
	if r := f.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; r.ErrorCode != 0 {
		f.t.Fatalf("set %s: code %d", key, r.ErrorCode)
	}
}

func alternating(n int, brokers ...int32) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = brokers[i%len(brokers)]
	}
	return out
}

// TestBalancerScaleOut: brokers that join a loaded cluster get their share within a minute, and then it is quiet.
func TestBalancerScaleOut(t *testing.T) {
	f := newFleet(t, 1, 2)
	f.topic("t", alternating(40, 1, 2)...)
	f.open(math.MaxInt)
	f.pass(time.Minute)
	if got := f.leads(); got[1] != 20 || got[2] != 20 {
		t.Fatalf("a balanced cluster was changed: %v", got)
	}
	f.epochs[3], f.epochs[4] = f.broker(3), f.broker(4)
	f.pass(30 * time.Second)
	if got := f.leads(); !reflect.DeepEqual(got, map[int32]int{1: 10, 2: 10, 3: 10, 4: 10}) {
		t.Fatalf("after half a minute: %v; %+v", got, f.describe(true).Plan)
	}
	before := f.image().Offset()
	f.pass(5 * time.Minute)
	if f.image().Offset() != before {
		t.Errorf("it goes on moving: %+v", f.describe(true))
	}
	s := f.describe(false)
	if s.State != "idle" || s.Begun != 20 || s.Done != 20 || s.Failed != 0 || s.Plan != nil || len(s.Brokers) != 4 || s.Brokers[3].Doubt != "" {
		t.Errorf("%+v", s)
	}
}

// TestBalancerTrustsReports: without figures of a broker nothing is moved to it or from it, and old ones do not count.
func TestBalancerTrustsReports(t *testing.T) {
	f := newFleet(t, 1, 2, 3)
	f.mute[3] = true
	f.topic("t", alternating(20, 1)...)
	f.pass(2 * time.Minute)
	if got := f.leads(); got[1] != 10 || got[2] != 10 || got[3] != 0 {
		t.Fatalf("%v", got)
	}
	plan := f.describe(true).Plan
	if b := plan.Brokers[2]; b.State != "stale" || b.Why != "it has not reported its load yet" {
		t.Errorf("%+v", b)
	}
	f.mute[3] = false
	f.pass(time.Minute)
	if got := f.leads(); got[3] < 6 {
		t.Fatalf("%v: %+v", got, f.describe(true))
	}
	// A broker that is silent keeps what it has.
	f.mute[3] = true
	f.pass(2 * time.Minute)
	was := f.leads()[3]
	f.load = func(_ string, i int32) int64 { return int64(i) << 20 }
	f.pass(2 * time.Minute)
	if got := f.leads(); got[3] != was {
		t.Errorf("broker 3 had %d partitions, has %d", was, got[3])
	}
	// Reports of a former life are refused.
	old := &ReportLoadRequest{Node: 1, NodeEpoch: f.epochs[1] - 1}
	if err := f.do(old).(*BalancerResponse).Err(); err == nil {
		t.Error("a report of another epoch was taken")
	}
}

// TestBalancerWaves: the next wave waits until the new owners have opened the streams of the one before, and a wave that does not end is given up.
func TestBalancerWaves(t *testing.T) {
	f := newFleet(t, 1, 2)
	f.topic("t", alternating(300, 1)...)
	f.open(math.MaxInt)
	f.report()
	f.report()
	step := func() { f.now = f.now.Add(time.Second); f.ctl.balancing.step(f.now) }
	step()
	moved := func() (n int) { // or being moved
		for _, p := range f.image().Topic("t").Partitions {
			if p.Leader == 2 || p.Target == 2 {
				n++
			}
		}
		return n
	}
	if moved() != 50 {
		t.Fatalf("the first wave has %d moves", moved())
	}
	f.open(49)
	for range 5 {
		step()
	}
	if s := f.describe(false); moved() != 50 || s.State != "moving" || len(s.UnderWay) != 1 || len(s.Waiting) < 50 {
		t.Fatalf("%d moves, %d under way, %d waiting, %s", moved(), len(s.UnderWay), len(s.Waiting), s.State)
	}
	f.open(1)
	step()
	step()
	if moved() != 100 {
		t.Fatalf("the second wave has %d moves", moved()-50)
	}
	f.now = f.now.Add(2 * time.Minute)
	step()
	if s := f.describe(false); moved() != 100 || s.State != "idle" || s.Failed != 50 {
		t.Fatalf("%d moves, %+v", moved(), s)
	}
}

// TestBalancerDrain: everything leaves a broker that drains, nothing new comes, it stays so over a restart of the broker and ends when told, or with the broker.
func TestBalancerDrain(t *testing.T) {
	f := newFleet(t, 1, 2, 3)
	f.setConfig("autobalancer.controller.enable", "false") // it drains all the same
	f.topic("t", alternating(60, 1, 2, 3)...)
	f.load = func(_ string, i int32) int64 { return int64(i%2) << 20 }
	f.open(math.MaxInt)
	f.pass(20 * time.Second)
	if err := f.drain(9, true); err == nil {
		t.Error("a broker that is not there drains")
	}
	if err := f.drain(3, true); err != nil {
		t.Fatal(err)
	}
	f.pass(20 * time.Second)
	if got := f.leads(); got[3] != 0 || max(got[1], got[2])-min(got[1], got[2]) > 2 {
		t.Fatalf("%v: %+v", got, f.describe(true))
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "new", 30, 1
	create.Topics = append(create.Topics, rt)
	f.do(create)
	alter := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	at := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	at.Topic, at.Partitions = "t", []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0, Replicas: []int32{3}}}
	alter.Topics = append(alter.Topics, at)
	if r := f.do(alter).(*kmsg.AlterPartitionAssignmentsResponse).Topics[0].Partitions[0]; r.ErrorCode != kafkaInvalidAssignment {
		t.Errorf("reassigned to a draining broker: code %d", r.ErrorCode)
	}
	f.epochs[3] = f.broker(3) // its process starts anew
	f.pass(time.Minute)
	if got := f.leads(); got[3] != 0 || !f.image().Broker(3).Draining {
		t.Fatalf("%v", got)
	}
	if err := f.drain(3, false); err != nil {
		t.Fatal(err)
	}
	f.setConfig("autobalancer.controller.enable", "true")
	f.load = func(string, int32) int64 { return 2 << 20 }
	f.pass(time.Minute)
	if got := f.leads(); got[3] < 25 {
		t.Errorf("%v", got)
	}
	f.drain(3, true)
	f.do(&kmsg.UnregisterBrokerRequest{BrokerID: 3})
	if f.epochs[3] = f.broker(3); f.image().Broker(3).Draining {
		t.Error("it drains although it was forgotten")
	}
}

// TestBalancerLeadership: a controller that comes to lead collects reports before it decides, and one that resigns drops its plan.
func TestBalancerLeadership(t *testing.T) {
	f := newFleet(t, 1, 2)
	f.topic("t", alternating(200, 1)...)
	f.open(math.MaxInt)
	f.report()
	f.report()
	f.now = f.now.Add(time.Second)
	f.ctl.balancing.step(f.now)
	if s := f.describe(false); len(s.Waiting) == 0 {
		t.Fatalf("%+v", s)
	}
	f.ctl.deactivate()
	f.ctl.balancing.step(f.now)
	if _, err := f.ctl.balancing.serve(&DescribeBalancerRequest{}); err == nil {
		t.Error("it answers without being active")
	}
	f.ctl.activate(2, f.image())
	was := f.describe(false).Begun
	for range 60 {
		f.now = f.now.Add(time.Second)
		f.ctl.balancing.step(f.now)
	}
	if n := f.describe(false).Begun; n != was {
		t.Errorf("%d moves without a report", n-was)
	}
}

// TestBalancerSlow: what is in use leaves a broker whose appends are slow, and does not come back at once.
func TestBalancerSlow(t *testing.T) {
	f := newFleet(t, 1, 2, 3)
	f.topic("t", alternating(30, 1, 2, 3)...)
	f.load = func(_ string, i int32) int64 { return int64(i%10) << 20 }
	f.open(math.MaxInt)
	f.pass(time.Minute)
	had := f.image().PartitionsLed(2)
	slow := true
	report := func() {
		f.report()
		for id, l := range f.ctl.balancing.mu.loads.brokers {
			l.host.AppendSamples, l.host.AppendMedianMicros = 20, 900
			if id == 2 && slow {
				l.host.AppendMedianMicros = 120_000
			}
		}
	}
	pass := func(rounds int) {
		for range rounds * 10 {
			f.now = f.now.Add(time.Second)
			if f.now.Unix()%5 == 0 {
				report()
			}
			f.ctl.balancing.step(f.now)
			f.open(math.MaxInt)
		}
	}
	pass(5)
	s := f.describe(true)
	if n := f.image().PartitionsLed(2); n >= had || !s.Brokers[1].Slow || s.Plan.Brokers[1].State != "slow" || s.Plan.Brokers[1].Load["network in"] > 0 {
		t.Fatalf("%d partitions of %d left, %+v", n, had, s.Plan.Brokers[1])
	}
	slow = false
	pass(10)
	if n := f.image().PartitionsLed(2); n >= had {
		t.Errorf("%d partitions after ten good rounds", n)
	}
	pass(30)
	if s := f.describe(true); s.Plan.Brokers[1].Load["network in"] == 0 {
		t.Errorf("it is never trusted again: %+v", s.Plan.Brokers[1])
	}
}

// TestLoadsMemory: reports about partitions that a broker does not lead leave nothing, and what a partition brings along is counted once.
func TestLoadsMemory(t *testing.T) {
	f := newFleet(t, 1, 2)
	topic := f.topic("t", 1, 2)
	f.open(math.MaxInt)
	l, img := newLoads(), f.image()
	take := func(node int32, parts ...PartitionLoad) {
		t.Helper()
		if err := l.take(img, &ReportLoadRequest{Node: node, NodeEpoch: f.epochs[node], Partitions: parts}, f.now); err != nil {
			t.Fatal(err)
		}
	}
	zero, one := topic.Partitions[0].StreamID, topic.Partitions[1].StreamID
	var junk []PartitionLoad
	for i := range 1000 {
		junk = append(junk, PartitionLoad{Stream: StreamID(1000 + i), BytesIn: 1 << 20})
	}
	take(1, append(junk, PartitionLoad{Stream: zero, BytesIn: 1000}, PartitionLoad{Stream: one, BytesIn: 1000})...)
	if n := len(l.brokers[1].parts); n != 1 {
		t.Errorf("%d entries", n)
	}
	take(2)
	sum := func() (in float32) {
		for _, b := range l.brokers {
			for _, p := range b.parts {
				in += p.in
			}
		}
		return in
	}
	f.move(topic.ID, 0, 2)
	img = f.image()
	take(2, PartitionLoad{Stream: zero, BytesIn: 100}) // not a whole interval
	l.follow(img)
	if sum() != 1000 || l.brokers[2].parts[zero].in != 1000 {
		t.Errorf("%+v", l.brokers[2].parts)
	}
	take(2, PartitionLoad{Stream: zero, BytesIn: 400})
	take(2, PartitionLoad{Stream: zero, BytesIn: 600})
	if sum() != 1000 {
		t.Errorf("%+v", l.brokers[2].parts)
	}
	take(2, PartitionLoad{Stream: zero, BytesIn: 2000})
	if sum() != 1500 {
		t.Errorf("%+v", l.brokers[2].parts)
	}
	for range 20 {
		take(2)
	}
	f.deleteTopic("t")
	if l.follow(f.image()); sum() != 0 || len(l.brokers[2].parts) != 0 {
		t.Errorf("%+v", l.brokers[2].parts)
	}
}

// TestBalancerRequests: what is written is what is read.
func TestBalancerRequests(t *testing.T) {
	for _, req := range []kmsg.Request{
		&ReportLoadRequest{Node: 3, NodeEpoch: 9, Host: HostLoad{1, 2, 3, 4, 5, 6, 7, 8}, Partitions: []PartitionLoad{{1, 2, 3, 4}, {5, math.MaxInt64, 7, 8}}},
		&DrainBrokerRequest{Broker: 7, Drain: true}, &DescribeBalancerRequest{Plan: true},
	} {
		got := requestOf(req.Key())
		if err := got.ReadFrom(req.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, req) {
			t.Errorf("%+v reads as %+v, %v", req, got, err)
		}
		for n := range req.AppendTo(nil) {
			if err := requestOf(req.Key()).ReadFrom(req.AppendTo(nil)[:n]); err == nil {
				t.Errorf("%T of %d bytes was read", req, n)
			}
		}
	}
	r := &BalancerResponse{key: keyDescribeBalancer, Code: CodeNotFound, Message: "m", State: []byte("{}")}
	got := r.RequestKind().ResponseKind()
	if err := got.ReadFrom(r.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDrainingSurvivesSnapshots: an image made of an image's records is the same.
func TestDrainingSurvivesSnapshots(t *testing.T) {
	f := newFleet(t, 1, 2)
	f.drain(2, true)
	var kinds []string
	f.image().Records(func(r record.Record) error {
		kinds = append(kinds, fmt.Sprint(r.Kind()))
		return nil
	})
	if !slices.Contains(kinds, "BrokerDraining") {
		t.Errorf("%v", kinds)
	}
}

// BenchmarkLoads measures what the controller pays for brokers with 100,000 partitions under load: one report of them, and one round.
func BenchmarkLoads(b *testing.B) {
	h := newHarness(b, nil)
	epoch := map[int32]int64{}
	for id := range int32(10) {
		epoch[id] = h.broker(id)
	}
	h.ctl.mu.Lock()
	tx := h.ctl.begin()
	for n := range 100 {
		id := randomID()
		tx.add(&record.TopicCreated{ID: id, Name: fmt.Sprint("t", n), ReplicationFactor: 1})
		tx.addPartitions(id, 0, alternating(1000, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9))
	}
	_, err := h.ctl.propose(tx)
	h.ctl.mu.Unlock()
	if err != nil {
		b.Fatal(err)
	}
	reports := make([]*ReportLoadRequest, 10)
	for id := range reports {
		reports[id] = &ReportLoadRequest{Node: int32(id), NodeEpoch: epoch[int32(id)]}
	}
	bytes := 0
	h.image().Topics(func(t *Topic) bool {
		for i := range t.Partitions {
			r := reports[t.Partitions[i].Leader]
			r.Partitions = append(r.Partitions, PartitionLoad{Stream: t.Partitions[i].StreamID, BytesIn: int64(i) << 10, BytesOut: int64(i) << 11, MilliRequests: int64(i)})
		}
		return true
	})
	for _, r := range reports {
		bytes += len(r.AppendTo(nil))
	}
	l := newLoads()
	all := func() {
		for _, r := range reports {
			if err := l.take(h.image(), r, h.now); err != nil {
				b.Fatal(err)
			}
		}
	}
	all()
	all()
	b.Run("report-of-100k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			all()
		}
		b.ReportMetric(float64(bytes), "wire-B")
	})
	b.Run("round-of-100k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.follow(h.image())
			balancer.New().Round(l.cluster(h.image(), h.now, balancer.Defaults()), balancer.Defaults())
		}
	})
}
