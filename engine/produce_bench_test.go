package engine_test

import (
	"encoding/binary"
	"io"
	"math"
	"net"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
)

// producer drives one connection with the same Produce request, over and over, without allocating.
type producer struct {
	net.Conn
	frame []byte
	in    [4096]byte
}

func newProducer(tb testing.TB, n *enginetest.Node, topic string, size int) *producer {
	tb.Helper()
	c, err := net.Dial("tcp", n.Seed())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	var bb kproto.BatchBuilder
	bb.Reset()
	bb.Add(1, nil, make([]byte, size), nil)
	return &producer{Conn: c, frame: frame(produceRequest(topic, -1, bb.Bytes()), 0)}
}

// once sends the request and waits for its answer.
func (p *producer) once() error {
	if _, err := p.Write(p.frame); err != nil {
		return err
	}
	if _, err := io.ReadFull(p, p.in[:4]); err != nil {
		return err
	}
	_, err := io.ReadFull(p, p.in[4:4+binary.BigEndian.Uint32(p.in[:4])])
	return err
}

func createForProducer(tb testing.TB, n *enginetest.Node, topic string) {
	tb.Helper()
	c, err := net.Dial("tcp", n.Seed())
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = 9, true
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	if _, err := c.Write(frame(req, 0)); err != nil {
		tb.Fatal(err)
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[:]))); err != nil {
		tb.Fatal(err)
	}
}

// TestProduceDoesNotAllocate holds the path from socket to acknowledgement to no allocation per batch in steady state. What runs beside it
// (heartbeats, uploads) may allocate a little: the bound is a fraction of one per batch.
func TestProduceDoesNotAllocate(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: allocations from socket to acknowledgement, which takes thousands of durable writes")
	}
	n := enginetest.Start(t, enginetest.Options{})
	createForProducer(t, n, "allocs")
	p := newProducer(t, n, "allocs", 1000)
	run := func(count int) {
		for range count {
			if err := p.once(); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(500)
	const count = 1000
	per := math.Inf(1)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run(count)
		runtime.ReadMemStats(&after)
		per = min(per, float64(after.Mallocs-before.Mallocs)/count)
	}
	if per > 0.2 {
		t.Fatalf("%.2f allocations per produced batch in the best of five rounds, want none", per)
	}
}

// BenchmarkProduce is one durable produce of 1 KB after the other on one connection.
func BenchmarkProduce(b *testing.B) {
	n := enginetest.Start(b, enginetest.Options{})
	createForProducer(b, n, "bench")
	p := newProducer(b, n, "bench", 1000)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.once(); err != nil {
			b.Fatal(err)
		}
	}
}
