package engine

import (
	"sync"
	"sync/atomic"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/kraft"
)

// topics is the broker's table of topics and of the partitions that it has open: what produce and fetch look up. It follows the
// image (see reconcile.go).
type topics struct {
	mu       sync.RWMutex
	byName   map[string]*topic
	byID     map[kraft.TopicID]*topic
	followed chan struct{} // closed and replaced when the table has followed an image
}

// topic is one topic. name and id never change; slots is replaced by a longer one when partitions are added.
type topic struct {
	name  string
	id    kraft.TopicID
	slots []*slot // guarded by topics.mu
}

// slot is the place of one partition.
type slot struct {
	topic *topic
	index int32
	open  atomic.Pointer[partition.Partition] // nil unless this broker serves it

	// The work on the slot is done by one goroutine at a time, which brings it to want (see reconcile.go).
	mu      sync.Mutex
	want    assignment
	working bool
	tried   chan struct{} // closed after the first attempt at what is wanted, be it a failure; nil before any work

	// A step of that work, or a handover to another broker, holds step, which comes before mu.
	step     sync.Mutex
	attached bool  // afterOpen has succeeded for the open partition
	handed   int32 // leader epoch for which the partition was handed over, 0: none; it is not opened again at the epoch before
	// paused is the partition after it was handed over, until the image shows what came of it.
	paused atomic.Pointer[partition.Partition]
	held   atomic.Int64  // not 0: requests wait, see hold
	wake   chan struct{} // capacity 1, made by a worker that waits before its next attempt; guarded by mu
}

// assignment is what the image wants of a partition.
type assignment struct {
	mine   bool
	taking bool  // it is to be taken over from its leader
	epoch  int32 // of the leader; when taking, the one to come
	stream kraft.StreamID
	gone   bool // the topic was deleted
}

func newTopics() *topics {
	return &topics{byName: make(map[string]*topic), byID: make(map[kraft.TopicID]*topic), followed: make(chan struct{})}
}

// find looks a topic up by id or by name. No allocation.
func (ts *topics) find(name []byte, id kraft.TopicID, byID bool) (*topic, kproto.ErrorCode) {
	if byID {
		if t := ts.byID[id]; t != nil {
			return t, kproto.None
		}
		return nil, kproto.UnknownTopicID
	}
	if t := ts.byName[string(name)]; t != nil {
		return t, kproto.None
	}
	return nil, kproto.UnknownTopicOrPartition
}

// partitionFor finds an open partition by the name or the id of its topic. It runs once per partition of each produce.
func (b *Broker) partitionFor(name []byte, id kraft.TopicID, byID bool, index int32) (*partition.Partition, kproto.ErrorCode) {
	b.topics.mu.RLock()
	t, code := b.topics.find(name, id, byID)
	var s *slot
	if code == kproto.None {
		if index < 0 || int(index) >= len(t.slots) {
			code = kproto.UnknownTopicOrPartition
		} else {
			s = t.slots[index]
		}
	}
	b.topics.mu.RUnlock()
	if code != kproto.None {
		return nil, code
	}
	if p := s.open.Load(); p != nil {
		return p, kproto.None
	}
	return nil, kproto.NotLeaderOrFollower
}

// partitionByName is partitionFor with a string.
func (b *Broker) partitionByName(name string, id kraft.TopicID, byID bool, index int32) (*partition.Partition, kproto.ErrorCode) {
	b.topics.mu.RLock()
	t := b.topics.byName[name]
	if byID {
		t = b.topics.byID[id]
	}
	var s *slot
	if t != nil && index >= 0 && int(index) < len(t.slots) {
		s = t.slots[index]
	}
	b.topics.mu.RUnlock()
	switch {
	case t == nil && byID:
		return nil, kproto.UnknownTopicID
	case s == nil:
		return nil, kproto.UnknownTopicOrPartition
	}
	if p := s.open.Load(); p != nil {
		return p, kproto.None
	}
	return nil, kproto.NotLeaderOrFollower
}

// topicString returns the broker's own copy of a topic's name, so that naming a known topic allocates nothing.
func (b *Broker) topicString(name []byte) string {
	b.topics.mu.RLock()
	t := b.topics.byName[string(name)]
	b.topics.mu.RUnlock()
	if t != nil {
		return t.name
	}
	return string(name)
}

// eachOpen calls fn for every partition that this broker serves. fn may block.
func (b *Broker) eachOpen(fn func(*partition.Partition)) {
	for _, s := range b.topics.all() {
		if p := s.open.Load(); p != nil {
			fn(p)
		}
	}
}

// all lists every slot.
func (ts *topics) all() []*slot {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	var out []*slot
	for _, t := range ts.byName {
		out = append(out, t.slots...)
	}
	return out
}

// The internal topics of Kafka.
const (
	offsetsTopic      = "__consumer_offsets"
	transactionsTopic = "__transaction_state"
	shareStateTopic   = "__share_group_state"
)

func isInternalTopic(name string) bool {
	return len(name) > 2 && name[0] == '_' && (name == offsetsTopic || name == transactionsTopic || name == shareStateTopic)
}
