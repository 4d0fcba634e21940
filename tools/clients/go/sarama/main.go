// Command sarama does what a user does with Sarama.
package main

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"github.com/ringmq/ringmq/tools/clients/go/report"
)

// scramClient is what Sarama wants for SCRAM.
type scramClient struct{ conversation *scram.ClientConversation }

func (c *scramClient) Begin(user, password, authzID string) error {
	client, err := scram.HashGeneratorFcn(func() hash.Hash { return sha512.New() }).NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	c.conversation = client.NewConversation()
	return nil
}
func (c *scramClient) Step(challenge string) (string, error) { return c.conversation.Step(challenge) }
func (c *scramClient) Done() bool                            { return c.conversation.Done() }

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V4_1_0_0
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Consumer.Return.Errors = true
	if report.SASL {
		c.Net.TLS.Enable, c.Net.TLS.Config = true, report.TLS()
		c.Net.SASL.Enable, c.Net.SASL.User, c.Net.SASL.Password = true, report.User, report.Password
		c.Net.SASL.Mechanism = sarama.SASLMechanism(report.Mechanism)
		c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{} }
	}
	return c
}

var (
	seeds = []string{report.Bootstrap}
	admin sarama.ClusterAdmin
)

func main() {
	report.Check("create", func() {
		admin = report.Get(sarama.NewClusterAdmin(seeds, config()))
		create()
	})
	for name, codec := range map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD} {
		report.Check("produce-"+name, func() { produce(name, codec) })
	}
	report.Check("reference", func() { readAll(report.Reference, nil).Print(report.Reference) })
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

func newTopic(name string, partitions int32, configs map[string]string) {
	entries := map[string]*string{}
	for k, v := range configs {
		entries[k] = &v
	}
	report.Must(admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}, false))
}

func create() {
	name := report.Topic("create")
	newTopic(name, 3, map[string]string{"retention.ms": "86400000"})
	err := admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false)
	report.Need(errors.Is(err, sarama.ErrTopicAlreadyExists), "created twice: ", err)
	d := report.Get(admin.DescribeTopics([]string{name}))
	report.Need(len(d[0].Partitions) == 3 && d[0].Partitions[0].Leader >= 0, d[0])
	report.Need(report.Get(admin.ListTopics())[name].NumPartitions == 3, "not listed")
	brokers, _, err := admin.DescribeCluster()
	report.Need(err == nil && len(brokers) == 1, err, brokers)
}

func message(topic string, r report.Record) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: topic, Partition: r.Partition, Timestamp: r.Time}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	return m
}

func produce(codec string, c sarama.CompressionCodec) {
	name := report.Topic(codec)
	newTopic(name, 3, nil)
	cfg := config()
	cfg.Producer.Compression = c
	cfg.Producer.Idempotent, cfg.Net.MaxOpenRequests = true, 1
	p := report.Get(sarama.NewSyncProducer(seeds, cfg))
	defer p.Close()
	var sent report.Sum
	for first := 0; first < report.N; first += 50 {
		var batch []*sarama.ProducerMessage
		for i := first; i < first+50; i++ {
			r := report.Numbered(i)
			sent.Add(r.Key, r.Value, r.Headers)
			batch = append(batch, message(name, r))
		}
		report.Must(p.SendMessages(batch))
	}
	got := readAll(name, nil)
	report.Need(got == sent, "sent ", sent, ", read ", got)
	got.Print(name)
}

// readAll reads to the end offsets of now; change may change the configuration.
func readAll(topic string, change func(*sarama.Config)) report.Sum {
	cfg := config()
	if change != nil {
		change(cfg)
	}
	client := report.Get(sarama.NewClient(seeds, cfg))
	defer client.Close()
	consumer := report.Get(sarama.NewConsumerFromClient(client))
	defer consumer.Close()
	// The ends without regard to isolation: for read_committed a transaction whose markers are still being written is behind them.
	anyConfig := config()
	anyConfig.Consumer.IsolationLevel = sarama.ReadUncommitted
	anyClient := report.Get(sarama.NewClient(seeds, anyConfig))
	defer anyClient.Close()
	var sum report.Sum
	for _, p := range report.Get(client.Partitions(topic)) {
		first, end := report.Get(anyClient.GetOffset(topic, p, sarama.OffsetOldest)), report.Get(anyClient.GetOffset(topic, p, sarama.OffsetNewest))
		if first == end {
			continue
		}
		pc := report.Get(consumer.ConsumePartition(topic, p, first))
		// The end may be behind markers and aborted records, which are not handed out: quiet for a while is the end too.
		for last := first - 1; last < end-1; {
			select {
			case m := <-pc.Messages():
				var headers []report.Header
				for _, h := range m.Headers {
					headers = append(headers, report.Header{Key: string(h.Key), Value: h.Value})
				}
				sum.Add(m.Key, m.Value, headers)
				last = m.Offset
			case err := <-pc.Errors():
				report.Must(err)
			case <-time.After(3 * time.Second):
				last = end
			}
		}
		report.Must(pc.Close())
	}
	return sum
}

func fill(topic string, partitions, first, last int) {
	p := report.Get(sarama.NewSyncProducer(seeds, config()))
	defer p.Close()
	var batch []*sarama.ProducerMessage
	for i := first; i < last; i++ {
		batch = append(batch, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint("k", i)), Value: sarama.StringEncoder(fmt.Sprint("v", i)),
			Partition: int32(i % partitions), Timestamp: report.Start.Add(time.Duration(i) * time.Second)})
	}
	report.Must(p.SendMessages(batch))
}

// member is a member of a group.
type member struct {
	each func(sarama.ConsumerGroupSession, *sarama.ConsumerMessage) bool // false: enough
	when func() bool                                                     // it joins when this holds; nil: at once
	mu   struct {
		sync.Mutex
		claims int
	}
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	n := 0
	for _, list := range s.Claims() {
		n += len(list)
	}
	m.mu.Lock()
	m.mu.claims = n
	m.mu.Unlock()
	return nil
}
func (m *member) Cleanup(s sarama.ConsumerGroupSession) error { s.Commit(); return nil }
func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for {
		select {
		case msg, ok := <-c.Messages():
			if !ok || !m.each(s, msg) {
				return nil
			}
			s.MarkMessage(msg, "")
			s.Commit()
		case <-s.Context().Done():
			return nil
		}
	}
}
func (m *member) claims() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.claims
}

// join runs members of a group until done, and has them leave.
func join(group, topic string, done func() bool, members ...*member) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, m := range members {
		cfg := config()
		cfg.ClientID = fmt.Sprint("member", i)
		cfg.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}
		g := report.Get(sarama.NewConsumerGroup([]string{report.Bootstrap}, group, cfg))
		wg.Go(func() {
			defer g.Close()
			if m.when != nil {
				report.Until(ctx, m.when)
			}
			for ctx.Err() == nil {
				if err := g.Consume(ctx, []string{topic}, m); err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			for range g.Errors() { // has to be read
			}
		})
	}
	inTime, end := context.WithTimeout(ctx, time.Minute)
	ok := report.Until(inTime, done)
	end()
	cancel()
	wg.Wait()
	report.Need(ok, "not done in time: ", topic)
}

func group() {
	name, g := report.Topic("group"), report.Topic("g")
	newTopic(name, 4, nil)
	fill(name, 4, 0, 400)
	var mu sync.Mutex
	seen, twice, limit := map[string]bool{}, "", 150
	each := func(_ sarama.ConsumerGroupSession, m *sarama.ConsumerMessage) bool {
		mu.Lock()
		defer mu.Unlock()
		if len(seen) >= limit {
			return false
		}
		if seen[string(m.Key)] {
			twice = string(m.Key)
		}
		seen[string(m.Key)] = true
		return true
	}
	read := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) >= n
	}
	join(g, name, func() bool { return read(150) }, &member{each: each})
	fill(name, 4, 400, 500)
	limit = 1000
	// The second joins when everything is read: a record that is taken from a member between reading and commit is read again.
	a, b := &member{each: each}, &member{each: each, when: func() bool { return read(500) }}
	join(g, name, func() bool { return read(500) && a.claims() == 2 && b.claims() == 2 }, a, b)
	report.Need(twice == "", "a record twice: ", twice)
	offsets := report.Get(admin.ListConsumerGroupOffsets(g, map[string][]int32{name: {0, 1, 2, 3}}))
	total := int64(0)
	for _, o := range offsets.Blocks[name] {
		total += o.Offset
	}
	report.Need(total == 500, "committed ", total)
}

func byTime() {
	name := report.Topic("time")
	newTopic(name, 1, nil)
	fill(name, 1, 0, 100)
	client := report.Get(sarama.NewClient(seeds, config()))
	defer client.Close()
	at := report.Get(client.GetOffset(name, 0, report.Start.Add(41500*time.Millisecond).UnixMilli()))
	report.Need(at == 42, "found ", at)
	report.Need(report.Get(client.GetOffset(name, 0, report.Start.Add(10000*time.Second).UnixMilli())) == -1, "a record after the last")
	consumer := report.Get(sarama.NewConsumerFromClient(client))
	pc := report.Get(consumer.ConsumePartition(name, 0, at))
	m := <-pc.Messages()
	report.Need(string(m.Value) == "v42" && m.Timestamp.Equal(report.Start.Add(42*time.Second)), m)
	report.Must(pc.Close())
}

func configs() {
	name := report.Topic("create")
	compact, bytes := "compact", "16777216"
	report.Must(admin.IncrementalAlterConfig(sarama.TopicResource, name, map[string]sarama.IncrementalAlterConfigsEntry{
		"cleanup.policy": {Operation: sarama.IncrementalAlterConfigsOperationAppend, Value: &compact},
		"segment.bytes":  {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &bytes},
		"retention.ms":   {Operation: sarama.IncrementalAlterConfigsOperationDelete},
	}, false))
	want := map[string]string{"cleanup.policy": "delete,compact", "segment.bytes": bytes, "retention.ms": "604800000"}
	found := 0
	for _, e := range report.Get(admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: name})) {
		if v, ok := want[e.Name]; ok {
			report.Need(e.Value == v, e)
			found++
		}
	}
	report.Need(found == 3, "found ", found)
	// The older call replaces everything.
	report.Must(admin.AlterConfig(sarama.TopicResource, name, map[string]*string{"segment.bytes": &bytes}, false))
	report.Need(len(report.Get(admin.DescribeLogDirs([]int32{1}))) == 1, "no log dirs")
}

func groups() {
	name, g := report.Topic("group"), report.Topic("g")
	_, listed := report.Get(admin.ListConsumerGroups())[g]
	report.Need(listed, "not listed")
	d := report.Get(admin.DescribeConsumerGroups([]string{g}))
	report.Need(d[0].State == "Empty", d[0].State)
	report.Must(admin.DeleteConsumerGroupOffset(g, name, 0))
	report.Need(report.Get(admin.ListConsumerGroupOffsets(g, map[string][]int32{name: {0}})).Blocks[name][0].Offset == -1, "offset not deleted")
	report.Must(admin.DeleteConsumerGroup(g))
	err := admin.DeleteConsumerGroup(g)
	report.Need(errors.Is(err, sarama.ErrGroupIDNotFound), "deleted twice: ", err)
}

func records() {
	name := report.Topic("time")
	report.Must(admin.DeleteRecords(name, map[int32]int64{0: 30}))
	report.Need(readAll(name, nil).Count == 70, "records")
}

func topics() {
	name := report.Topic("create")
	report.Must(admin.CreatePartitions(name, 5, nil, false))
	report.Need(len(report.Get(admin.DescribeTopics([]string{name}))[0].Partitions) == 5, "partitions")
	report.Must(admin.DeleteTopic(name))
	_, listed := report.Get(admin.ListTopics())[name]
	report.Need(!listed, "still listed")
}

func transactional(id string) sarama.SyncProducer {
	cfg := config()
	cfg.Producer.Transaction.ID = id
	cfg.Producer.Idempotent, cfg.Net.MaxOpenRequests = true, 1
	return report.Get(sarama.NewSyncProducer(seeds, cfg))
}

func transactions() {
	source, name := report.Topic("group"), report.Topic("txn")
	newTopic(name, 3, nil)
	p := transactional(report.Topic("tx"))
	var committed report.Sum
	for round := range 6 {
		report.Must(p.BeginTxn())
		var batch []*sarama.ProducerMessage
		for i := range 50 {
			r := report.Numbered(round*50 + i)
			batch = append(batch, message(name, r))
			if round%2 == 0 {
				committed.Add(r.Key, r.Value, r.Headers)
			}
		}
		report.Must(p.SendMessages(batch))
		if round%2 == 0 {
			report.Must(p.CommitTxn())
		} else {
			report.Must(p.AbortTxn())
		}
	}
	report.Must(p.Close())
	got := readAll(name, nil)
	report.Need(got == committed, "want ", committed, ", read ", got)
	report.Need(readAll(name, func(c *sarama.Config) { c.Consumer.IsolationLevel = sarama.ReadUncommitted }).Count == 300, "uncommitted")
	got.Print(name)

	out, g := report.Topic("copied"), report.Topic("copier")
	newTopic(out, 4, nil)
	q := transactional(g)
	defer q.Close()
	var mu sync.Mutex
	copied, round, trouble := 0, 0, error(nil)
	copier := &member{each: func(_ sarama.ConsumerGroupSession, m *sarama.ConsumerMessage) bool {
		mu.Lock()
		defer mu.Unlock()
		round++
		times := 1
		if round%9 == 1 {
			times = 2
		}
		for ; times > 0; times-- {
			err := errors.Join(q.BeginTxn(),
				q.SendMessages([]*sarama.ProducerMessage{{Topic: out, Partition: m.Partition, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}}),
				q.AddMessageToTxn(m, g, nil))
			if times > 1 {
				err = errors.Join(err, q.AbortTxn())
			} else {
				err = errors.Join(err, q.CommitTxn())
			}
			if err != nil {
				trouble = err
				return false
			}
		}
		copied++
		return true
	}}
	join(g, source, func() bool { mu.Lock(); defer mu.Unlock(); return copied >= 500 || trouble != nil }, copier)
	report.Must(trouble)
	a, b := readAll(source, nil), readAll(out, nil)
	report.Need(a == b, "in ", a, ", out ", b)
	b.Print(out)
}

func fencing() {
	name := report.Topic("txn")
	zombie := transactional(report.Topic("fence"))
	defer zombie.Close()
	report.Must(zombie.BeginTxn())
	report.Must(zombie.SendMessages([]*sarama.ProducerMessage{message(name, report.Numbered(1))}))
	next := transactional(report.Topic("fence"))
	defer next.Close()
	err := zombie.SendMessages([]*sarama.ProducerMessage{message(name, report.Numbered(2))})
	if err == nil {
		err = zombie.CommitTxn()
	}
	report.Need(err != nil, "the zombie committed")
	report.Need(zombie.TxnStatus()&(sarama.ProducerTxnFlagFatalError|sarama.ProducerTxnFlagInError|sarama.ProducerTxnFlagAbortableError) != 0, err, zombie.TxnStatus())
}

func large() {
	name := report.Topic("large")
	newTopic(name, 3, map[string]string{"max.message.bytes": fmt.Sprint(report.Limit)})
	cfg := config()
	cfg.Producer.MaxMessageBytes = 10_000_000
	p := report.Get(sarama.NewSyncProducer(seeds, cfg))
	defer p.Close()
	send := func(key string, value []byte, partition int32) error {
		_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: name, Key: sarama.StringEncoder(key), Value: sarama.ByteEncoder(value), Partition: partition})
		return err
	}
	for i := range int32(3) {
		report.Must(send("large", report.Large(report.Limit-1000), i))
	}
	err := send("large", report.Large(report.Limit+1), 0)
	report.Need(errors.Is(err, sarama.ErrMessageSizeTooLarge), "too large: ", err)
	report.Must(send("after", []byte("small"), 0))
	sum := readAll(name, func(c *sarama.Config) { c.Consumer.Fetch.Default = 1000 })
	report.Need(sum.Count == 4, sum)
	sum.Print(name)
}
