package s3stream_test

import (
	"errors"
	"testing"

	"github.com/ringmq/ringmq/s3stream"
)

func TestAppendReadRestart(t *testing.T) {
	w := newWorld(t, 64<<20).mustStart()
	a, b := w.newStream().mustOpen(), w.newStream().mustOpen()
	for i := range 200 {
		a.mustAppend(100+i, 1+int64(i%3), int64(i))
		b.mustAppend(2000, 1, int64(i))
	}
	a.settle()
	b.settle()
	got, err := a.s.Read(nil, 0, a.s.Confirmed(), 1<<20, true)
	if err != nil || len(got) != 200 {
		t.Fatalf("hot read: %d slices, %v", len(got), err)
	}
	if err := a.check(0, a.s.Confirmed(), 1<<20, got); err != nil {
		t.Fatal(err)
	}
	release(got)
	w.crash(1)
	w.mustStart()
	a.mustOpen().mustReadAll()
	b.mustOpen().mustReadAll()
	if err := w.storage.Flush(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	a.mustReadAll()
	w.stop()
	w.mustStart()
	a.mustOpen()
	if _, err := a.s.Read(nil, 0, a.s.Confirmed(), 1<<20, true); !errors.Is(err, s3stream.ErrCold) {
		t.Fatalf("read after a clean restart: %v, want ErrCold", err)
	}
	a.mustReadAll()
	b.mustOpen().mustReadAll()
}
