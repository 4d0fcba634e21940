package clients

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/tools/javakit"
)

// broker is what members are tried on. fall kills it with -9 and starts it again, or does nothing where that cannot be.
type broker struct {
	seed  string
	fall  func()
	kafka bool // Apache Kafka
}

// modernSettings let members of the consumer protocol notice in less than a second what by default takes them five. Their session outlives a machine that has no time for them.
var modernSettings = map[string]string{
	"group.consumer.min.heartbeat.interval.ms": "100", "group.consumer.heartbeat.interval.ms": "300", "group.consumer.min.session.timeout.ms": "5000",
	"group.consumer.session.timeout.ms": "30000", "group.consumer.assignment.interval.ms": "0",
}

func modernNode(t *testing.T, more ...string) broker {
	t.Helper()
	for key, value := range modernSettings {
		more = append(more, key+"="+value)
	}
	n := startNode(t, more...)
	return broker{seed: n.Seed(), fall: func() {
		n.Kill()
		n.start(t)
	}}
}

func modernKafka(t *testing.T, kit *javakit.Kit, more ...string) broker {
	t.Helper()
	o := javakit.KafkaOptions{Dir: t.TempDir(), Properties: map[string]string{}}
	for key, value := range modernSettings {
		o.Properties[key] = value
	}
	for _, s := range more {
		key, value, _ := strings.Cut(s, "=")
		o.Properties[key] = value
	}
	k, err := kit.StartKafka(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	return broker{k.Bootstrap, func() {}, true}
}

// TestConsumerProtocol: members of the consumer protocol (KIP-848) share two topics under load, by name and by a regular expression that the broker resolves,
// with each of its assignors; a static member goes and comes back to what it had; the broker is killed in quiet and in the middle of a rebalance. Every
// record is taken once.
func TestConsumerProtocol(t *testing.T) {
	notShort(t)
	kit := compiledOf(t, javakit.ToolSet, "java/members")
	on := modernNode(t)
	for _, assignor := range []string{"uniform", "range"} {
		t.Run(assignor, func(t *testing.T) { shareTopics(t, newBand(t, kit, on.seed), on, assignor, "one", "two", "three") })
	}
}

// TestConsumerProtocolOfFranz: the same with franz-go, and with both clients in a group.
func TestConsumerProtocolOfFranz(t *testing.T) {
	notShort(t)
	on := modernNode(t)
	t.Run("alone", func(t *testing.T) {
		shareTopics(t, newBand(t, nil, on.seed), on, "uniform", "franz-1", "franz-2", "franz-3")
	})
	t.Run("beside Java", func(t *testing.T) {
		wholeOnly(t)
		kit := compiledOf(t, javakit.ToolSet, "java/members")
		shareTopics(t, newBand(t, kit, on.seed), on, "range", "one", "franz-2", "three")
	})
}

// TestConsumerProtocolOfKafka runs the same on Apache Kafka, which is not killed: what members are expected to do is what they do there.
func TestConsumerProtocolOfKafka(t *testing.T) {
	wholeOnly(t)
	kit := compiledOf(t, javakit.ToolSet, "java/members")
	on := modernKafka(t, kit)
	for _, assignor := range []string{"uniform", "range"} {
		t.Run(assignor, func(t *testing.T) { shareTopics(t, newBand(t, kit, on.seed), on, assignor, "one", "two", "three") })
	}
}

// shareTopics has three members of a group share two topics of six partitions each; the third is static, unless it is franz-go's.
func shareTopics(t *testing.T, b *band, on broker, assignor, one, two, three string) {
	prefix := strings.Join([]string{assignor, one, two}, "-")
	group, left, right := prefix+"-group", prefix+"-left", prefix+"-right"
	b.create(6, left, right)
	w := startWriter(t, on.seed, left, right)
	member := []string{"group.id=" + group, "group.protocol=consumer", "group.remote.assignor=" + assignor}
	byName := append(slices.Clone(member), "topics="+left+","+right)
	byPattern := append(slices.Clone(member), "pattern="+prefix+"-(?P<side>left|right)") // the name of a group is RE2's, not Java's
	third := slices.Clone(byName)
	// franz-go 1.22.2 names no instance when a static member goes for a while, which brokers refuse: it would be away until its session ends, and come back to anything.
	static := !strings.HasPrefix(three, "franz")
	if static {
		third = append(third, "group.instance.id="+prefix+"-static")
	}

	b.start(one, byName...)
	b.awaitShares(12, one)
	b.start(two, byPattern...)
	b.awaitShares(12, one, two)
	b.needCoPartitioned(assignor, left, right, one, two)
	b.start(three, third...)
	b.awaitShares(12, one, two, three)
	b.needCoPartitioned(assignor, left, right, one, two, three)

	before := b.all(one, two, three)
	b.close(three)
	on.fall() // that a static member is away, and what is kept for it, has to be in the log
	b.start(three, third...)
	b.awaitShares(12, one, two, three)
	b.awaitProgress()
	now := b.all(one, two, three)
	if static && now != before {
		t.Errorf("a static member has gone and come back: %s, was %s", now, before)
	}

	before = now
	on.fall()
	b.awaitProgress()
	if now := b.all(one, two, three); now != before {
		t.Errorf("after a crash of the broker: %s, was %s", now, before)
	}
	b.close(two)
	on.fall() // what it had is being given to the others
	b.awaitShares(12, one, three)
	b.awaitProgress()
	b.finish(w, group, left, right)
	if got := b.groupType(group); got != "consumer" {
		t.Errorf("the group's type is %q", got)
	}
	b.close(one)
	b.close(three)
}

// all is what the members have.
func (b *band) all(names ...string) string {
	var s []string
	for _, name := range names {
		s = append(s, fmt.Sprint(name, b.has(name)))
	}
	return strings.Join(s, " ")
}

// needCoPartitioned: with the range assignor a member has the same partitions of both topics.
func (b *band) needCoPartitioned(assignor, left, right string, names ...string) {
	b.t.Helper()
	if assignor != "range" {
		return
	}
	for _, name := range names {
		var sides [2][]string
		for _, p := range b.has(name) {
			if n, ok := strings.CutPrefix(p, left+"-"); ok {
				sides[0] = append(sides[0], n)
			} else {
				sides[1] = append(sides[1], strings.TrimPrefix(p, right+"-"))
			}
		}
		if !slices.Equal(sides[0], sides[1]) {
			b.t.Errorf("range: %s has %v of one topic and %v of the other", name, sides[0], sides[1])
		}
	}
}

// awaitProgress waits until something more was taken of every partition that members have.
func (b *band) awaitProgress() {
	b.t.Helper()
	before := make(map[string]int64)
	for p, list := range b.claims() {
		before[p] = list[len(list)-1].to
	}
	b.await("every partition goes on", func() error {
		now := b.claims()
		for p, was := range before {
			if list := now[p]; list[len(list)-1].to <= was {
				return fmt.Errorf("%s stays at %d", p, was)
			}
		}
		return nil
	})
}

// TestInvalidPattern: a member whose regular expression is not RE2 is refused, and disturbs nobody.
func TestInvalidPattern(t *testing.T) {
	notShort(t)
	kit := compiledOf(t, javakit.ToolSet, "java/members")
	on := modernNode(t)
	b := newBand(t, kit, on.seed)
	b.create(2, "invalid")
	b.start("one", "group.id=g", "group.protocol=consumer", "topics=invalid")
	b.awaitShares(2, "one")
	b.start("two", "group.id=g", "group.protocol=consumer", `pattern=(in)valid\1`)
	b.await("the second is refused", func() error {
		if failed := b.ended("two", "failed"); !strings.Contains(failed, "InvalidRegularExpression") {
			return fmt.Errorf("it said %q and has %v", failed, b.has("two"))
		}
		return nil
	})
	b.awaitShares(2, "one")
}
