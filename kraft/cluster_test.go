package kraft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
	"github.com/ringmq/ringmq/tools/waittest"
)

// cluster is several nodes in one process, with real listeners between them.
type cluster struct {
	t      testing.TB
	dir    string
	voters map[int32]string
	nodes  map[int32]*Node
	change func(*Options)
}

// newCluster makes the voters 1..n known; they are started one by one.
func newCluster(t testing.TB, n int, change func(*Options)) *cluster {
	c := &cluster{t: t, dir: t.TempDir(), voters: make(map[int32]string), nodes: make(map[int32]*Node), change: change}
	for id := int32(1); id <= int32(n); id++ {
		c.voters[id] = localhost(t)
	}
	t.Cleanup(func() {
		var wg sync.WaitGroup
		for _, n := range c.nodes {
			wg.Go(func() { stop(t, n) })
		}
		wg.Wait()
	})
	return c
}

// start starts a node: a voter if its id is among them, else a broker that only observes.
func (c *cluster) start(id int32) *Node {
	c.t.Helper()
	o := Options{
		NodeID: id, ClusterID: testCluster, Voters: c.voters, Dir: filepath.Join(c.dir, fmt.Sprint(id)), Roles: Roles{Broker: true},
		Endpoints: []BrokerEndpoint{{Name: "PLAINTEXT", Host: "localhost", Port: 9000 + uint16(id)}},
		Logger:    testLogger(c.t).With("on", id), Tick: 20 * time.Millisecond, SegmentBytes: 1 << 20,
	}
	if addr, ok := c.voters[id]; ok {
		o.Roles.Controller, o.Listen = true, endpoint(c.t, addr)
	}
	if c.change != nil {
		c.change(&o)
	}
	n, err := Start(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[id] = n
	return n
}

func (c *cluster) startAll() {
	c.t.Helper()
	for id := range c.voters {
		c.start(id)
	}
}

func (c *cluster) stop(id int32) {
	c.t.Helper()
	stop(c.t, c.nodes[id])
	delete(c.nodes, id)
}

// leader waits until a node is the active controller.
func (c *cluster) leader() *Node {
	c.t.Helper()
	var active *Node
	waittest.Until(c.t, testTimeout, "somebody is the active controller", func() bool {
		for _, n := range c.nodes {
			if n.ctl != nil && n.ctl.active() {
				active = n
				return true
			}
		}
		return false
	})
	return active
}

// encodeImage is the image as bytes: equal for equal images.
func encodeImage(t testing.TB, img *Image) []byte {
	t.Helper()
	b := []byte(fmt.Sprint(img.Offset(), img.Term(), "\n"))
	if err := img.Records(func(r record.Record) error {
		b = record.Append(b, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := img.Check(); err != nil {
		t.Fatal(err)
	}
	return b
}

// agree waits until all nodes have the newest image, and compares them.
func (c *cluster) agree() {
	c.t.Helper()
	ctx := testContext(c.t)
	for {
		top := int64(0)
		for _, n := range c.nodes {
			top = max(top, n.Image().Offset())
		}
		var images []*Image
		for id, n := range c.nodes {
			if err := n.WaitApplied(ctx, top); err != nil {
				c.t.Fatalf("node %d does not reach %d: %v, it is at %d", id, top, err, n.Image().Offset())
			}
			images = append(images, n.Image())
		}
		same := true
		for _, img := range images {
			same = same && img.Offset() == images[0].Offset()
		}
		if !same {
			continue // they moved on meanwhile
		}
		want := encodeImage(c.t, images[0])
		for _, img := range images {
			if !bytes.Equal(encodeImage(c.t, img), want) {
				c.t.Fatalf("images at offset %d differ", img.Offset())
			}
		}
		return
	}
}

func TestThreeVotersAndObserver(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.startAll()
	c.start(10)
	for id, n := range c.nodes {
		if epoch := register(t, n); epoch < 1 {
			t.Fatalf("node %d has broker epoch %d", id, epoch)
		}
	}
	// Every node can change metadata, and sees its own change at once.
	for id, n := range c.nodes {
		topic := createTopic(t, n, fmt.Sprintf("by-%d", id), 4)
		led := map[int32]bool{}
		for _, p := range topic.Partitions {
			led[p.Leader] = true
		}
		if len(led) != 4 {
			t.Errorf("4 partitions on 4 brokers: %v lead", led)
		}
	}
	// Stream requests of an observer travel to the controller.
	c.agree()
	n := c.nodes[10]
	for i := range 4 {
		p := n.Image().Topic("by-1").Partitions[i]
		if p.Leader != 10 {
			continue
		}
		s, err := n.OpenStream(testContext(t), p.StreamID, int64(p.LeaderEpoch))
		if err != nil || s.Node != 10 {
			t.Fatalf("%+v, %v", s, err)
		}
		if _, err := n.OpenStream(testContext(t), p.StreamID, int64(p.LeaderEpoch)+1); !errors.Is(err, ErrInvalid) {
			t.Fatalf("an epoch that nobody granted: %v", err)
		}
	}
	c.agree()
	q := c.leader().Quorum()
	if !q.Active || len(q.Voters) != 3 || len(q.Observers) != 1 || q.Observers[0].ID != 10 {
		t.Errorf("quorum %+v", q)
	}
}

func TestLeaderChange(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.startAll()
	observer := c.start(10)
	for _, n := range c.nodes {
		register(t, n)
	}
	// Topics are created by the observer all the time, while the leader goes away and comes back.
	ctx, cancel := context.WithCancel(context.Background())
	var created sync.Map
	var count atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			name := fmt.Sprintf("t%d", i)
			req := kmsg.NewPtrCreateTopicsRequest()
			req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}}
			tctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			resp, err := observer.Controller().Do(tctx, req)
			cancel()
			if err != nil {
				continue // unknown, or the test is over
			}
			if code := resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
				t.Errorf("topic %s: code %d", name, code)
			}
			created.Store(name, true)
			count.Add(1)
		}
	}()
	waitFor := func(more int64) {
		t.Helper()
		want := count.Load() + more
		waittest.Until(t, testTimeout, "more topics are created", func() bool { return count.Load() >= want })
	}
	waitFor(20)
	for range 3 {
		old := c.leader().opts.NodeID
		begin := time.Now()
		// Stop may hand the leadership over; a crash is what TestRandomCrashes does.
		node := c.nodes[old]
		delete(c.nodes, old)
		stop(t, node)
		waitFor(20)
		t.Logf("leader %d left, the next one served after %v", old, time.Since(begin))
		c.start(old)
		register(t, c.nodes[old])
		waitFor(20)
	}
	cancel()
	<-done
	c.agree()
	for _, n := range c.nodes {
		created.Range(func(name, _ any) bool {
			if n.Image().Topic(name.(string)) == nil {
				t.Errorf("node %d lost topic %v", n.opts.NodeID, name)
			}
			return true
		})
	}
}

func TestSnapshotsReachFollowersAndObservers(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) {
		o.SnapshotEntries, o.TrailingBytes, o.SegmentBytes = 50, 1, 64<<10
	})
	c.start(1)
	c.start(2)
	c.leader()
	register(t, c.nodes[1])
	for i := range 400 {
		createTopic(t, c.nodes[1], fmt.Sprintf("t%d", i), 2)
	}
	c.start(3)
	c.start(10)
	register(t, c.nodes[3])
	register(t, c.nodes[10])
	c.agree()
	ids, err := c.nodes[3].log.Snapshots().List()
	if err != nil || len(ids) == 0 {
		t.Fatalf("the follower that was late has the snapshots %v, %v", ids, err)
	}
	// And it can begin from what it got.
	c.stop(3)
	createTopic(t, c.nodes[10], "more", 1)
	c.start(3)
	c.agree()
	// All of them from their disks.
	for id := range c.voters {
		c.stop(id)
	}
	c.startAll()
	c.leader()
	createTopic(t, c.nodes[10], "last", 1)
	c.agree()
}

func TestWrongCluster(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.startAll()
	register(t, c.nodes[1])
	failed := make(chan error, 1)
	c.change = func(o *Options) {
		o.ClusterID = "other"
		o.OnFailure = func(err error) { failed <- err }
	}
	n := c.start(10)
	delete(c.nodes, 10)
	defer stop(t, n)
	select {
	case err := <-failed:
		t.Log(err)
		if !errors.Is(n.Err(), err) {
			t.Errorf("Err is %v", n.Err())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("an observer of another cluster goes on")
	}
}
