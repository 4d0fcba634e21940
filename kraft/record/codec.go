package record

import "github.com/ringmq/ringmq/kraft/internal/wire"

func (r *Cluster) append(dst []byte) []byte {
	return wire.AppendVarint(wire.AppendString(dst, r.ClusterID), int64(r.Version))
}

func (r *Cluster) read(d *wire.Reader) { r.ClusterID, r.Version = d.String(), d.Int16() }

// minEndpointBytes is the least that one encoded endpoint takes.
const minEndpointBytes = 4

func (r *BrokerRegistered) append(dst []byte) []byte {
	dst = appendInts(dst, int64(r.ID), r.Epoch)
	dst = append(dst, r.Incarnation[:]...)
	dst = wire.AppendString(dst, r.Rack)
	return appendEndpoints(dst, r.Endpoints)
}

func (r *BrokerRegistered) read(d *wire.Reader) {
	r.ID, r.Epoch = d.Int32(), d.Varint()
	d.Array(r.Incarnation[:])
	r.Rack = d.String()
	r.Endpoints = readEndpoints(d)
}

func appendEndpoints(dst []byte, endpoints []BrokerEndpoint) []byte {
	dst = wire.AppendUvarint(dst, uint64(len(endpoints)))
	for _, e := range endpoints {
		dst = wire.AppendString(dst, e.Name)
		dst = wire.AppendString(dst, e.Host)
		dst = wire.AppendUvarint(dst, uint64(e.Port))
		dst = wire.AppendVarint(dst, int64(e.SecurityProtocol))
	}
	return dst
}

func readEndpoints(d *wire.Reader) []BrokerEndpoint {
	n := d.Count(minEndpointBytes)
	if n == 0 {
		return nil
	}
	endpoints := make([]BrokerEndpoint, n)
	for i := range endpoints {
		endpoints[i] = BrokerEndpoint{Name: d.String(), Host: d.String(), Port: d.Uint16(), SecurityProtocol: d.Int16()}
	}
	return endpoints
}

func (r *BrokerFenced) append(dst []byte) []byte { return appendInts(dst, int64(r.ID), r.Epoch) }
func (r *BrokerFenced) read(d *wire.Reader)      { r.ID, r.Epoch = d.Int32(), d.Varint() }

func (r *BrokerUnfenced) append(dst []byte) []byte { return appendInts(dst, int64(r.ID), r.Epoch) }
func (r *BrokerUnfenced) read(d *wire.Reader)      { r.ID, r.Epoch = d.Int32(), d.Varint() }

func (r *BrokerUnregistered) append(dst []byte) []byte { return appendInts(dst, int64(r.ID), r.Epoch) }
func (r *BrokerUnregistered) read(d *wire.Reader)      { r.ID, r.Epoch = d.Int32(), d.Varint() }

func (r *TopicCreated) append(dst []byte) []byte {
	dst = append(dst, r.ID[:]...)
	dst = wire.AppendString(dst, r.Name)
	return wire.AppendVarint(dst, int64(r.ReplicationFactor))
}

func (r *TopicCreated) read(d *wire.Reader) {
	d.Array(r.ID[:])
	r.Name, r.ReplicationFactor = d.String(), d.Int16()
}

func (r *PartitionCreated) append(dst []byte) []byte {
	dst = append(dst, r.Topic[:]...)
	return appendInts(dst, int64(r.Partition), int64(r.Leader), int64(r.LeaderEpoch), int64(r.PartitionEpoch), int64(r.Stream))
}

func (r *PartitionCreated) read(d *wire.Reader) {
	d.Array(r.Topic[:])
	r.Partition, r.Leader, r.LeaderEpoch, r.PartitionEpoch = d.Int32(), d.Int32(), d.Int32(), d.Int32()
	r.Stream = StreamID(d.Varint())
}

func (r *PartitionChanged) append(dst []byte) []byte {
	dst = append(dst, r.Topic[:]...)
	return appendInts(dst, int64(r.Partition), int64(r.Leader), int64(r.LeaderEpoch), int64(r.PartitionEpoch))
}

func (r *PartitionChanged) read(d *wire.Reader) {
	d.Array(r.Topic[:])
	r.Partition, r.Leader, r.LeaderEpoch, r.PartitionEpoch = d.Int32(), d.Int32(), d.Int32(), d.Int32()
}

func (r *PartitionMoving) append(dst []byte) []byte {
	dst = append(dst, r.Topic[:]...)
	return appendInts(dst, int64(r.Partition), int64(r.Target), int64(r.PartitionEpoch))
}

func (r *PartitionMoving) read(d *wire.Reader) {
	d.Array(r.Topic[:])
	r.Partition, r.Target, r.PartitionEpoch = d.Int32(), d.Int32(), d.Int32()
}

func (r *TopicDeleted) append(dst []byte) []byte { return appendInts(append(dst, r.ID[:]...), r.Time) }

func (r *TopicDeleted) read(d *wire.Reader) {
	d.Array(r.ID[:])
	r.Time = d.Varint()
}

func appendResource(dst []byte, r ConfigResource) []byte {
	return wire.AppendString(append(dst, byte(r.Type)), r.Name)
}

func readResource(d *wire.Reader) ConfigResource {
	return ConfigResource{Type: ConfigType(d.Byte()), Name: d.String()}
}

func (r *ConfigSet) append(dst []byte) []byte {
	return wire.AppendString(wire.AppendString(appendResource(dst, r.Resource), r.Key), r.Value)
}

func (r *ConfigSet) read(d *wire.Reader) {
	r.Resource = readResource(d)
	r.Key, r.Value = d.String(), d.String()
}

func (r *ConfigRemoved) append(dst []byte) []byte {
	return wire.AppendString(appendResource(dst, r.Resource), r.Key)
}

func (r *ConfigRemoved) read(d *wire.Reader) {
	r.Resource = readResource(d)
	r.Key = d.String()
}

func (r *ProducerIDs) append(dst []byte) []byte {
	return appendInts(dst, int64(r.Broker), r.BrokerEpoch, r.Next)
}

func (r *ProducerIDs) read(d *wire.Reader) {
	r.Broker, r.BrokerEpoch, r.Next = d.Int32(), d.Varint(), d.Varint()
}

func (r *StreamOpened) append(dst []byte) []byte {
	return appendInts(dst, int64(r.ID), r.Epoch, int64(r.Node))
}

func (r *StreamOpened) read(d *wire.Reader) {
	r.ID, r.Epoch, r.Node = StreamID(d.Varint()), d.Varint(), d.Int32()
}

func (r *StreamClosed) append(dst []byte) []byte { return appendInts(dst, int64(r.ID), r.Epoch) }
func (r *StreamClosed) read(d *wire.Reader)      { r.ID, r.Epoch = StreamID(d.Varint()), d.Varint() }

func (r *StreamTrimmed) append(dst []byte) []byte {
	return appendInts(dst, int64(r.ID), r.Start, r.Time)
}

func (r *StreamTrimmed) read(d *wire.Reader) {
	r.ID, r.Start, r.Time = StreamID(d.Varint()), d.Varint(), d.Varint()
}

func (r *ObjectsPrepared) append(dst []byte) []byte {
	return appendInts(dst, int64(r.Node), int64(r.First), int64(r.Count), r.Time)
}

func (r *ObjectsPrepared) read(d *wire.Reader) {
	r.Node, r.First, r.Count, r.Time = d.Int32(), ObjectID(d.Varint()), d.Int32(), d.Varint()
}

// minObjectBytes is the least that one encoded NewObject takes.
const minObjectBytes = 4

func (r *ObjectsCommitted) append(dst []byte) []byte {
	dst = wire.AppendBool(appendInts(dst, int64(r.Node), r.Time), r.Extends)
	return AppendObjectIDs(appendObjects(dst, r.New), r.Compacted)
}

func (r *ObjectsCommitted) read(d *wire.Reader) {
	r.Node, r.Time, r.Extends = d.Int32(), d.Varint(), d.Bool()
	r.New, r.Compacted = readObjects(d), ReadObjectIDs(d)
}

func appendObjects(dst []byte, objects []NewObject) []byte {
	dst = wire.AppendUvarint(dst, uint64(len(objects)))
	for _, o := range objects {
		dst = append(appendInts(dst, int64(o.ID)), byte(o.Kind))
		dst = AppendRanges(appendInts(dst, o.Size), o.Ranges)
	}
	return dst
}

func readObjects(d *wire.Reader) []NewObject {
	n := d.Count(minObjectBytes)
	if n == 0 {
		return nil
	}
	objects := make([]NewObject, n)
	for i := range objects {
		objects[i] = NewObject{ID: ObjectID(d.Varint()), Kind: ObjectKind(d.Byte()), Size: d.Varint(), Ranges: ReadRanges(d)}
	}
	return objects
}

func (r *StreamRewritten) append(dst []byte) []byte {
	dst = appendInts(dst, int64(r.Stream), int64(r.Node), r.Time, r.Cleaned)
	return AppendObjectIDs(appendObjects(dst, r.New), r.Replaced)
}

func (r *StreamRewritten) read(d *wire.Reader) {
	r.Stream, r.Node, r.Time, r.Cleaned = StreamID(d.Varint()), d.Int32(), d.Varint(), d.Varint()
	r.New, r.Replaced = readObjects(d), ReadObjectIDs(d)
}

func (r *ObjectsDestroyed) append(dst []byte) []byte {
	return AppendObjectIDs(appendInts(dst, r.Time), r.IDs)
}

func (r *ObjectsDestroyed) read(d *wire.Reader) { r.Time, r.IDs = d.Varint(), ReadObjectIDs(d) }

func (r *ObjectsDeleted) append(dst []byte) []byte { return AppendObjectIDs(dst, r.IDs) }
func (r *ObjectsDeleted) read(d *wire.Reader)      { r.IDs = ReadObjectIDs(d) }

func (r *BrokerDraining) append(dst []byte) []byte {
	return wire.AppendBool(appendInts(dst, int64(r.ID)), r.Draining)
}

func (r *BrokerDraining) read(d *wire.Reader) { r.ID, r.Draining = d.Int32(), d.Bool() }

func (r *Counters) append(dst []byte) []byte {
	return appendInts(dst, int64(r.NextStream), int64(r.NextObject), r.NextBrokerEpoch, r.NextProducerID)
}

func (r *Counters) read(d *wire.Reader) {
	r.NextStream, r.NextObject = StreamID(d.Varint()), ObjectID(d.Varint())
	r.NextBrokerEpoch, r.NextProducerID = d.Varint(), d.Varint()
}

func (r *StreamState) append(dst []byte) []byte {
	return wire.AppendBool(appendInts(dst, int64(r.ID), r.Epoch, int64(r.Node), r.Start, r.End), r.Closed)
}

func (r *StreamState) read(d *wire.Reader) {
	r.ID, r.Epoch, r.Node = StreamID(d.Varint()), d.Varint(), d.Int32()
	r.Start, r.End, r.Closed = d.Varint(), d.Varint(), d.Bool()
}

func (r *ObjectStored) append(dst []byte) []byte {
	dst = append(appendInts(dst, int64(r.ID)), byte(r.ObjectKind), byte(r.State))
	return AppendRanges(appendInts(dst, int64(r.Node), r.Size, r.Time), r.Ranges)
}

func (r *ObjectStored) read(d *wire.Reader) {
	r.ID, r.ObjectKind, r.State = ObjectID(d.Varint()), ObjectKind(d.Byte()), ObjectState(d.Byte())
	r.Node, r.Size, r.Time = d.Int32(), d.Varint(), d.Varint()
	r.Ranges = ReadRanges(d)
}

func (r *BrokerWAL) append(dst []byte) []byte {
	return append(appendInts(dst, int64(r.ID), r.Epoch), r.WAL[:]...)
}

func (r *BrokerWAL) read(d *wire.Reader) {
	r.ID, r.Epoch = d.Int32(), d.Varint()
	d.Array(r.WAL[:])
}

func (r *BrokerRescue) append(dst []byte) []byte {
	return wire.AppendBool(append(appendInts(dst, int64(r.ID), r.Epoch), r.WAL[:]...), r.Done)
}

func (r *BrokerRescue) read(d *wire.Reader) {
	r.ID, r.Epoch = d.Int32(), d.Varint()
	d.Array(r.WAL[:])
	r.Done = d.Bool()
}

func (r *BrokerFailed) append(dst []byte) []byte {
	return wire.AppendString(appendInts(dst, int64(r.ID), r.Epoch), r.Cause)
}

func (r *BrokerFailed) read(d *wire.Reader) {
	r.ID, r.Epoch, r.Cause = d.Int32(), d.Varint(), d.String()
}
