package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/freeport"
	"github.com/ringmq/ringmq/tools/javakit"
)

// worker is a Kafka Connect worker in distributed mode.
type worker struct {
	*application
	url string
}

func startWorker(t *testing.T, kit *javakit.Kit, bootstrap string) *worker {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	const storage = "org.apache.kafka.connect.storage.StringConverter"
	file := properties(t, "worker.properties", map[string]string{
		"bootstrap.servers": bootstrap, "group.id": "connect", "key.converter": storage, "value.converter": storage,
		"offset.storage.topic": "connect-offsets", "config.storage.topic": "connect-configs", "status.storage.topic": "connect-status",
		"offset.storage.replication.factor": "1", "config.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "3", "offset.flush.interval.ms": "500", "exactly.once.source.support": "enabled", "scheduled.rebalance.max.delay.ms": "500",
		"listeners": fmt.Sprintf("http://127.0.0.1:%d", port),
	})
	return &worker{startApplication(t, kit, javakit.Command{Main: "org.apache.kafka.connect.cli.ConnectDistributed", Args: []string{file}, HeapMB: 768}), fmt.Sprintf("http://127.0.0.1:%d", port)}
}

// ask sends a request to the worker's interface and decodes the answer.
func (w *worker) ask(method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, &b)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(text))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// put gives a connector its configuration, as soon as the worker takes it.
func (w *worker) put(name string, config map[string]string) {
	w.t.Helper()
	w.waitFor("connector "+name, func() (bool, string) {
		err := w.ask(http.MethodPut, "/connectors/"+name+"/config", config, nil)
		return err == nil, fmt.Sprint(err)
	})
}

// running waits until connector and task run.
func (w *worker) running(name string) {
	w.t.Helper()
	w.waitFor("status of "+name, func() (bool, string) {
		var s struct {
			Connector struct{ State string }
			Tasks     []struct{ State, Trace string }
		}
		err := w.ask(http.MethodGet, "/connectors/"+name+"/status", nil, &s)
		return err == nil && s.Connector.State == "RUNNING" && len(s.Tasks) == 1 && s.Tasks[0].State == "RUNNING", fmt.Sprint(err, s)
	})
}

// TestConnect: a distributed worker, with its compacted topics, moves a file through a topic into another file, exactly once at the source: across a restart of the
// worker, which knows its connectors and offsets from the topics, and a kill of the broker.
func TestConnect(t *testing.T) {
	wholeOnly(t)
	kit := javakit.ForTestOf(t, javakit.AppSet)
	n := startNode(t)
	dir := t.TempDir()
	source, sink := filepath.Join(dir, "source"), filepath.Join(dir, "sink")
	lines := 0
	write := func(more int) {
		t.Helper()
		f, err := os.OpenFile(source, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range more {
			lines++
			fmt.Fprintln(f, "line", lines)
		}
	}
	write(1000)
	w := startWorker(t, kit, n.Seed())
	w.put("source", map[string]string{"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max": "1", "file": source, "topic": "lines"})
	w.put("sink", map[string]string{"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max": "1", "file": sink, "topics": "lines"})
	w.running("source")
	w.running("sink")
	arrived := func(w *worker) {
		t.Helper()
		w.waitFor("lines", func() (bool, string) {
			b, err := os.ReadFile(sink)
			return strings.Count(string(b), "\n") >= lines, fmt.Sprintf("%d bytes of %d lines, %v", len(b), lines, err)
		})
	}
	arrived(w)
	for _, topic := range []string{"connect-offsets", "connect-configs", "connect-status"} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		c, err := kadm.NewClient(n.client(t)).DescribeTopicConfigs(ctx, topic)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c[0].Configs {
			if e.Key == "cleanup.policy" && e.MaybeValue() != "compact" {
				t.Errorf("%s: cleanup.policy is %s", topic, e.MaybeValue())
			}
		}
	}
	w.end()
	write(500)
	w = startWorker(t, kit, n.Seed())
	arrived(w)
	n.Kill()
	write(500)
	n.start(t)
	arrived(w)
	// At the source exactly once: in the topic each line is there once, in order.
	want := 0
	n.read(t, "lines", func(r *kgo.Record) {
		if want++; string(r.Value) != fmt.Sprint("line ", want) {
			t.Fatalf("line %d is %q", want, r.Value)
		}
	})
	if want != lines {
		t.Errorf("%d lines in the topic, want %d", want, lines)
	}
	// The sink at least once: after a kill it may write some again, but leaves none out.
	b, err := os.ReadFile(sink)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		seen[line] = true
	}
	if len(seen) != lines {
		t.Errorf("%d different lines in the sink's file, want %d", len(seen), lines)
	}
	for _, c := range []string{"source", "sink"} {
		if err := w.ask(http.MethodDelete, "/connectors/"+c, nil, nil); err != nil {
			t.Error(err)
		}
	}
}

// TestMirrorMaker: MirrorMaker 2 copies topics with their configuration from one node to another, keeps offsets in step, and translates the committed offsets of a
// group, so that it goes on at the other node where it stopped.
func TestMirrorMaker(t *testing.T) {
	wholeOnly(t)
	kit := javakit.ForTestOf(t, javakit.AppSet)
	a, b := startNode(t), startNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	retention := "7200000"
	if _, err := kadm.NewClient(a.client(t)).CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": &retention}, "orders"); err != nil {
		t.Fatal(err)
	}
	cl := a.client(t, kgo.DefaultProduceTopic("orders"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	write := func(first, last int) {
		t.Helper()
		for i := first; i < last; i++ {
			cl.Produce(ctx, &kgo.Record{Key: fmt.Append(nil, "k", i), Value: fmt.Append(nil, "order ", i), Headers: []kgo.RecordHeader{{Key: "i", Value: fmt.Append(nil, i)}}},
				func(_ *kgo.Record, err error) {
					if err != nil {
						t.Errorf("record %d: %v", i, err)
					}
				})
		}
		if err := cl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 300)
	const group = "billing"
	offsets := kadm.Offsets{}
	for p := range int32(3) {
		offsets.Add(kadm.Offset{Topic: "orders", Partition: p, At: a.offset(ctx, t, cl, "orders", p, -1), LeaderEpoch: -1})
	}
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, group, offsets); err != nil {
		t.Fatal(err)
	}
	file := properties(t, "mm2.properties", map[string]string{
		"clusters": "a, b", "a.bootstrap.servers": a.Seed(), "b.bootstrap.servers": b.Seed(), "a->b.enabled": "true", "b->a.enabled": "false",
		"a->b.topics": "orders", "a->b.groups": group, "replication.factor": "1", "checkpoints.topic.replication.factor": "1", "heartbeats.topic.replication.factor": "1",
		"offset-syncs.topic.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"config.storage.replication.factor": "1", "emit.checkpoints.interval.seconds": "1", "sync.group.offsets.enabled": "true", "sync.group.offsets.interval.seconds": "1",
		"refresh.topics.interval.seconds": "2", "refresh.groups.interval.seconds": "2", "offset.lag.max": "0", "offset.flush.interval.ms": "500",
		"sync.topic.configs.enabled": "true", "sync.topic.configs.interval.seconds": "2", "emit.heartbeats.interval.seconds": "1",
		"dedicated.mode.enable.internal.rest": "false",
	})
	mm := startApplication(t, kit, javakit.Command{Main: "org.apache.kafka.connect.mirror.MirrorMaker", Args: []string{file}, HeapMB: 768})
	b.waitForRecords(ctx, t, "a.orders", 300)
	write(300, 400)
	b.waitForRecords(ctx, t, "a.orders", 400)
	if from, to := a.read(t, "orders", nil), b.read(t, "a.orders", nil); from != to {
		t.Errorf("orders has %s, its mirror %s", from, to)
	}
	adm := kadm.NewClient(b.client(t))
	c, err := adm.DescribeTopicConfigs(ctx, "a.orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c[0].Configs {
		if e.Key == "retention.ms" && e.MaybeValue() != retention {
			t.Errorf("the mirror's retention.ms is %s", e.MaybeValue())
		}
	}
	// 300 records are committed in a; the group has the same in b, as soon as the offsets are in step.
	mm.waitFor("offsets of the group", func() (bool, string) {
		got, err := adm.FetchOffsets(ctx, group)
		total := int64(0)
		got.Each(func(o kadm.OffsetResponse) { total += o.At })
		return err == nil && total == 300, fmt.Sprint(total, err)
	})
	b.waitForRecords(ctx, t, "a.checkpoints.internal", 3)
	b.waitForRecords(ctx, t, "heartbeats", 2)
	mm.end()
}
