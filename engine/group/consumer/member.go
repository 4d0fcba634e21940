package consumer

import (
	"cmp"
	"slices"

	"github.com/ringmq/ringmq/engine/group/assignor"
)

// TopicID names a topic.
type TopicID = assignor.TopicID

// State of a member, with the values that records have. See the package comment.
type State int8

// The states.
const (
	Stable     State = 0
	Unrevoked  State = 1
	Unreleased State = 2
	unknown    State = 127 // of a record that a newer version wrote
)

// Epochs that members send instead of one that they have.
const (
	EpochJoin        int32 = 0
	EpochLeave       int32 = -1
	EpochLeaveStatic int32 = -2 // comes back; also what a static member that has left has as its epoch
)

// Part is a partition that a member has.
type Part struct {
	Partition int32
	Epoch     int32 // the member's when the partition was assigned to it
}

// Owned is partitions by topic, ascending. Never modified once made.
type Owned map[TopicID][]Part

// Count is the number of partitions.
func (o Owned) Count() int {
	n := 0
	for _, parts := range o {
		n += len(parts)
	}
	return n
}

func findPart(parts []Part, partition int32) (int, bool) {
	return slices.BinarySearchFunc(parts, partition, func(p Part, n int32) int { return cmp.Compare(p.Partition, n) })
}

// find returns the epoch at which a partition was assigned.
func (o Owned) find(topic TopicID, partition int32) (epoch int32, ok bool) {
	parts := o[topic]
	if i, ok := findPart(parts, partition); ok {
		return parts[i].Epoch, true
	}
	return 0, false
}

func (o Owned) equal(other Owned) bool {
	if len(o) != len(other) {
		return false
	}
	for topic, parts := range o {
		if !slices.Equal(parts, other[topic]) {
			return false
		}
	}
	return true
}

// samePartitions is equal but for the epochs.
func (o Owned) samePartitions(other Owned) bool {
	if len(o) != len(other) {
		return false
	}
	for topic, parts := range o {
		if !slices.EqualFunc(parts, other[topic], func(a, b Part) bool { return a.Partition == b.Partition }) {
			return false
		}
	}
	return true
}

// Member of a group. Owned by its Group; the fields are read by the coordinator between calls.
type Member struct {
	ID         string
	ClientID   string
	ClientHost string
	Instance   *string // static members
	Rack       *string

	RebalanceMillis int32
	Topics          []string // subscribed by name; ascending, unique; never modified once set
	Regex           *string  // subscribed by expression; nil and "" are none
	Assignor        *string  // that it would like
	Classic         *Classic // nil: it speaks the consumer protocol

	Epoch    int32
	Previous int32 // epoch before: the answer that told the present one may have been lost
	State    State
	Assigned Owned
	Revoking Owned // not given up yet

	bytes int // memory, as limited by Env.MaxBytes
	// reached says that a current assignment record was read (replay), or that the member has one.
	reached bool
}

// Classic is what a member that speaks the classic protocol brings along.
type Classic struct {
	SessionMillis int32
	Protocols     []Protocol // in its order of preference
}

// Protocol is one of the protocols that a classic member supports.
type Protocol struct {
	Name     string
	Metadata []byte
}

func (m *Member) regex() string {
	if m.Regex == nil {
		return ""
	}
	return *m.Regex
}

// Reconciled reports whether the member has reached the target assignment of an epoch.
func (m *Member) Reconciled(assignmentEpoch int32) bool {
	return m.State == Stable && m.Epoch == assignmentEpoch
}

// owns reports whether the member is an owner of a partition, in the sense of the package comment.
func (m *Member) owns(topic TopicID, partition int32) bool {
	if _, ok := m.Assigned.find(topic, partition); ok {
		return true
	}
	_, ok := m.Revoking.find(topic, partition)
	return ok
}

// memberOverhead is the memory of a member beside what it sends: the struct, its places in maps and timers.
const memberOverhead = 1024

func (m *Member) size() int {
	n := memberOverhead + len(m.ID) + len(m.ClientID) + len(m.ClientHost) + len(m.regex())
	for _, t := range m.Topics {
		n += len(t) + 16
	}
	if m.Classic != nil {
		for _, p := range m.Classic.Protocols {
			n += len(p.Name) + len(p.Metadata) + 64
		}
	}
	return n
}

// sameMetadata reports whether the member metadata records of two states are equal.
func (m *Member) sameMetadata(o *Member) bool {
	return m.ClientID == o.ClientID && m.ClientHost == o.ClientHost && equalString(m.Instance, o.Instance) && equalString(m.Rack, o.Rack) &&
		m.RebalanceMillis == o.RebalanceMillis && slices.Equal(m.Topics, o.Topics) && equalString(m.Regex, o.Regex) &&
		equalString(m.Assignor, o.Assignor) && m.Classic.equal(o.Classic)
}

func (c *Classic) equal(o *Classic) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.SessionMillis == o.SessionMillis && slices.EqualFunc(c.Protocols, o.Protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && slices.Equal(a.Metadata, b.Metadata)
	})
}

func equalString(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// sorted returns topics ascending and without repetitions.
func sorted(topics []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(topics)))
}
