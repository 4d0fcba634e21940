package kraft

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// A partition has one copy, on its leader, so a reassignment is a change of the leader. The leader goes on until it has handed its tail over:
//
//	AlterPartitionReassignments ──► PartitionMoving: Target = B     clients stay with A, which serves
//	        B asks A, which resigns and sends the tail; B has it in its own WAL
//	OpenStream of B, "from A"   ──► PartitionChanged: Leader = B, LeaderEpoch+1, no Target; StreamOpened: B at that epoch
//
// The epoch is the guard. B's open is granted only at LeaderEpoch+1, from the very owner and stream epoch that it was handed the tail by. Whoever
// wants A to serve again after it has resigned, or another target, has to raise the leader epoch first; A then opens the stream
// anew, and an open of B that is still on its way is refused for ever.

// moveLeader has a broker lead a partition: at once when nobody has the stream open, or only somebody who is not registered; otherwise
// as soon as its owner has handed it over. It ends another move of the partition. REQUIRES: the partition and the broker exist.
func (t *tx) moveLeader(id TopicID, partition, to int32) {
	p := &t.img().TopicByID(id).Partitions[partition]
	if p.Target == to || p.Leader == to && p.Target < 0 {
		return
	}
	if p.Target >= 0 {
		t.setLeader(id, partition, p.Leader)
		if p = &t.img().TopicByID(id).Partitions[partition]; p.Leader == to {
			return
		}
	}
	s, _ := t.img().Stream(p.StreamID)
	if s.Closed || s.Node != p.Leader || t.img().Broker(s.Node) == nil {
		t.setLeader(id, partition, to)
		return
	}
	t.add(&record.PartitionMoving{Topic: id, Partition: partition, Target: to, PartitionEpoch: p.PartitionEpoch + 1})
}

// setLeader begins a new leader epoch of a partition.
func (t *tx) setLeader(id TopicID, partition, leader int32) {
	p := &t.img().TopicByID(id).Partitions[partition]
	t.add(&record.PartitionChanged{
		Topic: id, Partition: partition, Leader: leader, LeaderEpoch: p.LeaderEpoch + 1, PartitionEpoch: p.PartitionEpoch + 1,
	})
}

// moving returns from where to where a partition is on its way.
func moving(img *Image, p *Partition) (from, to int32, ok bool) {
	if p.Target >= 0 {
		return p.Leader, p.Target, true
	}
	s, found := img.Stream(p.StreamID)
	return s.Node, p.Leader, found && s.Node >= 0 && s.Node != p.Leader && !s.Closed
}

// endMovesTo ends the moves to a broker that is about to be gone: the leaders stay.
func (t *tx) endMovesTo(broker int32) {
	t.eachPartition(func(p *Partition) bool { return p.Target == broker }, func(id TopicID, partition int32) {
		t.setLeader(id, partition, t.img().TopicByID(id).Partitions[partition].Leader)
	})
}

// eachPartition calls fn for the partitions that match; fn may change them.
func (t *tx) eachPartition(match func(*Partition) bool, fn func(id TopicID, partition int32)) {
	var found []PartitionRef
	t.img().Topics(func(topic *Topic) bool {
		for i := range topic.Partitions {
			if match(&topic.Partitions[i]) {
				found = append(found, PartitionRef{Topic: topic.ID, Partition: int32(i)})
			}
		}
		return true
	})
	for _, ref := range found {
		fn(ref.Topic, ref.Partition)
	}
}

// reclaim gives a partition back to its leader, which has resigned for a target that did not come. The move goes on, with a new handover.
func (t *tx) reclaim(r *ReclaimRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	topic := t.img().TopicByID(r.Topic)
	if topic == nil || r.Partition < 0 || int(r.Partition) >= len(topic.Partitions) {
		return refuse(CodeNotFound, "partition %d of topic %x", r.Partition, r.Topic)
	}
	p := &topic.Partitions[r.Partition]
	if p.Leader != r.Node || p.LeaderEpoch != r.LeaderEpoch {
		return nil // decided already
	}
	target := p.Target
	t.setLeader(r.Topic, r.Partition, r.Node)
	if target >= 0 {
		t.moveLeader(r.Topic, r.Partition, target)
	}
	return nil
}

func (t *tx) alterReassignments(r *kmsg.AlterPartitionAssignmentsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = r.AllowReplicationFactorChange
	resp.Topics = make([]kmsg.AlterPartitionAssignmentsResponseTopic, 0, len(r.Topics))
	before := len(t.recs)
	defer func() {
		if n := len(t.recs) - before; n > 0 {
			t.c.logger.Info("kraft: reassignment", "records", n)
		}
	}()
	for i := range r.Topics {
		rt := &r.Topics[i]
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic, out.Partitions = rt.Topic, make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, 0, len(rt.Partitions))
		for _, rp := range rt.Partitions {
			e := t.alterReassignment(rt.Topic, rp.Partition, rp.Replicas, r.AllowReplicationFactorChange)
			op := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			op.Partition, op.ErrorCode, op.ErrorMessage = rp.Partition, e.code, e.message()
			out.Partitions = append(out.Partitions, op)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// alterReassignment moves one partition to the one broker that replicas names, or back to where it comes from when replicas is nil.
func (t *tx) alterReassignment(name string, partition int32, replicas []int32, otherFactor bool) kafkaError {
	topic, e := t.partition(name, partition)
	if e.code != 0 {
		return e
	}
	p := &topic.Partitions[partition]
	if replicas == nil {
		from, to, ok := moving(t.img(), p)
		if !ok || t.img().Broker(from) == nil {
			return kafkaError{kafkaNoReassignment, "No partition reassignment is in progress."}
		}
		t.c.logger.Info("kraft: reassignment cancelled", "topic", name, "partition", partition, "from", from, "to", to)
		t.moveLeader(topic.ID, partition, from)
		return kafkaError{}
	}
	if e := t.checkTarget(replicas, otherFactor); e.code != 0 {
		return e
	}
	if p.Leader == replicas[0] && p.Target < 0 || p.Target == replicas[0] {
		return kafkaError{} // as it is, or on its way
	}
	t.c.logger.Debug("kraft: partition moves", "topic", name, "partition", partition, "from", p.Leader, "to", replicas[0])
	t.moveLeader(topic.ID, partition, replicas[0])
	return kafkaError{}
}

// partition finds a partition by name and number.
func (t *tx) partition(name string, partition int32) (*Topic, kafkaError) {
	topic := t.img().Topic(name)
	switch {
	case topic == nil:
		return nil, kafkaError{kafkaUnknownTopic, fmt.Sprintf("Unable to find a topic named %s.", name)}
	case partition < 0 || int(partition) >= len(topic.Partitions):
		return nil, kafkaError{kafkaUnknownTopic, fmt.Sprintf("Unable to find partition %s:%d.", name, partition)}
	}
	return topic, kafkaError{}
}

// checkTarget judges the replica list of a reassignment. A list of several brokers is refused, although a topic may be created with any replication
// factor: it would ask for copies that nobody makes, and kafka-reassign-partitions --verify would wait for them for ever. A fenced broker is
// refused, because it cannot take the partition over.
func (t *tx) checkTarget(replicas []int32, otherFactor bool) kafkaError {
	if len(replicas) == 0 {
		return kafkaError{kafkaInvalidAssignment, "The manual partition assignment includes an empty replica list."}
	}
	for i, id := range replicas {
		switch {
		case slices.Contains(replicas[:i], id):
			return kafkaError{kafkaInvalidAssignment, fmt.Sprintf("The manual partition assignment includes the broker %d more than once.", id)}
		case t.img().Broker(id) == nil:
			return kafkaError{kafkaInvalidAssignment, fmt.Sprintf("The manual partition assignment includes broker %d, but no such broker is registered.", id)}
		}
	}
	if len(replicas) > 1 && !otherFactor {
		return kafkaError{kafkaInvalidReplication, fmt.Sprintf("The replication factor is changed from 1 to %d.", len(replicas))}
	}
	if len(replicas) > 1 {
		return kafkaError{kafkaInvalidAssignment, fmt.Sprintf("The manual partition assignment includes %d brokers, but this cluster keeps one copy of "+
			"a partition, on its leader (what it has uploaded is in the object store): name the one broker that is to lead it.", len(replicas))}
	}
	if !t.usable(t.img().Broker(replicas[0])) {
		return kafkaError{kafkaInvalidAssignment, fmt.Sprintf("The manual partition assignment includes broker %d, which is fenced or shutting down: "+
			"it cannot take the partition over.", replicas[0])}
	}
	if t.img().Broker(replicas[0]).Draining {
		return kafkaError{kafkaInvalidAssignment, fmt.Sprintf("The manual partition assignment includes broker %d, which is draining: "+
			"end that first (ringmq balancer undrain %d).", replicas[0], replicas[0])}
	}
	return kafkaError{}
}

// usable says that a broker may be given partitions.
func (t *tx) usable(b *Broker) bool { return !b.Fenced && !t.c.mu.leaving[b.ID] }

// drain has all partitions of a broker that wants to shut down led by others, and returns true when there is none left or nobody to take them.
func (t *tx) drain(broker int32) bool {
	t.endMovesTo(broker)
	if t.img().PartitionsLed(broker) == 0 {
		return true
	}
	var mine []PartitionRef
	t.eachPartition(func(p *Partition) bool { return p.Leader == broker && p.Target < 0 }, func(id TopicID, partition int32) {
		mine = append(mine, PartitionRef{Topic: id, Partition: partition})
	})
	leaders, e := t.spread(len(mine))
	if e.code != 0 {
		if t.img().NumBrokers() > 1 {
			t.c.logger.Warn("kraft: a broker shuts down and no other one can take its partitions", "broker", broker, "partitions", t.img().PartitionsLed(broker))
		}
		return true
	}
	for i, ref := range mine {
		t.moveLeader(ref.Topic, ref.Partition, leaders[i])
	}
	if len(mine) > 0 {
		t.c.logger.Info("kraft: a broker shuts down: its partitions move to others", "broker", broker, "partitions", len(mine))
	}
	return t.img().PartitionsLed(broker) == 0
}

// listReassignments lists the partitions that have not been handed over yet.
func (t *tx) listReassignments(r *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	resp.Topics = []kmsg.ListPartitionReassignmentsResponseTopic{}
	list := func(topic *Topic, wanted func(int32) bool) {
		out := kmsg.NewListPartitionReassignmentsResponseTopic()
		out.Topic = topic.Name
		for i := range topic.Partitions {
			p := &topic.Partitions[i]
			from, to, ok := moving(t.img(), p)
			if !ok || !wanted(int32(i)) {
				continue
			}
			op := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			op.Partition, op.Replicas = int32(i), []int32{to, from}
			op.AddingReplicas, op.RemovingReplicas = []int32{to}, []int32{from}
			out.Partitions = append(out.Partitions, op)
		}
		if len(out.Partitions) > 0 {
			resp.Topics = append(resp.Topics, out)
		}
	}
	if r.Topics == nil {
		t.img().Topics(func(topic *Topic) bool {
			list(topic, func(int32) bool { return true })
			return true
		})
		return resp
	}
	for _, rt := range r.Topics {
		if topic := t.img().Topic(rt.Topic); topic != nil {
			list(topic, func(i int32) bool { return slices.Contains(rt.Partitions, i) })
		}
	}
	return resp
}

// electLeaders answers as Kafka does for partitions with one replica: it leads, or it is fenced and there is nobody else.
func (t *tx) electLeaders(r *kmsg.ElectLeadersRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.Topics = []kmsg.ElectLeadersResponseTopic{}
	elect := func(name string, partitions []int32, needed bool) {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = name
		for _, i := range partitions {
			e := t.electLeader(name, i, r.ElectionType)
			if needed && e.code == kafkaElectionNotNeeded {
				continue
			}
			op := kmsg.NewElectLeadersResponseTopicPartition()
			op.Partition, op.ErrorCode, op.ErrorMessage = i, e.code, e.message()
			out.Partitions = append(out.Partitions, op)
		}
		if len(out.Partitions) > 0 {
			resp.Topics = append(resp.Topics, out)
		}
	}
	if r.Topics == nil {
		t.img().Topics(func(topic *Topic) bool {
			all := make([]int32, len(topic.Partitions))
			for i := range all {
				all[i] = int32(i)
			}
			elect(topic.Name, all, true)
			return true
		})
		return resp
	}
	for i := range r.Topics {
		elect(r.Topics[i].Topic, r.Topics[i].Partitions, false)
	}
	return resp
}

// Kafka's election types.
const (
	electPreferred = 0
	electUnclean   = 1
)

func (t *tx) electLeader(name string, partition int32, kind int8) kafkaError {
	topic := t.img().Topic(name)
	switch {
	case kind != electPreferred && kind != electUnclean:
		return kafkaError{kafkaInvalidRequest, fmt.Sprintf("Election type %d is not known.", kind)}
	case topic == nil:
		return kafkaError{kafkaUnknownTopic, "No such topic as " + name}
	case partition < 0 || int(partition) >= len(topic.Partitions):
		return kafkaError{kafkaUnknownTopic, fmt.Sprintf("No such partition as %s-%d", name, partition)}
	}
	b := t.img().Broker(topic.Partitions[partition].Leader)
	switch {
	case b != nil && !b.Fenced:
		return kafkaError{kafkaElectionNotNeeded, "Leader election not needed for topic partition."}
	case kind == electPreferred:
		return kafkaError{kafkaPreferredNotAvailable, "The preferred leader was not available."}
	}
	return kafkaError{kafkaEligibleNotAvailable, "Eligible topic partition leaders are not available."}
}
