package image

import (
	"fmt"

	"github.com/ringmq/ringmq/kraft/record"
)

// streamRewritten takes one stream out of objects and puts other objects in their place.
func (b *Builder) streamRewritten(r *record.StreamRewritten) error {
	s, ok := b.img.streams.Get(r.Stream)
	if !ok {
		return fmt.Errorf("no stream %d", r.Stream)
	}
	if r.Cleaned < s.Cleaned || r.Cleaned > s.End {
		return fmt.Errorf("stream %d: cleaned to %d, was to %d, ends at %d", r.Stream, r.Cleaned, s.Cleaned, s.End)
	}
	for _, id := range r.Replaced {
		if err := b.takeOut(r.Stream, id, r.Time); err != nil {
			return err
		}
	}
	for _, n := range r.New {
		o, ok := b.img.objects.Get(n.ID)
		if !ok || o.state != record.Prepared {
			return fmt.Errorf("object %d is not prepared", n.ID)
		}
		b.img.prepared.Delete(n.ID)
		o.kind, o.size, o.when, o.state, o.ranges = n.Kind, n.Size, r.Time, record.Committed, n.Ranges
		if err := b.index(n.ID, o); err != nil {
			return err
		}
	}
	s.Cleaned = r.Cleaned
	b.img.streams.Set(r.Stream, s)
	b.delta.Streams = append(b.delta.Streams, r.Stream)
	for _, n := range r.New {
		b.destroyIfDead(n.ID, r.Time)
	}
	return nil
}

// takeOut takes a stream's ranges out of a committed object, and destroys it when nothing that is needed remains.
func (b *Builder) takeOut(stream record.StreamID, id record.ObjectID, now int64) error {
	o, ok := b.img.objects.Get(id)
	if !ok || o.state != record.Committed {
		return fmt.Errorf("replaced object %d is not committed", id)
	}
	rest := make([]record.Range, 0, len(o.ranges)) // older images keep the old slice
	for _, x := range o.ranges {
		if x.Stream == stream {
			b.img.ranges.Delete(rangeRef{stream: stream, start: x.Start})
		} else {
			rest = append(rest, x)
		}
	}
	if len(rest) == len(o.ranges) {
		return fmt.Errorf("replaced object %d has nothing of stream %d", id, stream)
	}
	o.ranges = rest
	if len(rest) == 0 {
		b.destroy(id, o, now)
		return nil
	}
	b.img.objects.Set(id, o)
	b.destroyIfDead(id, now)
	return nil
}
