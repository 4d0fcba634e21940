package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/wire"
)

// run is one run under way.
type run struct {
	o         Options
	clock     measure.Clock
	start     time.Time // first due time
	begin     time.Time // of the measured time
	end       time.Time
	producers []*producer
	consumers []*consumer
	groups    []*groupCheck
	series    series
}

// Run creates the topics, drives the load, and says what happened. The topics stay.
func Run(ctx context.Context, o Options) (*Report, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	setup, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i := range o.Topics {
		if err := wire.CreateTopic(setup, o.Bootstrap, o.topic(i), o.Partitions, o.TopicConfigs); err != nil {
			return nil, err
		}
	}
	if o.Rate > 0 { // each producer sleeps on a thread of its own
		defer measure.RoomFor(o.Topics * o.Producers)()
	}
	r := &run{o: o, clock: measure.NewClock()}
	r.make()
	// Everything of the run ends with the first failure.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	reporting := make(chan struct{})
	stopReport := make(chan struct{})
	go func() { defer close(reporting); r.report(stopReport) }()
	report, err := r.drive(ctx, fail)
	close(stopReport)
	<-reporting
	if err != nil {
		// What broke first closed all connections; errors of those say nothing.
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	report.Series = r.series.points
	return report, nil
}

// make lays out times, producers and consumers.
func (r *run) make() {
	r.start = time.Now().Add(100 * time.Millisecond)
	r.begin = r.start.Add(r.o.Warmup)
	r.end = r.begin.Add(r.o.Duration)
	if r.o.Backlog > 0 { // the time to catch up follows
		r.end = r.begin.Add(r.o.Backlog)
	}
	for t := range r.o.Topics {
		for range r.o.Producers {
			id := len(r.producers)
			r.producers = append(r.producers, &producer{o: r.o, id: uint32(id), topic: r.o.topic(t), clock: r.clock, pool: noise(r.o, uint64(id)),
				sequence: make([]uint64, r.o.Partitions), turn: id % r.o.Partitions, acked: newRecorder(r.begin, r.end), late: newRecorder(r.begin, r.end),
				unacked: newRecorder(r.begin, r.end)})
		}
		for range r.o.Groups {
			g := &groupCheck{next: map[source]uint64{}}
			r.groups = append(r.groups, g)
			for i := range r.o.Consumers {
				r.consumers = append(r.consumers, &consumer{o: r.o, topic: r.o.topic(t), index: i, clock: r.clock, seen: newRecorder(r.begin, r.end), group: g})
			}
		}
	}
}

// drive runs producers and consumers to their end.
func (r *run) drive(ctx context.Context, fail context.CancelCauseFunc) (*Report, error) {
	consume, stop := context.WithCancel(ctx)
	var consumers sync.WaitGroup
	defer consumers.Wait()
	defer stop()
	if r.o.Backlog == 0 {
		r.startConsumers(consume, &consumers, fail, 0)
	}
	clients, closeAll, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	if err := r.produce(ctx, clients, r.start, r.o.Rate, r.end, nil); err != nil {
		return nil, err
	}
	var catchup *Catchup
	if r.o.Backlog > 0 {
		if catchup, err = r.catchUp(ctx, consume, &consumers, fail, clients); err != nil {
			return nil, err
		}
	}
	r.awaitConsumers(ctx)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	stop()
	consumers.Wait()
	return r.sum(catchup), nil
}

// clients are the connections of producers, in their order.
type clients struct {
	raw []*wire.Conn
	kgo []*kgo.Client
}

func (r *run) connect(ctx context.Context) (clients, func(), error) {
	var c clients
	closeAll := func() {
		for _, conn := range c.raw {
			conn.Close()
		}
		for _, cl := range c.kgo {
			cl.Close()
		}
	}
	for range r.producers {
		if r.o.Client == "kgo" {
			cl, err := newKgoProducer(r.o)
			if err != nil {
				closeAll()
				return clients{}, nil, err
			}
			c.kgo = append(c.kgo, cl)
			continue
		}
		conn, err := wire.Dial(ctx, r.o.Bootstrap, "load")
		if err != nil {
			closeAll()
			return clients{}, nil, err
		}
		c.raw = append(c.raw, conn)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, conn := range c.raw {
			conn.Close()
		}
	})
	return c, func() { stop(); closeAll() }, nil
}

// produce drives all producers from start until end at a rate, 0 meaning as fast as they go. Closing cut ends it early.
func (r *run) produce(ctx context.Context, c clients, start time.Time, rate float64, end time.Time, cut <-chan struct{}) error {
	errs := make([]error, len(r.producers))
	var wg sync.WaitGroup
	for i, p := range r.producers {
		ph := phase{until: end, giveUp: end.Add(r.o.Drain), cut: cut}
		if rate > 0 {
			ph.open = true
			ph.schedule = measure.NewSchedule(start, rate).Share(i, len(r.producers))
			ph.total = ph.schedule.Due(end.Add(-1)) // end is the first time that is not in it
		}
		wg.Go(func() {
			if c.kgo != nil {
				errs[i] = p.runKgo(ctx, c.kgo[i], ph)
			} else {
				errs[i] = p.runRaw(ctx, c.raw[i], ph)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// startConsumers starts all groups, each delay after the one before it.
func (r *run) startConsumers(ctx context.Context, wg *sync.WaitGroup, fail context.CancelCauseFunc, delay time.Duration) {
	for i, c := range r.consumers {
		group := i / r.o.Consumers
		wait := time.Duration(group%r.o.Groups) * delay
		wg.Go(func() {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			run := c.runRaw
			if r.o.Client == "kgo" {
				run = func(ctx context.Context) error {
					return c.runKgo(ctx, fmt.Sprintf("%s-group-%d", r.o.TopicPrefix, group%r.o.Groups))
				}
			}
			if err := run(ctx); err != nil {
				fail(err)
			}
		})
	}
}

// acked and consumed are what all producers, and all consumers together, have so far.
func (r *run) acked() (n int64) {
	for _, p := range r.producers {
		n += p.acked.count()
	}
	return n
}

func (r *run) consumed() (n int64) {
	for _, c := range r.consumers {
		n += c.seen.count()
	}
	return n
}

// lag is how many deliveries are outstanding over all groups.
func (r *run) lag() int64 { return r.acked()*int64(max(r.o.Groups, 0)) - r.consumed() }

// awaitConsumers returns when consumers have everything, or after Drain.
func (r *run) awaitConsumers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Drain)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for r.o.Groups > 0 && r.lag() > 0 {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

// catchUp starts the consumers behind a backlog and measures until they have it.
func (r *run) catchUp(ctx, consume context.Context, consumers *sync.WaitGroup, fail context.CancelCauseFunc, c clients) (*Catchup, error) {
	start := time.Now()
	end := start.Add(r.o.Duration)
	before := measure.NewHistogram()
	for _, p := range r.producers {
		if n := p.unacked.count(); n > 0 {
			return nil, fmt.Errorf("loadgen: producer %d: %d records of the backlog were not acknowledged within %s after its end", p.id, n, r.o.Drain)
		}
		before.Merge(p.acked.reopen(start, end))
		p.unacked.reopen(start, end)
	}
	for _, c := range r.consumers {
		c.seen.reopen(start, end)
	}
	backlog := r.lag()
	r.startConsumers(consume, consumers, fail, r.o.GroupStartDelay)
	cut, done := make(chan struct{}), make(chan struct{})
	var caught time.Duration
	var delivered int64
	go func() {
		defer close(done)
		defer close(cut)
		caught, delivered = r.awaitCaughtUp(ctx, start, end)
	}()
	var err error
	if r.o.CatchupRate > 0 {
		err = r.produce(ctx, c, start, r.o.CatchupRate, end, cut)
	}
	<-done
	if err != nil {
		return nil, err
	}
	result := &Catchup{BacklogRecords: backlog, BacklogMB: r.mib(backlog), CaughtUp: caught > 0, Before: before.Latency()}
	if caught == 0 {
		caught = time.Since(start)
	}
	result.Seconds, result.ConsumedRecords = caught.Seconds(), delivered
	result.ConsumedMBPerSecond = r.mib(delivered) / caught.Seconds()
	return result, nil
}

// awaitCaughtUp returns how long it took until no more was outstanding than comes in a tenth of a second, 0 when it never came to that,
// and what consumers got by then.
func (r *run) awaitCaughtUp(ctx context.Context, start, end time.Time) (time.Duration, int64) {
	near := int64(max(r.o.CatchupRate, 0) / 10 * float64(r.o.Groups))
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if r.lag() <= near {
			return time.Since(start), r.consumed()
		}
		if time.Now().After(end) {
			return 0, r.consumed()
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return 0, r.consumed()
		}
	}
}

func (r *run) mib(records int64) float64 {
	return float64(records) * float64(r.o.RecordBytes) / (1 << 20)
}
