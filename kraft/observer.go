package kraft

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

const (
	observerBytes = 4 << 20
	observerWait  = 5 * time.Second
	observerRetry = 100 * time.Millisecond
)

// observe follows the log from a voter, preferably the leader, until the node stops. The image of an observer begins empty at every start.
func (n *Node) observe() {
	for n.ctx.Err() == nil {
		err := n.observeOnce()
		if err == nil {
			continue
		}
		if isFinal(err) {
			n.fail(err)
			return
		}
		n.logger.Debug("kraft: cannot follow the log", "error", err)
		select {
		case <-time.After(observerRetry):
		case <-n.stopping:
		}
	}
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
	addr, ok := n.opts.Voters[leader]
	if !ok {
		leader, addr = n.anyVoter()
	}
	ctx, cancel := context.WithTimeout(n.ctx, observerWait+n.opts.RequestTimeout)
	defer cancel()
	m := fetchLog{
		clusterID: n.opts.ClusterID, node: n.opts.NodeID, from: n.Image().Offset(), maxBytes: observerBytes, waitMs: observerWait.Milliseconds(),
	}
	b, err := n.client.call(ctx, addr, keyFetchLog, m.append(nil))
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
		img, err := n.downloadSnapshot(ctx, addr, out.snapshot)
		if err != nil {
			return err
		}
		n.applier.install(img)
		if _, err := n.snapshots().Keep(1); err != nil {
			return err
		}
		return nil
	}
	if err := n.applier.apply(out.entries); err != nil {
		return finalError{err}
	}
	return nil
}

// downloadSnapshot fetches a snapshot file from another node and stores it under its name.
func (n *Node) downloadSnapshot(ctx context.Context, addr string, id snapfile.ID) (*Image, error) {
	start := time.Now()
	r := &snapshotReader{ctx: ctx, n: n, addr: addr, id: id}
	img, err := n.snapshots().Receive(n.opts.ClusterID, id, r)
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
		b, err := r.n.client.call(r.ctx, r.addr, keyFetchSnapshot, m.append(nil))
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
	addr := n.opts.Voters[nodeID(m.GetFrom())]
	c.received.Lock()
	defer c.received.Unlock()
	if c.received.fetching || id.Index <= n.Image().Offset() {
		if id.Index <= n.Image().Offset() {
			c.fromPeer(m) // raft answers with what it has
		}
		return
	}
	c.received.fetching = true
	n.wg.Go(func() {
		img, err := n.downloadSnapshot(n.ctx, addr, id)
		c.received.Lock()
		c.received.fetching = false
		if err == nil {
			c.received.image = img
		}
		c.received.Unlock()
		if err != nil {
			if n.ctx.Err() == nil {
				n.logger.Warn("kraft: snapshot not received", "index", id.Index, "error", err)
			}
			return
		}
		c.fromPeer(m)
	})
}

// snapshots is the directory of snapshot files.
func (n *Node) snapshots() snapfile.Dir {
	if n.log != nil {
		return n.log.Snapshots()
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

func (o *observers) seen(node int32, offset int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil {
		o.last = make(map[int32]ReplicaInfo)
	}
	if _, ok := o.last[node]; ok || len(o.last) < maxObservers {
		o.last[node] = ReplicaInfo{ID: node, Match: offset, LastFetch: time.Now().UnixMilli()}
	}
}

// list returns those that were seen lately, by id.
func (o *observers) list() []ReplicaInfo {
	o.mu.Lock()
	defer o.mu.Unlock()
	var infos []ReplicaInfo
	for id, info := range o.last {
		if time.Since(time.UnixMilli(info.LastFetch)) > 10*observerWait {
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
