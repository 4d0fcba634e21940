package resilience

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/proc"
)

// TestStoreStartsLater: after a power cut the object store comes up later than the broker. The broker waits, says so once, and serves with everything that it had
// acknowledged; SIGTERM ends the wait.
func TestStoreStartsLater(t *testing.T) {
	short(t)
	dir := t.TempDir()
	store := startMinIO(t, dir)
	n := newNode(t, dir, "s3.data.buckets="+store.BucketURI(), "s3.start.wait.ms=120000")
	n.start()
	l := startLoad(t, n, "orders", 4, 400, 300, kgo.AlwaysRetryEOF()) // connections to a broker that ends while it starts are closed
	l.awaitAcks(time.Minute, 200)
	n.Kill()
	store.Kill()

	const waits = "the object store is not there: waiting for it"
	if err := n.Launch(); err != nil {
		t.Fatal(err)
	}
	n.awaitLine(time.Minute, waits, "connection refused", "remedy=")
	if err := n.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.Exited():
	case <-time.After(30 * time.Second):
		t.Fatal("SIGTERM does not end the wait for the object store")
	}

	n.Args = append(n.Args, "--log-level=debug")
	if err := n.Launch(); err != nil {
		t.Fatal(err)
	}
	// Several attempts; it is warned of them once.
	n.await(time.Minute, "second wait", func() bool {
		return len(n.lines(waits)) == 2 && len(n.lines("the object store is still not there")) >= 4
	})
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.awaitLine(time.Minute, "the object store answers", "after=")
	l.awaitAcks(time.Minute, 200)
	if lines := n.lines(waits); len(lines) != 2 {
		t.Errorf("%d lines in two starts:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	l.stop()
	l.check()
}

// TestStoreNeverStarts: what waiting does not mend ends the start at once, and the wait for a store that does not come has an end; each with its reason.
func TestStoreNeverStarts(t *testing.T) {
	short(t)
	dir := t.TempDir()
	store := startMinIO(t, dir)
	for _, c := range []struct {
		name, old, new string
		want           string
	}{
		{"credentials", "accessKey=" + proc.MinIOUser, "accessKey=nobody", "credentials refused"},
		{"bucket", "s3://" + store.Bucket, "s3://missing", "no such bucket"},
		{"store", store.Endpoint(), "http://127.0.0.1:1", "s for the object store, s3.start.wait.ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wait := "600000"
			if c.name == "store" {
				wait = "2000"
			}
			n := newNode(t, t.TempDir(), "s3.data.buckets="+strings.Replace(store.BucketURI(), c.old, c.new, 1), "s3.start.wait.ms="+wait)
			if last := n.refused(); !strings.Contains(last, c.want) {
				t.Errorf("the last line is %q, want %q", last, c.want)
			}
			if waited := len(n.lines("waiting for it")) > 0; waited != (c.name == "store") {
				t.Errorf("waited: %v\n%s", waited, n.log())
			}
		})
	}
}
