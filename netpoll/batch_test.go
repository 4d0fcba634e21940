package netpoll

import (
	"sync"
	"testing"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestBatch: responses that are sent into a batch leave at its flush, in the order of Begin; one that is sent alone meanwhile goes with them, and a
// nil batch sends at once.
func TestBatch(t *testing.T) {
	plainAndTLS(t, testBatch)
}

func testBatch(t *testing.T) {
	var mu sync.Mutex
	var waiting []*Response
	got := make(chan struct{}, 10)
	s := serve(t, handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
		r := c.Begin()
		r.Append(frame)
		mu.Lock()
		waiting = append(waiting, r)
		mu.Unlock()
		got <- struct{}{}
		return Next
	}}, func(*Options) {})
	c := dial(t, s)
	take := func(n int) []*Response {
		for range n {
			<-got
		}
		mu.Lock()
		defer mu.Unlock()
		out := waiting
		waiting = nil
		return out
	}
	c.send("one")
	take(1)[0].SendIn(nil)
	c.expect("one")

	for _, text := range []string{"a", "b", "c"} {
		c.send(text)
	}
	rs := take(3)
	var b Batch
	rs[1].SendIn(&b)
	rs[0].SendIn(&b)
	rs[2].Send() // the batch has claimed the connection
	if n := s.Stats().OutboundBytes; n == 0 {
		t.Error("written before the flush")
	}
	b.Flush()
	for _, text := range []string{"a", "b", "c"} {
		c.expect(text)
	}
	if len(b.claimed) != 0 {
		t.Errorf("%d connections are left in the batch", len(b.claimed))
	}

	// The connection ends between the two: the flush writes nothing and releases what is there.
	c.send("late")
	late := take(1)[0]
	late.SendIn(&b)
	c.Close()
	waittest.Until(t, testTimeout, "the connection is gone", func() bool { return s.Stats().Connections == 0 })
	b.Flush()
}
