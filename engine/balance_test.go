package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/wal/waltest"
)

// slowDisk takes its time for each write.
type slowDisk struct {
	*waltest.Disk
	delay atomic.Int64 // ns
}

func (d *slowDisk) WriteAt(p []byte, off int64) (int, error) {
	if n := d.delay.Load(); n > 0 {
		time.Sleep(time.Duration(n)) // the time that the device takes
	}
	return d.Disk.WriteAt(p, off)
}

// TestBalancing runs three brokers under load. One whose device becomes slow loses what is in use, except the topic that is excluded; one that drains loses
// everything. Producers see no error.
func TestBalancing(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: balancing under load, which runs three brokers for some seconds")
	}
	const partitions = 12
	dir := t.TempDir()
	common := []string{"cluster.id=balancing", "s3.data.buckets=0@file://" + filepath.Join(dir, "objects"), "autobalancer.reporter.metrics.reporting.interval.ms=400",
		"autobalancer.controller.anomaly.detect.interval.ms=400", "autobalancer.controller.slow.broker.append.latency.ms=20", "autobalancer.controller.exclude.topics=fixed",
		"autobalancer.controller.goals=NetworkInUsageDistributionGoal", "broker.heartbeat.interval.ms=200"}
	disks := map[int32]*slowDisk{}
	nodes := map[int32]*enginetest.Node{}
	start := func(id int32, overrides ...string) {
		disks[id] = &slowDisk{Disk: waltest.New(64 << 20)}
		nodes[id] = enginetest.Start(t, enginetest.Options{Dir: filepath.Join(dir, fmt.Sprint(id)), Launch: engine.LaunchOn(disks[id]),
			Overrides: append(append([]string{fmt.Sprint("node.id=", id)}, common...), overrides...)})
	}
	start(1)
	voter := "controller.quorum.voters=1@" + nodes[1].Node().Addr().String()
	for id := int32(2); id <= 3; id++ {
		start(id, voter, "process.roles=broker", "listeners=PLAINTEXT://127.0.0.1:0")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	node := nodes[1].Node()
	wait := func(what string, ok func(*kraft.Image) bool) {
		t.Helper()
		if err := node.WaitImage(ctx, ok); err != nil {
			state, _ := node.Controller().Do(context.Background(), &kraft.DescribeBalancerRequest{Plan: true})
			t.Fatalf("%s: %v\n%s", what, err, state.(*kraft.BalancerResponse).State)
		}
	}
	x := &target{t, nodes[1].Seed(), nodes[1]}
	for _, topic := range []string{"load", "fixed"} {
		if code := ask[*kmsg.CreateTopicsResponse](x, createRequest(7, topic, partitions, 1)).Topics[0].ErrorCode; code != 0 {
			t.Fatalf("create topic %s: code %d", topic, code)
		}
	}
	led := func(img *kraft.Image, topic string, broker int32) (n int) {
		for _, p := range img.Topic(topic).Partitions {
			if p.Leader == broker {
				n++
			}
		}
		return n
	}
	fixed := led(node.Image(), "fixed", 3)
	if led(node.Image(), "load", 3) == 0 || fixed == 0 {
		t.Fatal("broker 3 has nothing to lose")
	}

	client, err := kgo.NewClient(kgo.SeedBrokers(nodes[1].Seed()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var producers sync.WaitGroup
	stop := make(chan struct{})
	var acked atomic.Int64
	for p := range int32(2 * partitions) {
		producers.Go(func() {
			topic := []string{"load", "fixed"}[p%2]
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond): // a rate
				}
				r := &kgo.Record{Topic: topic, Partition: p / 2, Value: make([]byte, 2000)}
				if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
					t.Errorf("%s-%d: %v", topic, p/2, err)
					return
				}
				acked.Add(1)
			}
		})
	}
	defer producers.Wait()
	defer sync.OnceFunc(func() { close(stop) })()

	disks[3].delay.Store(int64(80 * time.Millisecond))
	wait("the slow broker keeps its load", func(img *kraft.Image) bool { return led(img, "load", 3) == 0 })
	if n := led(node.Image(), "fixed", 3); n != fixed {
		t.Errorf("%d partitions of the excluded topic were on broker 3, now %d are", fixed, n)
	}
	if st := node.Balancer(); st.Slow != 1 || !st.Active {
		t.Errorf("%+v", st)
	}
	disks[3].delay.Store(0)
	resp, err := node.Controller().Do(ctx, &kraft.DrainBrokerRequest{Broker: 2, Drain: true})
	if err == nil {
		err = resp.(*kraft.BalancerResponse).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	wait("the draining broker keeps partitions", func(img *kraft.Image) bool { return img.PartitionsLed(2) == 0 })
	if acked.Load() == 0 {
		t.Error("nothing was produced meanwhile")
	}
}
