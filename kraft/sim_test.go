package kraft

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

// The simulation runs three voters in one goroutine, on disks that lose what was not acknowledged and a network that drops, repeats, delays and reorders.
// Everything random comes from one seed: elections are called by the simulation (raft's own jitter is not seeded), and what a node does next is drawn
// step by step: deliver its mail, handle a Ready, write a part of what waits for the disk, apply a part of what is committed. Clients ask any node at
// any time. The invariants are checked after every step.

type simulation struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Time
	nodes []*simNode
	wire  []*pb.Message // on its way, in no order
	calm  bool          // no faults any more

	entries map[int64]uint64 // digest of each applied entry, by index
	images  map[int64]uint64 // digest of each published image, by offset
	active  map[int64]int32  // which node was the active controller of a term
	asked   []*simRequest
	granted map[string]TopicID
	names   int // of topics asked for
	counts  map[string]int
}

type simRequest struct {
	name string
	p    *pending
	resp kmsg.Response
}

// simNode is one voter. What is above the disk goes with every crash.
type simNode struct {
	s       *simulation
	id      int32
	disk    *simDisk
	core    *core
	ctl     *controller
	applier *applier
	machine *machine
	appends []appendItem
	applies []applyItem
	up      bool
	broken  error
}

// simDisk is a raft log that survives a crash.
type simDisk struct {
	s     *simulation
	mem   *raft.MemoryStorage
	conf  *pb.ConfState
	snaps map[snapfile.ID]*Image // files
	last  snapfile.ID            // the newest that the log knows
	tear  bool                   // the next write is cut short by a crash
}

var errCrash = errors.New("simulated crash")

func (d *simDisk) Storage() raft.Storage { return d.mem }

func (d *simDisk) Append(hs *pb.HardState, ents []*pb.Entry) error {
	if d.tear {
		// Any prefix of the entries, and not the hard state, which follows them.
		d.tear = false
		if err := d.mem.Append(ents[:d.s.rng.IntN(len(ents)+1)]); err != nil {
			return err
		}
		return errCrash
	}
	if err := d.mem.Append(ents); err != nil {
		return err
	}
	if raft.IsEmptyHardState(hs) {
		return nil
	}
	return d.mem.SetHardState(hs)
}

func (d *simDisk) meta(id snapfile.ID) *pb.Snapshot {
	return &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(uint64(id.Index)), Term: new(uint64(id.Term)), ConfState: d.conf}}
}

func (d *simDisk) Install(id snapfile.ID) error {
	d.last = id
	hs, _, err := d.mem.InitialState()
	if err != nil {
		return err
	}
	if err := d.mem.ApplySnapshot(d.meta(id)); err != nil {
		return err
	}
	return d.mem.SetHardState(&pb.HardState{Term: new(hs.GetTerm()), Vote: new(hs.GetVote()), Commit: new(max(hs.GetCommit(), uint64(id.Index)))})
}

func (d *simDisk) Load(id snapfile.ID) (*Image, error) {
	if img := d.snaps[id]; img != nil {
		return img, nil
	}
	return nil, fmt.Errorf("no file of snapshot %d", id.Index)
}

func (d *simDisk) Compact(id snapfile.ID, trailing, applied int64) error {
	if _, err := d.mem.CreateSnapshot(uint64(id.Index), d.conf, nil); err != nil {
		if errors.Is(err, raft.ErrSnapOutOfDate) {
			return nil
		}
		return err
	}
	d.last = id
	if to := uint64(max(0, min(id.Index, applied)-trailing)); to > 0 {
		if err := d.mem.Compact(to); err != nil && !errors.Is(err, raft.ErrCompacted) {
			return err
		}
	}
	return nil
}

// reopen is what a restart reads: everything that was written.
func (d *simDisk) reopen() error {
	old := d.mem
	hs, _, err := old.InitialState()
	if err != nil {
		return err
	}
	last, _ := old.LastIndex()
	d.mem = raft.NewMemoryStorage()
	if err := d.mem.ApplySnapshot(d.meta(d.last)); err != nil {
		return err
	}
	if hs != nil {
		if err := d.mem.SetHardState(proto.Clone(hs).(*pb.HardState)); err != nil {
			return err
		}
	}
	if last > uint64(d.last.Index) {
		ents, err := old.Entries(uint64(d.last.Index)+1, last+1, 1<<60)
		if err != nil {
			return err
		}
		return d.mem.Append(ents)
	}
	return nil
}

// submit implements proposer: there is one goroutine, so the loop is here.
func (n *simNode) submit(term int64, data []byte) error {
	return n.core.propose(&proposal{term: term, data: data})
}

// stopped implements proposer.
func (n *simNode) stopped() <-chan struct{} { return n.core.stop }

// send implements transport.
func (n *simNode) send(m *pb.Message) { n.s.wire = append(n.s.wire, proto.Clone(m).(*pb.Message)) }

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t: t, rng: rand.New(rand.NewPCG(seed, 4)), now: time.UnixMilli(1_700_000_000_000),
		entries: make(map[int64]uint64), images: make(map[int64]uint64), active: make(map[int64]int32), granted: make(map[string]TopicID),
		counts: make(map[string]int),
	}
	for id := int32(1); id <= 3; id++ {
		d := &simDisk{
			s: s, mem: raft.NewMemoryStorage(), conf: &pb.ConfState{Voters: []uint64{raftID(1), raftID(2), raftID(3)}}, snaps: make(map[snapfile.ID]*Image),
		}
		if err := d.reopen(); err != nil {
			t.Fatal(err)
		}
		n := &simNode{s: s, id: id, disk: d}
		s.nodes = append(s.nodes, n)
		n.start()
	}
	return s
}

func (n *simNode) start() {
	s := n.s
	o := Options{
		NodeID: n.id, ClusterID: testCluster, Voters: map[int32]string{1: "", 2: "", 3: ""}, Logger: testLogger(s.t), Now: func() time.Time { return s.now },
	}.withDefaults()
	cfg := coreConfig(o)
	cfg.ElectionTick = 1 << 30 // the simulation calls elections
	img := n.disk.snaps[n.disk.last]
	if n.disk.last == (snapfile.ID{}) {
		img = image.New()
	}
	var err error
	if n.core, err = newCore(o, cfg, n.disk, n, img.Offset(), func(err error) { n.broken = err }); err != nil {
		s.t.Fatal(err)
	}
	n.ctl = newController(o, n)
	n.applier = &applier{ctl: n.ctl, subs: newSubscribers(img)}
	n.applier.image.Store(img)
	n.machine = &machine{applier: n.applier, ctl: n.ctl, respond: n.core.respond}
	n.appends, n.applies, n.up = nil, nil, true
}

func (n *simNode) crash() {
	n.s.counts["crash"]++
	n.up = false
	n.ctl.deactivate()
}

func drain[T any](q *queue[T]) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}

// work lets the node do one thing.
func (n *simNode) work() {
	s := n.s
	switch s.rng.IntN(4) {
	case 0:
		n.core.deliver()
	case 1:
		if n.core.rn.HasReady() {
			var role roleChange
			if st := n.core.status.Load(); st != nil {
				role = roleChange{term: st.term, leader: st.isLeader}
			}
			n.core.ready(&role)
			n.appends = append(n.appends, drain(n.core.appends)...)
			n.applies = append(n.applies, drain(n.core.applies)...)
		}
	case 2:
		if len(n.appends) == 0 {
			return
		}
		k := 1 + s.rng.IntN(len(n.appends))
		n.disk.tear = !s.calm && s.rng.IntN(200) == 0
		err := n.core.appendAll(n.appends[:k], 0)
		n.disk.tear = false
		n.appends = n.appends[k:]
		n.applies = append(n.applies, drain(n.core.applies)...)
		switch {
		case errors.Is(err, errCrash):
			s.counts["torn write"]++
			n.crash()
		case err != nil:
			s.t.Fatalf("node %d: %v", n.id, err)
		}
	case 3:
		if len(n.applies) == 0 {
			return
		}
		k := 1 + s.rng.IntN(len(n.applies))
		for _, it := range n.applies[:k] {
			n.step(it)
		}
		n.applies = n.applies[k:]
	}
}

func (n *simNode) step(it applyItem) {
	s := n.s
	before := n.applier.image.Load().Offset()
	if err := n.machine.step(it); err != nil {
		s.t.Fatalf("node %d: %v", n.id, err)
	}
	for _, e := range it.msg.GetEntries() {
		h := fnv.New64a()
		fmt.Fprint(h, e.GetTerm(), e.GetData())
		s.same(s.entries, int64(e.GetIndex()), h.Sum64(), "entry", n)
	}
	if img := n.applier.image.Load(); img.Offset() != before {
		s.same(s.images, img.Offset(), digest(s.t, img), "image", n)
	}
	n.ctl.mu.Lock()
	term := n.ctl.mu.term
	n.ctl.mu.Unlock()
	if term > 0 {
		if other, ok := s.active[term]; ok && other != n.id {
			s.t.Fatalf("nodes %d and %d are both active in term %d", other, n.id, term)
		}
		if _, ok := s.active[term]; !ok {
			s.counts["term"]++
		}
		s.active[term] = n.id
	}
}

// same requires that a value is what it was when it was seen first.
func (s *simulation) same(seen map[int64]uint64, at int64, value uint64, what string, n *simNode) {
	if old, ok := seen[at]; ok && old != value {
		s.t.Fatalf("%s at %d of node %d differs from what another node had", what, at, n.id)
	}
	seen[at] = value
}

// step makes one thing happen.
func (s *simulation) step() {
	s.now = s.now.Add(time.Millisecond)
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	switch x := s.rng.IntN(1000); {
	case !n.up:
		if s.calm || x < 5 {
			if err := n.disk.reopen(); err != nil {
				s.t.Fatal(err)
			}
			n.start()
		}
	case x < 1 && !s.calm && s.rng.IntN(4) == 0:
		n.crash()
	case x < 8 && s.leaders() == 0 || x < 1 && !s.calm:
		// The node's patience is over.
		if n.core.status.Load().isLeader {
			return
		}
		s.counts["election"]++
		_ = n.core.rn.ForgetLeader()
		_ = n.core.rn.Campaign()
	case x < 30:
		n.core.rn.Tick()
	case x < 60:
		s.ask(n)
	case x < 64:
		s.snapshot(n)
	case x < 66:
		n.ctl.housekeeping()
	case x < 400:
		s.deliver()
	default:
		n.work()
	}
	s.collect()
}

func (s *simulation) leaders() int {
	count := 0
	for _, n := range s.nodes {
		if n.up && n.core.status.Load().isLeader {
			count++
		}
	}
	return count
}

// deliver takes a message off the wire.
func (s *simulation) deliver() {
	if len(s.wire) == 0 {
		return
	}
	i := s.rng.IntN(len(s.wire))
	if s.rng.IntN(2) == 0 || s.calm {
		i = 0 // mostly in order, or nothing would ever work
	}
	m := s.wire[i]
	fault := s.rng.IntN(100)
	if s.calm {
		fault = 100
	}
	if fault >= 3 { // or it will come again
		s.wire = append(s.wire[:i:i], s.wire[i+1:]...)
	}
	to, from := s.nodes[nodeID(m.GetTo())-1], s.nodes[nodeID(m.GetFrom())-1]
	if fault >= 3 && fault < 8 || !to.up {
		if m.GetType() == pb.MsgSnap && from.up {
			from.core.rn.ReportSnapshot(m.GetTo(), raft.SnapshotFailure)
		}
		return
	}
	if m.GetType() != pb.MsgSnap {
		to.core.fromPeer(proto.Clone(m).(*pb.Message))
		return
	}
	id := snapfile.ID{Index: int64(m.GetSnapshot().GetMetadata().GetIndex()), Term: int64(m.GetSnapshot().GetMetadata().GetTerm())}
	img := from.disk.snaps[id]
	if from.up && from.core.status.Load().isLeader {
		from.core.rn.ReportSnapshot(m.GetTo(), raft.SnapshotFinish)
	}
	if img == nil {
		return
	}
	s.counts["snapshot sent"]++
	to.disk.snaps[id] = img
	to.core.received.Lock()
	to.core.received.image = img
	to.core.received.Unlock()
	to.core.fromPeer(proto.Clone(m).(*pb.Message))
}

// snapshot takes one of the node's image.
func (s *simulation) snapshot(n *simNode) {
	img := n.applier.image.Load()
	id := snapfile.ID{Index: img.Offset(), Term: img.Term()}
	if id.Index <= n.disk.last.Index {
		return
	}
	s.counts["snapshot"]++
	n.disk.snaps[id] = img
	n.appends = append(n.appends, appendItem{compact: &id})
}

// ask has a client send a request to a node.
func (s *simulation) ask(n *simNode) {
	s.names++
	name := fmt.Sprintf("t%d", s.names)
	var req kmsg.Request
	switch s.rng.IntN(3) {
	case 0:
		r := kmsg.NewPtrBrokerRegistrationRequest()
		r.BrokerID, r.ClusterID, r.IncarnationID = 1, testCluster, [16]byte{byte(s.rng.IntN(4))}
		r.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "P", Host: "h", Port: 1}}
		req, name = r, ""
	default:
		r := kmsg.NewPtrCreateTopicsRequest()
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, -1, -1
		rt.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{1}}}
		r.Topics = append(r.Topics, rt)
		req = r
	}
	p, resp, err := n.ctl.start(req)
	if err != nil {
		if !errors.Is(err, ErrNotController) && !errors.Is(err, errBusy) {
			s.t.Fatal(err)
		}
		return
	}
	if p != nil {
		s.asked = append(s.asked, &simRequest{name: name, p: p, resp: resp})
	}
}

// collect looks which requests have got their answer.
func (s *simulation) collect() {
	left := s.asked[:0]
	for _, r := range s.asked {
		select {
		case <-r.p.done:
		default:
			left = append(left, r)
			continue
		}
		if r.p.err != nil {
			s.counts["unknown outcome"]++
			continue
		}
		if resp, ok := r.resp.(*kmsg.CreateTopicsResponse); ok && resp.Topics[0].ErrorCode == 0 {
			s.granted[r.name] = resp.Topics[0].TopicID
			s.counts["granted"]++
		}
	}
	s.asked = left
}

// settle ends the faults and waits until all agree.
func (s *simulation) settle() {
	s.calm = true
	for range 400_000 {
		s.step()
		if s.settled() {
			break
		}
	}
	if !s.settled() {
		s.t.Fatal("the nodes do not come to an agreement in calm weather")
	}
	img := s.nodes[0].applier.image.Load()
	for _, n := range s.nodes[1:] {
		if digest(s.t, n.applier.image.Load()) != digest(s.t, img) {
			s.t.Fatalf("node %d ends with another image", n.id)
		}
	}
	for name, id := range s.granted {
		if topic := img.Topic(name); topic == nil || topic.ID != id {
			s.t.Fatalf("topic %s was granted and is lost", name)
		}
	}
}

func (s *simulation) settled() bool {
	if s.leaders() != 1 || len(s.granted) == 0 && len(s.images) < 3 {
		return false
	}
	at, term := s.nodes[0].applier.image.Load().Offset(), int64(0)
	for _, n := range s.nodes {
		if !n.up || len(n.applies) > 0 || len(n.appends) > 0 || n.applier.image.Load().Offset() != at {
			return false
		}
		if st := n.core.status.Load(); st.isLeader {
			term = st.term
		}
	}
	// What was committed before is there when an entry of the leader's own term is.
	return at > 0 && s.nodes[0].applier.image.Load().Term() == term
}

// TestSimulation hunts the invariants of the quorum with random faults.
func TestSimulation(t *testing.T) {
	total := make(map[string]int)
	for _, seed := range seeds(t, 12) {
		func() {
			defer replayWith(t, seed)
			s := newSimulation(t, seed)
			for range 20_000 {
				s.step()
			}
			s.settle()
			for k, v := range s.counts {
				total[k] += v
			}
		}()
	}
	t.Log(total)
	for _, k := range []string{"granted", "unknown outcome", "crash", "torn write", "snapshot", "snapshot sent", "term"} {
		if *seedFlag == 0 && total[k] == 0 {
			t.Errorf("no %s in all simulations: they hunt nothing", k)
		}
	}
}

// TestSimulationIsDeterministic runs one seed twice.
func TestSimulationIsDeterministic(t *testing.T) {
	run := func() string {
		s := newSimulation(t, 11)
		for range 10_000 {
			s.step()
		}
		return fmt.Sprint(s.counts, len(s.entries), len(s.images), len(s.wire), len(s.granted), s.names)
	}
	if a, b := run(), run(); a != b {
		t.Fatalf("two runs of one seed differ:\n%s\n%s", a, b)
	}
}
