package image

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ringmq/ringmq/kraft/record"
)

// Offset is the index of the last applied entry of the quorum's log; 0 for the empty image.
func (i *Image) Offset() int64 { return i.offset }

// Term is the raft term of the entry at Offset.
func (i *Image) Term() int64 { return i.term }

// ClusterID is "" until the first controller has written it.
func (i *Image) ClusterID() string { return i.clusterID }

// MetadataVersion is the version of records that the cluster has agreed on; 0 until the first controller has written it.
func (i *Image) MetadataVersion() int16 { return i.version }

// NextProducerID is the first producer id not yet given to any broker.
func (i *Image) NextProducerID() int64 { return i.nextProducerID }

// NextStreamID is the first stream id that has not been given out.
func (i *Image) NextStreamID() record.StreamID { return i.nextStream }

// NextObjectID is the first object id that has not been given out.
func (i *Image) NextObjectID() record.ObjectID { return i.nextObject }

// NextBrokerEpoch is larger than every broker epoch.
func (i *Image) NextBrokerEpoch() int64 { return i.nextBrokerEpoch }

// Topic finds a topic by name, nil if there is none.
func (i *Image) Topic(name string) *Topic {
	t, _ := i.topics.Get(name)
	return t
}

// TopicByID finds a topic by id, nil if there is none.
func (i *Image) TopicByID(id record.TopicID) *Topic {
	t, _ := i.topicID.Get(string(id[:]))
	return t
}

// Topics calls fn for every topic in the order of names until it returns false.
func (i *Image) Topics(fn func(*Topic) bool) {
	i.topics.Scan(func(_ string, t *Topic) bool { return fn(t) })
}

// TopicsFrom is Topics, beginning at the first name >= name.
func (i *Image) TopicsFrom(name string, fn func(*Topic) bool) {
	i.topics.Ascend(name, func(_ string, t *Topic) bool { return fn(t) })
}

// NumTopics is the number of topics.
func (i *Image) NumTopics() int { return i.topics.Len() }

// NumPartitions is the number of partitions of all topics.
func (i *Image) NumPartitions() int { return i.partitions }

// Broker finds a registered broker, nil if there is none.
func (i *Image) Broker(id int32) *Broker {
	b, _ := i.brokers.Get(id)
	return b
}

// Brokers calls fn for every registered broker, fenced ones too, in the order of ids until it returns false.
func (i *Image) Brokers(fn func(*Broker) bool) {
	i.brokers.Scan(func(_ int32, b *Broker) bool { return fn(b) })
}

// NumBrokers is the number of registered brokers, fenced ones too.
func (i *Image) NumBrokers() int { return i.brokers.Len() }

// PartitionsLed is the number of partitions whose leader is the broker, registered or not.
func (i *Image) PartitionsLed(id int32) int {
	n, _ := i.leads.Get(id)
	return int(n)
}

// configKey orders resources by type, then name.
func configKey(r record.ConfigResource) string { return string([]byte{byte(r.Type)}) + r.Name }

// Config returns one explicitly set key.
func (i *Image) Config(r record.ConfigResource, key string) (string, bool) {
	s, ok := i.configs.Get(configKey(r))
	if !ok {
		return "", false
	}
	at, found := s.find(key)
	if !found {
		return "", false
	}
	return s.entries[at].Value, true
}

// Configs returns the explicitly set keys of a resource, sorted; the slice is shared and read-only.
func (i *Image) Configs(r record.ConfigResource) []ConfigEntry {
	s, ok := i.configs.Get(configKey(r))
	if !ok {
		return nil
	}
	return s.entries
}

// ConfigMap returns the explicitly set keys of a resource as a map of the caller's own.
func (i *Image) ConfigMap(r record.ConfigResource) map[string]string {
	entries := i.Configs(r)
	m := make(map[string]string, len(entries))
	for _, e := range entries {
		m[e.Key] = e.Value
	}
	return m
}

// ConfigResources calls fn for every resource that has explicitly set keys until it returns false.
func (i *Image) ConfigResources(fn func(record.ConfigResource) bool) {
	i.configs.Scan(func(_ string, s *configSet) bool { return fn(s.resource) })
}

// ConfigResourcesOf is ConfigResources for the resources of one type, by name.
func (i *Image) ConfigResourcesOf(t record.ConfigType, fn func(record.ConfigResource) bool) {
	i.configs.Ascend(configKey(record.ConfigResource{Type: t}), func(_ string, s *configSet) bool {
		return s.resource.Type == t && fn(s.resource)
	})
}

// TopicResource is the configuration resource of a topic.
func TopicResource(name string) record.ConfigResource {
	return record.ConfigResource{Type: record.TopicConfig, Name: name}
}

// BrokerResource is the configuration resource of one broker; id -1 means the cluster-wide default of all brokers.
func BrokerResource(id int32) record.ConfigResource {
	if id < 0 {
		return record.ConfigResource{Type: record.BrokerConfig}
	}
	return record.ConfigResource{Type: record.BrokerConfig, Name: strconv.Itoa(int(id))}
}

func (s *configSet) find(key string) (int, bool) {
	lo, hi := 0, len(s.entries)
	for lo < hi {
		mid := (lo + hi) / 2
		if s.entries[mid].Key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(s.entries) && s.entries[lo].Key == key
}

// Stream finds a stream. A deleted stream is not found.
func (i *Image) Stream(id record.StreamID) (Stream, bool) { return i.streams.Get(id) }

// StreamExisted says that the id was given out once; with Stream not finding it, the stream has been deleted.
func (i *Image) StreamExisted(id record.StreamID) bool { return id > 0 && id < i.nextStream }

// Streams calls fn for every stream in the order of ids until it returns false.
func (i *Image) Streams(fn func(Stream) bool) {
	i.streams.Scan(func(_ record.StreamID, s Stream) bool { return fn(s) })
}

// NumStreams is the number of live streams.
func (i *Image) NumStreams() int { return i.streams.Len() }

// NumObjects is the number of known objects, in whatever state.
func (i *Image) NumObjects() int { return i.objects.Len() }

// NumDestroyed is the number of objects that wait for their removal from the bucket.
func (i *Image) NumDestroyed() int { return i.dead.Len() }

// Object finds an object in whatever state. A deleted object is not found.
func (i *Image) Object(id record.ObjectID) (Object, bool) {
	o, ok := i.objects.Get(id)
	if !ok {
		return Object{}, false
	}
	return o.export(id), true
}

// ScanObjects calls fn for every known object in the order of ids until it returns false.
func (i *Image) ScanObjects(fn func(Object) bool) {
	i.objects.Scan(func(id record.ObjectID, o object) bool { return fn(o.export(id)) })
}

// Held is one range of a stream with the object that holds it.
type Held struct {
	record.Range
	Object Object
}

// Objects appends to dst the committed ranges that hold offsets >= from of the stream, in offset order, at most limit.
func (i *Image) Objects(dst []Held, id record.StreamID, from int64, limit int) []Held {
	if limit <= 0 {
		return dst
	}
	// The range that contains from starts at or before it.
	pivot := rangeRef{stream: id, start: from}
	i.ranges.Descend(pivot, func(r rangeRef) bool {
		if r.stream == id && r.end > from {
			pivot.start = r.start
		}
		return false
	})
	n := len(dst) + limit
	i.ranges.Ascend(pivot, func(r rangeRef) bool {
		if r.stream != id {
			return false
		}
		dst = append(dst, i.held(r))
		return len(dst) < n
	})
	return dst
}

// LastObject returns the range of the stream with the highest end offset: it holds the owner's newest checkpoint.
func (i *Image) LastObject(id record.StreamID) (Held, bool) {
	var found Held
	var ok bool
	i.ranges.Descend(rangeRef{stream: id, start: 1<<63 - 1}, func(r rangeRef) bool {
		if r.stream == id {
			found, ok = i.held(r), true
		}
		return false
	})
	return found, ok
}

func (i *Image) held(r rangeRef) Held {
	o, _ := i.objects.Get(r.object)
	h := Held{Object: o.export(r.object)}
	at, found := slices.BinarySearchFunc(o.ranges, r, func(x record.Range, r rangeRef) int {
		return cmp.Or(cmp.Compare(x.Stream, r.stream), cmp.Compare(x.Start, r.start))
	})
	if !found {
		panic(fmt.Sprintf("BUG: image: object %d does not have the range of stream %d from %d", r.object, r.stream, r.start))
	}
	h.Range = o.ranges[at]
	return h
}

// StreamSetObjects appends to dst the committed stream-set objects that the node wrote, oldest first, at most limit.
func (i *Image) StreamSetObjects(dst []Object, node int32, limit int) []Object {
	if limit <= 0 {
		return dst
	}
	n := len(dst) + limit
	i.sets.Ascend(setRef{node: node}, func(r setRef) bool {
		if r.node != node {
			return false
		}
		o, _ := i.objects.Get(r.object)
		dst = append(dst, o.export(r.object))
		return len(dst) < n
	})
	return dst
}

// DestroyedObjects appends to dst the objects that were destroyed before the given time, oldest first, at most limit.
func (i *Image) DestroyedObjects(dst []record.ObjectID, before time.Time, limit int) []record.ObjectID {
	if limit <= 0 {
		return dst
	}
	n, bound := len(dst)+limit, before.UnixMilli()
	i.dead.Scan(func(r deadRef) bool {
		if r.when >= bound {
			return false
		}
		dst = append(dst, r.object)
		return len(dst) < n
	})
	return dst
}

// PreparedObjects appends to dst objects that were prepared before the given time and are still not committed, at most limit: in the order of
// ids, up to the first one that is younger.
func (i *Image) PreparedObjects(dst []record.ObjectID, before time.Time, limit int) []record.ObjectID {
	if limit <= 0 {
		return dst
	}
	n, bound := len(dst)+limit, before.UnixMilli()
	i.prepared.Scan(func(id record.ObjectID, _ struct{}) bool {
		if o, ok := i.objects.Get(id); !ok || o.when >= bound {
			return false
		}
		dst = append(dst, id)
		return len(dst) < n
	})
	return dst
}
