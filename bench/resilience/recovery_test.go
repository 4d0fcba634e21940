package resilience

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSoakRecoveryTime fills a write-ahead log of 2 GiB to the last block while the object store hangs, kills the broker, and measures how long the
// next one takes from the start of its process until it serves every partition. Everything is there in the end.
func TestSoakRecoveryTime(t *testing.T) {
	soak(t)
	for _, size := range []int{1 << 10, 64 << 10} {
		t.Run(fmt.Sprintf("records of %d bytes", size), func(t *testing.T) {
			dir := t.TempDir()
			store := startMinIO(t, dir)
			n := newNode(t, dir, "s3.data.buckets="+store.BucketURI(), "s3.wal.path=0@file://"+filepath.Join(dir, "wal")+"?capacity=2147483648",
				"s3.wal.cache.size=268435456", "s3.wal.upload.threshold=67108864")
			n.start()
			n.awaitLine(5*time.Minute, "the file is prepared")
			if err := store.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			l := startLoad(t, n, "full", 8, 0, size, kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchMaxBytes(900_000))
			n.awaitLine(10*time.Minute, "write-ahead log is full")
			n.Kill()
			if err := store.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			before := time.Now()
			took := n.start()
			acked := l.acked()
			l.awaitAcks(time.Minute, 1)
			first := time.Since(before)
			recovered := n.lines("write-ahead log recovered")
			line := recovered[len(recovered)-1]
			note(t, map[string]any{"record_bytes": size, "serves_after_ms": took.Milliseconds(), "first_ack_after_ms": first.Milliseconds(), "acked_before": acked,
				"recovery": line[strings.Index(line, "records="):]})
			l.stop()
			l.check()
		})
	}
}
