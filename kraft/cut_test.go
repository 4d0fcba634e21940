package kraft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/waittest"
)

// cuts decides which node reaches which. What cannot pass stays where it is, as on a network that loses every packet: no connection is closed.
type cuts struct {
	mu    sync.Mutex
	whole sync.Cond         // a link was healed, a deadline of a connection passed, or a connection was closed
	cut   map[[2]int32]bool // by sender and receiver
}

func newCuts() *cuts {
	c := &cuts{cut: map[[2]int32]bool{}}
	c.whole.L = &c.mu
	return c
}

// set cuts, or heals, what one node sends to others.
func (c *cuts) set(cut bool, from int32, to ...int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range to {
		c.cut[[2]int32{from, id}] = cut
	}
	c.whole.Broadcast()
}

// cutConn is a connection that one node has made to another.
type cutConn struct {
	net.Conn
	cuts    *cuts
	out, in [2]int32
	late    *time.Timer // makes over true at the deadline; nil: none. Guarded by cuts.mu, as is over.
	over    bool        // closed, or the deadline has passed
}

// pass waits until a link is whole.
func (c *cutConn) pass(link [2]int32) error {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	for c.cuts.cut[link] {
		if c.over {
			return os.ErrDeadlineExceeded
		}
		c.cuts.whole.Wait()
	}
	return nil
}

// until sets the time at which what waits for a link gives up.
func (c *cutConn) until(t time.Time) {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	if c.late != nil {
		c.late.Stop()
	}
	c.over = false
	c.late = time.AfterFunc(time.Until(t), c.giveUp)
}

func (c *cutConn) giveUp() {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	c.over = true
	c.cuts.whole.Broadcast()
}

func (c *cutConn) Write(p []byte) (int, error) {
	if err := c.pass(c.out); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err := c.pass(c.in); err != nil {
		return 0, err
	}
	return n, err
}

func (c *cutConn) Close() error {
	c.giveUp()
	c.cuts.mu.Lock()
	cut := c.cuts.cut[c.out]
	c.cuts.mu.Unlock()
	if !cut {
		return c.Conn.Close()
	}
	go func() { // the farewell passes when the link is whole, or never
		c.cuts.mu.Lock()
		for c.cuts.cut[c.out] {
			c.cuts.whole.Wait()
		}
		c.cuts.mu.Unlock()
		c.Conn.Close()
	}()
	return nil
}

func (c *cutConn) SetDeadline(t time.Time) error {
	c.until(t)
	return c.Conn.SetDeadline(t)
}

func (c *cutConn) SetWriteDeadline(t time.Time) error {
	c.until(t)
	return c.Conn.SetWriteDeadline(t)
}

// newCutCluster is a cluster of three voters and the observer 10, whose links can be cut.
func newCutCluster(t *testing.T) (*cluster, *cuts) {
	links := newCuts()
	c := newCluster(t, 3, nil)
	c.change = func(o *Options) {
		from := o.NodeID
		o.link = func(addr string, conn net.Conn) net.Conn {
			for id, a := range c.voters {
				if a == addr {
					return &cutConn{Conn: conn, cuts: links, out: [2]int32{from, id}, in: [2]int32{id, from}}
				}
			}
			return conn
		}
	}
	c.startAll()
	c.start(10)
	for _, n := range c.nodes {
		register(t, n)
	}
	return c, links
}

// try creates a topic within a time.
func try(n *Node, name string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}}
	resp, err := n.Controller().Do(ctx, req)
	if err == nil && resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
		err = fmt.Errorf("code %d", resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
	}
	return err
}

// TestCutOffController cuts the active controller from the other voters, in both directions and in each of them, while the observer that follows it
// reaches everybody. The others go on, the observer finds them, and the one that was cut off grants and answers nothing.
func TestCutOffController(t *testing.T) {
	for name, x := range map[string]struct{ out, in bool }{"both ways": {true, true}, "it is not heard": {true, false}, "it does not hear": {false, true}} {
		t.Run(name, func(t *testing.T) {
			c, links := newCutCluster(t)
			lead, observer := c.leader(), c.nodes[10]
			id := lead.opts.NodeID
			var others []int32
			for other := range c.voters {
				if other != id {
					others = append(others, other)
				}
			}
			createTopic(t, observer, "before", 1)
			cut := func(on bool) {
				if x.out {
					links.set(on, id, others...)
				}
				for _, o := range others {
					if x.in {
						links.set(on, o, id)
					}
				}
			}
			cut(true)
			begun := time.Now()
			// What it is asked in the meantime: a change, and a question that needs no change.
			granted, answered := make(chan error, 1), make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 4*electionTicks*lead.opts.Tick)
				defer cancel()
				req := kmsg.NewPtrCreateTopicsRequest()
				req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "by-the-cut-off", NumPartitions: 1, ReplicationFactor: 1}}
				_, _, err := lead.ctl.do(ctx, req)
				granted <- err
			}()
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 4*electionTicks*lead.opts.Tick)
				defer cancel()
				_, err := lead.describeQuorum(ctx, kmsg.NewPtrDescribeQuorumRequest())
				answered <- err
			}()
			for try(observer, fmt.Sprintf("after-%d", time.Now().UnixNano()), 2*time.Second) != nil {
				if time.Since(begun) > 10*time.Second {
					t.Fatal("the others do not go on")
				}
			}
			t.Logf("the observer had a topic created %v after the cut", time.Since(begun))
			if err := <-answered; !errors.Is(err, ErrNotController) && !errors.Is(err, ErrTimeout) {
				t.Errorf("the one that is cut off answers: %v", err)
			}
			if err := <-granted; !errors.Is(err, ErrNotController) && !errors.Is(err, ErrTimeout) {
				t.Errorf("the one that is cut off grants: %v", err)
			}
			waittest.Until(t, testTimeout, "it resigns", func() bool { return !lead.ctl.active() })
			cut(false)
			createTopic(t, lead, "after-all", 1)
			c.agree()
		})
	}
}

// TestObserverLeavesAControllerItDoesNotHear: what the voter that an observer follows sends is lost; its image goes on all the same.
func TestObserverLeavesAControllerItDoesNotHear(t *testing.T) {
	c, links := newCutCluster(t)
	lead, observer := c.leader(), c.nodes[10]
	createTopic(t, observer, "before", 1)
	links.set(true, lead.opts.NodeID, 10)
	begun := time.Now()
	createTopic(t, lead, "news", 1)
	waittest.Until(t, 5*time.Second, "the observer has the news of another voter", func() bool { return observer.Image().Topic("news") != nil })
	t.Logf("the observer had the news after %v", time.Since(begun))
	links.set(false, lead.opts.NodeID, 10)
	c.agree()
}
