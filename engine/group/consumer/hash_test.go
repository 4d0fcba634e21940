package consumer

import (
	"fmt"
	"testing"
)

// grownTopics have equally many partitions each; the id of a topic is its name.
type grownTopics int32

func (g grownTopics) Version() int64 { return int64(g) }

func (g grownTopics) ByName(name string) (id TopicID, partitions int32, ok bool) {
	copy(id[:], name)
	return id, int32(g), true
}

func (g grownTopics) ByID(TopicID) (string, int32, bool) { return "", 0, false }

func (g grownTopics) Each(func(string) bool) {}

// TestHashOfTwoTopics: topics that grow at the same time make another hash.
func TestHashOfTwoTopics(t *testing.T) {
	for i := range 200 {
		names := map[string]struct{}{fmt.Sprintf("a%d", i): {}, fmt.Sprintf("b%d", i): {}}
		if HashOf(grownTopics(2), names) == HashOf(grownTopics(3), names) {
			t.Fatalf("%v: the hash is that of before", names)
		}
	}
}
