package image

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tidwall/btree"

	"github.com/ringmq/ringmq/kraft/record"
)

// ErrApply: a record does not fit the image. The log was written by a faulty controller or belongs to something else: the node must stop.
var ErrApply = errors.New("image: record does not apply")

// Builder makes the next image out of one image and records. It belongs to one goroutine. After an error it must be dropped; the image
// that it came from is untouched.
type Builder struct {
	img    Image
	delta  Delta
	topics map[record.TopicID]*Topic // topics of img that only this builder refers to, and may change
	alone  map[int32][]int32         // shared one-element replica lists
}

// Edit begins a new image that is equal to i. Several goroutines may edit the same image.
func (i *Image) Edit() *Builder {
	b := &Builder{img: *i}
	// The copies get an identity of their own, so that a change copies the nodes on its path first. They are taken from copies of the
	// struct, because Copy writes to what it copies, and i may be in use elsewhere.
	b.img.topics = copyMap(i.topics)
	b.img.topicID = copyMap(i.topicID)
	b.img.brokers = copyMap(i.brokers)
	b.img.leads = copyMap(i.leads)
	b.img.configs = copyMap(i.configs)
	b.img.streams = copyMap(i.streams)
	b.img.objects = copyMap(i.objects)
	b.img.prepared = copyMap(i.prepared)
	b.img.ranges = copyTree(i.ranges)
	b.img.sets = copyTree(i.sets)
	b.img.dead = copyTree(i.dead)
	return b
}

func copyMap[K int32 | record.StreamID | record.ObjectID | string, V any](m btree.Map[K, V]) btree.Map[K, V] {
	return *m.Copy()
}

func copyTree[T any](t *btree.BTreeG[T]) *btree.BTreeG[T] {
	shallow := *t
	return shallow.Copy()
}

// Image is the state so far, for looking at between two calls of Apply. It changes with the next one.
func (b *Builder) Image() *Image { return &b.img }

// Build returns the image and what differs from the one that Edit was called on. The builder must not be used any more.
func (b *Builder) Build(offset, term int64) (*Image, *Delta) {
	b.img.offset, b.img.term = offset, term
	img, delta := b.img, b.delta
	b.topics = nil
	return &img, &delta
}

// Apply makes the change that the record describes. An error matches ErrApply; the builder is useless then.
func (b *Builder) Apply(r record.Record) error {
	var err error
	switch r := r.(type) {
	case *record.Cluster:
		err = b.cluster(r)
	case *record.BrokerRegistered:
		err = b.brokerRegistered(r)
	case *record.BrokerFenced:
		err = b.brokerFence(r.ID, r.Epoch, true)
	case *record.BrokerUnfenced:
		err = b.brokerFence(r.ID, r.Epoch, false)
	case *record.BrokerUnregistered:
		err = b.brokerUnregistered(r)
	case *record.BrokerDraining:
		err = b.brokerDraining(r)
	case *record.BrokerWAL:
		err = b.brokerWAL(r)
	case *record.BrokerFailed:
		err = b.brokerFailed(r)
	case *record.BrokerRescue:
		err = b.brokerRescue(r)
	case *record.TopicCreated:
		err = b.topicCreated(r)
	case *record.PartitionCreated:
		err = b.partitionCreated(r)
	case *record.PartitionChanged:
		err = b.partitionChanged(r)
	case *record.PartitionMoving:
		err = b.partitionMoving(r)
	case *record.TopicDeleted:
		err = b.topicDeleted(r)
	case *record.ConfigSet:
		b.configSet(r)
	case *record.ConfigRemoved:
		b.configRemoved(r)
	case *record.ProducerIDs:
		err = b.producerIDs(r)
	case *record.StreamOpened:
		err = b.streamOpened(r)
	case *record.StreamClosed:
		err = b.streamClosed(r)
	case *record.StreamTrimmed:
		err = b.streamTrimmed(r)
	case *record.ObjectsPrepared:
		err = b.objectsPrepared(r)
	case *record.ObjectsCommitted:
		err = b.objectsCommitted(r)
	case *record.StreamRewritten:
		err = b.streamRewritten(r)
	case *record.ObjectsDestroyed:
		err = b.objectsDestroyed(r)
	case *record.ObjectsDeleted:
		err = b.objectsDeleted(r)
	case *record.VoterSet:
		err = b.voterSet(r)
	case *record.Counters:
		b.counters(r)
	case *record.StreamState:
		err = b.streamState(r)
	case *record.ObjectStored:
		err = b.objectStored(r)
	default:
		err = fmt.Errorf("no rule for %T", r)
	}
	if err != nil {
		return fmt.Errorf("%w: %v: %w", ErrApply, r.Kind(), err)
	}
	return nil
}

func (b *Builder) cluster(r *record.Cluster) error {
	if b.img.clusterID != "" && b.img.clusterID != r.ClusterID {
		return fmt.Errorf("cluster id is %q, not %q", b.img.clusterID, r.ClusterID)
	}
	if r.Version < b.img.version {
		return fmt.Errorf("metadata version goes back from %d to %d", b.img.version, r.Version)
	}
	b.img.clusterID, b.img.version = r.ClusterID, r.Version
	return nil
}

func (b *Builder) counters(r *record.Counters) {
	b.img.nextStream = max(b.img.nextStream, r.NextStream)
	b.img.nextObject = max(b.img.nextObject, r.NextObject)
	b.img.nextBrokerEpoch = max(b.img.nextBrokerEpoch, r.NextBrokerEpoch)
	b.img.nextProducerID = max(b.img.nextProducerID, r.NextProducerID)
}

func (b *Builder) producerIDs(r *record.ProducerIDs) error {
	if r.Next <= b.img.nextProducerID {
		return fmt.Errorf("next producer id goes from %d to %d", b.img.nextProducerID, r.Next)
	}
	b.img.nextProducerID = r.Next
	return nil
}

func (b *Builder) configSet(r *record.ConfigSet) {
	key := configKey(r.Resource)
	old, ok := b.img.configs.Get(key)
	next := &configSet{resource: r.Resource}
	if ok {
		next.entries = slices.Clone(old.entries)
	}
	at, found := next.find(r.Key)
	if found {
		next.entries[at].Value = r.Value
	} else {
		next.entries = slices.Insert(next.entries, at, ConfigEntry{Key: r.Key, Value: r.Value})
	}
	b.img.configs.Set(key, next)
	b.touchConfig(r.Resource)
}

func (b *Builder) configRemoved(r *record.ConfigRemoved) {
	key := configKey(r.Resource)
	old, ok := b.img.configs.Get(key)
	if !ok {
		return
	}
	at, found := old.find(r.Key)
	if !found {
		return
	}
	if len(old.entries) == 1 {
		b.img.configs.Delete(key)
	} else {
		b.img.configs.Set(key, &configSet{resource: r.Resource, entries: slices.Delete(slices.Clone(old.entries), at, at+1)})
	}
	b.touchConfig(r.Resource)
}

func (b *Builder) touchConfig(r record.ConfigResource) {
	if n := len(b.delta.Configs); n == 0 || b.delta.Configs[n-1] != r {
		b.delta.Configs = append(b.delta.Configs, r)
	}
}
