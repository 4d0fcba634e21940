package assignor

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// TopicID names a topic.
type TopicID = [16]byte

// Assignment is the partitions of each topic that a member has, ascending. Never modified once made.
type Assignment map[TopicID][]int32

// Count is the number of partitions.
func (a Assignment) Count() int {
	n := 0
	for _, partitions := range a {
		n += len(partitions)
	}
	return n
}

// Equal reports whether two assignments have the same partitions.
func (a Assignment) Equal(b Assignment) bool {
	return len(a) == len(b) && maps.EqualFunc(a, b, slices.Equal[[]int32])
}

// Member is what an assignor knows of a member.
type Member struct {
	ID       string
	Instance *string   // of static members
	Topics   []TopicID // subscribed, that exist; ascending
	Assigned Assignment
}

// Group is what is to be assigned.
type Group struct {
	Members []Member // in any order; the assignors sort it
	// Same says that all members are subscribed to the same topics.
	Same bool
	// Partitions is the number of partitions of each topic that anybody is subscribed to.
	Partitions map[TopicID]int32
}

// Assign computes the assignment of each member of the group, by its id. The members of the group are sorted on the way.
type Assign func(g *Group) map[string]Assignment

// ByName returns the assignor of a name, or nil.
func ByName(name string) Assign {
	switch name {
	case "uniform":
		return Uniform
	case "range":
		return Range
	}
	return nil
}

func compareTopics(a, b TopicID) int { return bytes.Compare(a[:], b[:]) }

// topics are the topics of the group, ascending.
func (g *Group) topics() []TopicID {
	return slices.SortedFunc(maps.Keys(g.Partitions), compareTopics)
}

func (m *Member) subscribes(topic TopicID) bool {
	_, ok := slices.BinarySearchFunc(m.Topics, topic, compareTopics)
	return ok
}

// builder is an assignment on its way.
type builder map[TopicID][]int32

// take hands out a partition; seal puts the partitions in order.
func (b builder) take(topic TopicID, partition int32) { b[topic] = append(b[topic], partition) }

// seal makes an Assignment. One that is equal to the old one is the old one.
func (b builder) seal(old Assignment) Assignment {
	for _, partitions := range b {
		slices.Sort(partitions)
	}
	if a := Assignment(b); !a.Equal(old) {
		return a
	}
	if old == nil {
		return Assignment{}
	}
	return old
}

// byID is the order of members that have nothing else to tell them apart.
func byID(a, b Member) int { return cmp.Compare(a.ID, b.ID) }
