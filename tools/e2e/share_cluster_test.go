package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/tools/waittest"
)

const (
	shareTopic = "q"
	shareName  = "g"
	stateTopic = "__share_group_state"
)

// shareCluster is two brokers with one partition of the data, one of the states of share groups and one of their members, each of which the test moves.
type shareCluster struct {
	*fire
	nodes      []*proc.RingMQ
	partitions int32
}

func startShareCluster(t *testing.T, partitions int32, lock time.Duration) *shareCluster {
	t.Helper()
	c, err := proc.NewCluster(binary, t.TempDir(), 2, "share.coordinator.state.topic.num.partitions=1", "offsets.topic.num.partitions=1",
		"group.share.min.heartbeat.interval.ms=300", "group.share.heartbeat.interval.ms=300", "group.share.assignment.interval.ms=100",
		"group.share.max.delivery.count.limit=25", "group.share.max.record.lock.duration.ms=3600000", fmt.Sprint("group.share.record.lock.duration.ms=", lock.Milliseconds()),
		"group.share.max.session.timeout.ms=600000", "group.share.session.timeout.ms=600000",
		"s3.wal.capacity=134217728", "autobalancer.controller.enable=false")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Logf("log of node %d:\n%s", n.NodeID, tail(serverLog(n), 6000))
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s := &shareCluster{fire: &fire{T: t}, nodes: c.Nodes, partitions: partitions}
	s.cl = s.client(c.Seeds(), kgo.DefaultProduceTopic(shareTopic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	s.adm = kadm.NewClient(s.cl)
	s.must(s.adm.CreateTopic(t.Context(), partitions, 1, nil, shareTopic))
	s.configure("share.auto.offset.reset=earliest", "share.delivery.count.limit=25")
	return s
}

// configure sets what holds for the group.
func (s *shareCluster) configure(configs ...string) {
	s.Helper()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, shareName
	for _, c := range configs {
		name, value, _ := strings.Cut(c, "=")
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Value: &value})
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(s.Context(), s.cl)
	s.must(resp, err)
	s.must(nil, kerr.ErrorForCode(resp.Resources[0].ErrorCode))
}

// produce writes records 0 to n-1 of a partition as one batch.
func (s *shareCluster) produce(partition int32, n int) {
	s.Helper()
	var list []*kgo.Record
	for i := range n {
		list = append(list, &kgo.Record{Partition: partition, Value: fmt.Append(nil, i)})
	}
	s.must(nil, s.cl.ProduceSync(s.Context(), list...).FirstErr())
}

// shareHand is a member of the group that speaks by hand: what it has asked for and when is known.
type shareHand struct {
	s       *shareCluster
	cl      *kgo.Client
	id      string
	topic   [16]byte
	epoch   int32           // of the member
	session map[int32]int32 // epochs of its sessions, by broker
	owned   int             // partitions
}

func (s *shareCluster) hand(id string) *shareHand {
	s.Helper()
	topics, err := s.adm.ListTopics(s.Context(), shareTopic)
	s.must(topics, err)
	m := &shareHand{s: s, cl: s.client(s.seeds()), id: id, topic: topics[shareTopic].ID, session: make(map[int32]int32)}
	m.beats("partitions", func() bool { return m.owned > 0 })
	return m
}

func (s *shareCluster) seeds() (out []string) {
	for _, n := range s.nodes {
		out = append(out, n.Seed())
	}
	return out
}

// beats sends heartbeats until something is so. Whatever becomes of the coordinator, the member has to stay one.
func (m *shareHand) beats(what string, until func() bool) {
	m.s.Helper()
	waittest.UntilNil(m.s, time.Minute, what, func() error {
		req := kmsg.NewPtrShareGroupHeartbeatRequest()
		req.GroupID, req.MemberID, req.MemberEpoch = shareName, m.id, m.epoch
		if m.epoch == 0 {
			req.SubscribedTopicNames = []string{shareTopic}
		}
		ctx, cancel := context.WithTimeout(m.s.Context(), 10*time.Second)
		defer cancel()
		resp, err := req.RequestWith(ctx, m.cl)
		if err != nil {
			return err
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); kerr.IsRetriable(err) {
			return err
		} else if err != nil {
			m.s.Fatalf("heartbeat: %v", err)
		}
		m.epoch = resp.MemberEpoch
		if resp.Assignment != nil {
			m.owned = 0
			for _, t := range resp.Assignment.TopicPartitions {
				m.owned += len(t.Partitions)
			}
		}
		if !until() {
			return errors.New("not yet")
		}
		return nil
	})
}

func (m *shareHand) ask(broker int32, req kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(m.s.Context(), 30*time.Second)
	defer cancel()
	return m.cl.Broker(int(broker)).Request(ctx, req)
}

// tryFetch asks a broker once. A session that the broker does not know is begun anew.
func (m *shareHand) tryFetch(broker int32) (got []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord, err error) {
	req := kmsg.NewPtrShareFetchRequest()
	group := shareName
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &group, &m.id, m.session[broker]
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.MaxRecords, req.BatchSize = 300, 1, 1<<20, 500, 500
	if req.ShareSessionEpoch == 0 {
		req.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: m.topic, Partitions: []kmsg.ShareFetchRequestTopicPartition{{}}}}
	}
	resp, err := m.ask(broker, req)
	if err == nil {
		err = kerr.ErrorForCode(resp.(*kmsg.ShareFetchResponse).ErrorCode)
	}
	if err != nil {
		m.session[broker] = 0
		return nil, err
	}
	m.session[broker]++
	for _, t := range resp.(*kmsg.ShareFetchResponse).Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, err
			}
			got = append(got, p.AcquiredRecords...)
		}
	}
	return got, nil
}

// fetch wants records of partition 0: ranges of offsets, with their number of deliveries.
func (m *shareHand) fetch(broker int32, want ...string) {
	m.s.Helper()
	var all []string
	waittest.UntilNil(m.s, time.Minute, fmt.Sprintf("broker %d delivers %v", broker, want), func() error {
		got, err := m.tryFetch(broker)
		for _, a := range got {
			all = append(all, fmt.Sprintf("%d-%d/%d", a.FirstOffset, a.LastOffset, a.DeliveryCount))
		}
		switch {
		case slices.Equal(all, want):
			return nil
		case len(all) > len(want) || !slices.Equal(all, want[:len(all)]):
			m.s.Fatalf("broker %d delivers %v, want %v", broker, all, want)
		}
		return fmt.Errorf("so far %v: %w", all, err)
	})
}

// nothing wants no records.
func (m *shareHand) nothing(broker int32) {
	m.s.Helper()
	waittest.UntilNil(m.s, time.Minute, fmt.Sprintf("broker %d answers", broker), func() error {
		got, err := m.tryFetch(broker)
		if len(got) > 0 {
			m.s.Fatalf("broker %d delivers %v, when everything is done", broker, got)
		}
		return err
	})
}

// Types of acknowledgements.
const (
	shareAccept, shareRelease, shareReject = 1, 2, 3
)

// acknowledge says something of offsets of partition 0, once.
func (m *shareHand) acknowledge(broker int32, first, last int64, kind int8) error {
	req := kmsg.NewPtrShareAcknowledgeRequest()
	group := shareName
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &group, &m.id, m.session[broker]
	req.Topics = []kmsg.ShareAcknowledgeRequestTopic{{TopicID: m.topic, Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{{
		AcknowledgementBatches: []kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch{{FirstOffset: first, LastOffset: last, AcknowledgeTypes: []int8{kind}}},
	}}}}
	answer, err := m.ask(broker, req)
	if err != nil {
		m.session[broker] = 0
		return err
	}
	resp := answer.(*kmsg.ShareAcknowledgeResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		m.session[broker] = 0
		return err
	}
	m.session[broker]++
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

func (m *shareHand) mustAcknowledge(broker int32, first, last int64, kind int8) {
	m.s.Helper()
	if err := m.acknowledge(broker, first, last, kind); err != nil {
		m.s.Fatalf("acknowledge %d to %d: %v", first, last, err)
	}
}

// stale says that acknowledgements are refused by who does not lead the partition (any more).
func (m *shareHand) stale(broker int32, first, last int64) {
	m.s.Helper()
	err := m.acknowledge(broker, first, last, shareAccept)
	for _, allowed := range []error{kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.ShareSessionNotFound, kerr.InvalidRecordState} {
		if errors.Is(err, allowed) {
			return
		}
	}
	m.s.Fatalf("acknowledge %d to %d at a broker that has lost the partition: %v", first, last, err)
}

// at wants the group to be at an offset of partition 0, and so far behind.
func (s *shareCluster) at(start, lag int64) {
	s.Helper()
	waittest.UntilNil(s, time.Minute, "the group's offset", func() error {
		partitions, err := s.offsets()
		if err != nil {
			return err
		}
		if p := partitions[0]; p.StartOffset != start || p.Lag != lag {
			return fmt.Errorf("at %d, %d behind, want %d and %d", p.StartOffset, p.Lag, start, lag)
		}
		return nil
	})
}

// lag is how many records the group has not done with.
func (s *shareCluster) lag() (lag int64, err error) {
	partitions, err := s.offsets()
	for _, p := range partitions {
		if p.Lag < 0 {
			return 0, fmt.Errorf("the lag of partition %d is not known", p.Partition)
		}
		lag += p.Lag
	}
	return lag, err
}

// offsets is where the group is in each partition.
func (s *shareCluster) offsets() ([]kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition, error) {
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	topic := kmsg.DescribeShareGroupOffsetsRequestGroupTopic{Topic: shareTopic}
	for p := range s.partitions {
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: shareName, Topics: []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{topic}}}
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.Groups[0].ErrorCode); err != nil {
		return nil, err
	}
	return resp.Groups[0].Topics[0].Partitions, nil
}

// again kills a node and starts it again.
func (s *shareCluster) again(node int) {
	s.Helper()
	s.nodes[node-1].Kill()
	restart(s.T, s.nodes[node-1])
}

// TestShareMoves: the partition, its state and the coordinator of the group go from broker to broker while a member has records, and brokers are killed. What was
// acknowledged is not delivered again, what was not is; a record that was let go knows how often it was delivered, and one that was not let go does not, as with
// Apache Kafka.
func TestShareMoves(t *testing.T) {
	s := startShareCluster(t, 1, time.Hour)
	s.move(shareTopic, 1)
	s.produce(0, 20)
	m := s.hand("m")
	s.move(stateTopic, 1)
	s.move("__consumer_offsets", 1)

	// The leader moves.
	m.fetch(1, "0-19/1")
	m.mustAcknowledge(1, 0, 2, shareAccept)
	m.mustAcknowledge(1, 3, 3, shareRelease)
	m.mustAcknowledge(1, 4, 4, shareReject)
	m.mustAcknowledge(1, 6, 6, shareAccept)
	s.move(shareTopic, 2)
	m.stale(1, 5, 5)
	m.fetch(2, "3-3/2", "5-5/1", "7-19/1")
	m.mustAcknowledge(2, 3, 3, shareAccept)
	m.mustAcknowledge(2, 5, 5, shareAccept)

	// The state moves under the leader, and then the leader.
	s.move(stateTopic, 2)
	m.mustAcknowledge(2, 7, 8, shareAccept)
	m.mustAcknowledge(2, 9, 9, shareRelease)
	s.move(stateTopic, 1)
	m.mustAcknowledge(2, 10, 10, shareAccept)
	s.move(shareTopic, 1)
	m.stale(2, 11, 11)
	m.fetch(1, "9-9/2", "11-19/1")
	m.mustAcknowledge(1, 9, 9, shareAccept)
	m.mustAcknowledge(1, 11, 11, shareAccept)

	// The coordinator of the group moves: the member stays one, with what it has.
	epoch := m.epoch
	s.move("__consumer_offsets", 2)
	m.beats("a new coordinator", func() bool { return true })
	if m.epoch != epoch || m.owned != 1 {
		t.Errorf("after the coordinator has moved the member has epoch %d and %d partitions, and had epoch %d", m.epoch, m.owned, epoch)
	}
	m.mustAcknowledge(1, 12, 12, shareAccept)
	s.at(12, 7) // the start is written with the next change; what is done beyond it is counted

	// Brokers are killed: first the one with the group's coordinator, then the one with the partition and the state, with its coordinator elsewhere.
	s.again(2)
	m.beats("the coordinator is back", func() bool { return true })
	m.mustAcknowledge(1, 13, 13, shareAccept)
	s.again(1)
	m.fetch(1, "14-19/1")
	m.mustAcknowledge(1, 15, 15, shareAccept)
	m.mustAcknowledge(1, 14, 14, shareRelease)

	// The leader and the state are not on one broker when either is killed.
	s.move(stateTopic, 2)
	m.fetch(1, "14-14/2")
	m.mustAcknowledge(1, 14, 14, shareAccept)
	s.again(2)
	m.mustAcknowledge(1, 16, 16, shareAccept)
	s.again(1)
	m.fetch(1, "17-19/1")
	m.mustAcknowledge(1, 17, 18, shareAccept)
	s.move(shareTopic, 2)
	m.fetch(2, "19-19/1")
	m.mustAcknowledge(2, 19, 19, shareAccept)
	for _, to := range []int32{1, 2} {
		s.move(shareTopic, to)
		m.nothing(to)
	}
	s.at(19, 0)
}

func serverLog(n *proc.RingMQ) string {
	b, err := os.ReadFile(filepath.Join(n.Dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}
