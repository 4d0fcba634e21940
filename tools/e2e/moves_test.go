package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// TestReassignPartitionsTool: kafka-reassign-partitions and kafka-leader-election, with the texts of Apache Kafka 4.3.1. What was written before is read after.
func TestReassignPartitionsTool(t *testing.T) {
	kit := javakit.ForTest(t)
	q := startQuorum(t, "controller", 4, 5)
	adm := q.client(4)
	write := func(name, content string) string {
		path := filepath.Join(q.dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := adm.CreateTopic(t.Context(), 2, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	to := func(first, second string) string {
		return fmt.Sprintf(`{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[%s]},{"topic":"t","partition":1,"replicas":[%s]}]}`, first, second)
	}
	run := func(exit int, want []string, more ...string) {
		t.Helper()
		q.tool(kit, exit, "kafka-reassign-partitions", append([]string{"--bootstrap-server", q.nodes[4].Seed()}, more...), want...)
	}
	cl := kgoOf(t, q.nodes[5].Seed())
	for i := range 10 {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	all5 := write("to5", to("5", "5"))
	run(0, []string{"Current partition replica assignment", `Proposed partition reassignment configuration\n.*"replicas":\[5\].*"replicas":\[5\]`},
		"--generate", "--topics-to-move-json-file", write("topics", `{"version":1,"topics":[{"topic":"t"}]}`), "--broker-list", "5")
	run(0, []string{"Successfully started partition reassignments for t-0,t-1"}, "--execute", "--reassignment-json-file", all5)
	q.settled(5, 2)
	run(0, []string{"Reassignment of partition t-0 is completed.", "Reassignment of partition t-1 is completed."}, "--verify", "--reassignment-json-file", all5)
	run(0, []string{"No partition reassignments found."}, "--list")
	run(1, []string{"but this cluster keeps one copy of a partition"}, "--execute", "--reassignment-json-file", write("both", to("4,5", "5")))
	q.tool(kit, 0, "kafka-leader-election", []string{"--bootstrap-server", q.nodes[4].Seed(), "--election-type", "preferred", "--all-topic-partitions"})

	// A target that does not answer: the partition stays where it is, and the move can be cancelled.
	if err := q.nodes[4].Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	one := write("one", `{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[4]}]}`)
	at5 := func(exit int, want string, more ...string) {
		t.Helper()
		q.tool(kit, exit, "kafka-reassign-partitions", append([]string{"--bootstrap-server", q.nodes[5].Seed()}, more...), want)
	}
	at5(0, "Successfully started partition reassignment for t-0", "--execute", "--reassignment-json-file", one)
	at5(0, `t-0: replicas: 4,5. adding: 4. removing: 5.`, "--list")
	at5(0, "Successfully cancelled partition reassignment for: t-0", "--cancel", "--preserve-throttles", "--reassignment-json-file", one)
	at5(0, "No partition reassignments found.", "--list")
	if err := q.nodes[4].Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(q.nodes[5].Seed()), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	seen := map[string]bool{}
	for len(seen) < 10 {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if seen[string(r.Value)] {
				t.Errorf("%s twice", r.Value)
			}
			seen[string(r.Value)] = true
		})
	}
}

// settled waits until a broker leads n partitions of topic t.
func (q *quorum) settled(broker int32, n int) {
	q.t.Helper()
	adm := q.client(4)
	waittest.UntilNil(q.t, 30*time.Second, fmt.Sprintf("broker %d leads %d partitions", broker, n), func() error {
		topics, err := adm.ListTopics(q.t.Context(), "t")
		led := 0
		for _, p := range topics["t"].Partitions {
			if p.Leader == broker {
				led++
			}
		}
		if err == nil && led != n {
			err = fmt.Errorf("it leads %d", led)
		}
		return err
	})
}
