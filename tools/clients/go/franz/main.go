// Command franz does what a user does with franz-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/ringmq/ringmq/tools/clients/go/report"
)

func client(opts ...kgo.Opt) *kgo.Client { return report.Get(kgo.NewClient(connected(opts...)...)) }

// connected adds the way to the broker to options.
func connected(opts ...kgo.Opt) []kgo.Opt {
	opts = append([]kgo.Opt{kgo.SeedBrokers(report.Bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.FetchMaxWait(200 * time.Millisecond)}, opts...)
	if report.SASL {
		opts = append(opts, kgo.DialTLSConfig(report.TLS()))
		if report.Mechanism == "PLAIN" {
			opts = append(opts, kgo.SASL(plain.Auth{User: report.User, Pass: report.Password}.AsMechanism()))
		} else {
			opts = append(opts, kgo.SASL(scram.Auth{User: report.User, Pass: report.Password}.AsSha512Mechanism()))
		}
	}
	return opts
}

var (
	ctx, cancel = context.WithTimeout(context.Background(), 4*time.Minute)
	admin       = kadm.NewClient(client())
)

func main() {
	defer cancel()
	report.Check("create", create)
	for name, codec := range map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		report.Check("produce-"+name, func() { produce(name, codec) })
	}
	report.Check("reference", func() { readAll(report.Reference).Print(report.Reference) })
	report.Check("group", group)
	report.Check("time", byTime)
	report.Check("admin-configs", configs)
	report.Check("admin-groups", groups)
	report.Check("admin-records", records)
	report.Check("admin-topics", topics)
	report.Check("transactions", transactions)
	report.Check("fencing", fencing)
	report.Check("large", large)
	report.End()
}

func newTopic(name string, partitions int32, configs map[string]*string) {
	report.Get(admin.CreateTopic(ctx, partitions, -1, configs, name))
}

func create() {
	name := report.Topic("create")
	newTopic(name, 3, map[string]*string{"retention.ms": kadm.StringPtr("86400000")})
	_, err := admin.CreateTopic(ctx, 3, -1, nil, name)
	report.Need(errors.Is(err, kerr.TopicAlreadyExists), "created twice: ", err)
	d := report.Get(admin.ListTopics(ctx, name))[name]
	report.Need(len(d.Partitions) == 3 && d.Partitions[0].Leader >= 0 && d.ID != kadm.TopicID{}, d)
	report.Need(len(report.Get(admin.BrokerMetadata(ctx)).Brokers) == 1, "brokers")
}

func record(topic string, r report.Record) *kgo.Record {
	k := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Time}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return k
}

func produce(codec string, c kgo.CompressionCodec) {
	name := report.Topic(codec)
	newTopic(name, 3, nil)
	cl := client(kgo.ProducerBatchCompression(c), kgo.ProducerLinger(5*time.Millisecond))
	defer cl.Close()
	var sent report.Sum
	var batch []*kgo.Record
	for i := range report.N {
		r := report.Numbered(i)
		sent.Add(r.Key, r.Value, r.Headers)
		batch = append(batch, record(name, r))
	}
	report.Must(cl.ProduceSync(ctx, batch...).FirstErr())
	got := readAll(name)
	report.Need(got == sent, "sent ", sent, ", read ", got)
	got.Print(name)
}

// readAll reads to the end offsets of now, committed records only unless an option says otherwise.
func readAll(topic string, opts ...kgo.Opt) report.Sum {
	starts, ends := report.Get(admin.ListStartOffsets(ctx, topic)), report.Get(admin.ListEndOffsets(ctx, topic))
	open := map[int32]int64{}
	from := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, o.Partition)
		if start.Offset < o.Offset {
			open[o.Partition], from[o.Partition] = o.Offset, kgo.NewOffset().At(start.Offset)
		}
	})
	var sum report.Sum
	if len(open) == 0 {
		return sum
	}
	cl := client(append([]kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted())}, opts...)...)
	defer cl.Close()
	for len(open) > 0 {
		fetches := cl.PollFetches(ctx)
		report.Must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= open[r.Partition] {
				delete(open, r.Partition)
			}
			if r.Attrs.IsControl() {
				return
			}
			var headers []report.Header
			for _, h := range r.Headers {
				headers = append(headers, report.Header{Key: h.Key, Value: h.Value})
			}
			sum.Add(r.Key, r.Value, headers)
		})
	}
	return sum
}

func fill(topic string, partitions, first, last int) {
	cl := client()
	defer cl.Close()
	var batch []*kgo.Record
	for i := first; i < last; i++ {
		batch = append(batch, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Key: fmt.Append(nil, "k", i), Value: fmt.Append(nil, "v", i),
			Timestamp: report.Start.Add(time.Duration(i) * time.Second)})
	}
	report.Must(cl.ProduceSync(ctx, batch...).FirstErr())
}

func group() {
	name, g := report.Topic("group"), report.Topic("g")
	newTopic(name, 4, nil)
	fill(name, 4, 0, 400)
	seen := map[string]bool{}
	take := func(cl *kgo.Client, n int) {
		short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
		fetches := cl.PollRecords(short, n)
		fetches.EachRecord(func(r *kgo.Record) {
			report.Need(!seen[string(r.Key)], "a record twice: ", string(r.Key))
			seen[string(r.Key)] = true
		})
		report.Must(cl.CommitUncommittedOffsets(ctx))
		cl.AllowRebalance()
	}
	options := func(id string) []kgo.Opt {
		return []kgo.Opt{kgo.ConsumerGroup(g), kgo.ConsumeTopics(name), kgo.ClientID(id), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(500 * time.Millisecond)}
	}
	a := client(options("a")...)
	for len(seen) < 150 {
		take(a, 50)
	}
	a.Close()
	fill(name, 4, 400, 500)
	a, b := client(options("a")...), client(options("b")...)
	for balanced := false; len(seen) < 500 || !balanced; {
		take(a, 50)
		take(b, 50)
		d := report.Get(admin.DescribeGroups(ctx, g))[g]
		report.Must(d.Err)
		balanced = d.State == "Stable" && len(d.Members) == 2
		for _, m := range d.Members {
			assigned, ok := m.Assigned.AsConsumer()
			balanced = balanced && ok && len(assigned.Topics) == 1 && len(assigned.Topics[0].Partitions) == 2
		}
	}
	a.Close()
	b.Close()
	offsets := report.Get(admin.FetchOffsets(ctx, g))
	total := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) { total += o.At })
	report.Need(total == 500, "committed ", total)
}

func byTime() {
	name := report.Topic("time")
	newTopic(name, 1, nil)
	fill(name, 1, 0, 100)
	found := report.Get(admin.ListOffsetsAfterMilli(ctx, report.Start.Add(41500*time.Millisecond).UnixMilli(), name))[name][0]
	report.Need(found.Offset == 42 && found.Timestamp == report.Start.Add(42*time.Second).UnixMilli(), found)
	largest := report.Get(admin.ListMaxTimestampOffsets(ctx, name))[name][0]
	report.Need(largest.Offset == 99, largest)
	cl := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: {0: kgo.NewOffset().AfterMilli(report.Start.Add(41500 * time.Millisecond).UnixMilli())}}))
	defer cl.Close()
	r := cl.PollRecords(ctx, 1).Records()
	report.Need(len(r) == 1 && string(r[0].Value) == "v42", r)
}

func configs() {
	name := report.Topic("create")
	alter := []kadm.AlterConfig{{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")},
		{Op: kadm.SetConfig, Name: "segment.bytes", Value: kadm.StringPtr("16777216")}, {Op: kadm.DeleteConfig, Name: "retention.ms"}}
	r := report.Get(admin.AlterTopicConfigs(ctx, alter, name))
	report.Must(r[0].Err)
	want := map[string]string{"cleanup.policy": "delete,compact", "segment.bytes": "16777216", "retention.ms": "604800000"}
	found := 0
	for _, c := range report.Get(admin.DescribeTopicConfigs(ctx, name))[0].Configs {
		if v, ok := want[c.Key]; ok {
			report.Need(c.MaybeValue() == v, c.Key, " ", c.MaybeValue())
			found++
		}
	}
	report.Need(found == 3, "found ", found)
	report.Need(len(report.Get(admin.DescribeAllLogDirs(ctx, nil))) == 1, "log dirs")
}

func groups() {
	name, g := report.Topic("group"), report.Topic("g")
	_, listed := report.Get(admin.ListGroups(ctx))[g]
	report.Need(listed, "not listed")
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: name, Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "by hand"})
	report.Must(admin.CommitAllOffsets(ctx, g, offsets))
	o := report.Get(admin.FetchOffsets(ctx, g))[name][0]
	report.Need(o.At == 7 && o.Metadata == "by hand", o)
	partitions := kadm.TopicsSet{}
	partitions.Add(name, 0)
	report.Get(admin.DeleteOffsets(ctx, g, partitions))
	_, still := report.Get(admin.FetchOffsets(ctx, g))[name][0]
	report.Need(!still, "offset not deleted")
	report.Get(admin.DeleteGroup(ctx, g))
	_, err := admin.DeleteGroup(ctx, g)
	report.Need(errors.Is(err, kerr.GroupIDNotFound), "deleted twice: ", err)
}

func records() {
	name := report.Topic("time")
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: name, Partition: 0, At: 30})
	d := report.Get(admin.DeleteRecords(ctx, offsets))[name][0]
	report.Need(d.Err == nil && d.LowWatermark == 30, d)
	report.Need(readAll(name).Count == 70, "records")
}

func topics() {
	name := report.Topic("create")
	r := report.Get(admin.UpdatePartitions(ctx, 5, name))
	report.Must(r.Error())
	report.Need(len(report.Get(admin.ListTopics(ctx, name))[name].Partitions) == 5, "partitions")
	report.Get(admin.DeleteTopic(ctx, name))
	fresh := kadm.NewClient(client()) // the other one remembers metadata for a while
	defer fresh.Close()
	report.Need(errors.Is(report.Get(fresh.ListTopics(ctx, name))[name].Err, kerr.UnknownTopicOrPartition), "still there")
}

func transactions() {
	source, name := report.Topic("group"), report.Topic("txn")
	newTopic(name, 3, nil)
	cl := client(kgo.TransactionalID(report.Topic("tx")))
	var committed report.Sum
	for round := range 6 {
		report.Must(cl.BeginTransaction())
		for i := range 50 {
			r := report.Numbered(round*50 + i)
			if round%2 == 0 {
				committed.Add(r.Key, r.Value, r.Headers)
			}
			cl.Produce(ctx, record(name, r), nil)
		}
		report.Must(cl.Flush(ctx))
		report.Must(cl.EndTransaction(ctx, kgo.TransactionEndTry(round%2 == 0)))
	}
	cl.Close()
	got := readAll(name)
	report.Need(got == committed, "want ", committed, ", read ", got)
	report.Need(readAll(name, kgo.FetchIsolationLevel(kgo.ReadUncommitted())).Count == 300, "uncommitted")
	got.Print(name)

	out, g := report.Topic("copied"), report.Topic("copier")
	newTopic(out, 4, nil)
	s := report.Get(kgo.NewGroupTransactSession(connected(kgo.TransactionalID(g), kgo.ConsumerGroup(g), kgo.ConsumeTopics(source),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets())...))
	for copied, round := 0, 0; copied < 500; round++ {
		fetches := s.PollRecords(ctx, 60)
		report.Must(fetches.Err())
		report.Must(s.Begin())
		n := 0
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			s.Produce(ctx, &kgo.Record{Topic: out, Partition: r.Partition, Key: r.Key, Value: r.Value}, nil)
		})
		ended := report.Get(s.End(ctx, kgo.TransactionEndTry(round%3 != 1)))
		if ended {
			copied += n
		}
	}
	s.Close()
	a, b := readAll(source), readAll(out)
	report.Need(a == b, "in ", a, ", out ", b)
	b.Print(out)
}

func fencing() {
	name := report.Topic("txn")
	zombie, next := client(kgo.TransactionalID(report.Topic("fence"))), client(kgo.TransactionalID(report.Topic("fence")))
	defer zombie.Close()
	defer next.Close()
	report.Must(zombie.BeginTransaction())
	report.Must(zombie.ProduceSync(ctx, record(name, report.Numbered(1))).FirstErr())
	report.Must(next.BeginTransaction())
	report.Must(next.ProduceSync(ctx, record(name, report.Numbered(3))).FirstErr())
	err := zombie.ProduceSync(ctx, record(name, report.Numbered(2))).FirstErr()
	if err == nil {
		err = zombie.EndTransaction(ctx, kgo.TryCommit)
	}
	report.Need(errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced), "the zombie: ", err)
	report.Must(next.EndTransaction(ctx, kgo.TryAbort))
}

func large() {
	name := report.Topic("large")
	newTopic(name, 3, map[string]*string{"max.message.bytes": kadm.StringPtr(fmt.Sprint(report.Limit))})
	cl := client(kgo.ProducerBatchMaxBytes(10_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	send := func(key string, value []byte, partition int32) error {
		return cl.ProduceSync(ctx, &kgo.Record{Topic: name, Partition: partition, Key: []byte(key), Value: value}).FirstErr()
	}
	for i := range int32(3) {
		report.Must(send("large", report.Large(report.Limit-1000), i))
	}
	report.Need(errors.Is(send("large", report.Large(report.Limit+1), 0), kerr.MessageTooLarge), "too large")
	report.Must(send("after", []byte("small"), 0))
	sum := readAll(name, kgo.FetchMaxPartitionBytes(1000), kgo.FetchMaxBytes(1000))
	report.Need(sum.Count == 4, sum)
	sum.Print(name)
}
