package sharegroup

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ringmq/ringmq/engine/group/assignor"
	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/wire"
)

// The kinds of records, in Kafka's numbers.
const (
	KindMember  changes.Kind = 10 // a member: what it says of itself
	KindGroup   changes.Kind = 11 // group epoch
	KindTargets changes.Kind = 12 // epoch of the target assignment
	KindTarget  changes.Kind = 13 // target assignment of a member
	KindCurrent changes.Kind = 14 // what a member has
	KindStates  changes.Kind = 15 // partitions with a state
)

// ErrRecord is matched by every error about a record that cannot be decoded.
var ErrRecord = errors.New("sharegroup: malformed record")

func (g *Group) mark(kind changes.Kind, id string) { g.changes.Mark(kind, id) }

// Dirty reports whether records are to be written.
func (g *Group) Dirty() bool { return g.changes.Dirty() }

// Unsaved notes that records could not be written.
func (g *Group) Unsaved(keys []changes.Key) { g.changes.Unsaved(keys) }

// Removals come first, so that a change of which only a part reaches the log has nothing in it that is gone; and a member's own record last of its removals.
var writeOrder = []changes.Kind{KindGroup, KindMember, KindStates, KindTarget, KindTargets, KindCurrent}
var removeOrder = []changes.Kind{KindCurrent, KindTarget, KindMember}

// TakeRecords returns the records that make the log say what memory does, with their keys, for Unsaved.
func (g *Group) TakeRecords() ([]changes.Record, []changes.Key) {
	return g.changes.Take(changes.Source{
		Removed: removeOrder, Written: writeOrder, Value: g.value, Key: func(k changes.Key) []byte { return appendKey(nil, g.ID, k) },
	})
}

// Tombstones returns records that remove all that the log may have of the group.
func (g *Group) Tombstones() (records []changes.Record) {
	add := func(kind changes.Kind, id string) {
		records = append(records, changes.Record{Key: appendKey(nil, g.ID, changes.Key{Kind: kind, ID: id})})
	}
	for _, kind := range removeOrder {
		for _, m := range g.Members() {
			add(kind, m.ID)
		}
	}
	g.changes.Each(func(k changes.Key) {
		if k.ID != "" && g.members[k.ID] == nil {
			add(k.Kind, k.ID)
		}
	})
	add(KindTargets, "")
	if g.recorded {
		add(KindStates, "")
	}
	add(KindGroup, "")
	return records
}

func appendKey(dst []byte, group string, k changes.Key) []byte {
	dst = wire.AppendShortString(wire.AppendInt16(dst, int16(k.Kind)), group)
	switch k.Kind {
	case KindMember, KindTarget, KindCurrent:
		dst = wire.AppendShortString(dst, k.ID)
	}
	return dst
}

// value is the value that a record has now; nil: it does not exist. Values begin with their version, which is 0, and end with their tagged fields.
func (g *Group) value(k changes.Key) []byte {
	dst := wire.AppendInt16(nil, 0)
	switch k.Kind {
	case KindGroup:
		return append(wire.AppendInt64(wire.AppendInt32(dst, g.Epoch), g.hash), 0)
	case KindTargets:
		dst = wire.AppendInt32(dst, g.AssignmentEpoch)
		if g.assignedMillis == 0 {
			return append(dst, 0)
		}
		return wire.AppendTag(append(dst, 1), 0, wire.AppendInt64(nil, g.assignedMillis))
	case KindStates:
		return g.appendStates(dst)
	}
	m := g.members[k.ID]
	if m == nil {
		return nil
	}
	switch k.Kind {
	case KindMember:
		dst = wire.AppendString(wire.AppendString(wire.AppendNullableString(dst, m.Rack), m.ClientID), m.ClientHost)
		dst = wire.AppendLen(dst, len(m.Topics))
		for _, topic := range m.Topics {
			dst = wire.AppendString(dst, topic)
		}
	case KindTarget:
		dst = appendAssignment(dst, g.target[k.ID])
	case KindCurrent:
		dst = wire.AppendInt32(wire.AppendInt32(dst, m.Epoch), m.Previous)
		dst = appendAssignment(append(dst, 0), m.Assigned) // state: stable
	}
	return append(dst, 0)
}

func appendAssignment(dst []byte, a assignor.Assignment) []byte {
	dst = wire.AppendLen(dst, len(a))
	for _, topic := range sortedTopics(a) {
		dst = append(appendPartitions(append(dst, topic[:]...), a[topic]), 0)
	}
	return dst
}

func appendPartitions(dst []byte, partitions []int32) []byte {
	dst = wire.AppendLen(dst, len(partitions))
	for _, p := range partitions {
		dst = wire.AppendInt32(dst, p)
	}
	return dst
}

func (g *Group) appendStates(dst []byte) []byte {
	for _, from := range []map[TopicID]*pending{g.initializing, g.initialized} {
		dst = wire.AppendLen(dst, len(from))
		for _, id := range sortedTopics(from) {
			dst = wire.AppendString(append(dst, id[:]...), from[id].name)
			dst = append(appendPartitions(dst, from[id].partitions), 0)
		}
	}
	dst = wire.AppendLen(dst, len(g.deleting))
	for _, id := range sortedTopics(g.deleting) {
		dst = append(wire.AppendString(append(dst, id[:]...), g.deleting[id]), 0)
	}
	return append(dst, 0)
}

// DecodeKey reads a key of one of the kinds. known is false for keys of other records.
func DecodeKey(b []byte) (group string, k changes.Key, known bool, err error) {
	r := wire.Reader{B: b}
	k.Kind = changes.Kind(r.Int16())
	switch k.Kind {
	case KindGroup, KindTargets, KindStates:
		group = string(r.String(false))
	case KindMember, KindTarget, KindCurrent:
		group, k.ID = string(r.String(false)), string(r.String(false))
	default:
		return "", k, false, nil
	}
	if r.Bad {
		return "", k, true, fmt.Errorf("%w: key of kind %d and %d bytes", ErrRecord, k.Kind, len(b))
	}
	return group, k, true, nil
}

// Replay builds a group out of its records, in any order that a compacted log may have them.
type Replay struct {
	g       *Group
	current map[string]*Member
	epoch   bool
}

// NewReplay begins with a group of which nothing is known.
func NewReplay(id string) *Replay { return &Replay{g: New(id), current: make(map[string]*Member)} }

// Apply takes a record; a nil value removes. The bytes are not kept.
func (r *Replay) Apply(k changes.Key, value []byte) error {
	g := r.g
	if value == nil {
		switch k.Kind {
		case KindGroup:
			g.Epoch, g.hash, r.epoch = 1, 0, false
		case KindTargets:
			g.AssignmentEpoch, g.assignedMillis = 0, 0
		case KindMember:
			delete(g.members, k.ID)
		case KindTarget:
			delete(g.target, k.ID)
		case KindCurrent:
			delete(r.current, k.ID)
		case KindStates:
			clear(g.initializing)
			clear(g.initialized)
			clear(g.deleting)
			g.recorded = false
		}
		return nil
	}
	in := wire.Reader{B: value}
	if version := in.Int16(); version != 0 || in.Bad {
		return fmt.Errorf("%w: value of kind %d has version %d", ErrRecord, k.Kind, version)
	}
	take := r.decode(k, &in)
	if in.Bad {
		return fmt.Errorf("%w: value of kind %d and %d bytes is cut off or inconsistent", ErrRecord, k.Kind, len(value))
	}
	take()
	return nil
}

// decode reads a value, and returns what takes it over.
func (r *Replay) decode(k changes.Key, in *wire.Reader) (take func()) {
	g := r.g
	switch k.Kind {
	case KindGroup:
		epoch, hash := in.Int32(), in.Int64()
		in.Tags()
		return func() { g.Epoch, g.hash, r.epoch = epoch, hash, true }
	case KindTargets:
		epoch, millis := in.Int32(), int64(0)
		in.EachTag(func(tag int, field *wire.Reader) {
			if tag == 0 {
				millis = field.Int64()
			}
		})
		return func() { g.AssignmentEpoch, g.assignedMillis = epoch, millis }
	case KindMember:
		m := &Member{ID: k.ID, Rack: in.NullableString(true), ClientID: string(in.String(true)), ClientHost: string(in.String(true))}
		for n := in.ArrayLen(true, 1); n > 0 && !in.Bad; n-- {
			m.Topics = append(m.Topics, string(in.String(true)))
		}
		in.Tags()
		slices.Sort(m.Topics)
		return func() { g.members[k.ID] = m }
	case KindTarget:
		a := readAssignment(in)
		in.Tags()
		return func() { g.target[k.ID] = a }
	case KindCurrent:
		m := &Member{Epoch: in.Int32(), Previous: in.Int32()}
		in.Int8()
		m.Assigned = readAssignment(in)
		in.Tags()
		return func() { r.current[k.ID] = m }
	}
	initializing, initialized, deleting := readPending(in), readPending(in), make(map[TopicID]string)
	for n := in.ArrayLen(true, 18); n > 0 && !in.Bad; n-- {
		id := in.UUID()
		deleting[id] = string(in.String(true))
		in.Tags()
	}
	in.Tags()
	return func() {
		g.initializing, g.initialized, g.deleting, g.recorded = initializing, initialized, deleting, true
	}
}

func readAssignment(in *wire.Reader) assignor.Assignment {
	a := make(assignor.Assignment)
	for n := in.ArrayLen(true, 18); n > 0 && !in.Bad; n-- {
		id := in.UUID()
		if partitions := readPartitions(in); len(partitions) > 0 {
			a[id] = partitions
		}
		in.Tags()
	}
	return a
}

func readPending(in *wire.Reader) map[TopicID]*pending {
	out := make(map[TopicID]*pending)
	for n := in.ArrayLen(true, 19); n > 0 && !in.Bad; n-- {
		id := in.UUID()
		out[id] = &pending{name: string(in.String(true)), partitions: readPartitions(in)}
		in.Tags()
	}
	return out
}

func readPartitions(in *wire.Reader) []int32 {
	n := in.ArrayLen(true, 4)
	partitions := make([]int32, 0, n)
	for range n {
		p := in.Int32()
		if p < 0 || p == math.MaxInt32 {
			in.Bad = true
		}
		partitions = append(partitions, p)
	}
	slices.Sort(partitions)
	return slices.Compact(partitions)
}

// Empty reports whether nothing is left of the group.
func (r *Replay) Empty() bool {
	return !r.epoch && len(r.g.members) == 0 && len(r.current) == 0 && len(r.g.target) == 0 && !r.g.recorded
}

// Group ends the replay.
func (r *Replay) Group() *Group {
	g := r.g
	for _, m := range g.members {
		if c := r.current[m.ID]; c != nil {
			m.Epoch, m.Previous, m.Assigned = c.Epoch, c.Previous, c.Assigned
		}
		g.count(m, 1)
	}
	g.changes.Clear()
	for id := range g.target { // what is left of a change of which only a part reached the log
		if g.members[id] == nil {
			delete(g.target, id)
			g.mark(KindTarget, id)
		}
	}
	for id := range r.current {
		if g.members[id] == nil {
			g.mark(KindCurrent, id)
		}
	}
	return g
}
