package group

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var simSeed = flag.Uint64("sim.seed", 0, "run TestSim with this seed only")

// TestSim runs groups of clients that behave as clients do (and crash, restart, stall and give up), on a log that is slow
// and fails, with a coordinator that moves. It checks: one answer for each request (by the harness), one leader in each
// generation, generations that never go back in the log, the same assignment for a member whenever it asks within a
// generation, the leader's words and nobody else's, no acknowledged commit lost. In the end, with the faults gone, every
// group becomes Stable with exactly the members that are alive.
func TestSim(t *testing.T) {
	simulate(t, 300, 30, runSim)
}

// simulate runs a simulation with the seed of the command line, or with as many as there is time for.
func simulate(t *testing.T, seeds, short uint64, run func(*testing.T, uint64) string) {
	if *simSeed != 0 {
		run(t, *simSeed)
		return
	}
	if testing.Short() {
		seeds = short
	}
	for seed := uint64(1); seed <= seeds && !t.Failed(); seed++ {
		run(t, seed)
	}
}

// TestSimIsDeterministic: a seed that fails must fail again.
func TestSimIsDeterministic(t *testing.T) {
	if a, b := runSim(t, 7), runSim(t, 7); a != b {
		t.Fatal("two runs of one seed differ")
	}
}

type sim struct {
	t     *testing.T
	h     *harness
	rng   *rand.Rand
	seed  uint64
	trace strings.Builder

	clients  []*simClient
	names    int
	leaders  map[string]string // epoch/group/generation: logical name of the leader
	assigned map[string]string // group/generation/logical name: assignment
	acked    map[string]int64  // group: greatest acknowledged offset
	next     int64             // offset of the next commit
	commits  []*simCommit
}

type simCommit struct {
	call   *call
	group  string
	offset int64
}

type simClient struct {
	name       string // logical name: the instance id, or unique for each dynamic member
	static     bool
	group      string
	alive      bool
	member     string
	generation int32
	leads      bool
	members    []string
	wants      string // join, sync, live
	call       *call  // of a join or sync that is not answered or whose answer was not looked at
	sticky     bool   // metadata differs
}

func runSim(t *testing.T, seed uint64) string {
	s := &sim{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), leaders: map[string]string{}, assigned: map[string]string{}, acked: map[string]int64{}}
	delay := time.Duration(s.rng.IntN(2)) * 3 * time.Second
	s.h = newHarness(t, func(o *Options) { o.InitialRebalanceDelay = delay })
	for i := range 3 + s.rng.IntN(8) {
		s.clients = append(s.clients, &simClient{group: fmt.Sprintf("g%d", s.rng.IntN(2)), static: s.rng.IntN(3) == 0, name: fmt.Sprintf("i%d", i)})
	}
	for range 400 {
		s.step(true)
	}
	// Let it settle.
	s.h.log.fail, s.h.log.held = nil, false
	s.h.log.release()
	for range 60 {
		for _, c := range s.clients {
			for range 3 {
				s.act(c, false)
			}
		}
		s.h.clock.advance(2 * time.Second)
	}
	s.checkSettled()
	s.checkLog()
	return s.trace.String()
}

func (s *sim) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d: %s\nreplay: go test ./engine/group -run TestSim$ -sim.seed=%d", s.seed, fmt.Sprintf(format, args...), s.seed)
}

func (s *sim) step(faults bool) {
	switch n := s.rng.IntN(100); {
	case n < 70:
		s.act(s.clients[s.rng.IntN(len(s.clients))], faults)
	case n < 85:
		s.h.clock.advance(time.Duration(s.rng.IntN(4000)) * time.Millisecond)
	case n < 88:
		s.h.log.held = true
	case n < 94:
		s.h.log.held = false
		s.h.log.release()
	case n < 95:
		s.h.log.fail = errDisk
	case n < 98:
		s.h.log.fail = nil
	default:
		s.h.c.Unload(0)
		s.h.log.release() // the outcome is known before another leader reads the log
		s.h.load()
	}
	s.checkCommits()
}

func (s *sim) act(c *simClient, faults bool) {
	if !c.alive {
		if faults && s.rng.IntN(3) > 0 {
			return
		}
		if faults || c.static {
			s.start(c)
		}
		return
	}
	if faults {
		switch n := s.rng.IntN(60); {
		case n == 0: // crash
			c.alive, c.call = false, nil
			return
		case n == 1 && c.wants == "live":
			instance := []string{}
			if c.static {
				instance = append(instance, c.name)
			}
			s.h.leave(c.group, c.member, instance...)
			c.alive, c.call = false, nil
			return
		case n == 2: // gives up waiting and asks again
			c.call = nil
		case n == 3 && c.wants == "live": // subscribes to something else
			c.sticky = !c.sticky
			c.wants = "join"
		}
	}
	if c.call != nil {
		if c.call.held() {
			return
		}
		s.answered(c)
		return
	}
	switch c.wants {
	case "join":
		r := joinReq(c.group, c.member, timeouts(10*time.Second, 20*time.Second))
		if c.static {
			r.InstanceID = &c.name
		}
		metadata := subscription("t0")
		if c.sticky {
			metadata = subscription("t1")
		}
		r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata}, {Name: "sticky", Metadata: metadata}}
		c.call = s.h.send(r)
	case "sync":
		r := syncReq(c.group, c.generation, c.member)
		if c.static {
			r.InstanceID = &c.name
		}
		if c.leads {
			for _, m := range c.members {
				s.names++
				r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{
					MemberID: m, MemberAssignment: fmt.Appendf(nil, "%s by %s in %d #%d", m, c.member, c.generation, s.names),
				})
			}
		}
		c.call = s.h.send(r)
	case "live":
		instance := []string{}
		if c.static {
			instance = append(instance, c.name)
		}
		if s.rng.IntN(4) == 0 {
			s.next++
			r := commitReq(c.group, c.generation, c.member, map[string]int64{"t0": s.next})
			if c.static {
				r.InstanceID = &c.name
			}
			s.commits = append(s.commits, &simCommit{s.h.send(r), c.group, s.next})
			return
		}
		s.react(c, s.h.heartbeat(c.group, c.generation, c.member, instance...))
	}
}

func (s *sim) start(c *simClient) {
	c.alive, c.wants, c.member, c.call, c.leads, c.generation = true, "join", "", nil, false, 0
	if !c.static {
		s.names++
		c.name = fmt.Sprintf("d%d", s.names)
	}
}

// react does what clients do on an error.
func (s *sim) react(c *simClient, code int16) {
	switch code {
	case codeNone, codeCoordinatorLoading, codeNotCoordinator, codeCoordinatorNotAvailable: // again
	case codeRebalanceInProgress:
		c.wants = "join"
	case codeUnknownMemberID, codeIllegalGeneration:
		if code == codeUnknownMemberID {
			c.member = ""
			if !c.static {
				s.names++
				c.name = fmt.Sprintf("d%d", s.names)
			}
		}
		c.wants = "join"
	case codeFencedInstanceID: // an older incarnation's request; ours has another id
		c.member, c.wants = "", "join"
	default:
		s.fatalf("client %s: unexpected error %d while it wants %s", c.name, code, c.wants)
	}
}

func (s *sim) answered(c *simClient) {
	k := c.call
	c.call = nil
	switch r := k.resp.(type) {
	case *kmsg.JoinGroupResponse:
		fmt.Fprintf(&s.trace, "%s join %d %d %s\n", c.name, r.ErrorCode, r.Generation, r.MemberID)
		if r.ErrorCode == codeMemberIDRequired {
			c.member = r.MemberID
			return
		}
		if r.ErrorCode != 0 {
			s.react(c, r.ErrorCode)
			return
		}
		c.member, c.generation, c.leads, c.members, c.wants = r.MemberID, r.Generation, false, nil, "sync"
		if r.LeaderID == r.MemberID && !r.SkipAssignment {
			c.leads = true
			key := fmt.Sprintf("%d/%s/%d", k.epoch, c.group, r.Generation)
			if other, ok := s.leaders[key]; ok && other != c.name && k.req.(*kmsg.JoinGroupRequest).MemberID != "" {
				s.fatalf("%s: two leaders, %s and %s", key, other, c.name)
			}
			s.leaders[key] = c.name
			for _, m := range r.Members {
				c.members = append(c.members, m.MemberID)
			}
		}
	case *kmsg.SyncGroupResponse:
		fmt.Fprintf(&s.trace, "%s sync %d %s\n", c.name, r.ErrorCode, r.MemberAssignment)
		if r.ErrorCode != 0 {
			s.react(c, r.ErrorCode)
			return
		}
		c.wants = "live"
		got := string(r.MemberAssignment)
		key := fmt.Sprintf("%s/%d/%s", c.group, c.generation, c.name)
		if before, ok := s.assigned[key]; ok && before != got {
			s.fatalf("%s: assignment %q, was %q", key, got, before)
		}
		s.assigned[key] = got
		who, _, _ := strings.Cut(got, " by ")
		if got != "" && who != c.member && !(c.static && strings.HasPrefix(who, c.name+"-")) {
			s.fatalf("%s (%s) got the assignment %q", c.name, c.member, got)
		}
	}
}

func (s *sim) checkCommits() {
	var left []*simCommit
	for _, cm := range s.commits {
		if cm.call.held() {
			left = append(left, cm)
		} else if cm.call.code(s.t) == 0 {
			s.acked[cm.group] = max(s.acked[cm.group], cm.offset)
		}
	}
	s.commits = left
	for group, acked := range s.acked {
		if got := s.h.fetch(group, "t0"); got < acked {
			s.fatalf("group %s: offset %d, %d was acknowledged", group, got, acked)
		}
	}
}

func (s *sim) checkSettled() {
	want := map[string]int{}
	for _, c := range s.clients {
		if !c.alive {
			continue
		}
		want[c.group]++
		if c.wants != "live" {
			s.fatalf("client %s still wants %s", c.name, c.wants)
		}
		if code := s.h.heartbeat(c.group, c.generation, c.member); code != 0 {
			s.fatalf("client %s: heartbeat answers %d", c.name, code)
		}
	}
	for _, group := range []string{"g0", "g1"} {
		d := s.h.describe(group)
		if len(d.Members) != want[group] || want[group] > 0 && d.State != "Stable" {
			s.fatalf("group %s is %s with %d members, want %d", group, d.State, len(d.Members), want[group])
		}
	}
	s.h.clock.advance(time.Minute)
	if st := s.h.c.Stats(); st.Members != 0 {
		s.fatalf("silent members are left: %+v", st)
	}
}

// checkLog: generations in the log never go back.
func (s *sim) checkLog() {
	last := map[string]int32{}
	for _, r := range s.h.log.records {
		k, err := decodeKey(r.Key)
		if err != nil {
			s.fatalf("%v", err)
		}
		if k.version == keyGroup && r.Value != nil {
			v, err := decodeGroupValue(r.Value)
			if err != nil {
				s.fatalf("%v", err)
			}
			if v.generation < last[string(k.group)] {
				s.fatalf("group %s: generation %d after %d", k.group, v.generation, last[string(k.group)])
			}
			last[string(k.group)] = v.generation
		}
	}
}
