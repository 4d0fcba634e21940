package kraft

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Commit makes objects part of streams, atomically: all or nothing.
type Commit struct {
	Node      int32
	NodeEpoch int64
	// Extends: New continues the streams at Stream.End (an upload). Otherwise New replaces Compacted, with the same offsets.
	Extends   bool
	New       []NewObject
	Compacted []ObjectID
}

// The methods below return when the image of this node shows their effect. Their errors match ErrFenced, ErrNotFound, ErrConflict, ErrNotClosed or
// ErrInvalid when the controller refused, ErrTimeout when the outcome is unknown: all of them may then be repeated.

// stream sends a stream request.
func (n *Node) stream(ctx context.Context, req kmsg.Request) (*StreamResponse, error) {
	resp, err := n.Controller().Do(ctx, req)
	if err != nil {
		return nil, err
	}
	r := resp.(*StreamResponse)
	return r, r.Err()
}

// registered returns the epoch of this broker's registration.
func (n *Node) registered() (int64, error) {
	if epoch := n.BrokerEpoch(); epoch >= 0 {
		return epoch, nil
	}
	return -1, ErrNotRegistered
}

// PrepareObjects reserves count object ids first, first+1, …; to be committed within an hour.
func (n *Node) PrepareObjects(ctx context.Context, count int) (first ObjectID, err error) {
	epoch, err := n.registered()
	if err != nil {
		return 0, err
	}
	if count < 1 || count > MaxPrepare {
		return 0, refuse(CodeInvalid, "%d objects, allowed are 1 to %d", count, MaxPrepare)
	}
	r, err := n.stream(ctx, &PrepareObjectsRequest{Node: n.opts.NodeID, NodeEpoch: epoch, Count: int32(count)})
	if err != nil {
		return 0, err
	}
	return r.First, nil
}

// CommitObjects makes objects part of streams. Ranges of streams that have been deleted meanwhile are accepted and dead; an object
// without a live range is destroyed at once. Committing the same objects again succeeds and changes nothing.
func (n *Node) CommitObjects(ctx context.Context, c Commit) error {
	_, err := n.stream(ctx, &CommitObjectsRequest{Node: c.Node, NodeEpoch: c.NodeEpoch, Extends: c.Extends, New: c.New, Compacted: c.Compacted})
	return err
}

// Rewrite puts objects of one stream in the place of what other objects hold of it, and says how far the stream is compacted by key.
type Rewrite struct {
	Stream   StreamID
	Epoch    int64 // that this node owns the stream at
	Cleaned  int64 // everything below is compacted; a lower one than the present one changes nothing
	New      []NewObject
	Replaced []ObjectID
}

// RewriteStream commits a Rewrite, atomically. The new objects hold the same offsets as the replaced ranges; other streams in the replaced objects stay.
// Committing the same again succeeds and changes nothing.
func (n *Node) RewriteStream(ctx context.Context, r Rewrite) error {
	nodeEpoch, err := n.registered()
	if err != nil {
		return err
	}
	_, err = n.stream(ctx, &RewriteStreamRequest{Stream: r.Stream, Epoch: r.Epoch, Node: n.opts.NodeID, NodeEpoch: nodeEpoch,
		Cleaned: r.Cleaned, New: r.New, Replaced: r.Replaced})
	return err
}

// OpenStream makes this node the owner of the stream; epoch is the leader epoch of its partition, which this node leads. Opening it again is the same as once.
func (n *Node) OpenStream(ctx context.Context, id StreamID, epoch int64) (Stream, error) {
	return n.openStream(ctx, &OpenStreamRequest{Stream: id, Epoch: epoch})
}

// TakeOverStream is OpenStream for a stream that another node, its owner at fromEpoch, has handed over. This node leads its
// partition at epoch; or it is the target and epoch the next leader epoch: then it becomes the leader.
func (n *Node) TakeOverStream(ctx context.Context, id StreamID, epoch int64, from int32, fromEpoch int64) (Stream, error) {
	return n.openStream(ctx, &OpenStreamRequest{Stream: id, Epoch: epoch, HandedOver: true, From: from, FromEpoch: fromEpoch})
}

func (n *Node) openStream(ctx context.Context, req *OpenStreamRequest) (Stream, error) {
	nodeEpoch, err := n.registered()
	if err != nil {
		return Stream{}, err
	}
	req.Node, req.NodeEpoch = n.opts.NodeID, nodeEpoch
	if _, err := n.stream(ctx, req); err != nil {
		return Stream{}, err
	}
	id, epoch := req.Stream, req.Epoch
	s, ok := n.Image().Stream(id)
	if !ok {
		return Stream{}, refuse(CodeNotFound, "stream %d was deleted", id)
	}
	if s.Epoch != epoch || s.Node != n.opts.NodeID {
		return s, refuse(CodeFenced, "stream %d belongs to node %d at epoch %d by now", id, s.Node, s.Epoch)
	}
	return s, nil
}

// CloseStream says that nothing of the stream remains in this node's WAL.
func (n *Node) CloseStream(ctx context.Context, id StreamID, epoch int64) error {
	nodeEpoch, err := n.registered()
	if err != nil {
		return err
	}
	_, err = n.stream(ctx, &CloseStreamRequest{Stream: id, Epoch: epoch, Node: n.opts.NodeID, NodeEpoch: nodeEpoch})
	return err
}

// Reclaim says that this node has resigned as the leader of a partition for a target that did not take over, and wants to serve again. If it still is
// the leader at that epoch, it gets the next one.
func (n *Node) Reclaim(ctx context.Context, topic TopicID, partition, leaderEpoch int32) error {
	nodeEpoch, err := n.registered()
	if err != nil {
		return err
	}
	_, err = n.stream(ctx, &ReclaimRequest{Topic: topic, Partition: partition, LeaderEpoch: leaderEpoch, Node: n.opts.NodeID, NodeEpoch: nodeEpoch})
	return err
}

// TrimStream moves the start of the stream up to start, which may lie beyond the committed end. A lower start than the present one changes nothing.
func (n *Node) TrimStream(ctx context.Context, id StreamID, epoch, start int64) error {
	nodeEpoch, err := n.registered()
	if err != nil {
		return err
	}
	_, err = n.stream(ctx, &TrimStreamRequest{Stream: id, Epoch: epoch, Node: n.opts.NodeID, NodeEpoch: nodeEpoch, Start: start})
	return err
}

// DeletedObjects forgets destroyed objects that are gone from the bucket. Unknown ids are ignored; an id that is not destroyed is an ErrConflict.
func (n *Node) DeletedObjects(ctx context.Context, ids []ObjectID) error {
	nodeEpoch, err := n.registered()
	if err != nil {
		return err
	}
	_, err = n.stream(ctx, &DeletedObjectsRequest{Node: n.opts.NodeID, NodeEpoch: nodeEpoch, IDs: ids})
	return err
}
