package group

import (
	"bytes"
	"maps"
	"slices"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// fakeTopics are the topics of a harness; the id of a topic is its name.
type fakeTopics struct{ h *harness }

var _ consumer.Topics = fakeTopics{}

func topicID(name string) (id [16]byte) {
	copy(id[:], name)
	return id
}

func (f fakeTopics) Version() int64 { return f.h.version }

func (f fakeTopics) ByName(name string) ([16]byte, int32, bool) {
	n, ok := f.h.topics[name]
	return topicID(name), n, ok
}

func (f fakeTopics) ByID(id [16]byte) (string, int32, bool) {
	name := string(bytes.TrimRight(id[:], "\x00"))
	n, ok := f.h.topics[name]
	return name, n, ok
}

func (f fakeTopics) Each(fn func(name string) bool) {
	for _, name := range slices.Sorted(maps.Keys(f.h.topics)) {
		if !fn(name) {
			return
		}
	}
}

// setTopic creates a topic, makes it larger, or with 0 partitions deletes it.
func (h *harness) setTopic(name string, partitions int32) {
	if h.topics == nil {
		h.topics = make(map[string]int32)
	}
	h.version++
	if partitions == 0 {
		delete(h.topics, name)
		return
	}
	h.topics[name] = partitions
}
