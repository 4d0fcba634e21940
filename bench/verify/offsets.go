package verify

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// endOffsets asks for the high watermark of each partition.
func endOffsets(ctx context.Context, opts []kgo.Opt, topic string, n int) ([]int64, error) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("verify: list end offsets of %s: %w", topic, err)
	}
	ends := make([]int64, n)
	for i := range ends {
		o, ok := listed.Lookup(topic, int32(i))
		if !ok {
			return nil, fmt.Errorf("verify: no end offset of %s-%d", topic, i)
		}
		ends[i] = o.Offset
	}
	return ends, nil
}

// CreateTopic creates the topic to load.
func CreateTopic(ctx context.Context, seeds []string, topic string, partitions int, configs map[string]*string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), 1, configs, topic); err != nil {
		return fmt.Errorf("verify: create topic %s: %w", topic, err)
	}
	return nil
}
