package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/bench/verify"
)

type options struct {
	binary, dir string
	brokers     int
	partitions  int
	rate, bytes int
	perSecond   int
	all         bool
	restart     bool
	duration    time.Duration
	overrides   []string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/ringmq", "path of the server")
	flag.StringVar(&o.dir, "dir", "", "directory for the nodes (default: a temporary one)")
	flag.IntVar(&o.brokers, "brokers", 3, "number of brokers")
	flag.IntVar(&o.partitions, "partitions", 100, "partitions of the topic")
	flag.IntVar(&o.rate, "rate", 2000, "records a second over all partitions")
	flag.IntVar(&o.bytes, "bytes", 1024, "bytes of a record")
	flag.IntVar(&o.perSecond, "moves-per-second", 100, "moves a second")
	flag.BoolVar(&o.all, "all", false, "move every partition once, by one request, instead")
	flag.BoolVar(&o.restart, "restart", false, "stop (SIGTERM) and start every broker but the controller's, one after the other, instead")
	flag.DurationVar(&o.duration, "for", 10*time.Second, "how long to move; and how long to measure without moves before")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "moves:", err)
		stop()
		os.Exit(1)
	}
}

const topic = "moves"

func run(ctx context.Context, o options) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "ringmq-moves-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	c, err := proc.NewCluster(o.binary, o.dir, o.brokers, append([]string{"s3.wal.upload.interval.ms=1000", "group.initial.rebalance.delay.ms=0"}, o.overrides...)...)
	if err != nil {
		return err
	}
	defer c.Kill()
	start, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := c.Start(start); err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds()...))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := allThere(start, cl, o.brokers); err != nil {
		return err
	}
	if _, err := kadm.NewClient(cl).CreateTopic(start, int32(o.partitions), 1, nil, topic); err != nil {
		return err
	}
	report, err := measure(ctx, o, c, cl)
	if report != nil {
		report.print(os.Stdout)
	}
	return err
}

// allThere waits until every broker is known.
func allThere(ctx context.Context, cl *kgo.Client, brokers int) error {
	for {
		m, err := kadm.NewClient(cl).BrokerMetadata(ctx)
		if err == nil && len(m.Brokers) == brokers {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d brokers did not come: %v, %w", brokers, m.Brokers, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// latencies of one phase, in ascending order once it is over.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	l.all = append(l.all, d)
	l.mu.Unlock()
}

func (l *latencies) line(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return name + ": nothing acknowledged"
	}
	slices.Sort(l.all)
	at := func(q float64) time.Duration {
		return l.all[min(len(l.all)-1, int(q*float64(len(l.all))))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%s: %d records acknowledged, p50 %v p99 %v p99.9 %v longest %v", name, len(l.all), at(.5), at(.99), at(.999), at(1))
}

// report is the result of a run.
type report struct {
	quiet, moving latencies
	moves         int
	moveTime      time.Duration // from the first request to the end of the last move
	check         *verify.Report
}

func (r *report) print(w *os.File) {
	fmt.Fprintln(w, r.quiet.line("without moves"))
	fmt.Fprintln(w, r.moving.line("with moves   "))
	fmt.Fprintf(w, "%d moves in %v (%.0f a second)\n", r.moves, r.moveTime.Round(time.Millisecond), float64(r.moves)/r.moveTime.Seconds())
	if r.check != nil {
		fmt.Fprintf(w, "verified: %d records read, %d acknowledged, %d violations\n", r.check.Records, r.check.Acked, len(r.check.Violations))
	}
}

// measure runs the load beside the moves, and checks what was written.
func measure(ctx context.Context, o options, c *proc.Cluster, cl *kgo.Client) (*report, error) {
	r, seeds := &report{}, c.Seeds()
	var mu sync.Mutex
	phase := &r.quiet
	load, stop := context.WithCancel(ctx)
	defer stop()
	ledger := verify.NewLedger(o.partitions)
	produced := make(chan error, 1)
	go func() {
		produced <- verify.Produce(load, verify.Load{
			Seeds: seeds, Topic: topic, RecordBytes: o.bytes, Rate: o.rate,
			Acked: func(_ int32, took time.Duration) {
				mu.Lock()
				l := phase
				mu.Unlock()
				l.add(took)
			},
		}, ledger, time.Minute, nil)
	}()
	enter := func(l *latencies) {
		mu.Lock()
		phase = l
		mu.Unlock()
	}
	// The first records find cold connections and partitions just created.
	enter(&latencies{})
	wait(ctx, time.Second)
	enter(&r.quiet)
	wait(ctx, o.duration)
	m := &mover{cl: cl, brokers: o.brokers, leaders: make([]int32, o.partitions)}
	if err := m.look(ctx); err != nil {
		return nil, err
	}
	enter(&r.moving)
	begun := time.Now()
	var err error
	switch {
	case o.restart:
		err = m.restartAll(ctx, c)
	case o.all:
		err = m.moveAll(ctx)
	default:
		err = m.keepMoving(ctx, o.perSecond, o.duration)
	}
	r.moves, r.moveTime = m.moves, time.Since(begun)
	wait(ctx, 500*time.Millisecond)
	enter(&latencies{})
	stop()
	if e := <-produced; err == nil {
		err = e
	}
	if err != nil {
		return r, err
	}
	reading, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if r.check, err = verify.Check(reading, seeds, topic, ledger); err != nil {
		return r, err
	}
	return r, r.check.Err()
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// mover moves partitions by Kafka's own requests.
type mover struct {
	cl      *kgo.Client
	brokers int
	leaders []int32 // that each partition has, or moves to
	moves   int
}

// look asks who leads what.
func (m *mover) look(ctx context.Context) error {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, m.cl)
	if err != nil {
		return err
	}
	for _, p := range resp.Topics[0].Partitions {
		m.leaders[p.Partition] = p.Leader
	}
	return nil
}

// next is another broker than the one that leads.
func (m *mover) next(partition int) int32 {
	return (m.leaders[partition]-1+1+rand.Int32N(int32(m.brokers-1)))%int32(m.brokers) + 1
}

// move asks for the moves of some partitions, to any other broker each.
func (m *mover) move(ctx context.Context, partitions []int) error {
	return m.moveTo(ctx, partitions, m.next)
}

func (m *mover) moveTo(ctx context.Context, partitions []int, to func(partition int) int32) error {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	rt.Topic = topic
	for _, p := range partitions {
		rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		m.leaders[p] = to(p)
		rp.Partition, rp.Replicas = int32(p), []int32{m.leaders[p]}
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, m.cl)
	if err != nil {
		return err
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			if rp.ErrorCode != 0 {
				return fmt.Errorf("move of partition %d: code %d: %v", rp.Partition, rp.ErrorCode, rp.ErrorMessage)
			}
		}
	}
	m.moves += len(partitions)
	return nil
}

// arrived waits until no move is under way.
func (m *mover) arrived(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		resp, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, m.cl)
		if err != nil {
			return err
		}
		left := 0
		for _, t := range resp.Topics {
			left += len(t.Partitions)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d partitions are still on their way", left)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (m *mover) moveAll(ctx context.Context) error {
	all := make([]int, len(m.leaders))
	for i := range all {
		all[i] = i
	}
	if err := m.move(ctx, all); err != nil {
		return err
	}
	return m.arrived(ctx)
}

// restartAll stops and starts the brokers, and gives them partitions again in between; what each led counts as moved.
func (m *mover) restartAll(ctx context.Context, c *proc.Cluster) error {
	for i, node := range c.Nodes[1:] {
		id := int32(i) + 2
		var some []int
		for p := range m.leaders {
			if p%m.brokers == 0 {
				some = append(some, p)
			}
		}
		if err := m.moveTo(ctx, some, func(int) int32 { return id }); err != nil {
			return err
		}
		if err := m.arrived(ctx); err != nil {
			return err
		}
		stop, cancel := context.WithTimeout(ctx, time.Minute)
		begun := time.Now()
		err := node.Stop(stop)
		stopped := time.Since(begun)
		if err == nil {
			err = m.look(ctx)
		}
		if err == nil && slices.Contains(m.leaders, id) {
			err = fmt.Errorf("broker %d has stopped, and leads partitions: %v", id, m.leaders)
		}
		if err == nil {
			_, err = node.Start(stop)
		}
		cancel()
		if err != nil {
			return err
		}
		m.moves += len(some)
		fmt.Printf("broker %d: stopped in %v, started again after %v\n", id, stopped.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// keepMoving moves partitions one after the other, in a random order that begins anew when all have been moved.
func (m *mover) keepMoving(ctx context.Context, perSecond int, d time.Duration) error {
	begun := time.Now()
	var order []int
	for time.Since(begun) < d && ctx.Err() == nil {
		due := int(time.Since(begun).Seconds() * float64(perSecond))
		if m.moves >= due {
			wait(ctx, time.Millisecond)
			continue
		}
		if len(order) == 0 {
			order = rand.Perm(len(m.leaders))
		}
		n := min(due-m.moves, len(order))
		if err := m.move(ctx, order[:n]); err != nil {
			return err
		}
		order = order[n:]
	}
	return m.arrived(ctx)
}
