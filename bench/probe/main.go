// Command probe measures the latency of single Produce requests over plain sockets: one request per record, no client library, no
// batching. In the closed mode each connection has one request in flight; with -rate requests are sent on a schedule, whatever the server
// does, and latency counts from the time that a request was due (no coordinated omission). How late the probe itself sent is printed too.
//
//	go run ./bench/probe -server 127.0.0.1:9092                       one connection, one in flight
//	go run ./bench/probe -server 127.0.0.1:9092 -rate 5000 -conns 4   open loop
//	go run ./bench/probe -server 127.0.0.1:9092 -conns 64 -size 100 -partitions 16
//	go run ./bench/probe -server localhost:9094 -tls-ca ca.pem        over TLS; -tls-cert, -tls-key for a certificate of its own
//	go run ./bench/probe -server 127.0.0.1:9092 -rate 1000 -conns 4 -topics 1000 -partitions 10 -spread
//
// With -rate, requests that are unanswered when the measured time ends are waited for, at most as long as -drain. What is still unanswered
// then counts with the latency that it has reached, and in the field "unanswered": a server that collapses does not look better for it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/wire"
)

type options struct {
	server     string
	topic      string
	topics     int
	partitions int
	spread     bool
	conns      int
	rate       float64
	size       int
	records    int
	acks       int
	duration   time.Duration
	warmup     time.Duration
	drain      time.Duration
	json       bool
	hdr        string
	tls        wire.TLSFlags
}

func main() {
	var o options
	flag.StringVar(&o.server, "server", "127.0.0.1:9092", "broker")
	flag.StringVar(&o.topic, "topic", "probe", "topic, created if missing")
	flag.IntVar(&o.topics, "topics", 1, "topics; with more than one their names are that of -topic with -0, -1, ...")
	flag.IntVar(&o.partitions, "partitions", 1, "partitions of each topic")
	flag.BoolVar(&o.spread, "spread", false, "each request to the next partition, through all topics; default: each connection keeps to one of the first topic")
	flag.IntVar(&o.conns, "conns", 1, "connections")
	flag.Float64Var(&o.rate, "rate", 0, "requests a second over all connections; 0: one in flight per connection")
	flag.IntVar(&o.size, "size", 1024, "bytes of a record's value")
	flag.IntVar(&o.records, "records", 1, "records per request")
	flag.IntVar(&o.acks, "acks", -1, "acknowledgement to ask for: -1 or 1")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "measured time")
	flag.DurationVar(&o.warmup, "warmup", 2*time.Second, "time before that")
	flag.DurationVar(&o.drain, "drain", 10*time.Second, "with -rate: how long to wait for answers in the end")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.StringVar(&o.hdr, "hdr", "", "write the distribution to this file: *.hlog as HdrHistogram's log, else its table of percentiles")
	o.tls.Register(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// result is what is printed.
type result struct {
	Requests  int64           `json:"requests"`
	PerSecond float64         `json:"requests_per_second"`
	Latency   measure.Latency `json:"latency"`
	// Late is how much after its due time a request was sent: the probe's own delay, contained in Latency. Open loop only.
	Late       *measure.Latency `json:"late,omitempty"`
	Unanswered int64            `json:"unanswered"`
}

// connection is what one connection measured.
type connection struct {
	latency, late *measure.Histogram
	unanswered    int64
	err           error
}

func run(ctx context.Context, o options) error {
	switch {
	case o.conns < 1 || o.topics < 1 || o.partitions < 1 || o.records < 1 || o.size < 0 || o.rate < 0:
		return errors.New("connections, topics, partitions and records must be at least 1, size and rate not negative")
	case o.acks != -1 && o.acks != 1:
		return fmt.Errorf("-acks %d: there is no latency without an acknowledgement; allowed -1, 1", o.acks)
	}
	secure, err := o.tls.Config()
	if err != nil {
		return err
	}
	ctx = wire.WithTLS(ctx, secure)
	setup, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := wire.CreateTopics(setup, o.server, o.names(), o.partitions, nil); err != nil {
		return err
	}
	if o.rate > 0 { // each connection's sender sleeps on a thread of its own
		defer measure.RoomFor(o.conns)()
	}
	start := time.Now()
	begin := start.Add(o.warmup)
	end := begin.Add(o.duration)
	all := make([]connection, o.conns)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = connection{latency: measure.NewHistogram(), late: measure.NewHistogram()}
		wg.Go(func() { all[i].err = all[i].drive(ctx, o, i, start, begin, end) })
	}
	wg.Wait()
	sum := all[0]
	for i, c := range all {
		if c.err != nil {
			return fmt.Errorf("connection %d: %w", i, c.err)
		}
		if i > 0 {
			sum.latency.Merge(c.latency)
			sum.late.Merge(c.late)
			sum.unanswered += c.unanswered
		}
	}
	return print(o, sum, begin, end)
}

func print(o options, sum connection, begin, end time.Time) error {
	answered := sum.latency.Count() - sum.unanswered
	r := result{Requests: answered, PerSecond: float64(answered) / o.duration.Seconds(), Latency: sum.latency.Latency(), Unanswered: sum.unanswered}
	if o.rate > 0 {
		late := sum.late.Latency()
		late.Points = nil
		r.Late = &late
	}
	if o.hdr != "" {
		if err := sum.latency.WriteFile(o.hdr, begin, end); err != nil {
			return err
		}
	}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	l := r.Latency
	fmt.Printf("%d requests, %.0f/s, latency us: p50 %.0f  p99 %.0f  p99.9 %.0f  p99.99 %.0f  max %.0f", r.Requests, r.PerSecond, l.P50, l.P99, l.P999, l.P9999, l.Max)
	if r.Late != nil {
		fmt.Printf("; sent late by us: p50 %.0f  p99 %.0f; unanswered %d", r.Late.P50, r.Late.P99, r.Unanswered)
	}
	fmt.Println()
	return nil
}

// drive runs one connection.
func (m *connection) drive(ctx context.Context, o options, index int, start, begin, end time.Time) error {
	const client = "probe"
	c, err := wire.Dial(ctx, o.server, client)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	var b wire.Batch
	b.Reset(start)
	value := make([]byte, o.size)
	for i := range value {
		value[i] = byte('a' + i%26)
	}
	for range o.records {
		b.Add(value)
	}
	f := o.frames(client, index, b.Bytes())
	if o.rate == 0 {
		return m.closedLoop(c, f, begin, end)
	}
	return m.openLoop(c, f, measure.NewSchedule(start, o.rate).Share(index, o.conns), begin, end, o.drain)
}

func (m *connection) closedLoop(c *wire.Conn, f frames, begin, end time.Time) error {
	for id := int32(1); ; id++ {
		sent := time.Now()
		if sent.After(end) {
			return nil
		}
		if err := c.Send(f.next(id)); err != nil {
			return err
		}
		if err := c.ReceiveProduced(id); err != nil {
			return err
		}
		if !sent.Before(begin) {
			m.latency.Record(time.Since(sent))
		}
	}
}

// openLoop sends on schedule, whatever comes back. Answers come in the order of the requests, so their numbers say when they were due.
func (m *connection) openLoop(c *wire.Conn, f frames, schedule measure.Schedule, begin, end time.Time, drain time.Duration) error {
	total := schedule.Due(end.Add(-1)) // end is the first time that is not in it
	c.SetDeadline(end.Add(drain))
	failed := make(chan error, 1)
	go func() { failed <- m.send(c, f, schedule, total, begin) }()
	for i := range total {
		due := schedule.At(i)
		if err := c.ReceiveProduced(int32(i)); err != nil {
			c.Close() // and with it the sender ends
			serr := <-failed
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			if serr != nil && !errors.Is(serr, os.ErrDeadlineExceeded) && !errors.Is(serr, net.ErrClosed) {
				return serr
			}
			for ; i < total; i++ {
				if due := schedule.At(i); !due.Before(begin) {
					m.unanswered++
					m.latency.Record(time.Since(due))
				}
			}
			return nil
		}
		if !due.Before(begin) {
			m.latency.Record(time.Since(due))
		}
	}
	return <-failed
}

func (m *connection) send(c *wire.Conn, f frames, schedule measure.Schedule, total int64, begin time.Time) error {
	p := measure.NewPacer()
	defer p.Close()
	for i := range total {
		due := schedule.At(i)
		p.Until(due)
		if !due.Before(begin) {
			m.late.Record(time.Since(due))
		}
		if err := c.Send(f.next(int32(i))); err != nil {
			return err
		}
	}
	return nil
}
