package image

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ringmq/ringmq/kraft/record"
)

// apply applies records to an image; the last error is returned, with the image before it.
func apply(img *Image, recs ...record.Record) (*Image, *Delta, error) {
	b := img.Edit()
	for _, r := range recs {
		if err := b.Apply(r); err != nil {
			return img, nil, err
		}
	}
	next, d := b.Build(img.Offset()+1, 1)
	return next, d, nil
}

func mustApply(t testing.TB, img *Image, recs ...record.Record) (*Image, *Delta) {
	t.Helper()
	next, d, err := apply(img, recs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Check(); err != nil {
		t.Fatal(err)
	}
	return next, d
}

func encode(t testing.TB, img *Image) []byte {
	t.Helper()
	var out []byte
	if err := img.Records(func(r record.Record) error {
		out = record.Append(out, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

var topicA = record.TopicID{'a'}

// base has two brokers, and the topic a with one partition at each; streams 1 and 2 are open.
func base(t testing.TB) *Image {
	img, _ := mustApply(t, New(),
		&record.Cluster{ClusterID: "c", Version: 1},
		&record.BrokerRegistered{ID: 1, Epoch: 1}, &record.BrokerUnfenced{ID: 1, Epoch: 1},
		&record.BrokerRegistered{ID: 2, Epoch: 2}, &record.BrokerUnfenced{ID: 2, Epoch: 2},
		&record.TopicCreated{ID: topicA, Name: "a", ReplicationFactor: 1},
		&record.PartitionCreated{Topic: topicA, Partition: 0, Leader: 1, Stream: 1},
		&record.PartitionCreated{Topic: topicA, Partition: 1, Leader: 2, Stream: 2},
		&record.StreamOpened{ID: 1, Epoch: 0, Node: 1}, &record.StreamOpened{ID: 2, Epoch: 0, Node: 2},
	)
	return img
}

func commit(id record.ObjectID, kind record.ObjectKind, ranges ...record.Range) []record.Record {
	return []record.Record{
		&record.ObjectsPrepared{Node: 1, First: id, Count: 1, Time: int64(id)},
		&record.ObjectsCommitted{Node: 1, Time: int64(id), Extends: true, New: []record.NewObject{{ID: id, Kind: kind, Size: 1, Ranges: ranges}}},
	}
}

func state(img *Image, id record.ObjectID) record.ObjectState {
	o, _ := img.Object(id)
	return o.State
}

func TestRegistrationRaisesLeaderEpochs(t *testing.T) {
	img := base(t)
	next, d := mustApply(t, img, &record.BrokerRegistered{ID: 1, Epoch: 3})
	p := next.Topic("a").Partitions
	if p[0].LeaderEpoch != 1 || p[0].PartitionEpoch != 1 || p[1].LeaderEpoch != 0 {
		t.Fatalf("%+v", p)
	}
	if len(d.Partitions) != 1 || d.Partitions[0].Partition != 0 || len(d.Brokers) != 1 {
		t.Fatalf("delta %+v", d)
	}
	if old := img.Topic("a").Partitions; old[0].LeaderEpoch != 0 {
		t.Fatal("the old image changed")
	}
	if b := next.Broker(1); !b.Fenced || b.Epoch != 3 {
		t.Fatalf("%+v", b)
	}
}

func TestTrimKeepsTheLastObject(t *testing.T) {
	img := base(t)
	for i := range 3 {
		img, _ = mustApply(t, img, commit(record.ObjectID(i+1), record.StreamObject, record.Range{Stream: 1, Start: int64(i) * 10, End: int64(i)*10 + 10})...)
	}
	img, d := mustApply(t, img, &record.StreamTrimmed{ID: 1, Start: 15, Time: 100})
	if state(img, 1) != record.Destroyed || state(img, 2) != record.Committed || d.Destroyed != 1 {
		t.Fatalf("%d %d, %+v", state(img, 1), state(img, 2), d)
	}
	img, _ = mustApply(t, img, &record.StreamTrimmed{ID: 1, Start: 40, Time: 200})
	if state(img, 2) != record.Destroyed || state(img, 3) != record.Committed {
		t.Fatalf("%d %d: the last object carries the checkpoint", state(img, 2), state(img, 3))
	}
	if got := img.Objects(nil, 1, 40, 10); len(got) != 0 {
		t.Fatalf("%+v is readable", got)
	}
	if h, ok := img.LastObject(1); !ok || h.Object.ID != 3 {
		t.Fatalf("last object %+v", h)
	}
	// Data that was trimmed before it was uploaded leaves a gap below the start.
	img, _ = mustApply(t, img, commit(4, record.StreamObject, record.Range{Stream: 1, Start: 40, End: 50})...)
	if state(img, 3) != record.Destroyed || state(img, 4) != record.Committed {
		t.Fatalf("%d %d: another object is the last now", state(img, 3), state(img, 4))
	}
	ids := img.DestroyedObjects(nil, time.UnixMilli(200), 2)
	if len(ids) != 2 || ids[0] != 3 || ids[1] != 1 { // oldest first: 3 at 4 ms, 1 at 100 ms
		t.Fatalf("destroyed before 200: %v", ids)
	}
}

func TestStreamSetObjectDiesWithItsLastRange(t *testing.T) {
	img := base(t)
	img, _ = mustApply(t, img, commit(1, record.StreamSetObject, record.Range{Stream: 1, Start: 0, End: 10}, record.Range{Stream: 2, Start: 0, End: 10})...)
	img, _ = mustApply(t, img, commit(2, record.StreamSetObject, record.Range{Stream: 1, Start: 10, End: 20}, record.Range{Stream: 2, Start: 10, End: 20})...)
	if got := img.StreamSetObjects(nil, 1, 10); len(got) != 2 || got[0].ID != 1 {
		t.Fatalf("%+v", got)
	}
	img, _ = mustApply(t, img, &record.StreamTrimmed{ID: 1, Start: 10, Time: 5})
	if state(img, 1) != record.Committed {
		t.Fatal("stream 2 needs it")
	}
	got := img.Objects(nil, 1, 0, 10)
	if len(got) != 2 || got[1].Object.ID != 2 || got[1].Start != 10 || got[1].Stream != 1 {
		t.Fatalf("%+v", got)
	}
	if got := img.Objects(nil, 2, 9, 1); len(got) != 1 || got[0].Object.ID != 1 {
		t.Fatalf("%+v", got)
	}
	img, d := mustApply(t, img, &record.TopicDeleted{ID: topicA, Time: 9})
	if state(img, 1) != record.Destroyed || state(img, 2) != record.Destroyed || d.Destroyed != 2 || len(d.Deleted) != 1 {
		t.Fatalf("%d %d %+v", state(img, 1), state(img, 2), d)
	}
	if _, ok := img.Stream(1); ok || !img.StreamExisted(1) || img.StreamExisted(3) {
		t.Fatal("stream 1")
	}
	img, _ = mustApply(t, img, &record.ObjectsDeleted{IDs: []record.ObjectID{1, 2}})
	if img.NumObjects() != 0 || img.NumDestroyed() != 0 || img.NextObjectID() != 3 {
		t.Fatal("objects are left, or their ids")
	}
}

// TestBadRecords lists what a correct controller never writes. Each is refused, and the image it was tried on is as before.
func TestBadRecords(t *testing.T) {
	img := base(t)
	img, _ = mustApply(t, img, commit(1, record.StreamObject, record.Range{Stream: 1, Start: 0, End: 10})...)
	img, _ = mustApply(t, img, &record.ObjectsPrepared{Node: 1, First: 2, Count: 1})
	before := encode(t, img)
	one := func(n record.NewObject) record.Record {
		return &record.ObjectsCommitted{Node: 1, Extends: true, New: []record.NewObject{n}}
	}
	for i, r := range []record.Record{
		&record.Cluster{ClusterID: "other"},
		&record.BrokerRegistered{ID: 1, Epoch: 1},
		&record.BrokerFenced{ID: 1, Epoch: 9},
		&record.BrokerUnfenced{ID: 9, Epoch: 1},
		&record.BrokerUnregistered{ID: 9},
		&record.TopicCreated{ID: record.TopicID{9}, Name: "a"},
		&record.TopicCreated{ID: topicA, Name: "b"},
		&record.PartitionCreated{Topic: topicA, Partition: 3, Stream: 9},
		&record.PartitionCreated{Topic: topicA, Partition: 2, Stream: 1},
		&record.PartitionCreated{Topic: record.TopicID{9}},
		&record.PartitionChanged{Topic: topicA, Partition: 2},
		&record.PartitionChanged{Topic: topicA, Partition: 0, PartitionEpoch: 0},
		&record.TopicDeleted{ID: record.TopicID{9}},
		&record.ProducerIDs{Next: 0},
		&record.StreamOpened{ID: 9},
		&record.StreamOpened{ID: 1, Epoch: 0, Node: 2},
		&record.StreamClosed{ID: 1, Epoch: 5},
		&record.StreamTrimmed{ID: 1, Start: 0},
		&record.ObjectsPrepared{First: 1, Count: 1},
		&record.ObjectsPrepared{First: 9, Count: 1 << 30},
		one(record.NewObject{ID: 9, Kind: record.StreamObject, Ranges: []record.Range{{Stream: 1, Start: 10, End: 20}}}),
		one(record.NewObject{ID: 2, Kind: 9, Ranges: []record.Range{{Stream: 1, Start: 10, End: 20}}}),
		one(record.NewObject{ID: 2, Kind: record.StreamObject}),
		one(record.NewObject{ID: 2, Kind: record.StreamObject, Ranges: []record.Range{{Stream: 1, Start: 5, End: 20}}}),
		one(record.NewObject{ID: 2, Kind: record.StreamObject, Ranges: []record.Range{{Stream: 1, Start: 10, End: 10}}}),
		one(record.NewObject{ID: 2, Kind: record.StreamSetObject, Ranges: []record.Range{{Stream: 2, Start: 0, End: 1}, {Stream: 1, Start: 10, End: 20}}}),
		&record.ObjectsCommitted{Compacted: []record.ObjectID{2}},
		&record.StreamRewritten{Stream: 9},
		&record.StreamRewritten{Stream: 1, Cleaned: 11},
		&record.StreamRewritten{Stream: 1, Cleaned: -1},
		&record.StreamRewritten{Stream: 1, Replaced: []record.ObjectID{2}},
		&record.StreamRewritten{Stream: 2, Replaced: []record.ObjectID{1}},
		&record.StreamRewritten{Stream: 1, New: []record.NewObject{{ID: 9, Kind: record.StreamObject, Ranges: []record.Range{{Stream: 1, Start: 0, End: 10}}}}},
		&record.StreamRewritten{Stream: 1, New: []record.NewObject{{ID: 2, Kind: record.StreamObject, Ranges: []record.Range{{Stream: 1, Start: 0, End: 10}}}}},
		&record.ObjectsDestroyed{IDs: []record.ObjectID{1}},
		&record.ObjectsDeleted{IDs: []record.ObjectID{1}},
		&record.StreamState{ID: 9},
		&record.ObjectStored{ID: 1, State: record.Prepared},
		&record.ObjectStored{ID: 9, State: 9},
		&record.ObjectStored{ID: 9, State: record.Prepared, Ranges: []record.Range{{Stream: 1, Start: 10, End: 20}}},
	} {
		if _, _, err := apply(img, r); !errors.Is(err, ErrApply) {
			t.Errorf("%d: %v %+v: %v", i, r.Kind(), r, err)
		}
		if !bytes.Equal(encode(t, img), before) {
			t.Fatalf("%d: %v changed the image that it was tried on", i, r.Kind())
		}
	}
}

func TestDeltaMerge(t *testing.T) {
	var d Delta
	if !d.Empty() {
		t.Fatal("not empty")
	}
	d.Merge(&Delta{Brokers: []int32{1}})
	d.Merge(&Delta{Destroyed: 2, Brokers: []int32{2}})
	if d.Empty() || len(d.Brokers) != 2 || d.Destroyed != 2 {
		t.Fatalf("%+v", d)
	}
	d.Merge(&Delta{Brokers: make([]int32, maxDelta)})
	if !d.Full || d.items() != 0 {
		t.Fatal("a delta without bound")
	}
}

// FuzzApply applies whatever records decode. None may panic, and an image that came out has to survive being stored.
func FuzzApply(f *testing.F) {
	var seed []byte
	img := base(f)
	img, _ = mustApply(f, img, commit(1, record.StreamSetObject, record.Range{Stream: 1, Start: 0, End: 10}, record.Range{Stream: 2, Start: 0, End: 10})...)
	f.Add(encode(f, img))
	for _, r := range []record.Record{
		&record.BrokerRegistered{ID: 1, Epoch: 3}, &record.StreamTrimmed{ID: 1, Start: 20}, &record.TopicDeleted{ID: topicA},
		&record.StreamRewritten{Stream: 1, Cleaned: 7}, &record.ObjectsDeleted{IDs: []record.ObjectID{1}}, &record.ConfigSet{Key: "k"}, &record.ConfigRemoved{Key: "k"},
	} {
		seed = record.Append(seed, r)
		f.Add(append(encode(f, img), seed...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e := New().Edit()
		for len(b) > 0 {
			r, n, err := record.Read(b)
			if err != nil {
				break
			}
			if p, ok := r.(*record.ObjectsPrepared); ok && p.Count > 1000 {
				break // right, but slow
			}
			if err := e.Apply(r); err != nil {
				return
			}
			b = b[n:]
		}
		img, _ := e.Build(1, 1)
		again := New().Edit()
		if err := img.Records(func(r record.Record) error {
			c, _, err := record.Read(record.Append(nil, r))
			if err != nil {
				return err
			}
			return again.Apply(c)
		}); err != nil {
			t.Fatalf("the image cannot be read back: %v", err)
		}
		second, _ := again.Build(1, 1)
		if a, b := encode(t, img), encode(t, second); !bytes.Equal(a, b) {
			t.Fatal("the image that was read back differs")
		}
	})
}

func ExampleImage_Topics() {
	img, _, _ := apply(New(), &record.TopicCreated{ID: record.TopicID{1}, Name: "b"}, &record.TopicCreated{ID: record.TopicID{2}, Name: "a"})
	img.Topics(func(t *Topic) bool {
		fmt.Println(t.Name)
		return true
	})
	// Output:
	// a
	// b
}
