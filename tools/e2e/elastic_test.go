package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/verify"
	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// TestElasticCluster: a broker is added and gets partitions, and another one is drained by SIGTERM, while a producer and a group run that
// must not see an error; Kafka's producer tool runs through it as well. Afterwards every acknowledged record is at its offset, once.
func TestElasticCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: brokers that come and go under load, which runs a cluster")
	}
	kit := javakit.ForTest(t)
	c := newCluster(t, false)
	url := c.s3url()
	c.startAll(c.generate("generate-start-command", url, c.list(9093, 1, 2, 3), c.list(9092, 4, 5), "--controller-only-mode"))
	seeds := []string{c.addr(4, 9092), c.addr(5, 9092), c.addr(6, 9092)}
	k := tools{t, kit, c.addr(4, 9092)}
	const partitions = 12
	for _, topic := range []string{"verified", "perf"} {
		k.run("kafka-topics", "", []string{"--create", "--topic", topic, "--partitions", fmt.Sprint(partitions)}, "Created topic")
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ledger := verify.NewLedger(partitions)
	var stall atomic.Int64
	var work sync.WaitGroup
	work.Go(func() {
		load := verify.Load{Seeds: seeds, Topic: "verified", RecordBytes: 200, Rate: 500}
		if err := verify.Produce(ctx, load, ledger, 30*time.Second, &stall); err != nil {
			t.Errorf("the producer: %v", err)
		}
	})
	var consumed atomic.Int64
	work.Go(func() {
		if err := follow(ctx, seeds, "verified", &consumed); err != nil {
			t.Errorf("the group: %v", err)
		}
	})
	work.Go(func() {
		out := k.run("kafka-producer-perf-test", "", []string{"--topic", "perf", "--num-records", "4500", "--record-size", "1024", "--throughput", "300", "--command-property", "acks=all"}, "4500 records sent")
		if strings.Contains(out, "rror") || strings.Contains(out, "xception") {
			t.Errorf("Kafka's producer tool: %s", out)
		}
		t.Log(lastLine(out))
	})
	progress := func() {
		t.Helper()
		_, acked := ledger.Counts()
		c.until("the producer and the group go on", func() bool {
			_, now := ledger.Counts()
			return now > acked+500 && consumed.Load() > acked
		})
	}
	progress()

	// One more.
	for _, command := range startCommand.FindAllString(c.generate("generate-start-command", url, c.list(9093, 1, 2, 3), c.list(9092, 4, 5, 6), "--controller-only-mode"), -1) {
		if nodeID.FindStringSubmatch(command)[1] == "5" {
			c.start(5, command)
		}
	}
	c.ready(5)
	plan := filepath.Join(c.dir, "plan.json")
	var moves []string
	for i := range partitions {
		moves = append(moves, fmt.Sprintf(`{"topic":"verified","partition":%d,"replicas":[%d]},{"topic":"perf","partition":%d,"replicas":[%d]}`, i, 3+i%3, i, 3+(i+1)%3))
	}
	if err := os.WriteFile(plan, []byte(`{"version":1,"partitions":[`+strings.Join(moves, ",")+`]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	k.run("kafka-reassign-partitions", "", []string{"--reassignment-json-file", plan, "--execute"}, "Successfully started partition reassignments")
	c.until("the new broker leads its share", func() bool {
		return c.leads(ctx, "verified", 5) == partitions/3 && c.leads(ctx, "perf", 5) == partitions/3
	})
	progress()

	// One less.
	c.stop(4)
	if n := c.leads(ctx, "verified", 4); n != 0 {
		t.Errorf("the drained broker leads %d partitions", n)
	}
	progress()
	if t.Failed() {
		return
	}
	cancel()
	work.Wait()
	report, err := verify.Check(t.Context(), []string{c.addr(4, 9092), c.addr(6, 9092)}, "verified", ledger)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	sent, acked := ledger.Counts()
	t.Logf("%d records sent, %d acknowledged, %d consumed in the group, longest time without an acknowledgement %s", sent, acked, consumed.Load(), time.Duration(stall.Load()).Round(time.Millisecond))
}

// follow consumes a topic in a group until the context ends; any error but the end is returned.
func follow(ctx context.Context, seeds []string, topic string, consumed *atomic.Int64) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumerGroup("followers"), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitInterval(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetched := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var errs error
		fetched.EachError(func(topic string, partition int32, err error) {
			errs = errors.Join(errs, fmt.Errorf("%s-%d: %w", topic, partition, err))
		})
		if errs != nil {
			return errs
		}
		consumed.Add(int64(fetched.NumRecords()))
	}
}

// until waits for a condition.
func (c *cluster) until(what string, ok func() bool) {
	c.Helper()
	waittest.Until(c, time.Minute, what, ok)
}

// leads counts the partitions of a topic that clients are told a node leads; -1 when nobody can say.
func (c *cluster) leads(ctx context.Context, topic string, node int32) int {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.addr(4, 9092)))
	if err != nil {
		c.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	req.Topics = append(req.Topics, asked)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil || len(resp.Topics) != 1 {
		return -1
	}
	n := 0
	for _, p := range resp.Topics[0].Partitions {
		if p.Leader == node {
			n++
		}
	}
	return n
}
