package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/s3stream"
)

// The broker follows the metadata image: it opens the partitions that it leads, closes those that it has lost, forgets those of
// deleted topics and applies changed configurations. The image's apply goroutine only notes what is wanted; opening and closing, which
// talk to the controller and the object store, run on workers, one per partition at a time.

// onImage is the broker's subscription to the image.
func (b *Broker) onImage(prev, next *kraft.Image, delta *kraft.Delta) {
	defer b.topics.follow()
	b.followSecurity(next, delta)
	b.followACLs(next, delta)
	b.followTokens(next, delta)
	b.followQuotas(next, delta)
	b.followLimits(next, delta)
	b.followClientMetrics(next, delta)
	b.followTopics(prev, next, delta)
	if delta.Full {
		b.followAll(next)
		return
	}
	for _, t := range delta.Deleted {
		b.forgetTopic(t.Name, t.ID)
	}
	if len(delta.Deleted) > 0 {
		b.forgetShares()
	}
	for _, ref := range delta.Partitions {
		if t := next.TopicByID(ref.Topic); t != nil && int(ref.Partition) < len(t.Partitions) {
			b.followPartition(next, t, ref.Partition)
		}
	}
	for _, r := range delta.Configs {
		b.followConfig(next, r)
	}
	noteOffline(b.log, prev, next, delta)
	if len(delta.Brokers) > 0 {
		b.wakeWaiting()
	}
}

// wakeWaiting has partitions tried again whose last attempt has failed: a broker that came back may have what they need.
func (b *Broker) wakeWaiting() {
	for _, s := range b.topics.all() {
		s.mu.Lock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
		s.mu.Unlock()
	}
}

// follow notes that the table has followed an image.
func (ts *topics) follow() {
	ts.mu.Lock()
	close(ts.followed)
	ts.followed = make(chan struct{})
	ts.mu.Unlock()
}

// followAll compares everything; for the first image and after a snapshot.
func (b *Broker) followAll(next *kraft.Image) {
	var gone []*topic
	b.topics.mu.RLock()
	for _, t := range b.topics.byName {
		if next.TopicByID(t.id) == nil {
			gone = append(gone, t)
		}
	}
	b.topics.mu.RUnlock()
	for _, t := range gone {
		b.forgetTopic(t.name, t.id)
	}
	next.Topics(func(t *kraft.Topic) bool {
		for i := range t.Partitions {
			b.followPartition(next, t, int32(i))
		}
		return true
	})
	b.followConfig(next, kraft.BrokerResource(-1))
}

// followPartition notes what the image wants of one partition and sees to it that somebody works on it.
func (b *Broker) followPartition(next *kraft.Image, kt *kraft.Topic, index int32) {
	kp := &kt.Partitions[index]
	s := b.topics.slotFor(kt.Name, kt.ID, index)
	s.mu.Lock()
	s.want = assignment{mine: kp.Leader == b.cfg.NodeID, epoch: kp.LeaderEpoch, stream: kp.StreamID}
	if kp.Target == b.cfg.NodeID {
		s.want.taking = true
		s.want.epoch++
	}
	b.workOnLocked(s)
	lost := !s.want.mine
	s.mu.Unlock()
	if lost {
		b.leave(s) // at once: clients wait to be told where to go
	}
}

// slotFor returns the partition's slot, made if need be.
func (ts *topics) slotFor(name string, id kraft.TopicID, index int32) *slot {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.byID[id]
	if t == nil {
		t = &topic{name: name, id: id}
		ts.byID[id] = t
		ts.byName[name] = t
	}
	for len(t.slots) <= int(index) {
		t.slots = append(t.slots, &slot{topic: t, index: int32(len(t.slots))})
	}
	return t.slots[index]
}

// forgetTopic takes a deleted topic out of the table; its partitions are closed without an upload.
func (b *Broker) forgetTopic(name string, id kraft.TopicID) {
	b.topics.mu.Lock()
	t := b.topics.byID[id]
	delete(b.topics.byID, id)
	if t != nil && b.topics.byName[name] == t {
		delete(b.topics.byName, name)
	}
	b.topics.mu.Unlock()
	if t == nil {
		return
	}
	for _, s := range t.slots {
		s.mu.Lock()
		s.want = assignment{gone: true, stream: s.want.stream}
		b.workOnLocked(s)
		s.mu.Unlock()
	}
	b.groups.OnTopicsDeleted([]string{name})
}

// workOnLocked starts a worker for the slot unless one is at it, which then sees the new wish before it ends.
func (b *Broker) workOnLocked(s *slot) {
	if s.working {
		select {
		case s.wake <- struct{}{}:
		default:
		}
		return
	}
	s.working, s.tried = true, make(chan struct{})
	b.openers.Go(func() { b.workOn(s) })
}

// workOn brings a slot to what is wanted of it, for as long as that changes. Opening is tried until it works, the partition is
// lost or the broker stops; the reason of a failure is logged at each new attempt.
func (b *Broker) workOn(s *slot) {
	delay := 50 * time.Millisecond
	for told := false; ; {
		s.mu.Lock()
		want := s.want
		s.mu.Unlock()
		err := b.bring(s, want)
		s.mu.Lock()
		if s.wake == nil && err != nil {
			s.wake = make(chan struct{}, 1)
		}
		current := s.want == want
		over := current && (err == nil || b.ctx.Err() != nil || errors.Is(err, s3stream.ErrFenced) && !want.taking || errors.Is(err, s3stream.ErrNotFound))
		if current && !told {
			told = true
			close(s.tried)
		}
		s.working = !over
		s.mu.Unlock()
		if over {
			if err != nil && b.ctx.Err() == nil {
				b.log.Warn("partition not opened: the metadata has moved on", "topic", s.topic.name, "partition", s.index, "epoch", want.epoch, "cause", err)
			}
			return
		}
		if err != nil && current {
			level, text := slog.LevelError, "partition not served, trying again"
			if want.taking {
				level, text = slog.LevelInfo, "partition not taken over, trying again"
			}
			b.log.Log(b.ctx, level, text, "topic", s.topic.name, "partition", s.index, "epoch", want.epoch, "retry_in", delay, "cause", err)
			select {
			case <-b.ctx.Done():
			case <-s.wake:
			case <-time.After(delay):
			}
			delay = min(2*delay, 5*time.Second)
		}
	}
}

// bring makes one step from what is open to what is wanted.
func (b *Broker) bring(s *slot, want assignment) error {
	s.step.Lock()
	defer s.step.Unlock()
	current := s.open.Load()
	if current != nil && (!want.mine && !want.taking || current.LeaderEpoch != want.epoch) {
		b.beforeClose(current)
		if want.mine {
			b.hold(s)
		}
		s.open.Store(nil)
		s.attached = false
		if want.gone || want.mine { // opened again at once, with what is not uploaded
			current.Resign()
		} else if err := current.Close(b.ctx); err != nil && !errors.Is(err, s3stream.ErrFenced) {
			b.log.Error("partition closed without handing over", "topic", s.topic.name, "partition", s.index, "cause", err)
		}
		current = nil
	}
	if want.gone {
		b.leave(s)
		b.storage.DropStream(s3stream.StreamID(want.stream))
		return nil
	}
	if !want.mine && !want.taking {
		b.storage.Disown(s3stream.StreamID(want.stream))
		return nil
	}
	if current == nil && want.mine && s.handed == want.epoch+1 {
		return nil // handed over: what comes next is not decided yet
	}
	if current == nil {
		b.hold(s)
		var err error
		if current, err = b.openPartition(s, want); err != nil {
			b.unhold(s)
			return err
		}
		b.leave(s)
		b.unhold(s)
	}
	if s.attached {
		return nil
	}
	err := b.afterOpen(current)
	s.attached = err == nil
	return err
}

func (b *Broker) openPartition(s *slot, want assignment) (*partition.Partition, error) {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	source, err := b.source(s, want)
	if err != nil {
		return nil, err
	}
	if source != nil {
		select {
		case b.takeovers <- struct{}{}:
			defer func() { <-b.takeovers }()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	p, err := partition.Open(ctx, b.storage, partition.Options{
		Source: source,
		Topic:  s.topic.name, TopicID: s.topic.id, Index: s.index, LeaderEpoch: want.epoch, StreamID: s3stream.StreamID(want.stream),
		Config: b.topicConfig(b.node.Image(), s.topic.name), ProducerExpiration: b.producerExpiration, Logger: b.log,
	})
	if err != nil {
		return nil, err
	}
	s.handed = 0
	s.open.Store(p)
	p.SetConfig(b.topicConfig(b.node.Image(), s.topic.name)) // followConfig did not see the partition while it was being opened
	return p, nil
}

// waitOpen waits until the broker has tried to do what the image wants of a topic's partitions, for the answer of CreateTopics: the
// first produce then finds them open. It gives up quietly with the context.
func (b *Broker) waitOpen(ctx context.Context, name string) {
	for ctx.Err() == nil {
		t := b.node.Image().Topic(name)
		if t == nil || b.waitTried(ctx, t) { // nil: deleted again
			return
		}
	}
}

// waitPartitions returns when every partition that the image gives to this broker has been opened or has failed once.
func (b *Broker) waitPartitions(ctx context.Context) error {
	var missing *kraft.Topic
	b.node.Image().Topics(func(t *kraft.Topic) bool {
		for b.node.Image().TopicByID(t.ID) != nil && !b.waitTried(ctx, t) {
			if ctx.Err() != nil {
				missing = t
				break
			}
		}
		return missing == nil
	})
	if missing != nil {
		return fmt.Errorf("engine: the partitions of topic %s did not open in time: %w", missing.Name, context.Cause(ctx))
	}
	return nil
}

// waitTried waits until each partition of a topic has been tried, and returns true. Or it waits for the next change of the table, because
// the topic is not wholly in it yet, and returns false.
func (b *Broker) waitTried(ctx context.Context, kt *kraft.Topic) bool {
	b.topics.mu.RLock()
	followed := b.topics.followed
	var slots []*slot
	if t := b.topics.byID[kt.ID]; t != nil {
		slots = append(slots, t.slots...)
	}
	b.topics.mu.RUnlock()
	known := len(slots) >= len(kt.Partitions)
	for _, s := range slots {
		s.mu.Lock()
		tried := s.tried
		s.mu.Unlock()
		if tried == nil {
			known = false
			break
		}
		select {
		case <-tried:
		case <-ctx.Done():
			return false
		}
	}
	if !known {
		select {
		case <-followed:
		case <-ctx.Done():
		}
	}
	return known
}

// producerExpiration is producer.id.expiration.ms as it is now.
func (b *Broker) producerExpiration() time.Duration {
	return b.dynamicMillis("producer.id.expiration.ms", b.cfg.Producer.IDExpiration)
}

// followConfig applies changed keys of a topic, or of the brokers (which are defaults of every topic).
func (b *Broker) followConfig(next *kraft.Image, r kraft.ConfigResource) {
	switch r.Type {
	case kraft.TopicConfig:
		b.topics.mu.RLock()
		var slots []*slot
		if t := b.topics.byName[r.Name]; t != nil {
			slots = t.slots
		}
		b.topics.mu.RUnlock()
		b.configure(next, slots)
	case kraft.BrokerConfig:
		b.configure(next, b.topics.all())
	}
}

func (b *Broker) configure(next *kraft.Image, slots []*slot) {
	for _, s := range slots {
		if p := s.open.Load(); p != nil {
			p.SetConfig(b.topicConfig(next, p.Topic))
		}
	}
}

// topicConfig is a topic's effective configuration in an image.
func (b *Broker) topicConfig(img *kraft.Image, name string) config.TopicConfig {
	own := kraft.TopicResource(name)
	return b.cfg.EffectiveTopic(func(key string) (string, bool) { return img.Config(own, key) }, b.dynamic(img))
}
