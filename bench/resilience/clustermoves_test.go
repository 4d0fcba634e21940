package resilience

import (
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

// movesPerSecond is the goal: a hundred partitions a second change their broker, and nobody should notice.
const movesPerSecond = 100

// movePartitions moves partitions for a while under load, alone or while faults happen, and notes the longest gap that a producer saw on any partition.
func movePartitions(t *testing.T, o labtest.Options, loads []labtest.LoadOptions, d time.Duration, beside ...fault) {
	t.Helper()
	o.Binary = server
	c := labtest.Start(t, o)
	var running []*labtest.Load
	for _, l := range loads {
		running = append(running, c.StartLoad(l))
	}
	quiet := c.Event("nothing", func() { c.Run(d / 2) })
	var movers []*labtest.Mover
	gaps := c.Event("moves", func() {
		for _, l := range running {
			movers = append(movers, c.StartMoves(l.Topic, movesPerSecond/len(running)))
		}
		c.Run(d)
		for i, f := range beside {
			f.do(c, i)
			c.Run(d)
		}
		for _, m := range movers {
			m.Stop()
		}
	})
	moves, refused, why := 0, 0, ""
	for _, m := range movers {
		moves, refused = moves+m.Moves, refused+m.Refused
		if m.Why != "" {
			why = m.Why
		}
	}
	var names []string
	for _, f := range beside {
		names = append(names, f.name)
	}
	labtest.Note(c, map[string]any{"event": "moves at 100 a second", "beside": names, "moves": moves, "refused": refused, "why": why, "for": d.String(),
		"longest_gap_ms": gaps.Longest(nil).Milliseconds(), "longest_gap_before_ms": quiet.Longest(nil).Milliseconds()})
	if want := int(d.Seconds() * movesPerSecond / 2); moves < want {
		t.Errorf("%d moves were granted, want at least %d", moves, want)
	}
	if len(beside) == 0 && refused > 0 {
		t.Errorf("%d moves were refused although nothing was away: %s", refused, why)
	}
	if len(beside) == 0 && gaps.Longest(nil) > undisturbed {
		t.Errorf("producers were without an acknowledgement for %v during moves, allowed are %v", gaps.Longest(nil), undisturbed)
	}
	for _, l := range running {
		l.Check()
	}
}

// movedLoads are 40 partitions, each of which gets 50 records a second: a gap is seen with a resolution of 20 ms.
var movedLoads = []labtest.LoadOptions{
	{Topic: "orders", Partitions: 30, Rate: 1500},
	{Topic: "plain", Partitions: 10, Rate: 500, NotIdempotent: true},
}

// TestClusterMoves moves a hundred partitions a second between two brokers.
func TestClusterMoves(t *testing.T) {
	short(t)
	movePartitions(t, labtest.Options{Controllers: 1, Brokers: 2}, movedLoads, 4*time.Second)
}

// TestSoakClusterMoves does so for a minute between four brokers, and again while every fault happens.
func TestSoakClusterMoves(t *testing.T) {
	soak(t)
	t.Run("alone", func(t *testing.T) {
		movePartitions(t, labtest.Options{Controllers: 3, Brokers: 4}, movedLoads, time.Minute)
	})
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			movePartitions(t, labtest.Options{Controllers: 3, Brokers: 3}, movedLoads, 5*time.Second, f, f, f)
		})
	}
}
