package streams

import (
	"bytes"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topology is what the program of a group reads, keeps and writes. Never modified once made.
type Topology struct {
	Epoch         int32
	Subtopologies []Subtopology // by id, ascending, unique

	source map[string]string // topic that is read to the id of its subtopology
	bytes  int               // memory, about
}

// Subtopology is a part of a topology whose tasks share nothing with those of the others but topics.
type Subtopology struct {
	ID                 string
	Sources            []string // topics that are there already; copartition groups count from 0 in it
	Regexes            []string
	Changelogs         []InternalTopic
	RepartitionSinks   []string
	RepartitionSources []InternalTopic
	Copartitions       []Copartition
}

// InternalTopic is a topic that belongs to the group.
type InternalTopic struct {
	Name        string
	Partitions  int32 // 0: as many as follow from the topics that are read
	Replication int16 // 0: the default of the cluster
	Configs     []Pair
}

// Pair is a name with a value.
type Pair struct{ Key, Value string }

// Copartition names topics of a subtopology that have to have equally many partitions, by their places in its lists.
type Copartition struct {
	Sources, Regexes, RepartitionSources []int16
}

// readTopology takes a topology out of a request. The strings are kept.
func readTopology(req *kmsg.StreamsGroupHeartbeatRequestTopology) (*Topology, *Error) {
	t := &Topology{Epoch: req.Epoch}
	for i := range req.Subtopologies {
		rs := &req.Subtopologies[i]
		s := Subtopology{
			ID: rs.SubtopologyID, Sources: rs.SourceTopics, Regexes: rs.SourceTopicRegex, RepartitionSinks: rs.RepartitionSinkTopics,
			Changelogs: internalTopics(rs.StateChangelogTopics), RepartitionSources: internalTopics(rs.RepartitionSourceTopics),
		}
		for k := range rs.CopartitionGroups {
			c := &rs.CopartitionGroups[k]
			s.Copartitions = append(s.Copartitions, Copartition{c.SourceTopics, c.SourceTopicRegex, c.RepartitionSourceTopics})
		}
		t.Subtopologies = append(t.Subtopologies, s)
	}
	return t, t.finish()
}

func internalTopics(topics []kmsg.TopicInfo) []InternalTopic {
	var out []InternalTopic
	for i := range topics {
		t := InternalTopic{Name: topics[i].Topic, Partitions: topics[i].NumPartitions, Replication: topics[i].ReplicationFactor}
		for _, c := range topics[i].Configs {
			t.Configs = append(t.Configs, Pair{c.Key, c.Value})
		}
		out = append(out, t)
	}
	return out
}

// finish puts the subtopologies in order, makes the index, and judges what does not depend on the cluster's topics.
func (t *Topology) finish() *Error {
	slices.SortStableFunc(t.Subtopologies, func(a, b Subtopology) int { return strings.Compare(a.ID, b.ID) })
	t.source = make(map[string]string)
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		if i > 0 && t.Subtopologies[i-1].ID == s.ID {
			return refuse(CodeInvalidTopology, "Subtopology %s is there twice.", s.ID)
		}
		for _, c := range s.Copartitions {
			if outside(c.Sources, len(s.Sources)) || outside(c.Regexes, len(s.Regexes)) || outside(c.RepartitionSources, len(s.RepartitionSources)) {
				return refuse(CodeInvalidTopology, "A copartition group of subtopology %s names a topic that it does not have.", s.ID)
			}
		}
		s.eachSource(func(name string) { t.source[name] = s.ID })
	}
	t.bytes = 4 * len(appendTopology(nil, t))
	return nil
}

func outside(places []int16, n int) bool {
	return slices.ContainsFunc(places, func(i int16) bool { return i < 0 || int(i) >= n })
}

// eachSource calls fn with each topic that the subtopology reads.
func (s *Subtopology) eachSource(fn func(name string)) {
	for _, name := range s.Sources {
		fn(name)
	}
	for i := range s.RepartitionSources {
		fn(s.RepartitionSources[i].Name)
	}
}

// required are the topics without which the group has no tasks.
func (t *Topology) required() map[string]struct{} {
	all := make(map[string]struct{})
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		s.eachSource(func(name string) { all[name] = struct{}{} })
		for k := range s.Changelogs {
			all[s.Changelogs[k].Name] = struct{}{}
		}
	}
	return all
}

// equal compares everything.
func (t *Topology) equal(o *Topology) bool {
	return bytes.Equal(appendTopology(nil, t), appendTopology(nil, o))
}
