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

// streamsMember is the one member of a streams group, for the command line tools to look at. It sends heartbeats until it leaves.
type streamsMember struct {
	t      *testing.T
	cl     *kgo.Client
	group  string
	topic  string // that the program reads
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex // guards the fields below
	epoch int32
	tasks []kmsg.TaskIDs
}

// joinStreams makes a group whose topology reads a topic and keeps state, waits until its member has the tasks, and commits offset 1 for partition 0.
func joinStreams(t *testing.T, seed, group, topic string) *streamsMember {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	m := &streamsMember{t: t, cl: cl, group: group, topic: topic, cancel: cancel, done: make(chan struct{})}
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
	commit.Version, commit.Group, commit.MemberID, commit.Generation = 9, group, "member-1", m.epoch
	rt := kmsg.NewOffsetCommitRequestTopic()
	topics, err := kadm.NewClient(cl).ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	rt.Topic, rt.TopicID = topic, topics[topic].ID // the client decides which of them is sent
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset = 1
	rt.Partitions = append(rt.Partitions, rp)
	commit.Topics = append(commit.Topics, rt)
	if resp, err := commit.RequestWith(ctx, cl); err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("commit: %+v %v", resp, err)
	}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
				_ = m.beat(ctx) // a lost one is made up for by the next
			}
		}
	}()
	return m
}

// beat sends a heartbeat.
func (m *streamsMember) beat(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = m.group, "member-1", m.epoch
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
	m.cancel()
	<-m.done
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = m.group, "member-1", -1
	if _, err := m.ask(m.t.Context(), req); err != nil {
		m.t.Fatalf("leave: %v", err)
	}
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
