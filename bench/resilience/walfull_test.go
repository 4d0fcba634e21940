package resilience

import (
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestWALFull fills the WAL while MinIO is dead. Producers wait without an error as long as their own timeouts allow, one with a short timeout
// is told REQUEST_TIMED_OUT, memory stays bounded, consumers and metadata are served, and everything goes on when the store is back.
func TestWALFull(t *testing.T) {
	short(t)
	for _, tt := range []struct {
		name       string
		wal, cache string
		records    int64 // at least so many are taken before the WAL is full
	}{
		{"memory larger than the WAL", "33554432", "67108864", 20 << 10},
		{"memory smaller than the WAL", "67108864", "16777216", 40 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) { walFull(t, tt.wal, tt.cache, tt.records, 0) })
	}
}

// TestSoakWALFull keeps the producers waiting for longer than the usual timeouts of clients.
func TestSoakWALFull(t *testing.T) {
	soak(t)
	walFull(t, "536870912", "67108864", 300<<10, time.Minute)
}

func walFull(t *testing.T, wal, cache string, records int64, wait time.Duration) {
	dir := t.TempDir()
	m := startMinIO(t, dir)
	n := newNode(t, dir, "s3.data.buckets="+m.BucketURI(), "s3.wal.path=0@file://"+dir+"/wal?capacity="+wal, "s3.wal.cache.size="+cache, "s3.wal.upload.threshold=4194304",
		"s3.block.cache.size=33554432", "queued.max.request.bytes=134217728")
	n.start()
	n.createTopic("impatient", 1)
	peak := memory(t, n.Process)

	m.Kill()
	// Requests may wait for two minutes and records for five: below that nothing may fail.
	l := startLoad(t, n, "full", 4, 0, 1024, kgo.ProduceRequestTimeout(2*time.Minute), kgo.RequestTimeoutOverhead(time.Minute))
	n.awaitLine(90*time.Second, "level=WARN", "write-ahead log is full: producers wait")
	stands(t, l)
	if full := l.acked(); full < records {
		t.Errorf("%d records were taken before the write-ahead log was full, want at least %d", full, records)
	}

	// What room is left is less than a request of the load; smaller ones may still find some.
	waittest.Until(t, 30*time.Second, "refusal of small requests", func() bool { return produceOnce(t, n, "impatient", 100*time.Millisecond) != nil })
	kept := count(t, n, "impatient", 1)
	for _, timeout := range []time.Duration{300 * time.Millisecond, 1500 * time.Millisecond} {
		begun := time.Now()
		code := produceOnce(t, n, "impatient", timeout)
		took := time.Since(begun)
		if !errors.Is(code, kerr.RequestTimedOut) || took < timeout-10*time.Millisecond || took > timeout+time.Second {
			t.Errorf("produce with timeout %v into a full write-ahead log: %v after %v, want REQUEST_TIMED_OUT after its timeout", timeout, code, took)
		}
	}
	l.run(wait)
	// What is there is served meanwhile, also what has left memory.
	if acked, got := l.acked(), count(t, n, "full", 4); got < acked {
		t.Errorf("%d records readable, %d were acknowledged", got, acked)
	}
	taken := l.acked()

	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	l.awaitAcks(30*time.Second, 1)
	resumed := time.Since(back)
	l.awaitAcks(60*time.Second, taken/2)
	if code := produceOnce(t, n, "impatient", 20*time.Second); code != nil {
		t.Errorf("produce after the store was back: %v", code)
	}
	l.stop()
	rss := peak()
	r := l.check()
	note(t, map[string]any{"wal": wal, "cache": cache, "taken_until_full": taken, "first_ack_after_store_was_back": resumed.String(), "records": r.Records, "rss_peak_mib": rss / mib})
	if limit := int64(256 * mib); rss > limit {
		t.Errorf("resident memory grew to %d MiB, allowed are %d", rss/mib, limit/mib)
	}
	if got := count(t, n, "impatient", 1); got != kept+1 {
		t.Errorf("%d records of impatient producers, want %d: those that were timed out must not appear", got, kept+1)
	}
	n.Kill()
	n.start()
	l.check()
}

// stands waits until nothing has been acknowledged for a second.
func stands(t *testing.T, l *load) {
	t.Helper()
	last, since := l.acked(), time.Now()
	waittest.Until(t, time.Minute, "standstill", func() bool {
		l.alive()
		if now := l.acked(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
}

// produceOnce sends one record in one request to partition 0, and returns the error that the partition's answer names.
func produceOnce(t *testing.T, n *node, topic string, timeout time.Duration) error {
	t.Helper()
	record := kmsg.Record{Value: make([]byte, 256<<10)}
	encoded := record.AppendTo(nil)
	record.Length = int32(len(encoded) - 1) // without the length itself, which is one byte while it is zero
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: time.Now().UnixMilli(), MaxTimestamp: time.Now().UnixMilli(),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: record.AppendTo(nil),
	}
	const headBytes, crcFrom = 12, 21
	encoded = batch.AppendTo(nil)
	batch.Length = int32(len(encoded) - headBytes)
	batch.CRC = int32(crc32.Checksum(encoded[crcFrom:], crc32.MakeTable(crc32.Castagnoli)))

	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Acks, req.TimeoutMillis = -1, int32(timeout.Milliseconds())
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch.AppendTo(nil)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	cl := n.client(kgo.RequestRetries(0), kgo.MaxVersions(kversion.V3_0_0()))
	defer cl.Close()
	resp, err := cl.Broker(1).Request(t.Context(), req)
	if err != nil {
		t.Fatalf("produce: %v", err)
	}
	return kerr.ErrorForCode(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
}

// count reads a topic up to its present end, and returns how many records it found.
func count(t *testing.T, n *node, topic string, partitions int) (records int64) {
	t.Helper()
	for _, d := range digestTopic(t, n, topic, partitions) {
		records += d.records
	}
	return records
}
