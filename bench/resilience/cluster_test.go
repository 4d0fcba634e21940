package resilience

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

// fault is something that happens to a cluster under load and ends well: afterwards every partition is acknowledged again.
type fault struct {
	name    string
	network bool // needs hosts with a network of their own
	soak    bool // happens in the soak only: others of its kind are quicker
	// do returns the brokers whose partitions may be away meanwhile; those of others must not be.
	do func(c *labtest.Cluster, round int) (hit []*labtest.Node)
}

// awayFor is how long a node stays cut off or paused when it is to lose its session.
const awayFor = labtest.Session + 2*time.Second

// undisturbed bounds the gap of partitions that a fault does not touch. It is what a busy machine makes of a round trip, and far below what any time-out
// of the cluster would make of it.
const undisturbed = 2 * time.Second

var faults = []fault{
	{"kill -9 of the active controller, restart", false, false, func(c *labtest.Cluster, _ int) []*labtest.Node {
		active := c.AwaitActive(time.Minute)
		active.Kill()
		c.AwaitActive(time.Minute, active)
		active.MustStart()
		return only(active)
	}},
	{"kill -9 of a broker, restart", false, false, func(c *labtest.Cluster, round int) []*labtest.Node {
		n := pick(c.Brokers(), round)
		n.Kill()
		n.MustStart()
		return only(n)
	}},
	{"power loss of a broker's host, restart", true, false, func(c *labtest.Cluster, round int) []*labtest.Node {
		n := pick(c.Brokers(), round+1)
		reboot(c, n)
		return only(n)
	}},
	{"SIGSTOP of a broker beyond its session, SIGCONT", false, false, func(c *labtest.Cluster, round int) []*labtest.Node {
		n := pick(c.Brokers(), round)
		send(c, n, syscall.SIGSTOP)
		c.Run(awayFor)
		send(c, n, syscall.SIGCONT)
		return only(n)
	}},
	{"cut of a broker beyond its session, heal", true, true, func(c *labtest.Cluster, round int) []*labtest.Node {
		n := pick(c.Brokers(), round+1)
		must(c, n.Host.Cut())
		c.Run(awayFor)
		must(c, n.Host.Heal())
		return only(n)
	}},
	{"one-way cut of a broker: it hears nothing, heal", true, true, func(c *labtest.Cluster, round int) []*labtest.Node {
		n := pick(c.Brokers(), round)
		must(c, n.Host.CutIn())
		c.Run(awayFor)
		must(c, n.Host.Heal())
		return only(n)
	}},
	{"one-way cut of a broker: nobody hears it, heal", true, false, func(c *labtest.Cluster, round int) []*labtest.Node {
		n := pick(c.Brokers(), round+1)
		must(c, n.Host.CutOut())
		c.Run(awayFor)
		must(c, n.Host.Heal())
		return only(n)
	}},
	{"cut of a broker from the controllers only, heal", true, false, func(c *labtest.Cluster, round int) []*labtest.Node {
		n := pick(c.Brokers(), round)
		must(c, n.Host.Cut(labtest.Hosts(c.Controllers()...)...))
		c.Run(awayFor)
		must(c, n.Host.Heal())
		return only(n)
	}},
	{"cut of the active controller, heal", true, true, func(c *labtest.Cluster, _ int) []*labtest.Node {
		active := c.AwaitActive(time.Minute)
		must(c, active.Host.Cut())
		c.AwaitActive(time.Minute, active)
		c.Run(awayFor)
		must(c, active.Host.Heal())
		return only(active)
	}},
	{"one-way cut of the active controller: it hears nothing, heal", true, false, func(c *labtest.Cluster, _ int) []*labtest.Node {
		active := c.AwaitActive(time.Minute)
		must(c, active.Host.CutIn())
		c.AwaitActive(time.Minute, active)
		c.Run(awayFor)
		must(c, active.Host.Heal())
		return only(active)
	}},
	{"one-way cut of the active controller: nobody hears it, heal", true, true, func(c *labtest.Cluster, _ int) []*labtest.Node {
		active := c.AwaitActive(time.Minute)
		must(c, active.Host.CutOut())
		c.AwaitActive(time.Minute, active)
		c.Run(awayFor)
		must(c, active.Host.Heal())
		return only(active)
	}},
	{"MinIO killed and restarted", false, false, func(c *labtest.Cluster, _ int) []*labtest.Node {
		c.MinIO.Kill()
		c.Run(2 * time.Second)
		must(c, c.MinIO.Start(c.T.Context()))
		return nil
	}},
	// Last: a broker that stops has its partitions led by others, and does not get them back by itself.
	{"rolling restart of all nodes", false, false, func(c *labtest.Cluster, _ int) []*labtest.Node {
		for _, n := range c.Nodes {
			n.MustStop()
			n.MustStart()
		}
		return c.Nodes
	}},
}

func only(n *labtest.Node) []*labtest.Node { return []*labtest.Node{n} }

func pick(nodes []*labtest.Node, round int) *labtest.Node { return nodes[round%len(nodes)] }

func must(c *labtest.Cluster, err error) {
	c.T.Helper()
	if err != nil {
		c.T.Fatal(err)
	}
}

func send(c *labtest.Cluster, n *labtest.Node, s syscall.Signal) {
	c.T.Helper()
	must(c, n.Signal(s))
}

// reboot takes the power of a node's host away and gives it back.
func reboot(c *labtest.Cluster, n *labtest.Node) {
	c.T.Helper()
	must(c, n.Host.Down())
	<-n.Exited()
	must(c, n.Host.Up())
	n.MustStart()
}

// strike has one fault happen, and notes the gaps that producers saw: of the partitions that were hit, and of the others, which must not notice.
func strike(c *labtest.Cluster, f fault, round int) {
	c.T.Helper()
	var hit []*labtest.Node
	before := map[string][]int{}
	for _, topic := range []string{"orders", "plain"} {
		before[topic] = c.AwaitLeaders(time.Minute, topic)
	}
	begun := time.Now()
	gaps := c.Event(f.name, func() { hit = f.do(c, round) })
	ofHit := func(topic string, partition int) bool {
		for _, n := range hit {
			if before[topic][partition] == n.NodeID {
				return true
			}
		}
		return false
	}
	others := gaps.Longest(func(topic string, partition int) bool { return !ofHit(topic, partition) })
	labtest.Note(c, map[string]any{"event": f.name, "round": round, "longest_gap_ms": gaps.Longest(ofHit).Milliseconds(),
		"longest_gap_of_others_ms": others.Milliseconds(), "took_ms": time.Since(begun).Milliseconds(), "hit": ids(hit)})
	if others > undisturbed {
		c.T.Errorf("%s: partitions that it does not touch were without an acknowledgement for %v, allowed are %v; all gaps: %v, leaders before: %v",
			f.name, others, undisturbed, gaps.ByPartition, before)
	}
}

func ids(nodes []*labtest.Node) (ids []int) {
	for _, n := range nodes {
		ids = append(ids, n.NodeID)
	}
	return ids
}

// startCluster starts a cluster with two loads, one of an idempotent producer and one of a producer that is not.
func startCluster(t *testing.T, o labtest.Options) (*labtest.Cluster, []*labtest.Load) {
	t.Helper()
	o.Binary = server
	begun := time.Now()
	c := labtest.Start(t, o)
	t.Logf("cluster of %d nodes serves after %v", len(c.Nodes), time.Since(begun).Round(time.Millisecond))
	return c, []*labtest.Load{
		c.StartLoad(labtest.LoadOptions{Topic: "orders", Partitions: 8}),
		c.StartLoad(labtest.LoadOptions{Topic: "plain", Partitions: 4, NotIdempotent: true}),
	}
}

// TestClusterFaults has one fault after the other happen to a cluster of three controllers and two brokers, and reads everything back.
func TestClusterFaults(t *testing.T) {
	short(t)
	c, loads := startCluster(t, labtest.Options{Controllers: 3, Brokers: 2})
	for i, f := range faults {
		if !f.soak {
			strike(c, f, i)
		}
	}
	for _, l := range loads {
		l.Check()
	}
}

// TestClusterProcesses has what needs no network of its own happen to combined nodes, which are plain processes.
func TestClusterProcesses(t *testing.T) {
	short(t)
	c, loads := startCluster(t, labtest.Options{Combined: 3, Brokers: 1, Loopback: true})
	for i, f := range faults {
		if !f.soak && !f.network {
			strike(c, f, i)
		}
	}
	for _, l := range loads {
		l.Check()
	}
}

// TestSoakClusterFaults has each fault happen again and again, to dedicated and to combined nodes.
func TestSoakClusterFaults(t *testing.T) {
	soak(t)
	for _, o := range []labtest.Options{{Controllers: 3, Brokers: 2}, {Combined: 3, Brokers: 1}, {Controllers: 3, Brokers: 4}} {
		t.Run(fmt.Sprintf("%d controllers, %d combined, %d brokers", o.Controllers, o.Combined, o.Brokers), func(t *testing.T) {
			for _, f := range faults {
				t.Run(f.name, func(t *testing.T) {
					c, loads := startCluster(t, o)
					for round := range 3 {
						strike(c, f, round)
						c.Run(time.Second)
					}
					for _, l := range loads {
						l.Check()
					}
				})
			}
		})
	}
}
