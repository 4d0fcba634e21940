package resilience

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/lab/labtest"
	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/bench/verify"
	"github.com/ringmq/ringmq/tools/waittest"
)

const mib = 1 << 20

var server string // the path of its binary

func TestMain(m *testing.M) { labtest.Main(m, &server) }

// soak skips a long test unless RINGMQ_SOAK is set.
func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("RINGMQ_SOAK") == "" {
		t.Skipf("SKIPPED: %s; its minutes need RINGMQ_SOAK=1 (make soak, make soak-cluster)", t.Name())
	}
}

// short skips a test of processes in `go test -short`.
func short(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skipf("SKIPPED by -short: %s, which runs servers as processes", t.Name())
	}
}

// node is a RingMQ process under test.
type node struct {
	*proc.RingMQ
	t *testing.T
}

// newNode describes a node; start starts it. Later overrides win over earlier ones.
func newNode(t *testing.T, dir string, overrides ...string) *node {
	n := &node{t: t, RingMQ: &proc.RingMQ{Binary: server, Dir: dir, Overrides: append([]string{
		"s3.wal.path=0@file://" + filepath.Join(dir, "wal") + "?capacity=134217728", "group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=4",
		"s3.wal.upload.interval.ms=500", "s3.wal.upload.threshold=8388608", "s3.wal.cache.size=67108864",
	}, overrides...)}}
	t.Cleanup(func() {
		if n.Process == nil {
			return
		}
		n.Kill()
		if t.Failed() {
			log := n.log()
			t.Logf("server log:\n%s", log[max(0, len(log)-8000):])
		}
	})
	return n
}

// start starts the node, also again, and returns how long it took to answer.
func (n *node) start() time.Duration {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	took, err := n.Start(ctx)
	if err != nil {
		n.t.Fatalf("start: %v", err)
	}
	return took
}

// stop stops the node cleanly.
func (n *node) stop() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		n.t.Fatalf("SIGTERM: %v", err)
	}
}

// log is everything that the node has logged so far.
func (n *node) log() string {
	b, err := os.ReadFile(filepath.Join(n.Dir, "server.log"))
	if err != nil {
		n.t.Fatal(err)
	}
	return string(b)
}

// lines returns the log lines that hold all of the texts.
func (n *node) lines(texts ...string) []string {
	return waittest.LinesWith(n.log(), texts...)
}

// awaitLine waits for a log line that holds all of the texts.
func (n *node) awaitLine(limit time.Duration, texts ...string) string {
	n.t.Helper()
	var found []string
	n.await(limit, fmt.Sprintf("a log line with %q", texts), func() bool {
		found = n.lines(texts...)
		return len(found) > 0
	})
	return found[0]
}

// await polls until the condition holds.
func (n *node) await(limit time.Duration, what string, holds func() bool) {
	n.t.Helper()
	waittest.Until(n.t, limit, what, holds)
}

// client is a Kafka client of the node.
func (n *node) client(opts ...kgo.Opt) *kgo.Client {
	n.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.Seed())}, opts...)...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(cl.Close)
	return cl
}

// createTopic creates a topic; configs are key=value.
func (n *node) createTopic(topic string, partitions int, configs ...string) {
	n.t.Helper()
	set := map[string]*string{}
	for _, c := range configs {
		key, value, _ := strings.Cut(c, "=")
		set[key] = kadm.StringPtr(value)
	}
	if err := verify.CreateTopic(n.t.Context(), []string{n.Seed()}, topic, partitions, set); err != nil {
		n.t.Fatal(err)
	}
}

// endOffsets returns the high watermark of each partition.
func endOffsets(t *testing.T, n *node, topic string, partitions int) []int64 {
	t.Helper()
	return offsets(t, n, topic, partitions, (*kadm.Client).ListEndOffsets)
}

// startOffsets returns the log start offset of each partition.
func startOffsets(t *testing.T, n *node, topic string, partitions int) []int64 {
	t.Helper()
	return offsets(t, n, topic, partitions, (*kadm.Client).ListStartOffsets)
}

func offsets(t *testing.T, n *node, topic string, partitions int, list func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)) []int64 {
	t.Helper()
	cl := n.client()
	defer cl.Close()
	listed, err := list(kadm.NewClient(cl), t.Context(), topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		t.Fatalf("list offsets of %s: %v", topic, err)
	}
	found := make([]int64, partitions)
	for p := range found {
		o, ok := listed.Lookup(topic, int32(p))
		if !ok {
			t.Fatalf("no offset of %s-%d", topic, p)
		}
		found[p] = o.Offset
	}
	return found
}

// startMinIO starts a MinIO that ends with the test.
func startMinIO(t *testing.T, dir string) *proc.MinIO {
	t.Helper()
	m := &proc.MinIO{Dir: filepath.Join(dir, "minio"), Bucket: "resilience"}
	if err := m.Start(t.Context()); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: what runs on MinIO: %v", err)
	}
	t.Cleanup(func() { m.Kill() })
	return m
}

// bucketObjects lists the data objects in the bucket: key to size.
func bucketObjects(t *testing.T, m *proc.MinIO) map[string]int64 {
	t.Helper()
	cl, err := minio.New(strings.TrimPrefix(m.Endpoint(), "http://"), &minio.Options{Creds: credentials.NewStaticV4(proc.MinIOUser, proc.MinIOPassword, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for o := range cl.ListObjects(t.Context(), m.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatalf("list bucket: %v", o.Err)
		}
		found[o.Key] = o.Size
	}
	return found
}

func sum(objects map[string]int64) (bytes int64) {
	for _, size := range objects {
		bytes += size
	}
	return bytes
}

// load is a running producer whose records are accounted for.
type load struct {
	t      *testing.T
	n      *node
	topic  string
	ledger *verify.Ledger
	cancel context.CancelFunc
	result chan error
	stall  atomic.Int64
}

// startLoad produces to a new topic until stop.
func startLoad(t *testing.T, n *node, topic string, partitions, rate, recordBytes int, opts ...kgo.Opt) *load {
	t.Helper()
	n.createTopic(topic, partitions)
	return continueLoad(t, n, topic, partitions, rate, recordBytes, opts...)
}

// continueLoad is startLoad for an empty topic that is there.
func continueLoad(t *testing.T, n *node, topic string, partitions, rate, recordBytes int, opts ...kgo.Opt) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, n: n, topic: topic, ledger: verify.NewLedger(partitions), cancel: cancel, result: make(chan error, 1)}
	go func() {
		l.result <- verify.Produce(ctx, verify.Load{Seeds: []string{n.Seed()}, Topic: topic, RecordBytes: recordBytes, Rate: rate, Options: opts}, l.ledger, time.Minute, &l.stall)
	}()
	t.Cleanup(cancel)
	return l
}

// acked is how many records have been acknowledged.
func (l *load) acked() int64 {
	_, acked := l.ledger.Counts()
	return acked
}

// awaitAcks waits until that many more records are acknowledged. A producer's error fails the test.
func (l *load) awaitAcks(limit time.Duration, more int64) {
	l.t.Helper()
	want := l.acked() + more
	waittest.Until(l.t, limit, fmt.Sprintf("%d acknowledgements more", more), func() bool { l.alive(); return l.acked() >= want })
}

// run lets the load run for a while.
func (l *load) run(d time.Duration) {
	l.t.Helper()
	end := time.Now().Add(d)
	waittest.Until(l.t, d+time.Minute, "end of the load's time", func() bool { l.alive(); return time.Now().After(end) })
}

// alive fails the test when the producer has ended.
func (l *load) alive() {
	l.t.Helper()
	select {
	case err := <-l.result:
		l.t.Fatalf("the producer ended: %v", err)
	default:
	}
}

// stop ends the load, waits for what is under way, and returns the longest time without an acknowledgement.
func (l *load) stop() time.Duration {
	l.t.Helper()
	l.cancel()
	if err := <-l.result; err != nil {
		l.t.Fatalf("producer: %v", err)
	}
	if sent, acked := l.ledger.Counts(); sent != acked {
		l.t.Errorf("%d records sent, %d acknowledged in the end", sent, acked)
	}
	return time.Duration(l.stall.Load())
}

// check reads everything back.
func (l *load) check() *verify.Report {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Minute)
	defer cancel()
	r, err := verify.Check(ctx, []string{l.n.Seed()}, l.topic, l.ledger)
	if err != nil {
		l.t.Fatalf("read back: %v", err)
	}
	if err := r.Err(); err != nil {
		l.t.Fatalf("%v\n%s", err, strings.Join(r.Violations, "\n"))
	}
	return r
}

// memory samples a process's resident memory until the returned function is called, which gives the largest.
func memory(t *testing.T, p *proc.Process) (peak func() int64) {
	done, result := make(chan struct{}), make(chan int64, 1)
	go func() {
		var most int64
		for {
			select {
			case <-done:
				result <- most
				return
			case <-time.After(50 * time.Millisecond):
				if u, err := p.Usage(); err == nil {
					most = max(most, u.RSSBytes)
				}
			}
		}
	}()
	var once atomic.Bool
	stop := func() int64 {
		if !once.CompareAndSwap(false, true) {
			return 0
		}
		close(done)
		return <-result
	}
	t.Cleanup(func() { stop() })
	return stop
}

// refused starts a node that must not start, and returns the last line of what it printed.
func (n *node) refused() string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	if _, err := n.Start(ctx); err == nil {
		n.t.Fatal("the node started")
	}
	select {
	case <-n.Exited():
	case <-ctx.Done():
		n.t.Fatal("the node neither started nor ended")
	}
	log := strings.TrimSpace(n.log())
	return log[strings.LastIndexByte(log, '\n')+1:]
}

// command runs a program of the system and fails the test when it fails.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, bytes.TrimSpace(out))
	}
	return string(bytes.TrimSpace(out))
}

// note logs what was measured, as one line of JSON: soaks are read by people and by scripts.
func note(t *testing.T, values map[string]any) {
	t.Helper()
	b, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("measured %s", b)
}
