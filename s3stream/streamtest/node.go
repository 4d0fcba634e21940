package streamtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/ringmq/ringmq/s3stream"
)

// Node is the metadata as one incarnation of a node sees it.
type Node struct {
	cluster *Cluster
	id      int32
	epoch   int64
}

var _ s3stream.Metadata = (*Node)(nil)

func (n *Node) aliveLocked() error {
	if now := n.cluster.mu.epochs[n.id]; now != n.epoch {
		return fmt.Errorf("%w: node %d has epoch %d, the call %d", s3stream.ErrFenced, n.id, now, n.epoch)
	}
	return nil
}

// PrepareObjects implements s3stream.Metadata.
func (n *Node) PrepareObjects(ctx context.Context, count int) (first s3stream.ObjectID, err error) {
	c := n.cluster
	err = c.change(ctx, "PrepareObjects", func() error {
		if err := n.aliveLocked(); err != nil {
			return err
		}
		first = c.mu.nextObject
		for range count {
			c.mu.objects[c.mu.nextObject] = &object{info: s3stream.ObjectInfo{ID: c.mu.nextObject, Node: n.id}, when: c.Now()}
			c.mu.nextObject++
		}
		return nil
	})
	return first, err
}

// ownLocked returns the stream if this node may change it with the epoch.
func (n *Node) ownLocked(id s3stream.StreamID, epoch int64) (*stream, error) {
	s := n.cluster.mu.streams[id]
	if s == nil {
		return nil, fmt.Errorf("%w: %d", s3stream.ErrNotFound, id)
	}
	if s.info.Epoch != epoch || s.info.Node != n.id {
		return nil, fmt.Errorf("%w: stream %d belongs to node %d at epoch %d, not to node %d at epoch %d", s3stream.ErrFenced, id, s.info.Node, s.info.Epoch, n.id, epoch)
	}
	return s, nil
}

// CommitObjects implements s3stream.Metadata.
func (n *Node) CommitObjects(ctx context.Context, m s3stream.Commit) error {
	c := n.cluster
	return c.change(ctx, "CommitObjects", func() error {
		if err := n.aliveLocked(); err != nil {
			return err
		}
		if m.Node != n.id || m.NodeEpoch != n.epoch {
			return fmt.Errorf("%w: commit of node %d epoch %d by node %d epoch %d", s3stream.ErrFenced, m.Node, m.NodeEpoch, n.id, n.epoch)
		}
		if again, err := n.checkNewLocked(m.New); again || err != nil {
			return err
		}
		if m.Extends {
			if len(m.Compacted) > 0 {
				return fmt.Errorf("a commit both extends and compacts")
			}
			return n.extendLocked(m)
		}
		return n.compactLocked(m)
	})
}

// checkNewLocked judges objects to be committed. again: this very commit was made before.
func (n *Node) checkNewLocked(objects []s3stream.ObjectInfo) (again bool, err error) {
	c, same := n.cluster, 0
	for _, o := range objects {
		have := c.mu.objects[o.ID]
		if have != nil && have.state != prepared && have.info.Size == o.Size && have.info.Kind == o.Kind {
			same++
			continue
		}
		if have == nil || have.state != prepared || have.info.Node != n.id {
			return false, fmt.Errorf("object %d is not prepared", o.ID)
		}
		if len(o.Ranges) == 0 || o.Kind == s3stream.StreamObject && len(o.Ranges) != 1 {
			return false, fmt.Errorf("object %d of kind %d has %d ranges", o.ID, o.Kind, len(o.Ranges))
		}
		for i, r := range o.Ranges {
			if r.Start < 0 || r.End <= r.Start || i > 0 && r.Stream <= o.Ranges[i-1].Stream {
				return false, fmt.Errorf("object %d: bad range %+v", o.ID, r)
			}
		}
	}
	if same > 0 && same < len(objects) {
		return false, fmt.Errorf("%d of %d objects are committed already", same, len(objects))
	}
	return same > 0, nil
}

// RewriteStream implements s3stream.Metadata. The new objects must hold exactly the offsets that the old ones hold of the stream, as in a compaction.
func (n *Node) RewriteStream(ctx context.Context, m s3stream.RewriteCommit) error {
	c := n.cluster
	return c.change(ctx, "RewriteStream", func() error {
		if err := n.aliveLocked(); err != nil {
			return err
		}
		s, err := n.ownLocked(m.Stream, m.Epoch)
		if err != nil {
			return err
		}
		if again, err := n.checkNewLocked(m.New); again || err != nil {
			return err
		}
		var before, after []span
		for _, id := range m.Replaced {
			o, had := c.mu.objects[id], len(before)
			if o == nil || o.state != committed {
				return fmt.Errorf("replaced object %d is not committed", id)
			}
			for _, r := range o.info.Ranges {
				if r.Stream == m.Stream {
					before = append(before, span{r.Start, r.End})
				}
			}
			if len(before) == had {
				return fmt.Errorf("replaced object %d has nothing of stream %d", id, m.Stream)
			}
		}
		for _, o := range m.New {
			for _, r := range o.Ranges {
				if r.Stream != m.Stream {
					return fmt.Errorf("object %d holds stream %d, the rewrite is of stream %d", o.ID, r.Stream, m.Stream)
				}
				after = append(after, span{r.Start, r.End})
			}
		}
		if err := covers(s.info, join(before), join(after)); err != nil {
			return err
		}
		if m.Cleaned > s.info.End {
			return fmt.Errorf("stream %d: cleaned to %d, it ends at %d", m.Stream, m.Cleaned, s.info.End)
		}
		for _, id := range m.Replaced {
			c.takeOutLocked(s, c.mu.objects[id])
		}
		for _, o := range m.New {
			n.storeLocked(o)
			c.destroyIfDeadLocked(o.ID)
		}
		s.info.Cleaned = max(s.info.Cleaned, m.Cleaned)
		return nil
	})
}

func (n *Node) extendLocked(m s3stream.Commit) error {
	c := n.cluster
	seen := make(map[s3stream.StreamID]bool)
	for _, o := range m.New {
		for _, r := range o.Ranges {
			s, err := n.ownLocked(r.Stream, r.Epoch)
			if errors.Is(err, s3stream.ErrNotFound) && r.Stream > 0 && r.Stream < c.mu.nextStream {
				continue // deleted: its share of the object is dead
			}
			if err != nil {
				return err
			}
			if seen[r.Stream] || r.Start != s.info.End {
				return fmt.Errorf("stream %d ends at %d, object %d has [%d, %d)", r.Stream, s.info.End, o.ID, r.Start, r.End)
			}
			seen[r.Stream] = true
		}
	}
	var last []s3stream.ObjectID
	for _, o := range m.New {
		n.storeLocked(o)
		for _, r := range o.Ranges {
			s := c.mu.streams[r.Stream]
			if s == nil {
				continue
			}
			if k := len(s.parts); k > 1 {
				last = append(last, s.parts[k-2].object)
			}
			s.info.End = r.End
		}
	}
	for _, o := range m.New {
		last = append(last, o.ID)
	}
	for _, id := range last {
		c.destroyIfDeadLocked(id)
	}
	return nil
}

func (n *Node) storeLocked(o s3stream.ObjectInfo) {
	c := n.cluster
	have := c.mu.objects[o.ID]
	o.Committed = c.Now()
	o.Ranges = slices.Clone(o.Ranges)
	have.info, have.state, have.when = o, committed, o.Committed
	for _, r := range o.Ranges {
		if s := c.mu.streams[r.Stream]; s != nil {
			s.parts = append(s.parts, heldRange{r, o.ID})
			slices.SortFunc(s.parts, func(a, b heldRange) int { return cmp.Compare(a.Start, b.Start) })
		}
	}
}

// compactLocked replaces objects. The new ones must hold exactly the offsets of the old ones, except that what lies below a stream's start may be
// missing; so nothing readable is lost, nothing is there twice, and the end, whose object has the checkpoint, stays.
func (n *Node) compactLocked(m s3stream.Commit) error {
	c := n.cluster
	before, after := make(map[s3stream.StreamID][]span), make(map[s3stream.StreamID][]span)
	for _, id := range m.Compacted {
		o := c.mu.objects[id]
		if o == nil || o.state != committed {
			return fmt.Errorf("compacted object %d is not committed", id)
		}
		for _, r := range o.info.Ranges {
			before[r.Stream] = append(before[r.Stream], span{r.Start, r.End})
		}
	}
	for _, o := range m.New {
		for _, r := range o.Ranges {
			after[r.Stream] = append(after[r.Stream], span{r.Start, r.End})
		}
	}
	for id, s := range c.mu.streams {
		if err := covers(s.info, join(before[id]), join(after[id])); err != nil {
			return err
		}
	}
	for _, id := range m.Compacted {
		c.destroyLocked(c.mu.objects[id])
	}
	for _, o := range m.New {
		n.storeLocked(o)
	}
	for _, o := range m.New {
		c.destroyIfDeadLocked(o.ID)
	}
	return nil
}

// span is [start, end).
type span struct{ start, end int64 }

// join sorts spans and joins neighbours.
func join(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var out []span
	for _, x := range spans {
		if n := len(out); n > 0 && out[n-1].end == x.start {
			out[n-1].end = x.end
		} else {
			out = append(out, x)
		}
	}
	return out
}

func covers(s s3stream.StreamInfo, before, after []span) error {
	all := before
	for len(before) > 0 && before[0].end <= s.Start && before[0].end < s.End && (len(after) == 0 || after[0].start >= before[0].end) {
		before = before[1:]
	}
	ok := len(before) == len(after)
	for i := 0; ok && i < len(before); i++ {
		cut := i == 0 && after[i].start > before[i].start && after[i].start <= s.Start
		ok = before[i].end == after[i].end && (before[i].start == after[i].start || cut)
	}
	if !ok {
		return fmt.Errorf("stream %d from %d to %d: %v would replace %v", s.ID, s.Start, s.End, after, all)
	}
	return nil
}

// OpenStream implements s3stream.Metadata.
func (n *Node) OpenStream(ctx context.Context, id s3stream.StreamID, epoch int64) (info s3stream.StreamInfo, err error) {
	c := n.cluster
	err = c.change(ctx, "OpenStream", func() error {
		if err := n.aliveLocked(); err != nil {
			return err
		}
		s := c.mu.streams[id]
		if s == nil {
			return fmt.Errorf("%w: %d", s3stream.ErrNotFound, id)
		}
		if epoch < s.info.Epoch || epoch == s.info.Epoch && s.info.Node != n.id {
			return fmt.Errorf("%w: stream %d has epoch %d, the call %d", s3stream.ErrFenced, id, s.info.Epoch, epoch)
		}
		s.info.Epoch, s.info.Node, s.info.Closed = epoch, n.id, false
		info = s.info
		return nil
	})
	return info, err
}

// TakeOverStream implements s3stream.Metadata.
func (n *Node) TakeOverStream(ctx context.Context, id s3stream.StreamID, epoch int64, from int32, fromEpoch int64) (info s3stream.StreamInfo, err error) {
	c := n.cluster
	err = c.change(ctx, "TakeOverStream", func() error {
		if err := n.aliveLocked(); err != nil {
			return err
		}
		s := c.mu.streams[id]
		switch {
		case s == nil:
			return fmt.Errorf("%w: %d", s3stream.ErrNotFound, id)
		case s.info.Epoch == epoch && s.info.Node == n.id && !s.info.Closed: // again
		case epoch <= s.info.Epoch:
			return fmt.Errorf("%w: stream %d has epoch %d, the call %d", s3stream.ErrFenced, id, s.info.Epoch, epoch)
		case !s.info.Closed && (s.info.Node != from || s.info.Epoch != fromEpoch):
			return fmt.Errorf("%w: %w: stream %d belongs to node %d at epoch %d, it was handed over by node %d at epoch %d", s3stream.ErrFenced,
				s3stream.ErrNotClosed, id, s.info.Node, s.info.Epoch, from, fromEpoch)
		}
		s.info.Epoch, s.info.Node, s.info.Closed = epoch, n.id, false
		info = s.info
		return nil
	})
	return info, err
}

// CloseStream implements s3stream.Metadata.
func (n *Node) CloseStream(ctx context.Context, id s3stream.StreamID, epoch int64) error {
	return n.cluster.change(ctx, "CloseStream", func() error {
		if err := n.aliveLocked(); err != nil {
			return err
		}
		s, err := n.ownLocked(id, epoch)
		if err == nil {
			s.info.Closed = true
		}
		return err
	})
}

// TrimStream implements s3stream.Metadata.
func (n *Node) TrimStream(ctx context.Context, id s3stream.StreamID, epoch int64, start int64) error {
	c := n.cluster
	return c.change(ctx, "TrimStream", func() error {
		if err := n.aliveLocked(); err != nil {
			return err
		}
		s, err := n.ownLocked(id, epoch)
		if err != nil {
			return err
		}
		if start > s.info.End {
			return fmt.Errorf("stream %d: trim to %d, it ends at %d", id, start, s.info.End)
		}
		if start <= s.info.Start {
			return nil
		}
		s.info.Start = start
		for _, p := range slices.Clone(s.parts) {
			c.destroyIfDeadLocked(p.object)
		}
		return nil
	})
}

// Stream implements s3stream.Metadata.
func (n *Node) Stream(id s3stream.StreamID) (s3stream.StreamInfo, bool) {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.mu.streams[id]; s != nil {
		return s.info, true
	}
	if id > 0 && id < c.mu.nextStream {
		return s3stream.StreamInfo{ID: id, Deleted: true}, true
	}
	return s3stream.StreamInfo{}, false
}

// Objects implements s3stream.Metadata.
func (n *Node) Objects(dst []s3stream.ObjectInfo, id s3stream.StreamID, from int64, limit int) []s3stream.ObjectInfo {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.streams[id]
	if s == nil {
		return dst
	}
	i := sort.Search(len(s.parts), func(i int) bool { return s.parts[i].End > from })
	for ; i < len(s.parts) && limit > 0; i, limit = i+1, limit-1 {
		o := c.mu.objects[s.parts[i].object].info
		o.Ranges = []s3stream.Range{s.parts[i].Range}
		dst = append(dst, o)
	}
	return dst
}

// StreamSetObjects implements s3stream.Metadata.
func (n *Node) StreamSetObjects(node int32, limit int) []s3stream.ObjectInfo {
	live, _, _ := n.cluster.Objects()
	var out []s3stream.ObjectInfo
	for _, o := range live {
		if o.Kind == s3stream.StreamSetObject && o.Node == node && len(out) < limit {
			o.Ranges = slices.Clone(o.Ranges)
			out = append(out, o)
		}
	}
	return out
}

// Destroyed implements s3stream.Metadata.
func (n *Node) Destroyed(age time.Duration, limit int) []s3stream.ObjectID {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.Now().Add(-age)
	var out []s3stream.ObjectID
	for id, o := range c.mu.objects {
		if o.state == destroyed && !o.when.After(before) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), limit)]
}

// Deleted implements s3stream.Metadata.
func (n *Node) Deleted(ctx context.Context, ids []s3stream.ObjectID) error {
	c := n.cluster
	return c.change(ctx, "Deleted", func() error {
		for _, id := range ids {
			if o := c.mu.objects[id]; o != nil && o.state != destroyed {
				return fmt.Errorf("object %d is not destroyed", id)
			}
			delete(c.mu.objects, id)
		}
		return nil
	})
}

// ObjectState implements s3stream.Metadata.
func (n *Node) ObjectState(id s3stream.ObjectID) bool {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.objects[id] != nil
}
