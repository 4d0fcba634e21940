package kraft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/netpoll"
	"github.com/ringmq/ringmq/tools/freeport"
	"github.com/ringmq/ringmq/tools/waittest"
)

const (
	testCluster = "test-cluster"
	testTimeout = 30 * time.Second // what a condition may take on a busy machine
)

func testLogger(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// testWriter logs until the test is over.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a line after the end of the test
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// localhost returns a free port of this machine.
func localhost(t testing.TB) string {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func endpoint(t testing.TB, addr string) netpoll.Endpoint {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return netpoll.Endpoint{Name: "CONTROLLER", Addr: *a}
}

// singleOptions are those of a node that is the whole cluster.
func singleOptions(t testing.TB, dir string) Options {
	return Options{
		NodeID: 1, ClusterID: testCluster, Roles: Roles{Broker: true, Controller: true},
		Voters: map[int32]string{1: "127.0.0.1:0"}, Dir: dir, Listen: endpoint(t, "127.0.0.1:0"),
		Endpoints: []BrokerEndpoint{{Name: "PLAINTEXT", Host: "localhost", Port: 9092}},
		Logger:    testLogger(t), SegmentBytes: 1 << 20,
	}
}

func start(t testing.TB, o Options) *Node {
	t.Helper()
	n, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n) })
	return n
}

func stop(t testing.TB, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func register(t testing.TB, n *Node) int64 {
	t.Helper()
	epoch, err := n.RegisterBroker(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// createTopic creates a topic and returns it as the node sees it.
func createTopic(t testing.TB, n *Node, name string, partitions int) *Topic {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: int32(partitions), ReplicationFactor: 1}}
	resp, err := n.Controller().Do(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	if r := resp.(*kmsg.CreateTopicsResponse).Topics[0]; r.ErrorCode != 0 {
		t.Fatalf("create topic %s: code %d: %s", name, r.ErrorCode, *r.ErrorMessage)
	}
	topic := n.Image().Topic(name)
	if topic == nil {
		t.Fatalf("topic %s was created, but the image of the node that asked does not have it", name)
	}
	return topic
}

func TestSingleVoter(t *testing.T) {
	dir := t.TempDir()
	begin := time.Now()
	n := start(t, singleOptions(t, dir))
	epoch := register(t, n)
	t.Logf("registered %v after Start", time.Since(begin))
	if epoch < 1 {
		t.Fatalf("broker epoch %d", epoch)
	}
	topic := createTopic(t, n, "a", 3)
	if len(topic.Partitions) != 3 || topic.Partitions[2].Leader != 1 || topic.Partitions[2].StreamID == 0 {
		t.Fatalf("topic %+v", topic)
	}
	id := topic.Partitions[0].StreamID
	ctx := testContext(t)
	if _, err := n.OpenStream(ctx, id, int64(topic.Partitions[0].LeaderEpoch)); err != nil {
		t.Fatal(err)
	}
	first, err := n.PrepareObjects(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	commit := Commit{Node: 1, NodeEpoch: epoch, Extends: true, New: []NewObject{{
		ID: first, Kind: StreamObject, Size: 100, Ranges: []Range{{Stream: id, Epoch: int64(topic.Partitions[0].LeaderEpoch), Start: 0, End: 10, Bytes: 90, MaxTimestamp: 5}},
	}}}
	if err := n.CommitObjects(ctx, commit); err != nil {
		t.Fatal(err)
	}
	if err := n.CommitObjects(ctx, commit); err != nil {
		t.Fatalf("the same commit again: %v", err)
	}
	if s, _ := n.Image().Stream(id); s.End != 10 {
		t.Fatalf("stream %+v", s)
	}
	offset := n.Image().Offset()
	stop(t, n)

	n = start(t, singleOptions(t, dir))
	again := register(t, n)
	if again <= epoch {
		t.Fatalf("broker epoch %d after %d", again, epoch)
	}
	if n.Image().Offset() <= offset {
		t.Fatalf("offset %d, was %d", n.Image().Offset(), offset)
	}
	topic2 := n.Image().Topic("a")
	if topic2 == nil || topic2.ID != topic.ID || topic2.Partitions[0].LeaderEpoch != topic.Partitions[0].LeaderEpoch+1 {
		t.Fatalf("topic %+v, was %+v", topic2, topic)
	}
	commit.New[0].ID++
	commit.New[0].Ranges[0].Start, commit.New[0].Ranges[0].End = 10, 20
	if err := n.CommitObjects(ctx, commit); !errors.Is(err, ErrFenced) {
		t.Fatalf("commit of the earlier registration: %v", err)
	}
	if q := n.Quorum(); q.LeaderID != 1 || !q.Active || len(q.Voters) != 1 {
		t.Fatalf("quorum %+v", q)
	}
}

func TestFirstCommitIsQuick(t *testing.T) {
	best := time.Hour
	for range 3 {
		begin := time.Now()
		n := start(t, singleOptions(t, t.TempDir()))
		if err := n.WaitApplied(testContext(t), 2); err != nil { // raft's own entry, and the cluster record
			t.Fatal(err)
		}
		best = min(best, time.Since(begin))
		stop(t, n)
	}
	t.Logf("first record committed %v after Start", best)
	if best > 500*time.Millisecond {
		t.Errorf("first commit after %v", best)
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	stop(t, start(t, singleOptions(t, dir)))
	for _, c := range []struct {
		change func(*Options)
		want   []string
	}{
		{func(o *Options) { o.ClusterID = "other" }, []string{`cluster.id "test-cluster"`, `"other"`}},
		{func(o *Options) { o.NodeID, o.Voters = 2, map[int32]string{2: "127.0.0.1:0"} }, []string{`node.id "1"`, `"2"`}},
		{func(o *Options) { o.DirectoryID = [16]byte{1} }, []string{`directory.id`, `to 01000000`}},
	} {
		o := singleOptions(t, dir)
		c.change(&o)
		n, err := Start(o)
		if err == nil {
			stop(t, n)
			t.Fatalf("started with %+v", o)
		}
		for _, w := range append(c.want, dir) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q does not say %q", err, w)
			}
		}
	}
	// The identity file alone is not what is trusted: the log has it too.
	o := singleOptions(t, dir)
	o.ClusterID = "other"
	if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(newIdentity(o).text), 0o640); err != nil {
		t.Fatal(err)
	}
	if n, err := Start(o); err == nil {
		stop(t, n)
		t.Fatal("started on the log of another cluster")
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, singleOptions(t, dir))
	if n, err := Start(singleOptions(t, dir)); err == nil {
		stop(t, n)
		t.Fatal("two nodes on one directory")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Fatal(err)
	}
}

func TestProposalsShareSyncs(t *testing.T) {
	n := start(t, singleOptions(t, t.TempDir()))
	register(t, n)
	const workers, each = 32, 20
	var wg sync.WaitGroup
	begin := time.Now()
	for range workers {
		wg.Go(func() {
			for range each {
				if _, err := n.PrepareObjects(context.Background(), 1); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	writes := n.core.writes.Load()
	t.Logf("%d proposals in %v with %d writes of the log", workers*each, time.Since(begin), writes)
	if writes > workers*each/2 {
		t.Errorf("%d writes for %d proposals of %d goroutines", writes, workers*each, workers)
	}
	if n.Image().NumObjects() != workers*each {
		t.Errorf("%d objects", n.Image().NumObjects())
	}
}

// TestSlowSubscriber has a subscriber that hangs while the metadata go on.
func TestSlowSubscriber(t *testing.T) {
	n := start(t, singleOptions(t, t.TempDir()))
	register(t, n)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var mu sync.Mutex
	var calls int
	var last *Image
	topics := make(map[string]bool)
	cancel := n.Subscribe(func(prev, next *Image, d *Delta) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-release
		mu.Lock()
		defer mu.Unlock()
		calls++
		if last != nil && prev.Offset() < last.Offset() && !d.Full {
			t.Errorf("prev is at %d, the last call ended at %d", prev.Offset(), last.Offset())
		}
		last = next
		for _, c := range d.Created {
			topics[c.Name] = true
		}
	})
	<-entered
	const count = 50
	for i := range count {
		createTopic(t, n, fmt.Sprintf("t%d", i), 1)
	}
	close(release)
	want := n.Image().Offset()
	waittest.Until(t, testTimeout, "the subscriber has caught up", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return last != nil && last.Offset() >= want
	})
	mu.Lock()
	if calls > 3 || len(topics) != count {
		t.Errorf("%d calls told of %d topics", calls, len(topics))
	}
	before := calls
	mu.Unlock()
	cancel()
	createTopic(t, n, "after", 1)
	mu.Lock()
	defer mu.Unlock()
	if calls != before {
		t.Error("called after cancel")
	}
}
