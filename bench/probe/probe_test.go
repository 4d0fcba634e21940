package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/wire/wiretest"
)

func drive(t *testing.T, o options) connection {
	t.Helper()
	c := connection{latency: measure.NewHistogram(), late: measure.NewHistogram()}
	start := time.Now()
	begin := start.Add(o.warmup)
	if err := c.drive(t.Context(), o, 0, start, begin, begin.Add(o.duration)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClosedLoop(t *testing.T) {
	b := wiretest.Start(t)
	b.Delay.Store(int64(10 * time.Millisecond))
	c := drive(t, options{server: b.Addr(), topic: "t", partitions: 1, conns: 1, size: 100, records: 2, acks: -1, duration: 200 * time.Millisecond})
	if n := c.latency.Count(); n < 1 || n > 21 || n != b.Produced.Load() {
		t.Errorf("%d counted, %d sent, in 200 ms of 10 ms each", n, b.Produced.Load())
	}
	if c.latency.At(1) < 9*time.Millisecond {
		t.Errorf("shortest %v", c.latency.At(1))
	}
}

// TestOpenLoop: requests are sent on schedule while the server is slow, and wait in its queue: each counts from when it was due.
func TestOpenLoop(t *testing.T) {
	b := wiretest.Start(t)
	b.Delay.Store(int64(20 * time.Millisecond))
	c := drive(t, options{server: b.Addr(), topic: "t", partitions: 1, conns: 1, size: 100, records: 1, acks: -1, rate: 100, duration: 200 * time.Millisecond, drain: 10 * time.Second})
	if n := c.latency.Count(); n != 20 || c.unanswered != 0 || c.late.Count() != 20 {
		t.Errorf("%d counted, %d unanswered, %d sent late", n, c.unanswered, c.late.Count())
	}
	// The last one is due after 190 ms and answered after 20 times 20 ms.
	if last := c.latency.At(100); last < 200*time.Millisecond {
		t.Errorf("longest %v", last)
	}
}

// TestCollapse: what stays unanswered is counted, with what it reached.
func TestCollapse(t *testing.T) {
	b := wiretest.Start(t)
	b.StallAfter.Store(5)
	c := drive(t, options{server: b.Addr(), topic: "t", partitions: 1, conns: 1, size: 100, records: 1, acks: -1, rate: 100, duration: 200 * time.Millisecond, drain: time.Second})
	if c.latency.Count() != 20 || c.unanswered != 15 || c.latency.At(100) < 200*time.Millisecond {
		t.Errorf("%d counted, %d unanswered, longest %v", c.latency.Count(), c.unanswered, c.latency.At(100))
	}
}

func TestErrors(t *testing.T) {
	b := wiretest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	good := options{server: b.Addr(), topic: "t", partitions: 1, conns: 1, records: 1, acks: -1, duration: 50 * time.Millisecond}
	for name, change := range map[string]func(*options){
		"no connections": func(o *options) { o.conns = 0 },
		"acks 0":         func(o *options) { o.acks = 0 },
		"nobody there":   func(o *options) { o.server = "127.0.0.1:1" },
		"error code":     func(*options) { b.ErrorCode.Store(56) },
	} {
		o := good
		change(&o)
		if err := run(ctx, o); err == nil {
			t.Errorf("%s: no error", name)
		}
		b.ErrorCode.Store(0)
	}
}

// TestSpread: the connections together go through all partitions of all topics, each once in a turn.
func TestSpread(t *testing.T) {
	o := options{topic: "t", topics: 3, partitions: 4, conns: 5, spread: true}
	seen := map[string]int{}
	for index := range o.conns {
		f := o.frames("c", index, []byte("batch"))
		for i := range f {
			frame := f.next(int32(i))
			if got := binary.BigEndian.Uint32(frame[8:]); got != uint32(i) {
				t.Errorf("correlation id %d, want %d", got, i)
			}
			var req kmsg.ProduceRequest
			req.Version = 9
			if err := req.ReadFrom(frame[4+8+2+1+1:]); err != nil {
				t.Fatal(err)
			}
			seen[fmt.Sprint(req.Topics[0].Topic, " ", req.Topics[0].Partitions[0].Partition)]++
		}
	}
	for topic := range 3 {
		for p := range 4 {
			if name := fmt.Sprintf("t-%d %d", topic, p); seen[name] != 1 {
				t.Errorf("%s %d times", name, seen[name])
			}
		}
	}
	if len(seen) != 12 {
		t.Errorf("%v", seen)
	}
	o.spread = false
	if f := o.frames("c", 6, nil); len(f) != 1 {
		t.Errorf("%d frames for a connection that keeps to its partition", len(f))
	}
}
