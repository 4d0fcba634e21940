// Command crash kills a RingMQ node at random moments under load, starts it again, and in the end reads everything back: every acknowledged
// record must be at its offset, once.
//
//	go run ./bench/crash -binary bin/ringmq -kills 30
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/bench/verify"
)

type options struct {
	binary     string
	kills      int
	minio      bool
	partitions int
	rate       int
	size       int
	minUp      time.Duration
	maxUp      time.Duration
	seed       uint64
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/ringmq", "the server's binary")
	flag.IntVar(&o.kills, "kills", 30, "how many times to kill -9")
	flag.BoolVar(&o.minio, "minio", false, "keep objects in a MinIO beside the node instead of a directory")
	flag.IntVar(&o.partitions, "partitions", 8, "partitions of the topic")
	flag.IntVar(&o.rate, "rate", 5000, "records a second; 0: as fast as possible")
	flag.IntVar(&o.size, "size", 1024, "bytes of a record")
	flag.DurationVar(&o.minUp, "min-up", 200*time.Millisecond, "shortest time between a start and the next kill")
	flag.DurationVar(&o.maxUp, "max-up", 3*time.Second, "longest time between a start and the next kill")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of the moments of the kills")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "ringmq-crash-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("seed %d, %d kills, %d records/s of %d bytes over %d partitions\n", o.seed, o.kills, o.rate, o.size, o.partitions)
	// Small thresholds, so that kills hit uploads, commits, trims and compactions too.
	node := &proc.RingMQ{Binary: o.binary, Dir: dir, Overrides: []string{
		"s3.wal.path=0@file://" + filepath.Join(dir, "wal") + "?capacity=134217728",
		"s3.wal.upload.interval.ms=500", "s3.wal.upload.threshold=8388608", "s3.wal.cache.size=67108864",
	}}
	if o.minio {
		m := &proc.MinIO{Dir: filepath.Join(dir, "minio"), Bucket: "ringmq"}
		if err := m.Start(ctx); err != nil {
			return err
		}
		defer m.Kill()
		node.Overrides = append(node.Overrides, "s3.data.buckets="+m.BucketURI())
	}
	if _, err := node.Start(ctx); err != nil {
		return err
	}
	defer func() { node.Kill() }()
	const topic = "crash"
	if err := verify.CreateTopic(ctx, []string{node.Seed()}, topic, o.partitions, nil); err != nil {
		return err
	}
	ledger := verify.NewLedger(o.partitions)
	loadCtx, endLoad := context.WithCancel(ctx)
	defer endLoad()
	produced := make(chan error, 1)
	var stall atomic.Int64
	go func() {
		produced <- verify.Produce(loadCtx, verify.Load{Seeds: []string{node.Seed()}, Topic: topic, RecordBytes: o.size, Rate: o.rate}, ledger, time.Minute, &stall)
	}()
	restarts, err := killLoop(ctx, node, o, produced)
	if err != nil {
		return err
	}
	endLoad()
	if err := <-produced; err != nil {
		return err
	}
	sent, acked := ledger.Counts()
	report, err := verify.Check(ctx, []string{node.Seed()}, topic, ledger)
	if err != nil {
		return err
	}
	slices.Sort(restarts)
	fmt.Printf("%d kills: start to serving p50 %v max %v; longest gap without an acknowledgement %v\n", len(restarts),
		restarts[len(restarts)/2].Round(time.Millisecond), restarts[len(restarts)-1].Round(time.Millisecond), time.Duration(stall.Load()).Round(time.Millisecond))
	fmt.Printf("%d sent, %d acknowledged, %d read back (%d of them unacknowledged)\n", sent, acked, report.Records, report.Unacked)
	for _, v := range report.Violations {
		fmt.Println("VIOLATION:", v)
	}
	return report.Err()
}

// killLoop kills and restarts the node, and returns how long each start took.
func killLoop(ctx context.Context, node *proc.RingMQ, o options, produced chan error) ([]time.Duration, error) {
	random := rand.New(rand.NewPCG(o.seed, 0))
	var restarts []time.Duration
	for i := range o.kills {
		up := o.minUp + time.Duration(random.Int64N(int64(o.maxUp-o.minUp)+1))
		select {
		case <-time.After(up):
		case err := <-produced:
			return nil, fmt.Errorf("the load ended early: %w", err)
		case <-node.Exited():
			return nil, fmt.Errorf("the node ended by itself, see %s", node.LogPath)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		node.Kill()
		took, err := node.Start(ctx)
		if err != nil {
			return nil, fmt.Errorf("start after kill %d: %w", i+1, err)
		}
		restarts = append(restarts, took)
		fmt.Printf("kill %d after %v, serving again after %v\n", i+1, up.Round(time.Millisecond), took.Round(time.Millisecond))
	}
	return restarts, nil
}
