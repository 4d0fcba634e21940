package engine

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/telemetry"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/s3stream"
)

// logCleaner compacts the partitions that this broker leads and whose topics have cleanup.policy=compact: always the one with the largest share of dirty bytes, as many at a
// time as log.cleaner.threads says. A partition with a damaged batch is left alone until it is opened again.
type logCleaner struct {
	b        *Broker
	throttle s3stream.Throttle
	finished chan struct{} // capacity 1: a cleaning has come to an end
	running  sync.WaitGroup

	mu struct {
		sync.Mutex
		busy  map[cleanKey]bool
		rest  map[cleanKey]time.Time // failed, or came to nothing: not to be tried before
		bad   map[cleanKey]*partition.Partition
		stats telemetry.Cleaner
		began time.Time // the last cleaning
	}
}

type cleanKey struct {
	topic     kraft.TopicID
	partition int32
}

func newLogCleaner(b *Broker) *logCleaner {
	c := &logCleaner{b: b, finished: make(chan struct{}, 1)}
	c.mu.busy, c.mu.rest, c.mu.bad = make(map[cleanKey]bool), make(map[cleanKey]time.Time), make(map[cleanKey]*partition.Partition)
	return c
}

// run cleans until the broker closes.
func (c *logCleaner) run() {
	defer c.running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.b.ctx.Done():
			return
		case <-timer.C:
		case <-c.finished:
		}
		cfg := c.b.cfg.Cleaner(c.b.dynamicConfig())
		c.throttle.SetRate(cfg.BytesPerSecond)
		for c.begin(cfg) {
		}
		timer.Reset(max(cfg.Backoff, 10*time.Millisecond))
	}
}

// begin starts to clean the dirtiest partition, if there is one and a thread is free.
func (c *logCleaner) begin(cfg config.Cleaner) bool {
	c.mu.Lock()
	free := len(c.mu.busy) < cfg.Threads
	c.mu.Unlock()
	if !free || c.b.ctx.Err() != nil {
		return false
	}
	p, d := c.dirtiest()
	if p == nil {
		return false
	}
	key := cleanKey{p.TopicID, p.Index}
	c.mu.Lock()
	c.mu.busy[key] = true
	c.mu.began = time.Now()
	c.mu.Unlock()
	c.running.Go(func() {
		rest := c.clean(p, d, cfg)
		c.mu.Lock()
		delete(c.mu.busy, key)
		if rest {
			c.mu.rest[key] = time.Now().Add(max(cfg.Backoff, time.Second))
		}
		c.mu.Unlock()
		select {
		case c.finished <- struct{}{}:
		default:
		}
	})
	return true
}

// dirtiest returns the partition that is due with the largest share of dirty bytes, nil when there is none.
func (c *logCleaner) dirtiest() (found *partition.Partition, dirt partition.Dirt) {
	most, now := 0.0, time.Now()
	open := make(map[cleanKey]*partition.Partition)
	c.b.eachOpen(func(p *partition.Partition) {
		if !p.Config().CleanupPolicy.Compact || c.b.ctx.Err() != nil {
			return
		}
		key := cleanKey{p.TopicID, p.Index}
		open[key] = p
		c.mu.Lock()
		skip := c.mu.busy[key] || c.mu.bad[key] == p || c.mu.rest[key].After(now)
		c.mu.Unlock()
		if skip {
			return
		}
		d, err := p.Dirt(c.b.ctx)
		if err != nil {
			if c.b.ctx.Err() == nil && !p.Resigned() {
				c.b.log.Warn("cannot tell whether a partition is to be compacted", "topic", p.Topic, "partition", p.Index, "cause", err)
			}
			return
		}
		most = max(most, d.Ratio())
		if d.Due && (found == nil || d.Ratio() > dirt.Ratio()) {
			found, dirt = p, d
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.stats.MaxDirtyPercent = int(100 * most)
	for key := range c.mu.rest {
		if open[key] == nil {
			delete(c.mu.rest, key)
		}
	}
	for key, p := range c.mu.bad {
		if open[key] != p {
			delete(c.mu.bad, key)
		}
	}
	return found, dirt
}

// clean cleans one partition. rest: there is no point in trying it again at once.
func (c *logCleaner) clean(p *partition.Partition, d partition.Dirt, cfg config.Cleaner) (rest bool) {
	began := time.Now()
	done, err := p.Clean(c.b.ctx, d, partition.CleanOptions{
		MapBytes: cfg.DedupeBufferBytes / int64(max(cfg.Threads, 1)), MapLoad: cfg.LoadFactor, Pace: c.throttle.Pace,
	})
	took := time.Since(began)
	switch {
	case err == nil:
	case c.b.ctx.Err() != nil, p.Resigned(), errors.Is(err, s3stream.ErrFenced), errors.Is(err, s3stream.ErrClosed), errors.Is(err, s3stream.ErrNotFound):
		return true
	case errors.Is(err, kproto.ErrCorruptBatch), errors.Is(err, kproto.ErrTooLarge):
		c.mu.Lock()
		c.mu.bad[cleanKey{p.TopicID, p.Index}] = p
		c.mu.Unlock()
		c.b.log.Error("partition is not compacted any more: it has a damaged batch", "topic", p.Topic, "partition", p.Index, "cause", err)
		return true
	default:
		c.b.log.Warn("compaction of a partition failed, trying again later", "topic", p.Topic, "partition", p.Index, "cause", err)
		return true
	}
	if done.Passes == 0 {
		return true
	}
	c.note(done, took)
	c.b.log.Info("compacted a partition", "topic", p.Topic, "partition", p.Index, "from", done.From, "to", done.To, "bytes_before", done.Before, "bytes_after", done.After,
		"records_before", done.Records, "records_after", done.RecordsKept, "objects_before", done.Replaced, "objects_after", done.New,
		"read", done.Read, "written", done.Written, "passes", done.Passes, "took", took)
	return false
}

func (c *logCleaner) note(done partition.Cleaned, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.mu.stats
	s.Cleanings++
	s.BytesRead, s.BytesWritten = s.BytesRead+done.Read, s.BytesWritten+done.Written
	s.BytesRemoved += max(done.Before-done.After, 0)
	s.RecopyPercent = int(100 * done.Written / max(done.Read, 1))
	s.CleanSeconds = int(took / time.Second)
	s.MaxBufferPercent = int(100 * done.MapFull)
}

// cleanerRefuses says why keys of a broker's configuration that are to be set would not do for its cleaner as it runs now, as Kafka judges them; "" when they do, or are of something
// else. What is no number is refused elsewhere.
func (b *Broker) cleanerRefuses(kind kmsg.ConfigResourceType, set map[string]string) string {
	if kind != kmsg.ConfigResourceTypeBroker {
		return ""
	}
	now := b.cfg.Cleaner(b.dynamicConfig())
	threads, size := int64(now.Threads), now.DedupeBufferBytes
	if n, err := strconv.ParseInt(set["log.cleaner.threads"], 10, 32); err == nil {
		switch present := threads; {
		case n < 1:
			return "log.cleaner.threads: at least 1 while the broker runs"
		case present > 0 && n > 2*present:
			return fmt.Sprintf("log.cleaner.threads: %d is more than double the present number, %d: go there in steps", n, present)
		case n < present/2:
			return fmt.Sprintf("log.cleaner.threads: %d is less than half the present number, %d: go there in steps", n, present)
		}
		threads = n
	}
	if n, err := strconv.ParseInt(set["log.cleaner.dedupe.buffer.size"], 10, 64); err == nil {
		size = n
	}
	if threads > 0 && size/threads < config.MinDedupePerThread {
		return fmt.Sprintf("log.cleaner.dedupe.buffer.size: %d bytes are less than 1 MiB for each of %d threads", size, threads)
	}
	return ""
}

// describe is what the metrics endpoint shows.
func (c *logCleaner) describe() telemetry.Cleaner {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.mu.stats
	out.Uncleanable, out.Running = len(c.mu.bad), len(c.mu.busy)
	if !c.mu.began.IsZero() {
		out.MillisSinceLast = time.Since(c.mu.began).Milliseconds()
	}
	return out
}
