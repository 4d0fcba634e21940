package streams

import (
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// fakeTopics are partitions by topic; the id of a topic is its name.
type fakeTopics map[string]int32

func (f fakeTopics) Version() int64 { return 0 }

func (f fakeTopics) ByName(name string) (id consumer.TopicID, n int32, ok bool) {
	copy(id[:], name)
	n, ok = f[name]
	return id, n, ok
}

func (f fakeTopics) ByID(consumer.TopicID) (string, int32, bool) { return "", 0, false }

func (f fakeTopics) Each(func(string) bool) {}

// join is a first heartbeat with the topology in -> g-rep -> g-log.
func join(id, process string) *kmsg.StreamsGroupHeartbeatRequest {
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis, req.ProcessID = "g", id, 60_000, &process
	req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	req.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
		{SubtopologyID: "0", SourceTopics: []string{"in"}, RepartitionSinkTopics: []string{"g-rep"}},
		{SubtopologyID: "1", RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: "g-rep"}}, StateChangelogTopics: []kmsg.TopicInfo{{Topic: "g-log"}}},
	}}
	return req
}

// TestLayOut: how many partitions internal topics have, and what is wrong.
func TestLayOut(t *testing.T) {
	topic := func(name string, partitions int32) InternalTopic {
		return InternalTopic{Name: name, Partitions: partitions}
	}
	same := func(sources, repartitions []int16) []Copartition {
		return []Copartition{{Sources: sources, RepartitionSources: repartitions}}
	}
	chain := []Subtopology{
		{ID: "0", Sources: []string{"in"}, RepartitionSinks: []string{"r1"}},
		{ID: "1", RepartitionSources: []InternalTopic{topic("r1", 0)}, RepartitionSinks: []string{"r2"}},
		{ID: "2", RepartitionSources: []InternalTopic{topic("r2", 0)}, Changelogs: []InternalTopic{topic("log", 0)}},
	}
	for _, c := range []struct {
		name    string
		subs    []Subtopology
		topics  fakeTopics
		counts  map[string]int32
		tasks   map[string]int32
		missing []string
		problem string
		err     string
	}{
		{name: "a chain, in order", subs: chain, topics: fakeTopics{"in": 3, "r1": 3, "r2": 3, "log": 3},
			counts: map[string]int32{"r1": 3, "r2": 3, "log": 3}, tasks: map[string]int32{"0": 3, "1": 3, "2": 3}},
		{name: "a chain, whose end comes first", subs: []Subtopology{
			{ID: "0", RepartitionSources: []InternalTopic{topic("r2", 0)}, Changelogs: []InternalTopic{topic("log", 0)}},
			{ID: "1", RepartitionSources: []InternalTopic{topic("r1", 0)}, RepartitionSinks: []string{"r2"}},
			{ID: "2", Sources: []string{"in"}, RepartitionSinks: []string{"r1"}},
		}, topics: fakeTopics{"in": 2}, counts: map[string]int32{"r1": 2, "r2": 2, "log": 2}, tasks: map[string]int32{"0": 2, "1": 2, "2": 2},
			missing: []string{"log", "r1", "r2"}, problem: "Internal topics are missing: log, r1, r2"},
		{name: "a number that is asked for", subs: []Subtopology{
			{ID: "0", Sources: []string{"in"}, RepartitionSinks: []string{"r"}},
			{ID: "1", RepartitionSources: []InternalTopic{topic("r", 5)}, Changelogs: []InternalTopic{topic("log", 0)}},
		}, topics: fakeTopics{"in": 2, "r": 5, "log": 5}, counts: map[string]int32{"r": 5, "log": 5}, tasks: map[string]int32{"0": 2, "1": 5}},
		{name: "the most of several sources", subs: []Subtopology{{ID: "0", Sources: []string{"a", "b"}, Changelogs: []InternalTopic{topic("log", 0)}}},
			topics: fakeTopics{"a": 2, "b": 7, "log": 7}, counts: map[string]int32{"log": 7}, tasks: map[string]int32{"0": 7}},
		{name: "a repartition topic follows the topic that it is joined with", subs: []Subtopology{
			{ID: "0", Sources: []string{"in"}, RepartitionSinks: []string{"r"}},
			{ID: "1", Sources: []string{"table"}, RepartitionSources: []InternalTopic{topic("r", 0)}, Copartitions: same([]int16{0}, []int16{0})},
		}, topics: fakeTopics{"in": 2, "table": 6, "r": 6}, counts: map[string]int32{"r": 6}, tasks: map[string]int32{"0": 2, "1": 6}},
		{name: "two repartition topics have the larger number", subs: []Subtopology{
			{ID: "0", Sources: []string{"a"}, RepartitionSinks: []string{"r1"}},
			{ID: "1", Sources: []string{"b"}, RepartitionSinks: []string{"r2"}},
			{ID: "2", RepartitionSources: []InternalTopic{topic("r1", 0), topic("r2", 0)}, Copartitions: same(nil, []int16{0, 1})},
		}, topics: fakeTopics{"a": 2, "b": 4, "r1": 4, "r2": 4}, counts: map[string]int32{"r1": 4, "r2": 4}, tasks: map[string]int32{"0": 2, "1": 4, "2": 4}},
		{name: "sources that are missing", subs: []Subtopology{{ID: "0", Sources: []string{"d", "a", "c", "b", "in"}}}, topics: fakeTopics{"in": 1},
			problem: "Source topics a, b, c and 1 additional topics are missing."},
		{name: "sources that do not fit", subs: []Subtopology{{ID: "0", Sources: []string{"a", "b"}, Copartitions: same([]int16{0, 1}, nil)}}, topics: fakeTopics{"a": 1, "b": 2},
			problem: "Following topics do not have the same number of partitions: [{a=1, b=2}]"},
		{name: "a number that does not fit", subs: []Subtopology{
			{ID: "0", Sources: []string{"in"}, RepartitionSinks: []string{"r"}},
			{ID: "1", Sources: []string{"table"}, RepartitionSources: []InternalTopic{topic("r", 5)}, Copartitions: same([]int16{0}, []int16{0})},
		}, topics: fakeTopics{"in": 2, "table": 6},
			problem: "Number of partitions [5] of repartition topic [r] doesn't match number of partitions [6] of the source topic."},
		{name: "a changelog of another shape", subs: chain, topics: fakeTopics{"in": 3, "log": 1}, problem: "Existing topic log has different number of partitions: expected 3, found 1"},
		{name: "a loop", subs: []Subtopology{{ID: "0", RepartitionSources: []InternalTopic{topic("r", 0)}, RepartitionSinks: []string{"r"}}},
			err: "Failed to compute number of partitions for all repartition topics. There may be loops in the topology that cannot be resolved."},
	} {
		topology := &Topology{Subtopologies: c.subs}
		if err := topology.finish(); err != nil {
			t.Fatal(err)
		}
		l, err := layOut(topology, c.topics)
		if c.err != "" {
			if err == nil || err.Message != c.err {
				t.Errorf("%s: %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		problem := ""
		if l.problem != nil {
			problem = l.problem.Detail
		}
		var missing []string
		for _, m := range l.missing {
			if missing = append(missing, m.Name); m.Partitions != l.counts[m.Name] {
				t.Errorf("%s: %s is to have %d partitions, decided are %d", c.name, m.Name, m.Partitions, l.counts[m.Name])
			}
		}
		if problem != c.problem || !maps.Equal(l.counts, c.counts) || !maps.Equal(l.tasks, c.tasks) || !slices.Equal(missing, c.missing) {
			t.Errorf("%s: %+v %q, want %v %v %v %q", c.name, l, problem, c.counts, c.tasks, c.missing, c.problem)
		}
	}
}
