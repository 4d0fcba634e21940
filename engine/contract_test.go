package engine_test

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/tools/waittest"
)

// The contract tests put statements about Kafka's protocol to a broker, byte for byte. Usually that is a node inside the test. With
// RINGMQ_CONTRACT=host:port it is the broker there: run them against an Apache Kafka (kafkatool broker DIR) to ask whether the
// statements are true. Tests that need a restart or settings of their own are skipped then.

const contractEnv = "RINGMQ_CONTRACT"

// target is the broker that is asked.
type target struct {
	t    *testing.T
	addr string
	node *enginetest.Node // nil for a broker elsewhere
}

func contract(t *testing.T, overrides ...string) *target {
	t.Helper()
	if addr := os.Getenv(contractEnv); addr != "" {
		if len(overrides) > 0 {
			t.Skipf("SKIPPED: what needs a broker with settings of its own; %s names one that has others", contractEnv)
		}
		return &target{t, addr, nil}
	}
	n := enginetest.Start(t, enginetest.Options{Overrides: overrides})
	return &target{t, n.Seed(), n}
}

// restart stops the node and starts it again; what is not ours is not restarted.
func (x *target) restart() {
	x.t.Helper()
	if x.node == nil {
		x.t.Skipf("SKIPPED: what follows a restart of the broker; %s is not ours to restart", contractEnv)
	}
	x.node = x.node.Restart()
	x.addr = x.node.Seed()
}

// at is the same broker for a subtest.
func (x *target) at(t *testing.T) *target { return &target{t, x.addr, x.node} }

func (x *target) dial() *wire {
	x.t.Helper()
	c, err := net.Dial("tcp", x.addr)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &wire{x.t, c}
}

// ask sends a request on a connection of its own and decodes the answer.
func ask[R kmsg.Response](x *target, req kmsg.Request) R {
	x.t.Helper()
	w := x.dial()
	defer w.Close()
	return askOn[R](w, req)
}

func askOn[R kmsg.Response](w *wire, req kmsg.Request) R {
	w.t.Helper()
	return w.request(req, 77).(R)
}

// check compares error codes.
func (x *target) check(what string, got, want kproto.ErrorCode) {
	x.t.Helper()
	if got != want {
		x.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// name is a name that no other test uses.
func (x *target) name() string {
	x.t.Helper()
	base := strings.Map(func(r rune) rune {
		if r < 128 && (r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return r
		}
		return '-'
	}, x.t.Name())
	return base + "-" + rand.Text()[:8]
}

// topic creates a topic and waits until it has leaders. configs are key=value.
func (x *target) topic(partitions int32, configs ...string) string {
	x.t.Helper()
	name := x.name()
	x.create(name, partitions, configs...)
	return name
}

func (x *target) create(name string, partitions int32, configs ...string) {
	x.t.Helper()
	req := createRequest(7, name, partitions, 1, configs...)
	resp := ask[*kmsg.CreateTopicsResponse](x, req)
	if code := resp.Topics[0].ErrorCode; code != 0 {
		x.t.Fatalf("create topic %s: %v", name, kproto.ErrorCode(code))
	}
	x.eventually("the topic has leaders", func() bool {
		t := x.metadata(name)
		if t.ErrorCode != 0 || len(t.Partitions) != int(partitions) {
			return false
		}
		for i := range partitions {
			if p := x.listOffset(9, name, i, -2); p.ErrorCode != 0 {
				return false
			}
		}
		return true
	})
}

// listOffset asks for one offset of a partition, -1 to -6 or by time.
func (x *target) listOffset(version int16, topic string, partition int32, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	x.t.Helper()
	return ask[*kmsg.ListOffsetsResponse](x, listOffsetsRequest(version, topic, partition, timestamp)).Topics[0].Partitions[0]
}

func listOffsetsRequest(version int16, topic string, partition int32, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID, req.TimeoutMillis = version, -1, 10000
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = partition, timestamp, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func createRequest(version int16, name string, partitions int32, replicas int16, configs ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = version, 10000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, replicas
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// metadata asks about one topic without creating it.
func (x *target) metadata(name string) kmsg.MetadataResponseTopic {
	x.t.Helper()
	req := metadataRequest(12, name)
	return ask[*kmsg.MetadataResponse](x, req).Topics[0]
}

func metadataRequest(version int16, names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func (x *target) topicID(name string) [16]byte {
	x.t.Helper()
	return x.metadata(name).TopicID
}

// leaderEpoch is the leader epoch of partition 0.
func (x *target) leaderEpoch(name string) int32 {
	x.t.Helper()
	return x.metadata(name).Partitions[0].LeaderEpoch
}

// eventually polls a condition that comes true soon, for what a broker does after it has answered.
func (x *target) eventually(what string, ok func() bool) {
	x.t.Helper()
	waittest.Until(x.t, 15*time.Second, what, ok)
}

// wantCode compares a Kafka error code.
func wantCode(t *testing.T, what string, got int16, want kproto.ErrorCode) {
	t.Helper()
	if got != int16(want) {
		t.Errorf("%s: %v, want %v", what, kproto.ErrorCode(got), want)
	}
}

// batchOf builds a batch of values, timestamped now.
func batchOf(values ...string) []byte {
	return batchAt(time.Now().UnixMilli(), values...)
}

func batchAt(timestamp int64, values ...string) []byte {
	var bb kproto.BatchBuilder
	for _, v := range values {
		bb.Add(timestamp, nil, []byte(v), nil)
	}
	return bb.Bytes()
}

// numbered is n values.
func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("value %d", i)
	}
	return out
}

// send produces one batch to partition 0 with acks=all and returns the answer.
func (x *target) send(topic string, records []byte) kmsg.ProduceResponseTopicPartition {
	x.t.Helper()
	return ask[*kmsg.ProduceResponse](x, produceRequest(topic, -1, records)).Topics[0].Partitions[0]
}

// mustSend is send of what has to succeed; it returns the base offset.
func (x *target) mustSend(topic string, records []byte) int64 {
	x.t.Helper()
	p := x.send(topic, records)
	if p.ErrorCode != 0 {
		x.t.Fatalf("produce: %v (%v)", kproto.ErrorCode(p.ErrorCode), deref(p.ErrorMessage))
	}
	return p.BaseOffset
}

func deref(s *string) string {
	if s == nil {
		return "<null>"
	}
	return *s
}

func fetchRequest(version int16, maxWait time.Duration, minBytes int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = version, int32(maxWait.Milliseconds()), minBytes, 50<<20
	req.SessionID, req.SessionEpoch = 0, -1
	return req
}

// addFetch adds a partition to a fetch by name and by id.
func addFetch(req *kmsg.FetchRequest, topic string, id [16]byte, partition int32, offset int64, maxBytes int32) *kmsg.FetchRequestTopicPartition {
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = partition, offset, maxBytes, -1
	for i := range req.Topics {
		if rt := &req.Topics[i]; rt.Topic == topic && rt.TopicID == id {
			rt.Partitions = append(rt.Partitions, rp)
			return &rt.Partitions[len(rt.Partitions)-1]
		}
	}
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return &req.Topics[len(req.Topics)-1].Partitions[0]
}

// fetch reads partition 0 from an offset, by name, at once.
func (x *target) fetch(topic string, offset int64) kmsg.FetchResponseTopicPartition {
	x.t.Helper()
	req := fetchRequest(12, 0, 1)
	addFetch(req, topic, [16]byte{}, 0, offset, 50<<20)
	return ask[*kmsg.FetchResponse](x, req).Topics[0].Partitions[0]
}

// first decodes the first batch of fetched records.
func first(t *testing.T, records []byte) kproto.Batch {
	t.Helper()
	b, err := kproto.FirstBatch(records)
	if err != nil {
		t.Fatalf("fetched records of %d bytes: %v", len(records), err)
	}
	return b
}
