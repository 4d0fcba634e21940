package resilience

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ringmq/ringmq/bench/lab/labtest"
	"github.com/ringmq/ringmq/bench/verify"
)

// groupEvents are what a group has to live through: what takes its coordinator away, and what takes partitions away.
var groupEvents = []struct {
	name string
	do   func(c *labtest.Cluster, coordinator *labtest.Node)
}{
	{"kill -9 of the coordinator's broker, restart", func(_ *labtest.Cluster, coordinator *labtest.Node) {
		coordinator.Kill()
		coordinator.MustStart()
	}},
	{"all of __consumer_offsets moves", func(c *labtest.Cluster, _ *labtest.Node) {
		was, brokers := c.AwaitLeaders(time.Minute, "__consumer_offsets"), c.Brokers()
		c.Reassign("__consumer_offsets", func(p int) int {
			for i, n := range brokers {
				if n.NodeID == was[p] {
					return pick(brokers, i+1).NodeID
				}
			}
			return brokers[0].NodeID
		})
	}},
	{"rolling restart of the brokers", func(c *labtest.Cluster, _ *labtest.Node) {
		for _, n := range c.Brokers() {
			n.MustStop()
			n.MustStart()
		}
	}},
}

// coordinatorOf is the broker that coordinates a group.
func coordinatorOf(c *labtest.Cluster, group string) (found *labtest.Node) {
	c.T.Helper()
	cl := c.Client()
	defer cl.Close()
	c.Await(time.Minute, "coordinator of group "+group, func() error {
		ctx, cancel := context.WithTimeout(c.T.Context(), 5*time.Second)
		defer cancel()
		said := kadm.NewClient(cl).FindGroupCoordinators(ctx, group)
		if err := said.Error(); err != nil {
			return err
		}
		found = c.Node(int(said[group].NodeID))
		return nil
	})
	return found
}

// groupThroughFaults has a group follow a load through every event, rounds times. Nothing acknowledged is left out, and no committed offset goes back.
func groupThroughFaults(t *testing.T, rounds int, pause time.Duration) {
	short(t)
	const partitions, members, name = 12, 3, "billing"
	c := labtest.Start(t, labtest.Options{Binary: server, Controllers: 1, Brokers: 3, Loopback: true})
	load := c.StartLoad(labtest.LoadOptions{Topic: "orders", Partitions: partitions})
	g, err := verify.StartGroup(c.Seeds(), "orders", name, partitions, members)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	consumes := func(since time.Time) {
		t.Helper()
		c.Await(2*time.Minute, "consumption of every partition", func() error {
			if left := g.Gaps().Without(since); len(left) > 0 {
				return fmt.Errorf("none of %v", left)
			}
			return nil
		})
	}
	consumes(time.Now())
	longest := map[string]time.Duration{}
	for round := range rounds {
		for _, e := range groupEvents {
			coordinator := coordinatorOf(c, name)
			g.Gaps().Reset()
			gaps := c.Event(e.name, func() {
				e.do(c, coordinator)
				consumes(time.Now())
			})
			paused := time.Duration(0)
			for _, d := range g.Gaps().Longest() {
				paused = max(paused, d)
			}
			longest[e.name] = max(longest[e.name], paused)
			labtest.Note(c, map[string]any{"event": e.name, "round": round, "coordinator": coordinator.NodeID, "longest_consumption_pause_ms": paused.Milliseconds(),
				"longest_ack_gap_ms": gaps.Longest(nil).Milliseconds()})
			if pause > 0 {
				c.Run(rand.N(pause))
			}
		}
	}
	load.Check()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := g.Check(ctx, load.Ledger())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Violations) > 0 {
		t.Errorf("%d violations:\n%s", len(report.Violations), strings.Join(report.Violations, "\n"))
	}
	labtest.Note(c, map[string]any{"group": name, "consumed": report.Consumed, "again": report.Again, "longest_pauses": fmt.Sprint(longest)})
}

// TestGroupThroughFaults is the short form of TestSoakClusterGroups.
func TestGroupThroughFaults(t *testing.T) { groupThroughFaults(t, 1, 0) }

// TestSoakClusterGroups: every record is consumed at least once and no committed offset goes back, through any number of lost and moved coordinators.
func TestSoakClusterGroups(t *testing.T) {
	soak(t)
	groupThroughFaults(t, 20, 3*time.Second)
}
