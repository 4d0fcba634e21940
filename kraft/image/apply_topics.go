package image

import (
	"fmt"
	"slices"

	"github.com/ringmq/ringmq/kraft/record"
)

func (b *Builder) brokerRegistered(r *record.BrokerRegistered) error {
	old := b.img.Broker(r.ID)
	if old != nil && r.Epoch <= old.Epoch {
		return fmt.Errorf("epoch of broker %d goes from %d to %d", r.ID, old.Epoch, r.Epoch)
	}
	b.img.nextBrokerEpoch = max(b.img.nextBrokerEpoch, r.Epoch+1)
	next := &Broker{ID: r.ID, Epoch: r.Epoch, Incarnation: r.Incarnation, Endpoints: slices.Clone(r.Endpoints), Rack: r.Rack, Fenced: true}
	if old != nil {
		next.WAL, next.RescuedWAL, next.RescuedEpoch = old.WAL, old.RescuedWAL, old.RescuedEpoch
		next.Draining = old.Draining
	}
	b.img.brokers.Set(r.ID, next)
	b.delta.Brokers = append(b.delta.Brokers, r.ID)
	if b.img.PartitionsLed(r.ID) == 0 {
		return nil
	}
	// Whatever the broker's earlier life appended under the old epoch must not pass for the new life's.
	var led []record.TopicID
	b.img.topics.Scan(func(_ string, t *Topic) bool {
		if slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.Leader == r.ID }) {
			led = append(led, t.ID)
		}
		return true
	})
	for _, id := range led {
		t := b.own(id)
		for i := range t.Partitions {
			if p := &t.Partitions[i]; p.Leader == r.ID {
				p.LeaderEpoch++
				p.PartitionEpoch++
				b.delta.Partitions = append(b.delta.Partitions, PartitionRef{Topic: id, Partition: int32(i)})
			}
		}
	}
	return nil
}

func (b *Builder) brokerFence(id int32, epoch int64, fenced bool) error {
	return b.changeBroker(id, epoch, func(next *Broker) {
		if next.Fenced = fenced; !fenced {
			next.Failure = ""
		}
	})
}

// changeBroker changes the registration of an epoch.
func (b *Builder) changeBroker(id int32, epoch int64, change func(next *Broker)) error {
	old := b.img.Broker(id)
	if old == nil || old.Epoch != epoch {
		return fmt.Errorf("no broker %d of epoch %d", id, epoch)
	}
	next := *old
	change(&next)
	b.img.brokers.Set(id, &next)
	b.delta.Brokers = append(b.delta.Brokers, id)
	return nil
}

func (b *Builder) brokerDraining(r *record.BrokerDraining) error {
	old := b.img.Broker(r.ID)
	if old == nil {
		return fmt.Errorf("no broker %d", r.ID)
	}
	return b.changeBroker(r.ID, old.Epoch, func(next *Broker) { next.Draining = r.Draining })
}

func (b *Builder) brokerWAL(r *record.BrokerWAL) error {
	return b.changeBroker(r.ID, r.Epoch, func(next *Broker) { next.WAL = r.WAL })
}

func (b *Builder) brokerFailed(r *record.BrokerFailed) error {
	return b.changeBroker(r.ID, r.Epoch, func(next *Broker) { next.Fenced, next.Failure = true, r.Cause })
}

func (b *Builder) brokerRescue(r *record.BrokerRescue) error {
	return b.changeBroker(r.ID, r.Epoch, func(next *Broker) {
		if next.Rescue = !r.Done; r.Done {
			next.WAL, next.RescuedWAL, next.RescuedEpoch = [16]byte{}, r.WAL, r.Epoch
		}
	})
}

func (b *Builder) brokerUnregistered(r *record.BrokerUnregistered) error {
	old := b.img.Broker(r.ID)
	if old == nil || old.Epoch != r.Epoch {
		return fmt.Errorf("no broker %d of epoch %d", r.ID, r.Epoch)
	}
	b.img.brokers.Delete(r.ID)
	b.delta.Brokers = append(b.delta.Brokers, r.ID)
	return nil
}

// own returns the topic for changing: a copy that nobody else has seen. REQUIRES: the topic exists.
func (b *Builder) own(id record.TopicID) *Topic {
	if t, ok := b.topics[id]; ok {
		return t
	}
	old := b.img.TopicByID(id)
	t := &Topic{ID: old.ID, Name: old.Name, ReplicationFactor: old.ReplicationFactor, Partitions: slices.Clone(old.Partitions)}
	b.put(t)
	return t
}

// put makes t the topic of its name and id, owned by this builder.
func (b *Builder) put(t *Topic) {
	if b.topics == nil {
		b.topics = make(map[record.TopicID]*Topic)
	}
	b.topics[t.ID] = t
	b.img.topics.Set(t.Name, t)
	b.img.topicID.Set(string(t.ID[:]), t)
}

func (b *Builder) topicCreated(r *record.TopicCreated) error {
	switch {
	case b.img.Topic(r.Name) != nil:
		return fmt.Errorf("topic %q exists", r.Name)
	case b.img.TopicByID(r.ID) != nil:
		return fmt.Errorf("topic id %x exists", r.ID)
	}
	t := &Topic{ID: r.ID, Name: r.Name, ReplicationFactor: r.ReplicationFactor}
	b.put(t)
	b.delta.Created = append(b.delta.Created, t)
	return nil
}

func (b *Builder) partitionCreated(r *record.PartitionCreated) error {
	t := b.img.TopicByID(r.Topic)
	if t == nil {
		return fmt.Errorf("no topic %x", r.Topic)
	}
	if int(r.Partition) != len(t.Partitions) {
		return fmt.Errorf("topic %q has %d partitions, the new one is number %d", t.Name, len(t.Partitions), r.Partition)
	}
	if _, ok := b.img.streams.Get(r.Stream); ok || r.Stream < 1 {
		return fmt.Errorf("topic %q partition %d: stream %d is taken", t.Name, r.Partition, r.Stream)
	}
	t = b.own(r.Topic)
	only := b.only(r.Leader)
	t.Partitions = append(t.Partitions, Partition{
		Leader: r.Leader, LeaderEpoch: r.LeaderEpoch, PartitionEpoch: r.PartitionEpoch, Target: -1, StreamID: r.Stream, Replicas: only, ISR: only,
	})
	b.img.partitions++
	b.lead(r.Leader, 1)
	b.img.nextStream = max(b.img.nextStream, r.Stream+1)
	b.img.streams.Set(r.Stream, Stream{
		ID: r.Stream, Epoch: -1, Node: -1, Closed: true, Topic: r.Topic, Partition: r.Partition,
	})
	b.delta.Partitions = append(b.delta.Partitions, PartitionRef{Topic: r.Topic, Partition: r.Partition})
	return nil
}

func (b *Builder) partitionChanged(r *record.PartitionChanged) error {
	t := b.img.TopicByID(r.Topic)
	if t == nil || r.Partition < 0 || int(r.Partition) >= len(t.Partitions) {
		return fmt.Errorf("no partition %d of topic %x", r.Partition, r.Topic)
	}
	if old := t.Partitions[r.Partition]; r.LeaderEpoch < old.LeaderEpoch || r.PartitionEpoch <= old.PartitionEpoch {
		return fmt.Errorf("topic %q partition %d: epochs go from %d/%d to %d/%d", t.Name, r.Partition,
			old.LeaderEpoch, old.PartitionEpoch, r.LeaderEpoch, r.PartitionEpoch)
	}
	p := &b.own(r.Topic).Partitions[r.Partition]
	b.lead(p.Leader, -1)
	b.lead(r.Leader, 1)
	only := b.only(r.Leader)
	p.Leader, p.LeaderEpoch, p.PartitionEpoch, p.Target, p.Replicas, p.ISR = r.Leader, r.LeaderEpoch, r.PartitionEpoch, -1, only, only
	b.delta.Partitions = append(b.delta.Partitions, PartitionRef{Topic: r.Topic, Partition: r.Partition})
	return nil
}

func (b *Builder) partitionMoving(r *record.PartitionMoving) error {
	t := b.img.TopicByID(r.Topic)
	if t == nil || r.Partition < 0 || int(r.Partition) >= len(t.Partitions) {
		return fmt.Errorf("no partition %d of topic %x", r.Partition, r.Topic)
	}
	if old := t.Partitions[r.Partition]; r.Target < 0 || r.Target == old.Leader || r.PartitionEpoch < old.PartitionEpoch {
		return fmt.Errorf("topic %q partition %d: led by %d at partition epoch %d, is to move to %d at %d", t.Name, r.Partition,
			old.Leader, old.PartitionEpoch, r.Target, r.PartitionEpoch)
	}
	p := &b.own(r.Topic).Partitions[r.Partition]
	p.Target, p.PartitionEpoch = r.Target, r.PartitionEpoch
	b.delta.Partitions = append(b.delta.Partitions, PartitionRef{Topic: r.Topic, Partition: r.Partition})
	return nil
}

// lead adds n to the number of partitions that the broker leads.
func (b *Builder) lead(broker, n int32) {
	old, _ := b.img.leads.Get(broker)
	if old+n == 0 {
		b.img.leads.Delete(broker)
	} else {
		b.img.leads.Set(broker, old+n)
	}
}

// only returns the replica list of a partition: its leader. Partitions share it: a list each would cost more than the partition.
func (b *Builder) only(leader int32) []int32 {
	if l, ok := b.alone[leader]; ok {
		return l
	}
	if b.alone == nil {
		b.alone = make(map[int32][]int32)
	}
	l := []int32{leader}
	b.alone[leader] = l
	return l
}

func (b *Builder) topicDeleted(r *record.TopicDeleted) error {
	t := b.img.TopicByID(r.ID)
	if t == nil {
		return fmt.Errorf("no topic %x", r.ID)
	}
	delete(b.topics, t.ID)
	b.img.topics.Delete(t.Name)
	b.img.topicID.Delete(string(t.ID[:]))
	if _, ok := b.img.configs.Delete(configKey(TopicResource(t.Name))); ok {
		b.touchConfig(TopicResource(t.Name))
	}
	b.img.partitions -= len(t.Partitions)
	b.delta.Deleted = append(b.delta.Deleted, t)
	for _, p := range t.Partitions {
		b.lead(p.Leader, -1)
		b.deleteStream(p.StreamID, r.Time)
	}
	return nil
}
