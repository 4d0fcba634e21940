package loadgen

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/wire"
)

// consumer is one consuming client of a topic.
type consumer struct {
	o     Options
	topic string
	index int // within its group: the raw client reads the partitions p with p % Consumers == index
	clock measure.Clock
	seen  *recorder
	group *groupCheck
}

// groupCheck looks after the order of what one group gets of one topic.
type groupCheck struct {
	mu         sync.Mutex
	next       map[source]uint64 // next expected sequence
	duplicates int64             // below what was expected: twice, or out of order
	gaps       int64             // left out, as far as later records show
	foreign    int64             // not written by this run
}

type source struct {
	producer  uint32
	partition int32
}

// see notes one record. New is false for one that came before.
func (g *groupCheck) see(partition int32, s stamp) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := source{s.producer, partition}
	switch want := g.next[key]; {
	case s.sequence < want:
		g.duplicates++
		return
	case s.sequence > want:
		g.gaps += int64(s.sequence - want)
	}
	g.next[key] = s.sequence + 1
}

// see counts one record that came at now.
func (c *consumer) see(partition int32, value []byte, now time.Time) {
	s, ok := stampOf(value)
	if !ok {
		c.group.mu.Lock()
		c.group.foreign++
		c.group.mu.Unlock()
		return
	}
	c.group.see(partition, s)
	c.seen.batch(c.clock.Time(s.due), now, 1)
}

// runRaw consumes until the context ends. The answer of a fetch counts as having come when it was read completely.
func (c *consumer) runRaw(ctx context.Context) error {
	next := map[int32]int64{}
	for p := c.index; p < c.o.Partitions; p += c.o.Consumers {
		next[int32(p)] = 0
	}
	if len(next) == 0 {
		<-ctx.Done()
		return nil
	}
	conn, err := wire.Dial(ctx, c.o.Bootstrap, "load")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	f := wire.NewFetcher(conn, c.topic, next, wire.FetchOptions{MaxWaitMillis: int32(c.o.FetchMaxWait.Milliseconds()), MinBytes: int32(c.o.FetchMinBytes),
		MaxBytes: int32(c.o.FetchMaxBytes), PartitionBytes: int32(c.o.PartitionBytes)})
	for {
		var now time.Time
		err := f.Poll(func(partition int32, _ int64, value []byte) {
			if now.IsZero() {
				now = time.Now()
			}
			c.see(partition, value, now)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("loadgen: consumer %d of %s: %w", c.index, c.topic, err)
		}
	}
}
