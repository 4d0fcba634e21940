package image

import (
	"time"

	"github.com/tidwall/btree"

	"github.com/ringmq/ringmq/kraft/record"
)

// Image is the metadata of the cluster after one record of the log. It is immutable and may be read by any number of
// goroutines without a lock; what its methods return must not be modified.
type Image struct {
	offset    int64 // index of the last applied entry of the raft log; 0 before the first
	term      int64 // raft term of that entry
	clusterID string
	version   int16 // metadata version of the cluster; 0 before the first cluster record

	nextStream      record.StreamID
	nextObject      record.ObjectID
	nextBrokerEpoch int64
	nextProducerID  int64
	partitions      int // of all topics

	topics  btree.Map[string, *Topic]
	topicID btree.Map[string, *Topic] // by the id's 16 bytes
	voters  []record.Voter            // ascending by id; shared, read-only; empty before the first voter record
	brokers btree.Map[int32, *Broker]
	leads   btree.Map[int32, int32]       // broker id -> number of partitions that it leads, if any
	configs btree.Map[string, *configSet] // by configKey

	streams  btree.Map[record.StreamID, Stream]
	objects  btree.Map[record.ObjectID, object]
	ranges   *btree.BTreeG[rangeRef]              // committed ranges by (stream, start)
	sets     *btree.BTreeG[setRef]                // committed stream-set objects by (node, id)
	prepared btree.Map[record.ObjectID, struct{}] // objects in state Prepared
	dead     *btree.BTreeG[deadRef]               // objects in state Destroyed by (when, id)
}

// Topic is one topic. It is immutable.
type Topic struct {
	ID   record.TopicID
	Name string
	// ReplicationFactor is what the creator asked for, at least 1. The number of copies that exist is len(Partition.Replicas).
	ReplicationFactor int16
	Partitions        []Partition // by partition index
}

// Partition is one partition of a topic.
type Partition struct {
	Leader         int32 // broker that owns the stream; never -1
	LeaderEpoch    int32 // grows whenever the leader changes or restarts; the epoch of the stream's owner
	PartitionEpoch int32 // grows with every change of the partition
	Target         int32 // broker that is to take the partition over from the leader; -1: none
	StreamID       record.StreamID
	Replicas       []int32 // shared, read-only: the owner alone
	ISR            []int32 // shared, read-only: the owner alone
}

// Broker is a registered broker. It is immutable.
type Broker struct {
	ID          int32
	Epoch       int64 // broker epoch of the latest registration, also the node epoch that fences the node's WAL and commits
	Incarnation [16]byte
	Endpoints   []record.BrokerEndpoint
	Rack        string // "" if none
	Fenced      bool   // true until its first heartbeat after registration and when heartbeats stay away
	Draining    bool   // an operator wants all partitions to leave it: it gets no new ones

	// WAL is the write-ahead log that has what the broker acknowledged and did not upload; zero: nothing is in any log. It stays when the broker
	// registers anew, until it says otherwise.
	WAL [16]byte
	// Rescue: the present registration is a rescue of WAL, which never serves.
	Rescue bool
	// RescuedWAL was rescued by the registration RescuedEpoch: what was in it before is in objects. Zero: none was.
	RescuedWAL   [16]byte
	RescuedEpoch int64
	// Failure is why the process of the present registration has ended itself; "" when it has not told that.
	Failure string
}

// Endpoint returns the broker's endpoint for a listener name.
func (b *Broker) Endpoint(listener string) (record.BrokerEndpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Name == listener {
			return e, true
		}
	}
	return record.BrokerEndpoint{}, false
}

// Stream is the state of one stream.
type Stream struct {
	ID         record.StreamID
	Epoch      int64 // newest epoch granted, -1 if never opened
	Start, End int64 // trimmed start; committed end: everything below End is in objects
	Cleaned    int64 // everything below is compacted by key; 0: nothing ever was
	Node       int32 // owner of that epoch, -1 if never opened
	Partition  int32 // index of the partition whose data it is
	Closed     bool  // closed cleanly by its last owner (or never opened): nothing of it remains in any WAL
	Topic      record.TopicID
}

// Object is an object as the metadata knows it.
type Object struct {
	ID     record.ObjectID
	Kind   record.ObjectKind // 0 while prepared
	State  record.ObjectState
	Node   int32          // node that prepared it
	Size   int64          // bytes in the bucket; 0 while prepared
	When   time.Time      // when it entered its state, by the clock of the controller
	Ranges []record.Range // shared, read-only; by stream, then start; nil unless committed
}

// object is Object without what the key says, packed: a cluster may have a million of them.
type object struct {
	ranges []record.Range
	size   int64
	when   int64 // ms since the epoch
	node   int32
	kind   record.ObjectKind
	state  record.ObjectState
}

func (o object) export(id record.ObjectID) Object {
	return Object{ID: id, Kind: o.kind, State: o.state, Node: o.node, Size: o.size, When: time.UnixMilli(o.when), Ranges: o.ranges}
}

// rangeRef says which object holds [start, end) of a stream.
type rangeRef struct {
	stream     record.StreamID
	start, end int64
	object     record.ObjectID
}

// setRef is one stream-set object of a node.
type setRef struct {
	object record.ObjectID
	node   int32
}

// deadRef is one destroyed object.
type deadRef struct {
	when   int64
	object record.ObjectID
}

func lessRange(a, b rangeRef) bool {
	if a.stream != b.stream {
		return a.stream < b.stream
	}
	return a.start < b.start
}

func lessSet(a, b setRef) bool {
	if a.node != b.node {
		return a.node < b.node
	}
	return a.object < b.object
}

func lessDead(a, b deadRef) bool {
	if a.when != b.when {
		return a.when < b.when
	}
	return a.object < b.object
}

// configSet is the keys of one resource, sorted by key. It is immutable.
type configSet struct {
	resource record.ConfigResource
	entries  []ConfigEntry
}

// ConfigEntry is one explicitly set configuration key.
type ConfigEntry struct{ Key, Value string }

// New returns the image of an empty log.
func New() *Image {
	opts := btree.Options{NoLocks: true, Degree: rangeDegree}
	return &Image{
		nextStream: 1, nextObject: 1, nextBrokerEpoch: 1,
		ranges: btree.NewBTreeGOptions(lessRange, opts),
		sets:   btree.NewBTreeGOptions(lessSet, opts),
		dead:   btree.NewBTreeGOptions(lessDead, opts),
	}
}

// rangeDegree trades the bytes copied per change (about degree items per level) against the depth of the tree.
const rangeDegree = 16
