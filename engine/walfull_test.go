package engine_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
)

// outage takes the directory that stands for the object store away, until the returned function is called.
func outage(t *testing.T, n *enginetest.Node) (end func()) {
	t.Helper()
	dir := filepath.Join(n.Dir, "objects")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // so that nobody makes it again
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Error(err)
		}
	}
}

// TestWALFull fills the write-ahead log while the object store is away. Produces wait then: one times out, one loses its connection, one goes on when
// there is room, one is answered because the node stops.
func TestWALFull(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: produces while the write-ahead log is full, which writes some 150 MB")
	}
	n := enginetest.Start(t, enginetest.Options{})
	x := &target{t, n.Seed(), n}
	topic := x.topic(6)
	value := string(make([]byte, 1<<20-1000))
	produce := func(timeout time.Duration) *kmsg.ProduceRequest {
		req := produceRequest(topic, -1, batchOf(value))
		req.TimeoutMillis = int32(timeout.Milliseconds())
		return req
	}
	fill := func() {
		t.Helper()
		w := x.dial()
		x.eventually("the write-ahead log is full", func() bool {
			p := askOn[*kmsg.ProduceResponse](w, produce(50*time.Millisecond)).Topics[0].Partitions[0]
			if p.ErrorCode != 0 && p.ErrorCode != int16(kproto.RequestTimedOut) {
				t.Fatalf("produce: %v (%s)", kproto.ErrorCode(p.ErrorCode), deref(p.ErrorMessage))
			}
			return p.ErrorCode != 0
		})
	}
	end := outage(t, n)
	fill()

	// A frame that is too large for a pooled buffer, of a connection that closes while its produce waits.
	lost, large := x.dial(), produce(time.Minute)
	for i := range int32(6) {
		rp := large.Topics[0].Partitions[0]
		if rp.Partition = i; i > 0 {
			large.Topics[0].Partitions = append(large.Topics[0].Partitions, rp)
		}
	}
	lost.send(frame(large, 1))
	waiting, patient := x.dial(), produce(time.Minute)
	waiting.send(frame(patient, 2))
	lost.Close()
	end()
	if p := waiting.response(patient, 2).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
		t.Fatalf("when there was room again: %v (%s)", kproto.ErrorCode(p.ErrorCode), deref(p.ErrorMessage))
	}

	end = outage(t, n)
	fill()
	waiting = x.dial()
	waiting.send(frame(patient, 3))
	other := x.dial()
	askOn[*kmsg.ProduceResponse](other, produce(50*time.Millisecond)) // by the time it has timed out the other one waits too
	stopped := make(chan struct{})
	go func() {
		n.Stop()
		close(stopped)
	}()
	p := waiting.response(patient, 3).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	wantCode(t, "when the node stops: "+deref(p.ErrorMessage), p.ErrorCode, kproto.NotLeaderOrFollower)
	end()
	<-stopped

	x.node = n.Restart()
	x.addr = x.node.Seed()
	for partition := range int32(6) {
		if o := x.listOffset(9, topic, partition, -1); o.ErrorCode != 0 || partition == 0 && o.Offset < 60 {
			t.Errorf("partition %d after it all: end %d, %v", partition, o.Offset, kproto.ErrorCode(o.ErrorCode))
		}
	}
}
