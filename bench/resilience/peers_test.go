package resilience

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of a node with 128 MiB for requests in flight (netpoll: that, one frame more, and 8 KiB per connection), a log cache of 64 MiB and small other
// caches: what it may be resident with, whatever its peers do.
const (
	requestBytes  = 128 * mib
	announced     = 90 * mib
	residentBytes = requestBytes + 100*mib /* the one frame more */ + 64*mib /* log cache */ + 96*mib /* program, heap, block cache */
)

func peersNode(t *testing.T) *node {
	n := newNode(t, t.TempDir(), "queued.max.request.bytes=134217728", "s3.block.cache.size=33554432", "connections.max.idle.ms=600000")
	n.start()
	return n
}

// connections returns how many connections a test may open: want, or what the limit on open files leaves, which is then said clearly.
func connections(t *testing.T, want int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // the node, which runs already, raises its own
	}
	if most := int(limit.Max) - 500; most < want {
		t.Logf("SCALED DOWN: %d connections instead of %d: the limit on open files is %d", most, want, limit.Max)
		return most
	}
	return want
}

// crowd opens connections and closes them with the test.
func crowd(t *testing.T, n *node, count int, greet func(net.Conn) error) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, count)
	var wg sync.WaitGroup
	failed := make(chan error, count)
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < count; i += 8 {
				c, err := net.Dial("tcp", n.Seed())
				if err == nil {
					err = greet(c)
				}
				if conns[i] = c; err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	})
	select {
	case err := <-failed:
		t.Fatalf("connect: %v", err)
	default:
	}
	return conns
}

// latencies produces records one at a time for a while, and returns the round trips, sorted.
func latencies(t *testing.T, n *node, topic string, d time.Duration) []time.Duration {
	t.Helper()
	cl := n.client(kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	var took []time.Duration
	for end := time.Now().Add(d); time.Now().Before(end); {
		begun := time.Now()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: make([]byte, 1024)}).FirstErr(); err != nil {
			t.Fatalf("produce beside the crowd: %v", err)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took
}

func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

// TestGreedyPeers opens connections that announce a frame of 90 MB each, send 100 bytes of it and no more. Apache Kafka allocates what is announced.
func TestGreedyPeers(t *testing.T) {
	short(t)
	n := peersNode(t)
	n.createTopic("beside", 1)
	quiet := latencies(t, n, "beside", time.Second)
	idle, err := n.Usage()
	if err != nil {
		t.Fatal(err)
	}
	peak := memory(t, n.Process)
	count := connections(t, 3000)
	// What a request looks like: size, Produce in a version that exists, and the beginning of its body.
	head := binary.BigEndian.AppendUint32(nil, announced)
	head = append(head, 0, 0, 0, 9, 0, 0, 0, 1, 0, 4, 'e', 'v', 'i', 'l', 0)
	head = append(head, make([]byte, 104-len(head))...)
	conns := crowd(t, n, count, func(c net.Conn) error { _, err := c.Write(head); return err })
	beside := latencies(t, n, "beside", 3*time.Second)
	open := 0
	for _, c := range conns {
		if isOpen(c) {
			open++
		}
	}
	rss := peak()
	note(t, map[string]any{"connections": count, "still_open": open, "announced_gib": count * announced >> 30, "rss_before_mib": idle.RSSBytes / mib, "rss_peak_mib": rss / mib,
		"p50_quiet": at(quiet, 50).String(), "p50": at(beside, 50).String(), "p99_quiet": at(quiet, 99).String(), "p99": at(beside, 99).String(), "max": at(beside, 100).String()})
	// What was announced costs nothing: buffers of at most 8 KiB, the bookkeeping of connections, and the noise of the collector.
	if limit := idle.RSSBytes + int64(count)*16<<10 + 48*mib; rss > limit {
		t.Errorf("resident memory grew to %d MiB, allowed are %d", rss/mib, limit/mib)
	}
	if limit := 10*at(quiet, 50) + 50*time.Millisecond; at(beside, 50) > limit {
		t.Errorf("others' round trips took %v at the median, %v without the crowd", at(beside, 50), at(quiet, 50))
	}
	if worst := at(beside, 100); worst > 5*time.Second {
		t.Errorf("somebody waited %v beside the crowd", worst)
	}
}

// TestFillingPeers opens connections that send a good part of such frames, together more than the budget for requests, and then stop. They may be
// made to wait or closed; the budget holds, and others are served.
func TestFillingPeers(t *testing.T) {
	short(t)
	n := peersNode(t)
	n.createTopic("beside", 1)
	peak := memory(t, n.Process)
	part := make([]byte, mib)
	copy(part, binary.BigEndian.AppendUint32(nil, announced))
	copy(part[4:], []byte{0, 0, 0, 9, 0, 0, 0, 1, 0, 4, 'e', 'v', 'i', 'l', 0})
	const count = 400
	crowd(t, n, count, func(c net.Conn) error {
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := c.Write(part); !errors.Is(err, os.ErrDeadlineExceeded) { // the node may take its time
			return err
		}
		return nil
	})
	beside := latencies(t, n, "beside", 2*time.Second)
	rss := peak()
	note(t, map[string]any{"connections": count, "offered_mib": count, "budget_mib": requestBytes / mib, "rss_peak_mib": rss / mib, "p50": at(beside, 50).String(), "p99": at(beside, 99).String(), "max": at(beside, 100).String()})
	if rss > residentBytes {
		t.Errorf("resident memory grew to %d MiB, allowed are %d", rss/mib, residentBytes/mib)
	}
	if worst := at(beside, 100); worst > 5*time.Second {
		t.Errorf("somebody waited %v beside the crowd", worst)
	}
}

// isOpen reports whether the server has left a connection open.
func isOpen(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Microsecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// TestIdleConnections holds 10,000 connections that have said their hello and are silent.
func TestIdleConnections(t *testing.T) {
	short(t)
	n := peersNode(t)
	n.createTopic("beside", 1)
	quiet := latencies(t, n, "beside", time.Second)
	before, err := n.Usage()
	if err != nil {
		t.Fatal(err)
	}
	count := connections(t, 10_000)
	hello := kmsg.NewPtrApiVersionsRequest()
	hello.Version = 0
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("idle")).AppendRequest(nil, hello, 1)
	conns := crowd(t, n, count, func(c net.Conn) error {
		if _, err := c.Write(frame); err != nil {
			return err
		}
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return err
		}
		_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:])))
		return err
	})
	beside := latencies(t, n, "beside", 2*time.Second)
	after, err := n.Usage()
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range conns {
		if !isOpen(c) {
			t.Fatalf("connection %d of %d was closed", i, count)
		}
	}
	each := (after.RSSBytes - before.RSSBytes) / int64(count)
	note(t, map[string]any{"connections": count, "rss_before_mib": before.RSSBytes / mib, "rss_mib": after.RSSBytes / mib, "bytes_each": each,
		"p50_quiet": at(quiet, 50).String(), "p50": at(beside, 50).String(), "p99": at(beside, 99).String()})
	// 8 KiB of buffer at most and the bookkeeping of gnet, netpoll and engine.
	if each > 16<<10 {
		t.Errorf("an idle connection costs %d bytes, allowed are %d", each, 16<<10)
	}
	if limit := 10*at(quiet, 50) + 50*time.Millisecond; at(beside, 50) > limit {
		t.Errorf("others' round trips took %v at the median, %v without the crowd", at(beside, 50), at(quiet, 50))
	}
}
