package group

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/streams"
)

// TestStreamsSim runs a streams group: threads of a few processes that join, leave, crash, stall, lose answers and take their time to give up
// tasks, topics that are missing, grow, go and come back, a number of standby tasks that changes, a log that is slow and fails, and a
// coordinator that moves. It checks at every step that no task is active at two threads which believe to have it, and whose sessions cannot
// have ended. In the end, with the faults gone, every task is active once, its copies are at other processes, the assignment stays as it is,
// and a new coordinator shows the group as the old one did.
func TestStreamsSim(t *testing.T) {
	simulate(t, 100, 15, runStreamsSim)
}

// TestStreamsSimIsDeterministic: a seed that fails must fail again.
func TestStreamsSimIsDeterministic(t *testing.T) {
	if a, b := runStreamsSim(t, 7), runStreamsSim(t, 7); a != b {
		t.Fatal("two runs of one seed differ")
	}
}

const streamsSession = 45 * time.Second

type streamsSim struct {
	t        *testing.T
	h        *harness
	rng      *rand.Rand
	seed     uint64
	trace    strings.Builder
	threads  []*streamsThread
	ids      int
	standbys int
	statuses []kmsg.StreamsGroupHeartbeatResponseStatus // of the last answer
	gone     int32                                      // partitions that "in" had when it was deleted
}

// taskRole is a task in a role.
type taskRole struct {
	role streams.Role
	id   streams.TaskID
}

type streamsThread struct {
	n           int
	id, process string
	alive       bool
	full        bool // the next heartbeat says which tasks the thread has
	epoch       int32
	owned       map[taskRole]bool
	wants       map[taskRole]bool // assignment that is to be taken over, nil when it was
	call        *call
	sent        time.Time // of call
	alone       time.Time // last heartbeat that was answered was sent then
}

func runStreamsSim(t *testing.T, seed uint64) string {
	s := &streamsSim{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 5))}
	delay := []time.Duration{0, 3 * time.Second}[s.rng.IntN(2)]
	s.standbys = s.rng.IntN(3)
	s.h = newHarness(t, func(o *Options) {
		o.Streams.Config = func(string) StreamsConfig {
			return StreamsConfig{streamsSession, 5 * time.Second, time.Second, delay, s.standbys}
		}
	})
	if s.rng.IntN(3) > 0 {
		s.h.setTopic("in", int32(1+s.rng.IntN(5)))
	}
	for i := range 2 + s.rng.IntN(5) {
		s.threads = append(s.threads, &streamsThread{n: i, process: fmt.Sprintf("p%d", s.rng.IntN(3))})
	}
	for range 400 {
		s.step()
		s.checkTasks()
	}
	s.h.log.fail, s.h.log.held = nil, false
	s.h.log.release()
	if s.h.topics["in"] == 0 {
		s.h.setTopic("in", max(s.gone, 2))
	}
	for range 60 {
		s.h.createMissing()
		for _, c := range s.threads {
			s.act(c, false)
			s.act(c, false)
			s.checkTasks()
		}
		s.h.clock.advance(2 * time.Second)
	}
	s.checkSettled()
	return s.trace.String()
}

func (s *streamsSim) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d: %s\nreplay: go test ./engine/group -run TestStreamsSim$ -sim.seed=%d", s.seed, fmt.Sprintf(format, args...), s.seed)
}

func (s *streamsSim) step() {
	switch n := s.rng.IntN(100); {
	case n < 72:
		s.act(s.threads[s.rng.IntN(len(s.threads))], true)
	case n < 85:
		s.h.clock.advance(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
	case n < 88:
		s.h.log.held = true
	case n < 93:
		s.h.log.held = false
		s.h.log.release()
	case n < 94:
		s.h.log.fail = errDisk
	case n < 96:
		s.h.log.fail = nil
	case n < 97:
		s.h.createMissing()
	case n < 98:
		s.standbys = s.rng.IntN(3)
	case n < 99:
		switch in := s.h.topics["in"]; {
		case in == 0:
			s.h.setTopic("in", max(s.gone, 2))
		case s.rng.IntN(3) == 0:
			s.gone = in
			s.h.setTopic("in", 0)
		default:
			s.h.setTopic("in", in+1)
		}
	default:
		s.h.c.Unload(0)
		s.h.log.release() // the outcome is known before another leader reads the log
		s.h.load()
	}
}

func (s *streamsSim) act(c *streamsThread, faults bool) {
	if !c.alive {
		if !faults || s.rng.IntN(4) == 0 {
			s.ids++
			c.id, c.alive = fmt.Sprintf("c%d-%d", c.n, s.ids), true
			c.rejoin()
		}
		return
	}
	if faults {
		switch n := s.rng.IntN(60); {
		case n == 0: // crash
			c.alive = false
			return
		case n == 1:
			c.alive = false
			s.h.send(streamsReq(c.id, c.process, consumer.EpochLeave))
			return
		case n == 2 && c.call != nil: // gives up waiting: what it said may have arrived, and the answer is lost
			c.call, c.wants, c.full = nil, nil, true
			return
		case n < 8: // busy
			return
		}
	}
	if c.wants != nil && c.call == nil && (!faults || s.rng.IntN(2) == 0) {
		c.owned, c.wants, c.full = c.wants, nil, true
	}
	if c.call == nil {
		c.call, c.sent = s.h.send(s.request(c)), s.h.clock.Now()
	}
	if !c.call.held() {
		s.answered(c)
	}
}

func (c *streamsThread) rejoin() {
	c.epoch, c.owned, c.wants, c.call = 0, map[taskRole]bool{}, nil, nil
}

// request says what the thread has. An epoch that was never answered is that of joining.
func (s *streamsSim) request(c *streamsThread) *kmsg.StreamsGroupHeartbeatRequest {
	r := streamsReq(c.id, c.process, c.epoch)
	if c.epoch == 0 || !c.full && s.rng.IntN(2) == 0 {
		return r
	}
	c.full = false
	by := [3]map[string][]int32{{}, {}, {}}
	for tr := range c.owned {
		by[tr.role][tr.id.Subtopology] = append(by[tr.role][tr.id.Subtopology], tr.id.Partition)
	}
	for role, list := range []*[]kmsg.TaskIDs{&r.ActiveTasks, &r.StandbyTasks, &r.WarmupTasks} {
		*list = []kmsg.TaskIDs{}
		for _, id := range slices.Sorted(maps.Keys(by[role])) {
			*list = append(*list, kmsg.TaskIDs{SubtopologyID: id, Partitions: by[role][id]})
		}
	}
	return r
}

func (s *streamsSim) answered(c *streamsThread) {
	resp := c.call.resp.(*kmsg.StreamsGroupHeartbeatResponse)
	c.call = nil
	fmt.Fprintf(&s.trace, "%s %d epoch %d\n", c.id, resp.ErrorCode, resp.MemberEpoch)
	switch resp.ErrorCode {
	case codeNone:
	case codeNotCoordinator, codeCoordinatorNotAvailable, codeCoordinatorLoading:
		c.full = true
		return
	case consumer.CodeFencedMemberEpoch, consumer.CodeUnknownMemberID, consumer.CodeGroupIDNotFound:
		c.rejoin()
		return
	default:
		s.fatalf("thread %s: unexpected error %d %v", c.id, resp.ErrorCode, resp.ErrorMessage)
	}
	c.alone, c.epoch, s.statuses = c.sent, resp.MemberEpoch, resp.Status
	if resp.MemberEpoch == 0 {
		s.fatalf("thread %s has joined, and its epoch is that of joining", c.id)
	}
	if resp.ActiveTasks != nil {
		c.wants = map[taskRole]bool{}
		for role, list := range [][]kmsg.TaskIDs{resp.ActiveTasks, resp.StandbyTasks, resp.WarmupTasks} {
			for _, t := range list {
				for _, p := range t.Partitions {
					c.wants[taskRole{streams.Role(role), streams.TaskID{Subtopology: t.SubtopologyID, Partition: p}}] = true
				}
			}
		}
	}
}

// checkTasks looks at the threads that may believe that they are members.
func (s *streamsSim) checkTasks() {
	active := map[streams.TaskID]*streamsThread{}
	for _, c := range s.threads {
		if !c.alive || s.h.clock.Now().Sub(c.alone) >= streamsSession {
			continue
		}
		for tr := range c.owned {
			if tr.role != streams.Active {
				continue
			}
			if other := active[tr.id]; other != nil {
				s.fatalf("%v is active at %s (epoch %d) and %s (epoch %d)", tr.id, other.id, other.epoch, c.id, c.epoch)
			}
			active[tr.id] = c
		}
	}
}

// describe shows the group, but for the topology: what the numbers of its partitions come to is not known to a new coordinator before the
// next heartbeat.
func (s *streamsSim) describe() *kmsg.StreamsGroupDescribeResponseGroup {
	r := kmsg.NewPtrStreamsGroupDescribeRequest()
	r.Groups = []string{"g"}
	g := &s.h.send(r).resp.(*kmsg.StreamsGroupDescribeResponse).Groups[0]
	g.Topology = nil
	return g
}

func (s *streamsSim) checkSettled() {
	d := s.describe()
	if d.State != "Stable" || len(d.Members) != len(s.threads) {
		s.fatalf("the group is %s (epoch %d, assignment %d) with %d members, want %d; topics %v, statuses %v", d.State, d.Epoch, d.AssignmentEpoch, len(d.Members), len(s.threads),
			s.h.topics, s.statuses)
	}
	active, processes := map[streams.TaskID]bool{}, map[string]map[streams.TaskID]bool{}
	copies := map[streams.TaskID]int{}
	for _, c := range s.threads {
		if c.wants != nil || c.epoch != d.AssignmentEpoch {
			s.fatalf("thread %s: epoch %d, wants %v, the group is at %d", c.id, c.epoch, c.wants, d.AssignmentEpoch)
		}
		if processes[c.process] == nil {
			processes[c.process] = map[streams.TaskID]bool{}
		}
		for tr := range c.owned {
			if processes[c.process][tr.id] {
				s.fatalf("process %s has %v twice", c.process, tr.id)
			}
			processes[c.process][tr.id] = true
			if tr.role == streams.Active {
				active[tr.id] = true
			} else {
				copies[tr.id]++
			}
		}
	}
	for _, subtopology := range []string{"0", "1"} {
		want := 0
		if subtopology == "1" {
			want = min(s.standbys, len(processes)-1)
		}
		for p := range s.h.topics["in"] {
			if id := (streams.TaskID{Subtopology: subtopology, Partition: p}); !active[id] || copies[id] != want {
				s.fatalf("%v: active %v, %d copies, want %d", id, active[id], copies[id], want)
			}
			delete(active, streams.TaskID{Subtopology: subtopology, Partition: p})
		}
	}
	if len(active) > 0 {
		s.fatalf("tasks of partitions that are not there: %v", active)
	}
	encode := func(g *kmsg.StreamsGroupDescribeResponseGroup) []byte {
		return (&kmsg.StreamsGroupDescribeResponse{Groups: []kmsg.StreamsGroupDescribeResponseGroup{*g}}).AppendTo(nil)
	}
	s.h.failover()
	if again := s.describe(); !bytes.Equal(encode(again), encode(d)) {
		s.fatalf("the group before:\n%+v\nand after the coordinator moved:\n%+v", d, again)
	}
	for range 5 {
		for _, c := range s.threads {
			s.act(c, false)
		}
		s.h.clock.advance(2 * time.Second)
	}
	if again := s.describe(); again.Epoch != d.Epoch {
		s.fatalf("epoch %d, and %d although nothing has changed", d.Epoch, again.Epoch)
	}
	s.h.clock.advance(streamsSession + time.Second)
	if st := s.h.c.Stats(); st.Members != 0 {
		s.fatalf("silent members are left: %+v", st)
	}
}
