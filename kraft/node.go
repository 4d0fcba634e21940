package kraft

import (
	"context"
	"net"
)

// Node is one member of the cluster's metadata quorum, as voter or as observer.
type Node struct {
	opts Options
}

// QuorumInfo is the state of the quorum as this node sees it.
type QuorumInfo struct {
	LeaderID    int32 // -1 if unknown
	Term        int64
	CommitIndex int64
	Applied     int64 // offset of Image
	Active      bool  // this node is the active controller
	Voters      []ReplicaInfo
	Observers   []ReplicaInfo // known to the leader only
}

// ReplicaInfo is one follower of the log.
type ReplicaInfo struct {
	ID        int32
	Match     int64 // last offset known to be on its disk (observers: in its image); -1 if unknown
	LastFetch int64 // ms since the epoch of the last sign of life; -1 if unknown
	Snapshot  bool  // it is being sent a snapshot
}

// Commit makes objects part of streams, atomically: all or nothing.
type Commit struct {
	Node      int32
	NodeEpoch int64
	// Extends: New continues the streams at Stream.End (an upload). Otherwise New replaces Compacted, with the same offsets.
	Extends   bool
	New       []NewObject
	Compacted []ObjectID
}

// Start recovers the node from its directory and joins the quorum.
func Start(o Options) (*Node, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Node{opts: o}, nil
}

// Controller returns the way to change metadata: the local controller when it is active, the active one elsewhere otherwise.
// When Do returns nil, Image of this node shows the change.
func (n *Node) Controller() Controller { panic("kraft: not started") }

// Image is the newest image: never nil, immutable.
func (n *Node) Image() *Image { return nil }

// Subscribe calls fn with the current image (prev is the empty image, delta.Full) and then for every change, in order, on one goroutine
// of the node's. A slow fn delays other subscribers, and then gets several changes merged into one call. cancel ends the subscription; when it returns, fn is not running (unless cancel is called from fn).
func (n *Node) Subscribe(fn func(prev, next *Image, delta *Delta)) (cancel func()) { return nil }

// WaitApplied returns when Image().Offset() >= offset.
func (n *Node) WaitApplied(ctx context.Context, offset int64) error { return nil }

// SetEndpoints replaces Options.Endpoints; to be called before RegisterBroker (when listeners bind to free ports).
func (n *Node) SetEndpoints(e []BrokerEndpoint) {}

// RegisterBroker registers this node as a broker, which raises the leader epoch of every partition that it leads, and starts its
// heartbeats. Unless Options.StartFenced, it returns when the broker is unfenced. The broker epoch is the node epoch of the WAL.
func (n *Node) RegisterBroker(ctx context.Context) (brokerEpoch int64, err error) { return 0, nil }

// Unfence lets the broker lead new partitions, and returns when its image shows that; needed with Options.StartFenced only.
func (n *Node) Unfence(ctx context.Context) error { return nil }

// BrokerEpoch is the result of RegisterBroker, -1 before.
func (n *Node) BrokerEpoch() int64 { return -1 }

// PrepareObjects reserves count object ids first, first+1, …; to be committed within an hour.
func (n *Node) PrepareObjects(ctx context.Context, count int) (first ObjectID, err error) {
	return 0, nil
}

// CommitObjects makes objects part of streams. Ranges of streams that have been deleted meanwhile are accepted and dead; an object
// without a live range is destroyed at once. Committing the same objects again succeeds and changes nothing.
func (n *Node) CommitObjects(ctx context.Context, c Commit) error { return nil }

// OpenStream makes this node the owner of the stream; epoch is the leader epoch of its partition.
func (n *Node) OpenStream(ctx context.Context, id StreamID, epoch int64) (Stream, error) {
	return Stream{}, nil
}

// CloseStream says that nothing of the stream remains in this node's WAL.
func (n *Node) CloseStream(ctx context.Context, id StreamID, epoch int64) error { return nil }

// TrimStream moves the start of the stream up to start.
func (n *Node) TrimStream(ctx context.Context, id StreamID, epoch, start int64) error { return nil }

// DeletedObjects forgets destroyed objects that are gone from the bucket.
func (n *Node) DeletedObjects(ctx context.Context, ids []ObjectID) error { return nil }

// Quorum is the state of the quorum as this node sees it.
func (n *Node) Quorum() QuorumInfo { return QuorumInfo{} }

// Addr is the address of the CONTROLLER listener, nil without the controller role.
func (n *Node) Addr() *net.TCPAddr { return nil }

// Done is closed when the node has stopped, by Stop or by a failure.
func (n *Node) Done() <-chan struct{} { return nil }

// Err is the failure that stopped the node, nil while it runs and after Stop.
func (n *Node) Err() error { return nil }

// Stop leaves the quorum and closes the log. Waiting requests get ErrClosed.
func (n *Node) Stop(ctx context.Context) error { return nil }
