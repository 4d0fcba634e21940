package group

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// TestModernSim runs groups of the consumer protocol: clients that join, leave, crash, stall, lose answers, take their time to give up
// partitions and change what they subscribe to, topics that come, grow and go, a log that is slow and fails, and a coordinator that moves. It
// checks at every step that no partition has two owners: clients that believe to have it, and whose session cannot have ended. In the end,
// with the faults gone, every partition that somebody subscribes to has an owner who does, the assignment stays as it is, and a new
// coordinator shows the group as the old one did.
func TestModernSim(t *testing.T) {
	simulate(t, 100, 15, runModernSim)
}

// TestModernSimIsDeterministic: a seed that fails must fail again.
func TestModernSimIsDeterministic(t *testing.T) {
	if a, b := runModernSim(t, 7), runModernSim(t, 7); a != b {
		t.Fatal("two runs of one seed differ")
	}
}

const modernSession = 45 * time.Second

type modernSim struct {
	t       *testing.T
	h       *harness
	rng     *rand.Rand
	seed    uint64
	trace   strings.Builder
	clients []*modernClient
	ids     int
}

type modernClient struct {
	n        int
	id       string
	instance *string
	alive    bool
	epoch    int32
	names    []string
	pattern  string
	full     bool // the next heartbeat says everything
	owned    map[topicPartition]bool
	wants    map[topicPartition]bool // assignment that is to be taken over, nil when it was
	call     *call
	sent     time.Time // of call
	alone    time.Time // last heartbeat that was answered was sent then
}

func runModernSim(t *testing.T, seed uint64) string {
	s := &modernSim{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 3))}
	s.h = newHarness(t, func(o *Options) {
		o.Consumer.InlineAssignment = []int{10_000, 1}[s.rng.IntN(2)] // 1: all targets are computed outside
	})
	for _, name := range []string{"t0", "t1", "x0"} {
		s.h.setTopic(name, int32(1+s.rng.IntN(6)))
	}
	for i := range 2 + s.rng.IntN(6) {
		c := &modernClient{n: i}
		if s.rng.IntN(3) == 0 {
			instance := fmt.Sprintf("i%d", i)
			c.instance = &instance
		}
		s.clients = append(s.clients, c)
	}
	for range 400 {
		s.step()
		s.checkOwners()
	}
	s.h.log.fail, s.h.log.held = nil, false
	s.h.log.release()
	for range 60 {
		for _, c := range s.clients {
			s.act(c, false)
			s.act(c, false)
			s.checkOwners()
		}
		s.h.clock.advance(2 * time.Second)
	}
	s.checkSettled()
	return s.trace.String()
}

func (s *modernSim) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d: %s\nreplay: go test ./engine/group -run TestModernSim$ -sim.seed=%d", s.seed, fmt.Sprintf(format, args...), s.seed)
}

func (s *modernSim) step() {
	switch n := s.rng.IntN(100); {
	case n < 72:
		s.act(s.clients[s.rng.IntN(len(s.clients))], true)
	case n < 86:
		s.h.clock.advance(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
	case n < 89:
		s.h.log.held = true
	case n < 94:
		s.h.log.held = false
		s.h.log.release()
	case n < 95:
		s.h.log.fail = errDisk
	case n < 97:
		s.h.log.fail = nil
	case n < 98:
		name := []string{"t0", "t1", "t2", "x0"}[s.rng.IntN(4)]
		switch partitions := s.h.topics[name]; {
		case s.rng.IntN(4) == 0:
			s.h.setTopic(name, 0)
		default:
			s.h.setTopic(name, partitions+1)
		}
	default:
		s.h.c.Unload(0)
		s.h.log.release() // the outcome is known before another leader reads the log
		s.h.load()
	}
}

func (s *modernSim) start(c *modernClient) {
	s.ids++
	c.id = fmt.Sprintf("c%d-%d", c.n, s.ids)
	c.alive = true
	s.rejoin(c)
	s.subscribe(c)
}

func (s *modernSim) rejoin(c *modernClient) {
	c.epoch, c.full, c.owned, c.wants, c.call = 0, true, map[topicPartition]bool{}, nil, nil
}

func (s *modernSim) subscribe(c *modernClient) {
	c.names, c.pattern = nil, ""
	switch s.rng.IntN(4) {
	case 0:
		c.pattern = []string{"t.*", ".*0", "t[12]"}[s.rng.IntN(3)]
	default:
		for _, name := range []string{"t0", "t1", "t2", "x0"} {
			if s.rng.IntN(2) == 0 {
				c.names = append(c.names, name)
			}
		}
	}
	c.full = true
}

func (s *modernSim) act(c *modernClient, faults bool) {
	if !c.alive {
		if !faults || s.rng.IntN(4) == 0 {
			s.start(c)
		}
		return
	}
	if faults {
		switch n := s.rng.IntN(60); {
		case n == 0: // crash
			c.alive = false
			return
		case n == 1: // leaves; a static one for a while, mostly
			s.leave(c)
			return
		case n == 2 && c.call != nil: // gives up waiting; what it said may have arrived, so it must not have more than it said
			c.call, c.full, c.wants = nil, true, nil
			return
		case n == 3:
			s.subscribe(c)
			return
		case n < 8: // busy
			return
		}
	}
	if c.wants != nil && c.call == nil && (!faults || s.rng.IntN(2) == 0) {
		for tp := range c.owned {
			if !c.wants[tp] {
				delete(c.owned, tp)
			}
		}
		maps.Copy(c.owned, c.wants)
		c.wants = nil
	}
	if c.call == nil {
		s.beat(c)
	}
	if c.call != nil && !c.call.held() {
		s.answered(c)
	}
}

func (s *modernSim) beat(c *modernClient) {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.MemberEpoch, r.InstanceID = 1, "g", c.id, c.epoch, c.instance
	if c.full {
		pattern := c.pattern // the coordinator keeps it
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.SubscribedTopicRegex = 300_000, append([]string{}, c.names...), &pattern
	}
	if c.full || s.rng.IntN(2) == 0 {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		byTopic := map[string][]int32{}
		for tp := range c.owned {
			byTopic[tp.topic] = append(byTopic[tp.topic], tp.partition)
		}
		for _, name := range slices.Sorted(maps.Keys(byTopic)) {
			r.Topics = append(r.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: topicID(name), Partitions: byTopic[name]})
		}
	}
	c.full = false
	c.call, c.sent = s.h.send(r), s.h.clock.Now()
}

func (s *modernSim) leave(c *modernClient) {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.MemberEpoch, r.InstanceID = 1, "g", c.id, consumer.EpochLeave, c.instance
	if c.instance != nil && s.rng.IntN(3) > 0 {
		r.MemberEpoch = consumer.EpochLeaveStatic
	}
	c.alive = false
	s.h.send(r)
}

func (s *modernSim) answered(c *modernClient) {
	resp := c.call.resp.(*kmsg.ConsumerGroupHeartbeatResponse)
	c.call = nil
	fmt.Fprintf(&s.trace, "%s %d epoch %d\n", c.id, resp.ErrorCode, resp.MemberEpoch)
	switch resp.ErrorCode {
	case codeNone:
	case codeNotCoordinator, codeCoordinatorNotAvailable, codeCoordinatorLoading:
		c.full = true
		return
	case consumer.CodeFencedMemberEpoch, consumer.CodeUnknownMemberID, consumer.CodeGroupIDNotFound:
		s.rejoin(c)
		return
	case consumer.CodeUnreleasedInstanceID: // the incarnation before has not left; its session has to end
		s.rejoin(c)
		return
	case consumer.CodeFencedInstanceID:
		c.alive = false
		return
	default:
		s.fatalf("client %s: unexpected error %d %v", c.id, resp.ErrorCode, resp.ErrorMessage)
	}
	c.alone, c.epoch = c.sent, resp.MemberEpoch
	if resp.Assignment != nil {
		c.wants = map[topicPartition]bool{}
		for _, rt := range resp.Assignment.Topics {
			for _, p := range rt.Partitions {
				c.wants[topicPartition{strings.TrimRight(string(rt.TopicID[:]), "\x00"), p}] = true
			}
		}
	}
}

// owns reports whether the client may believe that it owns partitions.
func (s *modernSim) owns(c *modernClient) bool {
	return c.alive && s.h.clock.Now().Sub(c.alone) < modernSession
}

func (s *modernSim) checkOwners() {
	owner := map[topicPartition]*modernClient{}
	for _, c := range s.clients {
		if !s.owns(c) {
			continue
		}
		for tp := range c.owned {
			if other := owner[tp]; other != nil {
				s.fatalf("%v belongs to %s (epoch %d) and %s (epoch %d)", tp, other.id, other.epoch, c.id, c.epoch)
			}
			owner[tp] = c
		}
	}
}

func (c *modernClient) subscribes(topic string) bool {
	return slices.Contains(c.names, topic) || c.pattern != "" && regexp.MustCompile("^(?:"+c.pattern+")$").MatchString(topic)
}

func (s *modernSim) describe() *kmsg.ConsumerGroupDescribeResponseGroup {
	r := kmsg.NewPtrConsumerGroupDescribeRequest()
	r.Version, r.Groups = 1, []string{"g"}
	return &s.h.send(r).resp.(*kmsg.ConsumerGroupDescribeResponse).Groups[0]
}

func encoded(g *kmsg.ConsumerGroupDescribeResponseGroup) []byte {
	return (&kmsg.ConsumerGroupDescribeResponse{Version: 1, Groups: []kmsg.ConsumerGroupDescribeResponseGroup{*g}}).AppendTo(nil)
}

// shown is a description to read.
func shown(g *kmsg.ConsumerGroupDescribeResponseGroup) string {
	text := fmt.Sprintf("%s epoch %d assignment %d %s", g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName)
	for _, m := range g.Members {
		text += fmt.Sprintf("\n  %s epoch %d %v %q", m.MemberID, m.MemberEpoch, m.SubscribedTopics, *m.SubscribedTopicRegex)
		for _, tp := range m.Assignment.TopicPartitions {
			text += fmt.Sprintf(" has %s %v", tp.Topic, tp.Partitions)
		}
		for _, tp := range m.TargetAssignment.TopicPartitions {
			text += fmt.Sprintf(" target %s %v", tp.Topic, tp.Partitions)
		}
	}
	return text
}

func (s *modernSim) checkSettled() {
	d := s.describe()
	if d.State != "Stable" || len(d.Members) != len(s.clients) {
		s.fatalf("the group is %s (epoch %d, assignment %d) with %d members, want %d", d.State, d.Epoch, d.AssignmentEpoch, len(d.Members), len(s.clients))
	}
	owner := map[topicPartition]bool{}
	for _, c := range s.clients {
		if c.wants != nil || c.epoch != d.AssignmentEpoch {
			s.fatalf("client %s: epoch %d, wants %v, the group is at %d", c.id, c.epoch, c.wants, d.AssignmentEpoch)
		}
		for tp := range c.owned {
			owner[tp] = true
			if !c.subscribes(tp.topic) || tp.partition >= s.h.topics[tp.topic] {
				s.fatalf("client %s, subscribed to %v %q, owns %v", c.id, c.names, c.pattern, tp)
			}
		}
	}
	for topic, partitions := range s.h.topics {
		wanted := slices.ContainsFunc(s.clients, func(c *modernClient) bool { return c.subscribes(topic) })
		for p := range partitions {
			if owner[topicPartition{topic, p}] != wanted {
				s.fatalf("%s-%d: wanted %v, owned %v", topic, p, wanted, !wanted)
			}
		}
	}
	s.h.failover()
	if again := s.describe(); !bytes.Equal(encoded(again), encoded(d)) {
		s.fatalf("the group before:\n%s\nand after the coordinator moved:\n%s", shown(d), shown(again))
	}
	for range 5 {
		for _, c := range s.clients {
			s.act(c, false)
		}
		s.h.clock.advance(2 * time.Second)
	}
	if again := s.describe(); again.Epoch != d.Epoch {
		s.fatalf("epoch %d, and %d although nothing has changed", d.Epoch, again.Epoch)
	}
	s.h.clock.advance(modernSession + time.Second)
	if st := s.h.c.Stats(); st.Members != 0 {
		s.fatalf("silent members are left: %+v", st)
	}
}
