package assignor

import (
	"cmp"
	"container/heap"
	"slices"
)

// maxRounds bounds how often the topics are evened out one after the other. A round that changes nothing ends it before.
const maxRounds = 16

// uniformMixed is for members with different subscriptions. Everybody keeps what it has and is still subscribed to; partitions
// without owner go to the subscriber that has the least, those first that the fewest could have; then, topic by topic, partitions go
// from the member with the most to the one with the least, until no such move makes the two more even. Each move brings the sum of
// the squares down, so that it ends.
func uniformMixed(g *Group) map[string]Assignment {
	x := newMixed(g)
	x.keep()
	x.fill()
	for range maxRounds {
		if !x.even() {
			break
		}
	}
	return x.seal()
}

type mixed struct {
	g           *Group
	topics      []TopicID         // those with the fewest subscribers first
	subscribers map[TopicID][]int // indexes of members
	owner       map[TopicID][]int // by partition; -1: nobody yet
	counts      []int             // partitions of each member
}

func newMixed(g *Group) *mixed {
	x := &mixed{g: g, topics: g.topics(), subscribers: make(map[TopicID][]int), owner: make(map[TopicID][]int), counts: make([]int, len(g.Members))}
	for i := range g.Members {
		for _, topic := range g.Members[i].Topics {
			x.subscribers[topic] = append(x.subscribers[topic], i)
		}
	}
	for topic, n := range g.Partitions {
		owners := make([]int, n)
		for p := range owners {
			owners[p] = -1
		}
		x.owner[topic] = owners
	}
	slices.SortStableFunc(x.topics, func(a, b TopicID) int { return cmp.Compare(len(x.subscribers[a]), len(x.subscribers[b])) })
	return x
}

func (x *mixed) keep() {
	for i := range x.g.Members {
		m := &x.g.Members[i]
		for _, topic := range m.Topics {
			owners := x.owner[topic]
			for _, p := range m.Assigned[topic] {
				if p >= 0 && int(p) < len(owners) && owners[p] < 0 {
					owners[p] = i
					x.counts[i]++
				}
			}
		}
	}
}

func (x *mixed) fill() {
	for _, topic := range x.topics {
		if len(x.subscribers[topic]) == 0 {
			continue
		}
		least := x.heapOf(topic, 1)
		for p, owner := range x.owner[topic] {
			if owner < 0 {
				x.owner[topic][p] = least.members[0]
				x.counts[least.members[0]]++
				heap.Fix(least, 0)
			}
		}
	}
}

// even moves partitions of each topic, and reports whether it did.
func (x *mixed) even() bool {
	moved := false
	for _, topic := range x.topics {
		if len(x.subscribers[topic]) < 2 {
			continue
		}
		byOwner := make(map[int][]int, len(x.subscribers[topic]))
		for p, owner := range x.owner[topic] {
			byOwner[owner] = append(byOwner[owner], p)
		}
		for owner, partitions := range byOwner {
			x.lastKeptFirst(owner, topic, partitions)
		}
		least, most := x.heapOf(topic, 1), x.heapOf(topic, -1)
		for most.Len() > 0 {
			from, to := most.members[0], least.members[0]
			if len(byOwner[from]) == 0 { // has nothing of this topic to give
				heap.Remove(most, most.slot[from])
				continue
			}
			if x.counts[from]-x.counts[to] < 2 {
				break
			}
			last := len(byOwner[from]) - 1
			p := byOwner[from][last]
			byOwner[from] = byOwner[from][:last]
			x.owner[topic][p] = to
			x.counts[from]--
			x.counts[to]++
			moved = true
			for _, h := range []*memberHeap{least, most} {
				for _, m := range []int{from, to} {
					if slot := h.slot[m]; slot >= 0 {
						heap.Fix(h, slot)
					}
				}
			}
		}
	}
	return moved
}

// lastKeptFirst orders a member's partitions of a topic so that those at the end are the ones that it did not have before.
func (x *mixed) lastKeptFirst(owner int, topic TopicID, partitions []int) {
	had := x.g.Members[owner].Assigned[topic]
	kept := func(p int) int {
		if _, ok := slices.BinarySearch(had, int32(p)); ok {
			return 0
		}
		return 1
	}
	slices.SortFunc(partitions, func(a, b int) int { return cmp.Or(cmp.Compare(kept(a), kept(b)), cmp.Compare(a, b)) })
}

func (x *mixed) seal() map[string]Assignment {
	built := make([]builder, len(x.g.Members))
	for i := range built {
		built[i] = make(builder)
	}
	for topic, owners := range x.owner {
		for p, owner := range owners {
			if owner >= 0 {
				built[owner].take(topic, int32(p))
			}
		}
	}
	out := make(map[string]Assignment, len(built))
	for i := range built {
		out[x.g.Members[i].ID] = built[i].seal(x.g.Members[i].Assigned)
	}
	return out
}

// memberHeap has the subscribers of a topic, the one with the fewest partitions (or the most) on top, and equals in their order.
type memberHeap struct {
	x       *mixed
	sign    int // 1: fewest on top, -1: most
	members []int
	slot    map[int]int // by member; -1: not in it any more
}

func (x *mixed) heapOf(topic TopicID, sign int) *memberHeap {
	h := &memberHeap{x: x, sign: sign, members: slices.Clone(x.subscribers[topic]), slot: make(map[int]int)}
	for i, m := range h.members {
		h.slot[m] = i
	}
	heap.Init(h)
	return h
}

func (h *memberHeap) Len() int { return len(h.members) }
func (h *memberHeap) Less(i, j int) bool {
	a, b := h.members[i], h.members[j]
	return cmp.Or(h.sign*cmp.Compare(h.x.counts[a], h.x.counts[b]), cmp.Compare(a, b)) < 0
}
func (h *memberHeap) Swap(i, j int) {
	h.members[i], h.members[j] = h.members[j], h.members[i]
	h.slot[h.members[i]], h.slot[h.members[j]] = i, j
}
func (h *memberHeap) Push(any) { panic("BUG: assignor: a heap of members does not grow") }
func (h *memberHeap) Pop() any {
	last := len(h.members) - 1
	m := h.members[last]
	h.members = h.members[:last]
	h.slot[m] = -1
	return m
}
