package image

import (
	"fmt"

	"github.com/ringmq/ringmq/kraft/record"
)

// Check verifies the invariants of the image: that its indexes say the same as its items, and the rules of streams and objects. It is for tests and
// tools; it looks at everything.
func (i *Image) Check() error {
	for _, f := range []func() error{i.checkTopics, i.checkObjects, i.checkIndexes} {
		if err := f(); err != nil {
			return fmt.Errorf("image at %d: %w", i.offset, err)
		}
	}
	return nil
}

func (i *Image) checkTopics() error {
	if i.topics.Len() != i.topicID.Len() {
		return fmt.Errorf("%d topics by name, %d by id", i.topics.Len(), i.topicID.Len())
	}
	var err error
	partitions, leads := 0, make(map[int32]int)
	i.Topics(func(t *Topic) bool {
		if i.TopicByID(t.ID) != t {
			err = fmt.Errorf("topic %q is not found by its id", t.Name)
			return false
		}
		for n, p := range t.Partitions {
			partitions++
			leads[p.Leader]++
			s, ok := i.Stream(p.StreamID)
			switch {
			case !ok || s.Topic != t.ID || s.Partition != int32(n):
				err = fmt.Errorf("topic %q partition %d: stream %d is %+v", t.Name, n, p.StreamID, s)
			case len(p.Replicas) != 1 || p.Replicas[0] != p.Leader || len(p.ISR) != 1 || p.ISR[0] != p.Leader:
				err = fmt.Errorf("topic %q partition %d: leader %d, replicas %v, in sync %v", t.Name, n, p.Leader, p.Replicas, p.ISR)
			case p.Target == p.Leader || p.Target < -1:
				err = fmt.Errorf("topic %q partition %d: leader %d, to be moved to %d", t.Name, n, p.Leader, p.Target)
			case s.Epoch > int64(p.LeaderEpoch):
				err = fmt.Errorf("topic %q partition %d: leader epoch %d, stream epoch %d", t.Name, n, p.LeaderEpoch, s.Epoch)
			}
			if err != nil {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if partitions != i.partitions || partitions != i.streams.Len() {
		return fmt.Errorf("%d partitions, counted %d, %d streams", partitions, i.partitions, i.streams.Len())
	}
	if len(leads) != i.leads.Len() {
		return fmt.Errorf("%d leaders, counted %d", len(leads), i.leads.Len())
	}
	for id, n := range leads {
		if i.PartitionsLed(id) != n {
			return fmt.Errorf("broker %d leads %d partitions, counted %d", id, n, i.PartitionsLed(id))
		}
	}
	return nil
}

func (i *Image) checkObjects() error {
	var err error
	var prepared, destroyed, sets, ranges int
	i.objects.Scan(func(id record.ObjectID, o object) bool {
		switch o.state {
		case record.Prepared:
			prepared++
			if _, ok := i.prepared.Get(id); !ok {
				err = fmt.Errorf("prepared object %d is not listed", id)
			}
		case record.Destroyed:
			destroyed++
			if _, ok := i.dead.Get(deadRef{when: o.when, object: id}); !ok || len(o.ranges) != 0 {
				err = fmt.Errorf("destroyed object %d is not listed, or has %d ranges", id, len(o.ranges))
			}
		case record.Committed:
			if o.kind == record.StreamSetObject {
				sets++
				if _, ok := i.sets.Get(setRef{node: o.node, object: id}); !ok {
					err = fmt.Errorf("stream-set object %d is not listed", id)
				}
			}
			live := false
			for _, r := range o.ranges {
				s, ok := i.Stream(r.Stream)
				if !ok {
					continue
				}
				ranges++
				ref, ok := i.ranges.Get(rangeRef{stream: r.Stream, start: r.Start})
				if !ok || ref.object != id || ref.end != r.End {
					err = fmt.Errorf("object %d: range of stream %d from %d is listed as %+v", id, r.Stream, r.Start, ref)
				}
				live = live || !deadRange(s, r.End)
			}
			if !live {
				err = fmt.Errorf("object %d is committed, but nothing of it is needed", id)
			}
		default:
			err = fmt.Errorf("object %d has state %d", id, o.state)
		}
		if id >= i.nextObject {
			err = fmt.Errorf("object %d, the next id is %d", id, i.nextObject)
		}
		return err == nil
	})
	if err == nil && (prepared != i.prepared.Len() || destroyed != i.dead.Len() || sets != i.sets.Len() || ranges != i.ranges.Len()) {
		err = fmt.Errorf("%d prepared, %d destroyed, %d sets, %d ranges; listed are %d, %d, %d, %d", prepared, destroyed, sets, ranges,
			i.prepared.Len(), i.dead.Len(), i.sets.Len(), i.ranges.Len())
	}
	return err
}

// checkIndexes looks at each stream's ranges: in order, without overlap, without a gap above the start, and up to the committed end.
func (i *Image) checkIndexes() error {
	var err error
	i.Streams(func(s Stream) bool {
		next := int64(-1)
		n := 0
		i.ranges.Ascend(rangeRef{stream: s.ID, start: minInt64}, func(r rangeRef) bool {
			if r.stream != s.ID {
				return false
			}
			n++
			switch {
			case next >= 0 && r.start < next:
				err = fmt.Errorf("stream %d: object %d begins at %d, before the end %d of the one before", s.ID, r.object, r.start, next)
			case r.start > max(next, s.Start):
				err = fmt.Errorf("stream %d: [%d, %d) is in no object", s.ID, max(next, s.Start), r.start)
			}
			next = r.end
			return err == nil
		})
		switch {
		case err != nil:
		case s.End > 0 && next != s.End:
			err = fmt.Errorf("stream %d ends at %d, its last object at %d", s.ID, s.End, next)
		case s.End == 0 && n > 0:
			err = fmt.Errorf("stream %d has no end, but %d objects", s.ID, n)
		case s.ID >= i.nextStream:
			err = fmt.Errorf("stream %d, the next id is %d", s.ID, i.nextStream)
		}
		return err == nil
	})
	return err
}
