package clients

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/waittest"
)

// member is the one member of a group, for the command line tools to look at. It sends heartbeats until it leaves.
type member struct {
	t      *testing.T
	cl     *kgo.Client
	group  string
	topic  string // that it reads
	cancel context.CancelFunc
	done   chan struct{}
}

// memberID is that of every member: Kafka lets those of newer protocols choose.
const memberID = "member-1"

func newMember(t *testing.T, seed, group, topic string) (context.Context, member) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx, member{t: t, cl: cl, group: group, topic: topic, cancel: cancel, done: make(chan struct{})}
}

// live sends heartbeats until ctx ends.
func (m *member) live(ctx context.Context, beat func(context.Context) error) {
	defer close(m.done)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			_ = beat(ctx) // a lost one is made up for by the next
		}
	}
}

// end ends the heartbeats, and says goodbye.
func (m *member) end(goodbye func(context.Context) error) {
	m.t.Helper()
	m.cancel()
	<-m.done
	if err := goodbye(m.t.Context()); err != nil {
		m.t.Fatalf("leave: %v", err)
	}
}

// streamsMember is a member of a streams group.
type streamsMember struct {
	member
	mu    sync.Mutex // guards the fields below
	epoch int32
	tasks []kmsg.TaskIDs
}

// joinStreams makes a group whose topology reads a topic and keeps state, waits until its member has the tasks, and commits offset 1 for partition 0.
func joinStreams(t *testing.T, seed, group, topic string) *streamsMember {
	t.Helper()
	ctx, one := newMember(t, seed, group, topic)
	m := &streamsMember{member: one}
	waittest.UntilNil(t, patience, "the member has tasks", func() error {
		if err := m.beat(ctx); err != nil {
			return err
		}
		if len(m.tasks) == 0 {
			return fmt.Errorf("none in epoch %d", m.epoch)
		}
		return nil
	})
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Version, commit.Group, commit.MemberID, commit.Generation = 9, group, memberID, m.epoch
	rt := kmsg.NewOffsetCommitRequestTopic()
	topics, err := kadm.NewClient(m.cl).ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	rt.Topic, rt.TopicID = topic, topics[topic].ID // the client decides which of them is sent
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset = 1
	rt.Partitions = append(rt.Partitions, rp)
	commit.Topics = append(commit.Topics, rt)
	if resp, err := commit.RequestWith(ctx, m.cl); err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("commit: %+v %v", resp, err)
	}
	go m.live(ctx, m.beat)
	return m
}

// beat sends a heartbeat.
func (m *streamsMember) beat(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = m.group, memberID, m.epoch
	req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = append([]kmsg.TaskIDs{}, m.tasks...), []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	if m.epoch == 0 {
		process := "process-1"
		req.RebalanceTimeoutMillis, req.ProcessID = 60_000, &process
		req.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
			{SubtopologyID: "0", SourceTopics: []string{m.topic}, StateChangelogTopics: []kmsg.TopicInfo{{Topic: m.group + "-state-changelog"}}},
		}}
	}
	resp, err := m.ask(ctx, req)
	if err != nil {
		return err
	}
	m.epoch = resp.MemberEpoch
	if resp.ActiveTasks != nil {
		m.tasks = resp.ActiveTasks
	}
	return nil
}

func (m *streamsMember) leave() {
	m.t.Helper()
	m.end(func(ctx context.Context) error {
		req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = m.group, memberID, -1
		_, err := m.ask(ctx, req)
		return err
	})
}

// ask sends a heartbeat to the one broker that there is: the client does not know whose it is.
func (m *streamsMember) ask(ctx context.Context, req *kmsg.StreamsGroupHeartbeatRequest) (*kmsg.StreamsGroupHeartbeatResponse, error) {
	answer, err := m.cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.StreamsGroupHeartbeatResponse)
	if resp.ErrorCode != 0 {
		return nil, fmt.Errorf("error %d: %v", resp.ErrorCode, resp.ErrorMessage)
	}
	return resp, nil
}
