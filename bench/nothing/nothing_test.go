package nothing

import (
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestProduce: a client's records are acknowledged, one by one and without a wait for acknowledgement.
func TestProduce(t *testing.T) {
	b, err := Start(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, acks := range []kgo.Acks{kgo.AllISRAcks(), kgo.NoAck()} {
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.Seed()), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(acks), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int32]bool{}
		for range 6 {
			r, err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x")}).First()
			if err != nil {
				t.Fatal(err)
			}
			seen[r.Partition] = true
		}
		if len(seen) != 3 {
			t.Errorf("partitions %v", seen)
		}
		cl.Close()
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestNonsense: a request that is not understood spoils the measurement, and Close says so.
func TestNonsense(t *testing.T) {
	b, err := Start(1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", b.Seed())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte{0, 0, 0, 10, 0, 19, 0, 7, 0, 0, 0, 1, 255, 255}); err != nil { // CreateTopics
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("an answer")
	}
	if err := b.Close(); err == nil {
		t.Error("no error")
	}
}
