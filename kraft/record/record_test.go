package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files; a released format never changes")

// samples has one record of each kind with every field set, and edge values.
func samples() []Record {
	id := TopicID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}
	ranges := []Range{
		{Stream: 5, Epoch: 3, Start: 0, End: 100, Bytes: 4096, MaxTimestamp: 1_700_000_000_000},
		{Stream: 6, Epoch: 0, Start: 1 << 40, End: 1<<40 + 1, Bytes: 0, MaxTimestamp: -1},
	}
	return []Record{
		&Cluster{ClusterID: "ringmq-cluster", Version: 1},
		&BrokerRegistered{ID: 7, Epoch: 12, Incarnation: [16]byte(id), Rack: "r1", Endpoints: []BrokerEndpoint{
			{Name: "PLAINTEXT", Host: "broker-7.example", Port: 9092, SecurityProtocol: 0}, {Name: "TLS", Host: "::1", Port: 65535, SecurityProtocol: 1},
		}},
		&BrokerFenced{ID: 7, Epoch: 12},
		&BrokerUnfenced{ID: 7, Epoch: 12},
		&BrokerUnregistered{ID: 7, Epoch: 12},
		&TopicCreated{ID: id, Name: "orders", ReplicationFactor: 3},
		&PartitionCreated{Topic: id, Partition: 9999, Leader: 7, LeaderEpoch: 1, PartitionEpoch: 2, Stream: 1 << 33},
		&PartitionChanged{Topic: id, Partition: 0, Leader: 8, LeaderEpoch: 2, PartitionEpoch: 3},
		&PartitionMoving{Topic: id, Partition: 0, Target: 9, PartitionEpoch: 4},
		&TopicDeleted{ID: id, Time: 1_700_000_000_000},
		&ConfigSet{Resource: ConfigResource{Type: TopicConfig, Name: "orders"}, Key: "retention.ms", Value: "-1"},
		&ConfigRemoved{Resource: ConfigResource{Type: BrokerConfig}, Key: "log.retention.ms"},
		&ProducerIDs{Broker: 7, BrokerEpoch: 12, Next: 3000},
		&StreamOpened{ID: 5, Epoch: 3, Node: 7},
		&StreamClosed{ID: 5, Epoch: 3},
		&StreamTrimmed{ID: 5, Start: 1 << 62, Time: 1_700_000_000_000},
		&ObjectsPrepared{Node: 7, First: 1000, Count: 16, Time: 1_700_000_000_000},
		&ObjectsCommitted{Node: 7, Time: 1_700_000_000_000, Extends: true, New: []NewObject{
			{ID: 1000, Kind: StreamSetObject, Size: 16 << 20, Ranges: ranges}, {ID: 1001, Kind: StreamObject, Size: 1, Ranges: ranges[:1]},
		}, Compacted: []ObjectID{1, 2, 1 << 50}},
		&StreamRewritten{Stream: 5, Node: 7, Time: 1_700_000_000_000, Cleaned: 100, New: []NewObject{
			{ID: 1002, Kind: StreamObject, Size: 9, Ranges: ranges[:1]},
		}, Replaced: []ObjectID{1000, 1001}},
		&ObjectsDestroyed{Time: 1_700_000_000_000, IDs: []ObjectID{3, 4}},
		&ObjectsDeleted{IDs: []ObjectID{3}},
		&VoterSet{Voters: []Voter{
			{ID: 1, Directory: [16]byte(id), Endpoints: []BrokerEndpoint{{Name: "CONTROLLER", Host: "c1.example", Port: 9093}}}, {ID: 1 << 30, Learner: true},
		}},
		&BrokerDraining{ID: 7, Draining: true},
		&BrokerWAL{ID: 7, Epoch: 12, WAL: [16]byte(id)},
		&BrokerRescue{ID: 7, Epoch: 12, WAL: [16]byte(id), Done: true},
		&BrokerFailed{ID: 7, Epoch: 12, Cause: "the device is gone"},
		&Counters{NextStream: 6, NextObject: 1002, NextBrokerEpoch: 13, NextProducerID: 3000},
		&StreamState{ID: 5, Epoch: 3, Node: 7, Start: 10, End: 100, Closed: true},
		&ObjectStored{ID: 1000, ObjectKind: StreamSetObject, State: Committed, Node: 7, Size: 16 << 20, Time: 1_700_000_000_000, Ranges: ranges},
	}
}

func sampleBatch() Batch {
	return Batch{Origin: Origin{Node: 1, Term: 5, Seq: 77}, Records: samples()}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: encodes as\n%x, the released form is\n%x", name, got, want)
	}
}

func TestGolden(t *testing.T) {
	seen := make(map[Kind]bool)
	for _, r := range samples() {
		seen[r.Kind()] = true
		b := Append(nil, r)
		golden(t, fmt.Sprintf("%v.v%d.hex", r.Kind(), versions[r.Kind()]), b)
		got, n, err := Read(append(b, 0xee))
		if err != nil || n != len(b) {
			t.Fatalf("%v: read %d of %d bytes, %v", r.Kind(), n, len(b), err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%v reads as %+v", r, got)
		}
	}
	for _, k := range Kinds() {
		if !seen[k] || versions[k] == 0 {
			t.Errorf("%v has no sample or no version", k)
		}
		if strings.HasPrefix(k.String(), "Kind(") {
			t.Errorf("kind %d has no name", k)
		}
	}
	golden(t, "batch.hex", AppendBatch(nil, sampleBatch()))
}

func TestEveryTruncationIsCorrupt(t *testing.T) {
	for _, r := range samples() {
		b := Append(nil, r)
		for n := range b {
			if _, _, err := Read(b[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v cut to %d of %d bytes: %v", r.Kind(), n, len(b), err)
			}
		}
	}
	b := AppendBatch(nil, sampleBatch())
	for n := range b {
		if _, err := ReadBatch(b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("batch cut to %d of %d bytes: %v", n, len(b), err)
		}
	}
	if _, err := ReadBatch(append(b, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("batch with a byte more: %v", err)
	}
}

func TestUnknownIsNotCorrupt(t *testing.T) {
	for _, b := range [][]byte{{byte(KindTopicCreated), 2, 1, 0}, {200, 1, 0}} {
		_, _, err := Read(b)
		var u *UnknownError
		if !errors.Is(err, ErrUnknown) || errors.Is(err, ErrCorrupt) || !errors.As(err, &u) || !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%x: %v", b, err)
		}
	}
	b := AppendBatch(nil, sampleBatch())
	b[0]++
	if _, err := ReadBatch(b); !errors.Is(err, ErrUnknown) {
		t.Errorf("newer batch: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range samples() {
		f.Add(Append(nil, r))
	}
	f.Add([]byte{byte(KindObjectsDeleted), 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := Read(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknown) {
				t.Fatalf("error %v is neither", err)
			}
			return
		}
		if got := Append(nil, r); n > len(b) || !bytes.Equal(got, b[:n]) {
			t.Fatalf("re-encoding differs: %x, want %x", got, b[:n])
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add(AppendBatch(nil, sampleBatch()))
	f.Add(AppendBatch(nil, Batch{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		batch, err := ReadBatch(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknown) {
				t.Fatalf("error %v is neither", err)
			}
			return
		}
		if got := AppendBatch(nil, batch); !bytes.Equal(got, b) {
			t.Fatalf("re-encoding differs: %x, want %x", got, b)
		}
		if o, err := ReadOrigin(b); err != nil || o != batch.Origin {
			t.Fatalf("origin %+v, %v", o, err)
		}
	})
}
