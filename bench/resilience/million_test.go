package resilience

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/javakit"
)

// TestMillion produces records of 1 KB with Java's perf tool, acks=all, and reads all of them back three times: right after, from whatever
// memory and device still have; after a kill and a restart; and from MinIO alone, by a node whose WAL is new. All three are equal. Here
// it is a tenth of a million.
func TestMillion(t *testing.T) {
	short(t)
	million(t, 100_000)
}

// TestSoakMillion is the whole million.
func TestSoakMillion(t *testing.T) {
	soak(t)
	million(t, 1_000_000)
}

func million(t *testing.T, records int) {
	kit := javakit.ForTest(t)
	dir := t.TempDir()
	m := startMinIO(t, dir)
	n := newNode(t, dir, "s3.data.buckets="+m.BucketURI(), "s3.wal.path=0@file://"+dir+"/wal?capacity=536870912")
	n.start()
	const topic, partitions = "million", 6
	n.createTopic(topic, partitions)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	r, err := kit.Run(ctx, javakit.Command{Tool: "kafka-producer-perf-test", Args: []string{"--bootstrap-server", n.Seed(), "--topic", topic,
		"--num-records", strconv.Itoa(records), "--record-size", "1024", "--throughput", "-1", "--command-property", "acks=all"}})
	if err != nil || r.ExitCode != 0 || !strings.Contains(r.Stdout, fmt.Sprintf("%d records sent", records)) {
		t.Fatalf("kafka-producer-perf-test: %v %s", err, r)
	}
	t.Log(strings.TrimSpace(r.Stdout[strings.LastIndexByte(strings.TrimSpace(r.Stdout), '\n')+1:]))

	read := func(when string) []digest {
		t.Helper()
		begun := time.Now()
		got := digestTopic(t, n, topic, partitions)
		total := int64(0)
		for _, d := range got {
			total += d.records
		}
		note(t, map[string]any{"read": when, "records": total, "took": time.Since(begun).String(), "sums": fmt.Sprint(got)})
		if total != int64(records) {
			t.Errorf("%s: %d records, %d were acknowledged", when, total, records)
		}
		return got
	}
	first := read("right after")
	n.Kill()
	n.start()
	if again := read("after a kill and a restart"); !slices.Equal(first, again) {
		t.Errorf("after a kill and a restart: %v, before it %v", again, first)
	}
	n.stop()
	if err := os.Remove(filepath.Join(dir, "wal")); err != nil {
		t.Fatal(err)
	}
	n.start()
	if again := read("from MinIO alone"); !slices.Equal(first, again) {
		t.Errorf("from MinIO: %v, before that %v", again, first)
	}
}

// digest sums up a partition.
type digest struct {
	records int64
	sum     uint64 // over partition, offset and value of each record, in the order of delivery
}

// String is for the log.
func (d digest) String() string { return fmt.Sprintf("%d:%016x", d.records, d.sum) }

// digestTopic reads a whole topic with checks of the order: offsets of each partition are 0, 1, 2 and so on.
func digestTopic(t *testing.T, n *node, topic string, partitions int) []digest {
	t.Helper()
	ends := endOffsets(t, n, topic, partitions)
	from, left := map[int32]kgo.Offset{}, 0
	for p, end := range ends {
		if end > 0 {
			from[int32(p)] = kgo.NewOffset().AtStart()
			left++
		}
	}
	cl := n.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	digests := make([]digest, partitions)
	table := crc64.MakeTable(crc64.ECMA)
	var head [12]byte
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d partitions were not read to their end: %v", left, partitions, digests)
		}
		fetches.EachError(func(_ string, p int32, err error) { t.Fatalf("fetch of partition %d: %v", p, err) })
		fetches.EachRecord(func(r *kgo.Record) {
			d := &digests[r.Partition]
			if r.Offset != d.records {
				t.Fatalf("partition %d: offset %d where %d should be", r.Partition, r.Offset, d.records)
			}
			d.records++
			binary.BigEndian.PutUint32(head[:], uint32(r.Partition))
			binary.BigEndian.PutUint64(head[4:], uint64(r.Offset))
			d.sum = crc64.Update(crc64.Update(d.sum, table, head[:]), table, r.Value)
			if d.records == ends[r.Partition] {
				left--
			}
		})
	}
	return digests
}
