package s3stream_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// lineBuffer gathers log lines.
type lineBuffer struct {
	mu    sync.Mutex
	lines []string
}

func (b *lineBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, strings.TrimSpace(string(p)))
	return len(p), nil
}

// with returns the lines that hold the text.
func (b *lineBuffer) with(text string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if strings.Contains(l, text) {
			found = append(found, l)
		}
	}
	return found
}

// TestOutageIsLogged: one line when uploads begin to fail, and one when they succeed again.
func TestOutageIsLogged(t *testing.T) {
	var log lineBuffer
	w := newWorld(t, 16<<20)
	w.options = func(o *s3stream.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	w.mustStart()
	defer w.stop()
	m := w.newStream()
	m.mustOpen()

	failed, failures := make(chan struct{}), 0
	w.bucket.SetHook(s3test.OpPut, func(string) error {
		if failures++; failures <= 3 {
			return errors.Join(objstore.ErrUnreachable, errors.New("planted"))
		}
		close(failed)
		return nil
	})
	m.mustAppend(1000, 1, 1)
	m.settle()
	if err := w.storage.Flush(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	<-failed
	if got := log.with("upload failed: records stay in the write-ahead log"); len(got) != 1 {
		t.Errorf("%d lines about failed uploads, want 1: %q", len(got), got)
	}

	w.bucket.SetHook(s3test.OpPut, nil)
	m.mustAppend(1000, 1, 1)
	m.settle()
	if err := w.storage.Flush(ctxFor(t)); err != nil {
		t.Fatal(err)
	}
	// The second upload, which had no outage before it, began after the line about the first was written.
	if got := log.with("uploads succeed again"); len(got) != 1 || !strings.Contains(got[0], "failed_attempts=3") {
		t.Errorf("the end of the outage: %q, want one line with failed_attempts=3", got)
	}
}
