package consumer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ringmq/ringmq/engine/group/assignor"
	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/wire"
)

// Kind of a record: the version of its key.
type Kind = changes.Kind

// The kinds, in Kafka's numbers.
const (
	KindGroup   Kind = 3  // group epoch
	KindTopics  Kind = 4  // of versions before 4.1; never written
	KindMember  Kind = 5  // a member: what it says of itself
	KindTargets Kind = 6  // epoch of the target assignment
	KindTarget  Kind = 7  // target assignment of a member
	KindCurrent Kind = 8  // what a member has
	KindRegex   Kind = 16 // what an expression comes to
)

// maxString is the longest string that a key can hold.
const maxString = math.MaxInt16

// ErrRecord is matched by every error about a record that cannot be decoded.
var ErrRecord = errors.New("consumer: malformed record")

// Record of the group. A nil value is a tombstone.
type Record = changes.Record

// writeOrder is the order in which records of one change are written. What is removed comes first, so that a change of which only a part
// reaches the log has nothing in it that somebody else still has; and a tombstone of a member comes after those of its assignments.
var writeOrder = []Kind{KindMember, KindRegex, KindGroup, KindTarget, KindTargets, KindCurrent}
var removeOrder = []Kind{KindCurrent, KindTarget, KindMember, KindRegex}

// TakeRecords returns the records that make the log say what memory does, with their keys, for Unsaved.
func (g *Group) TakeRecords() ([]Record, []Key) {
	return g.changes.Take(changes.Source{
		Removed: removeOrder, Written: writeOrder, Value: g.value, Key: func(k Key) []byte { return appendKey(nil, g.ID, k) },
	})
}

// Tombstones returns records that remove all that the log may have of the group.
func (g *Group) Tombstones() []Record {
	var records []Record
	add := func(kind Kind, id string) {
		records = append(records, Record{Key: appendKey(nil, g.ID, Key{Kind: kind, ID: id})})
	}
	for _, kind := range removeOrder {
		for _, m := range g.Members() {
			if kind != KindRegex {
				add(kind, m.ID)
			}
		}
		if kind == KindTarget {
			add(KindTargets, "")
		}
	}
	for expression := range g.regexes {
		add(KindRegex, expression)
	}
	g.changes.Each(func(k Key) {
		if k.ID != "" && g.value(k) == nil {
			add(k.Kind, k.ID)
		}
	})
	add(KindGroup, "")
	return records
}

// appendKey appends the key of a record.
func appendKey(dst []byte, group string, k Key) []byte {
	dst = wire.AppendShortString(wire.AppendInt16(dst, int16(k.Kind)), group)
	switch k.Kind {
	case KindMember, KindTarget, KindCurrent, KindRegex:
		dst = wire.AppendShortString(dst, k.ID)
	}
	return dst
}

// value is the value that a record has now; nil: it does not exist.
func (g *Group) value(k Key) []byte {
	switch k.Kind {
	case KindGroup:
		return appendGroup(nil, g.Epoch, g.hash)
	case KindTargets:
		return AppendTargets(nil, g.AssignmentEpoch, g.assignedMillis)
	case KindRegex:
		if r := g.regexes[k.ID]; r != nil && r.resolved {
			return appendRegex(nil, r)
		}
		return nil
	case KindTarget:
		if target, ok := g.target[k.ID]; ok {
			return appendTarget(nil, target)
		}
		return nil
	}
	m := g.members[k.ID]
	switch {
	case m == nil:
		return nil
	case k.Kind == KindMember:
		return appendMember(nil, m)
	case !m.reached:
		return nil
	}
	return appendCurrent(nil, m)
}

// Values begin with their version, which is 0, and end with their tagged fields.
func appendGroup(dst []byte, epoch int32, hash int64) []byte {
	dst = wire.AppendInt32(wire.AppendInt16(dst, 0), epoch)
	if hash == 0 {
		return append(dst, 0)
	}
	return wire.AppendTag(append(dst, 1), 0, wire.AppendInt64(nil, hash))
}

// AppendTargets appends the value of a record that says when a target assignment was computed, and for which epoch.
func AppendTargets(dst []byte, epoch int32, millis int64) []byte {
	dst = wire.AppendInt32(wire.AppendInt16(dst, 0), epoch)
	if millis == 0 {
		return append(dst, 0)
	}
	return wire.AppendTag(append(dst, 1), 0, wire.AppendInt64(nil, millis))
}

func appendTarget(dst []byte, target assignor.Assignment) []byte {
	dst = wire.AppendLen(wire.AppendInt16(dst, 0), len(target))
	for _, topic := range sortedTopics(target) {
		dst = wire.AppendLen(append(dst, topic[:]...), len(target[topic]))
		for _, p := range target[topic] {
			dst = wire.AppendInt32(dst, p)
		}
		dst = append(dst, 0)
	}
	return append(dst, 0)
}

func appendMember(dst []byte, m *Member) []byte {
	dst = wire.AppendInt16(dst, 0)
	dst = wire.AppendNullableString(wire.AppendNullableString(dst, m.Instance), m.Rack)
	dst = wire.AppendString(wire.AppendString(dst, m.ClientID), m.ClientHost)
	dst = wire.AppendLen(dst, len(m.Topics))
	for _, topic := range m.Topics {
		dst = wire.AppendString(dst, topic)
	}
	dst = wire.AppendInt32(wire.AppendNullableString(dst, m.Regex), m.RebalanceMillis)
	dst = wire.AppendNullableString(dst, m.Assignor)
	if m.Classic == nil {
		return append(dst, 0)
	}
	field := wire.AppendInt32([]byte{1}, m.Classic.SessionMillis) // 1: not null
	field = wire.AppendLen(field, len(m.Classic.Protocols))
	for _, p := range m.Classic.Protocols {
		field = append(wire.AppendBytes(wire.AppendString(field, p.Name), p.Metadata), 0)
	}
	return wire.AppendTag(append(dst, 1), 0, append(field, 0))
}

func appendCurrent(dst []byte, m *Member) []byte {
	dst = wire.AppendInt32(wire.AppendInt32(wire.AppendInt16(dst, 0), m.Epoch), m.Previous)
	dst = append(dst, byte(m.State))
	for _, owned := range []Owned{m.Assigned, m.Revoking} {
		dst = wire.AppendLen(dst, len(owned))
		for _, topic := range sortedTopics(owned) {
			parts := owned[topic]
			dst = wire.AppendLen(append(dst, topic[:]...), len(parts))
			epochs := wire.AppendLen(nil, len(parts))
			for _, p := range parts {
				dst, epochs = wire.AppendInt32(dst, p.Partition), wire.AppendInt32(epochs, p.Epoch)
			}
			dst = wire.AppendTag(append(dst, 1), 0, epochs)
		}
	}
	return append(dst, 0)
}

func appendRegex(dst []byte, r *regex) []byte {
	dst = wire.AppendLen(wire.AppendInt16(dst, 0), len(r.topics))
	for _, topic := range r.topics {
		dst = wire.AppendString(dst, topic)
	}
	return append(wire.AppendInt64(wire.AppendInt64(dst, r.version), r.millis), 0)
}

func sortedTopics[V any](m map[TopicID]V) []TopicID {
	ids := make([]TopicID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b TopicID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// DecodeKey reads a key of one of the kinds. known is false for keys of other records.
func DecodeKey(b []byte) (group string, k Key, known bool, err error) {
	r := wire.Reader{B: b}
	k.Kind = Kind(r.Int16())
	switch k.Kind {
	case KindGroup, KindTopics, KindTargets:
		group = string(r.String(false))
	case KindMember, KindTarget, KindCurrent, KindRegex:
		group, k.ID = string(r.String(false)), string(r.String(false))
	default:
		return "", k, false, nil
	}
	if r.Bad {
		return "", k, true, fmt.Errorf("%w: key of kind %d and %d bytes", ErrRecord, k.Kind, len(b))
	}
	return group, k, true, nil
}

// values is a value of any kind.
type values struct {
	epoch  int32
	number int64 // hash, or time
	target assignor.Assignment
	member *Member // of KindMember: what it says of itself; of KindCurrent: what it has
	regex  *regex
}

// decodeValue reads the value of a record; the result owns what it holds.
func decodeValue(kind Kind, b []byte) (values, error) {
	r := wire.Reader{B: b}
	var v values
	if version := r.Int16(); version != 0 || r.Bad {
		return v, fmt.Errorf("%w: value of kind %d has version %d", ErrRecord, kind, version)
	}
	switch kind {
	case KindGroup, KindTargets:
		v.epoch = r.Int32()
		r.EachTag(func(tag int, field *wire.Reader) {
			if tag == 0 {
				v.number = field.Int64()
			}
		})
	case KindTarget:
		v.target = make(assignor.Assignment)
		for n := r.ArrayLen(true, 18); n > 0 && !r.Bad; n-- {
			id := r.UUID()
			if partitions := readPartitions(&r); len(partitions) > 0 {
				v.target[id] = partitions
			}
			r.Tags()
		}
		r.Tags()
	case KindMember:
		v.member = readMember(&r)
	case KindCurrent:
		m := &Member{Epoch: r.Int32(), Previous: r.Int32(), State: State(r.Int8())}
		if m.State < Stable || m.State > Unreleased {
			m.State = unknown
		}
		m.Assigned = readOwned(&r, m.Epoch)
		m.Revoking = readOwned(&r, m.Epoch)
		r.Tags()
		v.member = m
	case KindRegex:
		x := &regex{resolved: true}
		for n := r.ArrayLen(true, 1); n > 0 && !r.Bad; n-- {
			x.topics = append(x.topics, string(r.String(true)))
		}
		x.version, x.millis = r.Int64(), r.Int64()
		r.Tags()
		slices.Sort(x.topics)
		v.regex = x
	}
	if r.Bad {
		return values{}, fmt.Errorf("%w: value of kind %d and %d bytes is cut off or inconsistent", ErrRecord, kind, len(b))
	}
	return v, nil
}

// maxPartition bounds the numbers of partitions that a record may name: memory is kept by number.
const maxPartition = 1 << 20

// readPartitions reads numbers, and puts them in order.
func readPartitions(r *wire.Reader) []int32 {
	n := r.ArrayLen(true, 4)
	partitions := make([]int32, 0, n)
	for range n {
		p := r.Int32()
		if p < 0 || p >= maxPartition {
			r.Bad = true
		}
		partitions = append(partitions, p)
	}
	slices.Sort(partitions)
	return slices.Compact(partitions)
}

// readOwned reads partitions with their epochs. Versions before 4.3 wrote none: then it is the member's epoch.
func readOwned(r *wire.Reader, epoch int32) Owned {
	owned := make(Owned)
	for n := r.ArrayLen(true, 18); n > 0 && !r.Bad; n-- {
		id := r.UUID()
		parts := make([]Part, 0, 8)
		for k := r.ArrayLen(true, 4); k > 0 && !r.Bad; k-- {
			p := r.Int32()
			if p < 0 || p >= maxPartition {
				r.Bad = true
			}
			parts = append(parts, Part{p, epoch})
		}
		r.EachTag(func(tag int, field *wire.Reader) {
			if tag != 0 {
				return
			}
			if k := field.ArrayLen(true, 4); k == len(parts) {
				for i := range parts {
					parts[i].Epoch = field.Int32()
				}
			}
		})
		if len(parts) > 0 {
			slices.SortStableFunc(parts, func(a, b Part) int { return int(a.Partition) - int(b.Partition) })
			owned[id] = slices.CompactFunc(parts, func(a, b Part) bool { return a.Partition == b.Partition })
		}
	}
	return owned
}

func readMember(r *wire.Reader) *Member {
	m := &Member{Instance: r.NullableString(true), Rack: r.NullableString(true), ClientID: string(r.String(true)), ClientHost: string(r.String(true))}
	for n := r.ArrayLen(true, 1); n > 0 && !r.Bad; n-- {
		m.Topics = append(m.Topics, string(r.String(true)))
	}
	m.Topics = sorted(m.Topics)
	m.Regex, m.RebalanceMillis, m.Assignor = r.NullableString(true), r.Int32(), r.NullableString(true)
	r.EachTag(func(tag int, field *wire.Reader) {
		if tag != 0 || !field.Nullable() {
			return
		}
		m.Classic = &Classic{SessionMillis: field.Int32()}
		for n := field.ArrayLen(true, 3); n > 0 && !field.Bad; n-- {
			m.Classic.Protocols = append(m.Classic.Protocols, Protocol{string(field.String(true)), field.Bytes(true)})
			field.Tags()
		}
		field.Tags()
	})
	return m
}
