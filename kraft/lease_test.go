package kraft

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestLease: a broker knows itself to be alive for the session's time after it has sent a heartbeat that is confirmed, and not longer.
func TestLease(t *testing.T) {
	o := singleOptions(t, t.TempDir())
	var now atomic.Int64
	var told atomic.Int32
	o.BrokerSession, o.BrokerHeartbeat = 10*time.Second, 10*time.Second // heartbeats come when the test asks
	o.Elapsed = func() time.Duration { return time.Duration(now.Load()) }
	o.StartFenced = true
	n := start(t, o)
	n.OnConfirmed(func() { told.Add(1) })
	if n.Confirmed() {
		t.Fatal("confirmed before the registration")
	}
	register(t, n)
	if !n.Confirmed() {
		t.Fatal("not confirmed after the registration")
	}
	// It is the last one before the test's own.
	waittest.Until(t, testTimeout, "the heartbeat that follows the registration", func() bool { return told.Load() >= 2 })
	now.Add(int64(10*time.Second) - 1)
	if !n.Confirmed() {
		t.Fatal("lapsed before its time")
	}
	now.Add(1)
	if n.Confirmed() {
		t.Fatal("confirmed beyond the session's time")
	}
	before := told.Load()
	if err := n.heartbeat(testContext(t), false); err != nil {
		t.Fatal(err)
	}
	if !n.Confirmed() || told.Load() != before+1 {
		t.Fatalf("confirmed %v, told %d times after a heartbeat", n.Confirmed(), told.Load()-before)
	}

	// Another process registers: the next heartbeat is refused, and no clock brings the right back.
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.BrokerID, req.ClusterID, req.IncarnationID = o.NodeID, o.ClusterID, randomID()
	req.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: "other", Port: 9092}}
	if _, err := n.Controller().Do(testContext(t), req); err != nil {
		t.Fatal(err)
	}
	if err := n.heartbeat(testContext(t), false); !errors.Is(err, ErrFenced) {
		t.Fatalf("heartbeat of a replaced broker: %v", err)
	}
	if n.Confirmed() {
		t.Fatal("a replaced broker takes itself for confirmed")
	}
}

// TestLeaseCountsFromSending: the answer may come late; what counts is when the question was sent.
func TestLeaseCountsFromSending(t *testing.T) {
	o := singleOptions(t, t.TempDir())
	var now atomic.Int64
	var late atomic.Bool
	o.BrokerSession, o.BrokerHeartbeat = 10*time.Second, 10*time.Second
	o.Elapsed = func() time.Duration { return time.Duration(now.Load()) }
	o.Now = func() time.Time { // the controller reads its clock while it serves the request
		if late.Load() {
			now.Store(int64(11 * time.Second))
		}
		return time.Now()
	}
	o.StartFenced = true
	var told atomic.Int32
	n := start(t, o)
	n.OnConfirmed(func() { told.Add(1) })
	register(t, n)
	waittest.Until(t, testTimeout, "the heartbeat that follows the registration", func() bool { return told.Load() >= 2 })
	late.Store(true)
	if err := n.heartbeat(testContext(t), false); err != nil {
		t.Fatal(err)
	}
	if n.Confirmed() {
		t.Fatal("an answer that took longer than the session confirms nothing")
	}
}

// TestMinorityConfirmsNothing: a controller that has lost the others does not confirm a heartbeat, also while it still takes itself for active.
func TestMinorityConfirmsNothing(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.startAll()
	leader := c.leader()
	if err := leader.core.confirm(testContext(t), leader.core.status.Load().term); err != nil {
		t.Fatalf("with a majority: %v", err)
	}
	for id := range c.nodes {
		if c.nodes[id] != leader {
			c.stop(id)
		}
	}
	// It resigns about two election timeouts later; within that time, and after it, there is no confirmation.
	for end := time.Now().Add(3 * electionTicks * leader.opts.Tick); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), leader.opts.Tick)
		err := leader.core.confirm(ctx, leader.core.status.Load().term)
		cancel()
		if err == nil {
			t.Fatal("a controller without a majority confirms that it leads")
		}
		if errors.Is(err, errNotLeader) && !leader.ctl.active() {
			return
		}
	}
	t.Fatal("the controller did not resign")
}
