package resilience

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/tools/waittest"
)

// longestStall is how long producers may go without an acknowledgement while the object store is away: it is not on their path, and what is
// left is the scheduling of a busy machine.
const longestStall = 2 * time.Second

// outages are the ways in which a store goes away and comes back.
var outages = []struct {
	name     string
	down, up func(t *testing.T, m *proc.MinIO)
	refuses  bool // connections fail at once
}{
	{"stopped", // connections are taken and nothing is answered
		func(t *testing.T, m *proc.MinIO) { signal(t, m, syscall.SIGSTOP) },
		func(t *testing.T, m *proc.MinIO) { signal(t, m, syscall.SIGCONT) }, false},
	{"killed",
		func(_ *testing.T, m *proc.MinIO) { m.Kill() },
		func(t *testing.T, m *proc.MinIO) {
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, true},
}

func signal(t *testing.T, m *proc.MinIO, s syscall.Signal) {
	t.Helper()
	if err := m.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// TestStoreOutage takes MinIO away under load: producers go on, uploads resume, nothing is lost.
func TestStoreOutage(t *testing.T) {
	short(t)
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) { storeOutage(t, 4*time.Second, 2000, o.down, o.up, o.refuses) })
	}
}

// TestSoakStoreOutage is the same for a minute: more is un-uploaded in the end than the log cache has memory.
func TestSoakStoreOutage(t *testing.T) {
	soak(t)
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) { storeOutage(t, time.Minute, 5000, o.down, o.up, true) })
	}
}

func storeOutage(t *testing.T, away time.Duration, rate int, down, up func(*testing.T, *proc.MinIO), logged bool) {
	dir := t.TempDir()
	m := startMinIO(t, dir)
	n := newNode(t, dir, "s3.data.buckets="+m.BucketURI(), "s3.wal.path=0@file://"+dir+"/wal?capacity=805306368", "s3.block.cache.size=33554432")
	n.start()
	// A producer's own patience is short here: an outage must not be visible to it.
	l := startLoad(t, n, "outage", 4, rate, 1024, kgo.RecordDeliveryTimeout(15*time.Second), kgo.ProduceRequestTimeout(5*time.Second))
	waittest.Until(t, 30*time.Second, "object in the bucket", func() bool { l.alive(); return sum(bucketObjects(t, m)) > mib })
	peak := memory(t, n.Process)

	down(t, m)
	before := l.acked()
	l.run(away)
	during := l.acked() - before
	if logged {
		n.awaitLine(time.Second, "level=ERROR", "upload failed: records stay in the write-ahead log, trying again", "wal_used_percent=")
	}
	up(t, m)
	back := time.Now()
	uploaded := sum(bucketObjects(t, m))
	waittest.Until(t, 90*time.Second, "upload of what was produced meanwhile", func() bool { l.alive(); return sum(bucketObjects(t, m)) > uploaded+during*1024 })
	resumed := time.Since(back)
	if logged {
		t.Log(n.awaitLine(time.Second, "level=INFO", "uploads succeed again"))
	}

	stall := l.stop()
	if want := int64(away.Seconds()) * int64(rate) / 2; during < want {
		t.Errorf("%d records acknowledged while the store was away, want at least %d", during, want)
	}
	if stall > longestStall {
		t.Errorf("producers were without an acknowledgement for %v, allowed are %v", stall, longestStall)
	}
	r := l.check()
	rss := peak()
	note(t, map[string]any{"away": away.String(), "acked_meanwhile": during, "longest_gap": stall.String(), "caught_up_after": resumed.String(), "records": r.Records, "rss_peak_mib": rss / mib})
	// 64 MiB of log cache and 32 MiB of block cache, however much waits for the store; the rest is the program, requests and the collector's slack.
	if limit := int64(320 * mib); rss > limit {
		t.Errorf("resident memory grew to %d MiB, allowed are %d", rss/mib, limit/mib)
	}
	if o := n.lines("level=ERROR"); len(o) > 2+int(away/(10*time.Second)) {
		t.Errorf("%d error lines about one outage: %s", len(o), fmt.Sprint(o))
	}
	// From the store alone, and by whoever comes after.
	n.stop()
	n.start()
	l.check()
}
