package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/tools/freeport"
	"github.com/ringmq/ringmq/tools/waittest"
)

// fixedPorts are settings with which a node comes back at the same address after a restart.
func fixedPorts(t *testing.T) []string {
	t.Helper()
	var addrs []string
	for range 2 {
		port, err := freeport.Get()
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return []string{"listeners=PLAINTEXT://" + addrs[0] + ",CONTROLLER://" + addrs[1], "controller.quorum.voters=1@" + addrs[1]}
}

// TestIdempotentProducerAcrossRestarts produces, with several requests in flight as is kgo's way, while the broker is restarted, twice, and wants
// each record once, in order, at the offset that was acknowledged.
func TestIdempotentProducerAcrossRestarts(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{Overrides: fixedPorts(t)})
	createTopic(t, n, "once", 1, nil)
	ctx := testContext(t)
	cl := newClient(t, n, kgo.DefaultProduceTopic("once"), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(2000), kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	var acknowledged atomic.Int64
	var offsets sync.Map
	stop := make(chan struct{})
	sent := make(chan int)
	go func() {
		i := 0
		defer func() { sent <- i }()
		for ; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if i%200 == 199 {
				time.Sleep(time.Millisecond) // a pace, not a condition: batches form and requests overlap
			}
			value := fmt.Sprintf("record %d %0100d", i, i)
			cl.Produce(ctx, kgo.StringRecord(value), func(r *kgo.Record, err error) {
				if err != nil {
					t.Errorf("record %d: %v", i, err)
					return
				}
				offsets.Store(r.Offset, value)
				acknowledged.Add(1)
			})
		}
	}()
	waitFor := func(more int64) {
		t.Helper()
		want := acknowledged.Load() + more
		waittest.Until(t, time.Minute, "records are acknowledged", func() bool { return acknowledged.Load() >= want })
	}
	for range 2 {
		waitFor(1000)
		n = n.Restart()
	}
	waitFor(1000)
	close(stop)
	total := <-sent
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	reader := newClient(t, n, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"once": {0: kgo.NewOffset().AtStart()}}))
	next := 0
	for next < total {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("after %d of %d records: %v", next, total, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if want := fmt.Sprintf("record %d %0100d", next, next); string(r.Value) != want {
				t.Fatalf("offset %d: %.20s, want %.20s", r.Offset, r.Value, want)
			}
			if at, ok := offsets.Load(r.Offset); !ok || at != string(r.Value) {
				t.Fatalf("offset %d was acknowledged for %.20v", r.Offset, at)
			}
			next++
		})
	}
	if end := int64(total); acknowledged.Load() != end {
		t.Fatalf("%d acknowledgements for %d records", acknowledged.Load(), end)
	}
}

// TestCooperativeGroup lets a second member join and leave a group that rebalances step by step, and wants every record consumed at least once,
// with the partitions shared meanwhile.
func TestCooperativeGroup(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{Overrides: []string{"group.min.session.timeout.ms=500"}})
	createTopic(t, n, "shared", 6, nil)
	ctx := testContext(t)
	type member struct {
		cl   *kgo.Client
		mu   sync.Mutex
		owns map[int32]bool
	}
	seen := struct {
		sync.Mutex
		values map[string]int
	}{values: map[string]int{}}
	var polls sync.WaitGroup
	join := func() *member {
		m := &member{owns: map[int32]bool{}}
		note := func(own bool) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
				m.mu.Lock()
				defer m.mu.Unlock()
				for _, p := range lost["shared"] {
					if own {
						m.owns[p] = true
					} else {
						delete(m.owns, p)
					}
				}
			}
		}
		m.cl = newClient(t, n, kgo.ConsumerGroup("cooperative"), kgo.ConsumeTopics("shared"), kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.HeartbeatInterval(50*time.Millisecond), kgo.SessionTimeout(2*time.Second), kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsRevoked(note(false)), kgo.OnPartitionsLost(note(false)))
		polls.Go(func() {
			for {
				fetches := m.cl.PollFetches(ctx)
				if fetches.IsClientClosed() || ctx.Err() != nil {
					return
				}
				seen.Lock()
				fetches.EachRecord(func(r *kgo.Record) { seen.values[string(r.Value)]++ })
				seen.Unlock()
			}
		})
		return m
	}
	count := func(m *member) int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.owns)
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		waittest.Until(t, time.Minute, what, ok)
	}
	one := join()
	await("one member owns all", func() bool { return count(one) == 6 })
	want := produce(t, n, "shared", 6, 300, 10)
	two := join()
	await("two members share", func() bool { return count(one) == 3 && count(two) == 3 })
	more := produce(t, n, "shared", 6, 300, 20)
	two.cl.Close()
	await("one member owns all again", func() bool { return count(one) == 6 })
	for p := range want {
		want[p] = append(want[p], more[p]...)
	}
	await("everything was consumed", func() bool {
		seen.Lock()
		defer seen.Unlock()
		return len(seen.values) == 600
	})
	if err := one.cl.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	described, err := kadm.NewClient(newClient(t, n)).DescribeGroups(ctx, "cooperative")
	if err != nil {
		t.Fatal(err)
	}
	if g := described["cooperative"]; g.State != "Stable" || g.Protocol != "cooperative-sticky" || len(g.Members) != 1 || g.ProtocolType != "consumer" {
		t.Fatalf("described: %+v", g)
	}
	one.cl.Close()
	polls.Wait()
	for p := range want {
		for _, v := range want[p] {
			if seen.values[string(v)] == 0 {
				t.Fatalf("%.30s was not consumed", v)
			}
		}
	}
}

// TestAdminClient calls what kadm has for the served APIs.
func TestAdminClient(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	ctx := testContext(t)
	adm := kadm.NewClient(newClient(t, n))
	fail := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	created, err := adm.CreateTopics(ctx, 2, -1, nil, "a", "b")
	fail("create", err)
	fail("create", created.Error())
	validated, err := adm.ValidateCreateTopics(ctx, 2, 1, nil, "c")
	fail("validate", err)
	fail("validate", validated.Error())
	produce(t, n, "a", 2, 100, 10)

	brokers, err := adm.ListBrokers(ctx)
	if fail("brokers", err); len(brokers) != 1 {
		t.Errorf("%d brokers", len(brokers))
	}
	_, err = adm.BrokerMetadata(ctx)
	fail("broker metadata", err)
	versions, err := adm.ApiVersions(ctx)
	fail("api versions", err)
	versions.Each(func(v kadm.BrokerApiVersions) { fail("api versions", v.Err) })
	ends, err := adm.ListEndOffsets(ctx, "a")
	fail("end offsets", err)
	if o, _ := ends.Lookup("a", 0); o.Offset != 50 || o.Err != nil {
		t.Errorf("end offset %+v", o)
	}
	_, err = adm.ListCommittedOffsets(ctx, "a")
	fail("committed offsets", err)
	starts, err := adm.ListStartOffsets(ctx, "a")
	fail("start offsets", err)
	fail("start offsets", starts.Error())
	dirs, err := adm.DescribeAllLogDirs(ctx, nil)
	fail("log dirs", err)
	if dirs[1].Size() == 0 {
		t.Error("the log directory has no size")
	}
	epochs := kadm.OffsetForLeaderEpochRequest{}
	epochs.Add("a", 0, 0)
	_, err = adm.OffetForLeaderEpoch(ctx, epochs)
	fail("leader epochs", err)
	configs, err := adm.DescribeBrokerConfigs(ctx, 1)
	if fail("broker configs", err); len(configs[0].Configs) < 100 {
		t.Errorf("%d broker configs", len(configs[0].Configs))
	}
	value := "100000"
	altered, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, "a", "b")
	fail("alter configs", err)
	for _, r := range altered {
		fail("alter "+r.Name, r.Err)
	}
	altered, err = adm.AlterTopicConfigsState(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, "a")
	fail("replace configs", err)
	fail("replace configs", altered[0].Err)
	brokerAltered, err := adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.retention.bytes", Value: &value}}, 1)
	fail("alter broker", err)
	fail("alter broker", brokerAltered[0].Err)
	grown, err := adm.UpdatePartitions(ctx, 4, "b")
	fail("partitions", err)
	fail("partitions", grown.Error())
	moving, err := adm.ListPartitionReassignments(ctx, nil)
	if fail("reassignments", err); len(moving) != 0 {
		t.Errorf("reassignments %v", moving)
	}

	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "a", Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "m"})
	fail("commit", adm.CommitAllOffsets(ctx, "g", offsets))
	fetched, err := adm.FetchOffsets(ctx, "g")
	fail("fetch offsets", err)
	if o, _ := fetched.Lookup("a", 0); o.At != 7 || o.Metadata != "m" {
		t.Errorf("committed %+v", o)
	}
	many := adm.FetchManyOffsets(ctx, "g", "h")
	fail("many offsets", many.Error())
	lags, err := adm.Lag(ctx, "g")
	fail("lag", err)
	if l := lags["g"]; l.Error() != nil || l.Lag.Total() < 43 {
		t.Errorf("lag %+v", l)
	}
	groups, err := adm.ListGroups(ctx)
	fail("groups", err)
	if !slices.Contains(groups.Groups(), "g") {
		t.Errorf("groups %v", groups.Groups())
	}
	found := adm.FindGroupCoordinators(ctx, "g", "h")
	fail("coordinators", found.Error())
	dropped, err := adm.DeleteOffsets(ctx, "g", kadm.TopicsSet{"a": {0: {}}})
	fail("delete offsets", err)
	fail("delete offsets", dropped.Error())
	if gone, err := adm.DeleteGroups(ctx, "nobody"); err != nil || gone["nobody"].Err != kerr.GroupIDNotFound {
		t.Errorf("delete an unknown group: %v %v", err, gone)
	}
	deleted, err := adm.DeleteTopics(ctx, "a", "b")
	fail("delete", err)
	fail("delete", deleted.Error())
	topics, err := adm.ListTopics(ctx)
	if fail("topics", err); topics.Has("b") { // the producer of a may have brought it back: it allows auto creation
		t.Errorf("topics %v", topics.Names())
	}
}

// TestCloseDoesNotWait closes a node with a fetch, a join and a sync under way that wait for minutes: all are answered.
func TestCloseDoesNotWait(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	x := &target{t, n.Seed(), n}
	topic, group := x.topic(1), x.name()
	x.coordinator(group)
	polling, joining := x.dial(), x.dial()
	fetch := fetchRequest(12, 5*time.Minute, 1)
	addFetch(fetch, topic, [16]byte{}, 0, 0, 1<<20)
	polling.send(frame(fetch, 1))

	// The first member is in the group; the second one's join waits for the first to join again.
	join := func() *kmsg.JoinGroupRequest {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 3, group, "test", 300_000, 300_000
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: "p"})
		return req
	}
	if code := ask[*kmsg.JoinGroupResponse](x, join()).ErrorCode; code != 0 {
		t.Fatalf("join: %d", code)
	}
	second := join()
	joining.send(frame(second, 2))
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Version, describe.Groups = 5, []string{group}
	x.eventually("the second join waits", func() bool {
		return ask[*kmsg.DescribeGroupsResponse](x, describe).Groups[0].State == "PreparingRebalance"
	})
	begun := time.Now()
	n.Stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the node took %v to stop", took)
	}
	if p := polling.response(fetch, 1).(*kmsg.FetchResponse); p.ErrorCode != 0 {
		t.Errorf("the fetch: %d", p.ErrorCode)
	}
	if r := joining.response(second, 2).(*kmsg.JoinGroupResponse); r.ErrorCode != kerr.NotCoordinator.Code {
		t.Errorf("the join: %d, want NOT_COORDINATOR", r.ErrorCode)
	}
}
