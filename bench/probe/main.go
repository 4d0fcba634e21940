// Command probe measures the latency of single Produce requests over plain sockets: one request per record, no client library, no
// batching. In the closed mode each connection has one request in flight; with -rate requests are sent on a schedule, whatever the server
// does, and latency counts from the time that a request was due (no coordinated omission).
//
//	go run ./bench/probe -server 127.0.0.1:9092                       one connection, one in flight
//	go run ./bench/probe -server 127.0.0.1:9092 -rate 5000 -conns 4   open loop
//	go run ./bench/probe -server 127.0.0.1:9092 -conns 64 -size 100 -partitions 16
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type options struct {
	server     string
	topic      string
	partitions int
	conns      int
	rate       int
	size       int
	records    int
	duration   time.Duration
	warmup     time.Duration
	json       bool
}

func main() {
	var o options
	flag.StringVar(&o.server, "server", "127.0.0.1:9092", "broker")
	flag.StringVar(&o.topic, "topic", "probe", "topic, created if missing")
	flag.IntVar(&o.partitions, "partitions", 1, "partitions of the topic")
	flag.IntVar(&o.conns, "conns", 1, "connections")
	flag.IntVar(&o.rate, "rate", 0, "requests a second over all connections; 0: one in flight per connection")
	flag.IntVar(&o.size, "size", 1024, "bytes of a record's value")
	flag.IntVar(&o.records, "records", 1, "records per request")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "measured time")
	flag.DurationVar(&o.warmup, "warmup", 2*time.Second, "time before that")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// result is what is printed. Latencies are in microseconds.
type result struct {
	Requests  int64   `json:"requests"`
	PerSecond float64 `json:"requests_per_second"`
	P50       int64   `json:"p50_us"`
	P99       int64   `json:"p99_us"`
	P999      int64   `json:"p999_us"`
	P9999     int64   `json:"p9999_us"`
	Max       int64   `json:"max_us"`
}

func run(o options) error {
	if err := createTopic(o); err != nil {
		return err
	}
	begin := time.Now().Add(o.warmup)
	end := begin.Add(o.duration)
	histograms := make([]*hdrhistogram.Histogram, o.conns)
	errs := make([]error, o.conns)
	var wg sync.WaitGroup
	for i := range o.conns {
		histograms[i] = hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
		wg.Go(func() { errs[i] = drive(o, i, begin, end, histograms[i]) })
	}
	wg.Wait()
	all := histograms[0]
	for i := range errs {
		if errs[i] != nil {
			return errs[i]
		}
		if i > 0 {
			all.Merge(histograms[i])
		}
	}
	r := result{all.TotalCount(), float64(all.TotalCount()) / o.duration.Seconds(), all.ValueAtQuantile(50), all.ValueAtQuantile(99),
		all.ValueAtQuantile(99.9), all.ValueAtQuantile(99.99), all.Max()}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	fmt.Printf("%d requests, %.0f/s, latency us: p50 %d  p99 %d  p99.9 %d  p99.99 %d  max %d\n", r.Requests, r.PerSecond, r.P50, r.P99, r.P999, r.P9999, r.Max)
	return nil
}

func createTopic(o options) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.server))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx, o.topic)
	if err != nil {
		return err
	}
	if topics.Has(o.topic) && topics[o.topic].Err == nil {
		return nil
	}
	_, err = adm.CreateTopic(ctx, int32(o.partitions), 1, nil, o.topic)
	return err
}

// drive runs one connection.
func drive(o options, index int, begin, end time.Time, h *hdrhistogram.Histogram) error {
	c, err := net.Dial("tcp", o.server)
	if err != nil {
		return err
	}
	defer c.Close()
	frame := produceFrame(o.topic, int32(index%o.partitions), o.records, o.size)
	in := bufio.NewReaderSize(c, 64<<10)
	if o.rate == 0 {
		return closedLoop(c, in, frame, begin, end, h)
	}
	return openLoop(c, in, frame, time.Duration(o.conns)*time.Second/time.Duration(o.rate), time.Duration(index)*time.Second/time.Duration(o.rate), begin, end, h)
}

func closedLoop(c net.Conn, in *bufio.Reader, frame []byte, begin, end time.Time, h *hdrhistogram.Histogram) error {
	for id := uint32(1); ; id++ {
		sent := time.Now()
		if sent.After(end) {
			return nil
		}
		correlation(frame, id)
		if _, err := c.Write(frame); err != nil {
			return err
		}
		if err := readResponse(in, id); err != nil {
			return err
		}
		if sent.After(begin) {
			_ = h.RecordValue(time.Since(sent).Microseconds())
		}
	}
}

// openLoop sends every interval from the first, whatever comes back.
func openLoop(c net.Conn, in *bufio.Reader, frame []byte, interval, first time.Duration, begin, end time.Time, h *hdrhistogram.Histogram) error {
	due := make(chan time.Time, 1<<20) // of requests under way: bounded by the run
	failed := make(chan error, 1)
	go func() {
		defer close(due)
		id := uint32(1)
		for at := time.Now().Add(first); at.Before(end); at = at.Add(interval) {
			if wait := time.Until(at); wait > 0 {
				time.Sleep(wait)
			}
			correlation(frame, id)
			id++
			if _, err := c.Write(frame); err != nil {
				failed <- err
				return
			}
			due <- at
		}
	}()
	id := uint32(1)
	for at := range due {
		if err := readResponse(in, id); err != nil {
			return err
		}
		id++
		if at.After(begin) {
			_ = h.RecordValue(time.Since(at).Microseconds())
		}
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// readResponse reads one answer and checks its correlation id and its error code.
func readResponse(in *bufio.Reader, id uint32) error {
	var head [9]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[:])
	if got := binary.BigEndian.Uint32(head[4:]); got != id {
		return fmt.Errorf("response %d, want %d", got, id)
	}
	rest := make([]byte, size-5)
	if _, err := io.ReadFull(in, rest); err != nil {
		return err
	}
	// topics 1 (compact count), name, partitions 1, index 4, error code 2
	name := int(rest[1]) - 1
	if code := int16(binary.BigEndian.Uint16(rest[2+name+1+4:])); code != 0 {
		return fmt.Errorf("error code %d", code)
	}
	return nil
}
