package resilience

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestRetentionFreesSpace loads three topics, one that keeps little, one that keeps briefly and one that keeps all, then deletes the last: start offsets
// move, objects disappear from the bucket, and in the end nearly nothing is left in it.
func TestRetentionFreesSpace(t *testing.T) {
	short(t)
	dir := t.TempDir()
	m := startMinIO(t, dir)
	n := newNode(t, dir, "s3.data.buckets="+m.BucketURI(), "log.retention.check.interval.ms=200", "s3.object.delete.retention.minutes=0",
		"s3.stream.object.split.size=1048576", "s3.wal.upload.threshold=4194304", "s3.wal.upload.interval.ms=200")
	n.start()
	const partitions, records, keep = 2, 24 << 10, 4 * mib
	loads := map[string]*load{}
	n.createTopic("by-size", partitions, "retention.bytes=4194304", "segment.bytes=1048576")
	n.createTopic("by-time", partitions, "retention.ms=3000", "segment.ms=1000")
	n.createTopic("all", partitions)
	for _, topic := range []string{"by-size", "by-time", "all"} {
		loads[topic] = continueLoad(t, n, topic, partitions, 0, 1024)
		loads[topic].awaitAcks(60*time.Second, records)
		loads[topic].stop()
	}
	loaded := sum(bucketObjects(t, m))

	// By time everything goes; by size what is beyond the limit, in whole objects.
	waittest.Until(t, 60*time.Second, "start offsets at the end of what is kept by time", func() bool {
		start, end := startOffsets(t, n, "by-time", partitions), endOffsets(t, n, "by-time", partitions)
		return start[0] == end[0] && start[1] == end[1]
	})
	waittest.Until(t, 60*time.Second, "start offsets within the limit of what is kept by size", func() bool {
		start, end := startOffsets(t, n, "by-size", partitions), endOffsets(t, n, "by-size", partitions)
		return (end[0]-start[0])*1024 <= keep*5/4+4*mib && (end[1]-start[1])*1024 <= keep*5/4+4*mib
	})
	for p, start := range startOffsets(t, n, "by-size", partitions) {
		if end := endOffsets(t, n, "by-size", partitions)[p]; (end-start)*1024 < keep*3/4 {
			t.Errorf("partition %d keeps offsets %d to %d, less than its retention.bytes of %d", p, start, end, keep)
		}
	}
	if start := startOffsets(t, n, "all", partitions); start[0] != 0 || start[1] != 0 {
		t.Errorf("start offsets of the topic that keeps all are %v", start)
	}
	allBytes := loads["all"].acked() * 1100
	waittest.Until(t, 60*time.Second, "space in the bucket after retention", func() bool { return sum(bucketObjects(t, m)) < allBytes+partitions*(keep+12*mib) })
	trimmed := sum(bucketObjects(t, m))
	loads["all"].check()

	admin := kadm.NewClient(n.client())
	if _, err := admin.DeleteTopics(t.Context(), "all", "by-size", "by-time"); err != nil {
		t.Fatal(err)
	}
	var left map[string]int64
	waittest.Until(t, 60*time.Second, "space in the bucket after the topics were deleted", func() bool { left = bucketObjects(t, m); return sum(left) < mib/2 })
	// What the disk holds, not only what is listed. MinIO empties its own waste basket later.
	disk := filepath.Join(m.Dir, "data", m.Bucket)
	waittest.Until(t, 30*time.Second, "space on MinIO's disk", func() bool { return used(t, disk) < mib })
	note(t, map[string]any{"bytes_loaded": loaded, "bytes_after_retention": trimmed, "bytes_after_deletion": sum(left), "objects_after_deletion": len(left)})

	// Deleted is deleted, also for a node that recovers.
	n.Kill()
	n.start()
	topics, err := kadm.NewClient(n.client()).ListTopics(t.Context())
	if err != nil || len(topics) != 0 {
		t.Errorf("topics after the restart: %v, %v", topics.Names(), err)
	}
}
