package record

import "github.com/ringmq/ringmq/kraft/internal/wire"

// MetadataVersion is the version that a new cluster starts with: the set of kinds and versions that its controllers write.
const MetadataVersion = 1

// Cluster is the first record of every log.
type Cluster struct {
	ClusterID string
	Version   int16 // MetadataVersion of the controller that wrote it
}

// BrokerRegistered begins a new epoch of a broker, fenced. In every partition that it leads, leader epoch and partition epoch grow by 1.
type BrokerRegistered struct {
	ID          int32
	Epoch       int64 // larger than any broker epoch before
	Incarnation [16]byte
	Rack        string
	Endpoints   []BrokerEndpoint
}

// BrokerFenced: the broker of this epoch has been silent for too long or wants to be fenced.
type BrokerFenced struct {
	ID    int32
	Epoch int64
}

// BrokerUnfenced: the broker of this epoch serves.
type BrokerUnfenced struct {
	ID    int32
	Epoch int64
}

// BrokerUnregistered forgets a broker.
type BrokerUnregistered struct {
	ID    int32
	Epoch int64
}

// TopicCreated creates a topic without partitions.
type TopicCreated struct {
	ID                TopicID
	Name              string
	ReplicationFactor int16
}

// PartitionCreated adds the next partition of a topic, and its stream, never opened.
type PartitionCreated struct {
	Topic          TopicID
	Partition      int32 // the present number of partitions
	Leader         int32
	LeaderEpoch    int32
	PartitionEpoch int32
	Stream         StreamID
}

// PartitionChanged gives a partition a leader and epochs. A move that was under way is over.
type PartitionChanged struct {
	Topic          TopicID
	Partition      int32
	Leader         int32
	LeaderEpoch    int32
	PartitionEpoch int32
}

// PartitionMoving names the broker that is to take the partition over from its leader, which goes on until it has handed it over.
type PartitionMoving struct {
	Topic          TopicID
	Partition      int32
	Target         int32 // not the leader
	PartitionEpoch int32
}

// TopicDeleted removes a topic, its configuration and its streams. Objects left without a live range are destroyed.
type TopicDeleted struct {
	ID   TopicID
	Time int64 // ms since the epoch
}

// ConfigSet sets one key of a resource.
type ConfigSet struct {
	Resource ConfigResource
	Key      string
	Value    string
}

// ConfigRemoved removes one key of a resource.
type ConfigRemoved struct {
	Resource ConfigResource
	Key      string
}

// ProducerIDs gives the producer ids from the present next one up to Next to a broker.
type ProducerIDs struct {
	Broker      int32
	BrokerEpoch int64
	Next        int64 // first id not given
}

// StreamOpened makes Node the owner of a stream at Epoch.
type StreamOpened struct {
	ID    StreamID
	Epoch int64
	Node  int32
}

// StreamClosed: nothing of the stream remains in the WAL of its owner.
type StreamClosed struct {
	ID    StreamID
	Epoch int64
}

// StreamTrimmed moves the start of a stream up. Objects left without a live range are destroyed.
type StreamTrimmed struct {
	ID    StreamID
	Start int64
	Time  int64 // ms since the epoch
}

// ObjectsPrepared reserves the ids First..First+Count-1.
type ObjectsPrepared struct {
	Node  int32
	First ObjectID
	Count int32
	Time  int64 // ms since the epoch
}

// ObjectsCommitted makes prepared objects part of their streams, and destroys those that they replace.
type ObjectsCommitted struct {
	Node      int32
	Time      int64 // ms since the epoch
	Extends   bool  // the ranges extend their streams
	New       []NewObject
	Compacted []ObjectID
}

// NewObject is one object of ObjectsCommitted.
type NewObject struct {
	ID     ObjectID
	Kind   ObjectKind
	Size   int64
	Ranges []Range // by stream, then start
}

// StreamRewritten: the prepared objects New, of one range each, hold what the objects Replaced held of the stream, which lose it, and are destroyed when
// they hold nothing else. Everything below Cleaned has been compacted by key; it never moves back. In a snapshot only Stream and Cleaned are set.
type StreamRewritten struct {
	Stream   StreamID
	Node     int32
	Time     int64 // ms since the epoch
	Cleaned  int64
	New      []NewObject
	Replaced []ObjectID
}

// ObjectsDestroyed: these objects, prepared and never committed, wait for their removal from the bucket.
type ObjectsDestroyed struct {
	Time int64 // ms since the epoch
	IDs  []ObjectID
}

// ObjectsDeleted: these destroyed objects are gone from the bucket.
type ObjectsDeleted struct {
	IDs []ObjectID
}

// BrokerDraining: an operator wants a broker to be left by all partitions, or (Draining is false) no longer. It outlives registrations, and ends with the
// broker's unregistration.
type BrokerDraining struct {
	ID       int32
	Draining bool
}

// BrokerWAL: what the broker has acknowledged and not uploaded is in the write-ahead log WAL, and nowhere else. Zero: there is nothing of that kind.
type BrokerWAL struct {
	ID    int32
	Epoch int64
	WAL   [16]byte
}

// BrokerRescue: the registration of this epoch is not a broker but a rescue of its write-ahead log WAL. Done: everything in the log is in objects, its
// streams are closed, and the broker may come back with any log.
type BrokerRescue struct {
	ID    int32
	Epoch int64
	WAL   [16]byte
	Done  bool
}

// BrokerFailed: the broker of this epoch has told that it cannot go on, and why, which fences it. It holds until the broker registers anew or is unfenced.
type BrokerFailed struct {
	ID    int32
	Epoch int64
	Cause string // for a person; not empty
}

// Counters holds what a snapshot has to say besides the items: the next ids to give out.
type Counters struct {
	NextStream      StreamID
	NextObject      ObjectID
	NextBrokerEpoch int64
	NextProducerID  int64
}

// StreamState is the state of one stream whose partition an earlier record created.
type StreamState struct {
	ID         StreamID
	Epoch      int64
	Node       int32
	Start, End int64
	Closed     bool
}

// ObjectStored is the state of one object.
type ObjectStored struct {
	ID         ObjectID
	ObjectKind ObjectKind
	State      ObjectState
	Node       int32
	Size       int64
	Time       int64   // ms since the epoch: when it entered the state
	Ranges     []Range // by stream, then start; only while committed
}

// Kind returns the record's kind.
func (*Cluster) Kind() Kind            { return KindCluster }
func (*BrokerRegistered) Kind() Kind   { return KindBrokerRegistered }
func (*BrokerFenced) Kind() Kind       { return KindBrokerFenced }
func (*BrokerUnfenced) Kind() Kind     { return KindBrokerUnfenced }
func (*BrokerUnregistered) Kind() Kind { return KindBrokerUnregistered }
func (*TopicCreated) Kind() Kind       { return KindTopicCreated }
func (*PartitionCreated) Kind() Kind   { return KindPartitionCreated }
func (*PartitionChanged) Kind() Kind   { return KindPartitionChanged }
func (*PartitionMoving) Kind() Kind    { return KindPartitionMoving }
func (*TopicDeleted) Kind() Kind       { return KindTopicDeleted }
func (*ConfigSet) Kind() Kind          { return KindConfigSet }
func (*ConfigRemoved) Kind() Kind      { return KindConfigRemoved }
func (*ProducerIDs) Kind() Kind        { return KindProducerIDs }
func (*StreamOpened) Kind() Kind       { return KindStreamOpened }
func (*StreamClosed) Kind() Kind       { return KindStreamClosed }
func (*StreamTrimmed) Kind() Kind      { return KindStreamTrimmed }
func (*ObjectsPrepared) Kind() Kind    { return KindObjectsPrepared }
func (*ObjectsCommitted) Kind() Kind   { return KindObjectsCommitted }
func (*StreamRewritten) Kind() Kind    { return KindStreamRewritten }
func (*ObjectsDestroyed) Kind() Kind   { return KindObjectsDestroyed }
func (*ObjectsDeleted) Kind() Kind     { return KindObjectsDeleted }
func (*BrokerDraining) Kind() Kind     { return KindBrokerDraining }
func (*BrokerWAL) Kind() Kind          { return KindBrokerWAL }
func (*BrokerRescue) Kind() Kind       { return KindBrokerRescue }
func (*BrokerFailed) Kind() Kind       { return KindBrokerFailed }
func (*Counters) Kind() Kind           { return KindCounters }
func (*StreamState) Kind() Kind        { return KindStreamState }
func (*ObjectStored) Kind() Kind       { return KindObjectState }

func appendInts(dst []byte, vs ...int64) []byte {
	for _, v := range vs {
		dst = wire.AppendVarint(dst, v)
	}
	return dst
}
