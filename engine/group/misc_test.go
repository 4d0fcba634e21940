package group

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestPartitionFor(t *testing.T) { // 127
	for s, want := range map[string]int32{
		"": 0, "a": 97, "abc": 96354, "Hello, World!": 1498789909, "polygenelubricants": -1 << 31,
		"\u00e9": 233, "\U0001F600": 31*0xD83D + 0xDE00,
	} {
		if got := javaHash(s); got != want {
			t.Errorf("hash of %q is %d, want %d", s, got, want)
		}
	}
	if p := PartitionFor("polygenelubricants", 50); p != 0 {
		t.Errorf("partition %d", p)
	}
	for i := range 1000 {
		if p := PartitionFor(fmt.Sprint("group", i*7919), 50); p < 0 || p >= 50 {
			t.Fatalf("partition %d", p)
		}
	}
}

func TestCodesAreKafkas(t *testing.T) {
	for code, want := range map[int16]*kerr.Error{
		codeUnknownServerError: kerr.UnknownServerError, codeUnknownTopicOrPartition: kerr.UnknownTopicOrPartition,
		codeOffsetMetadataTooLarge: kerr.OffsetMetadataTooLarge, codeCoordinatorLoading: kerr.CoordinatorLoadInProgress,
		codeCoordinatorNotAvailable: kerr.CoordinatorNotAvailable, codeNotCoordinator: kerr.NotCoordinator,
		codeIllegalGeneration: kerr.IllegalGeneration, codeInconsistentProtocol: kerr.InconsistentGroupProtocol,
		codeInvalidGroupID: kerr.InvalidGroupID, codeUnknownMemberID: kerr.UnknownMemberID,
		codeInvalidSessionTimeout: kerr.InvalidSessionTimeout, codeRebalanceInProgress: kerr.RebalanceInProgress,
		codeInvalidCommitOffsetSize: kerr.InvalidCommitOffsetSize, codeInvalidRequest: kerr.InvalidRequest,
		codeNonEmptyGroup: kerr.NonEmptyGroup, codeGroupIDNotFound: kerr.GroupIDNotFound, codeMemberIDRequired: kerr.MemberIDRequired,
		codeGroupMaxSizeReached: kerr.GroupMaxSizeReached, codeFencedInstanceID: kerr.FencedInstanceID,
		codeGroupSubscribedToTopic: kerr.GroupSubscribedToTopic, codeUnknownTopicID: kerr.UnknownTopicID,
	} {
		if code != want.Code {
			t.Errorf("%s is %d, not %d", want.Message, want.Code, code)
		}
	}
}

func TestOptions(t *testing.T) {
	fine := Options{EncodeBatch: encodeTestBatch, TopicExists: func(string, int32) bool { return true }, RetentionCheckInterval: -1}
	c, err := New(fine)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if o := c.opts; o.NumPartitions != 50 || o.MinSessionTimeout != 6*time.Second || o.MaxSessionTimeout != 30*time.Minute ||
		o.OffsetMetadataMaxBytes != 4096 || o.OffsetsRetention != 7*24*time.Hour || o.InitialRebalanceDelay != 0 {
		t.Errorf("%+v", o)
	}
	a, b := c.opts.NewUUID(), c.opts.NewUUID()
	if a == b || len(a) != 36 || a[14] != '4' {
		t.Errorf("uuids %q and %q", a, b)
	}
	for want, change := range map[string]func(o *Options){
		"EncodeBatch":           func(o *Options) { o.EncodeBatch = nil },
		"TopicExists":           func(o *Options) { o.TopicExists = nil },
		"NumPartitions":         func(o *Options) { o.NumPartitions = -1 },
		"session timeouts":      func(o *Options) { o.MinSessionTimeout = time.Hour },
		"InitialRebalanceDelay": func(o *Options) { o.InitialRebalanceDelay = -1 },
		"MaxGroupBytes":         func(o *Options) { o.MaxGroupBytes = -1 },
		"OffsetsRetention":      func(o *Options) { o.OffsetsRetention = -1 },
	} {
		o := fine
		change(&o)
		if _, err := New(o); err == nil || !strings.HasPrefix(err.Error(), "group: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestTimers compares the heap with the naive list.
func TestTimers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h timers
	all := make([]*timer, 50)
	model := map[*timer]time.Duration{}
	for i := range all {
		all[i] = &timer{}
	}
	var now time.Duration
	for range 20_000 {
		tm := all[rng.IntN(len(all))]
		switch rng.IntN(4) {
		case 0, 1:
			d := now + time.Duration(rng.IntN(1000))
			h.set(tm, d)
			model[tm] = d
		case 2:
			h.stop(tm)
			delete(model, tm)
		default:
			now += time.Duration(rng.IntN(50))
			for due := h.due(now); due != nil; due = h.due(now) {
				if d, ok := model[due]; !ok || d > now {
					t.Fatalf("fired at %d, set for %d (%v)", now, d, ok)
				}
				delete(model, due)
			}
			for _, d := range model {
				if d <= now {
					t.Fatalf("not fired at %d, set for %d", now, d)
				}
			}
		}
		if len(h) != len(model) {
			t.Fatalf("%d in the heap, want %d", len(h), len(model))
		}
	}
}

// TestManyGroups: groups cost no goroutine, and no clock call each.
func TestManyGroups(t *testing.T) {
	h := newHarness(t, nil)
	before := runtime.NumGoroutine()
	const groups = 5000
	for i := range groups {
		h.stableGroup(fmt.Sprint("g", i), 1)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, had %d", n, before)
	}
	if n := len(h.clock.timers); n > 1 {
		t.Errorf("%d clock timers", n)
	}
	if st := h.c.Stats(); st.Groups != groups || st.Members != groups {
		t.Errorf("%+v", st)
	}
	h.clock.advance(time.Minute)
	if st := h.c.Stats(); st.Members != 0 {
		t.Errorf("%+v", st)
	}
}

// TestConcurrency lets everything happen at once, on the real clock and from many goroutines; the race detector judges,
// and each request must be answered once.
func TestConcurrency(t *testing.T) {
	logs := []*memLog{{}, {}}
	c, err := New(Options{
		NumPartitions: 2, EncodeBatch: encodeTestBatch, TopicExists: func(string, int32) bool { return true },
		MinSessionTimeout: time.Millisecond, RetentionCheckInterval: time.Millisecond, OffsetsRetention: 2 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		if err := c.Load(p, 1, asyncLog{logs[p]}, logs[p].replay, nil); err != nil {
			t.Fatal(err)
		}
	}
	var clients, churn sync.WaitGroup
	stop := make(chan struct{})
	for i := range 8 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 0))
			group := fmt.Sprint("g", i%3)
			member, generation := "", int32(-1)
			for range 300 {
				answer := make(chan kmsg.Response, 2)
				reply := func(r kmsg.Response) { answer <- r }
				switch rng.IntN(8) {
				case 0, 1:
					c.Join(Client{ID: "c"}, joinReq(group, member, timeouts(5*time.Millisecond, 10*time.Millisecond)), reply)
				case 2:
					c.Sync(Client{}, syncReq(group, generation, member, member, "x"), reply)
				case 3:
					c.OffsetCommit(Client{}, commitReq(group, -1, "", map[string]int64{"t0": 1, "t1": 2}), reply)
				case 4:
					r := kmsg.NewPtrHeartbeatRequest()
					r.Group, r.MemberID, r.Generation = group, member, generation
					c.Heartbeat(Client{}, r, reply)
				case 5:
					r := kmsg.NewPtrDescribeGroupsRequest()
					r.Groups = []string{"g0", "g1", "g2"}
					c.DescribeGroups(Client{}, r, reply)
				case 6:
					c.DeleteGroups(Client{}, deleteReq("g0", "g1", "g2"), reply)
				default:
					c.ListGroups(Client{}, listReq(nil, nil), reply)
				}
				r := <-answer
				r.AppendTo(nil)
				if j, ok := r.(*kmsg.JoinGroupResponse); ok {
					member, generation = j.MemberID, j.Generation
				}
				if len(answer) > 0 {
					t.Error("answered twice")
				}
			}
		})
	}
	churn.Go(func() {
		for epoch := int32(2); ; epoch++ {
			select {
			case <-stop:
				return
			default:
			}
			p := epoch % 2
			c.Unload(p)
			if err := c.Load(p, epoch, asyncLog{logs[p]}, logs[p].replay, nil); err != nil {
				t.Error(err)
			}
			c.OnTopicsDeleted([]string{"t1"})
			c.Stats()
		}
	})
	clients.Wait()
	close(stop)
	churn.Wait()
	c.Close()
}

// asyncLog answers on another goroutine.
type asyncLog struct{ *memLog }

func (l asyncLog) Append(batch []byte, done func(err error)) {
	go l.memLog.Append(batch, done)
}

func BenchmarkHeartbeat(b *testing.B) {
	h := newHarness(b, nil)
	ids, gen := h.stableGroup("g", 10)
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.Generation, r.MemberID = 4, "g", gen, ids[3]
	reply := func(kmsg.Response) {}
	b.ReportAllocs()
	for b.Loop() {
		h.c.Heartbeat(Client{}, r, reply)
	}
}

func BenchmarkOffsetCommit(b *testing.B) {
	h := newHarness(b, nil)
	ids, gen := h.stableGroup("g", 10)
	r := commitReq("g", gen, ids[3], map[string]int64{"t0": 1, "t1": 2})
	reply := func(kmsg.Response) {}
	b.ReportAllocs()
	for b.Loop() {
		h.log.records, h.log.batches = h.log.records[:0], h.log.batches[:0]
		h.c.OffsetCommit(Client{}, r, reply)
	}
}

// BenchmarkRebalance is one whole rebalance of a large group.
func BenchmarkRebalance(b *testing.B) {
	const members = 1000
	h := newHarness(b, func(o *Options) { o.InitialRebalanceDelay = time.Second })
	ids, gen := h.stableGroup("g", members)
	b.ReportAllocs()
	for b.Loop() {
		h.calls, h.log.records = nil, nil
		for _, id := range ids {
			h.send(joinReq("g", id))
		}
		gen++
		h.syncAll("g", gen, ids)
	}
	b.ReportMetric(members, "members")
}
