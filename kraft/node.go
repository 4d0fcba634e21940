package kraft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/raftlog"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
	"github.com/ringmq/ringmq/netpoll"
)

// Node is one member of the cluster's metadata quorum, as voter or as observer. Its methods may be called from any goroutine.
type Node struct {
	opts    Options
	logger  *slog.Logger
	dirLock *os.File
	client  *client
	applier *applier

	// Voters only.
	log       *raftlog.Log
	core      *core
	ctl       *controller
	peers     *peers
	server    *netpoll.Server
	observers observers

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
	lock, err := claimDir(o)
	if err != nil {
		return nil, err
	}
	n := &Node{opts: o, logger: o.Logger, dirLock: lock, client: newClient(), stopping: make(chan struct{}), done: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.hint.Store(-1)
	n.broker = brokerSide{endpoints: o.Endpoints, epoch: -1, beat: make(chan struct{}, 1), sending: make(chan struct{}, 1)}
	if o.Roles.Controller {
		err = n.startVoter()
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
	n.wg.Go(n.observe)
	return nil
}

func (n *Node) startVoter() error {
	start := time.Now()
	o := n.opts
	voters := make([]uint64, 0, len(o.Voters))
	for id := range o.Voters {
		voters = append(voters, raftID(id))
	}
	log, rec, err := raftlog.Open(raftlog.Options{
		Dir: o.Dir, ClusterID: o.ClusterID, Identity: identity(o), Voters: voters, SegmentBytes: o.SegmentBytes, Logger: o.Logger,
	})
	if err != nil {
		return fmt.Errorf("kraft: %w", err)
	}
	n.log = log
	if rec.Repaired {
		n.logger.Warn("kraft: the torn tail of the raft log was cut", "dir", o.Dir)
	}
	n.peers = newPeers(o)
	if n.core, err = newCore(o, coreConfig(o), log, n.peers, rec.Image.Offset(), n.fail); err != nil {
		return errors.Join(err, log.Close())
	}
	n.ctl = newController(o, n.core)
	n.snapshot.last = rec.Image.Offset()
	n.applier = newApplier(n.ctl, rec.Image)
	// From here on requests come in: everything that they need is there.
	if n.server, err = n.listen(); err != nil {
		n.applier.subs.close()
		return errors.Join(fmt.Errorf("kraft: CONTROLLER listener: %w", err), log.Close())
	}
	n.logger.Info("kraft: voter started", "node", o.NodeID, "dir", o.Dir, "listen", n.Addr(), "snapshot", rec.Image.Offset(), "entries", rec.Entries,
		"committed", rec.HardState.GetCommit(), "duration", time.Since(start))
	n.peers.run(n.core)
	n.core.wg.Go(n.applyLoop)
	n.core.run(o.Tick, len(voters) == 1, o.TrailingBytes)
	n.wg.Go(n.housekeeping)
	return nil
}

// applyLoop carries out what raft has committed.
func (n *Node) applyLoop() {
	m := machine{applier: n.applier, ctl: n.ctl, respond: n.core.respond, applied: n.applied}
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

// applied is told by the apply loop how much was applied, and whether it was a snapshot.
func (n *Node) applied(bytes int64, installed bool) {
	if installed {
		n.snapshot.last, n.snapshot.bytes = n.Image().Offset(), 0
		return
	}
	n.snapshot.bytes += bytes
	n.maybeSnapshot()
}

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
			n.logger.Error("kraft: snapshot failed", "offset", img.Offset(), "error", err)
			return
		}
		s.size.Store(size)
		id := snapfile.ID{Index: img.Offset(), Term: img.Term()}
		n.core.appends.push(appendItem{compact: &id})
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
			n.logger.Error("kraft: node stops", "node", n.opts.NodeID, "error", err)
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
	if n.core != nil {
		n.core.close()
		n.ctl.deactivate()
		n.peers.close()
		if err := n.server.Close(); err != nil {
			n.logger.Warn("kraft: CONTROLLER listener", "error", err)
		}
	}
	n.wg.Wait()
	n.applier.subs.close()
	if n.log != nil {
		if err := n.log.Close(); err != nil {
			n.logger.Error("kraft: raft log", "error", err)
		}
	}
	n.dirLock.Close()
	n.logger.Info("kraft: stopped", "node", n.opts.NodeID, "offset", n.Image().Offset())
}
