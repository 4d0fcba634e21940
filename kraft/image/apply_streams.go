package image

import (
	"fmt"

	"github.com/ringmq/ringmq/kraft/record"
)

func (b *Builder) streamOpened(r *record.StreamOpened) error {
	s, ok := b.img.streams.Get(r.ID)
	if !ok {
		return fmt.Errorf("no stream %d", r.ID)
	}
	if r.Epoch < s.Epoch || r.Epoch == s.Epoch && r.Node != s.Node {
		return fmt.Errorf("stream %d: owner goes from node %d at epoch %d to node %d at epoch %d", r.ID, s.Node, s.Epoch, r.Node, r.Epoch)
	}
	s.Epoch, s.Node, s.Closed = r.Epoch, r.Node, false
	b.img.streams.Set(r.ID, s)
	b.delta.Streams = append(b.delta.Streams, r.ID)
	return nil
}

func (b *Builder) streamClosed(r *record.StreamClosed) error {
	s, ok := b.img.streams.Get(r.ID)
	if !ok {
		return fmt.Errorf("no stream %d", r.ID)
	}
	if r.Epoch != s.Epoch {
		return fmt.Errorf("stream %d: closed at epoch %d, but it is at %d", r.ID, r.Epoch, s.Epoch)
	}
	s.Closed = true
	b.img.streams.Set(r.ID, s)
	b.delta.Streams = append(b.delta.Streams, r.ID)
	return nil
}

func (b *Builder) streamTrimmed(r *record.StreamTrimmed) error {
	s, ok := b.img.streams.Get(r.ID)
	if !ok {
		return fmt.Errorf("no stream %d", r.ID)
	}
	if r.Start <= s.Start {
		return fmt.Errorf("stream %d: start goes from %d to %d", r.ID, s.Start, r.Start)
	}
	s.Start = r.Start
	b.img.streams.Set(r.ID, s)
	b.delta.Streams = append(b.delta.Streams, r.ID)
	var touched []record.ObjectID
	b.img.ranges.Ascend(rangeRef{stream: r.ID, start: minInt64}, func(x rangeRef) bool {
		if x.stream != r.ID || !deadRange(s, x.end) {
			return false
		}
		touched = append(touched, x.object)
		return true
	})
	for _, id := range touched {
		b.destroyIfDead(id, r.Time)
	}
	return nil
}

const minInt64 = -1 << 63

// deleteStream forgets a stream and destroys the objects that hold nothing but it.
func (b *Builder) deleteStream(id record.StreamID, now int64) {
	b.img.streams.Delete(id)
	var gone []rangeRef
	b.img.ranges.Ascend(rangeRef{stream: id, start: minInt64}, func(x rangeRef) bool {
		if x.stream != id {
			return false
		}
		gone = append(gone, x)
		return true
	})
	for _, x := range gone {
		b.img.ranges.Delete(x)
	}
	for _, x := range gone {
		b.destroyIfDead(x.object, now)
	}
}

// deadRange says that nobody needs a range of the stream that ends at end: all of it is trimmed, and it is not the last
// one, whose object carries the owner's newest checkpoint.
func deadRange(s Stream, end int64) bool { return end <= s.Start && end < s.End }

// destroyIfDead marks a committed object destroyed when none of its ranges is needed.
func (b *Builder) destroyIfDead(id record.ObjectID, now int64) {
	o, ok := b.img.objects.Get(id)
	if !ok || o.state != record.Committed {
		return
	}
	for _, r := range o.ranges {
		if s, ok := b.img.streams.Get(r.Stream); ok && !deadRange(s, r.End) {
			return
		}
	}
	b.destroy(id, o, now)
}

// destroy takes a prepared or committed object out of every index and marks it destroyed.
func (b *Builder) destroy(id record.ObjectID, o object, now int64) {
	if o.state == record.Prepared {
		b.img.prepared.Delete(id)
	}
	for _, r := range o.ranges {
		// A deleted stream has no ranges in the index any more.
		if _, ok := b.img.streams.Get(r.Stream); ok {
			b.img.ranges.Delete(rangeRef{stream: r.Stream, start: r.Start})
		}
	}
	if o.kind == record.StreamSetObject {
		b.img.sets.Delete(setRef{node: o.node, object: id})
	}
	o.state, o.when, o.ranges = record.Destroyed, now, nil
	b.img.objects.Set(id, o)
	b.img.dead.Set(deadRef{when: now, object: id})
	b.delta.Destroyed++
}

// maxPrepared bounds one ObjectsPrepared, so that a damaged count cannot fill the memory.
const maxPrepared = 1 << 20

func (b *Builder) objectsPrepared(r *record.ObjectsPrepared) error {
	if r.First < b.img.nextObject || r.Count < 1 || r.Count > maxPrepared {
		return fmt.Errorf("%d objects from %d on, the next id is %d", r.Count, r.First, b.img.nextObject)
	}
	for i := range r.Count {
		id := r.First + record.ObjectID(i)
		b.img.objects.Set(id, object{when: r.Time, node: r.Node, state: record.Prepared})
		b.img.prepared.Set(id, struct{}{})
	}
	b.img.nextObject = r.First + record.ObjectID(r.Count)
	return nil
}

func (b *Builder) objectsCommitted(r *record.ObjectsCommitted) error {
	for _, id := range r.Compacted {
		o, ok := b.img.objects.Get(id)
		if !ok || o.state != record.Committed {
			return fmt.Errorf("compacted object %d is not committed", id)
		}
		b.destroy(id, o, r.Time)
	}
	var last []record.ObjectID // of the extended streams, before
	for _, n := range r.New {
		o, ok := b.img.objects.Get(n.ID)
		if !ok || o.state != record.Prepared {
			return fmt.Errorf("object %d is not prepared", n.ID)
		}
		b.img.prepared.Delete(n.ID)
		o.kind, o.size, o.when, o.state, o.ranges = n.Kind, n.Size, r.Time, record.Committed, n.Ranges
		if r.Extends {
			for _, x := range n.Ranges {
				s, ok := b.img.streams.Get(x.Stream)
				if !ok {
					continue
				}
				if x.Start < s.End {
					return fmt.Errorf("object %d: range of stream %d starts at %d, before its end %d", n.ID, x.Stream, x.Start, s.End)
				}
				if h, ok := b.img.LastObject(x.Stream); ok {
					last = append(last, h.Object.ID)
				}
				s.End = x.End
				b.img.streams.Set(x.Stream, s)
			}
		}
		if err := b.index(n.ID, o); err != nil {
			return err
		}
	}
	// An object that was kept for its checkpoint alone is not the last of its stream any more.
	for _, id := range last {
		b.destroyIfDead(id, r.Time)
	}
	for _, n := range r.New {
		b.destroyIfDead(n.ID, r.Time)
	}
	return nil
}

// index stores a committed object and makes its ranges findable.
func (b *Builder) index(id record.ObjectID, o object) error {
	if o.kind != record.StreamObject && o.kind != record.StreamSetObject {
		return fmt.Errorf("object %d has kind %d", id, o.kind)
	}
	if len(o.ranges) == 0 {
		return fmt.Errorf("object %d has no ranges", id)
	}
	for i, x := range o.ranges {
		if x.Start < 0 || x.Start >= x.End {
			return fmt.Errorf("object %d: range [%d, %d) of stream %d", id, x.Start, x.End, x.Stream)
		}
		if i > 0 && !lessRange(rangeRef{stream: o.ranges[i-1].Stream, start: o.ranges[i-1].Start}, rangeRef{stream: x.Stream, start: x.Start}) {
			return fmt.Errorf("object %d: ranges are not in order", id)
		}
		if _, ok := b.img.streams.Get(x.Stream); !ok {
			continue
		}
		if old, taken := b.img.ranges.Set(rangeRef{stream: x.Stream, start: x.Start, end: x.End, object: id}); taken {
			return fmt.Errorf("objects %d and %d both hold stream %d from %d on", old.object, id, x.Stream, x.Start)
		}
	}
	b.img.objects.Set(id, o)
	if o.kind == record.StreamSetObject {
		b.img.sets.Set(setRef{node: o.node, object: id})
	}
	return nil
}

func (b *Builder) objectsDestroyed(r *record.ObjectsDestroyed) error {
	for _, id := range r.IDs {
		o, ok := b.img.objects.Get(id)
		if !ok || o.state != record.Prepared {
			return fmt.Errorf("object %d is not prepared", id)
		}
		b.destroy(id, o, r.Time)
	}
	return nil
}

func (b *Builder) objectsDeleted(r *record.ObjectsDeleted) error {
	for _, id := range r.IDs {
		o, ok := b.img.objects.Get(id)
		if !ok || o.state != record.Destroyed {
			return fmt.Errorf("object %d is not destroyed", id)
		}
		b.img.objects.Delete(id)
		b.img.dead.Delete(deadRef{when: o.when, object: id})
	}
	return nil
}

func (b *Builder) streamState(r *record.StreamState) error {
	s, ok := b.img.streams.Get(r.ID)
	if !ok {
		return fmt.Errorf("no stream %d", r.ID)
	}
	s.Epoch, s.Node, s.Start, s.End, s.Closed, s.Cleaned = r.Epoch, r.Node, r.Start, r.End, r.Closed, 0
	b.img.streams.Set(r.ID, s)
	return nil
}

func (b *Builder) objectStored(r *record.ObjectStored) error {
	if _, ok := b.img.objects.Get(r.ID); ok || r.ID < 1 {
		return fmt.Errorf("object %d is taken", r.ID)
	}
	b.img.nextObject = max(b.img.nextObject, r.ID+1)
	o := object{ranges: r.Ranges, size: r.Size, when: r.Time, node: r.Node, kind: r.ObjectKind, state: r.State}
	if o.state != record.Committed && len(o.ranges) != 0 {
		return fmt.Errorf("object %d in state %d has ranges", r.ID, o.state)
	}
	switch o.state {
	case record.Committed:
		return b.index(r.ID, o)
	case record.Prepared:
		b.img.prepared.Set(r.ID, struct{}{})
	case record.Destroyed:
		b.img.dead.Set(deadRef{when: o.when, object: r.ID})
	default:
		return fmt.Errorf("object %d has state %d", r.ID, o.state)
	}
	b.img.objects.Set(r.ID, o)
	return nil
}
