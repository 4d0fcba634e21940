package resilience

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

var chaosSeed = flag.Uint64("chaos.seed", 0, "seed of the random faults; 0: another one every time")

// chaos has random faults happen to random nodes, several at a time, but never to a majority of the controllers.
type chaos struct {
	c       *labtest.Cluster
	random  *rand.Rand
	heal    map[*labtest.Node]func() // what takes back the fault of a node that has one
	noMinIO bool
	trace   []string
}

func (x *chaos) note(format string, args ...any) {
	x.trace = append(x.trace, fmt.Sprintf("%s "+format, append([]any{time.Now().UTC().Format("15:04:05.000")}, args...)...))
}

// step begins a fault or ends one.
func (x *chaos) step() {
	c := x.c
	if x.random.IntN(12) == 0 {
		x.toggleMinIO()
		return
	}
	n := pick(c.Nodes, x.random.IntN(len(c.Nodes)))
	if heal := x.heal[n]; heal != nil {
		x.note("node %d: heal", n.NodeID)
		delete(x.heal, n)
		heal()
		return
	}
	if ended(n) || n.Controller() && x.controllersAway() > 0 {
		return
	}
	var what string
	again := func() { must(c, n.Launch()) } // serves when it can: MinIO may be away
	switch x.random.IntN(8) {
	case 0, 1:
		what = "kill -9"
		n.Kill()
		x.heal[n] = again
	case 2:
		what = "power loss"
		must(c, n.Host.Down())
		<-n.Exited()
		x.heal[n] = func() { must(c, n.Host.Up()); again() }
	case 3:
		what = "pause"
		send(c, n, syscall.SIGSTOP)
		x.heal[n] = func() { _ = n.Signal(syscall.SIGCONT) } // it may have been on its way out
	case 4:
		what = "cut"
		must(c, n.Host.Cut())
	case 5:
		what = "hears nothing"
		must(c, n.Host.CutIn())
	case 6:
		what = "is not heard"
		must(c, n.Host.CutOut())
	case 7:
		what = "is slow"
		must(c, n.Host.Delay(time.Duration(1+x.random.IntN(40))*time.Millisecond))
		x.heal[n] = func() { must(c, n.Host.Delay(0)) }
	}
	if x.heal[n] == nil {
		x.heal[n] = func() { must(c, n.Host.Heal()) }
	}
	x.note("node %d: %s", n.NodeID, what)
}

func (x *chaos) toggleMinIO() {
	x.note("MinIO: away %t", !x.noMinIO)
	if x.noMinIO {
		must(x.c, x.c.MinIO.Start(x.c.T.Context()))
	} else {
		x.c.MinIO.Kill()
	}
	x.noMinIO = !x.noMinIO
}

func (x *chaos) controllersAway() (away int) {
	for _, n := range x.c.Controllers() {
		if x.heal[n] != nil || ended(n) {
			away++
		}
	}
	return away
}

// ended reports whether a node has been killed or has ended by itself.
func ended(n *labtest.Node) bool {
	select {
	case <-n.Exited():
		return true
	default:
		return false
	}
}

// revive starts again what has ended by itself: a node that was started while MinIO was away gives up.
func (x *chaos) revive() {
	for _, n := range x.c.Nodes {
		if ended(n) && x.heal[n] == nil && !x.noMinIO {
			x.note("node %d had ended by itself: start", n.NodeID)
			must(x.c, n.Launch())
		}
	}
}

// end takes every fault back.
func (x *chaos) end() {
	if x.noMinIO {
		x.toggleMinIO()
	}
	for _, n := range x.c.Nodes {
		if heal := x.heal[n]; heal != nil {
			x.note("node %d: heal", n.NodeID)
			heal()
		}
	}
	clear(x.heal)
}

// randomFaults runs a cluster under load and random faults for a while, then heals it and reads everything back.
func randomFaults(t *testing.T, o labtest.Options, seed uint64, d time.Duration) {
	t.Helper()
	if seed == 0 {
		seed = rand.Uint64()>>1 + 1
	}
	c, loads := startCluster(t, o)
	x := &chaos{c: c, random: rand.New(rand.NewPCG(seed, 0)), heal: map[*labtest.Node]func(){}}
	t.Logf("the same faults again, at about the same times: go test ./bench/resilience -run '%s' -chaos.seed=%d", t.Name(), seed)
	defer func() {
		if t.Failed() {
			for _, line := range x.trace {
				t.Log(line)
			}
		}
	}()
	gaps := c.Event("random faults", func() {
		for end := time.Now().Add(d); time.Now().Before(end); {
			x.step()
			x.revive()
			c.Run(time.Duration(50+x.random.IntN(1500)) * time.Millisecond)
		}
		x.end()
		for _, n := range c.Nodes {
			c.Await(time.Minute, fmt.Sprintf("node %d", n.NodeID), func() error { x.revive(); return n.Answers(t.Context()) })
		}
	})
	labtest.Note(c, map[string]any{"event": "random faults", "seed": seed, "for": d.String(), "faults": len(x.trace), "longest_gap_ms": gaps.Longest(nil).Milliseconds()})
	for _, l := range loads {
		l.Check()
	}
}

// TestSoakClusterChaos has random faults happen, several at a time, for a minute on each layout, five times over.
func TestSoakClusterChaos(t *testing.T) {
	soak(t)
	for round := range 5 {
		for name, o := range map[string]labtest.Options{"dedicated": {Controllers: 3, Brokers: 3}, "combined": {Combined: 3, Brokers: 1}} {
			t.Run(fmt.Sprintf("%s-%d", name, round), func(t *testing.T) { randomFaults(t, o, *chaosSeed, time.Minute) })
		}
	}
}
