package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/tools/waittest"
)

const (
	fireTopic  = "t"
	fireGroups = 20
	fireTxns   = 4
	fireKeys   = 40
)

// fireSettings have the cleaner at work all the time, and let it read and write so little in a second that a cleaning takes long.
var fireSettings = []string{
	"s3.wal.upload.interval.ms=100", "log.cleaner.backoff.ms=10", "log.cleaner.min.cleanable.ratio=0.01", "log.cleaner.io.max.bytes.per.second=300000",
	"offsets.topic.num.partitions=1", "transaction.state.log.num.partitions=1", "s3.wal.capacity=134217728", "group.initial.rebalance.delay.ms=0",
}

// fire writes keys, offsets and transactions, and knows what there has to be.
type fire struct {
	*testing.T
	adm    *kadm.Client
	cl     *kgo.Client
	txns   []*kgo.Client
	rng    *rand.Rand
	rounds int

	values map[string]string // of keys that are there
}

func startFire(t *testing.T, seeds ...string) *fire {
	f := &fire{T: t, rng: rand.New(rand.NewPCG(1, 2)), values: make(map[string]string)}
	f.cl = f.client(seeds)
	f.adm = kadm.NewClient(f.cl)
	f.must(f.adm.CreateTopic(t.Context(), 1, 1, nil, fireTopic))
	for i := range fireTxns {
		f.txns = append(f.txns, f.client(seeds, kgo.TransactionalID(fmt.Sprint("tx-", i))))
	}
	f.round() // makes the internal topics
	young := []kadm.AlterConfig{{Name: "segment.ms", Value: kadm.StringPtr("50")}, {Name: "cleanup.policy", Value: kadm.StringPtr("compact")}}
	f.mustAlter(f.adm.AlterTopicConfigs(t.Context(), young, fireTopic, "__consumer_offsets", "__transaction_state"))
	return f
}

// cleanFaster takes the bound off the cleaner. With it, rounds that follow each other at once write more than it cleans, and a cleaning of what they have written does not end.
func (f *fire) cleanFaster() {
	f.Helper()
	f.mustAlter(f.adm.AlterBrokerConfigs(f.Context(), []kadm.AlterConfig{{Name: "log.cleaner.io.max.bytes.per.second", Value: kadm.StringPtr("1e9")}}))
}

func (f *fire) client(seeds []string, opts ...kgo.Opt) *kgo.Client {
	f.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(100 * time.Millisecond), kgo.DefaultProduceTopic(fireTopic)}, opts...)...)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(cl.Close)
	return cl
}

// must is for calls that have to succeed.
func (f *fire) must(_ any, err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fire) mustAlter(altered kadm.AlterConfigsResponses, err error) {
	f.Helper()
	f.must(nil, err)
	for _, a := range altered {
		f.must(nil, a.Err)
	}
}

// put writes a value for a key, or a tombstone.
func put(ctx context.Context, cl *kgo.Client, key, value string) error {
	r := &kgo.Record{Key: []byte(key)}
	if value != "" {
		r.Value = []byte(value)
	}
	return cl.ProduceSync(ctx, r).FirstErr()
}

// round writes once all around. When it returns, all is acknowledged.
func (f *fire) round() {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	f.rounds++
	for range 20 {
		key, value := fmt.Sprint("key-", f.rng.IntN(fireKeys)), fmt.Sprint("value-", f.rounds, "-", f.rng.IntN(1000))
		if f.rng.IntN(4) == 0 {
			value = ""
		}
		f.must(nil, put(ctx, f.cl, key, value))
		f.set(key, value)
	}
	for i, cl := range f.txns {
		key, value, commit := fmt.Sprint("tx-", i), fmt.Sprint("value-", f.rounds), f.rng.IntN(3) > 0
		f.must(nil, cl.BeginTransaction())
		f.must(nil, put(ctx, cl, key, value))
		f.must(nil, cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
		if commit {
			f.set(key, value)
		}
	}
	for g := range fireGroups {
		offsets := make(kadm.Offsets)
		offsets.AddOffset(fireTopic, 0, int64(f.rounds*100+g), -1)
		f.must(nil, f.adm.CommitAllOffsets(ctx, fmt.Sprint("group-", g), offsets))
	}
	gone := fmt.Sprint("gone-", f.rounds)
	offsets := make(kadm.Offsets)
	offsets.AddOffset(fireTopic, 0, 1, -1)
	f.must(nil, f.adm.CommitAllOffsets(ctx, gone, offsets))
	deleted, err := f.adm.DeleteGroup(ctx, gone)
	f.must(deleted, err)
	f.must(nil, deleted.Err)
}

func (f *fire) set(key, value string) {
	if value == "" {
		delete(f.values, key)
		return
	}
	f.values[key] = value
}

// answers is what the broker answers about its groups and transactions.
type answers struct {
	groups  map[string]int64
	txns    map[string]string
	present map[string]string // the topic
}

// ask asks until every transaction has come to its end.
func (f *fire) ask() (a answers) {
	f.Helper()
	waittest.UntilNil(f, time.Minute, "answers", func() error {
		ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
		defer cancel()
		a = answers{make(map[string]int64), make(map[string]string), make(map[string]string)}
		groups, err := f.adm.ListGroups(ctx)
		if err != nil {
			return err
		}
		for _, o := range f.adm.FetchManyOffsets(ctx, groups.Groups()...) {
			if o.Err != nil {
				return o.Err
			}
			o.Fetched.Each(func(r kadm.OffsetResponse) { a.groups[o.Group] = r.At })
		}
		described, err := f.adm.DescribeTransactions(ctx)
		if err != nil {
			return err
		}
		for _, d := range described {
			if d.Err != nil || d.State != "CompleteCommit" && d.State != "CompleteAbort" {
				return fmt.Errorf("%s: %s %w", d.TxnID, d.State, d.Err)
			}
			a.txns[d.TxnID] = fmt.Sprint(d.State, " producer ", d.ProducerID, " epoch ", d.ProducerEpoch)
		}
		read, err := f.read(ctx)
		a.present = read.values
		return err
	})
	return a
}

// content is what a consumer of committed records finds in the topic.
type content struct {
	values              map[string]string // the last of every key that has one
	records, tombstones int
}

// read reads the topic to its end.
func (f *fire) read(ctx context.Context) (content, error) {
	out := content{values: make(map[string]string)}
	ends, err := f.adm.ListEndOffsets(ctx, fireTopic)
	if err != nil {
		return out, err
	}
	end, _ := ends.Lookup(fireTopic, 0)
	reader, err := kgo.NewClient(append(f.cl.Opts(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{fireTopic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		return out, err
	}
	defer reader.Close()
	for at := int64(0); at < end.Offset; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return out, fmt.Errorf("at %d of %d: %w", at, end.Offset, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < at {
				f.Errorf("offset %d comes after %d", r.Offset, at)
			}
			at = r.Offset + 1
			switch {
			case r.Attrs.IsControl():
			case r.Value == nil:
				out.records, out.tombstones = out.records+1, out.tombstones+1
				delete(out.values, string(r.Key))
			default:
				out.records++
				out.values[string(r.Key)] = string(r.Value)
			}
		})
	}
	return out, nil
}

// verify judges what is there, which was asked for before and after something happened.
func (f *fire) verify(what string, before answers) {
	f.Helper()
	after := f.ask()
	if !maps.Equal(after.present, f.values) {
		f.Fatalf("%s: the topic has %v, written was %v", what, after.present, f.values)
	}
	if !reflect.DeepEqual(before, after) {
		f.Fatalf("%s: the broker answers\n%+v\nbefore it answered\n%+v", what, after, before)
	}
	if len(after.groups) != fireGroups || after.groups["group-3"] != int64(f.rounds*100+3) || len(after.txns) != fireTxns {
		f.Fatalf("%s: %+v", what, after)
	}
}

// cleanings counts the cleanings of a topic that have come to their end, of all lives of a node.
func cleanings(t *testing.T, n *proc.RingMQ, topic string) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(n.Dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	return len(waittest.LinesWith(string(log), "compacted a partition", "topic="+topic+" "))
}

var fireTopics = []string{fireTopic, "__consumer_offsets", "__transaction_state"}

// TestKillWhileCleaning: the broker is killed again and again while it compacts a topic, the groups' offsets and the transactions. Afterwards it answers what it
// answered before: nothing acknowledged is lost, and no tombstone, group or transaction comes back.
func TestKillWhileCleaning(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: kills under load, which take ten seconds")
	}
	n := startNode(t, t.TempDir(), fireSettings)
	f := startFire(t, n.Seed())
	kills := 5
	if os.Getenv("RINGMQ_SOAK") != "" {
		kills = 60
	}
	for kill := range kills {
		for range 1 + f.rng.IntN(4) {
			f.round()
		}
		before := f.ask()
		n.Kill()
		restart(t, n)
		f.verify(fmt.Sprint("kill ", kill), before)
	}
	f.cleanFaster()
	for _, topic := range fireTopics {
		was := cleanings(t, n, topic)
		waittest.Until(t, time.Minute, topic+" is compacted", func() bool {
			f.round()
			return cleanings(t, n, topic) > was
		})
	}
	before := f.ask()
	n.Kill()
	restart(t, n)
	f.verify("the last kill", before)
}

// TestMoveWhileCleaning: partitions go to another broker and back while they are compacted.
func TestMoveWhileCleaning(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: a cluster under load, which takes ten seconds")
	}
	c, err := proc.NewCluster(binary, t.TempDir(), 2, append(slices.Clone(fireSettings), "autobalancer.controller.enable=false")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	f := startFire(t, c.Seeds()...)
	for i := range 6 {
		for range 1 + f.rng.IntN(3) {
			f.round()
		}
		before := f.ask()
		to := int32(1 + i%2)
		for _, topic := range fireTopics {
			f.move(topic, to)
		}
		f.verify(fmt.Sprint("move ", i), before)
	}
	f.cleanFaster()
	for _, topic := range fireTopics {
		waittest.Until(t, time.Minute, topic+" is compacted on both brokers", func() bool {
			for i, n := range c.Nodes {
				if cleanings(t, n, topic) == 0 {
					f.move(topic, int32(i+1))
					f.round()
					return false
				}
			}
			return true
		})
	}
	f.verify("in the end", f.ask())
}

// move moves the only partition of a topic, and waits until it is there.
func (f *fire) move(topic string, to int32) {
	f.Helper()
	waittest.UntilNil(f, time.Minute, fmt.Sprintf("%s moves to broker %d", topic, to), func() error {
		ctx, cancel := context.WithTimeout(f.Context(), 10*time.Second)
		defer cancel()
		var req kadm.AlterPartitionAssignmentsReq
		req.Assign(topic, 0, []int32{to})
		if _, err := f.adm.AlterPartitionAssignments(ctx, req); err != nil {
			return err
		}
		topics, err := f.adm.ListTopicsWithInternal(ctx, topic)
		if err != nil {
			return err
		}
		if p := topics[topic].Partitions[0]; p.Leader != to {
			return fmt.Errorf("broker %d leads", p.Leader)
		}
		return nil
	})
}

// TestCompactDelete: with compact,delete keys are compacted while they are young, a tombstone goes and its key does not come back, and all goes with its age;
// also through kills.
func TestCompactDelete(t *testing.T) {
	n := startNode(t, t.TempDir(), append(slices.Clone(fireSettings), "log.cleaner.io.max.bytes.per.second=1e9", "log.retention.check.interval.ms=200"))
	f := &fire{T: t, values: make(map[string]string)}
	f.cl = f.client([]string{n.Seed()})
	f.adm = kadm.NewClient(f.cl)
	f.must(f.adm.CreateTopic(t.Context(), 1, 1, map[string]*string{
		"cleanup.policy": kadm.StringPtr("compact,delete"), "segment.ms": kadm.StringPtr("50"), "delete.retention.ms": kadm.StringPtr("300"),
	}, fireTopic))
	write := func(key, value string) {
		t.Helper()
		f.must(nil, put(t.Context(), f.cl, key, value))
		f.set(key, value)
	}
	for i := range 50 {
		write(fmt.Sprint("key-", i%5), fmt.Sprint("value-", i))
	}
	write("key-0", "")
	compacted := func() error {
		write("key-1", fmt.Sprint("value-", time.Now().UnixNano())) // the cleaner looks at what is followed by something
		read, err := f.read(t.Context())
		switch {
		case err != nil:
			return err
		case !maps.Equal(read.values, f.values):
			t.Fatalf("the topic has %v, written was %v", read.values, f.values)
		case read.records > 10 || read.tombstones > 0:
			return fmt.Errorf("%d records, %d tombstones", read.records, read.tombstones)
		}
		return nil
	}
	waittest.UntilNil(t, time.Minute, "few records and no tombstone are left", compacted)
	n.Kill()
	restart(t, n)
	waittest.UntilNil(t, time.Minute, "few records and no tombstone are left after a kill", compacted)
	f.mustAlter(f.adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "retention.ms", Value: kadm.StringPtr("1")}}, fireTopic))
	ends, err := f.adm.ListEndOffsets(t.Context(), fireTopic)
	f.must(ends, err)
	end, _ := ends.Lookup(fireTopic, 0)
	deleted := func() error {
		starts, err := f.adm.ListStartOffsets(t.Context(), fireTopic)
		if o, _ := starts.Lookup(fireTopic, 0); err == nil && o.Offset < end.Offset {
			return fmt.Errorf("the log starts at %d of %d", o.Offset, end.Offset)
		}
		return err
	}
	waittest.UntilNil(t, time.Minute, "all is deleted", deleted)
	n.Kill()
	restart(t, n)
	waittest.UntilNil(t, time.Minute, "all is deleted after a kill", deleted)
}
