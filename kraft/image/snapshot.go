package image

import "github.com/ringmq/ringmq/kraft/record"

// Records calls fn with records that, applied to the empty image, give this one. Their order and content depend on the
// image alone. fn must not keep a record beyond the call: records are reused. The first error of fn ends the walk and is returned.
func (i *Image) Records(fn func(record.Record) error) error {
	var err error
	emit := func(r record.Record) bool {
		err = fn(r)
		return err == nil
	}
	if i.clusterID != "" && !emit(&record.Cluster{ClusterID: i.clusterID, Version: i.version}) {
		return err
	}
	if !emit(&record.Counters{
		NextStream: i.nextStream, NextObject: i.nextObject, NextBrokerEpoch: i.nextBrokerEpoch, NextProducerID: i.nextProducerID,
	}) {
		return err
	}
	if len(i.voters) > 0 && !emit(&record.VoterSet{Voters: i.voters}) {
		return err
	}
	i.Brokers(func(b *Broker) bool {
		ok := true
		if b.RescuedEpoch > 0 && b.RescuedEpoch < b.Epoch { // an earlier registration, of which this is all that remains
			ok = emit(&record.BrokerRegistered{ID: b.ID, Epoch: b.RescuedEpoch}) && emit(rescued(b))
		}
		ok = ok && emit(&record.BrokerRegistered{ID: b.ID, Epoch: b.Epoch, Incarnation: b.Incarnation, Rack: b.Rack, Endpoints: b.Endpoints})
		if ok && !b.Fenced {
			ok = emit(&record.BrokerUnfenced{ID: b.ID, Epoch: b.Epoch})
		}
		if ok && b.Draining {
			ok = emit(&record.BrokerDraining{ID: b.ID, Draining: true})
		}
		if ok && b.RescuedEpoch == b.Epoch {
			ok = emit(rescued(b))
		}
		if ok && b.WAL != [16]byte{} {
			ok = emit(&record.BrokerWAL{ID: b.ID, Epoch: b.Epoch, WAL: b.WAL})
		}
		if ok && b.Failure != "" {
			ok = emit(&record.BrokerFailed{ID: b.ID, Epoch: b.Epoch, Cause: b.Failure})
		}
		if ok && b.Rescue {
			ok = emit(&record.BrokerRescue{ID: b.ID, Epoch: b.Epoch, WAL: b.WAL})
		}
		return ok
	})
	if err != nil {
		return err
	}
	var pc record.PartitionCreated
	i.Topics(func(t *Topic) bool {
		ok := emit(&record.TopicCreated{ID: t.ID, Name: t.Name, ReplicationFactor: t.ReplicationFactor})
		for n := 0; ok && n < len(t.Partitions); n++ {
			p := t.Partitions[n]
			pc = record.PartitionCreated{
				Topic: t.ID, Partition: int32(n), Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Stream: p.StreamID,
			}
			ok = emit(&pc)
			if ok && p.Target >= 0 {
				ok = emit(&record.PartitionMoving{Topic: t.ID, Partition: int32(n), Target: p.Target, PartitionEpoch: p.PartitionEpoch})
			}
		}
		return ok
	})
	if err != nil {
		return err
	}
	i.configs.Scan(func(_ string, s *configSet) bool {
		for _, e := range s.entries {
			if !emit(&record.ConfigSet{Resource: s.resource, Key: e.Key, Value: e.Value}) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	var ss record.StreamState
	i.Streams(func(s Stream) bool {
		if s.Epoch == -1 && s.Start == 0 && s.End == 0 && s.Node == -1 && s.Closed {
			return true // as created
		}
		ss = record.StreamState{ID: s.ID, Epoch: s.Epoch, Node: s.Node, Start: s.Start, End: s.End, Closed: s.Closed}
		return emit(&ss) && (s.Cleaned == 0 || emit(&record.StreamRewritten{Stream: s.ID, Cleaned: s.Cleaned}))
	})
	if err != nil {
		return err
	}
	var os record.ObjectStored
	i.objects.Scan(func(id record.ObjectID, o object) bool {
		os = record.ObjectStored{
			ID: id, ObjectKind: o.kind, State: o.state, Node: o.node, Size: o.size, Time: o.when, Ranges: o.ranges,
		}
		return emit(&os)
	})
	return err
}

// rescued is the record that a rescue of the broker's log was done.
func rescued(b *Broker) *record.BrokerRescue {
	return &record.BrokerRescue{ID: b.ID, Epoch: b.RescuedEpoch, WAL: b.RescuedWAL, Done: true}
}
