package kraft

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/kraft/internal/raftlog"
	"github.com/ringmq/ringmq/kraft/record"
)

// kill stops a node without a word to anybody.
func (c *cluster) kill(id int32) {
	c.t.Helper()
	n := c.nodes[id]
	delete(c.nodes, id)
	n.stop(nil)
	select {
	case <-n.done:
	case <-time.After(20 * time.Second):
		c.t.Fatalf("node %d does not end", id)
	}
}

// TestRandomCrashes kills and restarts nodes at random, majorities too, while topics are created and producer ids allocated. What was granted is
// there in the end, once; snapshots are taken all the time.
func TestRandomCrashes(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	defer replayWith(t, seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	c := newCluster(t, 3, func(o *Options) {
		o.SnapshotEntries, o.TrailingBytes, o.SegmentBytes = 40, 2000, 64<<10
	})
	c.startAll()
	observer := c.start(10)
	epoch := register(t, observer)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	granted := make(map[string]TopicID)
	blocks := make(map[int64]bool)
	progress := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("w%d-%d", w, i)
				req := kmsg.NewPtrCreateTopicsRequest()
				req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}}
				rctx, done := context.WithTimeout(ctx, 5*time.Second)
				resp, err := observer.Controller().Do(rctx, req)
				done()
				if err == nil {
					r := resp.(*kmsg.CreateTopicsResponse).Topics[0]
					if r.ErrorCode != 0 {
						t.Errorf("topic %s: code %d", name, r.ErrorCode)
					}
					if observer.Image().Topic(name) == nil {
						t.Errorf("topic %s was granted, but the image at %d does not show it", name, observer.Image().Offset())
					}
					mu.Lock()
					granted[name] = r.TopicID
					mu.Unlock()
				}
				rctx, done = context.WithTimeout(ctx, 5*time.Second)
				resp, err = observer.Controller().Do(rctx, &kmsg.AllocateProducerIDsRequest{BrokerID: 10, BrokerEpoch: epoch})
				done()
				if err == nil {
					r := resp.(*kmsg.AllocateProducerIDsResponse)
					mu.Lock()
					if r.ErrorCode != 0 || blocks[r.ProducerIDStart] {
						t.Errorf("producer ids from %d: code %d, given before: %v", r.ProducerIDStart, r.ErrorCode, blocks[r.ProducerIDStart])
					}
					blocks[r.ProducerIDStart] = true
					mu.Unlock()
				}
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	wait := func() {
		for range 1 + rng.IntN(10) {
			select {
			case <-progress:
			case <-time.After(30 * time.Second):
				t.Error("nothing is granted or refused any more")
				return
			}
		}
	}
	for range 12 {
		wait()
		id := rng.Int32N(3) + 1
		other := rng.Int32N(3) + 1
		c.kill(id)
		if other != id && rng.IntN(3) == 0 {
			c.kill(other) // the majority is gone
			c.start(other)
		} else {
			wait()
		}
		c.start(id)
	}
	wait()
	cancel()
	wg.Wait()
	c.leader()
	createTopic(t, observer, "last", 1)
	c.agree()
	img := c.leader().Image()
	for name, id := range granted {
		if topic := img.Topic(name); topic == nil || topic.ID != id {
			t.Errorf("topic %s was granted and is lost", name)
		}
	}
	t.Logf("%d topics and %d blocks of producer ids granted", len(granted), len(blocks))
	if len(granted) < 20 {
		t.Errorf("only %d topics were granted", len(granted))
	}
}

// fillDisk makes every further write of the raft logs under dir fail like that of a full disk.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: a full disk under the metadata log: %v", err)
	}
	defer full.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("SKIPPED: a full disk under the metadata log: %v", err)
	}
	for _, f := range fds {
		link, err := os.Readlink(filepath.Join("/proc/self/fd", f.Name()))
		var fd int
		if err == nil && strings.HasPrefix(link, dir) && filepath.Ext(link) == ".wal" {
			fmt.Sscan(f.Name(), &fd)
			if err := unix.Dup2(int(full.Fd()), fd); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFullDiskStopsTheNode(t *testing.T) {
	dir := t.TempDir()
	o := singleOptions(t, dir)
	failures := make(chan error, 2)
	o.OnFailure = func(err error) { failures <- err }
	n := start(t, o)
	register(t, n)
	createTopic(t, n, "before", 1)
	fillDisk(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "after", NumPartitions: 1, ReplicationFactor: 1}}
	if _, err := n.Controller().Do(ctx, req); err == nil {
		t.Fatal("granted, but not on the disk")
	} else if !errors.Is(err, raftlog.ErrFailed) || !errors.Is(err, ErrTimeout) {
		t.Errorf("the request got %v", err)
	}
	select {
	case err := <-failures:
		if !errors.Is(err, raftlog.ErrFailed) || !errors.Is(n.Err(), raftlog.ErrFailed) || !strings.Contains(err.Error(), dir) {
			t.Errorf("stopped with %v", err)
		}
		t.Log(err)
	case <-ctx.Done():
		t.Fatal("the node goes on")
	}
	<-n.Done()
	if n.Image().Topic("after") != nil {
		t.Error("the topic is in the image")
	}
	if _, err := n.Controller().Do(ctx, req); err == nil {
		t.Error("granted after the node has stopped")
	}
	if _, err := n.PrepareObjects(ctx, 1); err == nil {
		t.Error("prepared after the node has stopped")
	}
}

// TestFullDiskOfTheLeader: the others go on without it.
func TestFullDiskOfTheLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.startAll()
	c.start(10)
	register(t, c.nodes[10])
	old := c.leader()
	fillDisk(t, filepath.Join(c.dir, fmt.Sprint(old.opts.NodeID)))
	for i := range 5 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: fmt.Sprintf("t%d", i), NumPartitions: 1, ReplicationFactor: 1}}
		_, err := c.nodes[10].Controller().Do(ctx, req)
		cancel()
		if err != nil && !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
	}
	select {
	case <-old.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the node with the full disk goes on")
	}
	delete(c.nodes, old.opts.NodeID)
	createTopic(t, c.nodes[10], "last", 1)
	c.agree()
}

// TestUnknownRecordStopsTheNode: a record of a newer program must not be skipped.
func TestUnknownRecordStopsTheNode(t *testing.T) {
	dir := t.TempDir()
	n := start(t, singleOptions(t, dir))
	register(t, n)
	st := n.core.status.Load()
	batch := record.AppendBatch(nil, record.Batch{Origin: record.Origin{Node: 1, Term: st.term, Seq: 1 << 40}})
	batch[len(batch)-1] = 1 // one record
	batch = append(batch, 63, 1, 0)
	if err := n.core.submit(st.term, batch, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the node goes on")
	}
	if err := n.Err(); !errors.Is(err, record.ErrUnknown) || !strings.Contains(err.Error(), "kind 63") {
		t.Fatal(err)
	}
	// And again after a restart, as soon as it comes to the record.
	o := singleOptions(t, dir)
	o.NodeID = 1
	n = start(t, o)
	select {
	case <-n.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the node goes on")
	}
	if err := n.Err(); !errors.Is(err, record.ErrUnknown) {
		t.Fatal(err)
	}
}

// TestReplacedBrokerStops: a second process with the same id takes over, and the first one learns it.
func TestReplacedBrokerStops(t *testing.T) {
	c := newCluster(t, 1, func(o *Options) { o.BrokerHeartbeat = 20 * time.Millisecond })
	c.startAll()
	first := c.start(10)
	epoch := register(t, first)
	c.change = func(o *Options) { o.Dir += "-second" }
	second := c.start(10)
	if e := register(t, second); e <= epoch {
		t.Fatalf("epoch %d after %d", e, epoch)
	}
	select {
	case <-first.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the replaced broker goes on")
	}
	if !errors.Is(first.Err(), ErrFenced) {
		t.Fatal(first.Err())
	}
}

func TestSilentBrokerIsFenced(t *testing.T) {
	c := newCluster(t, 1, func(o *Options) {
		o.BrokerHeartbeat, o.BrokerSession = 20*time.Millisecond, 300*time.Millisecond
	})
	c.startAll()
	register(t, c.nodes[1])
	c.start(10)
	register(t, c.nodes[10])
	c.kill(10)
	ctx := testContext(t)
	if err := c.nodes[1].WaitImage(ctx, func(img *Image) bool { return img.Broker(10).Fenced }); err != nil {
		t.Fatal(err)
	}
	if b := c.nodes[1].Image().Broker(1); b.Fenced {
		t.Error("the broker that does send heartbeats is fenced")
	}
	// New partitions go to the other one.
	for _, p := range createTopic(t, c.nodes[1], "t", 4).Partitions {
		if p.Leader != 1 {
			t.Errorf("broker %d leads a new partition", p.Leader)
		}
	}
	// A broker that stops in good order says so itself.
	c.change = nil
	c.start(10)
	register(t, c.nodes[10])
	c.stop(10)
	if !c.nodes[1].Image().Broker(10).Fenced {
		t.Error("not fenced by its own stop")
	}
}
