package streams

import (
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/wire"
)

// The kinds of records, in Kafka's numbers.
const (
	KindGroup    changes.Kind = 17 // group epoch
	KindTopics   changes.Kind = 18 // of versions before 4.1; never written
	KindMember   changes.Kind = 19 // a member: what it says of itself
	KindTargets  changes.Kind = 20 // epoch of the target assignment
	KindTarget   changes.Kind = 21 // target assignment of a member
	KindCurrent  changes.Kind = 22 // what a member has
	KindTopology changes.Kind = 23
)

// ErrRecord is matched by every error about a record that cannot be decoded.
var ErrRecord = errors.New("streams: malformed record")

// writeOrder is the order in which records of one change are written, removeOrder that of tombstones, which come first: those of a member
// after those of its assignments.
var (
	writeOrder  = []changes.Kind{KindMember, KindTopology, KindGroup, KindTarget, KindTargets, KindCurrent}
	removeOrder = []changes.Kind{KindCurrent, KindTarget, KindMember}
)

// TakeRecords returns the records that make the log say what memory does, with their keys, for Unsaved.
func (g *Group) TakeRecords() ([]changes.Record, []changes.Key) {
	return g.changes.Take(changes.Source{
		Removed: removeOrder, Written: writeOrder, Value: g.value, Key: func(k changes.Key) []byte { return appendKey(nil, g.ID, k) },
	})
}

// Tombstones returns records that remove all that the log may have of the group.
func (g *Group) Tombstones() []changes.Record {
	var records []changes.Record
	add := func(kind changes.Kind, id string) {
		records = append(records, changes.Record{Key: appendKey(nil, g.ID, changes.Key{Kind: kind, ID: id})})
	}
	for _, kind := range removeOrder {
		for _, m := range g.Members() {
			add(kind, m.ID)
		}
	}
	g.changes.Each(func(k changes.Key) {
		if k.ID != "" && g.value(k) == nil {
			add(k.Kind, k.ID)
		}
	})
	for _, kind := range []changes.Kind{KindTargets, KindGroup, KindTopology} {
		add(kind, "")
	}
	return records
}

func perMember(kind changes.Kind) bool {
	return kind == KindMember || kind == KindTarget || kind == KindCurrent
}

// appendKey appends the key of a record.
func appendKey(dst []byte, group string, k changes.Key) []byte {
	dst = wire.AppendShortString(wire.AppendInt16(dst, int16(k.Kind)), group)
	if perMember(k.Kind) {
		dst = wire.AppendShortString(dst, k.ID)
	}
	return dst
}

// value is the value that a record has now; nil: it does not exist.
func (g *Group) value(k changes.Key) []byte {
	m := g.members[k.ID]
	switch {
	case k.Kind == KindGroup:
		return appendGroup(nil, epochs{g.Epoch, g.hash, g.validated, g.standbys})
	case k.Kind == KindTargets:
		return appendTargets(nil, g.AssignmentEpoch, g.assignedMillis)
	case k.Kind == KindTopology && g.topology != nil:
		return appendTopology(nil, g.topology)
	case k.Kind == KindTarget && g.target[k.ID] != nil:
		return appendTarget(nil, g.target[k.ID])
	case k.Kind == KindMember && m != nil:
		return appendMember(nil, m)
	case k.Kind == KindCurrent && m != nil && m.reached:
		return appendCurrent(nil, m)
	}
	return nil
}

// epochs is what the group's own record has.
type epochs struct {
	epoch     int32
	hash      int64
	validated int32 // -1: the topology is not complete
	standbys  int   // -1: not known
}

// configStandbys is the only setting that assignments depend on.
const configStandbys = "num.standby.replicas"

// Values begin with their version, which is 0, and end with their tagged fields, of which those with their default are left out.
func appendGroup(dst []byte, e epochs) []byte {
	dst = wire.AppendInt64(wire.AppendInt32(wire.AppendInt16(dst, 0), e.epoch), e.hash)
	var tags []byte
	n := 0
	if e.validated != -1 {
		tags, n = wire.AppendTag(tags, 0, wire.AppendInt32(nil, e.validated)), n+1
	}
	if e.standbys >= 0 {
		pair := wire.AppendString(wire.AppendString(wire.AppendLen(nil, 1), configStandbys), fmt.Sprint(e.standbys))
		tags, n = wire.AppendTag(tags, 1, append(pair, 0)), n+1
	}
	return append(wire.AppendUvarint(dst, n), tags...)
}

func appendTargets(dst []byte, epoch int32, millis int64) []byte {
	return consumer.AppendTargets(dst, epoch, millis)
}

func appendMember(dst []byte, m *Member) []byte {
	dst = wire.AppendNullableString(wire.AppendNullableString(wire.AppendInt16(dst, 0), m.Instance), m.Rack)
	dst = wire.AppendString(wire.AppendString(dst, m.ClientID), m.ClientHost)
	dst = wire.AppendString(wire.AppendInt32(wire.AppendInt32(dst, m.RebalanceMillis), m.TopologyEpoch), m.Process)
	if m.Endpoint == nil {
		dst = append(dst, 0xff)
	} else {
		dst = wire.AppendInt16(wire.AppendString(append(dst, 1), m.Endpoint.Host), int16(m.Endpoint.Port))
		dst = append(dst, 0)
	}
	return append(appendPairs(dst, m.Tags), 0)
}

func appendPairs(dst []byte, pairs []Pair) []byte {
	dst = wire.AppendLen(dst, len(pairs))
	for _, p := range pairs {
		dst = append(wire.AppendString(wire.AppendString(dst, p.Key), p.Value), 0)
	}
	return dst
}

func appendTarget(dst []byte, t *Tasks) []byte {
	dst = wire.AppendInt16(dst, 0)
	for _, set := range t {
		dst = appendSet(dst, set, false)
	}
	return append(dst, 0)
}

func appendCurrent(dst []byte, m *Member) []byte {
	dst = wire.AppendInt32(wire.AppendInt32(wire.AppendInt16(dst, 0), m.Epoch), m.Previous)
	dst = append(dst, byte(m.State))
	for _, tasks := range []*Tasks{&m.Assigned, &m.Revoking} {
		for role, set := range tasks {
			dst = appendSet(dst, set, Role(role) == Active)
		}
	}
	return append(dst, 0)
}

// appendSet appends tasks, those of each subtopology with the epochs when asked for.
func appendSet(dst []byte, set Set, withEpochs bool) []byte {
	list := set.Wire()
	dst = wire.AppendLen(dst, len(list))
	for _, t := range list {
		dst = wire.AppendLen(wire.AppendString(dst, t.SubtopologyID), len(t.Partitions))
		field := wire.AppendLen(nil, len(t.Partitions))
		for _, p := range t.Partitions {
			dst = wire.AppendInt32(dst, p)
			field = wire.AppendInt32(field, set[TaskID{Subtopology: t.SubtopologyID, Partition: p}])
		}
		if withEpochs {
			dst = wire.AppendTag(append(dst, 1), 0, field)
		} else {
			dst = append(dst, 0)
		}
	}
	return dst
}

func appendTopology(dst []byte, t *Topology) []byte {
	dst = wire.AppendLen(wire.AppendInt32(wire.AppendInt16(dst, 0), t.Epoch), len(t.Subtopologies))
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		dst = appendStrings(appendStrings(wire.AppendString(dst, s.ID), s.Sources), s.Regexes)
		dst = appendInternal(dst, s.Changelogs)
		dst = appendInternal(appendStrings(dst, s.RepartitionSinks), s.RepartitionSources)
		dst = wire.AppendLen(dst, len(s.Copartitions))
		for _, c := range s.Copartitions {
			for _, places := range [][]int16{c.Sources, c.Regexes, c.RepartitionSources} {
				dst = wire.AppendLen(dst, len(places))
				for _, place := range places {
					dst = wire.AppendInt16(dst, place)
				}
			}
			dst = append(dst, 0)
		}
		dst = append(dst, 0)
	}
	return append(dst, 0)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = wire.AppendLen(dst, len(list))
	for _, s := range list {
		dst = wire.AppendString(dst, s)
	}
	return dst
}

func appendInternal(dst []byte, topics []InternalTopic) []byte {
	dst = wire.AppendLen(dst, len(topics))
	for i := range topics {
		t := &topics[i]
		dst = wire.AppendInt16(wire.AppendInt32(wire.AppendString(dst, t.Name), t.Partitions), t.Replication)
		dst = append(appendPairs(dst, t.Configs), 0)
	}
	return dst
}
