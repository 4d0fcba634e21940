package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/checker"
	"github.com/ringmq/ringmq/bench/proc"
)

// The topics. In a history a partition of the second has a number from secondTopic on.
const (
	first       = "first"
	second      = "second"
	secondTopic = 100
	partitions  = 4
)

func number(topic string, partition int32) int32 {
	if topic == second {
		return secondTopic + partition
	}
	return partition
}

// world is what the clients of a run share.
type world struct {
	seeds    []string
	seed     uint64
	rec      *checker.Recorder
	values   atomic.Int64
	clients  atomic.Int64
	sessions atomic.Int64
}

// rng is the random source of one worker.
func (w *world) rng(worker uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, worker)) }

// options are those of every client; more come behind.
func (w *world) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(w.seeds...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(8 * time.Second), kgo.RetryTimeout(8 * time.Second),
		kgo.ProduceRequestTimeout(5 * time.Second), kgo.FetchMaxWait(100 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond),
	}, more...)
}

// faultFree is how long clients run after the last fault, so that the history ends in calm.
const faultFree = 2 * time.Second

// run starts the nodes, lets the clients run, reads everything back, and judges.
func run(ctx context.Context, o options) (*checker.Report, error) {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "ringmq-workload-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	if o.history == "" {
		o.history = filepath.Join(o.dir, "history.jsonl")
	}
	c, err := proc.NewCluster(o.binary, o.dir, o.nodes, "s3.wal.upload.interval.ms=1000", "group.initial.rebalance.delay.ms=0",
		"transaction.state.log.num.partitions=6", "offsets.topic.num.partitions=3", "transaction.abort.timed.out.transaction.cleanup.interval.ms=500", "s3.wal.capacity=134217728")
	if err != nil {
		return nil, err
	}
	defer c.Kill()
	start, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := c.Start(start); err != nil {
		return nil, err
	}
	file, err := os.Create(o.history)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	w := &world{seeds: c.Seeds(), seed: o.seed, rec: checker.NewRecorder(file)}
	admin, err := kgo.NewClient(w.options()...)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	if err := w.createTopics(start, admin, o.nodes); err != nil {
		return nil, err
	}
	if err := w.disturbed(ctx, o, c, admin); err != nil {
		return nil, err
	}
	end, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := errors.Join(w.readAll(end, admin), w.rec.Close()); err != nil {
		return nil, err
	}
	return judge(o.history)
}

func (w *world) createTopics(ctx context.Context, cl *kgo.Client, nodes int) error {
	adm := kadm.NewClient(cl)
	for {
		m, err := adm.BrokerMetadata(ctx)
		if err == nil && len(m.Brokers) == nodes {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d nodes have come: %w", len(m.Brokers), nodes, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	_, err := adm.CreateTopics(ctx, partitions, 1, nil, first, second)
	return err
}

// disturbed lets the clients run while things fail.
func (w *world) disturbed(ctx context.Context, o options, c *proc.Cluster, admin *kgo.Client) error {
	running, stop := context.WithTimeout(ctx, o.duration)
	defer stop()
	var workers sync.WaitGroup
	worker := uint64(0)
	launch := func(n int, fn func(ctx context.Context, rng *rand.Rand, name string)) {
		for range n {
			worker++
			rng, name := w.rng(worker), fmt.Sprint("worker-", worker)
			workers.Go(func() { fn(running, rng, name) })
		}
	}
	launch(2, w.sender)
	launch(2, w.transactor)
	launch(2, w.copier)
	launch(2, func(ctx context.Context, rng *rand.Rand, _ string) { w.assigned(ctx, rng, true) })
	launch(1, func(ctx context.Context, rng *rand.Rand, _ string) { w.assigned(ctx, rng, false) })
	launch(2, func(ctx context.Context, _ *rand.Rand, _ string) { w.subscribed(ctx) })
	var err error
	if !o.quiet {
		err = w.fail(running, w.rng(0), c, admin)
		stop()
	}
	workers.Wait()
	return err
}

// fail kills, pauses and moves until little time is left. Everything runs when it returns.
func (w *world) fail(ctx context.Context, rng *rand.Rand, c *proc.Cluster, admin *kgo.Client) error {
	until, _ := ctx.Deadline()
	for {
		pause := time.Duration(500+rng.IntN(2500)) * time.Millisecond
		if time.Until(until) < pause+faultFree {
			wait(ctx, time.Until(until))
			return nil
		}
		wait(ctx, pause)
		node, short := c.Nodes[rng.IntN(len(c.Nodes))], time.Duration(rng.IntN(2000))*time.Millisecond
		switch n := rng.IntN(10); {
		case n < 4 || len(c.Nodes) == 1 && n < 7:
			node.Kill()
			wait(ctx, short)
			start, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			_, err := node.Start(start)
			cancel()
			if err != nil {
				return fmt.Errorf("node %d does not start: %w", node.NodeID, err)
			}
		case n < 7 && len(c.Nodes) > 1:
			w.move(ctx, rng, c, admin)
		default:
			err := node.Process.Signal(syscall.SIGSTOP)
			wait(ctx, short)
			if err = errors.Join(err, node.Process.Signal(syscall.SIGCONT)); err != nil {
				return fmt.Errorf("pause node %d: %w", node.NodeID, err)
			}
		}
	}
}

// move moves a random half of the partitions, of the internal topics too. What a cluster that is being disturbed refuses stays where it is.
func (w *world) move(ctx context.Context, rng *rand.Rand, c *proc.Cluster, admin *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var req kadm.AlterPartitionAssignmentsReq
	for topic, n := range map[string]int32{first: partitions, second: partitions, "__transaction_state": 6, "__consumer_offsets": 3} {
		for p := range n {
			if rng.IntN(2) == 0 {
				req.Assign(topic, p, []int32{int32(c.Nodes[rng.IntN(len(c.Nodes))].NodeID)})
			}
		}
	}
	_, _ = kadm.NewClient(admin).AlterPartitionAssignments(ctx, req)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
