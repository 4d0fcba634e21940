package wire

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic creates a topic; one that exists is fine. It returns when each partition is served by its leader.
func CreateTopic(ctx context.Context, address, topic string, partitions int, configs map[string]string) error {
	return CreateTopics(ctx, address, []string{topic}, partitions, configs)
}

// topicsPerRequest keeps requests of CreateTopics, and what it takes to answer them, of a bounded size.
const topicsPerRequest = 500

// CreateTopics is CreateTopic for many topics, some hundred in one request.
func CreateTopics(ctx context.Context, address string, topics []string, partitions int, configs map[string]string) error {
	c, err := Dial(ctx, address, "bench-admin")
	if err != nil {
		return err
	}
	defer c.Close()
	if at, ok := ctx.Deadline(); ok {
		c.SetDeadline(at)
	}
	for rest := topics; len(rest) > 0; {
		some := rest[:min(len(rest), topicsPerRequest)]
		rest = rest[len(some):]
		if err := c.createTopics(some, partitions, configs); err != nil {
			return err
		}
		if err := c.awaitServed(ctx, some, partitions); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) createTopics(topics []string, partitions int, configs map[string]string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 5, 60_000
	for _, topic := range topics {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), 1
		for k, v := range configs {
			cfg := kmsg.NewCreateTopicsRequestTopicConfig()
			cfg.Name, cfg.Value = k, kmsg.StringPtr(v)
			t.Configs = append(t.Configs, cfg)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := c.Request(req)
	if err != nil {
		return err
	}
	for _, rt := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if rt.ErrorCode != 0 && rt.ErrorCode != kerr.TopicAlreadyExists.Code {
			return fmt.Errorf("wire: create topic %s: %w", rt.Topic, kerr.ErrorForCode(rt.ErrorCode))
		}
	}
	return nil
}

func (c *Conn) awaitServed(ctx context.Context, topics []string, partitions int) error {
	want := len(topics) * partitions
	for {
		n, err := c.served(topics, partitions)
		if err != nil {
			return err
		}
		if n >= want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wire: of topic %s and %d others %d partitions are served, want %d: %w", topics[0], len(topics)-1, n, want, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// served counts the partitions whose log the broker finds. Metadata would not do: it names a leader before that leader knows.
func (c *Conn) served(topics []string, partitions int) (int, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 5, -1
	for _, topic := range topics {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for i := range partitions {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp, p.CurrentLeaderEpoch = int32(i), -1, -1
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := c.Request(req)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, rt := range resp.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range rt.Partitions {
			if p.ErrorCode == 0 {
				n++
			}
		}
	}
	return n, nil
}

// DeleteTopic removes a topic; one that does not exist is fine.
func DeleteTopic(ctx context.Context, address, topic string) error {
	c, err := Dial(ctx, address, "bench-admin")
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis, req.TopicNames = 5, 30_000, []string{topic}
	resp, err := c.Request(req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.DeleteTopicsResponse).Topics {
		if t.ErrorCode != 0 && t.ErrorCode != kerr.UnknownTopicOrPartition.Code {
			return fmt.Errorf("wire: delete topic %s: %w", topic, kerr.ErrorForCode(t.ErrorCode))
		}
	}
	return nil
}
