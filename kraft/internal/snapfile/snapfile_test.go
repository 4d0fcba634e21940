package snapfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/record"
)

var update = flag.Bool("update", false, "rewrite the golden file; a released format never changes")

func sampleImage(t testing.TB) *image.Image {
	topic := record.TopicID{1, 2, 3}
	b := image.New().Edit()
	for _, r := range []record.Record{
		&record.Cluster{ClusterID: "c", Version: 1},
		&record.BrokerRegistered{ID: 1, Epoch: 1, Endpoints: []record.BrokerEndpoint{{Name: "PLAINTEXT", Host: "h", Port: 9092}}},
		&record.BrokerUnfenced{ID: 1, Epoch: 1},
		&record.BrokerRegistered{ID: 2, Epoch: 2, Rack: "r"},
		&record.TopicCreated{ID: topic, Name: "t", ReplicationFactor: 1},
		&record.PartitionCreated{Topic: topic, Partition: 0, Leader: 1, Stream: 1},
		&record.PartitionCreated{Topic: topic, Partition: 1, Leader: 2, Stream: 2},
		&record.ConfigSet{Resource: image.TopicResource("t"), Key: "retention.ms", Value: "1000"},
		&record.ProducerIDs{Broker: 1, BrokerEpoch: 1, Next: 1000},
		&record.StreamOpened{ID: 1, Epoch: 0, Node: 1},
		&record.ObjectsPrepared{Node: 1, First: 1, Count: 3, Time: 10},
		&record.ObjectsCommitted{Node: 1, Time: 20, Extends: true, New: []record.NewObject{
			{ID: 1, Kind: record.StreamObject, Size: 5, Ranges: []record.Range{{Stream: 1, Start: 0, End: 10, Bytes: 4, MaxTimestamp: 7}}},
		}},
		&record.ObjectsDestroyed{Time: 30, IDs: []record.ObjectID{2}},
	} {
		if err := b.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	img, _ := b.Build(42, 3)
	return img
}

func encode(t testing.TB, img *image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, "c", img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	got := encode(t, sampleImage(t))
	path := filepath.Join("testdata", "snapshot.v1.hex")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
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
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("encodes as\n%x, the released form is\n%x (%v)", got, want, err)
	}
	img, m, err := Read(bytes.NewReader(want))
	if err != nil || m != (Meta{ClusterID: "c", Index: 42, Term: 3}) {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := img.Check(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(t, img), want) {
		t.Fatal("the image that was read is written differently")
	}
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	good := encode(t, sampleImage(t))
	for i := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			if _, _, err := Read(bytes.NewReader(b)); err == nil {
				t.Fatalf("bit %d of byte %d flipped, and it reads", bit, i)
			}
		}
		if _, _, err := Read(bytes.NewReader(good[:i])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	if _, _, err := Read(bytes.NewReader(append(bytes.Clone(good), 0))); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a byte more: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(encode(f, sampleImage(f)))
	f.Add(encode(f, image.New()))
	f.Fuzz(func(t *testing.T, b []byte) {
		img, m, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		// Whatever reads has to be an image that can be stored again.
		var out bytes.Buffer
		if err := Write(&out, m.ClusterID, img); err != nil {
			t.Fatal(err)
		}
		again, m2, err := Read(&out)
		if err != nil || m2 != m {
			t.Fatalf("%+v, %+v, %v", m, m2, err)
		}
		if again.Offset() != img.Offset() || again.NumObjects() != img.NumObjects() || again.NumPartitions() != img.NumPartitions() {
			t.Fatal("the second reading differs from the first")
		}
	})
}

func TestDir(t *testing.T) {
	d := Dir(t.TempDir())
	img := sampleImage(t)
	var ids []ID
	for i := range 4 {
		next, _ := img.Edit().Build(int64(100+i), 3)
		if _, err := d.Save("c", next); err != nil {
			t.Fatal(err)
		}
		ids = append([]ID{{Index: int64(100 + i), Term: 3}}, ids...)
	}
	if err := os.WriteFile(filepath.Join(string(d), "junk.snapshot"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := d.List()
	if err != nil || len(got) != 4 || got[0] != ids[0] || got[3] != ids[3] {
		t.Fatalf("%v, %v", got, err)
	}
	oldest, err := d.Keep(2)
	if err != nil || oldest != 102 {
		t.Fatalf("%d, %v", oldest, err)
	}
	if got, _ = d.List(); len(got) != 2 {
		t.Fatalf("%v are left", got)
	}
	if _, err := d.Load("other", ids[0]); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `"other"`) {
		t.Fatal(err)
	}
	if _, err := d.Load("c", ids[0]); err != nil {
		t.Fatal(err)
	}
	// A file that is not what it was announced to be never gets the name.
	if _, err := d.Receive("c", ID{Index: 500, Term: 3}, bytes.NewReader(encode(t, img))); err == nil {
		t.Fatal("received a snapshot of another index")
	}
	if _, err := d.Receive("c", ID{Index: 42, Term: 3}, bytes.NewReader(encode(t, img)[:50])); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if got, _ = d.List(); len(got) != 2 {
		t.Fatalf("%v are there", got)
	}
}
