package kraft

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

// The simulation runs five controllers, of which three found the cluster, and three brokers in one goroutine, under virtual time, on disks that are
// slow and lose what was not acknowledged, and a network that drops, repeats, delays, reorders and is cut, one way or both. Everything random comes from one seed:
// elections are called by the simulation (raft's own jitter is not seeded), and what a node does next is drawn step by step: deliver its mail, handle a
// Ready, write a part of what waits for the disk, apply a part of what is committed. Members of the quorum come and go; processes are stopped for a while, and find what has waited for them; some sequences of faults are
// plotted (sim_plots_test.go). The invariants are checked after every step: one leader and one active controller per term, also across a restart, no leader that is no voter,
// nobody confirmed as the leader of a term after another has been elected in a later one, a configuration of the quorum that never goes back on a node, one change of
// it at a time, one owner per epoch of a stream, nothing granted to a registration that has been replaced, nothing committed by a fenced owner, equal entries and
// images at equal offsets, answers without a commit that know everything that was acknowledged before; and in the end, that nothing acknowledged is lost.

const (
	simSession  = 4 * time.Second // a step is a millisecond
	simBeat     = 300 * time.Millisecond
	simPrepared = 20 * time.Second
	simElection = 400 * time.Millisecond
	simTopics   = 4
)

type simulation struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Time
	nodes   []*simNode
	brokers []*simBroker
	wire    []*pb.Message // on its way, in no order
	calls   []*simCall    // likewise
	served  []*simCall
	late    []*simCall // copies of requests that arrive long after the sender has given up; nobody waits for their answers
	plots   []simPlot
	hard    bool                   // half of the simulations are; the others leave out what makes them slow to get anywhere, so that the rest happens more often there
	small   bool                   // the quorum tends to be of one or two
	cuts    map[[2]int32]time.Time // until when nothing passes from one to another
	calm    bool                   // no faults any more
	quiet   bool                   // no requests any more
	model   *simModel

	entries map[int64]uint64  // digest of each applied entry, by index
	images  map[int64]uint64  // digest of each published image, by offset
	active  map[int64]int32   // which node was the active controller of a term
	leaders map[int64]simLife // which life of which node led in a term
	owners  map[simEpoch]simOwner
	ends    map[StreamID]int64 // what was acknowledged
	granted map[string]TopicID
	newest  int64 // the highest term in which somebody has led
	acked   int64 // everything up to here is committed, and somebody was told
	names   int   // of topics asked for
	counts  map[string]int
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t: t, rng: rand.New(rand.NewPCG(seed, 4)), now: time.UnixMilli(1_700_000_000_000), cuts: make(map[[2]int32]time.Time),
		entries: make(map[int64]uint64), images: make(map[int64]uint64), active: make(map[int64]int32), leaders: make(map[int64]simLife), owners: make(map[simEpoch]simOwner),
		ends: make(map[StreamID]int64), granted: make(map[string]TopicID), counts: make(map[string]int),
	}
	s.model = &simModel{
		s: s, next: 1, brokers: make(map[int32]int64), streams: make(map[StreamID]simEpoch), owner: make(map[simEpoch]int32),
		ends: make(map[StreamID]int64), committed: make(map[ObjectID]simOwner), conf: confOf(image.New(), []int32{1, 2, 3}),
	}
	s.hard, s.small = s.rng.IntN(2) == 0, s.rng.IntN(4) == 0
	for id := int32(1); id <= 5; id++ {
		d := &simDisk{s: s, mem: raft.NewMemoryStorage(), snaps: make(map[snapfile.ID]*Image)}
		if id <= 3 {
			d.founders = []int32{1, 2, 3}
		}
		n := &simNode{s: s, id: id, disk: d}
		s.nodes = append(s.nodes, n)
		n.start()
	}
	for id := int32(11); id <= 13; id++ {
		b := &simBroker{s: s, id: id, ask: 1}
		s.brokers = append(s.brokers, b)
		b.start()
	}
	return s
}

// same requires that a value is what it was when it was seen first.
func (s *simulation) same(seen map[int64]uint64, at int64, value uint64, what string, node int32) {
	if old, ok := seen[at]; ok && old != value {
		s.t.Fatalf("%s at %d of node %d differs from what another node had", what, at, node)
	}
	seen[at] = value
}

// step makes one thing happen.
func (s *simulation) step() {
	s.now = s.now.Add(time.Millisecond)
	s.unfold()
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	x := s.rng.IntN(1000)
	switch {
	case x < 4:
		if !s.calm {
			s.fault(n)
		}
	case x < 130:
		s.brokers[s.rng.IntN(len(s.brokers))].step()
	case x < 220:
		s.deliverCall()
	case x < 480:
		s.deliver()
	case !n.up:
		if s.calm || x < 490 {
			n.start()
		}
	case n.paused.After(s.now) && !s.calm:
	case x < 560:
		s.tick(n)
	case x < 564:
		s.snapshot(n)
	case x < 568:
		n.ctl.housekeeping()
	case x < 580:
		s.changeMembers(n)
	case x < 592:
		n.observe()
	default:
		n.work()
	}
	if len(n.waiting) > 0 && (s.calm || !n.paused.After(s.now)) {
		s.wire, n.waiting = append(s.wire, n.waiting...), nil
	}
	n.lead()
	s.collect()
}

// tick lets time pass for a leader. A follower's timeout is the simulation's: raft's own is not seeded.
func (s *simulation) tick(n *simNode) {
	st := n.core.status.Load()
	if st.isLeader {
		n.core.rn.Tick()
		n.core.publishStatus(roleChange{term: st.term, leader: true}, true)
		n.core.giveUpSnapshots(time.Hour)
		return
	}
	if s.now.Sub(n.heard) < n.patient {
		return
	}
	s.counts["election"]++
	n.heard = s.now
	n.beImpatient()
	_ = n.core.rn.ForgetLeader()
	_ = n.core.rn.Campaign()
}

// fault makes something go wrong.
func (s *simulation) fault(n *simNode) {
	other := s.nodes[s.rng.IntN(len(s.nodes))].id
	if s.rng.IntN(3) == 0 {
		other = s.brokers[s.rng.IntN(len(s.brokers))].id
	}
	until := s.now.Add(time.Duration(s.rng.Int64N(int64(4 * simElection))))
	what := s.rng.IntN(14)
	if what >= 10 && !s.hard {
		return
	}
	switch what {
	case 10:
		s.counts["controller paused"]++
		if n.paused = until; s.rng.IntN(2) == 0 {
			s.answerAsleep()
		}
	case 11:
		s.counts["slow applier"]++
		n.lazy = until
	case 12:
		s.returnUnaware()
	case 13:
		s.standUnwritten(n)
	case 8, 9: // at its next chosen point
		n.doom = simPoint(1 + s.rng.IntN(int(simPoints)))
	case 0:
		if n.up {
			n.crash()
		}
	case 1:
		s.counts["slow disk"]++
		n.slow = until
	case 2: // one link, one way
		s.counts["cut"]++
		s.cuts[[2]int32{n.id, other}] = until
	case 3: // a node from all others, both ways
		s.counts["isolated"]++
		s.isolate(n.id, until, true, true)
	case 4: // one way
		s.counts["isolated one way"]++
		out := s.rng.IntN(2) == 0
		s.isolate(n.id, until, out, !out)
	case 6, 7: // the cluster falls into two parts
		s.counts["split"]++
		s.split(until)
	case 5: // it has had enough of its leader
		if n.up && !n.core.status.Load().isLeader {
			n.heard = s.now.Add(-time.Hour)
		}
	}
}

func (s *simulation) isolate(id int32, until time.Time, out, in bool) {
	for _, n := range s.nodes {
		if out {
			s.cuts[[2]int32{id, n.id}] = until
		}
		if in {
			s.cuts[[2]int32{n.id, id}] = until
		}
	}
	for _, b := range s.brokers {
		if out {
			s.cuts[[2]int32{id, b.id}] = until
		}
		if in {
			s.cuts[[2]int32{b.id, id}] = until
		}
	}
}

func (s *simulation) split(until time.Time) {
	var sides [2][]int32
	for _, n := range s.nodes {
		side := s.rng.IntN(2)
		sides[side] = append(sides[side], n.id)
	}
	for _, b := range s.brokers {
		side := s.rng.IntN(2)
		sides[side] = append(sides[side], b.id)
	}
	for _, a := range sides[0] {
		for _, b := range sides[1] {
			s.cuts[[2]int32{a, b}], s.cuts[[2]int32{b, a}] = until, until
		}
	}
}

// lost says whether what is sent now does not arrive.
func (s *simulation) lost(from, to int32) bool {
	return !s.calm && (s.cuts[[2]int32{from, to}].After(s.now) || s.rng.IntN(40) == 0)
}

// take picks what is delivered next of n things on their way.
func (s *simulation) take(n int) int {
	if s.calm || s.rng.IntN(2) == 0 {
		return 0 // mostly in order, or nothing would ever work
	}
	return s.rng.IntN(n)
}

// deliver takes a message off the wire.
func (s *simulation) deliver() {
	if len(s.wire) == 0 {
		return
	}
	i := s.take(len(s.wire))
	m := s.wire[i]
	if s.calm || s.rng.IntN(40) != 0 { // or it will come again
		s.wire = append(s.wire[:i:i], s.wire[i+1:]...)
	}
	to, from := s.nodes[nodeID(m.GetTo())-1], s.nodes[nodeID(m.GetFrom())-1]
	if to.paused.After(s.now) && !s.calm {
		if len(to.waiting) < maxRemote {
			to.waiting = append(to.waiting, m) // its kernel takes it
		}
		return
	}
	if !to.up || s.lost(from.id, to.id) {
		if m.GetType() == pb.MsgSnap && from.up {
			from.core.rn.ReportSnapshot(m.GetTo(), raft.SnapshotFailure)
		}
		return
	}
	switch m.GetType() {
	case pb.MsgHeartbeat, pb.MsgApp, pb.MsgSnap:
		if to.core.status.Load().leader == m.GetFrom() {
			to.heard = s.now
		}
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

// news is what another controller has to tell to one that has everything up to from; nil if there is nothing, or nobody hears.
func (s *simulation) news(to int32, from int64) *logPiece {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	if !n.up || n.id == to || s.lost(to, n.id) || s.lost(n.id, to) {
		return nil
	}
	end := n.applier.logged(n.image())
	if end <= from {
		return nil
	}
	if first, _ := n.disk.mem.FirstIndex(); uint64(from)+1 < first {
		if n.disk.last.Index <= from {
			return nil
		}
		return &logPiece{image: n.disk.snaps[n.disk.last]}
	}
	ents, err := n.disk.mem.Entries(uint64(from)+1, uint64(end)+1, 1<<60)
	if err != nil {
		s.t.Fatal(err)
	}
	piece := &logPiece{}
	if piece.entries, err = entriesOf(ents); err != nil {
		s.t.Fatal(err)
	}
	return piece
}

// deliverCall brings a request to a controller.
func (s *simulation) deliverCall() {
	if s.calm {
		s.late = nil
	}
	if len(s.late) > 0 && s.rng.IntN(4) == 0 {
		i := s.rng.IntN(len(s.late))
		c := s.late[i]
		if !s.nodes[c.to-1].paused.After(s.now) {
			s.counts["late request"]++
			s.late = append(s.late[:i:i], s.late[i+1:]...)
			s.serve(c)
		}
		return
	}
	if len(s.calls) == 0 {
		return
	}
	i := s.take(len(s.calls))
	c := s.calls[i]
	again := !s.calm && s.rng.IntN(60) == 0
	if !again {
		s.calls = append(s.calls[:i:i], s.calls[i+1:]...)
	} else {
		first := *c
		c = &first
		c.done = func(kmsg.Response, error) {} // its answer is not the one that is waited for
	}
	n := s.nodes[c.to-1]
	paused := n.paused.After(s.now) && !s.calm
	if paused || !s.calm && s.rng.IntN(30) == 0 {
		s.delay(c)
	}
	if paused {
		c.done(nil, errLost) // that is what the sender makes of the silence
		return
	}
	s.serve(c)
}

// maxLate bounds the requests that are still to arrive late.
const maxLate = 30

// delay keeps a copy of a request, which arrives when nobody expects it any more.
func (s *simulation) delay(c *simCall) {
	if len(s.late) < maxLate {
		s.late = append(s.late, &simCall{from: c.from, to: c.to, req: c.req, done: func(kmsg.Response, error) {}})
	}
}

// serve hands a request to the controller that it is for.
func (s *simulation) serve(c *simCall) {
	n := s.nodes[c.to-1]
	if !n.up || s.lost(c.from, c.to) {
		c.done(nil, errLost)
		return
	}
	n.ctl.mu.Lock()
	if n.ctl.mu.tail != nil {
		c.base = n.ctl.mu.tail.Offset()
	}
	n.ctl.mu.Unlock()
	c.life, c.acked = n.life, s.acked
	var err error
	if c.answer, err = n.ctl.start(Asker{}, c.req); err != nil {
		if !errors.Is(err, ErrNotController) && !errors.Is(err, errBusy) {
			s.t.Fatal(err)
		}
		c.done(nil, err)
		return
	}
	s.served = append(s.served, c)
}

// collect looks which requests have got their answer.
func (s *simulation) collect() {
	left := s.served[:0]
	var ended []*simCall
	for _, c := range s.served {
		if s.answered(c) {
			ended = append(ended, c)
		} else {
			left = append(left, c)
		}
	}
	clear(s.served[len(left):])
	s.served = left
	for _, c := range ended {
		if c.answer.resp == nil || s.lost(c.to, c.from) {
			c.done(nil, errLost)
		} else {
			c.done(c.answer.resp, nil)
		}
	}
}

// answered follows controller.do without waiting. A request whose outcome is unknown loses its response.
func (s *simulation) answered(c *simCall) bool {
	n := s.nodes[c.to-1]
	if !n.up || n.life != c.life {
		c.answer.resp = nil
		return true
	}
	if p := c.answer.seen; p != nil {
		select {
		case <-p.done:
		default:
			return false
		}
		if p.err != nil {
			s.counts["unknown outcome"]++
			c.answer.resp = nil
			return true
		}
	}
	if !c.answer.wrote {
		if c.barrier == nil {
			c.barrier, c.newest = n.core.ask(c.answer.term), s.newest
		}
		select {
		case err := <-c.barrier.reply:
			if err != nil {
				s.counts["deposed"]++
				c.answer.resp = nil
				return true
			}
		default:
			return false
		}
		s.counts["confirmed"]++
		if c.newest > c.answer.term { // a majority had taken part in that term, and cannot have answered to an older one since
			s.t.Fatalf("node %d was confirmed as the leader of term %d after another one had been elected in term %d", n.id, c.answer.term, c.newest)
		}
		if c.base < c.acked {
			s.t.Fatalf("node %d answers %T from its state at %d, when %d was acknowledged already", n.id, c.req, c.base, c.acked)
		}
	}
	if p := c.answer.seen; p != nil {
		s.acked = max(s.acked, p.image.Offset())
	}
	s.model.allowed(c)
	return true
}

// changeMembers has the active controller change the quorum.
func (s *simulation) changeMembers(n *simNode) {
	if s.calm || !n.ctl.active() {
		return
	}
	other := s.nodes[s.rng.IntN(len(s.nodes))].id
	decide := learn(Voter{ID: other})
	what := "learner"
	if v, ok := n.image().Voter(other); ok {
		switch {
		case v.Learner && s.caughtUp(n, other):
			decide, what = promote(v), "promoted"
		case s.small || s.rng.IntN(2) == 0:
			decide, what = expel(other, v.Directory), "expelled"
			if other == n.id { // as Node.remove does
				if n.core.transfer() {
					s.counts["handed over"]++
				}
				return
			}
		}
	}
	if what == "learner" && s.small && s.rng.IntN(3) > 0 {
		return
	}
	if _, err := n.ctl.startChange(decide); err == nil {
		s.counts[what]++
		if what == "expelled" {
			s.expelled(n, s.nodes[other-1])
		}
	}
}

// caughtUp is what Node.caughtUp waits for.
func (s *simulation) caughtUp(n *simNode, id int32) bool {
	st := n.core.status.Load()
	return slices.ContainsFunc(st.followers, func(f ReplicaInfo) bool { return f.ID == id && f.Match >= st.commit })
}

// settle ends the faults and waits until all agree.
func (s *simulation) settle() {
	s.calm = true
	for range 5_000 {
		s.step()
	}
	s.quiet = true
	for range 400_000 {
		s.step()
		if s.settled() {
			break
		}
	}
	if !s.settled() {
		for _, n := range s.nodes {
			s.t.Logf("node %d: %+v image %d of term %d, members %s, raft %v", n.id, *n.core.status.Load(), n.image().Offset(), n.image().Term(), voterIDs(n.image()), n.core.config())
		}
		for _, c := range s.served {
			s.t.Logf("%T waits at node %d: %+v", c.req, c.to, c.answer)
		}
		s.t.Fatal("the nodes do not come to an agreement in calm weather")
	}
	img := s.nodes[0].image()
	for name, id := range s.granted {
		if topic := img.Topic(name); topic == nil || topic.ID != id {
			s.t.Fatalf("topic %s was granted and is lost", name)
		}
	}
	for id, end := range s.ends {
		if stream, ok := img.Stream(id); !ok || stream.End < end {
			s.t.Fatalf("stream %d was acknowledged up to %d, and is %+v", id, end, stream)
		}
	}
	if img.Offset() < s.acked {
		s.t.Fatalf("%d was acknowledged, the log ends at %d", s.acked, img.Offset())
	}
}

func (s *simulation) settled() bool {
	at, term := s.nodes[0].image().Offset(), int64(0)
	for _, n := range s.nodes {
		if !n.up || len(n.applies) > 0 || len(n.appends) > 0 || n.image().Offset() != at {
			return false
		}
		if st := n.core.status.Load(); st.isLeader {
			term = max(term, st.term)
		}
	}
	for _, b := range s.brokers {
		if b.image().Offset() != at {
			return false
		}
	}
	// What was committed before is there when an entry of the leader's own term is.
	return at > 0 && len(s.calls)+len(s.served) == 0 && s.nodes[0].image().Term() == term
}

var simSeeds = flag.Int("sim.seeds", 12, "how many simulations TestSimulation and TestSoakSimulation run")

var simFirst = flag.Uint64("sim.first", 0, "the seed of the first simulation, the others follow; 0: random ones")

// simSeedsOf are the seeds of n simulations.
func simSeedsOf(t *testing.T, n int) []uint64 {
	all := seeds(t, n)
	for i := range all {
		if *simFirst != 0 && *seedFlag == 0 {
			all[i] = *simFirst + uint64(i)
		}
	}
	return all
}

// runSimulations runs n simulations. Of many it wants each of the things to have happened in one of them.
func runSimulations(t *testing.T, n, steps int) {
	total := make(map[string]int)
	for _, seed := range simSeedsOf(t, n) {
		func() {
			defer func() {
				r := recover()
				if r != nil {
					t.Errorf("panic: %v", r) // so that the seed is printed
				}
				replayWith(t, seed)
				if r != nil {
					panic(r)
				}
			}()
			s := newSimulation(t, seed)
			for range steps {
				s.step()
			}
			s.settle()
			for k, v := range s.counts {
				total[k] += v
			}
		}()
	}
	t.Log(total)
	for _, k := range []string{
		"topic", "registered", "heartbeat", "open", "commit", "close", "move", "fenced", "unknown outcome", "confirmed", "deposed", "crash", "broker crash",
		"broker paused", "torn write", "slow disk", "cut", "isolated", "isolated one way", "split", "snapshot", "snapshot sent", "term", "learner", "promoted", "expelled",
		"handed over", "observed", "crash as a new leader", "crash as a candidate", "crash with a new configuration", "crash with a write that waits",
		"crash with a new snapshot", "controller paused", "slow applier", "late request", "leads again, unaware", "wakes up to requests", "stands with a slow disk", "stands with its removal", "forgets a removal",
	} {
		if *seedFlag == 0 && n >= 200 && total[k] == 0 { // in a dozen some may well be missing
			t.Errorf("no %s in all simulations: they hunt nothing", k)
		}
	}
}

// simSteps is the length of a simulation before the weather calms.
const simSteps = 20_000

// TestSimulation hunts the invariants of the quorum with random faults.
func TestSimulation(t *testing.T) { runSimulations(t, *simSeeds, simSteps) }

// TestSoakSimulation does so for hours: make soak-sim.
func TestSoakSimulation(t *testing.T) {
	if os.Getenv("RINGMQ_SOAK") == "" && *seedFlag == 0 {
		t.Skip("SKIPPED: simulations for hours; `make soak-sim` runs them (RINGMQ_SOAK=1)")
	}
	runSimulations(t, *simSeeds, simSteps)
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
