package kraft

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

// core runs raft for one voter on three goroutines:
//
//	proposals, messages, ticks ──► loop (owns raft.RawNode, never blocks on disk)
//	                                │ MsgStorageAppend            │ MsgStorageApply
//	                                ▼                             ▼
//	                     append loop (owns raftlog.Log,    apply loop (owns the image)
//	                     one fdatasync for all that waits)
//	                                └────────── responses ────────┘──► loop, peers
//
// A message to a local thread is never dropped; a message of a peer may be.
type core struct {
	id    uint64
	rn    *raft.RawNode // owned by loop
	log   durableLog    // owned by appendLoop, except its Storage
	peers transport
	// confIndex is the index of the change of members that raft began with, 0 if it began with those of the image: images before it do not count.
	confIndex int64
	applied   *pb.ConfState // the members of the image; nil before the first change of them; owned by loop
	logger    *slog.Logger
	fail      func(error)

	appends *queue[appendItem]
	applies *queue[applyItem]
	status  atomic.Pointer[raftStatus]
	writes  atomic.Int64 // of the log, each at most one fdatasync

	mail struct {
		sync.Mutex
		local    []*pb.Message // responses of the storage threads; never dropped
		remote   []*pb.Message // of peers; at most maxRemote
		props    []*proposal
		calls    []func()
		conf     *pb.ConfState // what the configuration has to become, nil if nothing else
		barriers []*barrier
		wake     chan struct{} // capacity 1
	}

	received struct {
		sync.Mutex
		image    *Image // the newest snapshot received from a leader, until it is installed
		fetching bool
	}
	snapshots struct {
		sync.Mutex
		active  map[uint64]time.Time // when each follower was last seen fetching a snapshot
		members []uint64
	}
	barriers struct { // owned by loop
		last    uint64
		waiting map[uint64][]*barrier
	}
	seen struct { // when each peer was last heard of
		sync.Mutex
		at map[uint64]int64 // ms since the epoch
	}
	gone struct { // owned by loop: the leader's connection has broken
		ticks int // until this node campaigns, 0 if it has no reason to
	}
	leaderMoved func() // called when another leader, or none, is known; may be nil

	stop chan struct{}
	wg   sync.WaitGroup
}

// durableLog is the disk, as core needs it; raftlog.Log implements it.
type durableLog interface {
	Storage() raft.Storage
	Append(hs *pb.HardState, ents []*pb.Entry) error
	Install(id snapfile.ID, conf *pb.ConfState) error
	Load(id snapfile.ID) (*Image, error) // a snapshot whose file has been received
	Commit(index int64) error            // makes durable that entries up to index are committed
	Compact(id snapfile.ID, conf *pb.ConfState, trailing, applied int64) error
}

// transport sends messages to other voters, or drops them; peers implements it. It must not block.
type transport interface {
	send(m *pb.Message)
	// hangUp ends the connections on which messages are sent, so that their receivers see that this node leads no more. The next message makes a new one.
	hangUp()
}

// maxRemote bounds the messages of peers that wait for the loop. Raft repeats what is dropped.
const maxRemote = 4096

// raftStatus is what others may know of raft's state.
type raftStatus struct {
	leader    uint64 // raft id, 0 if unknown
	term      int64
	commit    int64
	applied   int64 // what raft has been told to be applied; never more than what is
	isLeader  bool
	followers []ReplicaInfo // leader only; refreshed every tick
}

// proposal is a batch for the log. It is appended only while this node leads in term.
type proposal struct {
	term  int64
	data  []byte
	conf  *pb.ConfChangeV2 // data is the batch of a change of members; nil: an ordinary batch
	reply chan error       // capacity 1
}

var (
	errNotLeader = errors.New("kraft: not the leader of that term")
	errBusy      = errors.New("kraft: too much is waiting for the quorum")
)

type appendItem struct {
	msg     *pb.Message // MsgStorageAppend, or
	compact *compaction // or
	commit  *commitment
}

// commitment asks for the commit index to be made durable.
type commitment struct {
	index int64
	done  chan struct{} // closed when it is
}

// compaction says that a snapshot is in a file.
type compaction struct {
	id   snapfile.ID
	conf *pb.ConfState // its members
}

type applyItem struct {
	msg      *pb.Message // MsgStorageApply, or
	install  *Image      // a snapshot, or
	role     *roleChange // or
	observed *logPiece   // what a node that is no member has been told by one, or
	snapshot bool        // take one, whether it is time or not
}

type roleChange struct {
	term   int64
	leader bool
}

func raftID(node int32) uint64 { return uint64(node) + 1 }

func nodeID(raftID uint64) int32 { return int32(raftID) - 1 }

const (
	electionTicks  = 10
	heartbeatTicks = 2

	// maxBatchBytes bounds one proposal.
	maxBatchBytes = 32 << 20
)

// coreConfig is raft's configuration, apart from who and where from.
func coreConfig(o Options) raft.Config {
	return raft.Config{
		ID: raftID(o.NodeID), ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks, AsyncStorageWrites: true,
		MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: 16 << 20, MaxUncommittedEntriesSize: 128 << 20,
		MaxInflightMsgs: 256, MaxInflightBytes: 16 << 20,
		CheckQuorum: true, PreVote: true, ReadOnlyOption: raft.ReadOnlySafe,
		// A proposal was validated against the state of this node's term; in another leader's log it could be wrong.
		DisableProposalForwarding: true,
		// The controller allows one change of members at a time. Raft's own check would replace a change by an empty entry without a word.
		DisableConfChangeValidation: true,
		// No controller removes itself, but one may come to lead with its removal, uncommitted, in its log. Removed, it must not go on to lead: alone with one
		// other member, it would be confirmed by nobody but raft's arithmetic.
		StepDownOnRemoval: true,
		Logger:            raftLogger{o.Logger},
	}
}

func newCore(o Options, cfg raft.Config, log durableLog, peers transport, applied int64, fail func(error)) (*core, error) {
	c := &core{
		id: raftID(o.NodeID), log: log, peers: peers, logger: o.Logger, fail: fail,
		appends: newQueue[appendItem](), applies: newQueue[applyItem](), stop: make(chan struct{}),
	}
	c.mail.wake = make(chan struct{}, 1)
	c.snapshots.active = make(map[uint64]time.Time)
	c.status.Store(&raftStatus{})
	c.barriers.waiting = make(map[uint64][]*barrier)
	c.seen.at = make(map[uint64]int64)
	index, conf, err := firstConf(log.Storage())
	if err != nil {
		return nil, fmt.Errorf("kraft: raft: %w", err)
	}
	c.confIndex = index
	cfg.Storage, cfg.Applied = raftStorage{log.Storage(), c, conf}, uint64(applied)
	rn, err := raft.NewRawNode(&cfg)
	if err != nil {
		return nil, fmt.Errorf("kraft: raft: %w", err)
	}
	c.rn = rn
	c.setMembers()
	return c, nil
}

// run starts the loop and the append loop. The apply loop belongs to the Node.
func (c *core) run(tick time.Duration, trailing int64) {
	c.wg.Add(2)
	go func() {
		defer c.wg.Done()
		c.loop(tick)
	}()
	go func() {
		defer c.wg.Done()
		c.appendLoop(trailing)
	}()
}

func (c *core) loop(tick time.Duration) {
	if voters := c.config().Voters; len(voters) == 1 && voters[0] == c.id {
		// Nobody else could win: there is no reason to wait for a timeout.
		if err := c.rn.Campaign(); err != nil {
			c.fail(fmt.Errorf("kraft: campaign: %w", err))
			return
		}
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var role roleChange
	for {
		for c.rn.HasReady() {
			c.ready(&role)
		}
		select {
		case <-c.stop:
			return
		case <-ticker.C:
			c.rn.Tick()
			c.replaceLeader()
			c.publishStatus(role, true)
			c.giveUpSnapshots(tick)
		case <-c.mail.wake:
			c.deliver()
		}
	}
}

// ready hands out the work of one Ready.
func (c *core) ready(role *roleChange) {
	rd := c.rn.Ready()
	st := c.rn.BasicStatus()
	if now := (roleChange{term: int64(st.GetTerm()), leader: st.RaftState == raft.StateLeader}); now != *role {
		if now.leader || role.leader {
			c.applies.push(applyItem{role: &now})
		}
		if role.leader && !now.leader && now.term == role.term { // it hears no majority, or is no member any more
			c.peers.hangUp()
		}
		c.dropBarriers()
		c.setMembers()
		*role = now
	}
	c.publishStatus(*role, false)
	for _, rs := range rd.ReadStates {
		c.confirmed(rs.RequestCtx)
	}
	// Raft lets a candidate ask for votes before its own term is on the disk. Elected by the others alone, it could crash, come back in the old term, and be
	// elected once more in the same one, by those who have voted for it already: two leaders of one term, whose entries nobody could tell apart. So the
	// question waits for the disk.
	var votes []*pb.Message
	for _, m := range rd.Messages {
		if m.GetType() == pb.MsgVote {
			votes = append(votes, m)
			continue
		}
		switch m.GetTo() {
		case raft.LocalAppendThread:
			c.appends.push(appendItem{msg: m})
		case raft.LocalApplyThread:
			c.applies.push(applyItem{msg: m})
		default:
			c.send(m)
		}
	}
	if len(votes) > 0 {
		c.appends.push(appendItem{msg: &pb.Message{Responses: votes}})
	}
}

func (c *core) send(m *pb.Message) {
	if m.GetTo() == raft.None {
		return // an answer to what heard has told raft
	}
	if m.GetType() == pb.MsgSnap {
		c.snapshotSeen(m.GetTo())
	}
	c.peers.send(m)
}

func (c *core) publishStatus(role roleChange, withFollowers bool) {
	st := c.rn.BasicStatus()
	next := &raftStatus{leader: st.Lead, term: role.term, commit: int64(st.GetCommit()), applied: int64(st.Applied), isLeader: role.leader}
	old := c.status.Load()
	if role.leader {
		next.followers = old.followers
		if withFollowers || len(old.followers) == 0 {
			next.followers = c.followers()
		}
	}
	if st.Lead != old.leader {
		if st.Lead == 0 {
			c.logger.Info("kraft: no leader", "term", st.GetTerm())
		} else {
			c.logger.Info("kraft: leader", "leader", nodeID(st.Lead), "term", st.GetTerm())
		}
	}
	c.status.Store(next)
	if st.Lead != old.leader && c.leaderMoved != nil {
		c.leaderMoved()
	}
}

func (c *core) followers() []ReplicaInfo {
	old := make(map[int32]ReplicaInfo)
	for _, f := range c.status.Load().followers {
		old[f.ID] = f
	}
	var infos []ReplicaInfo
	now := time.Now().UnixMilli()
	end, _ := c.log.Storage().LastIndex()
	c.seen.Lock()
	defer c.seen.Unlock()
	c.rn.WithProgress(func(id uint64, t raft.ProgressType, pr tracker.Progress) {
		info := ReplicaInfo{
			ID: nodeID(id), Match: int64(pr.Match), LastFetch: -1, LastCaughtUp: -1, Snapshot: pr.State == tracker.StateSnapshot,
			Learner: t == raft.ProgressTypeLearner, Active: pr.RecentActive || id == c.id,
		}
		if at, ok := c.seen.at[id]; ok {
			info.LastFetch = at
		}
		switch last, ok := old[info.ID]; {
		case id == c.id:
			info.LastFetch, info.LastCaughtUp = now, now
		case pr.Match >= end:
			info.LastCaughtUp = info.LastFetch
		case ok:
			info.LastCaughtUp = last.LastCaughtUp
		}
		infos = append(infos, info)
	})
	slices.SortFunc(infos, func(a, b ReplicaInfo) int { return int(a.ID - b.ID) })
	return infos
}

// deliver steps everything that waits in the mailbox.
func (c *core) deliver() {
	c.mail.Lock()
	local, remote, props, calls, barriers := c.mail.local, c.mail.remote, c.mail.props, c.mail.calls, c.mail.barriers
	c.mail.local, c.mail.remote, c.mail.props, c.mail.calls, c.mail.barriers = nil, nil, nil, nil, nil
	c.mail.Unlock()
	c.applyConf()
	for _, m := range local {
		c.step(m)
	}
	for _, m := range remote {
		c.step(m)
	}
	for _, p := range props {
		p.reply <- c.propose(p)
	}
	c.raise(barriers)
	for _, fn := range calls {
		fn()
	}
}

func (c *core) step(m *pb.Message) {
	// The errors say that a message is of no use any more (an unknown peer, a proposal without a leader); raft has no other reaction to them.
	if err := c.rn.Step(m); err != nil {
		c.logger.Debug("kraft: raft message dropped", "type", m.GetType(), "from", nodeID(m.GetFrom()), "cause", err)
	}
}

func (c *core) propose(p *proposal) error {
	c.applyConf()
	if !c.leads(p.term) {
		return errNotLeader
	}
	var err error
	if p.conf != nil {
		p.conf.Context = p.data
		err = c.rn.ProposeConfChange(p.conf)
	} else {
		err = c.rn.Propose(p.data)
	}
	switch {
	case errors.Is(err, raft.ErrProposalDropped):
		return errBusy // or a leadership transfer is under way
	default:
		return err
	}
}

func (c *core) ring() {
	select {
	case c.mail.wake <- struct{}{}:
	default:
	}
}

// submit has the loop append a proposal, and returns whether it did. The outcome of an appended one shows in the apply loop.
func (c *core) submit(term int64, data []byte, conf *pb.ConfChangeV2) error {
	p := &proposal{term: term, data: data, conf: conf, reply: make(chan error, 1)}
	c.mail.Lock()
	c.mail.props = append(c.mail.props, p)
	c.mail.Unlock()
	c.ring()
	select {
	case err := <-p.reply:
		return err
	case <-c.stop:
		return ErrClosed
	}
}

func (c *core) stopped() <-chan struct{} { return c.stop }

// call runs fn on the loop.
func (c *core) call(fn func()) {
	c.mail.Lock()
	c.mail.calls = append(c.mail.calls, fn)
	c.mail.Unlock()
	c.ring()
}

func (c *core) fromLocal(m *pb.Message) {
	c.mail.Lock()
	c.mail.local = append(c.mail.local, m)
	c.mail.Unlock()
	c.ring()
}

// fromPeer takes a message of another voter. It may drop it.
func (c *core) fromPeer(m *pb.Message) {
	if m.GetTo() != c.id || raft.IsLocalMsg(m.GetType()) {
		return
	}
	c.seen.Lock()
	c.seen.at[m.GetFrom()] = time.Now().UnixMilli()
	c.seen.Unlock()
	c.mail.Lock()
	if len(c.mail.remote) < maxRemote {
		c.mail.remote = append(c.mail.remote, m)
	}
	c.mail.Unlock()
	c.ring()
}

// respond delivers the responses of a storage message to whom they are for.
func (c *core) respond(m *pb.Message) {
	for _, r := range m.GetResponses() {
		if r.GetTo() == c.id {
			c.fromLocal(r)
		} else {
			c.send(r)
		}
	}
}

// transfer hands the leadership to the follower that is furthest, and reports whether there is one.
func (c *core) transfer() bool {
	st := c.status.Load()
	best := ReplicaInfo{ID: -1, Match: -1}
	for _, f := range st.followers {
		if f.ID != nodeID(c.id) && !f.Learner && f.Active && f.Match > best.Match {
			best = f
		}
	}
	if !st.isLeader || best.ID < 0 {
		return false
	}
	c.call(func() { c.rn.TransferLeader(raftID(best.ID)) })
	return true
}

// close stops the loops and waits for them.
func (c *core) close() {
	close(c.stop)
	c.appends.close()
	c.applies.close()
	c.wg.Wait()
}

// snapshotSeen notes that a snapshot is on its way to a follower. Observers are nothing that raft knows.
func (c *core) snapshotSeen(follower uint64) {
	c.snapshots.Lock()
	defer c.snapshots.Unlock()
	if slices.Contains(c.snapshots.members, follower) {
		c.snapshots.active[follower] = time.Now()
	}
}

// giveUpSnapshots tells raft about followers that stopped fetching their snapshot, so that it probes them again. Without it the leader
// would wait for ever for a follower that never got the announcement.
func (c *core) giveUpSnapshots(tick time.Duration) {
	c.snapshots.Lock()
	defer c.snapshots.Unlock()
	for id, at := range c.snapshots.active {
		if time.Since(at) > 2*electionTicks*tick {
			delete(c.snapshots.active, id)
			c.rn.ReportSnapshot(id, raft.SnapshotFailure)
		}
	}
}

// raftLogger sends raft's own lines to slog; they are for people who know raft.
type raftLogger struct{ l *slog.Logger }

func (r raftLogger) Debug(v ...any)                 {}
func (r raftLogger) Debugf(format string, v ...any) {}
func (r raftLogger) Info(v ...any)                  { r.l.Debug("raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Infof(format string, v ...any)  { r.l.Debug("raft: " + fmt.Sprintf(format, v...)) }
func (r raftLogger) Warning(v ...any)               { r.l.Debug("raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Warningf(format string, v ...any) {
	r.l.Debug("raft: " + fmt.Sprintf(format, v...))
}
func (r raftLogger) Error(v ...any)                 { r.l.Warn("raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Errorf(format string, v ...any) { r.l.Warn("raft: " + fmt.Sprintf(format, v...)) }
func (r raftLogger) Fatal(v ...any)                 { panic("raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Fatalf(format string, v ...any) { panic("raft: " + fmt.Sprintf(format, v...)) }
func (r raftLogger) Panic(v ...any)                 { panic("raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Panicf(format string, v ...any) { panic("raft: " + fmt.Sprintf(format, v...)) }
