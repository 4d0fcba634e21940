package kraft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/raftlog"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
	"github.com/ringmq/ringmq/netpoll"
)

// Node is one member of the cluster's metadata quorum, as voter or as observer. Its methods may be called from any goroutine.
type Node struct {
	opts      Options
	logger    *slog.Logger
	directory [16]byte         // id of the metadata directory, zero if unknown
	founders  []int32          // whom this voter founded the cluster with; empty if it joined
	endpoints []BrokerEndpoint // of the CONTROLLER listener, as other nodes reach it
	book      *book
	leaders   bell // rung when another leader, or none, is known
	dirLock   *os.File
	client    *client // of controllers
	brokers   *client // of other brokers
	applier   *applier

	// Voters only.
	log       *raftlog.Log
	core      *core
	ctl       *controller
	peers     *peers
	server    *netpoll.Server
	observers observers
	members   chan struct{} // holds an item while a change of the quorum's members is under way; capacity 1

	hint     atomic.Int32 // observers: the node believed to lead, -1 if unknown
	broker   brokerSide
	snapshot snapshotter

	ctx      context.Context // ends when the node stops
	cancel   context.CancelFunc
	stopping chan struct{} // closed when the node begins to stop
	stopOnce sync.Once
	err      error         // the failure, set before stopping is closed
	done     chan struct{} // closed when everything has ended
	wg       sync.WaitGroup
}

// Start recovers the node from its directory and joins the quorum. It does not wait for a leader.
func Start(o Options) (*Node, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	lock, id, err := claimDir(o)
	if err != nil {
		return nil, err
	}
	n := &Node{
		opts: o, logger: o.Logger, directory: id.directory, founders: id.founders, book: newBook(o), members: make(chan struct{}, 1),
		dirLock: lock, client: newClient(newDialer(o.DialTLS, o.Logger)),
		brokers: newClient(newDialer(o.BrokerTLS, o.Logger)), stopping: make(chan struct{}), done: make(chan struct{}),
	}
	n.client.dialer.link = o.link
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.hint.Store(-1)
	n.broker.endpoints, n.broker.epoch = o.Endpoints, -1
	n.broker.beat, n.broker.sending = make(chan struct{}, 1), make(chan struct{}, 1)
	n.broker.confirmed.Store(int64(never))
	if o.Roles.Controller {
		err = n.startVoter(id)
	} else {
		err = n.startObserver()
	}
	if err != nil {
		n.cancel()
		lock.Close()
		return nil, err
	}
	if o.Roles.Broker {
		n.wg.Go(n.heartbeats)
	}
	return n, nil
}

func (n *Node) startObserver() error {
	if err := removeSnapshots(snapfile.Dir(n.opts.Dir)); err != nil {
		return err
	}
	n.applier = newApplier(nil, image.New())
	n.applier.renamed = n.renamed
	n.wg.Go(n.observe)
	return nil
}

func (n *Node) startVoter(id identity) error {
	start := time.Now()
	o := n.opts
	log, rec, err := raftlog.Open(raftlog.Options{
		Dir: o.Dir, ClusterID: o.ClusterID, Identity: id.text, SegmentBytes: o.SegmentBytes, Logger: o.Logger,
		Conf: func(img *Image) *pb.ConfState { return confOf(img, n.founders) },
	})
	if err != nil {
		return fmt.Errorf("kraft: %w", err)
	}
	n.log = log
	if rec.Repaired {
		n.logger.Warn("kraft: the torn tail of the raft log was cut", "dir", o.Dir)
	}
	if err := removeSnapshots(n.observed()); err != nil {
		return errors.Join(err, log.Close())
	}
	n.endpoints = controllerEndpoints(o)
	n.peers = newPeers(n)
	n.renamed(rec.Image)
	if n.core, err = newCore(o, coreConfig(o), log, n.peers, rec.Image.Offset(), n.fail); err != nil {
		return errors.Join(err, log.Close())
	}
	n.core.leaderMoved = n.leaders.ring
	n.ctl = newController(o, n.core)
	n.ctl.founders = n.foundingVoters()
	n.snapshot.last = rec.Image.Offset()
	n.applier = newApplier(n.ctl, rec.Image)
	n.applier.renamed = n.renamed
	// From here on requests come in: everything that they need is there.
	if n.server, err = n.listen(); err != nil {
		n.applier.subs.close()
		return errors.Join(fmt.Errorf("kraft: CONTROLLER listener: %w", err), log.Close())
	}
	n.logger.Info("kraft: voter started", "node", o.NodeID, "dir", o.Dir, "listen", n.Addr(), "snapshot", rec.Image.Offset(), "entries", rec.Entries,
		"committed", rec.HardState.GetCommit(), "duration", time.Since(start))
	n.peers.run()
	n.core.wg.Go(n.applyLoop)
	n.core.run(o.Tick, o.TrailingBytes)
	n.wg.Go(n.housekeeping)
	n.wg.Go(n.announce)
	n.wg.Go(n.observe)
	n.wg.Go(func() { n.ctl.balancing.run(n.stopping) })
	return nil
}

// renamed is told of every image before it is published.
func (n *Node) renamed(img *Image) {
	if !n.book.follow(img) {
		return
	}
	if n.peers != nil {
		n.peers.follow(n.book)
	}
	n.leaders.ring() // whom to believe depends on who is a member
}

// controllerEndpoints are the addresses at which other nodes reach this controller.
func controllerEndpoints(o Options) []BrokerEndpoint {
	if len(o.ControllerEndpoints) > 0 {
		return o.ControllerEndpoints
	}
	addr, ok := o.Voters[o.NodeID]
	if !ok {
		addr = o.Listen.Addr.String()
	}
	return []BrokerEndpoint{endpointOf(o.Listen.Name, addr)}
}

func endpointOf(listener, addr string) BrokerEndpoint {
	host, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.ParseUint(port, 10, 16)
	return BrokerEndpoint{Name: listener, Host: host, Port: uint16(number)}
}

// foundingVoters is what the first controller writes down of the members.
func (n *Node) foundingVoters() []Voter {
	var voters []Voter
	for _, id := range n.founders {
		v := Voter{ID: id}
		if addr, ok := n.opts.Voters[id]; ok {
			v.Endpoints = []BrokerEndpoint{endpointOf(n.opts.Listen.Name, addr)}
		}
		if id == n.opts.NodeID {
			v.Directory, v.Endpoints = n.directory, n.endpoints
		}
		voters = append(voters, v)
	}
	return voters
}

// applyLoop carries out what raft has committed.
func (n *Node) applyLoop() {
	m := machine{
		applier: n.applier, ctl: n.ctl, respond: n.core.respond, conf: confOf(n.Image(), n.founders),
		reconfigure: func(conf *pb.ConfState, index int64) {
			n.core.commitOnDisk(index)
			n.core.reconfigure(conf, index)
		},
		applied: n.applied, installed: n.installed, snapshot: n.takeSnapshot, heard: n.core.heard,
	}
	var items []applyItem
	var ok bool
	for {
		if items, ok = n.core.applies.take(items); !ok {
			return
		}
		for _, it := range items {
			if err := m.step(it); err != nil {
				n.fail(err)
				return
			}
		}
	}
}

// applied is told by the apply loop how much of raft's log was applied.
func (n *Node) applied(bytes int64) {
	n.snapshot.bytes += bytes
	n.maybeSnapshot()
}

// installed is told by the apply loop that raft's log begins with a snapshot that was received.
func (n *Node) installed() { n.snapshot.last, n.snapshot.bytes = n.Image().Offset(), 0 }

// housekeeping runs the controller's timers.
func (n *Node) housekeeping() {
	ticker := time.NewTicker(max(n.opts.Tick, n.opts.BrokerSession/16))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.ctl.housekeeping()
		case <-n.stopping:
			return
		}
	}
}

// snapshotter decides when to take a snapshot. Its fields belong to the apply loop, except running.
type snapshotter struct {
	last    int64 // offset of the newest snapshot
	bytes   int64 // of entries since
	size    atomic.Int64
	running atomic.Bool
}

// maybeSnapshot begins a snapshot when enough log has come since the last one. The image is immutable, so it is written aside.
func (n *Node) maybeSnapshot() {
	s := &n.snapshot
	img := n.Image()
	if img.Offset()-s.last < n.opts.SnapshotEntries && s.bytes < max(n.opts.SnapshotBytes, s.size.Load()) {
		return
	}
	n.takeSnapshot()
}

// takeSnapshot begins a snapshot, unless one is being taken. Called by the apply loop.
func (n *Node) takeSnapshot() {
	s := &n.snapshot
	img := n.Image()
	if n.applier.logged(img) < img.Offset() {
		return // an image that was observed: raft's log is not there yet, or has other entries there
	}
	if !s.running.CompareAndSwap(false, true) {
		return
	}
	s.last, s.bytes = img.Offset(), 0
	n.wg.Go(func() {
		defer s.running.Store(false)
		start := time.Now()
		size, err := n.log.Snapshots().Save(n.opts.ClusterID, img)
		if err != nil {
			// The log has everything; the next attempt comes after as much log again.
			n.logger.Error("kraft: snapshot failed", "offset", img.Offset(), "cause", err)
			return
		}
		s.size.Store(size)
		id := snapfile.ID{Index: img.Offset(), Term: img.Term()}
		n.core.appends.push(appendItem{compact: &compaction{id, confOf(img, n.founders)}})
		n.logger.Info("kraft: snapshot taken", "offset", img.Offset(), "bytes", size, "duration", time.Since(start))
	})
}

// Controller returns the way to change metadata: the local controller when it is active, the active one elsewhere otherwise.
// When Do returns nil, Image of this node shows the change.
func (n *Node) Controller() Controller { return router{n} }

// Image is the newest image: never nil, immutable.
func (n *Node) Image() *Image { return n.applier.image.Load() }

// Subscribe calls fn with the current image (prev is the empty image, delta.Full), and then for every change, in order, on one goroutine of the
// node's. A slow fn delays other subscribers, and then gets several changes merged into one call; it never delays the quorum. Images that differ only
// in what no delta tells (streams extended, objects prepared) are skipped. After cancel has returned, fn is not called again; a call that has begun may still run. fn must not call Stop.
func (n *Node) Subscribe(fn func(prev, next *Image, delta *Delta)) (cancel func()) {
	return n.applier.subs.add(fn)
}

// WaitApplied returns when Image().Offset() >= offset.
func (n *Node) WaitApplied(ctx context.Context, offset int64) error {
	return n.WaitImage(ctx, func(img *Image) bool { return img.Offset() >= offset })
}

// WaitImage returns when ok says yes to the current image. ok is called for every image that is the newest at some time, and must be quick.
func (n *Node) WaitImage(ctx context.Context, ok func(*Image) bool) error {
	return n.applier.wait(ctx, n.stopping, ok)
}

// Addr is the address of the CONTROLLER listener, nil without the controller role.
func (n *Node) Addr() *net.TCPAddr {
	if n.server == nil {
		return nil
	}
	return n.server.Addr(n.opts.Listen.Name)
}

// Done is closed when the node has stopped, by Stop or by a failure.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err is the failure that stopped the node; nil while it runs and after Stop. It may be set a moment before Done is closed.
func (n *Node) Err() error {
	select {
	case <-n.stopping:
		return n.err
	default:
		return nil
	}
}

// Stop leaves the quorum and closes the log. Waiting requests get ErrClosed or ErrTimeout. A registered broker is fenced, and a leader hands its
// leadership over first, as far as ctx allows.
func (n *Node) Stop(ctx context.Context) error {
	select {
	case <-n.stopping:
	default:
		n.leave(ctx)
		n.resign(ctx)
	}
	n.stop(nil)
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kraft: stop: %w", context.Cause(ctx))
	}
}

// resign hands the leadership over, if there is somebody to take it.
func (n *Node) resign(ctx context.Context) {
	if n.core == nil || !n.core.transfer() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, electionTicks*n.opts.Tick)
	defer cancel()
	ticker := time.NewTicker(n.opts.Tick / 8)
	defer ticker.Stop()
	for n.core.status.Load().isLeader {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		case <-n.stopping:
			return
		}
	}
}

// fail stops the node because of an error, which waits for nobody.
func (n *Node) fail(err error) { n.stop(err) }

func (n *Node) stop(err error) {
	n.stopOnce.Do(func() {
		n.err = err
		if err != nil {
			n.logger.Error("kraft: node stops", "node", n.opts.NodeID, "cause", err)
		}
		close(n.stopping)
		n.cancel()
		go func() {
			n.shutdown()
			close(n.done)
			if err != nil && n.opts.OnFailure != nil {
				n.opts.OnFailure(err)
			}
		}()
	})
}

func (n *Node) shutdown() {
	n.client.close()
	n.brokers.close()
	if n.core != nil {
		n.core.close()
		n.ctl.deactivate()
		n.peers.close()
		if err := n.server.Close(); err != nil {
			n.logger.Warn("kraft: CONTROLLER listener", "cause", err)
		}
	}
	n.wg.Wait()
	n.applier.subs.close()
	if n.log != nil {
		if err := n.log.Close(); err != nil {
			n.logger.Error("kraft: raft log", "cause", err)
		}
	}
	n.dirLock.Close()
	n.logger.Info("kraft: stopped", "node", n.opts.NodeID, "offset", n.Image().Offset())
}
