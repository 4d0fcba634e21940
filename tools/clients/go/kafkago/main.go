// Command kafkago does what a user does with segmentio/kafka-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/ringmq/ringmq/tools/clients/go/report"
)

var (
	ctx, cancel = context.WithTimeout(context.Background(), 4*time.Minute)
	transport   = &kafka.Transport{MetadataTTL: 500 * time.Millisecond}
	dialer      = &kafka.Dialer{Timeout: 10 * time.Second, DualStack: true}
	client      = &kafka.Client{Addr: kafka.TCP(report.Bootstrap), Transport: transport, Timeout: 30 * time.Second}
)

func main() {
	defer cancel()
	if report.SASL {
		var m sasl.Mechanism = plain.Mechanism{Username: report.User, Password: report.Password}
		if report.Mechanism != "PLAIN" {
			var err error
			if m, err = scram.Mechanism(scram.SHA512, report.User, report.Password); err != nil {
				panic(err)
			}
		}
		transport.TLS, transport.SASL = report.TLS(), m
		dialer.TLS, dialer.SASLMechanism = report.TLS(), m
	}
	report.Check("create", create)
	for name, codec := range map[string]kafka.Compression{"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd} {
		report.Check("produce-"+name, func() { produce(name, codec) })
	}
	report.Check("reference", func() { readAll(report.Reference).Print(report.Reference) })
	report.Check("group", group)
	report.Check("time", byTime)
	report.Check("admin-configs", configs)
	report.Check("admin-groups", groups)
	report.Check("admin-topics", topics)
	report.Check("large", large)
	report.End()
}

func newTopic(name string, partitions int, entries ...kafka.ConfigEntry) error {
	r, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}}})
	return errors.Join(err, r.Errors[name])
}

func create() {
	name := report.Topic("create")
	report.Must(newTopic(name, 3, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "86400000"}))
	report.Need(errors.Is(newTopic(name, 3), kafka.TopicAlreadyExists), "created twice")
	m := report.Get(client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{name}}))
	report.Need(len(m.Topics) == 1 && len(m.Topics[0].Partitions) == 3 && len(m.Brokers) == 1, m)
}

// byPartition sends a message to the partition that it names.
type byPartition struct{}

func (byPartition) Balance(m kafka.Message, _ ...int) int { return m.WriterData.(int) }

func writer(topic string) *kafka.Writer {
	return &kafka.Writer{Addr: kafka.TCP(report.Bootstrap), Topic: topic, Balancer: byPartition{}, RequiredAcks: kafka.RequireAll, Transport: transport,
		BatchTimeout: 5 * time.Millisecond, BatchBytes: 10_000_000}
}

func message(r report.Record) kafka.Message {
	m := kafka.Message{Key: r.Key, Value: r.Value, Time: r.Time, WriterData: int(r.Partition)}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
	}
	return m
}

func produce(codec string, c kafka.Compression) {
	name := report.Topic(codec)
	report.Must(newTopic(name, 3))
	w := writer(name)
	w.Compression = c
	defer w.Close()
	var sent report.Sum
	var batch []kafka.Message
	for i := range report.N {
		r := report.Numbered(i)
		sent.Add(r.Key, r.Value, r.Headers)
		batch = append(batch, message(r))
	}
	report.Must(w.WriteMessages(ctx, batch...))
	got := readAll(name)
	report.Need(got == sent, "sent ", sent, ", read ", got)
	got.Print(name)
}

// readAll reads to the end offsets of now, with Fetch and not with a Reader, which does not tell null from empty.
func readAll(topic string) report.Sum {
	var sum report.Sum
	m := report.Get(client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}}))
	for _, p := range m.Topics[0].Partitions {
		offsets := report.Get(client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(p.ID), kafka.LastOffsetOf(p.ID)}}}))
		o := offsets.Topics[topic][0]
		for at := o.FirstOffset; at < o.LastOffset; {
			f := report.Get(client.Fetch(ctx, &kafka.FetchRequest{Topic: topic, Partition: p.ID, Offset: at, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 200 * time.Millisecond,
				IsolationLevel: kafka.ReadCommitted}))
			report.Must(f.Error)
			for {
				r, err := f.Records.ReadRecord()
				if errors.Is(err, io.EOF) {
					break
				}
				report.Must(err)
				if r.Offset < at { // the batch begins before
					continue
				}
				at = r.Offset + 1
				var headers []report.Header
				for _, h := range r.Headers {
					headers = append(headers, report.Header{Key: h.Key, Value: h.Value})
				}
				sum.Add(all(r.Key), all(r.Value), headers)
			}
		}
	}
	return sum
}

// all is what is in b, nil for null.
func all(b kafka.Bytes) []byte {
	if b == nil {
		return nil
	}
	defer b.Close()
	return append([]byte{}, report.Get(io.ReadAll(b))...)
}

func fill(topic string, partitions, first, last int) {
	w := writer(topic)
	defer w.Close()
	var batch []kafka.Message
	for i := first; i < last; i++ {
		batch = append(batch, kafka.Message{Key: fmt.Append(nil, "k", i), Value: fmt.Append(nil, "v", i), WriterData: i % partitions,
			Time: report.Start.Add(time.Duration(i) * time.Second)})
	}
	report.Must(w.WriteMessages(ctx, batch...))
}

func group() {
	name, g := report.Topic("group"), report.Topic("g")
	report.Must(newTopic(name, 4))
	fill(name, 4, 0, 400)
	var mu sync.Mutex
	seen, twice, trouble := map[string]bool{}, "", error(nil)
	// member reads and commits one record after the other until done.
	member := func(done func() bool) {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{report.Bootstrap}, GroupID: g, Topic: name, Dialer: dialer, StartOffset: kafka.FirstOffset,
			MaxWait: 100 * time.Millisecond, HeartbeatInterval: 500 * time.Millisecond, SessionTimeout: 10 * time.Second, RebalanceTimeout: 5 * time.Second})
		defer r.Close()
		for !done() && ctx.Err() == nil {
			short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
			m, err := r.FetchMessage(short)
			stop()
			if err != nil {
				continue
			}
			mu.Lock()
			if seen[string(m.Key)] {
				twice = string(m.Key)
			}
			seen[string(m.Key)] = true
			mu.Unlock()
			if err := r.CommitMessages(ctx, m); err != nil {
				mu.Lock()
				trouble = err
				mu.Unlock()
			}
		}
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
	member(func() bool { return count() >= 150 })
	fill(name, 4, 400, 500)
	shared := false
	two := func() bool {
		if count() < 500 {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		return shared
	}
	var wg sync.WaitGroup
	// The second joins when everything is read: a record that is taken from a member between reading and commit is read again.
	wg.Go(func() { member(two) })
	report.Until(ctx, func() bool { return count() >= 500 })
	wg.Go(func() { member(two) })
	report.Until(ctx, func() bool {
		d, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{g}})
		return err == nil && d.Groups[0].GroupState == "Stable" && len(d.Groups[0].Members) == 2
	})
	mu.Lock()
	shared = true
	mu.Unlock()
	wg.Wait()
	report.Must(trouble)
	report.Need(twice == "", "a record twice: ", twice)
	o := report.Get(client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: g, Topics: map[string][]int{name: {0, 1, 2, 3}}}))
	total := int64(0)
	for _, p := range o.Topics[name] {
		total += p.CommittedOffset
	}
	report.Need(total == 500, "committed ", total)
}

func byTime() {
	name := report.Topic("time")
	report.Must(newTopic(name, 1))
	fill(name, 1, 0, 100)
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{report.Bootstrap}, Topic: name, Partition: 0, Dialer: dialer, MaxWait: 200 * time.Millisecond})
	defer r.Close()
	report.Must(r.SetOffsetAt(ctx, report.Start.Add(41500*time.Millisecond)))
	m := report.Get(r.ReadMessage(ctx))
	report.Need(string(m.Value) == "v42" && m.Offset == 42, m)
}

func configs() {
	name := report.Topic("create")
	a := report.Get(client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: name, Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: "segment.bytes", Value: "16777216", ConfigOperation: kafka.ConfigOperationSet}, {Name: "retention.ms", ConfigOperation: kafka.ConfigOperationDelete}}}}}))
	report.Must(a.Resources[0].Error)
	d := report.Get(client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: name}}}))
	want := map[string]string{"segment.bytes": "16777216", "retention.ms": "604800000"}
	found := 0
	for _, e := range d.Resources[0].ConfigEntries {
		if v, ok := want[e.ConfigName]; ok {
			report.Need(v == e.ConfigValue, e)
			found++
		}
	}
	report.Need(found == 2, "found ", found)
}

func groups() {
	name, g := report.Topic("group"), report.Topic("g")
	listed := false
	for _, x := range report.Get(client.ListGroups(ctx, &kafka.ListGroupsRequest{})).Groups {
		listed = listed || x.GroupID == g
	}
	report.Need(listed, "not listed")
	o := report.Get(client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: g, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{name: {{Partition: 0, Offset: 7, Metadata: "by hand"}}}}))
	report.Must(o.Topics[name][0].Error)
	f := report.Get(client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: g, Topics: map[string][]int{name: {0}}}))
	report.Need(f.Topics[name][0].CommittedOffset == 7 && f.Topics[name][0].Metadata == "by hand", f)
	report.Must(report.Get(client.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: g, Topics: map[string][]int{name: {0}}})).Error)
	report.Must(report.Get(client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{g}})).Errors[g])
	err := report.Get(client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{g}})).Errors[g]
	report.Need(errors.Is(err, kafka.GroupIdNotFound), "deleted twice: ", err)
}

func topics() {
	name := report.Topic("create")
	// This library asks no version of CreatePartitions but 0 and 1, which are there.
	report.Must(report.Get(client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: name, Count: 5}}})).Errors[name])
	report.Must(report.Get(client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{name}})).Errors[name])
	// The older interface, on a connection.
	conn := report.Get(dialer.DialContext(ctx, "tcp", report.Bootstrap))
	defer conn.Close()
	report.Must(conn.CreateTopics(kafka.TopicConfig{Topic: name + "-2", NumPartitions: 2, ReplicationFactor: 1}))
	report.Need(len(report.Get(conn.ReadPartitions(name+"-2"))) == 2, "partitions")
	report.Must(conn.DeleteTopics(name + "-2"))
	c := report.Get(conn.Controller())
	host, _, _ := net.SplitHostPort(report.Bootstrap)
	report.Need(c.Host == host, c)
}

func large() {
	name := report.Topic("large")
	report.Must(newTopic(name, 3, kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: fmt.Sprint(report.Limit)}))
	w := writer(name)
	w.MaxAttempts = 1
	defer w.Close()
	for i := range 3 {
		report.Must(w.WriteMessages(ctx, kafka.Message{Key: []byte("large"), Value: report.Large(report.Limit - 1000), WriterData: i}))
	}
	err := w.WriteMessages(ctx, kafka.Message{Key: []byte("large"), Value: report.Large(report.Limit + 1), WriterData: 0})
	var each kafka.WriteErrors
	report.Need(errors.Is(err, kafka.MessageSizeTooLarge) || errors.As(err, &each) && errors.Is(each[0], kafka.MessageSizeTooLarge), "too large: ", err)
	report.Must(w.WriteMessages(ctx, kafka.Message{Key: []byte("after"), Value: []byte("small"), WriterData: 0}))
	sum := readAll(name)
	report.Need(sum.Count == 4, sum)
	sum.Print(name)
}
