package streams

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// StatusCode is what a heartbeat's answer says of a group beside the assignment.
type StatusCode int8

// The codes, in Kafka's numbers.
const (
	StaleTopology       StatusCode = 0
	MissingSourceTopics StatusCode = 1
	WrongPartitions     StatusCode = 2 // INCORRECTLY_PARTITIONED_TOPICS
	MissingInternal     StatusCode = 3
	ShutdownApplication StatusCode = 4
	AssignmentDelayed   StatusCode = 5
)

// Status is a code with details.
type Status struct {
	Code   StatusCode
	Detail string
}

// NewTopic is an internal topic that is missing.
type NewTopic struct {
	InternalTopic // Partitions is decided
}

// layout is a topology in the light of the topics that there are.
type layout struct {
	counts  map[string]int32 // partitions of internal topics
	tasks   map[string]int32 // number of tasks by subtopology; nil when source topics are missing or have wrong numbers of partitions
	missing []NewTopic       // by name
	problem *Status          // why there are no tasks yet; nil: ready
}

func (l *layout) ready() bool { return l.problem == nil }

// layOut decides how many partitions internal topics have, and how many tasks there are:
//
//	repartition topic   what it asks for, else the most that a subtopology which writes it reads,
//	                    else what its copartition group has
//	changelog           as many as its subtopology has tasks
//	tasks               the most partitions of a topic that the subtopology reads
//
// A topology that cannot be laid out whatever topics there are is an error; one that lacks topics has a problem.
func layOut(t *Topology, topics consumer.Topics) (*layout, *Error) {
	p := &planner{t: t, topics: topics, counts: make(map[string]int32)}
	if problem := p.missingSources(); problem != nil {
		return &layout{problem: problem}, nil
	}
	if err := p.repartition(); err != nil {
		return nil, err
	}
	if problem, err := p.copartition(); problem != nil || err != nil {
		return &layout{problem: problem}, err
	}
	l := &layout{counts: maps.Clone(p.counts), tasks: make(map[string]int32)}
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		most, err := p.most(s)
		if err != nil {
			return nil, err
		}
		l.tasks[s.ID] = most
		for k := range s.Changelogs {
			l.counts[s.Changelogs[k].Name] = most
		}
	}
	p.counts = l.counts
	missing, problem := p.compare()
	if problem != nil {
		return &layout{problem: problem}, nil
	}
	if len(missing) > 0 {
		var names []string
		for i := range missing {
			names = append(names, missing[i].Name)
		}
		l.missing, l.problem = missing, &Status{MissingInternal, "Internal topics are missing: " + summary(names)}
	}
	return l, nil
}

// summary names the first of some topics.
func summary(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d additional topics", strings.Join(names[:shown], ", "), len(names)-shown)
}

// planner is the work of layOut.
type planner struct {
	t      *Topology
	topics consumer.Topics
	counts map[string]int32 // decided so far
}

// partitions is the number of a topic that exists, else the one that is decided.
func (p *planner) partitions(name string) (int32, bool) {
	if _, n, ok := p.topics.ByName(name); ok {
		return n, true
	}
	n, ok := p.counts[name]
	return n, ok
}

func (p *planner) missingSources() *Status {
	missing := make(map[string]struct{})
	for i := range p.t.Subtopologies {
		for _, name := range p.t.Subtopologies[i].Sources {
			if _, _, ok := p.topics.ByName(name); !ok {
				missing[name] = struct{}{}
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Status{MissingSourceTopics, "Source topics " + summary(slices.Sorted(maps.Keys(missing))) + " are missing."}
}

// repartition decides the numbers of repartition topics, from the sources of the topology on: what a subtopology writes has a number when
// one of the topics that it reads has one.
func (p *planner) repartition() *Error {
	for _, r := range p.repartitionSources() {
		if r.Partitions != 0 {
			p.counts[r.Name] = r.Partitions
		}
	}
	for open := true; open; {
		open = false
		progress := false
		for i := range p.t.Subtopologies {
			s := &p.t.Subtopologies[i]
			for _, sink := range s.RepartitionSinks {
				if _, ok := p.counts[sink]; ok {
					continue
				}
				if n := p.mostKnown(s); n > 0 {
					p.counts[sink], progress = n, true
				} else {
					open = true
				}
			}
		}
		if open && !progress {
			return refuse(CodeInvalidTopology, "Failed to compute number of partitions for all repartition topics. There may be loops in the topology that cannot be resolved.")
		}
	}
	for _, r := range p.repartitionSources() {
		if _, ok := p.counts[r.Name]; !ok {
			return refuse(CodeInvalidTopology, "Failed to compute number of partitions for all repartition topics, because a repartition source topic is never used as a sink topic.")
		}
	}
	return nil
}

// repartitionSources yields each repartition topic that is read, with the subtopology that reads it.
func (p *planner) repartitionSources() func(yield func(*Subtopology, *InternalTopic) bool) {
	return func(yield func(*Subtopology, *InternalTopic) bool) {
		for i := range p.t.Subtopologies {
			s := &p.t.Subtopologies[i]
			for k := range s.RepartitionSources {
				if !yield(s, &s.RepartitionSources[k]) {
					return
				}
			}
		}
	}
}

// mostKnown is the largest number of partitions of a topic that the subtopology reads, as far as is known by now.
func (p *planner) mostKnown(s *Subtopology) int32 {
	var most int32
	for _, name := range s.Sources {
		n, _ := p.partitions(name)
		most = max(most, n)
	}
	for i := range s.RepartitionSources {
		most = max(most, p.counts[s.RepartitionSources[i].Name])
	}
	return most
}

// copartition gives the repartition topics of each copartition group the number that the group has.
func (p *planner) copartition() (*Status, *Error) {
	fixed := make(map[string]bool) // repartition topics: whether they ask for a number
	for _, r := range p.repartitionSources() {
		fixed[r.Name] = fixed[r.Name] || r.Partitions != 0
	}
	for i := range p.t.Subtopologies {
		s := &p.t.Subtopologies[i]
		for _, c := range s.Copartitions {
			var external, internal []string
			add := func(name string) {
				if _, ok := fixed[name]; ok {
					internal = append(internal, name)
				} else {
					external = append(external, name)
				}
			}
			for _, place := range c.Sources {
				add(s.Sources[place])
			}
			for _, place := range c.RepartitionSources {
				add(s.RepartitionSources[place].Name)
			}
			if problem, err := p.align(external, internal, fixed); problem != nil || err != nil {
				return problem, err
			}
		}
	}
	return nil, nil
}

// align finds the number of partitions of a copartition group. Topics that exist have the last word; without one, repartition topics that
// ask for a number; without one of these, the largest.
func (p *planner) align(external, internal []string, fixed map[string]bool) (*Status, *Error) {
	if len(external)+len(internal) == 0 {
		return nil, nil
	}
	numbers := func(names []string) (map[string]int32, *Error) {
		out := make(map[string]int32, len(names))
		for _, name := range names {
			n, ok := p.partitions(name)
			if !ok {
				return nil, refuse(CodeUnknownServerError, "Number of partitions is not set for topic: %s", name)
			}
			out[name] = n
		}
		return out, nil
	}
	have, err := numbers(internal)
	if err != nil {
		return nil, err
	}
	deciding := external
	if len(external) == 0 {
		for _, name := range slices.Sorted(maps.Keys(fixed)) { // of the whole topology, as Kafka has it
			if fixed[name] {
				deciding = append(deciding, name)
			}
		}
	}
	decided, err := numbers(deciding)
	if err != nil {
		return nil, err
	}
	var want int32
	for _, n := range decided {
		if want != 0 && n != want {
			shown := decided
			if len(external) == 0 {
				shown = have
			}
			return &Status{WrongPartitions, "Following topics do not have the same number of partitions: [" + braces(shown) + "]"}, nil
		}
		want = n
	}
	if want == 0 {
		for _, n := range have {
			want = max(want, n)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if fixed[name] && have[name] != want {
			return &Status{WrongPartitions, fmt.Sprintf("Number of partitions [%d] of repartition topic [%s] doesn't match number of partitions [%d] of the source topic.",
				have[name], name, want)}, nil
		}
		p.counts[name] = want
	}
	return nil, nil
}

// braces shows numbers as Java shows a map.
func braces(numbers map[string]int32) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		parts = append(parts, fmt.Sprintf("%s=%d", name, numbers[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// most is the largest number of partitions of a topic that a subtopology reads.
func (p *planner) most(s *Subtopology) (int32, *Error) {
	var most int32
	unknown := ""
	s.eachSource(func(name string) {
		n, ok := p.partitions(name)
		if !ok {
			unknown = name
		}
		most = max(most, n)
	})
	switch {
	case unknown != "":
		return 0, refuse(CodeUnknownServerError, "No partition count for source topic %s", unknown)
	case most == 0:
		return 0, refuse(CodeInvalidTopology, "No source topics found for subtopology %s", s.ID)
	}
	return most, nil
}

// compare finds the internal topics that do not exist, and one that exists in another shape.
func (p *planner) compare() ([]NewTopic, *Status) {
	want := make(map[string]NewTopic)
	for i := range p.t.Subtopologies {
		s := &p.t.Subtopologies[i]
		for _, list := range [][]InternalTopic{s.RepartitionSources, s.Changelogs} {
			for _, topic := range list {
				if topic.Partitions == 0 {
					topic.Partitions = p.counts[topic.Name]
				}
				want[topic.Name] = NewTopic{topic}
			}
		}
	}
	var missing []NewTopic
	for _, name := range slices.Sorted(maps.Keys(want)) {
		topic := want[name]
		_, n, ok := p.topics.ByName(name)
		switch {
		case !ok:
			missing = append(missing, topic)
		case n != topic.Partitions:
			return nil, &Status{WrongPartitions, fmt.Sprintf("Existing topic %s has different number of partitions: expected %d, found %d", name, topic.Partitions, n)}
		}
	}
	slices.SortFunc(missing, func(a, b NewTopic) int { return cmp.Compare(a.Name, b.Name) })
	return missing, nil
}
