package image

import (
	"bytes"
	"testing"

	"github.com/ringmq/ringmq/kraft/record"
)

// TestRewrittenStream: a rewrite of one stream leaves the others in a shared object alone, destroys what nobody needs, and survives a snapshot.
func TestRewrittenStream(t *testing.T) {
	img := base(t)
	img, _ = mustApply(t, img, commit(1, record.StreamSetObject, record.Range{Stream: 1, Start: 0, End: 10}, record.Range{Stream: 2, Start: 0, End: 10})...)
	img, _ = mustApply(t, img, commit(2, record.StreamObject, record.Range{Stream: 1, Start: 10, End: 20})...)
	before := img
	img, d := mustApply(t, img,
		&record.ObjectsPrepared{Node: 1, First: 3, Count: 1, Time: 3},
		&record.StreamRewritten{Stream: 1, Node: 1, Time: 4, Cleaned: 15, New: []record.NewObject{
			{ID: 3, Kind: record.StreamObject, Size: 1, Ranges: []record.Range{{Stream: 1, Start: 0, End: 20, Bytes: 5}}},
		}, Replaced: []record.ObjectID{1, 2}})
	if state(img, 1) != record.Committed || state(img, 2) != record.Destroyed || state(img, 3) != record.Committed {
		t.Fatalf("states %d %d %d", state(img, 1), state(img, 2), state(img, 3))
	}
	if len(d.Streams) != 1 || d.Streams[0] != 1 || d.Destroyed != 1 {
		t.Fatalf("delta %+v", d)
	}
	if s, _ := img.Stream(1); s.Cleaned != 15 || s.End != 20 {
		t.Fatalf("%+v", s)
	}
	if got := img.Objects(nil, 1, 0, 10); len(got) != 1 || got[0].Object.ID != 3 || got[0].End != 20 {
		t.Fatalf("stream 1 has %+v", got)
	}
	if got := img.Objects(nil, 2, 0, 10); len(got) != 1 || got[0].Object.ID != 1 {
		t.Fatalf("stream 2 has %+v", got)
	}
	if o, _ := img.Object(1); len(o.Ranges) != 1 || o.Ranges[0].Stream != 2 {
		t.Fatalf("object 1 has %+v", o.Ranges)
	}
	if o, _ := before.Object(1); len(o.Ranges) != 2 {
		t.Fatalf("the image before changed: object 1 has %+v", o.Ranges)
	}
	var stored []record.Record
	if err := img.Records(func(r record.Record) error {
		decoded, _, err := record.Read(record.Append(nil, r))
		stored = append(stored, decoded)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	again, _ := mustApply(t, New(), stored...)
	if s, _ := again.Stream(1); s.Cleaned != 15 {
		t.Fatalf("after a snapshot: %+v", s)
	}
	if !bytes.Equal(encode(t, again), encode(t, img)) {
		t.Fatal("a snapshot of the snapshot differs")
	}
	// When the other stream goes, so does the shared object.
	img, _ = mustApply(t, img, &record.StreamTrimmed{ID: 2, Start: 10, Time: 5})
	img, _ = mustApply(t, img, commit(4, record.StreamObject, record.Range{Stream: 2, Start: 10, End: 20})...)
	if state(img, 1) != record.Destroyed {
		t.Fatalf("object 1 is %d", state(img, 1))
	}
}
