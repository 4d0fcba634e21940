package kraft

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

// simNode is one controller. What is above the disk goes with every crash.
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
	life    int           // counts starts
	slow    time.Time     // until then its disk writes nothing
	lazy    time.Time     // until then it applies nothing
	paused  time.Time     // until then it does nothing, as a stopped process
	waiting []*pb.Message // what was delivered to it meanwhile
	heard   time.Time     // of the leader, or of its own start
	patient time.Duration // before it stands for election
	doom    simPoint      // where it crashes next, 0: nowhere
	fresh   bool          // a configuration has come into force just now
	led     int64         // the term in which this life was seen to lead last
	// changing is the term in which it has proposed a change of the quorum that is not applied, 0 if there is none.
	changing int64
}

// simLife is one life of a node.
type simLife struct {
	id   int32
	life int
}

// simPoint is a point at which a crash is most likely to show what was not on the disk when it should have been.
type simPoint int

const (
	whenNewLeader     simPoint = 1 + iota // it leads, and what it has written about that may still wait
	whenCandidate                         // it has asked for votes
	whenReconfigured                      // a configuration of the quorum has come into force
	whenWriteWaits                        // something waits for the disk
	whenSnapshotTaken                     // the log was cut behind a snapshot
	simPoints         = whenSnapshotTaken
)

var simPointNames = [...]string{whenNewLeader: "crash as a new leader", whenCandidate: "crash as a candidate", whenReconfigured: "crash with a new configuration",
	whenWriteWaits: "crash with a write that waits", whenSnapshotTaken: "crash with a new snapshot"}

// reached crashes the node if this is where it is to crash. Mostly it is back at once and impatient, before the others have gone on.
func (n *simNode) reached(p simPoint) (crashed bool) {
	s := n.s
	if n.doom != p || s.calm || !n.up {
		return false
	}
	n.doom = 0
	s.counts[simPointNames[p]]++
	n.crash()
	if s.rng.IntN(4) > 0 {
		n.start()
		if s.rng.IntN(2) == 0 {
			n.heard = s.now.Add(-time.Hour)
		}
	}
	return true
}

// lead looks whether the node has come to lead, which one life of one node may do in a term: two lives could not know of each other's entries.
func (n *simNode) lead() {
	if !n.up {
		return
	}
	st := n.core.rn.BasicStatus()
	if st.RaftState != raft.StateLeader {
		return
	}
	s, me, term := n.s, simLife{n.id, n.life}, int64(st.GetTerm())
	if conf := n.core.config(); !slices.Contains(conf.GetVoters(), raftID(n.id)) {
		s.t.Fatalf("node %d leads in term %d, and is none of the voters %v", n.id, term, conf.GetVoters())
	}
	if other, ok := s.leaders[term]; ok && other != me {
		s.t.Fatalf("node %d leads in term %d in life %d; node %d did in life %d", n.id, term, n.life, other.id, other.life)
	}
	s.leaders[term], s.newest = me, max(s.newest, term)
	if n.led != term {
		n.led = term
		n.reached(whenNewLeader)
	}
}

// simDisk is a raft log that survives a crash.
type simDisk struct {
	s        *simulation
	mem      *raft.MemoryStorage
	snaps    map[snapfile.ID]*Image // files
	last     snapfile.ID            // the newest that the log knows
	founders []int32                // none: the node joins
	durable  int64                  // commit index that is on the disk for certain
	inForce  int64                  // an offset whose members were in force on this node
	tear     bool                   // the next write is cut short by a crash
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

func meta(id snapfile.ID, conf *pb.ConfState) *pb.Snapshot {
	return &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(uint64(id.Index)), Term: new(uint64(id.Term)), ConfState: conf}}
}

// image is that of the newest snapshot that the log knows.
func (d *simDisk) image() *Image {
	if img := d.snaps[d.last]; img != nil {
		return img
	}
	return image.New()
}

func (d *simDisk) Install(id snapfile.ID, conf *pb.ConfState) error {
	d.last, d.inForce = id, max(d.inForce, id.Index)
	hs, _, err := d.mem.InitialState()
	if err != nil {
		return err
	}
	if err := d.mem.ApplySnapshot(meta(id, conf)); err != nil {
		return err
	}
	return d.mem.SetHardState(&pb.HardState{Term: new(hs.GetTerm()), Vote: new(hs.GetVote()), Commit: new(max(hs.GetCommit(), uint64(id.Index)))})
}

func (d *simDisk) Commit(index int64) error {
	hs, _, err := d.mem.InitialState()
	if err != nil {
		return err
	}
	if last, _ := d.mem.LastIndex(); uint64(index) > last {
		return fmt.Errorf("commit of entry %d, the log ends at %d", index, last)
	}
	d.durable = max(d.durable, index)
	return d.mem.SetHardState(&pb.HardState{Term: new(hs.GetTerm()), Vote: new(hs.GetVote()), Commit: new(max(hs.GetCommit(), uint64(index)))})
}

func (d *simDisk) Load(id snapfile.ID) (*Image, error) {
	if img := d.snaps[id]; img != nil {
		return img, nil
	}
	return nil, fmt.Errorf("no file of snapshot %d", id.Index)
}

func (d *simDisk) Compact(id snapfile.ID, conf *pb.ConfState, trailing, applied int64) error {
	if _, err := d.mem.CreateSnapshot(uint64(id.Index), conf, nil); err != nil {
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

// reopen is what a restart reads: everything that was written, with a commit index that may be old.
func (d *simDisk) reopen() error {
	old := d.mem
	hs, _, err := old.InitialState()
	if err != nil {
		return err
	}
	last, _ := old.LastIndex()
	d.mem = raft.NewMemoryStorage()
	if err := d.mem.ApplySnapshot(meta(d.last, confOf(d.image(), d.founders))); err != nil {
		return err
	}
	if hs != nil {
		hs := proto.Clone(hs).(*pb.HardState)
		if at := uint64(max(d.last.Index, d.durable)); hs.GetCommit() > at {
			// It is written with the next entries only (raftlog.Append), and may be lost with them.
			hs.Commit = new(at + d.s.rng.Uint64N(hs.GetCommit()-at+1))
		}
		if err := d.mem.SetHardState(hs); err != nil {
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
func (n *simNode) submit(term int64, data []byte, conf *pb.ConfChangeV2) error {
	err := n.core.propose(&proposal{term: term, data: data, conf: conf})
	if conf != nil && err == nil {
		if n.changing == term {
			n.s.t.Fatalf("node %d changes the quorum in term %d while another change of its is not applied", n.id, term)
		}
		n.changing = term
	}
	return err
}

// confirm implements proposer. The simulation asks for confirmations itself, without waiting.
func (n *simNode) confirm(ctx context.Context, term int64) error { return n.core.confirm(ctx, term) }

// stopped implements proposer.
func (n *simNode) stopped() <-chan struct{} { return n.core.stop }

// send implements transport.
func (n *simNode) send(m *pb.Message) { n.s.wire = append(n.s.wire, proto.Clone(m).(*pb.Message)) }

// hangUp implements transport: there are no connections.
func (n *simNode) hangUp() {}

func (n *simNode) start() {
	s := n.s
	if err := n.disk.reopen(); err != nil {
		s.t.Fatal(err)
	}
	o := Options{NodeID: n.id, ClusterID: testCluster, Logger: testLogger(s.t), BrokerSession: simSession, PreparedTimeout: simPrepared, Now: func() time.Time { return s.now }}.withDefaults()
	img := n.disk.image()
	var err error
	if n.core, err = newCore(o, coreConfig(o), n.disk, n, img.Offset(), func(err error) { s.t.Fatalf("node %d: %v", n.id, err) }); err != nil {
		s.t.Fatal(err)
	}
	n.ctl = newController(o, n)
	for _, id := range n.disk.founders {
		n.ctl.founders = append(n.ctl.founders, Voter{ID: id})
	}
	n.applier = &applier{ctl: n.ctl, subs: newSubscribers(img)}
	n.applier.image.Store(img)
	n.applier.fromRaft.Store(img.Offset())
	n.machine = &machine{
		applier: n.applier, ctl: n.ctl, respond: n.core.respond, conf: confOf(img, n.disk.founders), snapshot: func() { s.snapshot(n) }, heard: n.core.heard,
		reconfigure: func(conf *pb.ConfState, index int64) {
			// As core.commitOnDisk: behind everything that waits for the disk.
			waiting := append(n.appends, appendItem{commit: &commitment{index, make(chan struct{})}})
			n.appends = nil
			if err := n.core.appendAll(waiting, 0); err != nil {
				s.t.Fatal(err)
			}
			n.core.reconfigure(conf, index)
			n.disk.inForce = max(n.disk.inForce, index)
			n.fresh = true
		},
	}
	if begun := s.model.change(max(n.core.confIndex, n.disk.last.Index)); begun < s.model.change(n.disk.inForce) {
		s.t.Fatalf("node %d begins with the members of entry %d; those of %d were in force on it", n.id, begun, s.model.change(n.disk.inForce))
	}
	n.appends, n.applies, n.up, n.heard = nil, nil, true, s.now
	n.life++
	n.fresh, n.led, n.doom, n.changing = false, 0, 0, 0
	n.beImpatient()
}

// beImpatient draws how long it waits for a leader.
func (n *simNode) beImpatient() {
	n.patient = simElection + time.Duration(n.s.rng.Int64N(int64(simElection)))
}

func (n *simNode) crash() {
	n.s.counts["crash"]++
	n.up = false
	n.ctl.deactivate()
}

func (n *simNode) image() *Image { return n.applier.image.Load() }

// member says whether its image counts it among the members; ok is false while that does not say.
func (n *simNode) member() (member, ok bool) {
	img := n.image()
	_, member = img.Voter(n.id)
	return member, len(img.Voters()) > 0
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
	sent := len(s.wire)
	defer func() {
		if slices.ContainsFunc(s.wire[sent:], func(m *pb.Message) bool { return m.GetType() == pb.MsgVote }) {
			n.reached(whenCandidate)
		}
	}()
	switch s.rng.IntN(4) {
	case 0:
		n.core.deliver()
	case 1:
		if n.core.rn.HasReady() {
			st := n.core.status.Load()
			role := roleChange{term: st.term, leader: st.isLeader}
			n.core.ready(&role)
			n.appends = append(n.appends, drain(n.core.appends)...)
			n.applies = append(n.applies, drain(n.core.applies)...)
			if len(n.appends) > 0 {
				n.reached(whenWriteWaits)
			}
		}
	case 2:
		if len(n.appends) == 0 || n.slow.After(s.now) && !s.calm {
			return
		}
		k, last := 1+s.rng.IntN(len(n.appends)), n.disk.last
		n.disk.tear = !s.calm && s.rng.IntN(300) == 0
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
		case n.disk.last != last:
			n.reached(whenSnapshotTaken)
		}
	case 3:
		if len(n.applies) == 0 || n.lazy.After(s.now) && !s.calm {
			return
		}
		k := 1 + s.rng.IntN(len(n.applies))
		for _, it := range n.applies[:k] {
			n.step(it)
			if n.fresh {
				n.fresh = false
				if n.reached(whenReconfigured) {
					return
				}
			}
		}
		n.applies = n.applies[k:]
	}
}

func (n *simNode) step(it applyItem) {
	s := n.s
	before := n.image().Offset()
	if err := n.machine.step(it); err != nil {
		s.t.Fatalf("node %d: %v", n.id, err)
	}
	ents, err := entriesOf(it.msg.GetEntries())
	if err != nil {
		s.t.Fatal(err)
	}
	for i, e := range ents {
		if it.msg.GetEntries()[i].GetType() == pb.EntryConfChangeV2 {
			n.changing = 0
		}
		h := fnv.New64a()
		fmt.Fprint(h, e.term, it.msg.GetEntries()[i].GetType(), e.data)
		s.same(s.entries, e.index, h.Sum64(), "entry", n.id)
		s.model.apply(e)
	}
	if it.observed != nil && s.model.change(n.image().Offset()) > s.model.change(before) {
		n.changing = 0 // its change is applied: others told it that it is committed, before it got there itself
	}
	if img := n.image(); img.Offset() != before {
		s.same(s.images, img.Offset(), digest(s.t, img), "image", n.id)
	}
	n.ctl.mu.Lock()
	term := n.ctl.mu.term
	n.ctl.mu.Unlock()
	if term > 0 {
		if other, ok := s.active[term]; ok && other != n.id {
			s.t.Fatalf("nodes %d and %d are both active in term %d", other, n.id, term)
		} else if !ok {
			s.counts["term"]++
		}
		s.active[term] = n.id
	}
}

// observe lets a controller that is no member, or is alone, be told by another one what is committed.
func (n *simNode) observe() {
	s := n.s
	if member, known := n.member(); known && member && n.core.status.Load().leader != 0 {
		return
	}
	if piece := s.news(n.id, n.image().Offset()); piece != nil {
		s.counts["observed"]++
		n.applies = append(n.applies, applyItem{observed: piece})
	}
}

// snapshot takes one of the node's image, as Node.takeSnapshot does.
func (s *simulation) snapshot(n *simNode) {
	img := n.image()
	id := snapfile.ID{Index: img.Offset(), Term: img.Term()}
	if id.Index <= n.disk.last.Index || id.Index > n.applier.logged(img) {
		return
	}
	s.counts["snapshot"]++
	n.disk.snaps[id] = img
	n.appends = append(n.appends, appendItem{compact: &compaction{id, confOf(img, n.disk.founders)}})
}
