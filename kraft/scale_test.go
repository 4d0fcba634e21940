package kraft

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/waittest"
)

const (
	scaleTopics     = 10_000
	scalePartitions = 10 // per topic
	scaleObjects    = 1_000_000
	scaleCommit     = 100 // objects of one commit
	scaleWorkers    = 8
)

func heapMiB() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkClusterScale fills three voters, with real logs and listeners in one process, with 10,000 topics, 100,000 partitions and 1,000,000 objects, and
// measures what that costs: run it with -benchtime 1x. A probe makes a small change after another all the time; its latencies show the pauses.
func BenchmarkClusterScale(b *testing.B) {
	for b.Loop() {
		clusterScale(b)
	}
}

func clusterScale(b *testing.B) {
	start := heapMiB()
	c := newCluster(b, 3, nil)
	c.startAll()
	lead := c.leader()
	register(b, lead)
	report := func(name string, begun time.Time) {
		b.ReportMetric(time.Since(begun).Seconds(), "s-"+name)
	}
	parallel := func(n int, fn func(i int) error) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range scaleWorkers {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < n && !b.Failed(); i = int(next.Add(1)) - 1 {
					if err := fn(i); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if b.Failed() {
			b.FailNow()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()

	begun := time.Now()
	parallel(scaleTopics/100, func(i int) error {
		req := kmsg.NewPtrCreateTopicsRequest()
		for t := range 100 {
			req.Topics = append(req.Topics, kmsg.CreateTopicsRequestTopic{Topic: fmt.Sprintf("t-%d", i*100+t), NumPartitions: scalePartitions, ReplicationFactor: 1})
		}
		_, err := lead.Controller().Do(ctx, req)
		return err
	})
	report("create-100k-partitions", begun)
	var streams []StreamID
	var epochs []int64
	lead.Image().Topics(func(t *Topic) bool {
		for _, p := range t.Partitions {
			streams, epochs = append(streams, p.StreamID), append(epochs, int64(p.LeaderEpoch))
		}
		return true
	})
	if len(streams) != scaleTopics*scalePartitions {
		b.Fatalf("%d partitions", len(streams))
	}
	begun = time.Now()
	parallel(len(streams), func(i int) error {
		_, err := lead.OpenStream(ctx, streams[i], epochs[i])
		return err
	})
	report("open-100k-streams", begun)
	begun = time.Now()
	fill := probe(b, lead)
	// Each worker's commits extend streams of their own, in order.
	parallel(scaleWorkers, func(w int) error {
		part := len(streams) / scaleWorkers / scaleCommit * scaleCommit
		mine, mineEpochs := streams[w*part:(w+1)*part], epochs[w*part:(w+1)*part]
		for done := 0; done < scaleObjects/scaleWorkers; done += scaleCommit {
			first, err := lead.PrepareObjects(ctx, scaleCommit)
			if err != nil {
				return err
			}
			at, from := done%part, int64(done/part)*1000
			commit := Commit{Node: lead.opts.NodeID, NodeEpoch: lead.BrokerEpoch(), Extends: true}
			for i := range scaleCommit {
				commit.New = append(commit.New, NewObject{ID: first + ObjectID(i), Kind: StreamObject, Size: 8 << 20, Ranges: []Range{{
					Stream: mine[at+i], Epoch: mineEpochs[at+i], Start: from, End: from + 1000, Bytes: 8 << 20, MaxTimestamp: 1,
				}}})
			}
			if err := lead.CommitObjects(ctx, commit); err != nil {
				return err
			}
		}
		return nil
	})
	report("commit-1m-objects", begun)
	fill.report(b, "fill")
	c.agree()
	if n := lead.Image().NumObjects(); n < scaleObjects {
		b.Fatalf("%d objects", n)
	}
	full := heapMiB()
	b.ReportMetric((full-start)/3, "MiB-heap/voter")

	// What one change costs at that size.
	begun = time.Now()
	const changes = 300
	for range changes {
		if _, err := lead.PrepareObjects(ctx, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(begun).Microseconds())/changes, "µs/change")

	// A snapshot, and the pause that it makes.
	quiet := probe(b, lead)
	waittest.Until(b, time.Minute, "enough changes without a snapshot", func() bool { return quiet.count.Load() >= 1000 })
	quiet.report(b, "quiet")
	during := probe(b, lead)
	begun = time.Now()
	lead.core.applies.push(applyItem{snapshot: true})
	waittest.Until(b, testTimeout, "the snapshot begins", lead.snapshot.running.Load)
	waittest.Until(b, testTimeout, "the snapshot is taken", func() bool { return !lead.snapshot.running.Load() })
	report("snapshot", begun)
	b.ReportMetric(float64(lead.snapshot.size.Load())/(1<<20), "MiB-snapshot")
	during.report(b, "snapshot")

	begun = time.Now()
	observer := c.start(10)
	if err := observer.WaitApplied(ctx, lead.Image().Offset()); err != nil {
		b.Fatal(err)
	}
	report("observer-start", begun)
	b.ReportMetric(heapMiB()-full, "MiB-heap/observer")

	// The leader's process ends.
	gone := lead.opts.NodeID
	lead.fail(errors.New("killed"))
	begun = time.Now()
	<-lead.Done()
	b.ReportMetric(time.Since(begun).Seconds(), "s-stop")
	delete(c.nodes, gone)
	for {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: fmt.Sprintf("after-%d", time.Now().UnixNano()), NumPartitions: 1, ReplicationFactor: 1}}
		_, err := observer.Controller().Do(short, req)
		cancel()
		if err == nil {
			break
		}
	}
	report("failover", begun)
	begun = time.Now()
	back := c.start(gone)
	if err := back.WaitApplied(ctx, c.leader().Image().Offset()); err != nil {
		b.Fatal(err)
	}
	report("voter-restart", begun)
}

// prober makes a small change after another and notes how long each takes.
type prober struct {
	stop chan struct{}
	done chan struct{}
	took []time.Duration // of the goroutine until done is closed

	count atomic.Int64 // of took
}

func probe(b *testing.B, n *Node) *prober {
	p := &prober{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for {
			select {
			case <-p.stop:
				return
			default:
			}
			begun := time.Now()
			if _, err := n.PrepareObjects(context.Background(), 1); err != nil {
				b.Error(err)
				return
			}
			p.took = append(p.took, time.Since(begun))
			p.count.Add(1)
		}
	}()
	return p
}

func (p *prober) report(b *testing.B, name string) {
	close(p.stop)
	<-p.done
	slices.Sort(p.took)
	if len(p.took) == 0 {
		return
	}
	b.ReportMetric(float64(p.took[len(p.took)/2].Microseconds())/1000, "ms-p50-"+name)
	b.ReportMetric(float64(p.took[len(p.took)-1].Microseconds())/1000, "ms-max-"+name)
}
