package s3stream_test

import (
	"testing"

	"github.com/ringmq/ringmq/s3stream"
)

// heldEditor stops at the first record until it is let go.
type heldEditor struct {
	fateEditor
	reached, let chan struct{}
	stopped      bool
}

func (e *heldEditor) Edit(r *s3stream.Record, must bool) (s3stream.Verdict, error) {
	if !e.stopped {
		e.stopped = true
		close(e.reached)
		<-e.let
	}
	return e.fateEditor.Edit(r, must)
}

// TestRewriteBesideOthers: while an object of a stream is being rewritten, for hours perhaps, the objects of other streams are rewritten and merged, and so are those of
// the same stream that the rewrite is not at; the object itself is left alone.
func TestRewriteBesideOthers(t *testing.T) {
	w := newWorld(t, 4<<20)
	w.options = func(o *s3stream.Options) { o.BlockBytes, o.StreamSplitBytes = 1<<10, 1 }
	w.mustStart()
	a, b := w.newStream().mustOpen(), w.newStream().mustOpen()
	upload := func(m *stream) {
		t.Helper()
		for range 20 {
			m.mustAppend(100, 1, 1)
		}
		m.settle()
		if err := w.storage.Flush(ctxFor(t)); err != nil {
			t.Fatal(err)
		}
	}
	upload(a)
	upload(b)
	e := &heldEditor{fateEditor: fateEditor{salt: 1}, reached: make(chan struct{}), let: make(chan struct{})}
	result := make(chan error, 1)
	go func() {
		_, err := a.s.Rewrite(ctxFor(t), s3stream.Rewrite{To: 20, Editor: e})
		result <- err
	}()
	<-e.reached
	for range 2 { // behind what is being rewritten
		upload(a)
		upload(b)
	}
	objects := func(m *stream) []s3stream.ObjectInfo { return w.cluster.Node(1, w.epoch).Objects(nil, m.id, 0, 10) }
	first := objects(a)[0].ID
	if _, err := b.s.Rewrite(ctxFor(t), s3stream.Rewrite{To: 20, Editor: &fateEditor{salt: 2}}); err != nil {
		t.Fatal(err)
	}
	if err := w.storage.Compact(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	if got := objects(b); len(got) != 1 {
		t.Errorf("the other stream has %d objects after a compaction", len(got))
	}
	if got := objects(a); got[0].ID != first {
		t.Errorf("object %d was compacted while it was being rewritten: %+v", first, got)
	}
	close(e.let)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if err := w.storage.Compact(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	if got := objects(a); len(got) != 1 {
		t.Errorf("the stream has %d objects after its rewrite and a compaction", len(got))
	}
	for m, salt := range map[*stream]uint32{a: 1, b: 2} {
		d := edited{}
		d.apply(m.records, 20, salt, false, m == a && e.must > 0)
		if err := d.check(m); err != nil {
			t.Error(err)
		}
	}
}

// TestRewritesOfOneObject: two streams that share an object are rewritten at the same time, one after the other.
func TestRewritesOfOneObject(t *testing.T) {
	w := newWorld(t, 4<<20).mustStart()
	a, b := w.newStream().mustOpen(), w.newStream().mustOpen()
	for range 50 {
		a.mustAppend(100, 1, 1)
		b.mustAppend(100, 1, 1)
	}
	a.settle()
	b.settle()
	if err := w.storage.Flush(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	e := &heldEditor{fateEditor: fateEditor{salt: 3}, reached: make(chan struct{}), let: make(chan struct{})}
	results := make(chan error, 2)
	go func() {
		_, err := a.s.Rewrite(ctxFor(t), s3stream.Rewrite{To: 50, Editor: e})
		results <- err
	}()
	<-e.reached
	other := &fateEditor{salt: 4}
	go func() {
		_, err := b.s.Rewrite(ctxFor(t), s3stream.Rewrite{To: 50, Editor: other})
		results <- err
	}()
	close(e.let)
	for range 2 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	for m, salt := range map[*stream]uint32{a: 3, b: 4} {
		d := edited{}
		d.apply(m.records, 50, salt, false, e.must+other.must > 0)
		if err := d.check(m); err != nil {
			t.Error(err)
		}
	}
}
