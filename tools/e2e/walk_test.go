package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/tools/javakit"
)

// TestCombinedCluster: three combined nodes and two brokers over http, started by the printed commands, and what people do with them.
func TestCombinedCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: a combined cluster started by the printed commands, which runs five nodes")
	}
	kit := javakit.ForTest(t)
	c := newCluster(t, false)
	url := c.s3url()
	ids := c.startAll(c.generate("generate-start-command", url, c.list(9093, 1, 2, 3), c.list(9092, 4, 5), "--override broker.session.timeout.ms=4000"))
	if len(ids) != 5 {
		t.Fatalf("started %v", ids)
	}
	k := tools{t, kit, c.addr(2, 9092)}
	k.run("kafka-topics", "", []string{"--create", "--topic", "perf", "--partitions", "10"}, "Created topic perf.")
	described := k.run("kafka-topics", "", []string{"--describe", "--topic", "perf"}, "PartitionCount: 10")
	for _, id := range ids {
		if strings.Count(described, fmt.Sprintf("Leader: %d", id)) != 2 {
			t.Errorf("the partitions are not spread evenly: %s", described)
			break
		}
	}
	out := k.run("kafka-producer-perf-test", "", []string{"--topic", "perf", "--num-records", "20000", "--record-size", "1024", "--throughput", "-1", "--command-property", "acks=all"}, "20000 records sent")
	t.Log(lastLine(out))
	out = k.run("kafka-consumer-perf-test", "", []string{"--topic", "perf", "--num-records", "20000"}, ", 20000, ")
	t.Log(lastLine(out))
	k.run("kafka-broker-api-versions", "", nil, c.addr(1, 9092)+" (id: 0 ", c.addr(5, 9092)+" (id: 4 ")
	groups := c.groupsEverywhere(10)
	k.run("kafka-console-consumer", "", []string{"--topic", "groups", "--group", "java", "--from-beginning", "--max-messages", "100", "--timeout-ms", "60000"}, "99\n")
	groups = append(groups, "java")
	k.run("kafka-consumer-groups", "", []string{"--list"}, groups...)
	c.secretsStay(k, ids)
	c.stop(4)
	// All others at once: the last of them have no quorum, and end nevertheless, cleanly and soon.
	begun := time.Now()
	for _, id := range ids[:4] {
		if err := c.nodes[id].Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	for _, id := range ids[:4] {
		select {
		case <-c.nodes[id].Exited():
		case <-time.After(time.Minute):
			t.Fatalf("node %d does not end", id)
		}
		if status := c.nodes[id].ExitStatus(); status != 0 {
			t.Errorf("node %d ended with status %d: %s", id, status, tail(c.log(id), 2000))
		}
	}
	t.Logf("four nodes stopped after %s", time.Since(begun).Round(time.Millisecond))
}

// TestClusterFromFiles: the same from generated properties files, the keys in their own file and then in the environment.
func TestClusterFromFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: clusters started from generated files, which runs their nodes")
	}
	kit := javakit.ForTest(t)
	for _, keys := range []string{"file", "environment"} {
		t.Run(keys, func(t *testing.T) {
			c := newCluster(t, keys == "file")
			url := c.s3url()
			if keys == "environment" {
				u, err := config.ParseS3URL(url)
				if err != nil {
					t.Fatal(err)
				}
				c.env = []string{"KAFKA_S3_ACCESS_KEY=" + u.AccessKey, "KAFKA_S3_SECRET_KEY=" + u.SecretKey}
				u.AccessKey, u.SecretKey = "", ""
				url = u.Text()
			}
			out := c.generate("generate-configuration-properties", url, c.list(9093, 1, 2, 3), c.list(9092, 4, 5))
			var ids []int
			for line := range strings.Lines(out) {
				name, ok := strings.CutSuffix(strings.TrimSpace(line), ".properties")
				if !ok {
					continue
				}
				var id int
				fmt.Sscan(name[strings.LastIndexByte(name, '-')+1:], &id)
				// As on hosts of their own: the file, and the keys beside it.
				for _, file := range []string{name + ".properties", "s3.credentials"} {
					if text, err := os.ReadFile(filepath.Join(c.dir, file)); err == nil {
						if err := os.WriteFile(filepath.Join(c.host(id), file), text, 0o600); err != nil {
							t.Fatal(err)
						}
					}
				}
				c.start(id, "bin/kafka-server-start.sh "+name+".properties")
				ids = append(ids, id)
			}
			if len(ids) != 5 {
				t.Fatalf("files: %s", out)
			}
			c.ready(ids...)
			c.groupsEverywhere(3)
			c.secretsStay(tools{t, kit, c.addr(5, 9092)}, ids)
		})
	}
}

// groupsEverywhere has groups of franz-go and kcat, enough of them that every broker coordinates some, consume a topic of 100 records, from different
// bootstrap brokers. It returns their names.
func (c *cluster) groupsEverywhere(franz int) (names []string) {
	c.Helper()
	const records = 100
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
	defer cancel()
	producer, err := kgo.NewClient(kgo.SeedBrokers(c.addr(5, 9092)), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("groups"))
	if err != nil {
		c.Fatal(err)
	}
	defer producer.Close()
	for i := range records {
		if err := producer.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			c.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range franz {
		name := fmt.Sprintf("franz-%d", i)
		names = append(names, name)
		wg.Go(func() {
			if err := consumeInGroup(ctx, c.addr(4+i%2, 9092), name, records); err != nil {
				c.Errorf("group %s: %v", name, err)
			}
		})
	}
	wg.Wait()
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		if os.Getenv("CI") == "true" {
			c.Error(err)
		}
		return names
	}
	for _, name := range []string{"kcat-1", "kcat-2"} {
		out, err := exec.CommandContext(ctx, kcat, "-b", c.addr(5, 9092), "-q", "-X", "auto.offset.reset=earliest", "-c", fmt.Sprint(records), "-G", name, "groups").Output()
		if err != nil || strings.Count(string(out), "\n") != records {
			c.Errorf("kcat in group %s: %v, %d lines", name, err, strings.Count(string(out), "\n"))
		}
		names = append(names, name)
	}
	return names
}

// consumeInGroup reads a number of records of the topic groups as the only member of a group, and commits.
func consumeInGroup(ctx context.Context, seed, name string, records int) error {
	consumer, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.ConsumerGroup(name), kgo.ConsumeTopics("groups"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer consumer.Close()
	for n := 0; n < records; {
		fetched := consumer.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("after %d records: %w", n, err)
		}
		n += fetched.NumRecords()
	}
	return consumer.CommitUncommittedOffsets(ctx)
}

// pages are all pages that a node serves for operators: metrics, profiles, dumps of its goroutines and of its heap.
func (c *cluster) pages(id int) map[string]string {
	c.Helper()
	urls := map[string]string{}
	for line := range strings.Lines(c.log(id)) {
		for _, known := range []string{"serving metrics", "serving profiles"} {
			if _, url, ok := strings.Cut(line, "url="); ok && strings.Contains(line, known) {
				urls[known] = strings.Trim(strings.TrimSpace(url), `"`)
			}
		}
	}
	profiles := urls["serving profiles"]
	for _, name := range []string{"cmdline", "goroutine?debug=2", "heap?debug=1", "allocs?debug=1", "threadcreate?debug=1", "block?debug=1", "mutex?debug=1"} {
		urls[name] = profiles + name
	}
	found := map[string]string{}
	for name, url := range urls {
		resp, err := http.Get(url)
		if err != nil {
			c.Fatalf("%s of node %d: %v", name, id, err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(text) == 0 {
			c.Fatalf("%s of node %d: %s, %d bytes, %v", name, id, resp.Status, len(text), err)
		}
		found[name] = string(text)
	}
	if !strings.Contains(found["serving metrics"], "ringmq_") || !strings.Contains(found["goroutine?debug=2"], "goroutine ") || !strings.Contains(found["cmdline"], "kafka-server-start") {
		c.Fatalf("pages of node %d: metrics %q, goroutines %q, command line %q", id, tail(found["serving metrics"], 100), tail(found["goroutine?debug=2"], 100), found["cmdline"])
	}
	return found
}

// secretsStay looks for the secret in everything that nodes show: logs, pages, command lines, configuration listings, error messages.
func (c *cluster) secretsStay(k tools, ids []int) {
	c.Helper()
	encoded := "s3cr3t%3D"
	shown := func(where, text string) {
		c.Helper()
		for _, s := range []string{awkward, encoded, "s3cr3t", strings.TrimSuffix(awkward[10:], ";9")} {
			if i := strings.Index(text, s); i >= 0 {
				c.Errorf("%s shows the secret: …%s…", where, text[max(0, i-200):min(len(text), i+50)])
			}
		}
	}
	for _, id := range ids {
		shown(fmt.Sprintf("the log of node %d", id), c.log(id))
		for name, text := range c.pages(id) {
			shown(fmt.Sprintf("the page %s of node %d", name, id), text)
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.nodes[id].Pid()))
		if err != nil {
			c.Fatal(err)
		}
		shown(fmt.Sprintf("ps of node %d", id), string(line))
		if strings.Contains(string(line), "--s3-url=") && !strings.Contains(string(line), "s3-secret-key=*") {
			c.Errorf("ps of node %d: %q", id, line)
		}
	}
	last := fmt.Sprint(ids[len(ids)-1]) // a broker in every cluster
	all := k.run("kafka-configs", "", []string{"--describe", "--all", "--entity-type", "brokers", "--entity-name", last}, "s3.data.buckets=0@s3://ringmq-data?", "node.id="+last)
	shown("DescribeConfigs", all)
	url := fmt.Sprintf("s3://%s?s3-access-key=%s&s3-secret-key=s3cr3t%%3D%%26&s3-region=us-east-1&s3-endpoint-protocol=http&s3-data-bucket=ringmq-data&s3-path-style=true", c.minio.Host(), c.minio.AccessKey)
	for _, line := range []string{
		"bin/ringmq config print --all --origins --s3-url=" + quote(url),
		"bin/ringmq config print --override " + quote("s3.data.buckets=0@s3://b?accessKey=A&secretKey=s3cr3t%3D"),
		"bin/ringmq config print --s3-url=" + quote(url+"&s3-secret-key=s3cr3t%3D"), // given twice
		"bin/ringmq config print --s3-url=" + quote(url+"%zz"),
		"bin/ringmq server start " + quote(url), // taken for a file
		"bin/ringmq server start --override " + quote("s3.data.buckets=0@s3://b?accessKey=A&secretKey=s3cr3t%3D&frobnicate=1"),
		"bin/ringmq server start --override " + quote("s3.data.bucket=0@s3://b?accessKey=A&secretKey=s3cr3t%3D"),
		"bin/ringmq bucket check --s3-url=" + quote(url), // the secret is not the store's
		"bin/automq-kafka-admin.sh generate-start-command --controller-list=h --broker-list=h --s3-url=" + quote(url),
	} {
		out, _ := c.try(line)
		if out == "" {
			c.Errorf("%s prints nothing", line)
		}
		shown(line[:40], out)
	}
}
