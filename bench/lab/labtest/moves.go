package labtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Mover moves partitions from broker to broker, at random, by Kafka's own request.
type Mover struct {
	c       *Cluster
	topic   string
	leaders []int // that each partition has, or moves to
	cancel  context.CancelFunc
	done    sync.WaitGroup

	// Valid after Stop.
	Moves   int    // asked for and granted
	Refused int    // asked for and not granted, or not answered: brokers and controllers may be away
	Why     string // the last reason of that
}

// StartMoves moves partitions of a topic, so many a second, until Stop or the end of the test.
func (c *Cluster) StartMoves(topic string, perSecond int) *Mover {
	c.T.Helper()
	ctx, cancel := context.WithCancel(c.T.Context())
	m := &Mover{c: c, topic: topic, leaders: c.AwaitLeaders(time.Minute, topic), cancel: cancel}
	cl := c.Client(kgo.RequestTimeoutOverhead(2 * time.Second))
	brokers := c.Brokers()
	m.done.Go(func() {
		begun, due := time.Now(), 0
		for ctx.Err() == nil {
			n := int(time.Since(begun).Seconds()*float64(perSecond)) - due
			if n == 0 {
				select {
				case <-ctx.Done():
				case <-time.After(time.Millisecond):
				}
				continue
			}
			due += n
			m.move(cl, brokers, n)
		}
	})
	return m
}

// move moves n partitions by one request.
func (m *Mover) move(cl *kgo.Client, brokers []*Node, n int) {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis = 5000
	topic := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	topic.Topic = m.topic
	for _, p := range rand.Perm(len(m.leaders))[:min(n, len(m.leaders))] {
		to := brokers[rand.IntN(len(brokers))].NodeID
		for len(brokers) > 1 && to == m.leaders[p] {
			to = brokers[rand.IntN(len(brokers))].NodeID
		}
		m.leaders[p] = to
		part := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		part.Partition, part.Replicas = int32(p), []int32{int32(to)}
		topic.Partitions = append(topic.Partitions, part)
	}
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(m.c.T.Context(), 5*time.Second)
	defer cancel()
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		m.Refused += len(topic.Partitions)
		m.Why = err.Error()
		return
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				m.Refused++
				m.Why = fmt.Sprintf("partition %d: %v", p.Partition, err)
				if p.ErrorMessage != nil {
					m.Why += ": " + *p.ErrorMessage
				}
			} else {
				m.Moves++
			}
		}
	}
}

// Stop ends the moves, and waits until none is under way.
func (m *Mover) Stop() {
	m.c.T.Helper()
	m.cancel()
	m.done.Wait()
	cl := m.c.Client()
	defer cl.Close()
	m.c.Await(recovery, "end of all moves", func() error {
		ctx, cancel := context.WithTimeout(m.c.T.Context(), 5*time.Second)
		defer cancel()
		resp, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			if len(t.Partitions) > 0 {
				return fmt.Errorf("%d partitions of %s are on their way, one of them %+v", len(t.Partitions), t.Topic, t.Partitions[0])
			}
		}
		return nil
	})
}
