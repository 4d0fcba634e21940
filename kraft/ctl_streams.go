package kraft

import (
	"cmp"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// streamResult makes the response out of a refusal, which must be untyped nil when there is none.
func streamResult(key int16, err error) kmsg.Response {
	r := &StreamResponse{key: key}
	if err != nil {
		r.Code, r.Message = codeOf(err)
	}
	return r
}

// checkNode refuses a node that is not registered, or was registered anew since.
func (t *tx) checkNode(node int32, epoch int64) error {
	b := t.img().Broker(node)
	switch {
	case b == nil:
		return refuse(CodeFenced, "node %d is not registered", node)
	case b.Epoch != epoch:
		return refuse(CodeFenced, "node %d is at epoch %d, the request is of epoch %d", node, b.Epoch, epoch)
	}
	return nil
}

// checkOwner returns the stream if the node owns it at exactly this epoch.
func (t *tx) checkOwner(id StreamID, epoch int64, node int32) (Stream, error) {
	s, ok := t.img().Stream(id)
	switch {
	case !ok:
		return s, refuse(CodeNotFound, "stream %d", id)
	case s.Epoch != epoch || s.Node != node:
		return s, refuse(CodeFenced, "stream %d belongs to node %d at epoch %d, the request is of node %d at epoch %d", id, s.Node, s.Epoch, node, epoch)
	}
	return s, nil
}

func (t *tx) prepareObjects(r *PrepareObjectsRequest) kmsg.Response {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return streamResult(r.Key(), err)
	}
	if r.Count < 1 || r.Count > MaxPrepare {
		return streamResult(r.Key(), refuse(CodeInvalid, "%d objects, allowed are 1 to %d", r.Count, MaxPrepare))
	}
	first := t.img().NextObjectID()
	t.add(&record.ObjectsPrepared{Node: r.Node, First: first, Count: r.Count, Time: t.now.UnixMilli()})
	return &StreamResponse{key: r.Key(), First: first}
}

func (t *tx) openStream(r *OpenStreamRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	s, ok := t.img().Stream(r.Stream)
	if !ok {
		return refuse(CodeNotFound, "stream %d", r.Stream)
	}
	topic := t.img().TopicByID(s.Topic)
	p := topic.Partitions[s.Partition]
	leader, epoch := p.Leader, int64(p.LeaderEpoch)
	takes := r.HandedOver && p.Target == r.Node
	if takes { // becomes the leader, with this
		leader, epoch = r.Node, epoch+1
	}
	switch {
	case leader != r.Node || r.Epoch < epoch:
		return refuse(CodeFenced, "stream %d: %s-%d is led by node %d at epoch %d, the request is of node %d at epoch %d",
			r.Stream, topic.Name, s.Partition, p.Leader, p.LeaderEpoch, r.Node, r.Epoch)
	case r.Epoch > epoch:
		return refuse(CodeInvalid, "stream %d: epoch %d is above the leader epoch %d", r.Stream, r.Epoch, epoch)
	case s.Epoch == r.Epoch && s.Node == r.Node && !s.Closed:
		return nil // again
	case s.Epoch >= r.Epoch && (s.Epoch > r.Epoch || s.Node != r.Node):
		return refuse(CodeFenced, "stream %d belongs to node %d at epoch %d, the request is of node %d at epoch %d", r.Stream, s.Node, s.Epoch, r.Node, r.Epoch)
	case !s.Closed && s.Node != r.Node && !(r.HandedOver && s.Node == r.From && s.Epoch == r.FromEpoch):
		return refuse(CodeNotClosed, "stream %d, node %d at epoch %d", r.Stream, s.Node, s.Epoch)
	}
	if takes {
		t.setLeader(s.Topic, s.Partition, r.Node)
	}
	// At the same epoch it has been closed, and whoever was waiting for that may have acted on it.
	t.add(&record.StreamOpened{ID: r.Stream, Epoch: r.Epoch, Node: r.Node})
	return nil
}

func (t *tx) closeStream(r *CloseStreamRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	s, err := t.checkOwner(r.Stream, r.Epoch, r.Node)
	if err != nil || s.Closed {
		return err
	}
	t.add(&record.StreamClosed{ID: r.Stream, Epoch: r.Epoch})
	if leader := t.img().Broker(t.img().TopicByID(s.Topic).Partitions[s.Partition].Leader); leader == nil || leader.Fenced {
		t.c.mu.settled = "" // it was moved to a broker that died since: it can move on
	}
	return nil
}

func (t *tx) trimStream(r *TrimStreamRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	s, err := t.checkOwner(r.Stream, r.Epoch, r.Node)
	if err != nil || r.Start <= s.Start {
		return err
	}
	t.add(&record.StreamTrimmed{ID: r.Stream, Start: r.Start, Time: t.now.UnixMilli()})
	return nil
}

func (t *tx) deletedObjects(r *DeletedObjectsRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	ids := slices.Clone(r.IDs)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var gone []ObjectID
	for _, id := range ids {
		o, ok := t.img().Object(id)
		if !ok {
			continue
		}
		if o.State != Destroyed {
			return refuse(CodeConflict, "object %d is not destroyed", id)
		}
		gone = append(gone, id)
	}
	if len(gone) > 0 {
		t.add(&record.ObjectsDeleted{IDs: gone})
	}
	return nil
}

// destroyAbandoned destroys objects that were prepared too long ago, a bounded number at a time.
func (t *tx) destroyAbandoned() {
	ids := t.img().PreparedObjects(nil, t.now.Add(-t.c.opts.PreparedTimeout), 10_000)
	if len(ids) > 0 {
		t.add(&record.ObjectsDestroyed{Time: t.now.UnixMilli(), IDs: ids})
		t.c.logger.Info("kraft: prepared objects abandoned", "count", len(ids), "first", ids[0])
	}
}

func (t *tx) commitObjects(r *CommitObjectsRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	objects := ownObjects(r.New)
	if len(objects) == 0 && len(r.Compacted) == 0 {
		return refuse(CodeInvalid, "nothing to commit")
	}
	if r.Extends && len(r.Compacted) > 0 {
		return refuse(CodeInvalid, "a commit either extends streams or compacts objects")
	}
	if err := checkShape(objects, r.Compacted); err != nil {
		return err
	}
	again, err := t.checkPrepared(objects, r.Node)
	if err != nil || again {
		return err
	}
	if r.Extends {
		err = t.checkExtends(objects, r.Node)
	} else {
		err = t.checkReplaces(objects, r.Compacted)
	}
	if err != nil {
		return err
	}
	compacted := slices.Clone(r.Compacted)
	slices.Sort(compacted)
	t.add(&record.ObjectsCommitted{Node: r.Node, Time: t.now.UnixMilli(), Extends: r.Extends, New: objects, Compacted: compacted})
	return nil
}

// ownObjects copies objects: their ranges go into the image, and the caller keeps its own.
func ownObjects(objects []NewObject) []record.NewObject {
	own := make([]record.NewObject, len(objects))
	for i, n := range objects {
		own[i] = record.NewObject{ID: n.ID, Kind: n.Kind, Size: n.Size, Ranges: slices.Clone(n.Ranges)}
		slices.SortFunc(own[i].Ranges, compareRanges)
	}
	return own
}

// subset says that all of the ranges are among others; both are sorted.
func subset(ranges, others []Range) bool {
	for _, x := range others {
		if len(ranges) > 0 && ranges[0] == x {
			ranges = ranges[1:]
		}
	}
	return len(ranges) == 0
}

func compareRanges(a, b Range) int {
	return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Start, b.Start))
}

// checkShape refuses what is wrong in every state.
func checkShape(objects []record.NewObject, replaced []ObjectID) error {
	seen := make(map[ObjectID]bool, len(objects)+len(replaced))
	for _, id := range replaced {
		if seen[id] {
			return refuse(CodeInvalid, "object %d is named twice", id)
		}
		seen[id] = true
	}
	for _, n := range objects {
		switch {
		case seen[n.ID]:
			return refuse(CodeInvalid, "object %d is named twice", n.ID)
		case n.Kind != StreamObject && n.Kind != StreamSetObject:
			return refuse(CodeInvalid, "object %d has kind %d", n.ID, n.Kind)
		case n.Size < 1:
			return refuse(CodeInvalid, "object %d has %d bytes", n.ID, n.Size)
		case len(n.Ranges) == 0 || n.Kind == StreamObject && len(n.Ranges) != 1:
			return refuse(CodeInvalid, "object %d of kind %d has %d ranges", n.ID, n.Kind, len(n.Ranges))
		}
		seen[n.ID] = true
		for i, x := range n.Ranges {
			if x.Start < 0 || x.Start >= x.End || x.Bytes < 0 {
				return refuse(CodeInvalid, "object %d: range [%d, %d) of stream %d, %d bytes", n.ID, x.Start, x.End, x.Stream, x.Bytes)
			}
			if i > 0 && x.Stream == n.Ranges[i-1].Stream && x.Start < n.Ranges[i-1].End {
				return refuse(CodeInvalid, "object %d: ranges of stream %d overlap at %d", n.ID, x.Stream, x.Start)
			}
		}
	}
	return nil
}

// checkPrepared refuses objects that the node has not prepared. again is true when this very commit has been made before.
func (t *tx) checkPrepared(objects []record.NewObject, node int32) (again bool, err error) {
	same := 0
	for _, n := range objects {
		o, ok := t.img().Object(n.ID)
		switch {
		case !ok:
			return false, refuse(CodeConflict, "object %d was not prepared, or has been deleted", n.ID)
		case o.Node != node:
			return false, refuse(CodeConflict, "object %d was prepared by node %d", n.ID, o.Node)
		case o.State == Destroyed && o.Kind == n.Kind && o.Size == n.Size:
			same++ // committed once, and dead by now
		case o.State == Destroyed:
			return false, refuse(CodeConflict, "object %d is destroyed: it was not committed in time", n.ID)
		case o.State == Committed && o.Kind == n.Kind && o.Size == n.Size && subset(o.Ranges, n.Ranges):
			same++ // a rewrite of a stream may have taken some out since
		case o.State == Committed:
			return false, refuse(CodeConflict, "object %d is committed with other content", n.ID)
		}
	}
	if same > 0 && same < len(objects) {
		return false, refuse(CodeConflict, "%d of %d objects are committed already", same, len(objects))
	}
	return same > 0, nil
}

// checkExtends refuses ranges that do not continue their streams, or are of somebody who does not own them. Streams that are deleted count as owned:
// an upload that was under way when a topic went must not fail for the others in it.
func (t *tx) checkExtends(objects []record.NewObject, node int32) error {
	ends := make(map[StreamID]int64)
	// Ranges of one stream may lie in several objects: look at them in the order of offsets.
	var all []Range
	for _, n := range objects {
		all = append(all, n.Ranges...)
	}
	slices.SortFunc(all, compareRanges)
	for _, x := range all {
		s, err := t.checkOwner(x.Stream, x.Epoch, node)
		if errors.Is(err, ErrNotFound) && t.img().StreamExisted(x.Stream) {
			continue
		}
		if err != nil {
			return err
		}
		end, ok := ends[x.Stream]
		if !ok {
			end = s.End
		}
		// What lies between the committed end and a start that was trimmed beyond it will never come.
		if x.Start != end && (x.Start < end || x.Start > s.Start) {
			return refuse(CodeConflict, "stream %d ends at %d, the range is [%d, %d)", x.Stream, end, x.Start, x.End)
		}
		ends[x.Stream] = x.End
	}
	return t.orderObjects(objects)
}

// orderObjects refuses objects in an order in which a later one holds earlier offsets of the same stream: records apply in order.
func (t *tx) orderObjects(objects []record.NewObject) error {
	ends := make(map[StreamID]int64)
	for _, n := range objects {
		for _, x := range n.Ranges {
			if x.Start < ends[x.Stream] {
				return refuse(CodeInvalid, "object %d holds stream %d from %d on, behind an object that ends at %d", n.ID, x.Stream, x.Start, ends[x.Stream])
			}
			ends[x.Stream] = x.End
		}
	}
	return nil
}

// checkReplaces refuses a compaction whose new objects do not hold what is needed of the old ones: for each stream exactly the same offsets, of
// which those below the stream's start may be missing. So nothing readable is lost, nothing appears twice, and the end, whose object carries the
// owner's checkpoint, stays where it was.
func (t *tx) checkReplaces(objects []record.NewObject, compacted []ObjectID) error {
	var old []Range
	for _, id := range compacted {
		o, ok := t.img().Object(id)
		if !ok || o.State != Committed {
			return refuse(CodeConflict, "compacted object %d is gone", id)
		}
		for _, x := range o.Ranges {
			if _, ok := t.img().Stream(x.Stream); ok {
				old = append(old, x)
			}
		}
	}
	var repl []Range
	for _, n := range objects {
		for _, x := range n.Ranges {
			if _, ok := t.img().Stream(x.Stream); ok {
				repl = append(repl, x)
			} else if !t.img().StreamExisted(x.Stream) {
				return refuse(CodeNotFound, "stream %d", x.Stream)
			}
		}
	}
	slices.SortFunc(old, compareRanges)
	slices.SortFunc(repl, compareRanges)
	for len(old) > 0 || len(repl) > 0 {
		var a, b []Range
		var id StreamID
		if len(repl) == 0 || len(old) > 0 && old[0].Stream <= repl[0].Stream {
			id = old[0].Stream
		} else {
			id = repl[0].Stream
		}
		a, old = takeStream(old, id)
		b, repl = takeStream(repl, id)
		s, _ := t.img().Stream(id)
		if err := checkCover(s, merge(a), merge(b)); err != nil {
			return err
		}
	}
	return nil
}

// takeStream splits the ranges of one stream off the front.
func takeStream(ranges []Range, id StreamID) (front, rest []Range) {
	n := 0
	for n < len(ranges) && ranges[n].Stream == id {
		n++
	}
	return ranges[:n], ranges[n:]
}

// span is [start, end).
type span struct{ start, end int64 }

// merge joins adjacent ranges; overlapping ones stay apart.
func merge(ranges []Range) []span {
	var out []span
	for _, x := range ranges {
		if n := len(out); n > 0 && out[n-1].end == x.Start {
			out[n-1].end = x.End
		} else {
			out = append(out, span{x.Start, x.End})
		}
	}
	return out
}

// checkCover compares what is replaced (a) with what replaces it (b), of one stream. Both are sorted by start.
func checkCover(s Stream, a, b []span) error {
	// Old spans that nobody needs may be left out, or be cut at the front.
	for len(a) > 0 && a[0].end <= s.Start && a[0].end < s.End && (len(b) == 0 || b[0].start >= a[0].end) {
		a = a[1:]
	}
	if len(a) != len(b) {
		return refuse(CodeConflict, "stream %d: %d replaced ranges, %d new ones", s.ID, len(a), len(b))
	}
	for i := range a {
		cut := i == 0 && b[i].start > a[i].start && b[i].start <= s.Start
		if a[i].end != b[i].end || a[i].start != b[i].start && !cut {
			return refuse(CodeConflict, "stream %d: [%d, %d) would replace [%d, %d)", s.ID, b[i].start, b[i].end, a[i].start, a[i].end)
		}
	}
	return nil
}
