package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/javakit"
)

// TestTransactionTools: the Java producer in transactions, readers of committed records, kafka-transactions, and Kafka's own reading of __transaction_state.
func TestTransactionTools(t *testing.T) {
	kit := javakit.ForTest(t)
	n := startNode(t, t.TempDir(), []string{"transaction.state.log.num.partitions=3", "num.partitions=3"})
	k := tools{t, kit, n.Seed()}
	out := k.run("kafka-producer-perf-test", "", []string{
		"--topic", "perf", "--num-records", "20000", "--record-size", "100", "--throughput", "-1", "--transactional-id", "java", "--transaction-duration-ms", "100",
	}, "20000 records sent")
	t.Log(lastLine(out))
	out = k.run("kafka-console-consumer", "", []string{"--topic", "perf", "--from-beginning", "--isolation-level", "read_committed", "--max-messages", "20000", "--timeout-ms", "60000"})
	if got := strings.Count(out, "\n"); got != 20000 {
		t.Errorf("%d records of committed transactions", got)
	}
	k.run("kafka-console-consumer", "", []string{
		"--topic", "__transaction_state", "--from-beginning", "--timeout-ms", "10000", "--max-messages", "3",
		"--formatter", "org.apache.kafka.tools.consumer.TransactionLogMessageFormatter",
	}, `"transactionalId":"java"`, `"transactionStatus"`, `"clientTransactionVersion":2`)

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Seed()), kgo.TransactionalID("open"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(10*time.Minute), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(20))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "hanging", Value: []byte("never")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	k.run("kafka-transactions", "", []string{"list"}, "java", "CompleteCommit", "open", "Ongoing")
	k.run("kafka-transactions", "", []string{"describe", "--transactional-id", "open"}, "Ongoing", "hanging-0")
	k.run("kafka-transactions", "", []string{"describe-producers", "--topic", "hanging", "--partition", "0"}, "CurrentTransactionStartOffset")
	k.run("kafka-transactions", "", []string{"find-hanging", "--broker-id", "1"})
	plain, err := kgo.NewClient(kgo.SeedBrokers(n.Seed()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := plain.ProduceSync(ctx, &kgo.Record{Topic: "hanging", Value: []byte("after")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	k.run("kafka-transactions", "", []string{"abort", "--topic", "hanging", "--partition", "0", "--start-offset", "0"})
	if out := k.run("kafka-console-consumer", "", []string{"--topic", "hanging", "--from-beginning", "--isolation-level", "read_committed", "--max-messages", "1", "--timeout-ms", "30000"}); out != "after\n" {
		t.Errorf("behind the aborted transaction: %q", out)
	}
}

// copier moves the records of one topic to another, exactly once: consume, produce and commit in one transaction, again and again, whatever fails.
type copier struct {
	seeds []string
	name  string
}

func (c copier) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.session(ctx)
	}
}

// session copies until something fails for good.
func (c copier) session(ctx context.Context) {
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(c.seeds...), kgo.TransactionalID("copy-"+c.name), kgo.TransactionTimeout(5*time.Second), kgo.ConsumerGroup("copiers"), kgo.ConsumeTopics("from"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic("to"),
		kgo.SessionTimeout(6*time.Second), kgo.FetchMaxWait(100*time.Millisecond), kgo.RecordDeliveryTimeout(5*time.Second), kgo.RetryTimeout(5*time.Second))
	if err != nil {
		return
	}
	defer s.Close()
	for ctx.Err() == nil {
		fetches := s.PollRecords(ctx, 20)
		if fetches.NumRecords() == 0 {
			continue
		}
		if s.Begin() != nil {
			return
		}
		promise := kgo.AbortingFirstErrPromise(s.Client())
		fetches.EachRecord(func(r *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value}, promise.Promise())
		})
		bad := promise.Err() != nil
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		_, err := s.End(end, kgo.TransactionEndTry(!bad))
		cancel()
		if err != nil {
			return
		}
	}
}

// exactlyOnce copies records with two copiers, and wants each of them in the copy once. Each time that as many records have been read as at says, disturb
// is called.
func exactlyOnce(t *testing.T, records int, seeds []string, at []int, disturb func()) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.DefaultProduceTopic("from"), kgo.RetryTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, topic := range []string{"from", "to"} {
		if _, err := kadm.NewClient(cl).CreateTopic(ctx, 6, -1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	var input []*kgo.Record
	for i := range records {
		input = append(input, &kgo.Record{Key: []byte(strconv.Itoa(i)), Value: []byte(strconv.Itoa(i))})
	}
	if err := cl.ProduceSync(ctx, input...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	copying, stop := context.WithCancel(ctx)
	ended := make(chan struct{}, 2)
	for i := range 2 {
		go func() {
			copier{seeds, fmt.Sprint(i)}.run(copying)
			ended <- struct{}{}
		}()
	}
	defer func() { stop(); <-ended; <-ended }()

	reader, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumeTopics("to"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	seen := make(map[string]int)
	for len(seen) < records {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records were copied in time", len(seen), records)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if seen[string(r.Value)]++; seen[string(r.Value)] > 1 {
				t.Errorf("record %s was copied twice, now to partition %d offset %d", r.Value, r.Partition, r.Offset)
			}
		})
		for len(at) > 0 && len(seen) >= at[0] {
			if at = at[1:]; len(seen) == records {
				t.Error("everything was copied before the disturbance")
			}
			disturb()
		}
	}
}

// TestExactlyOnceKilled: kill -9 while transactions run, and every record is copied once: statement 205 of the contract.
func TestExactlyOnceKilled(t *testing.T) {
	n := startNode(t, t.TempDir(), []string{"transaction.state.log.num.partitions=3", "transaction.abort.timed.out.transaction.cleanup.interval.ms=500", "group.min.session.timeout.ms=1000"})
	exactlyOnce(t, 4000, []string{n.Seed()}, []int{200, 1000, 2000}, func() {
		n.Kill()
		restart(t, n)
	})
}

// TestExactlyOnceAcrossBrokers: coordinators, partitions and groups on different brokers.
func TestExactlyOnceAcrossBrokers(t *testing.T) {
	q := startQuorum(t, "controller", 4, 5, 6)
	var seeds []string
	for id := 4; id <= 6; id++ {
		seeds = append(seeds, q.nodes[id].Seed())
	}
	exactlyOnce(t, 2000, seeds, nil, nil)
}

// TestExactlyOnceBrokersKilled: each broker in turn is killed, and with it coordinators of transactions, partitions that they write to, and the group.
func TestExactlyOnceBrokersKilled(t *testing.T) {
	q := startQuorumWith(t, func(int) []string {
		return []string{"transaction.state.log.num.partitions=6", "transaction.abort.timed.out.transaction.cleanup.interval.ms=500", "group.min.session.timeout.ms=1000"}
	}, "controller", 4, 5, 6)
	var seeds []string
	for id := 4; id <= 6; id++ {
		seeds = append(seeds, q.nodes[id].Seed())
	}
	victim := 4
	exactlyOnce(t, 3000, seeds, []int{200, 1000, 1800}, func() {
		q.nodes[victim].Kill()
		restart(t, q.nodes[victim])
		victim++
	})
}
