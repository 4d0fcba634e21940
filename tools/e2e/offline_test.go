package e2e

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// TestUnavailablePartitionsTool: the partition of a broker that was killed is what kafka-topics shows as unavailable, in the words of Apache Kafka 4.3.1, and is not
// once it is back.
func TestUnavailablePartitionsTool(t *testing.T) {
	kit := javakit.ForTest(t)
	q := startQuorumWith(t, func(int) []string {
		return []string{"broker.session.timeout.ms=2000", "broker.heartbeat.interval.ms=300"}
	}, "controller", 4, 5)
	adm := q.client(4)
	if _, err := adm.CreateTopic(t.Context(), 2, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	cl := kgoOf(t, q.nodes[4].Seed())
	for p := range int32(2) { // both streams are open, and have a tail
		r := &kgo.Record{Topic: "t", Partition: p, Value: []byte("x")}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	leader := func() (away, at5 int) {
		listed, err := adm.ListTopics(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range listed["t"].Partitions {
			switch p.Leader {
			case -1:
				away++
			case 5:
				at5++
			}
		}
		return away, at5
	}
	_, led := leader()
	if led == 0 {
		t.Fatal("broker 5 leads nothing")
	}
	q.nodes[5].Kill()
	waittest.Until(t, time.Minute, "the broker is fenced", func() bool { away, _ := leader(); return away == led })
	args := []string{"--bootstrap-server", q.nodes[4].Seed(), "--describe", "--unavailable-partitions"}
	q.tool(kit, 0, "kafka-topics", args, `Topic: t\tPartition: [01]\tLeader: none\tReplicas: 5\tIsr: \tElr: 5\tLastKnownElr: 5`)
	restart(t, q.nodes[5])
	if out := q.tool(kit, 0, "kafka-topics", args); out != "" {
		t.Errorf("after its return: %s", out)
	}
}
