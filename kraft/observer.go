package kraft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

const (
	observerBytes = 4 << 20
	// observerWait is how long a question for news stays with the voter when there are none; news are answered at once. A voter that hears nothing any more
	// still answers the last question, so that its silence is noticed after up to twice this and observerSilence.
	observerWait = 300 * time.Millisecond
	// observerSilence is how long a voter that is asked may then let nothing be heard before another one is asked. A process that was stopped and a host that is cut
	// off end no connection.
	observerSilence = 300 * time.Millisecond
	observerRetry   = 100 * time.Millisecond
	// snapshotSilence is the same for a piece of a snapshot, which is read from the disk first.
	snapshotSilence = 2 * time.Second
	// observerForgotten is when an observer that was not heard of is not listed any more.
	observerForgotten = 20 * time.Second
	// aloneTicks is how long a member of the quorum is without a leader before it asks others what has become of the quorum.
	aloneTicks = 2 * electionTicks
)

// observe follows the log from a voter, preferably the leader, until the node stops. The image of an observer begins empty at every start. A controller
// does so while it is no member of the quorum, or when it has been left alone: the others may have gone on without it, at addresses that it does
// not know.
func (n *Node) observe() {
	for n.ctx.Err() == nil {
		if n.core != nil && !n.needsNews() {
			continue
		}
		err := n.observeOnce()
		if err == nil {
			continue
		}
		if isFinal(err) {
			n.fail(err)
			return
		}
		n.logger.Debug("kraft: cannot follow the log", "cause", err)
		if errors.Is(err, errSilent) {
			continue // it has waited long enough, and another one is next
		}
		select {
		case <-time.After(observerRetry):
		case <-n.stopping:
		}
	}
}

// needsNews waits as long as raft tells this controller everything, and a little longer. It returns false when it has to be asked again.
func (n *Node) needsNews() bool {
	moved := n.leaders.heard()
	wait := aloneTicks * n.opts.Tick
	if member, known := n.isMember(); known && !member {
		return true
	} else if n.core.status.Load().leader != 0 {
		wait = time.Hour // the bell rings when it goes; membership ends by an image that raft brings
	} else if !known && len(n.founders) == 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return n.core.status.Load().leader == 0
	case <-moved:
	case <-n.stopping:
	}
	return false
}

// finalError is an error that no other voter and no later attempt would change.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func isFinal(err error) bool {
	_, ok := err.(finalError)
	return ok
}

func (n *Node) observeOnce() error {
	leader := n.leader()
	addr, ok := n.book.addr(leader)
	if !ok || leader == n.opts.NodeID || n.book.isSilent(addr) {
		if leader, addr = n.book.any(n.opts.NodeID); addr == "" {
			return errors.New("kraft: no controller is known")
		}
	}
	m := fetchLog{
		clusterID: n.opts.ClusterID, node: n.opts.NodeID, from: n.Image().Offset(), maxBytes: observerBytes, waitMs: observerWait.Milliseconds(),
		directory: n.directory,
	}
	b, err := n.client.callUnlessSilent(n.ctx, addr, keyFetchLog, m.append(nil), observerWait+observerSilence)
	n.book.silent(addr, err != nil)
	if err != nil {
		n.forgetLeader(leader)
		return err
	}
	var out logPiece
	if err := out.read(b); err != nil {
		return fmt.Errorf("kraft: log of node %d: %w", leader, err)
	}
	switch {
	case out.code == CodeWrongCluster:
		return finalError{&CodeError{Code: out.code, Message: out.message}}
	case out.code != CodeNone:
		n.forgetLeader(leader)
		return &CodeError{Code: out.code, Message: out.message}
	}
	if out.leader >= 0 {
		n.hintLeader(out.leader)
	} else {
		n.forgetLeader(leader) // it may be cut off from the others
	}
	if out.snapshot.Index > 0 {
		dir := n.observed()
		if out.image, err = n.downloadSnapshot(n.ctx, dir, addr, out.snapshot); err != nil {
			return err
		}
		if _, err := dir.Keep(1); err != nil {
			return err
		}
	}
	switch {
	case n.core != nil:
		if out.image != nil || len(out.entries) > 0 {
			n.core.applies.push(applyItem{observed: &out})
			return n.WaitApplied(n.ctx, out.last())
		}
	case out.image != nil:
		n.applier.install(out.image)
	default:
		if _, err := n.applier.apply(out.entries); err != nil {
			return finalError{err}
		}
	}
	if out.leader < 0 && len(out.entries) == 0 && out.image == nil {
		return errors.New("kraft: node at " + addr + " knows no leader")
	}
	return nil
}

// last is the offset that an image has with the piece in it.
func (m *logPiece) last() int64 {
	if n := len(m.entries); n > 0 {
		return m.entries[n-1].index
	}
	return m.image.Offset()
}

// downloadSnapshot fetches a snapshot file from another node and stores it under its name in dir.
func (n *Node) downloadSnapshot(ctx context.Context, dir snapfile.Dir, addr string, id snapfile.ID) (*Image, error) {
	start := time.Now()
	r := &snapshotReader{ctx: ctx, n: n, addr: addr, id: id}
	img, err := dir.Receive(n.opts.ClusterID, id, r)
	if err != nil {
		return nil, fmt.Errorf("kraft: snapshot %d from %s: %w", id.Index, addr, err)
	}
	n.logger.Info("kraft: snapshot received", "index", id.Index, "from", addr, "bytes", r.offset, "duration", time.Since(start))
	return img, nil
}

// snapshotReader reads a file of another node.
type snapshotReader struct {
	ctx    context.Context
	n      *Node
	addr   string
	id     snapfile.ID
	offset int64
	total  int64 // valid once offset > 0
	piece  []byte
}

func (r *snapshotReader) Read(p []byte) (int, error) {
	if len(r.piece) == 0 {
		if r.offset > 0 && r.offset >= r.total {
			return 0, io.EOF
		}
		m := fetchSnapshot{clusterID: r.n.opts.ClusterID, node: r.n.opts.NodeID, id: r.id, offset: r.offset}
		b, err := r.n.client.callUnlessSilent(r.ctx, r.addr, keyFetchSnapshot, m.append(nil), snapshotSilence)
		if err != nil {
			return 0, err
		}
		var out snapshotPiece
		if err := out.read(b); err != nil {
			return 0, err
		}
		if out.code != CodeNone {
			return 0, &CodeError{Code: out.code, Message: out.message}
		}
		if len(out.data) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		r.piece, r.total = out.data, out.total
		r.offset += int64(len(out.data))
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// receiveSnapshot is told that the leader wants this voter to begin anew from a snapshot. The message goes to raft when the file is here; one
// download runs at a time, and raft repeats what is ignored.
func (n *Node) receiveSnapshot(m *pb.Message) {
	c := n.core
	id := snapfile.ID{Index: int64(m.GetSnapshot().GetMetadata().GetIndex()), Term: int64(m.GetSnapshot().GetMetadata().GetTerm())}
	addr, _ := n.book.addr(nodeID(m.GetFrom()))
	c.received.Lock()
	defer c.received.Unlock()
	// What counts is raft's log, not the image, which an observer may have been told of by others.
	if known := id.Index <= c.status.Load().commit; c.received.fetching || known {
		if known {
			c.fromPeer(m) // raft answers with what it has
		}
		return
	}
	c.received.fetching = true
	n.wg.Go(func() {
		img, err := n.downloadSnapshot(n.ctx, n.log.Snapshots(), addr, id)
		c.received.Lock()
		c.received.fetching = false
		if err == nil {
			c.received.image = img
		}
		c.received.Unlock()
		if err != nil {
			if n.ctx.Err() == nil {
				n.logger.Warn("kraft: snapshot not received", "index", id.Index, "cause", err)
			}
			return
		}
		c.fromPeer(m)
	})
}

// observed is the directory of the snapshot that an observer begins with. The files of raft's log are not for observers to delete.
func (n *Node) observed() snapfile.Dir {
	if n.opts.Roles.Controller {
		return snapfile.Dir(filepath.Join(n.opts.Dir, "observed"))
	}
	return snapfile.Dir(n.opts.Dir)
}

// observers remembers who follows the log of this voter.
type observers struct {
	mu   sync.Mutex
	last map[int32]ReplicaInfo
}

// maxObservers bounds what a stranger who makes up node ids can make a voter remember.
const maxObservers = 10_000

// seen notes that a node has everything up to offset; end is where the log ends.
func (o *observers) seen(node int32, directory [16]byte, offset, end int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil {
		o.last = make(map[int32]ReplicaInfo)
	}
	old, ok := o.last[node]
	if !ok && len(o.last) >= maxObservers {
		return
	}
	info := ReplicaInfo{ID: node, Directory: directory, Match: offset, LastFetch: time.Now().UnixMilli(), LastCaughtUp: -1}
	if offset >= end {
		info.LastCaughtUp = info.LastFetch
	} else if ok {
		info.LastCaughtUp = old.LastCaughtUp
	}
	o.last[node] = info
}

// list returns those that were seen lately, by id.
func (o *observers) list() []ReplicaInfo {
	o.mu.Lock()
	defer o.mu.Unlock()
	var infos []ReplicaInfo
	for id, info := range o.last {
		if time.Since(time.UnixMilli(info.LastFetch)) > observerForgotten {
			delete(o.last, id)
			continue
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b ReplicaInfo) int { return int(a.ID) - int(b.ID) })
	return infos
}

// removeSnapshots deletes what an earlier life of an observer has left: its image begins empty.
func removeSnapshots(dir snapfile.Dir) error {
	if err := os.MkdirAll(string(dir), 0o750); err != nil {
		return fmt.Errorf("kraft: %w", err)
	}
	ids, err := dir.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := os.Remove(dir.Path(id)); err != nil {
			return fmt.Errorf("kraft: %w", err)
		}
	}
	return nil
}
