package resilience

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

// TestRollingRestartEndsLevel: a broker that stops cleanly has others lead its partitions, and they do not come back to it of themselves: after a rolling restart
// the last one has none. The balancer gives it its share. Switched off it does not, but says what it would do, and does it once it is switched on, while running.
func TestRollingRestartEndsLevel(t *testing.T) {
	short(t)
	const partitions, brokers = 60, 3
	c := labtest.Start(t, labtest.Options{Binary: server, Controllers: 1, Brokers: brokers, Loopback: true, Settings: balancing{}.options()})
	load := c.StartLoad(labtest.LoadOptions{Topic: "load", Partitions: partitions, Rate: 600})
	uneven := func(leads map[int]int) error {
		for _, n := range c.Brokers() {
			if has := leads[n.NodeID]; has < partitions/brokers*85/100 || has > partitions/brokers*115/100 {
				return fmt.Errorf("partitions by broker: %v", leads)
			}
		}
		return nil
	}
	roll := func() *labtest.Node {
		gaps := c.Event("rolling restart", func() {
			for _, n := range c.Brokers() {
				n.MustStop()
				n.MustStart()
			}
		})
		labtest.Note(c, map[string]any{"event": gaps.Event, "longest_gap_ms": gaps.Longest(nil).Milliseconds(), "partitions_by_broker": fmt.Sprint(leading(c.AwaitLeaders(time.Minute, "load")))})
		all := c.Brokers()
		return all[len(all)-1]
	}
	level := func(what string) {
		t.Helper()
		begun := time.Now()
		gaps := c.Event(what, func() {
			c.Await(2*time.Minute, "even load", func() error { return uneven(leading(c.Leaders("load"))) })
		})
		labtest.Note(c, map[string]any{"event": what, "level_after": time.Since(begun).String(), "longest_gap_ms": gaps.Longest(nil).Milliseconds()})
	}
	roll()
	level("the balancer levels")

	enable(c, "false")
	last := roll()
	plan := ""
	c.Await(time.Minute, "plan of the balancer that is switched off", func() error {
		plan = ringmq(t, "balancer", "plan", "--dry-run", "--bootstrap-server", last.Seed())
		if !strings.Contains(plan, "WHY") {
			return fmt.Errorf("it says %s", plan)
		}
		return nil
	})
	if leads := leading(c.AwaitLeaders(time.Minute, "load")); leads[last.NodeID] != 0 {
		t.Errorf("the balancer is switched off, and partitions have moved to the broker that was restarted last: %v", leads)
	}
	if said := ringmq(t, "balancer", "status", "--bootstrap-server", last.Seed()); !strings.Contains(said, "switched off (autobalancer.controller.enable=false)") {
		t.Errorf("status said %s", said)
	}
	enable(c, "true")
	level("the balancer is switched on")
	load.Check()
}

// enable switches the balancer on or off while the cluster runs.
func enable(c *labtest.Cluster, value string) {
	c.T.Helper()
	cl := c.Client()
	defer cl.Close()
	altered, err := kadm.NewClient(cl).AlterBrokerConfigs(c.T.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "autobalancer.controller.enable", Value: &value}})
	if err != nil || len(altered) != 1 || altered[0].Err != nil {
		c.T.Fatalf("autobalancer.controller.enable=%s: %v %+v", value, err, altered)
	}
}
