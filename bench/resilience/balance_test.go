package resilience

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

// balancing is a cluster that grows from two brokers to four under load, and shrinks again.
type balancing struct {
	partitions, rate, recordBytes int
	settings                      []string
}

// TestScaleOutAndIn adds two brokers to two that are under load: within a minute all four have the same, by themselves. Then a broker drains to nothing and is
// stopped. No client sees an error, nothing acknowledged is lost, and an excluded topic stays where it is until its broker drains.
func TestScaleOutAndIn(t *testing.T) {
	short(t)
	balancing{partitions: 48, rate: 1500, recordBytes: 512, settings: []string{
		"autobalancer.controller.network.in.usage.distribution.detect.threshold=20000", "autobalancer.controller.network.out.usage.distribution.detect.threshold=20000",
	}}.run(t)
}

// TestSoakScaleOutAndIn is TestScaleOutAndIn with 1,000 partitions and every setting at its default: what it logs is the time to balance.
func TestSoakScaleOutAndIn(t *testing.T) {
	soak(t)
	balancing{partitions: 1000, rate: 6000, recordBytes: 1024}.run(t)
}

func (b balancing) run(t *testing.T) {
	const fixed = 6
	c := labtest.Start(t, labtest.Options{Binary: server, Controllers: 1, Brokers: 2, Loopback: true, Settings: b.options()})
	load := c.StartLoad(labtest.LoadOptions{Topic: "load", Partitions: b.partitions, Rate: b.rate, RecordBytes: b.recordBytes})
	stays := c.StartLoad(labtest.LoadOptions{Topic: "fixed", Partitions: fixed, Rate: 60})
	was := c.AwaitLeaders(time.Minute, "fixed")
	c.Run(12 * time.Second) // until their load is known, as it would be in a cluster that grows
	measured := map[string]any{"partitions": b.partitions, "bytes_per_second": b.rate * b.recordBytes}
	even := b.partitions / 4
	var first, level time.Duration
	gaps := c.Event("scale out from 2 to 4 brokers", func() {
		c.AddBroker(labtest.Options{Binary: server, Loopback: true, Settings: b.options()})
		c.AddBroker(labtest.Options{Binary: server, Loopback: true, Settings: b.options()})
		begun := time.Now()
		c.Await(time.Minute, "even load", func() error {
			leads := leading(c.Leaders("load"))
			if first == 0 && leads[4]+leads[5] > 0 {
				first = time.Since(begun)
			}
			for id := 2; id <= 5; id++ {
				if n := leads[id]; n < even*85/100 || n > even*115/100 {
					return fmt.Errorf("partitions by broker: %v", leads)
				}
			}
			level = time.Since(begun)
			return nil
		})
	})
	measured["first_move_after"], measured["level_after"], measured["longest_gap_scale_out"] = first.String(), level.String(), gaps.Longest(nil).String()
	if now := c.AwaitLeaders(time.Minute, "fixed"); !slices.Equal(now, was) {
		t.Errorf("the excluded topic was led by %v, now by %v", was, now)
	}
	explain(t, c)

	begun := time.Now()
	gaps = c.Event("drain", func() {
		said := ringmq(t, "balancer", "drain", "2", "--wait", "60s", "--bootstrap-server", c.Node(3).Seed())
		if !strings.HasSuffix(said, "broker 2 has no partitions\n") {
			t.Errorf("drain said %q", said)
		}
	})
	measured["drained_after"], measured["longest_gap_drain"] = time.Since(begun).String(), gaps.Longest(nil).String()
	for _, topic := range []string{"load", "fixed"} {
		if leads := leading(c.AwaitLeaders(time.Minute, topic)); leads[2] != 0 {
			t.Errorf("%s: partitions by broker: %v", topic, leads)
		}
	}
	gaps = c.Event("stop of the drained broker", func() { c.Node(2).MustStop() })
	measured["longest_gap_stop"] = gaps.Longest(nil).String()
	load.Check()
	stays.Check()
	labtest.Note(c, measured)
}

func (b balancing) options() []string {
	return append([]string{
		"autobalancer.controller.exclude.topics=fixed",
		// The disk that all nodes share may well be slow; what follows from that is tested in package engine.
		"autobalancer.controller.slow.broker.append.latency.ms=600000", "autobalancer.controller.slow.broker.pending.append.ms=600000",
	}, b.settings...)
}

// leading is how many partitions each node leads.
func leading(leaders []int) map[int]int {
	m := map[int]int{}
	for _, id := range leaders {
		m[id]++
	}
	return m
}

// ringmq runs a command of the server's binary.
func ringmq(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), server, args...).Output()
	if err != nil {
		var text []byte
		if e, ok := err.(*exec.ExitError); ok {
			text = e.Stderr
		}
		t.Fatalf("ringmq %s: %v %s%s", strings.Join(args, " "), err, out, text)
	}
	return string(out)
}

// explain asks a controller what the balancer sees, in both forms.
func explain(t *testing.T, c *labtest.Cluster) {
	t.Helper()
	controller := fmt.Sprintf("%s:%d", c.Node(1).Host.Addr(), c.Node(1).ControllerPort)
	var plan struct {
		Brokers []struct {
			ID    int
			State string
			Load  map[string]float64
		}
	}
	c.Await(30*time.Second, "trust in every broker's figures", func() error {
		if err := json.Unmarshal([]byte(ringmq(t, "balancer", "explain", "--json", "--bootstrap-controller", controller)), &plan); err != nil {
			t.Fatal(err)
		}
		if len(plan.Brokers) != 4 {
			t.Fatalf("brokers: %+v", plan.Brokers)
		}
		for _, b := range plan.Brokers {
			if b.State != "balanced" || b.Load["network in"] <= 0 || b.Load["network out"] <= 0 {
				return fmt.Errorf("%+v", b)
			}
		}
		return nil
	})
	text := ringmq(t, "balancer", "explain", "--bootstrap-controller", controller)
	if !strings.Contains(text, "NetworkInUsageDistributionGoal") || !strings.Contains(text, "BROKER") {
		t.Errorf("explain said %s", text)
	}
	t.Logf("explain:\n%s", text)
}
