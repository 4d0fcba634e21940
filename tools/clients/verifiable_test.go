package clients

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// events counts what one of Kafka's verifiable programs has printed: a JSON object per line.
func (a *application) events(each func(map[string]any)) {
	text := a.output.String()
	text = text[:strings.LastIndexByte(text, '\n')+1] // what comes after is not complete yet
	for line := range strings.Lines(text) {
		var e map[string]any
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &e) == nil {
			each(e)
		}
	}
}

func (a *application) count(name string) (n int) {
	a.events(func(e map[string]any) {
		if e["name"] == name {
			n++
		}
	})
	return n
}

// TestVerifiable: Kafka's own verifiable producer and two verifiable consumers of a group, while the broker is killed and stopped in good order. Every record that was
// acknowledged is in the topic once, in order, and was consumed.
func TestVerifiable(t *testing.T) {
	wholeOnly(t)
	kit := javakit.ForTestOf(t, javakit.AppSet)
	n := startNode(t)
	const topic, records = "verifiable", 6000
	if _, err := kadm.NewClient(n.client(t)).CreateTopic(t.Context(), 2, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	consumer := func() *application {
		return startApplication(t, kit, javakit.Command{Tool: "kafka-verifiable-consumer", Args: []string{"--bootstrap-server", n.Seed(), "--topic", topic, "--group-id", "verifiers",
			"--reset-policy", "earliest", "--verbose", "--session-timeout", "6000"}})
	}
	consumers := []*application{consumer(), consumer()}
	for _, c := range consumers {
		c.waitFor("assignment", func() (bool, string) { return c.count("partitions_assigned") > 0, "" })
	}
	producer := startApplication(t, kit, javakit.Command{Tool: "kafka-verifiable-producer", Args: []string{"--bootstrap-server", n.Seed(), "--topic", topic,
		"--max-messages", fmt.Sprint(records), "--throughput", "600", "--acks", "-1", "--repeating-keys", "1"}})
	progress := func(least int) {
		t.Helper()
		producer.waitFor("acknowledgements", func() (bool, string) {
			got := producer.count("producer_send_success") + producer.count("producer_send_error")
			return got >= least, fmt.Sprint(got)
		})
	}
	progress(1000)
	n.Kill()
	n.start(t)
	progress(3000)
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.start(t)
	progress(records)
	<-producer.done
	acknowledged := map[string]bool{}
	producer.events(func(e map[string]any) {
		if e["name"] == "producer_send_success" {
			acknowledged[fmt.Sprint(e["value"])] = true
		}
	})
	// It does not send again: what is on its way when the broker is killed may be in the topic or not.
	if failed := records - len(acknowledged); failed > records/20 {
		t.Errorf("%d records were not acknowledged", failed)
	}
	values := map[string]int{}
	last := map[int32]int{}
	s := n.read(t, topic, func(r *kgo.Record) {
		values[string(r.Value)]++
		var v int
		if _, err := fmt.Sscan(string(r.Value), &v); err != nil {
			t.Fatalf("%q: %v", r.Value, err)
		}
		if before, ok := last[r.Partition]; ok && v <= before {
			t.Errorf("partition %d: %d after %d", r.Partition, v, before)
		}
		last[r.Partition] = v
	})
	if s.count != int64(len(values)) {
		t.Errorf("%d records, %d of them different", s.count, len(values))
	}
	for v := range acknowledged {
		if values[v] != 1 {
			t.Errorf("%s, which was acknowledged, is there %d times", v, values[v])
		}
	}
	consumed := func() map[string]bool {
		all := map[string]bool{}
		for _, c := range consumers {
			c.events(func(e map[string]any) {
				if e["name"] == "record_data" {
					all[fmt.Sprint(e["value"])] = true
				}
			})
		}
		return all
	}
	consumers[0].waitFor("consumption", func() (bool, string) { got := len(consumed()); return got == len(values), fmt.Sprint(got) })
	for _, c := range consumers {
		c.end()
	}
}

// TestTransactionalCopier: Kafka's TransactionalMessageCopier copies a partition in transactions, with a partner of the same transactional id killed in between and
// the broker killed too: the copy has every record of the input once.
func TestTransactionalCopier(t *testing.T) {
	wholeOnly(t)
	kit := javakit.ForTestOf(t, javakit.AppSet)
	n := startNode(t)
	ctx := t.Context()
	if _, err := kadm.NewClient(n.client(t)).CreateTopics(ctx, 1, 1, nil, "input", "output"); err != nil {
		t.Fatal(err)
	}
	cl := n.client(t, kgo.DefaultProduceTopic("input"))
	const records = 20000
	for i := range records {
		cl.Produce(ctx, kgo.KeyStringRecord(fmt.Sprint("key", i%100), fmt.Sprint("value ", i)), func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("input: %v", err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	copier := func() *application {
		return startApplication(t, kit, javakit.Command{Tool: "kafka-transactional-copier", Args: []string{"--broker-list", n.Seed(), "--transactional-id", "copier",
			"--consumer-group", "copiers", "--input-topic", "input", "--input-partition", "0", "--output-topic", "output", "--transaction-size", "200",
			"--transaction-timeout", "10000", "--enable-random-aborts", "--group-mode"}})
	}
	copied := func(least int64) {
		t.Helper()
		waittest.UntilNil(t, patience, fmt.Sprintf("%d records are copied", least), func() error {
			if got := n.read(t, "output", nil).count; got < least {
				return fmt.Errorf("%d", got)
			}
			return nil
		})
	}
	c := copier()
	copied(2000)
	c.end()
	c = copier()
	copied(6000)
	n.Kill()
	n.start(t)
	select { // the copier ends when it has copied everything, or for an error that a kill may cause
	case <-c.done:
	case <-time.After(time.Minute):
		c.end()
	}
	for n.read(t, "output", nil).count < records && ctx.Err() == nil {
		c = copier()
		select {
		case <-c.done:
		case <-time.After(time.Minute):
			c.end()
		}
	}
	want := 0
	s := n.read(t, "output", func(r *kgo.Record) {
		if string(r.Value) != fmt.Sprint("value ", want) {
			t.Fatalf("record %d of the copy is %q", want, r.Value)
		}
		want++
	})
	if in := n.read(t, "input", nil); in != s {
		t.Errorf("input %s, output %s", in, s)
	}
}
