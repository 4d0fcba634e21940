package clients

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/waittest"
)

// shareMember is a member of a share group, which reads nothing.
type shareMember struct {
	member
	mu         sync.Mutex // guards the fields below
	epoch      int32
	partitions int
}

// joinShare waits until a share group has a member that has all the partitions of its topic.
func joinShare(t *testing.T, seed, group, topic string, partitions int) *shareMember {
	t.Helper()
	ctx, one := newMember(t, seed, group, topic)
	m := &shareMember{member: one}
	waittest.UntilNil(t, patience, "the member has partitions", func() error {
		if err := m.beat(ctx); err != nil {
			return err
		}
		if m.partitions < partitions {
			return errors.New("not all of them")
		}
		return nil
	})
	go m.live(ctx, m.beat)
	return m
}

// beat sends a heartbeat.
func (m *shareMember) beat(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.MemberEpoch = m.group, memberID, m.epoch
	if m.epoch == 0 {
		req.SubscribedTopicNames = []string{m.topic}
	}
	resp, err := m.ask(ctx, req)
	if err != nil {
		return err
	}
	m.epoch = resp.MemberEpoch
	if resp.Assignment != nil {
		m.partitions = 0
		for _, t := range resp.Assignment.TopicPartitions {
			m.partitions += len(t.Partitions)
		}
	}
	return nil
}

func (m *shareMember) leave() {
	m.t.Helper()
	m.end(func(ctx context.Context) error {
		req := kmsg.NewPtrShareGroupHeartbeatRequest()
		req.GroupID, req.MemberID, req.MemberEpoch = m.group, memberID, -1
		_, err := m.ask(ctx, req)
		return err
	})
}

func (m *shareMember) ask(ctx context.Context, req *kmsg.ShareGroupHeartbeatRequest) (*kmsg.ShareGroupHeartbeatResponse, error) {
	resp, err := req.RequestWith(ctx, m.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	return resp, err
}
